"""Names and lines of the code on virtual SEs: what a load file does not bring, for people who have the CAP file.

LOAD brings no Debug component, and often no Descriptor. Whoever has the whole CAP file can make it known here before it
is loaded; a package with the same code is then shown with the names, source files and lines of its sources.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.14, 6.15.
"""

from __future__ import annotations

import bisect
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from opentsm_build.cap import ComponentTag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentsm_build.cap import CapFile

__all__ = ["MethodSymbol", "Symbols", "fullest", "make_known"]

_KEPT: Final = 256
_known: OrderedDict[str, CapFile] = OrderedDict()


@dataclass(frozen=True, slots=True)
class MethodSymbol:
    """What the Debug component says of a method.

    Args:
        class_name: dotted.
        name: its name.
        descriptor: as in a class file.
        source_file: its name, without folder; empty when not told.
        lines: pc, and the source line that begins there, in ascending order.
    """

    class_name: str
    name: str
    descriptor: str
    source_file: str
    lines: tuple[tuple[int, int], ...]

    def line(self, pc: int) -> int | None:
        """Return the source line of the instruction at a pc; None where it is not told."""
        at = bisect.bisect_right(self.lines, (pc, 1 << 16)) - 1
        return self.lines[at][1] if at >= 0 else None


@dataclass(frozen=True, slots=True)
class Symbols:
    """Methods by their offset in the Method component, and classes by theirs in the Class component."""

    methods: Mapping[int, MethodSymbol]
    classes: Mapping[int, str]

    @classmethod
    def of(cls, cap: CapFile) -> Self:
        """Read a CAP file's Debug component; without one nothing is known.

        Raises:
            CapError: it is malformed.
        """
        debug = cap.debug
        methods: dict[int, MethodSymbol] = {}
        classes: dict[int, str] = {}
        for each in debug.classes if debug is not None else ():
            assert debug is not None
            name = debug.text(each.name_index).replace("/", ".")
            classes[int(each.location)] = name
            source = debug.text(each.source_file_index)
            for method in each.methods:
                if method.body_size:
                    lines = tuple(sorted((line.start_pc, line.source_line) for line in method.line_table))
                    methods[method.location] = MethodSymbol(
                        name, debug.text(method.name_index), debug.text(method.descriptor_index), source, lines
                    )
        return cls(methods, classes)

    @property
    def source_file(self) -> str | None:
        """The source file of all methods; None where there are several, or it is not told."""
        files = {method.source_file for method in self.methods.values()}
        return files.pop() or None if len(files) == 1 else None


def _code_of(cap: CapFile) -> str:
    """Return what a CAP file has in common with its load file, and with the same made with a Debug component.

    Other components differ there: from format 2.2, which Debug needs, classes are described otherwise.
    """
    return hashlib.sha256(bytes(cap.package_aid) + b"/" + cap.components[ComponentTag.METHOD]).hexdigest()


def make_known(cap: CapFile) -> None:
    """Have a package shown with the names and lines that its CAP file has, when it is loaded."""
    _known[_code_of(cap)] = cap
    if len(_known) > _KEPT:
        _known.popitem(last=False)


def fullest(cap: CapFile) -> CapFile:
    """Return the CAP file that was made known of a load file; itself where none was."""
    return _known.get(_code_of(cap), cap)
