"""What a conversation over a line of characters asks of whoever runs it, and who runs it.

The protocols of ISO/IEC 7816-3 are written as generators that do no input or output: each yields an event, and is sent
what came of it. So one clock, real or virtual, serves every time-out, and a test runs hours of them in a second.

    Send       characters go out; nothing comes back
    Receive    up to so many characters, within so long; what came is sent back, fewer where a time ran out
    Pause      wait
    SetRate    from now on a bit lasts F/D clock cycles
    SetInverse from now on characters are in inverse convention
    Execute    (card side) run a command; its response is sent back, or None while it is still running

Nobody changes an event. Those of which an APDU takes several are not frozen all the same: that makes one in a third of
the time.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from opentsm_card.errors import LinkTimeoutError

__all__ = [
    "FOREVER_S",
    "INVERSE",
    "Conversation",
    "Event",
    "Execute",
    "Pause",
    "Port",
    "Receive",
    "Send",
    "SetInverse",
    "SetRate",
    "perform",
]

FOREVER_S: Final = math.inf

INVERSE: Final = bytes(int(f"{value ^ 0xFF:08b}"[::-1], 2) for value in range(256))
"""A byte in inverse convention, as a UART in direct convention has it, and back (ISO/IEC 7816-3:2006, 8.1)."""


@dataclass(slots=True)
class Send:
    """Send characters.

    Args:
        data: the characters.
        extra_guard_s: silence behind each character, beyond the line's two stop bits, in seconds.
        after_s: silence before the first, since the last character that was received, in seconds.
        checked: whether it is an error when something else than what is sent is heard on the line, where that is heard;
            otherwise a protocol that has a check of its own finds out.
    """

    data: bytes
    extra_guard_s: float = 0.0
    after_s: float = 0.0
    checked: bool = True


@dataclass(slots=True)
class Receive:
    """Receive characters.

    Args:
        count: how many at most, from 1.
        first_s: how long to wait for the first, in seconds.
        next_s: how long to wait for each further one, in seconds.
        checked: whether a character with a wrong parity ends it; otherwise such a character comes as it is, for a
            protocol that has a check of its own.
    """

    count: int
    first_s: float
    next_s: float
    checked: bool = True


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SetRate:
    """Change the length of a bit: `clock_cycles / divisor` cycles of the card's clock (F and D)."""

    clock_cycles: int
    divisor: int


@dataclass(frozen=True, slots=True)
class SetInverse:
    """Send and receive in inverse convention."""


@dataclass(frozen=True, slots=True)
class Execute:
    """Run a command on the card.

    Args:
        command: a C-APDU, or None to go on waiting for the one that runs.
        within_s: how long to wait for its response, in seconds.
        is_tpdu: whether it is a TPDU, as T=0 has it, rather than a C-APDU.
    """

    command: bytes | None
    within_s: float
    is_tpdu: bool = False


Event = Send | Receive | Pause | SetRate | SetInverse | Execute

_Result = TypeVar("_Result")
Conversation = Generator[Event, bytes | None, _Result]
"""A generator that yields events, is sent their outcomes, and returns a result."""


class Port(Protocol):
    """A line to a card, with a clock."""

    def now(self) -> float:
        """Return the time in seconds, from any origin."""

    def send(self, data: bytes, extra_guard_s: float, *, after_s: float, checked: bool) -> None:
        """Send characters; see `Send`."""

    def receive(self, count: int, first_s: float, next_s: float, *, until: float, checked: bool) -> bytes:
        """Receive characters, none after the time `until`; see `Receive`."""

    def pause(self, seconds: float) -> None:
        """Wait."""

    def set_rate(self, clock_cycles: int, divisor: int) -> None:
        """Change the length of a bit; see `SetRate`."""

    def set_inverse(self) -> None:
        """Go over to inverse convention."""


def perform(conversation: Conversation[_Result], port: Port, limit_s: float) -> _Result:
    """Run the reader's side of a conversation and return its result.

    Args:
        conversation: what is to happen.
        port: the line.
        limit_s: how long all of it may take, in seconds.

    Raises:
        LinkTimeoutError: it took longer.
        TransportError: as the conversation and the line say.
    """
    until = port.now() + limit_s
    outcome: bytes | None = None
    try:
        while True:
            event = conversation.send(outcome)
            outcome = None
            if type(event) is Receive:
                outcome = port.receive(event.count, event.first_s, event.next_s, until=until, checked=event.checked)
                now = port.now()
                # Also where there is always more to receive: a line that is stuck, a card that asks for time for ever.
                if now >= until and (now > until or len(outcome) < event.count):
                    raise LinkTimeoutError(f"no complete answer within {limit_s:g} s")
            elif type(event) is Send:
                port.send(event.data, event.extra_guard_s, after_s=event.after_s, checked=event.checked)
            else:
                _configure(event, port)
    except StopIteration as done:
        result: _Result = done.value
        return result
    finally:
        conversation.close()


def _configure(event: Event, port: Port) -> None:
    match event:
        case Pause():
            port.pause(event.seconds)
        case SetRate():
            port.set_rate(event.clock_cycles, event.divisor)
        case SetInverse():
            port.set_inverse()
        case _:
            raise AssertionError(f"{event!r} is no event of a reader")
