"""Listens to the cards of a virtual SE, and reads what was heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import jpype

if TYPE_CHECKING:
    from opentsm_simulator.load_files import LoadedCode
    from opentsm_simulator.runtime import CardMaker

__all__ = ["Row", "Trace", "Written"]


@dataclass(frozen=True, slots=True)
class Written:
    """An object that a command wrote.

    Args:
        number: the card counts its objects from 1, as they are made.
        what: the object, such as `byte[16]`, `static fields` or a class's name.
        owner: AID in hex of the instance, or else of the package, that it belongs to.
        writes: how often it was written.
    """

    number: int
    what: str
    owner: str
    writes: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `number:what:owner:writes`."""
        number, what, owner, writes = text.split(":")
        return cls(int(number), what, owner, int(writes))


@dataclass(frozen=True, slots=True)
class Row:
    """A command, a reset, or a mark between them.

    Args:
        kind: `apdu`, `reset` or `mark`.
        text: of a mark.
        interface: `contact` or `contactless`.
        channel: logical channel.
        header: CLA, INS, P1, P2 of the command; shorter where the command is.
        command_bytes: length of the C-APDU.
        answer_bytes: length of the answer's data.
        sw: the status word; None when the card was mute.
        selected: AID of the application that was selected, in hex.
        instructions: executed.
        writes: persistent ones.
        objects: made, less those that are gone.
        persistent_bytes: taken, less those given back; the same of the others.
        reset_bytes: of memory that a reset clears.
        deselect_bytes: of memory that deselection clears.
        written: which objects were written.
    """

    kind: str
    text: str = ""
    interface: str = ""
    channel: int = 0
    header: bytes = b""
    command_bytes: int = 0
    answer_bytes: int = 0
    sw: int | None = None
    selected: str = ""
    instructions: int = 0
    writes: int = 0
    objects: int = 0
    persistent_bytes: int = 0
    reset_bytes: int = 0
    deselect_bytes: int = 0
    written: tuple[Written, ...] = ()

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a row of `Trace.rows` of the card runtime."""
        kind, _, rest = line.partition("\t")
        if kind == "mark":
            return cls(kind, rest)
        interface, channel, header, command, answer, sw, selected, *numbers, written = rest.split("\t")
        instructions, writes, objects, persistent, on_reset, on_deselect = map(int, numbers)
        objects_written = tuple(map(Written.parse, filter(None, written.split(";"))))
        return cls(
            kind, "", interface, int(channel), bytes.fromhex(header), int(command), int(answer),
            int(sw, 16) if sw else None, selected, instructions, writes, objects, persistent, on_reset, on_deselect,
            objects_written,
        )  # fmt: skip


class Trace:
    """What the cards of one virtual SE executed and wrote, since it was made first.

    Args:
        maker: makes these cards, with instructions counted.
    """

    def __init__(self, maker: CardMaker) -> None:
        self._reader = maker.reader
        self.java: Any = maker.new_trace()

    def mark(self, text: str) -> None:
        """Put a line between the commands, such as which test begins."""
        self.java.mark(text)

    def rows(self) -> list[Row]:
        """Return what was heard of commands, in order."""
        return [Row.parse(str(line)) for line in self.java.rows()]

    def packages(self) -> list[tuple[LoadedCode, list[int]]]:
        """Return the packages that were loaded, each with how often its runs were begun, in all its loads."""
        sums: dict[str, list[int]] = {}
        for number, code in enumerate(map(str, self.java.packages())):
            counts = [int(count) for count in self.java.counts(jpype.JInt(number))]
            before = sums.get(code)
            sums[code] = counts if before is None else [a + b for a, b in zip(before, counts, strict=True)]
        loaded = ((self._reader.loaded(code), counts) for code, counts in sums.items())
        return [(found, counts) for found, counts in loaded if found is not None]
