"""What ended an applet's code: exception, methods and lines, for whoever looks for a mistake; nothing the card tells.

Lines are those of the sources where the CAP file with its Debug component is known (`symbols`), or pcs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_simulator.load_files import PackageReader

__all__ = ["Fault", "read_fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception that an applet did not catch.

    Args:
        what: the exception, with what the JVM says of it; of an ISOException its reason, 4 hex digits.
        is_iso: it is an ISOException: its reason was the answer.
        frames: where, the innermost method first, such as `a.b.Wallet.debit (Wallet.java:44)`.
    """

    what: str
    is_iso: bool
    frames: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in lines, as a Java trace does."""
        head = f"ISOException {self.what}" if self.is_iso else self.what
        return "\n".join([head, *(f"  at {frame}" for frame in self.frames)])


def read_fault(lines: Sequence[str], reader: PackageReader) -> Fault | None:
    """Read what `Faults.describe` of the card runtime gives.

    Args:
        lines: what it gives.
        reader: who translated the card's packages.
    """
    if not lines:
        return None
    kind, _, what = lines[0].partition("\t")
    return Fault(what, kind == "iso", tuple(_frame(line, reader) for line in lines[1:]))


def _frame(line: str, reader: PackageReader) -> str:
    code, method, number = line.split("\t")
    offset = int(method[1:], 16)
    loaded = reader.loaded(code)
    if loaded is not None and loaded.symbols is not None:
        symbol = loaded.symbols.methods.get(offset)
        if symbol is not None:
            return f"{symbol.class_name}.{symbol.name} ({symbol.source_file}:{number})"
    package = "" if loaded is None else f" of {loaded.cap.package_name or loaded.package.aid}"
    return f"method at {offset:#06x}{package}, pc {number}"
