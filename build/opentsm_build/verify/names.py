"""The names that a CAP file itself gives to its classes and members: those of the Debug component, if it has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentsm_build.cap.file import CapFile

__all__ = ["Names"]

_JAVA_STATIC, _JAVA_FINAL = 0x0008, 0x0010
_CONSTANT: Final = _JAVA_STATIC | _JAVA_FINAL
_PRIMITIVES: Final = frozenset("ZBSI")


class Names:
    """Names by where things are.

    Args:
        cap: a CAP file, with or without a Debug component.

    Raises:
        CapError: the Debug component is malformed.
    """

    def __init__(self, cap: CapFile) -> None:
        self.classes: dict[int, str] = {}
        self.methods: dict[int, str] = {}
        self.lines: dict[int, list[tuple[int, int]]] = {}
        self._fields: dict[tuple[int, bool, int], str] = {}
        debug = cap.debug
        for each in debug.classes if debug is not None else ():
            assert debug is not None
            self.classes[each.location] = debug.text(each.name_index)
            for method in each.methods:
                if method.location:
                    self.methods[method.location] = debug.text(method.name_index)
                    self.lines[method.location] = [(line.start_pc, line.source_line) for line in method.line_table]
            for field in each.fields:
                constant = field.access_flags & _CONSTANT == _CONSTANT
                if not (constant and debug.text(field.descriptor_index)[:1] in _PRIMITIVES):
                    static = bool(field.access_flags & _JAVA_STATIC)
                    self._fields[each.location, static, field.number & 0xFFFF] = debug.text(field.name_index)

    def field(self, class_offset: int, number: int, *, static: bool) -> str:
        """Return the name of a field by its token (instance) or offset (static); empty when unknown."""
        return self._fields.get((class_offset, static, number), "")
