"""Virtual SEs in process and behind their fronts: identity, keys, TCP, vpcd's reader side, and a process of many."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from door import door, refused
from open_card import A1, ISD, PROFILE, OpenCard
from opentsm_card.errors import OpenTsmError, ProtocolError, TransportError
from opentsm_card.keys import KeySet
from opentsm_card.link import Link
from opentsm_simulator import VirtualSe
from opentsm_simulator.config import SeConfig
from opentsm_simulator.front import TcpFront, VpcdFront
from opentsm_simulator.host import Host
from opentsm_simulator.provisioning import diversification_data

if TYPE_CHECKING:
    from collections.abc import Iterator

ATR = bytes.fromhex("3B80800101")
SELECT_A1 = bytes.fromhex("00A4040005F0000000A1")


class Reader:
    """The reader's side of vpcd's framing."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.settimeout(20)

    def send(self, message: bytes) -> None:
        # vpcd writes length and message apart.
        self.connection.sendall(len(message).to_bytes(2, "big"))
        self.connection.sendall(message)

    def receive(self) -> bytes:
        return self._exactly(int.from_bytes(self._exactly(2), "big"))

    def transmit(self, command: bytes) -> bytes:
        self.send(command)
        return self.receive()

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            received = self.connection.recv(count - len(data))
            assert received, "the card closed the connection"
            data += received
        return data


@pytest.fixture
def se() -> VirtualSe:
    return VirtualSe.create(str(PROFILE), se_id="se-1")


@pytest.fixture
def front(se: VirtualSe) -> Iterator[TcpFront]:
    front = TcpFront(se, "contact", "127.0.0.1", 0)
    front.start()
    yield front
    front.stop()


def dial(front: TcpFront) -> Reader:
    host, _, port = front.address.rpartition(":")
    return Reader(socket.create_connection((host, int(port))))


def test_a_link_is_a_link(se: VirtualSe) -> None:
    with se.link() as link:
        assert isinstance(link, Link)
        assert link.reset() == se.atr == ATR


def test_an_ses_identity_comes_from_its_id(se: VirtualSe) -> None:
    assert OpenCard(se).send("801C00CF")[0] == diversification_data("se-1")
    other = VirtualSe.create(str(PROFILE), se_id="se-2")
    assert OpenCard(other).send("801C00CF")[0] == diversification_data("se-2") != diversification_data("se-1")
    assert OpenCard(other).send("801C9F7F")[0] != OpenCard(se).send("801C9F7F")[0]
    assert repr(other) == "VirtualSe('se-2', 'profile')"


def test_many_cards_are_used_by_many_threads_at_once() -> None:
    cards = [OpenCard() for _ in range(4)]
    failures: list[BaseException] = []

    def work(card: OpenCard, number: int) -> None:
        try:
            card.select(A1)
            for index in range(300):
                data = bytes((number, index & 0xFF))
                assert card.send("80000000", data) == (data, 0x9000)
        except BaseException as failure:  # noqa: BLE001 - shown by the test's own thread
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(card, number)) for number, card in enumerate(cards * 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_keys_that_the_profile_has_no_use_for_are_refused() -> None:
    keys = KeySet(1, bytes(16), bytes(16), bytes(16))
    with pytest.raises(ProtocolError, match="central"):
        VirtualSe.create("embedded", keys={"central": keys})


def test_an_instance_that_refuses_to_be_installed_is_named(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    text = PROFILE.read_text().replace('["applets", "lone"]', json.dumps([str(PROFILE.parent / "applets")]))
    own.write_text(text.replace('aid = "F0000000A102"', 'aid = "F0000000A102"\nparameters = "FF"'))
    with pytest.raises(OpenTsmError, match="instance F0000000A102: refused with 6A84"):
        VirtualSe.create(str(own))


class TestTcp:
    def test_controls_and_commands(self, front: TcpFront) -> None:
        reader = dial(front)
        reader.send(b"\x01")
        assert reader.transmit(b"\x04") == ATR
        assert reader.transmit(SELECT_A1) == A1 + b"\x90\x00"
        reader.send(b"\x02")
        assert reader.transmit(bytes.fromhex("80210000")) == b"\x00\x90\x00"
        reader.transmit(SELECT_A1)
        reader.send(b"\x00")
        reader.send(b"\x01")
        assert reader.transmit(bytes.fromhex("80210000")) == b"\x00\x90\x00"

    def test_messages_come_in_any_pieces(self, front: TcpFront) -> None:
        reader = dial(front)
        for byte in b"\x00\x0a" + SELECT_A1:
            reader.connection.sendall(bytes((byte,)))
        assert reader.receive() == A1 + b"\x90\x00"
        reader.connection.sendall(b"\x00\x0a" + SELECT_A1 + b"\x00\x04\x80\x0c\x00\x00\x00\x01\x04")
        assert [reader.receive() for _ in range(3)] == [A1 + b"\x90\x00", A1 + b"\x90\x00", ATR]

    def test_a_message_of_nothing_and_an_unknown_control_are_passed_over(self, front: TcpFront) -> None:
        reader = dial(front)
        reader.send(b"")
        reader.send(b"\x7f")
        assert reader.transmit(b"\x00\xa4") == b"\x67\x00"

    def test_a_new_connection_finds_the_card_reset(self, front: TcpFront) -> None:
        first = dial(front)
        first.transmit(SELECT_A1)
        first.connection.close()
        assert dial(front).transmit(bytes.fromhex("80210000")) == b"\x00\x90\x00"

    def test_the_longest_command(self, front: TcpFront) -> None:
        reader = dial(front)
        reader.transmit(SELECT_A1)
        data = bytes(32000)
        assert reader.transmit(bytes.fromhex("80000000007D00") + data + b"\x00\x00") == data + b"\x90\x00"

    def test_an_address_that_is_taken(self, se: VirtualSe, front: TcpFront) -> None:
        host, _, port = front.address.rpartition(":")
        with pytest.raises(TransportError, match=port):
            TcpFront(se, "contact", host, int(port))

    def test_stopping_ends_the_connection(self, front: TcpFront) -> None:
        reader = dial(front)
        reader.transmit(SELECT_A1)
        front.stop()
        front.stop()
        assert reader.connection.recv(1) == b""


def test_the_command_dials_who_waits_and_dials_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "opentsm_tools.main", "se", "run", "--dial", f"127.0.0.1:{port}", "--json"]
    environment = os.environ | {"OPENTSM_RUNTIME_DIR": str(tmp_path / "run")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            (told,) = json.loads(process.stdout.readline())["ses"]
            assert (told["profile"], told["dial"], told["tcp"]) == ("embedded", f"127.0.0.1:{port}", None)
            for _ in range(3):
                answer = door("card", "--link", f"tcp:127.0.0.1:{port}?listen", "info", "--json")
                assert answer.code == 0, answer.err
                assert json.loads(answer.out)["card"]
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    late = refused(3, "card", "--link", f"tcp:127.0.0.1:{port}?listen", "--timeout", "0.1", "info")
    assert "no card dials within 0.1 s" in late


def test_an_address_to_dial_that_is_none() -> None:
    assert "'nowhere' is not HOST:PORT" in refused(4, "se", "run", "--dial", "nowhere")


class TestVpcd:
    def test_the_card_dials_the_driver_and_dials_again(self, se: VirtualSe) -> None:
        with socket.create_server(("127.0.0.1", 0)) as driver:
            driver.settimeout(20)
            front = VpcdFront(se, *driver.getsockname()[:2])
            front.start()
            try:
                reader = Reader(driver.accept()[0])
                assert reader.transmit(b"\x04") == ATR
                assert reader.transmit(SELECT_A1) == A1 + b"\x90\x00"
                reader.connection.close()
                assert Reader(driver.accept()[0]).transmit(b"\x04") == ATR
            finally:
                front.stop()

    def test_a_driver_that_is_not_there(self, se: VirtualSe) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        with pytest.raises(TransportError, match=f"127.0.0.1:{port}"):
            VpcdFront(se, "127.0.0.1", port).start()


def test_effects_can_be_logged(tmp_path: Path) -> None:
    log = tmp_path / "effects.log"
    with Host([SeConfig("a", str(PROFILE), effects=log)]) as host:
        card = OpenCard(host.ses[0].se)
        card.set_state(A1, 0x80)
        assert log.read_text() == "set-state F0000000A1 87\n"
        assert host.ses[0].se.effects() == ["set-state F0000000A1 87"]
    with pytest.raises(ProtocolError):
        Host([SeConfig("a", str(PROFILE), effects=tmp_path / "none" / "log")])


def test_a_host_that_can_not_open_all_opens_nothing(front: TcpFront) -> None:
    host, _, port = front.address.rpartition(":")
    free = socket.create_server(("127.0.0.1", 0))
    address = free.getsockname()[:2]
    free.close()
    with pytest.raises(TransportError):
        Host([SeConfig("a", str(PROFILE), tcp=address), SeConfig("b", str(PROFILE), tcp=(host, int(port)))])
    socket.create_server(address).close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_of_many_ses_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    config = tmp_path / "se.toml"
    entry = '[[se]]\nid = "{}"\nprofile = "{}"\ntcp = "127.0.0.1:0"\ncontactless = "127.0.0.1:0"\n'
    config.write_text("".join(entry.format(name, PROFILE) for name in ("a", "b", "c")))
    program = Path(sys.executable).parent / "opentsm"
    with subprocess.Popen(
        [program, "se", "run", "--config", config, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["ready"] is True
        assert [(se["id"], se["profile"]) for se in ready["ses"]] == [(name, "profile") for name in ("a", "b", "c")]
        for address in (ready["ses"][1]["tcp"], ready["ses"][2]["contactless"]):
            host, _, port = address.rpartition(":")
            reader = Reader(socket.create_connection((host, int(port))))
            assert reader.transmit(bytes.fromhex("00A4040008") + ISD) == b"\x90\x00"
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stdout.read() == ""
        assert process.stderr is not None
        assert process.stderr.read() == ""
