"""The Export component: what other packages may link to.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from opentsm_build.cap.codec import CapReader, encode_component, u1, u2
from opentsm_build.cap.tags_tables import ComponentTag

__all__ = ["ClassExportInfo", "ExportComponent"]


@dataclass(frozen=True, slots=True)
class ClassExportInfo:
    """An exported class or interface.

    Args:
        class_offset: into the Class component's info item.
        static_field_offsets: into the static field image, by token.
        static_method_offsets: of static methods and constructors, into the Method component's info item, by token.
    """

    class_offset: int
    static_field_offsets: tuple[int, ...] = ()
    static_method_offsets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportComponent:
    """Exported classes, by token."""

    TAG: ClassVar = ComponentTag.EXPORT

    class_exports: tuple[ClassExportInfo, ...]

    @classmethod
    def parse(cls, component: bytes) -> Self:
        """Parse the whole component.

        Raises:
            CapError: malformed, or empty.
        """
        reader = CapReader.of_component(component, cls.TAG)
        count = reader.u1()
        if count == 0:
            raise reader.fail("an Export component without classes", 0)
        exports = []
        for _ in range(count):
            offset, fields, methods = reader.u2(), reader.u1(), reader.u1()
            exports.append(ClassExportInfo(offset, reader.u2s(fields), reader.u2s(methods)))
        reader.end()
        return cls(tuple(exports))

    def encode(self) -> bytes:
        """Return the whole component."""
        parts = [u1(len(self.class_exports))]
        for export in self.class_exports:
            fields, methods = export.static_field_offsets, export.static_method_offsets
            parts += [u2(export.class_offset), u1(len(fields)), u1(len(methods)), u2(*fields), u2(*methods)]
        return encode_component(self.TAG, parts)
