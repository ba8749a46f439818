"""The report of a trace: how much of each package's code was executed, how often, and what each command did.

Counts are exact: of each instruction, how often it was begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from opentsm_build.cap_view.listing import dump
from opentsm_build.cap_view.package import resolve
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from opentsm_card.aid import Aid
    from opentsm_simulator.load_files import LoadedCode
    from opentsm_simulator.symbols import MethodSymbol
    from opentsm_simulator.trace.recorder import Row, Trace

__all__ = ["FORMAT", "InstructionCount", "MethodReport", "PackageReport", "TraceReport"]

FORMAT: Final = 1
"""Version of the JSON form; it grows when a member changes its meaning or goes."""


@dataclass(frozen=True, slots=True)
class InstructionCount:
    """An instruction.

    Args:
        pc: from its method's first.
        text: mnemonic and operands, a branch's target as `-> pc`.
        refers_to: what its operands mean, in words; empty where they speak for themselves.
        count: how often it was begun.
        line: of its source; None where it is not known.
    """

    pc: int
    text: str
    refers_to: str
    count: int
    line: int | None


@dataclass(frozen=True, slots=True)
class MethodReport:
    """A method, as far as its code can be reached.

    Args:
        class_name: dotted; empty where nothing tells it.
        name: and signature; where nothing tells them, its place.
        offset: in the Method component.
        source_file: its name; empty when not known.
        instructions: in order.
    """

    class_name: str
    name: str
    offset: int
    source_file: str
    instructions: tuple[InstructionCount, ...]

    @property
    def title(self) -> str:
        """Class and method."""
        return f"{self.class_name}.{self.name}" if self.class_name else self.name

    @property
    def calls(self) -> int:
        """How often its first instruction was begun: its calls, unless a loop goes back to it."""
        return self.instructions[0].count if self.instructions else 0

    @property
    def executed(self) -> int:
        """How many instructions were executed."""
        return sum(each.count for each in self.instructions)

    @property
    def covered(self) -> int:
        """How many of its instructions were executed at all."""
        return sum(each.count > 0 for each in self.instructions)

    def lines(self) -> Iterator[tuple[int, int, bool]]:
        """Yield each source line: its number, how often the most frequent of its code ran, whether all of it ran."""
        of_line: dict[int, list[int]] = {}
        for each in self.instructions:
            if each.line is not None:
                of_line.setdefault(each.line, []).append(each.count)
        for line, counts in sorted(of_line.items()):
            yield line, max(counts), min(counts) > 0

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "class": self.class_name or None,
            "method": self.name,
            "offset": self.offset,
            "source": self.source_file or None,
            "calls": self.calls,
            "executed": self.executed,
            "covered": self.covered,
            "instructions": len(self.instructions),
            "lines": [{"line": line, "count": count, "whole": whole} for line, count, whole in self.lines()],
            "code": [
                {"pc": each.pc, "text": each.text, "refers_to": each.refers_to or None, "count": each.count,
                 "line": each.line}
                for each in self.instructions
            ],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class PackageReport:
    """A package: AID, name where it is known, version, methods."""

    aid: Aid
    name: str
    version: str
    methods: tuple[MethodReport, ...]

    @property
    def covered(self) -> int:
        """How many of its instructions were executed at all."""
        return sum(method.covered for method in self.methods)

    @property
    def instructions(self) -> int:
        """How many instructions it has."""
        return sum(len(method.instructions) for method in self.methods)

    @property
    def executed(self) -> int:
        """How many instructions were executed."""
        return sum(method.executed for method in self.methods)

    def lines(self) -> dict[str, dict[int, tuple[int, bool]]]:
        """Return by source file and line how often its most frequent code ran, and whether all of it ran."""
        files: dict[str, dict[int, tuple[int, bool]]] = {}
        for method in self.methods:
            for line, count, whole in method.lines():
                of_file = files.setdefault(method.source_file, {})
                before = of_file.get(line, (0, True))
                of_file[line] = max(before[0], count), before[1] and whole
        return files

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        lines = [line for of_file in self.lines().values() for line in of_file.values()]
        return {
            "aid": str(self.aid),
            "name": self.name or None,
            "version": self.version,
            "covered": self.covered,
            "instructions": self.instructions,
            "executed": self.executed,
            "lines_covered": sum(count > 0 for count, _ in lines),
            "lines": len(lines),
            "methods": [method.as_json() for method in self.methods],
        }


@dataclass(frozen=True, slots=True)
class TraceReport:
    """What a virtual SE executed and wrote.

    Args:
        se: what it is called.
        packages: with their code.
        rows: commands, resets and marks, in order.
    """

    se: str
    packages: tuple[PackageReport, ...]
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, trace: Trace, se: str, only: Collection[Aid] | None = None) -> Self:
        """Put together what a trace heard until now.

        Args:
            trace: the trace.
            se: what its SE is called.
            only: these packages; None for all that executed anything.
        """
        packages = []
        for loaded, counts in trace.packages():
            wanted = any(counts) if only is None else loaded.package.aid in only
            if wanted:
                packages.append(_package(loaded, counts))
        return cls(se, tuple(packages), tuple(trace.rows()))

    def as_json(self) -> dict[str, Any]:
        """Return plain values; `docs/trace.md` describes them."""
        return {
            "format": FORMAT,
            "se": self.se,
            "packages": [package.as_json() for package in self.packages],
            "commands": [_row(row) for row in self.rows],
        }


def _row(row: Row) -> dict[str, Any]:
    if row.kind == "mark":
        return {"kind": row.kind, "text": row.text}
    return {
        "kind": row.kind,
        "interface": row.interface,
        "channel": row.channel,
        "header": row.header.hex().upper(),
        "command_bytes": row.command_bytes,
        "answer_bytes": row.answer_bytes,
        "sw": None if row.sw is None else f"{row.sw:04X}",
        "selected": row.selected or None,
        "instructions": row.instructions,
        "writes": row.writes,
        "objects": row.objects,
        "persistent_bytes": row.persistent_bytes,
        "reset_bytes": row.reset_bytes,
        "deselect_bytes": row.deselect_bytes,
        "written": [
            {"object": each.number, "what": each.what, "owner": each.owner or None, "writes": each.writes}
            for each in row.written
        ],
    }


def _package(loaded: LoadedCode, counts: Sequence[int]) -> PackageReport:
    of_instruction: dict[int, dict[int, int]] = {}
    for run, count in zip(loaded.package.runs, counts, strict=True):
        of_instruction.setdefault(run.method, {}).update(dict.fromkeys(run.pcs, count))
    listing = _listing(loaded)
    methods = tuple(
        _method(loaded, offset, of_instruction.get(offset, {}), listing.get(offset)) for offset in loaded.package.code
    )
    symbols = loaded.symbols
    name = loaded.cap.package_name or ""
    if not name and symbols is not None and symbols.classes:
        name = next(iter(symbols.classes.values())).rpartition(".")[0]
    version = ".".join(map(str, loaded.package.version))
    return PackageReport(loaded.package.aid, name, version, methods)


def _listing(loaded: LoadedCode) -> dict[int, dict[str, Any]]:
    """Return the methods of the CAP file as `opentsm cap dump` knows them; nothing without a Descriptor component."""
    try:
        return {method["offset"]: method for method in dump(resolve(loaded.cap))}
    except CapError:
        # No Descriptor, or one that needs export files of other packages: the code itself is told all the same.
        return {}


def _method(
    loaded: LoadedCode, offset: int, counts: Mapping[int, int], listed: Mapping[str, Any] | None
) -> MethodReport:
    symbol = None if loaded.symbols is None else loaded.symbols.methods.get(offset)
    meant = {} if listed is None else {each["pc"]: each["refers_to"] or "" for each in listed["code"]}
    instructions = []
    for each in loaded.package.code[offset]:
        targets = each.targets
        operands = f"-> {', '.join(map(str, targets))}" if targets else " ".join(map(str, each.operands))
        line = None if symbol is None else symbol.line(each.pc)
        instructions.append(
            InstructionCount(
                each.pc, f"{each.name} {operands}".rstrip(), meant.get(each.pc, ""), counts.get(each.pc, 0), line
            )
        )
    class_name, name = _name(offset, symbol, listed)
    return MethodReport(class_name, name, offset, symbol.source_file if symbol else "", tuple(instructions))


def _name(offset: int, symbol: MethodSymbol | None, listed: Mapping[str, Any] | None) -> tuple[str, str]:
    place = f"method at {offset:#06x}"
    signature = "" if listed is None else listed["signature"]
    if symbol is not None:
        return symbol.class_name, f"{symbol.name}{signature or symbol.descriptor}"
    if listed is None:
        return "", place
    return str(listed["class"]).replace("/", "."), f"{listed['name'] or place}{signature}"
