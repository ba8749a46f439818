"""The `uart:` link: its URI, its port on a pseudo-terminal, and what it does when an exchange fails."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import pty
import subprocess
import sys
import termios
import threading
import time
import tty
from typing import TYPE_CHECKING

import pytest
import serial

from atr_maker import make_atr
from opentsm_agent.config import SecureElementConfig
from opentsm_agent.events import Events
from opentsm_agent.handshake import SecureElement
from opentsm_agent.links import check_uri, open_link
from opentsm_agent.links.uart import UartLink
from opentsm_agent.links.uart_port import SerialPort
from opentsm_agent.links.uart_settings import UartSettings
from opentsm_agent.secure_elements import SecureElements
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError
from opentsm_card.link import Link
from opentsm_card.transmission.parity import ParityMarks
from opentsm_card.transmission.pps import PPSS
from opentsm_simulator.uart_faults import Faults
from virtual_uart import ScriptCard, VirtualPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMAND = bytes.fromhex("80E2000003AABBCC")
ANSWER = bytes.fromhex("AABBCC9000")


class TestUri:
    def test_what_is_not_said_is_found_out(self) -> None:
        assert UartSettings.parse("/dev/ttyS0") == UartSettings("/dev/ttyS0", "auto", 9600, "auto", "auto", "phoenix")

    def test_all_that_can_be_said(self) -> None:
        said = "/dev/ttyUSB0?protocol=t1&baud=10753&reset=dtr&echo=no&wiring=season&rate=card&long=none"
        parsed = UartSettings.parse(said)
        assert parsed == UartSettings("/dev/ttyUSB0", "t1", 10753, "dtr", "no", "season", "card", "none")
        assert (parsed.protocol_number, parsed.clock_hz) == (1, 372 * 10753)

    @pytest.mark.parametrize(
        ("address", "told"),
        [
            ("?baud=9600", "want a device"),
            ("/dev/x?protocol=t2", "protocol=t2: want auto, t0, t1"),
            ("/dev/x?baud=fast", "baud=fast: want 300 to 4000000"),
            ("/dev/x?baud=299", "baud=299"),
            ("/dev/x?reset=cts", "reset=cts: want auto, rts, dtr, open, none"),
            ("/dev/x?speed=1", "no parameter 'speed'; there are protocol, baud, reset, echo, wiring, rate, long"),
            ("/dev/x?echo=no&echo=no", "echo is given twice"),
            ("/dev/x?echo", "echo=: want"),
            ("/dev/x?&", "no parameter ''"),
        ],
    )
    def test_what_makes_no_sense_is_refused_before_anything_is_opened(self, address: str, told: str) -> None:
        with pytest.raises(ProtocolError) as caught:
            check_uri(f"uart:{address}")
        assert told in str(caught.value)


def link(atr: bytes, card: ScriptCard, faults: str = "drop@999999", **settings: str) -> tuple[UartLink, VirtualPort]:
    port = VirtualPort(atr, card, Faults.parse(faults))
    return UartLink(port, UartSettings("/virtual", **settings), 30), port  # type: ignore[arg-type]


class SlowPort(VirtualPort):
    """A port on which the card's rate does not do: it can't be set, the card is deaf to PPS, or nothing gets by."""

    def __init__(self, atr: bytes, card: ScriptCard, fails: str) -> None:
        self._fails = fails
        self.asked = 0
        super().__init__(atr, card)

    def send(self, data: bytes, extra_guard_s: float, *, after_s: float, checked: bool) -> None:
        if data[0] == PPSS and len(data) == 4:
            self.asked += 1
            if self._fails == "card":
                return
        super().send(data, extra_guard_s, after_s=after_s, checked=checked)

    def set_rate(self, clock_cycles: int, divisor: int) -> None:
        if self._fails == "port":
            raise TransportError(f"the port can't go at {clock_cycles}/{divisor}")
        super().set_rate(clock_cycles, divisor // 2)


class TestLink:
    def test_it_is_one(self) -> None:
        for groups, protocol in (((), 0), (("D1",), 1)):
            card = ScriptCard()
            opened, _ = link(make_atr(*groups), card)
            with opened:
                assert isinstance(opened, Link)
                assert opened.protocol == protocol
                assert opened.transmit(COMMAND) == ANSWER
                assert opened.reset() == make_atr(*groups)
                assert opened.transmit(COMMAND) == ANSWER
            assert card.run == [COMMAND, COMMAND]
            with pytest.raises(CardRemovedError, match="uart:/virtual: the link is closed"):
                opened.transmit(COMMAND)
            with pytest.raises(CardRemovedError, match="closed"):
                opened.reset()

    def test_long_commands_and_answers(self) -> None:
        data = bytes(range(256)) * 4
        opened, _ = link(make_atr("D1", "D1", "AFE"), ScriptCard(lambda command: command[7:] + b"\x90\x00"))
        assert opened.transmit(b"\x80\xe2\0\0\0\x04\0" + data) == data + b"\x90\x00"
        opened, _ = link(make_atr(), ScriptCard(lambda command: command[5:] + data + b"\x90\x00"))
        assert opened.transmit(COMMAND) == COMMAND[5:] + data + b"\x90\x00"
        with pytest.raises(ProtocolError, match="does not say that it takes such"):
            opened.transmit(b"\x80\xe2\0\0\0\x04\0" + data)

    @pytest.mark.parametrize(
        ("groups", "historical", "way", "begins"),
        [
            # Extended Lc and Le, over T=0: by ENVELOPE. Chaining, over T=0 and T=1. Both, over T=1: as it is.
            ((), "8073000040", "auto", ["00C20000FF"] * 4 + ["00C200000B"]),
            ((), "8073000080", "auto", ["90E20000FF"] * 4 + ["80E2000004"]),
            (("D1",), "8073000080", "auto", ["90E20000FF"] * 4 + ["80E2000004"]),
            (("D1",), "80730000C0", "auto", ["80E2000000"]),
            ((), "", "chaining", ["90E20000FF"] * 4 + ["80E2000004"]),
        ],
    )
    def test_long_commands_go_as_the_card_says(
        self, groups: tuple[str, ...], historical: str, way: str, begins: list[str]
    ) -> None:
        card = ScriptCard(lambda _command: b"\x90\x00")
        opened, _ = link(make_atr(*groups, historical=bytes.fromhex(historical)), card, long=way)
        assert opened.transmit(b"\x80\xe2\0\0\0\x04\0" + bytes(1024)) == b"\x90\x00"
        assert [command[:5].hex().upper() for command in card.run] == begins

    @pytest.mark.parametrize(("query", "read"), [({}, True), ({"reset": "none"}, False), ({"long": "none"}, False)])
    def test_ef_atr_is_read_where_the_card_says_that_it_is_there(self, query: dict[str, str], *, read: bool) -> None:
        def answer(command: bytes) -> bytes:
            return bytes.fromhex("7F6608020205F0020205F09000" if command[1] == 0xB0 else "9000")

        card = ScriptCard(answer)
        opened, _ = link(make_atr("D1", historical=bytes.fromhex("8073000060")), card, **query)
        asked = ["00A4000C023F00", "00A4000C022F01", "00B0000000"] if read else []
        assert [command.hex().upper() for command in card.run] == asked
        if read:
            with pytest.raises(ProtocolError, match="such of more than 1520 bytes"):
                opened.transmit(b"\x80\xe2\0\0\0\x06\0" + bytes(0x600))
            assert opened.transmit(b"\x80\xe2\0\0\0\x04\0" + bytes(0x400)) == b"\x90\x00"

    def test_after_a_failure_it_wants_a_reset(self) -> None:
        card = ScriptCard()
        opened, _ = link(make_atr(), card, "stick@9")
        with pytest.raises(LinkTimeoutError, match="uart:/virtual: T=0: the card does not answer within 1 s"):
            opened.transmit(COMMAND)
        assert opened.protocol is None
        with pytest.raises(TransportError, match="takes commands again once it is reset"):
            opened.transmit(COMMAND)
        opened.reset()
        assert opened.transmit(COMMAND) == ANSWER
        assert card.run == [COMMAND]

    def test_a_block_that_is_lost_is_sent_again_and_counted(self) -> None:
        card = ScriptCard()
        opened, _ = link(make_atr("D1"), card, "corrupt@20")
        assert opened.transmit(COMMAND) == ANSWER
        assert opened.retransmissions == 1
        assert card.run == [COMMAND]

    def test_a_spoilt_answer_to_reset_is_asked_for_again(self) -> None:
        opened, port = link(make_atr("D1"), ScriptCard(), "corrupt@2=0F")
        assert opened.transmit(COMMAND) == ANSWER
        assert port.now() > 1

    def test_no_card(self) -> None:
        with pytest.raises(CardRemovedError, match="no answer to reset"):
            link(make_atr(), ScriptCard(), "remove@1")

    def test_a_card_that_resets_itself_is_noticed(self) -> None:
        for groups in ((), ("D1",)):
            opened, _ = link(make_atr(*groups), ScriptCard(), "reset@20")
            for _ in range(10):
                try:
                    assert opened.transmit(COMMAND) == ANSWER
                except TransportError:
                    break
            else:
                raise AssertionError(groups)

    @pytest.mark.parametrize(
        ("group", "fails"),
        # Over T=0 nothing is said at the new rate before the first command.
        [("A95 D1", "port"), ("A95 D1", "card"), ("A95 D1", "line"), ("A95", "port"), ("A95", "card")],
    )
    def test_where_the_card_s_rate_does_not_do_it_goes_on_at_the_default_rate(self, group: str, fails: str) -> None:
        port = SlowPort(make_atr(group), ScriptCard(), fails)
        opened = UartLink(port, UartSettings("/virtual", rate="card"), 30)
        told = {"port": "the port can't go at", "card": "does not answer PPS", "line": "T=1"}[fails]
        assert told in str(opened.rate_failure)
        assert opened.transmit(COMMAND) == ANSWER
        asked = port.asked
        assert opened.reset() == make_atr(group)
        assert opened.transmit(COMMAND) == ANSWER
        assert port.asked == asked, "what failed is not tried again"

    def test_noise_at_the_start_does_not_cost_the_card_s_rate(self) -> None:
        opened, port = link(make_atr("A95 D1"), ScriptCard(), "corrupt@2=0F", rate="card")
        assert opened.rate_failure is None
        assert port.rates == [(512, 16)]
        opened, port = link(make_atr("A11 D1"), ScriptCard(), rate="card")
        assert (opened.rate_failure, port.rates) == (None, [])

    def test_a_rate_that_the_card_fixes_is_an_error_where_the_port_can_t_do_it(self) -> None:
        # TA2: specific mode, at the rate of TA1.
        port = SlowPort(make_atr("A95 D1", "A01"), ScriptCard(), "port")
        with pytest.raises(TransportError, match="uart:/virtual: the port can't go at"):
            UartLink(port, UartSettings("/virtual", rate="card"), 30)

    def test_a_rate_that_is_reserved_is_not_gone_over_to(self) -> None:
        opened, _ = link(make_atr("A71 D1"), ScriptCard(), rate="card")
        assert "reserved" in str(opened.rate_failure)
        assert opened.transmit(COMMAND) == ANSWER

    def test_a_card_that_can_t_be_reset_from_here_is_not_tried_again(self) -> None:
        port = SlowPort(make_atr("A95 D1"), ScriptCard(), "port")
        with pytest.raises(TransportError, match="the port can't go at"):
            UartLink(port, UartSettings("/virtual", rate="card", reset="none"), 30)

    def test_the_agent_s_log_tells_that_it_is_the_default_rate(self, monkeypatch: pytest.MonkeyPatch) -> None:
        port = SlowPort(make_atr("A95 D1"), ScriptCard(), "port")
        opened = UartLink(port, UartSettings("/virtual", rate="card"), 30)
        monkeypatch.setattr("opentsm_agent.secure_elements.open_link", lambda _uri, _timeout_s: opened)
        log = io.StringIO()
        config = SecureElementConfig(SecureElement("eSE", "se"), "uart:/virtual?rate=card", 30.0)
        SecureElements([config], events=Events(log, as_json=True)).open("se").close()
        (told,) = map(json.loads, log.getvalue().splitlines())
        assert (told["event"], told["level"], told["se"]) == ("default-rate", "info", "se")
        assert "the port can't go at" in told["reason"]

    def test_reset_by_somebody_else(self) -> None:
        opened, _ = link(make_atr("D1"), ScriptCard(), reset="none")
        assert opened.transmit(COMMAND) == ANSWER
        with pytest.raises(TransportError, match="reset=none"):
            opened.reset()


class Terminal:
    """The far end of a pseudo-terminal, run by a function in a thread; what it raises is raised at the end."""

    def __init__(self, behave: Callable[[int], None]) -> None:
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(behave,), daemon=True)
        self._thread.start()

    def _run(self, behave: Callable[[int], None]) -> None:
        try:
            behave(self.master)
        except OSError as error:
            if error.errno != errno.EIO:
                self._failure = error
        except BaseException as error:  # noqa: BLE001 - raised in `close`
            self._failure = error

    def close(self) -> None:
        os.close(self._slave)
        self._thread.join(5)
        with contextlib.suppress(OSError):
            os.close(self.master)
        if self._failure is not None:
            raise self._failure


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    made: list[Terminal] = []
    yield made
    for terminal in made:
        terminal.close()


def opened_port(terminals: list[Terminal], behave: Callable[[int], None], **settings: str) -> SerialPort:
    terminal = Terminal(behave)
    terminals.append(terminal)
    port = SerialPort(UartSettings(terminal.path, reset="open", **settings))  # type: ignore[arg-type]
    port.power_up()
    return port


def echo(master: int) -> None:
    while data := os.read(master, 100):
        os.write(master, data)


def take(port: SerialPort, count: int, first_s: float = 0.5) -> bytes:
    return port.receive(count, first_s, 0.02, until=time.monotonic() + 5, checked=True)


class TestPort:
    """The port on a pseudo-terminal."""

    def test_an_echo_is_found_out_and_taken_off(self, terminals: list[Terminal]) -> None:
        def behave(master: int) -> None:
            for answer in (b"\xa4", b"\x90\x00"):
                data = os.read(master, 100)
                os.write(master, data + answer)

        port = opened_port(terminals, behave)
        port.send(bytes.fromhex("00A4000002"), 0.0, after_s=0.0, checked=True)
        assert take(port, 1) == b"\xa4"
        port.send(b"\x3f\x00", 0.0, after_s=0.0, checked=True)
        assert take(port, 2) == b"\x90\x00"
        port.close()

    def test_where_there_is_none_nothing_is_lost(self, terminals: list[Terminal]) -> None:
        def behave(master: int) -> None:
            assert os.read(master, 100) == bytes.fromhex("00A4000002")
            os.write(master, b"\x6a\x82")

        port = opened_port(terminals, behave)
        port.send(bytes.fromhex("00A4000002"), 0.0, after_s=0.0, checked=True)
        assert take(port, 2) == b"\x6a\x82"
        port.close()

    @pytest.mark.parametrize("inverse", [False, True])
    def test_what_came_unasked_is_heard(self, terminals: list[Terminal], *, inverse: bool) -> None:
        # A card that resets itself between two commands says so by its answer to reset.
        port = opened_port(terminals, lambda _master: None, echo="no")
        if inverse:
            port.set_inverse()
        os.write(terminals[0].master, bytes.fromhex("03FF" if inverse else "3B00"))
        heard, deadline = b"", time.monotonic() + 5
        while len(heard) < 2 and time.monotonic() < deadline:
            heard += port.discard()
        assert heard == bytes.fromhex("3F00" if inverse else "3B00")
        assert port.discard() == b""
        port.close()

    @pytest.mark.parametrize("guard_s", [0.0, 0.001])
    @pytest.mark.parametrize("echoes", [False, True])
    def test_an_answer_to_pps_is_no_echo(self, terminals: list[Terminal], guard_s: float, *, echoes: bool) -> None:
        request = bytes.fromhex("FF01FE")

        def behave(master: int) -> None:
            asked = b""
            while asked != request:
                part = os.read(master, 100)
                asked += part
                os.write(master, part if echoes else b"")
            os.write(master, request)

        port = opened_port(terminals, behave)
        port.send(request, guard_s, after_s=0.0, checked=True)
        assert take(port, 3) == request
        port.close()

    def test_an_echo_that_differs_or_stays_away(self, terminals: list[Terminal]) -> None:
        def behave(master: int) -> None:
            os.read(master, 100)
            os.write(master, b"\x01\x03")
            os.read(master, 100)
            os.write(master, b"\x01\x03\x99")

        port = opened_port(terminals, behave, echo="yes")
        with pytest.raises(TransportError, match="comes back changed"):
            port.send(b"\x01\x02", 0.0, after_s=0.0, checked=True)
        # With a check of its own, a protocol finds out.
        port.send(b"\x01\x02", 0.0, after_s=0.0, checked=False)
        assert take(port, 1) == b"\x99"
        with pytest.raises(TransportError, match="does not come back; give echo=no"):
            port.send(b"\x01\x02", 0.0, after_s=0.0, checked=True)
        port.close()

    def test_all_characters_come_through_and_the_wait_ends_in_time(self, terminals: list[Terminal]) -> None:
        every = bytes(range(256)) * 8

        def behave(master: int) -> None:
            assert os.read(master, 1) + os.read(master, 1) == b"\x01\x02"
            os.write(master, every)

        port = opened_port(terminals, behave, echo="no")
        port.send(b"\x01\x02", 0.001, after_s=0.01, checked=True)
        assert take(port, len(every)) == every
        begin = time.monotonic()
        assert take(port, 1, 0.05) == b""
        assert time.monotonic() - begin < 5
        port.close()

    def test_marks_of_a_wrong_parity(self) -> None:
        marks = ParityMarks()
        for chunks in ([b"a\xff\xffb\xff\x00c"], [b"a\xff", b"\xffb\xff", b"\x00", b"c"]):
            assert b"".join(map(marks.take, chunks)) == b"a\xffbc"
            assert marks.garbled
            marks.garbled = False
        # Without marks, which another program may have taken out.
        assert marks.take(b"a\xff\x90b") == b"a\xff\x90b"
        assert not marks.garbled

    def test_in_inverse_convention(self, terminals: list[Terminal]) -> None:
        def behave(master: int) -> None:
            assert os.read(master, 100) == bytes.fromhex("FFDA")
            os.write(master, bytes.fromhex("03"))

        port = opened_port(terminals, behave, echo="no")
        port.set_inverse()
        port.send(bytes.fromhex("00A4"), 0.0, after_s=0.0, checked=True)
        assert take(port, 1) == b"\x3f"
        port.close()

    def test_a_port_that_goes_away(self, terminals: list[Terminal]) -> None:
        port = opened_port(terminals, lambda _master: None, echo="no")
        terminals[0]._thread.join()
        os.close(terminals[0].master)
        with pytest.raises(CardRemovedError, match=r"receiving: there is no such port \(any more\)"):
            take(port, 1)

    @pytest.mark.parametrize("line", ["rts", "dtr"])
    def test_a_port_without_the_reset_line(self, terminals: list[Terminal], line: str) -> None:
        terminals.append(Terminal(echo))
        with pytest.raises(TransportError, match=f"has no {line.upper()} to reset the card with; give reset=open"):
            open_link(f"uart:{terminals[0].path}?reset={line}")

    def test_the_rate_is_the_port_s(self, terminals: list[Terminal]) -> None:
        port = opened_port(terminals, lambda _master: None)
        port.set_rate(512, 32)
        assert port._serial is not None
        assert port._serial.baudrate == round(372 * 9600 * 32 / 512)
        attributes = termios.tcgetattr(port._descriptor)
        assert attributes[0] & termios.PARMRK
        assert attributes[2] & termios.CSTOPB
        port.close()

    def test_no_such_port_no_permission_and_one_that_is_taken(self, terminals: list[Terminal]) -> None:
        with pytest.raises(CardRemovedError, match="uart:/dev/none: opening: there is no such port"):
            open_link("uart:/dev/none")
        port = opened_port(terminals, lambda _master: None)
        with pytest.raises(TransportError, match="another program has it"):
            open_link(f"uart:{terminals[0].path}")
        port.close()
        mapped = SerialPort(UartSettings("/dev/x"))._failed(PermissionError(errno.EACCES, "no"), "opening")
        assert "dialout" in str(mapped)
        with pytest.raises(TransportError, match="uart:/dev/null: opening"):
            open_link("uart:/dev/null")

    def test_one_that_is_just_given_free(self, terminals: list[Terminal], monkeypatch: pytest.MonkeyPatch) -> None:
        port = opened_port(terminals, lambda _master: None)
        # As a program that is being started holds it until it runs.
        copy = os.dup(port._descriptor)
        port.close()
        monkeypatch.setattr("opentsm_agent.links.exclusive_port._WAIT_S", 20.0)
        timer = threading.Timer(0.05, os.close, (copy,))
        timer.start()
        port.power_up()
        timer.join()
        port.close()

    def test_what_was_there_is_flushed_by_the_other_end(
        self, terminals: list[Terminal], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = opened_port(terminals, lambda _master: None)
        os.write(terminals[0].master, b"\x3b")
        read, refused = os.read, [True]

        def refuse_once(descriptor: int, count: int) -> bytes:
            if refused and descriptor == port._descriptor:
                refused.clear()
                raise BlockingIOError(errno.EAGAIN, "nothing there")
            return read(descriptor, count)

        monkeypatch.setattr("opentsm_agent.links.uart_port.os.read", refuse_once)
        assert take(port, 1) == b"\x3b"
        assert not refused
        port.close()


class Lines(serial.Serial):  # type: ignore[misc]
    """A serial port that has modem lines, and remembers how they were pulled."""

    pulled: list[tuple[str, bool]]

    def _update_rts_state(self) -> None:
        self.pulled.append(("rts", self._rts_state))

    def _update_dtr_state(self) -> None:
        self.pulled.append(("dtr", self._dtr_state))


@pytest.mark.parametrize(
    ("line", "wiring", "held"),
    [("rts", "phoenix", True), ("rts", "smartmouse", False), ("dtr", "phoenix", True), ("dtr", "season", False)],
)
def test_the_reset_line_is_pulled_as_the_wiring_wants(
    terminals: list[Terminal], monkeypatch: pytest.MonkeyPatch, line: str, wiring: str, *, held: bool
) -> None:
    monkeypatch.setattr(Lines, "pulled", [], raising=False)
    monkeypatch.setattr("opentsm_agent.links.uart_port.serial.Serial", Lines)
    terminals.append(Terminal(lambda _master: None))
    port = SerialPort(UartSettings(terminals[0].path, reset=line, wiring=wiring))
    port.power_up()
    ours = [value for name, value in Lines.pulled if name == line]
    assert ours[0] is held
    assert ours[-2:] == [held, not held]
    # The other line feeds the reader, and is never let go.
    assert {value for name, value in Lines.pulled if name != line} == {True}
    port.power_up()
    assert [value for name, value in Lines.pulled if name == line][-2:] == [held, not held]
    port.close()
    port.close()


def test_without_pyserial_one_is_told_what_to_install() -> None:
    code = """
import sys
sys.modules["serial"] = None
from opentsm_agent.links import open_link
open_link("uart:/dev/ttyS0")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "links of scheme uart: need serial; install it with: pip install 'opentsm[serial]'" in done.stderr
