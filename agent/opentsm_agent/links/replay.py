"""`replay:TRACE`: a card that answers as a recorded trace says, for tests and for looking at a problem again.

A trace is text, one event a line, in hex:

    # anything behind a hash is a comment
    ^ 3B80800101          a reset, and the ATR it gave
    > 00A4040000          a C-APDU
    < 9000                its R-APDU
    ! timeout             instead of an R-APDU: timeout, removed or failed
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "DEFAULT_ATR",
    "Exchange",
    "Reset",
    "ScriptedLink",
    "TraceEvent",
    "encode_trace",
    "open_replay",
    "parse_trace",
]

DEFAULT_ATR: Final = bytes.fromhex("3B80800101")
_FAILURES: Final[dict[str, type[TransportError]]] = {
    "timeout": LinkTimeoutError,
    "removed": CardRemovedError,
    "failed": TransportError,
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One C-APDU and what came of it: its R-APDU, or the kind of failure ("timeout", "removed", "failed")."""

    command: bytes
    answer: bytes | str


@dataclass(frozen=True, slots=True)
class Reset:
    """A reset and the ATR it gave."""

    atr: bytes = DEFAULT_ATR


TraceEvent = Exchange | Reset


def parse_trace(text: str) -> tuple[TraceEvent, ...]:
    """Parse the text of a trace.

    Raises:
        ProtocolError: a line is none of the above; the message names its number.
    """
    events: list[TraceEvent] = []
    command: bytes | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        mark, _, rest = raw.partition("#")[0].strip().partition(" ")
        rest = rest.strip()
        if not mark:
            continue
        if (mark in "<!") == (command is None):
            raise ProtocolError(f"trace line {number}: {mark!r} is out of place")
        if mark == ">":
            command = _hex(rest, number)
        elif mark == "^":
            events.append(Reset(_hex(rest, number)))
        elif mark in "<!" and command is not None:
            if mark == "!" and rest not in _FAILURES:
                raise ProtocolError(f"trace line {number}: {rest!r} is not one of {', '.join(_FAILURES)}")
            events.append(Exchange(command, rest if mark == "!" else _hex(rest, number)))
            command = None
        else:
            raise ProtocolError(f"trace line {number}: starts with none of > < ! ^ #")
    if command is not None:
        raise ProtocolError("trace: its last C-APDU has no answer")
    return tuple(events)


def encode_trace(events: Iterable[TraceEvent]) -> str:
    """Write events as the text that `parse_trace` reads."""
    lines: list[str] = []
    for event in events:
        if isinstance(event, Reset):
            lines.append(f"^ {event.atr.hex().upper()}")
        else:
            lines.append(f"> {event.command.hex().upper()}")
            answer = event.answer
            lines.append(f"! {answer}" if isinstance(answer, str) else f"< {answer.hex().upper()}")
    return "".join(f"{line}\n" for line in lines)


def open_replay(path: str, timeout_s: float) -> ScriptedLink:
    """Open a link that answers from the trace file at `path`; the trace may begin with a reset."""
    del timeout_s
    try:
        text = Path(path).read_text(encoding="ascii")
        events = parse_trace(text)
    except OSError as error:
        raise ProtocolError(f"trace {path}: {error.strerror or error}") from error
    except (ProtocolError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{path}: {error}") from error
    return ScriptedLink(events)


class ScriptedLink:
    """A link that gives the recorded answers, and only to the recorded commands in their order.

    Args:
        events: what is to happen; resets in it must be asked for, except one at the very start.

    `sent` holds every C-APDU it was given, and `resets` counts the resets.
    """

    def __init__(self, events: Iterable[TraceEvent]) -> None:
        self._events = list(events)
        self._position = 0
        self._closed = False
        self.sent: list[bytes] = []
        self.resets = 0
        self.atr = DEFAULT_ATR
        if self._events and isinstance(self._events[0], Reset):
            self.atr = self._events[0].atr
            self._position = 1

    @property
    def exhausted(self) -> bool:
        """True when everything recorded has happened."""
        return self._position == len(self._events)

    def upcoming(self) -> tuple[bytes, ...]:
        """Return the C-APDUs that the trace still has, in order."""
        return tuple(event.command for event in self._events[self._position :] if isinstance(event, Exchange))

    def transmit(self, command: bytes) -> bytes:
        """Return the recorded answer.

        Raises:
            TransportError: the trace says that the link failed here, or the link is closed.
            ProtocolError: the trace has another command, or nothing, here.
        """
        if self._closed:
            raise CardRemovedError("replay: the link is closed")
        event = self._next("a C-APDU")
        if not isinstance(event, Exchange) or event.command != command:
            # Headers only: a trace may hold what an error must not.
            raise ProtocolError(f"replay: event {self._position} of the trace is not this C-APDU {command[:4].hex()}…")
        self._position += 1
        self.sent.append(command)
        if isinstance(event.answer, str):
            raise _FAILURES[event.answer](f"replay: {event.answer}, as recorded")
        return event.answer

    def reset(self) -> bytes:
        """Return the recorded ATR, or the last one when the trace has no reset here."""
        if self._closed:
            raise CardRemovedError("replay: the link is closed")
        self.resets += 1
        event = self._events[self._position] if not self.exhausted else None
        if isinstance(event, Reset):
            self._position += 1
            self.atr = event.atr
        return self.atr

    def close(self) -> None:
        """Close the link; safe to call twice."""
        self._closed = True

    def __enter__(self) -> Self:
        """Return the link itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the link."""
        self.close()

    def _next(self, asked: str) -> TraceEvent:
        if self.exhausted:
            raise ProtocolError(f"replay: the trace ends at event {self._position}, but {asked} was asked for")
        return self._events[self._position]


def _hex(text: str, number: int) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise ProtocolError(f"trace line {number}: {error}") from error
