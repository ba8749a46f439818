"""Play one side of a conversation against a script, line by line: what it must send, and what it then hears.

> 000003AABBCC99     it sends this
< 0000029000         it hears this
-                    it hears nothing until its time is over
! 00A40000           it runs this command (card side), and `= 9000` is the response, or `= later`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from opentsm_card.transmission.events import Execute, Pause, Receive, Send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_card.transmission import Conversation

__all__ = ["Waits", "b", "play"]

_Result = TypeVar("_Result")
_DRAIN = 260


def b(text: str) -> str:
    """Return a block in hex with its LRC: NAD, PCB, LEN, INF in hex."""
    data = bytes.fromhex(text)
    check = 0
    for byte in data:
        check ^= byte
    return (data + bytes((check,))).hex().upper()


class Waits(list[tuple[int, float, float]]):
    """The receptions that a conversation asked for: count, seconds for the first, seconds for the next."""


def play(conversation: Conversation[_Result], script: Sequence[str], waits: Waits | None = None) -> _Result | None:
    """Play a script to its end; return the conversation's result, or None when it would go on."""
    steps = [(line[0], line[1:].strip()) for line in script]
    heard = b""
    outcome: bytes | None = None
    while True:
        try:
            event = conversation.send(outcome)
        except StopIteration as done:
            assert not steps, f"left over: {steps}"
            assert not heard, f"not heard: {heard.hex()}"
            result: _Result = done.value
            return result
        outcome = None
        match event:
            case Send():
                assert steps, f"it sends {event.data.hex().upper()} at the end"
                assert (">", event.data.hex().upper()) == steps.pop(0)
            case Receive():
                if waits is not None:
                    waits.append((event.count, event.first_s, event.next_s))
                # Within a block what was heard is all there is; between blocks the script says.
                within = event.first_s == event.next_s and steps and steps[0][0] not in "<-"
                if not heard and event.count != _DRAIN and not within:
                    if not steps:
                        return None
                    mark, text = steps.pop(0)
                    assert mark in "<-", f"it listens, where {mark} {text} was to come"
                    heard = bytes.fromhex(text)
                outcome, heard = heard[: event.count], heard[event.count :]
            case Execute():
                if event.command is not None:
                    assert ("!", event.command.hex().upper()) == steps.pop(0)
                mark, text = steps.pop(0)
                assert mark == "="
                outcome = None if text == "later" else bytes.fromhex(text)
            case Pause():
                pass
            case _:
                raise AssertionError(event)
