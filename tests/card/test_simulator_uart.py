"""A virtual SE on a serial port: power, resets, echo, faults, and the command that runs it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import serial

from atr_maker import make_atr
from door import door
from opentsm_agent.links import open_link
from opentsm_agent.links.uart import open_uart
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError
from opentsm_simulator import VirtualSe
from opentsm_simulator.config import AUTO, SeConfig, load_config
from opentsm_simulator.profile import load_profile
from opentsm_simulator.uart import UartFront
from opentsm_simulator.uart_faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = Path(sys.executable).parent / "opentsm"
SELECT = bytes.fromhex("00A4040008A000000151000000")
PRODUCTION = bytes.fromhex("80CA9F7F00")
OPEN_CHANNEL = bytes.fromhex("0070000001")


@pytest.fixture(scope="module")
def ses() -> dict[str, VirtualSe]:
    return {profile: VirtualSe.create(profile) for profile in ("embedded", "uicc")}


@pytest.fixture
def front(ses: dict[str, VirtualSe]) -> Iterator[Callable[..., UartFront]]:
    made: list[UartFront] = []

    def make(profile: str, path: Path | None = None, *, echo: bool = True, faults: str | None = None) -> UartFront:
        parsed = Faults.parse(faults) if faults else None
        made.append(UartFront(ses[profile], str(path) if path else None, echo=echo, faults=parsed))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()
        each.stop()


@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize(("profile", "protocol"), [("embedded", 1), ("uicc", 0)])
def test_it_answers_as_it_does_in_process(
    ses: dict[str, VirtualSe], front: Callable[..., UartFront], profile: str, protocol: int, *, echo: bool
) -> None:
    with open_link(f"uart:{front(profile, echo=echo).address}", 5) as link:
        assert getattr(link, "protocol", None) == protocol
        given = [link.transmit(command) for command in (SELECT, PRODUCTION, OPEN_CHANNEL)]
        assert link.reset() == ses[profile].atr
        # The channel is free again.
        assert link.transmit(OPEN_CHANNEL) == given[2] == bytes.fromhex("019000")
    with ses[profile].link() as link:
        assert given == [link.transmit(command) for command in (SELECT, PRODUCTION, OPEN_CHANNEL)]


@pytest.mark.parametrize(
    ("atr", "query", "protocol", "baud"),
    [
        (make_atr("D0", "D1"), "", 0, 9600),
        (make_atr("D0", "D1"), "?protocol=t1", 1, 9600),
        (make_atr("A95 D0", "D1", "AFE B45 C01"), "?protocol=t1&rate=card", 1, 111600),
        (make_atr("A95 D1", "A01"), "?echo=yes", 1, 111600),
        (make_atr("A94", historical=b"opentsm"), "?rate=card", 0, 55800),
        (make_atr("C05", historical=b"opentsm", inverse=True), "?echo=no", 0, 9600),
        (make_atr("A95 D1", inverse=True), "?rate=card", 1, 111600),
    ],
)
def test_cards_of_other_makes(atr: bytes, query: str, protocol: int, baud: int) -> None:
    card = VirtualSe.create(msgspec.structs.replace(load_profile("uicc"), atr=atr.hex()))
    front = UartFront(card, echo="echo=no" not in query)
    front.start()
    try:
        with open_uart(front.address + query, 5) as link:
            # The historical bytes are the SE's own.
            assert link.atr == card.atr
            assert link.protocol == protocol
            assert link.transmit(SELECT)[-2:] == b"\x90\x00"
            assert len(link.transmit(PRODUCTION)) == 47
            # As the far end sees it, and as it is in the port's settings.
            with Path(front._terminal.port).open("rb", buffering=0) as port:
                assert round(_baud(port.fileno())) == baud
    finally:
        front.stop()


def _baud(descriptor: int) -> int:
    """Return the rate of an open terminal, whatever it is (TCGETS2, whose last word is the rate)."""
    answer = fcntl.ioctl(descriptor, 0x802C542A, bytes(44))
    return int(struct.unpack("I", answer[-4:])[0])


def test_opening_powers_it_and_closing_takes_the_power(front: Callable[..., UartFront]) -> None:
    address = front("embedded").address
    for _ in range(3):
        with open_link(f"uart:{address}?reset=open", 5) as link:
            assert link.transmit(OPEN_CHANNEL) == bytes.fromhex("019000")


@pytest.mark.parametrize("profile", ["embedded", "uicc"])
def test_it_bears_being_opened_again_and_again(front: Callable[..., UartFront], profile: str) -> None:
    # The answer to SELECT has the character FF, which a port marks or doubles, as it was set up.
    address = front(profile).address
    for _ in range(20):
        with open_link(f"uart:{address}", 5) as link:
            for _ in range(3):
                assert link.transmit(SELECT)[-3:] == bytes.fromhex("FF9000")
                link.reset()


def test_flushing_the_input_resets_it_as_hosts_do_that_pull_a_line(front: Callable[..., UartFront]) -> None:
    # What pySim's serial transport does: 8E2, flush, answer to reset within a second, then every byte is echoed and
    # the only procedure byte is INS.
    with serial.Serial(
        front("uicc").address, 9600, parity=serial.PARITY_EVEN, stopbits=serial.STOPBITS_TWO, timeout=1
    ) as port:
        for _ in range(2):
            time.sleep(0.1)
            port.reset_input_buffer()
            assert port.read(3) == bytes.fromhex("3B8000")
            port.write(bytes.fromhex("00A4040008"))
            assert port.read(6) == bytes.fromhex("00A4040008A4")
            port.write(bytes.fromhex("A000000151000000"))
            answer = port.read(10)
            assert answer[:8] == bytes.fromhex("A000000151000000")
            assert answer[8] == 0x61


@pytest.mark.parametrize(
    ("profile", "faults", "error"),
    [
        ("uicc", "stick@12", LinkTimeoutError),
        ("uicc", "drop@9", LinkTimeoutError),
        ("embedded", "stick@20", LinkTimeoutError),
        ("embedded", "reset@20", TransportError),
        ("embedded", "brownout@20", LinkTimeoutError),
    ],
)
def test_what_fails_is_told_and_mended_by_a_reset(
    front: Callable[..., UartFront], profile: str, faults: str, error: type[TransportError]
) -> None:
    with open_link(f"uart:{front(profile, faults=faults).address}", 2) as link:
        with pytest.raises(error, match="uart:/dev/pts/"):
            link.transmit(SELECT)
        link.reset()
        assert link.transmit(SELECT)[-2:] == b"\x90\x00"


def test_a_spoilt_block_is_sent_again(front: Callable[..., UartFront]) -> None:
    with open_link(f"uart:{front('embedded', faults='corrupt@30,delay@60=0.1,drop@90').address}", 10) as link:
        assert link.transmit(SELECT)[-2:] == b"\x90\x00"
        assert link.transmit(PRODUCTION)[-2:] == b"\x90\x00"
        assert getattr(link, "retransmissions", 0) == 2


def test_a_card_that_is_taken_out_does_not_come_back(front: Callable[..., UartFront]) -> None:
    address = front("uicc", faults="remove@12").address
    with open_link(f"uart:{address}", 2) as link:
        with pytest.raises(LinkTimeoutError):
            link.transmit(SELECT)
        with pytest.raises(CardRemovedError, match="no answer to reset"):
            link.reset()


def test_a_port_at_a_path_of_one_s_own(front: Callable[..., UartFront], tmp_path: Path) -> None:
    path = tmp_path / "sim"
    path.symlink_to("/dev/pts/999999")  # left by one that was killed
    made = front("uicc", path)
    assert made.address == str(path)
    with open_link(f"uart:{path}", 5) as link:
        assert link.transmit(SELECT)[-2:] == b"\x90\x00"
    made.stop()
    assert not path.is_symlink()
    path.write_text("mine")
    with pytest.raises(TransportError, match="can't be put at"):
        front("uicc", path)
    assert path.read_text() == "mine"


def test_the_command_runs_it_and_opentsm_card_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "se"
    environment = os.environ | {"OPENTSM_RUNTIME_DIR": str(tmp_path / "run")}
    command = [str(PROGRAM), "se", "run", "--uart", str(path), "--no-uart-echo", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            (se,) = json.loads(process.stdout.readline())["ses"]
            assert (se["profile"], se["uart"], se["tcp"]) == ("embedded", str(path), None)
            answer = door("card", "--link", f"uart:{path}", "info", "--json")
            assert answer.code == 0, answer.err
            assert '"3B800181"' in answer.out
            sent = door("card", "--link", f"uart:{path}?echo=no&protocol=t1", "send", SELECT.hex())
            assert sent.code == 0, sent.err
            assert "9000" in sent.out
            refused = door("card", "--link", f"uart:{path}?protocol=t0", "info")
            assert refused.code == 3
            assert f"uart:{path}: the card offers T=1, not T=0" in refused.err
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
    assert not path.is_symlink()


def test_what_a_configuration_says_of_ports(tmp_path: Path) -> None:
    path = tmp_path / "se.toml"
    path.write_text(
        """
        [[se]]
        id = "a"
        profile = "uicc"
        uart = "auto"
        [[se]]
        id = "b"
        profile = "uicc"
        uart = "sim"
        uart_echo = false
        uart_faults = "drop@3"
        """
    )
    assert load_config(path) == (
        SeConfig("a", "uicc", uart=AUTO),
        SeConfig("b", "uicc", uart=str(tmp_path / "sim"), uart_echo=False, uart_faults="drop@3"),
    )
    path.write_text('[[se]]\nid = "a"\nprofile = "uicc"\nuart = "auto"\nuart_faults = "melt@1"')
    with pytest.raises(ProtocolError, match="se 'a': fault 'melt@1'"):
        load_config(path)
    refused = door("se", "run", "--uart", "--uart-faults", "drop")
    assert (refused.code, "fault 'drop'" in refused.err) == (4, True)
