"""A card of which only some exchanges are known, and `opentsm card` with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from door import Answer, door
from opentsm_agent.links import register

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RecordedCard", "run"]

NOT_RECORDED: Final = bytes.fromhex("6A88")
SELECTED: Final = bytes.fromhex("9000")


class RecordedCard:
    """A card that has said what it has said; `missing` holds what it was asked and has no record of."""

    atr = bytes.fromhex("3B80800101")

    def __init__(self, exchanges: list[tuple[bytes, bytes]], taken: dict[int, bytes] | None = None) -> None:
        self.answers = dict(exchanges)
        self.taken = taken or {}
        self.sent: list[bytes] = []
        self.missing: list[bytes] = []

    def upcoming(self) -> tuple[bytes, ...]:
        return tuple(self.answers)

    def transmit(self, command: bytes) -> bytes:
        self.sent.append(command)
        if command[1] in self.taken:
            return self.taken[command[1]]
        if command not in self.answers:
            self.missing.append(command)
        return self.answers.get(command, SELECTED if command[1] == 0xA4 else NOT_RECORDED)

    def reset(self) -> bytes:
        return self.atr

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def run(
    exchanges: list[tuple[bytes, bytes]], *arguments: str | Path, taken: dict[int, bytes] | None = None
) -> tuple[Answer, RecordedCard]:
    """Run a command with a card that has said this; `taken`: answers by instruction, whatever the command's data."""
    card = RecordedCard(exchanges, taken)
    register("recorded", lambda _rest, _timeout_s: card)
    return door("card", "--link", "recorded:x", *arguments), card
