"""The agent's socket for the device's own applications, and sessions on logical channels beside them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pwd
import socket
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest

from access_rules_card import Rules, do, rule
from opentsm_agent.channels import on_channel
from opentsm_agent.config import Local, SecureElementConfig
from opentsm_agent.events import Events
from opentsm_agent.handshake import SecureElement
from opentsm_agent.links import register
from opentsm_agent.local import LocalServer
from opentsm_agent.secure_elements import SecureElements
from opentsm_card.aid import Aid
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError
from opentsm_card.install import InstallForInstall
from sd_host import ISD, ISD_KEYS, Host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentsm_simulator import VirtualSe

USER = pwd.getpwuid(os.getuid()).pw_name
WALLET = bytes(range(20))
PAYMENT_LOAD_FILE = Aid.from_text("F06F70656E74736D0101")
PAYMENT_MODULE = Aid.from_text("F06F70656E74736D010101")
PAYMENT = Aid.from_text("F06F70656E74736D0B000101")
PPSE = bytes.fromhex("325041592E5359532E4444463031")
GET_LAST = "80CADF0100"


class Client:
    """An application of the device."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.stream = self.socket.makefile("rwb")

    def ask(self, **request: object) -> dict[str, Any]:
        self.stream.write(json.dumps(request).encode() + b"\n")
        self.stream.flush()
        return dict(json.loads(self.stream.readline()))

    def open(self, aid: bytes) -> int:
        answer = self.ask(open=aid.hex())
        assert "channel" in answer, answer
        return int(answer["channel"])

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


class NoChannels:
    """A card without logical channels."""

    def __init__(self, link: Any) -> None:
        self._link = link

    def transmit(self, command: bytes) -> bytes:
        return bytes.fromhex("6881") if command[1] == 0x70 else bytes(self._link.transmit(command))

    def reset(self) -> bytes:
        return bytes(self._link.reset())

    def close(self) -> None:
        self._link.close()


class Device:
    """An agent's secure element with an ARA-M and a payment application on it, and the socket in front."""

    def __init__(self, folder: Path, se: VirtualSe, *, channel: str = "logical", channels: bool = True) -> None:
        isd = Host(se.link()).into(ISD, ISD_KEYS)
        self.rules = Rules(isd)
        isd.into(ISD, ISD_KEYS).done(InstallForInstall(PAYMENT_LOAD_FILE, PAYMENT_MODULE, PAYMENT))
        self.rules.store(do(0xF0, rule(bytes(PAYMENT), WALLET, "80CA0000FFFF0000")))
        isd.link.close()
        self.se = se
        self.opened = 0
        wrapped = (lambda link: link) if channels else NoChannels

        def opener(_rest: str, _timeout_s: float) -> Any:
            self.opened += 1
            link = se.link()
            link.reset()
            return wrapped(link)

        register("this", opener)
        config = SecureElementConfig(SecureElement("eSE", "se"), "this:card", 5.0, channel=channel)
        self.elements = SecureElements([config], busy_timeout_s=0.2)
        self.log = io.StringIO()
        self.path = folder / "apdu.sock"
        local = Local(str(self.path), {USER: WALLET.hex()})
        self.server = LocalServer.of(local, self.elements, Events(self.log, as_json=True))
        self.clients: list[Client] = []

    def client(self) -> Client:
        self.clients.append(Client(self.path))
        return self.clients[-1]

    def empty(self) -> None:
        """Have all clients leave, and wait until their channels are closed."""
        while self.clients:
            self.clients.pop().close()
        deadline = time.monotonic() + 10
        while self.elements.shared["se"]._users:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def close(self) -> None:
        self.empty()
        self.server.stop()


@pytest.fixture
def device(tmp_path: Path, se: VirtualSe) -> Iterator[Device]:
    with contextlib.closing(Device(tmp_path, se)) as made:
        yield made


def test_an_application_uses_what_the_card_gives_it_and_nothing_else(device: Device) -> None:
    client = device.client()
    channel = client.open(bytes(PAYMENT))
    assert client.ask(transmit=GET_LAST, channel=channel)["answer"].endswith("9000")
    assert client.ask(transmit="00B2010C00", channel=channel)["reason"] == "denied"
    assert client.ask(open=PPSE.hex())["reason"] == "denied"
    assert client.ask(open=bytes(ISD).hex())["reason"] == "denied"
    assert client.ask(close=channel) == {"closed": channel}
    assert client.ask(transmit=GET_LAST, channel=channel)["reason"] == "bad-request"
    told = [json.loads(line) for line in device.log.getvalue().splitlines()]
    assert [line["user"] for line in told if line["event"] == "access-denied"] == [USER] * 3


def test_rules_that_change_hold_from_the_next_channel_on(device: Device) -> None:
    device.client().open(bytes(PAYMENT))
    device.empty()
    device.rules.isd.link = device.se.link()
    device.rules.store(do(0xF0, rule(bytes(PAYMENT), WALLET, "00")))
    assert device.client().ask(open=bytes(PAYMENT).hex())["reason"] == "denied"


def test_who_stands_for_no_application_is_denied(tmp_path: Path, se: VirtualSe) -> None:
    with contextlib.closing(Device(tmp_path, se)) as device:
        device.server._users.clear()
        answer = device.client().ask(open=bytes(PAYMENT).hex())
        assert answer["reason"] == "denied"
        assert "stands for no application" in answer["error"]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({}, "bad-request"),
        ({"open": "xyz"}, "bad-request"),
        ({"open": "A000"}, "bad-request"),
        ({"open": bytes(PAYMENT).hex(), "se": "other"}, "bad-request"),
        ({"transmit": "80CA000000", "channel": 9}, "bad-request"),
        ({"transmit": "00A4040000", "channel": 1}, "denied"),
        ({"transmit": "0070000001", "channel": 1}, "denied"),
        ({"transmit": "81CADF0100", "channel": 1}, "bad-request"),
        ({"transmit": "80", "channel": 1}, "bad-request"),
        ({"what": 1}, "bad-request"),
        ({"close": 7}, "bad-request"),
        ({"open": bytes(PAYMENT).hex(), "close": 1}, "bad-request"),
    ],
)
def test_bad_requests_are_answered_and_the_channel_goes_on(
    device: Device, request_: dict[str, object], reason: str
) -> None:
    client = device.client()
    assert client.open(bytes(PAYMENT)) == 1
    assert client.ask(**request_)["reason"] == reason
    assert client.ask(transmit=GET_LAST, channel=1)["answer"].endswith("9000")


def test_what_is_no_json_and_lines_without_end(device: Device) -> None:
    client = device.client()
    client.stream.write(b"{]\n")
    client.stream.flush()
    assert json.loads(client.stream.readline())["reason"] == "bad-request"
    other = device.client()
    with contextlib.suppress(OSError):
        other.stream.write(b"x" * 200_000)
        other.stream.flush()
    with contextlib.suppress(OSError):
        assert other.stream.readline() == b""


def test_the_socket_is_for_its_group(device: Device) -> None:
    assert stat.S_IMODE(device.path.stat().st_mode) == 0o660


def test_clients_have_channels_of_their_own_and_leave_none_behind(device: Device) -> None:
    clients = [device.client() for _ in range(3)]
    channels = [client.open(bytes(PAYMENT)) for client in clients]
    for client, channel in zip(clients, channels, strict=True):
        assert client.ask(transmit=GET_LAST, channel=channel)["answer"].endswith("9000")
    assert device.opened == 1, "one link for all"
    device.empty()
    device.client().open(bytes(PAYMENT))
    assert device.opened == 2, "the link was closed with the last channel"


class TestSessionsOnLogicalChannels:
    def session(self, device: Device) -> tuple[Any, Host]:
        links = device.elements.session_links()
        return links, Host(links.link("se", reset=True)).into(ISD, ISD_KEYS)

    def test_a_secure_channel_runs_beside_an_application(self, device: Device) -> None:
        client = device.client()
        channel = client.open(bytes(PAYMENT))
        links, host = self.session(device)
        assert host.entry(PAYMENT) is not None
        assert client.ask(transmit=GET_LAST, channel=channel)["answer"].endswith("9000")
        assert host.entry(PAYMENT) is not None, "the session is still open"
        links.close()
        assert client.ask(transmit=GET_LAST, channel=channel)["answer"].endswith("9000")
        assert device.opened == 1

    def test_two_sessions_at_once(self, device: Device) -> None:
        (one, host), (two, other) = self.session(device), self.session(device)
        assert host.entry(PAYMENT) == other.entry(PAYMENT)
        assert host.entry(PAYMENT) is not None
        one.close()
        assert other.entry(PAYMENT) is not None
        two.close()

    def test_a_fresh_start_ends_a_session_s_own_secure_channel_only(self, device: Device) -> None:
        client = device.client()
        channel = client.open(bytes(PAYMENT))
        links, host = self.session(device)
        links.link("se", reset=True)
        assert host.raw(bytes.fromhex("84F21000024F0000")).sw == 0x6982, "no secure channel is open"
        assert client.ask(transmit=GET_LAST, channel=channel)["answer"].endswith("9000")
        links.close()

    def test_a_card_that_goes_away_takes_all_channels_with_it(self, device: Device) -> None:
        client = device.client()
        channel = client.open(bytes(PAYMENT))
        links, host = self.session(device)
        device.elements.shared["se"]._drop()
        with pytest.raises(CardRemovedError, match="gone"):
            host.entry(PAYMENT)
        assert client.ask(transmit=GET_LAST, channel=channel)["reason"] == "gone"
        links.drop("se")
        assert Host(links.link("se", reset=False)).select(bytes(ISD)).sw == 0x9000
        links.close()

    def test_no_channel_left_is_said_and_disturbs_nobody(self, device: Device) -> None:
        held = [device.elements.shared["se"].channel() for _ in range(19)]
        with pytest.raises(LinkTimeoutError, match="no logical channel"):
            device.elements.session_links().link("se", reset=True)
        assert all(channel.alive for channel in held)
        for channel in held:
            channel.close()


class TestWithoutLogicalChannels:
    @pytest.fixture
    def device(self, tmp_path: Path, se: VirtualSe) -> Iterator[Device]:
        with contextlib.closing(Device(tmp_path, se, channels=False)) as made:
            yield made

    def test_the_basic_channel_is_one_client_s_at_a_time(self, device: Device) -> None:
        client, other = device.client(), device.client()
        channel = client.open(bytes(PAYMENT))
        assert other.ask(open=bytes(PAYMENT).hex())["reason"] == "busy"
        assert client.ask(close=channel) == {"closed": channel}
        assert other.open(bytes(PAYMENT))

    def test_a_session_takes_it_and_the_application_is_selected_again(self, device: Device) -> None:
        client = device.client()
        channel = client.open(bytes(PAYMENT))
        links = device.elements.session_links()
        host = Host(links.link("se", reset=True)).into(ISD, ISD_KEYS)
        assert client.ask(transmit=GET_LAST, channel=channel)["reason"] == "busy"
        assert host.entry(PAYMENT) is not None
        links.close()
        assert client.ask(transmit=GET_LAST, channel=channel)["answer"].endswith("9000")


@pytest.mark.parametrize(
    ("command", "number", "rewritten"),
    [
        ("00A4040000", 2, "02A4040000"),
        ("80CA004200", 3, "83CA004200"),
        ("84E2000008", 1, "85E2000008"),
        ("84E2000008", 4, "E0E2000008"),
        ("10E2000008", 19, "5FE2000008"),
        ("00A4040000", 0, "00A4040000"),
    ],
)
def test_the_class_byte_says_the_channel(command: str, number: int, rewritten: str) -> None:
    assert on_channel(bytes.fromhex(command), number) == bytes.fromhex(rewritten)


@pytest.mark.parametrize("command", ["01A4040000", "41A4040000", "A0A4000002", "0CA4040000", "0070000001", "80CA"])
def test_what_can_t_be_sent_on_another_channel_is_refused(command: str) -> None:
    with pytest.raises(ProtocolError):
        on_channel(bytes.fromhex(command), 1)
