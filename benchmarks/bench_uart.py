"""What our T=0 and T=1 cost: CPU time an APDU, of the reader's side alone, of both sides, and over a pseudo-terminal.

Run: `python benchmarks/bench_uart.py [--json]`. The reader's side is given the characters that the card's side gave
before, so that nothing but protocol code runs. Over the pseudo-terminal the time counts both ends, their threads, and
the virtual SE's JVM.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from harness import Figure, report
from opentsm_agent.links import open_link
from opentsm_agent.links.t0 import transmit_t0
from opentsm_card.transmission import CardSide, activate, exchange_t0, perform
from opentsm_card.transmission.events import Execute, Receive, Send
from opentsm_simulator import VirtualSe
from opentsm_simulator.t0 import T0Card
from opentsm_simulator.uart import UartFront

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main"]

_CLOCK_HZ: Final = 372.0 * 9600
_ATRS: Final = {
    "T=0": bytes.fromhex("3B00"),
    "T=1, LRC": bytes.fromhex("3B808131FE4D83"),
    "T=1, CRC": bytes.fromhex("3B808171FE4D01C2"),
}
_COMMAND: Final = bytes.fromhex("80E2000020") + bytes(range(32))
_RESPONSE: Final = bytes(range(64)) + b"\x90\x00"
_ROUNDS: Final = 5_000
_MOST_MICROSECONDS: Final = 150.0


class _Line:
    """A port straight to the card's side, without times; `heard` is all that the card said since it was cleared."""

    def __init__(self, atr: bytes) -> None:
        self.heard = bytearray()
        self._to_card = bytearray()
        self._from_card = bytearray()
        self._t0 = T0Card(lambda _command: _RESPONSE, exact=True)
        self._card = CardSide(atr, _CLOCK_HZ).serve()
        self._waiting: Receive | None = None
        self._run(None)

    def _run(self, outcome: bytes | None) -> None:
        """Run the card until it waits for more than has come."""
        while True:
            event = self._card.send(outcome)
            outcome = None
            if type(event) is Receive:
                self._waiting = event
                if len(self._to_card) < event.count:
                    return
                outcome = self._taken(event.count)
            elif type(event) is Send:
                self._from_card += event.data
            elif type(event) is Execute and event.command is not None:
                outcome = self._t0.transmit(event.command) if event.is_tpdu else _RESPONSE

    def _taken(self, count: int) -> bytes:
        taken = bytes(self._to_card[:count])
        del self._to_card[:count]
        return taken

    def now(self) -> float:
        return time.monotonic()

    def send(self, data: bytes, extra_guard_s: float, *, after_s: float, checked: bool) -> None:
        del extra_guard_s, after_s, checked
        self._to_card += data
        if self._waiting is not None and len(self._to_card) >= self._waiting.count:
            self._run(self._taken(self._waiting.count))

    def receive(self, count: int, first_s: float, next_s: float, *, until: float, checked: bool) -> bytes:
        del first_s, next_s, until, checked
        received = bytes(self._from_card[:count])
        del self._from_card[:count]
        self.heard += received
        return received

    def pause(self, seconds: float) -> None:
        del seconds

    def set_rate(self, clock_cycles: int, divisor: int) -> None:
        del clock_cycles, divisor

    def set_inverse(self) -> None:
        pass


class _Again(_Line):
    """A port that says the same characters again and again."""

    def say(self, characters: bytes) -> None:
        self._said = characters
        self._at = 0

    def send(self, data: bytes, extra_guard_s: float, *, after_s: float, checked: bool) -> None:
        pass

    def receive(self, count: int, first_s: float, next_s: float, *, until: float, checked: bool) -> bytes:
        del first_s, next_s, until, checked
        begin = self._at
        self._at = (begin + count) % len(self._said)
        return self._said[begin : begin + count]


def _transmitter(atr: bytes, line: _Line) -> tuple[Callable[[bytes], bytes], Callable[[_Line], None]]:
    """Return what sends an APDU over a line that was brought up, and what has it go over to another."""
    active = perform(activate(_CLOCK_HZ), line, 10)
    assert active.atr == atr
    lines = [line]

    def transmit(command: bytes) -> bytes:
        if active.t1 is not None:
            return perform(active.t1.exchange(command), lines[0], 10)
        return transmit_t0(lambda tpdu: perform(exchange_t0(tpdu, active.wait_s), lines[0], 10), command)

    def change(other: _Line) -> None:
        lines[0] = other

    return transmit, change


def _microseconds(transmit: Callable[[bytes], bytes], rounds: int = _ROUNDS) -> float:
    """Return the least CPU time of an APDU in several runs."""
    best = math.inf
    for _ in range(5):
        begin = time.process_time()
        for _ in range(rounds):
            transmit(_COMMAND)
        best = min(best, (time.process_time() - begin) / rounds)
    return best * 1e6


def protocol(name: str, atr: bytes) -> list[Figure]:
    """Measure both sides, then the reader's alone."""
    line = _Line(atr)
    transmit, change = _transmitter(atr, line)
    assert transmit(_COMMAND) == _RESPONSE
    both = _microseconds(transmit)
    # Blocks are numbered in turn: two APDUs are a round.
    line.heard.clear()
    for _ in range(2):
        if transmit(_COMMAND) != _RESPONSE:
            raise AssertionError(name)
    again = _Again(atr)
    again.say(bytes(line.heard))
    change(again)
    assert transmit(_COMMAND) == _RESPONSE
    assert transmit(_COMMAND) == _RESPONSE
    alone = _microseconds(transmit)
    return [
        Figure(f"{name}: reader's side, CPU an APDU", "µs", alone, _MOST_MICROSECONDS),
        Figure(f"{name}: both sides, CPU an APDU", "µs", both, 2 * _MOST_MICROSECONDS),
    ]


def over_a_terminal(profile: str) -> Figure:
    """Measure the link and a virtual SE behind a pseudo-terminal, in this process."""
    front = UartFront(VirtualSe.create(profile), echo=False)
    front.start()
    try:
        with open_link(f"uart:{front.address}?echo=no", 10) as link:
            name = f"{profile}, T={getattr(link, 'protocol', '?')}, on a pseudo-terminal: CPU an APDU"
            for _ in range(2_000):
                link.transmit(_COMMAND)
            return Figure(name, "µs", _microseconds(link.transmit, 1_000))
    finally:
        front.stop()


def main() -> None:
    """Measure and report."""
    results = [figure for name, atr in _ATRS.items() for figure in protocol(name, atr)]
    results += [over_a_terminal(profile) for profile in ("uicc", "embedded")]
    report(results)


if __name__ == "__main__":
    main()
