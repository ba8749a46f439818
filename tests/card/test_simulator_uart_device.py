"""A virtual SE on a real serial port, for which two pseudo-terminals with a cable between them stand in."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import termios
import tty
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import pytest

from atr_maker import make_atr
from door import door, refused
from opentsm_agent.links import open_link
from opentsm_card.errors import TransportError
from opentsm_simulator import VirtualSe, uart_device
from opentsm_simulator.uart_device import DeviceFront
from opentsm_simulator.uart_faults import Faults
from serial_pair import SerialPair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentsm_card.link import Link

SELECT = bytes.fromhex("00A4040008A000000151000000")
PRODUCTION = bytes.fromhex("80CA9F7F00")
UICC_ATR = bytes.fromhex("3B8000")


@pytest.fixture
def pair() -> Iterator[SerialPair]:
    made = SerialPair()
    yield made
    made.close()


@pytest.fixture
def front(pair: SerialPair) -> Iterator[Callable[..., DeviceFront]]:
    made: list[DeviceFront] = []

    def make(profile: str, *, echo: bool = True, faults: str | None = None) -> DeviceFront:
        se = VirtualSe.create(profile)
        made.append(DeviceFront(se, pair.here, echo=echo, faults=Faults.parse(faults) if faults else None))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def put_in_until(done: Future[Any], put_in: Callable[[], object]) -> None:
    """Put a card in, and again where it answered before anybody listened, as one does by hand."""
    wait([done], 0.3)
    while not done.done():
        put_in()
        wait([done], 5)


def opened_when(put_in: Callable[[], object], uri: str) -> Link:
    """Open a link that waits for a card, and put one in."""
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_link, uri, 30)
        put_in_until(opening, put_in)
        return opening.result()


class Host:
    """A program at the other end, which reads and writes characters."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.descriptor)
        termios.tcflush(self.descriptor, termios.TCIFLUSH)

    def read(self, count: int, within_s: float = 10) -> bytes:
        data = b""
        while len(data) < count and select.select([self.descriptor], [], [], within_s)[0]:
            data += os.read(self.descriptor, count - len(data))
        return data

    def write(self, data: bytes) -> None:
        os.write(self.descriptor, data)

    def close(self) -> None:
        os.close(self.descriptor)


@pytest.fixture
def host(pair: SerialPair) -> Iterator[Host]:
    made = Host(pair.there)
    yield made
    made.close()


@pytest.mark.parametrize("profile", ["uicc", "embedded"])
@pytest.mark.parametrize("echo", [False, True])
def test_a_card_that_is_put_in_is_spoken_to(
    pair: SerialPair, front: Callable[..., DeviceFront], profile: str, *, echo: bool
) -> None:
    card = front(profile, echo=echo)
    card.start()
    with opened_when(card.put_in, f"uart:{pair.there}?reset=none") as link:
        assert link.transmit(SELECT)[-2:] == b"\x90\x00"
        with VirtualSe.create(profile).link() as direct:
            direct.transmit(SELECT)
            assert link.transmit(PRODUCTION) == direct.transmit(PRODUCTION)
        # FF is what a port doubles that marks a wrong parity.
        assert link.transmit(bytes.fromhex("00A4040008FFFFFFFFFFFFFFFF")) == b"\x6a\x82"


@pytest.mark.parametrize("profile", ["uicc", "embedded"])
def test_on_one_wire_it_does_not_take_its_own_for_the_host_s(profile: str) -> None:
    pair = SerialPair(one_wire=True)
    card = DeviceFront(VirtualSe.create(profile), pair.here)
    card.start()
    try:
        with opened_when(card.put_in, f"uart:{pair.there}?reset=none") as link:
            for _ in range(3):
                assert link.transmit(SELECT)[-2:] == b"\x90\x00"
                assert link.transmit(PRODUCTION)[-2:] == b"\x90\x00"
    finally:
        card.stop()
        pair.close()


def test_a_spoilt_block_is_sent_again(pair: SerialPair, front: Callable[..., DeviceFront]) -> None:
    card = front("embedded", faults="corrupt@60,drop@95")
    card.start()
    with opened_when(card.put_in, f"uart:{pair.there}?reset=none") as link:
        for _ in range(3):
            assert link.transmit(SELECT)[-2:] == b"\x90\x00"


def test_a_rate_that_is_agreed_on_is_the_port_s_until_the_next_reset(pair: SerialPair, host: Host) -> None:
    class Fast:
        se_id, atr = "fast", make_atr("A94")
        link = VirtualSe.create("uicc").link

    card = DeviceFront(Fast(), pair.here, echo=False)
    card.start()
    try:
        assert host.read(len(Fast.atr)) == Fast.atr
        pps = bytes.fromhex("FF1094")
        pps += bytes((pps[0] ^ pps[1] ^ pps[2],))
        host.write(pps)
        assert host.read(4) == pps
        host.write(SELECT[:5])
        assert host.read(1) == SELECT[1:2]
        # F 512, D 8: ISO/IEC 7816-3:2006, tables 7 and 8.
        assert card._serial.baudrate == round(372 * 9600 * 8 / 512)
        card.put_in()
        assert host.read(len(Fast.atr)) == Fast.atr
        assert card._serial.baudrate == 9600
    finally:
        card.stop()


def test_any_change_of_the_host_s_line_resets_it(
    front: Callable[..., DeviceFront], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = {"now": termios.TIOCM_CTS}
    monkeypatch.setattr(uart_device, "reset_lines", lambda _descriptor: lines["now"])
    front("uicc", echo=False).start()
    assert host.read(3) == UICC_ATR
    for held in (0, termios.TIOCM_CTS, termios.TIOCM_CTS | termios.TIOCM_DSR):
        host.write(SELECT[:5])
        assert host.read(1) == SELECT[1:2]
        lines["now"] = held
        assert host.read(3) == UICC_ATR


def test_over_t_0_a_wrong_parity_ends_in_silence_and_not_in_another_command(
    front: Callable[..., DeviceFront], host: Host
) -> None:
    card = front("uicc", echo=False)
    card.start()
    assert host.read(3) == UICC_ATR
    card._marks.garbled = True
    host.write(SELECT[:5])
    assert host.read(1, 0.5) == b""
    card.put_in()
    assert host.read(3) == UICC_ATR
    host.write(SELECT[:5])
    assert host.read(1) == SELECT[1:2]


def test_the_command_puts_the_card_in_when_it_starts_and_at_se_reset(
    pair: SerialPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENTSM_RUNTIME_DIR", str(tmp_path / "run"))
    command = [sys.executable, "-m", "opentsm_tools.main", "se", "run", "--profile", "uicc", "--id", "sim"]

    def wait_for_card() -> bytes:
        with open_link(f"uart:{pair.there}?reset=none", 60) as link:
            return link.transmit(SELECT)[-2:]

    with (
        ThreadPoolExecutor(1) as pool,
        subprocess.Popen([*command, "--uart", pair.here, "--json"], stdout=subprocess.PIPE, text=True) as process,
    ):
        first = pool.submit(wait_for_card)
        assert process.stdout is not None
        (told,) = json.loads(process.stdout.readline())["ses"]
        assert told["uart"] == pair.here
        assert first.result(60) == b"\x90\x00"
        second = pool.submit(wait_for_card)
        put_in_until(second, lambda: door("se", "reset", "sim"))
        assert second.result() == b"\x90\x00"
        pair.close()
        # The port was pulled out.
        assert process.wait(30) == 3


def test_a_port_that_goes_away_is_told(pair: SerialPair, front: Callable[..., DeviceFront]) -> None:
    card = front("uicc")
    card.start()
    pair.close()
    card._thread.join(10)
    assert card.failure is not None
    assert f"the serial port {card.address} is gone" in card.failure


@pytest.mark.parametrize("path", ["/dev/null", "/dev/no-such-port"])
def test_what_is_no_port(path: str) -> None:
    assert f"the serial port {path} can't be used" in refused(3, "se", "run", "--uart", path)


def test_a_port_is_for_one_card(pair: SerialPair, front: Callable[..., DeviceFront]) -> None:
    front("uicc")
    with pytest.raises(TransportError, match=r"can't be used.*lock"):
        DeviceFront(VirtualSe.create("uicc"), pair.here)
