"""The Debug component: names, source files, lines and local variables; for tools, never for cards.

Spec: Java Card VM Specification 2.2.2, 6.14; 3.1, Classic Edition, 6.15.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from opentsm_build.cap.codec import CapReader, encode_component, u1, u2
from opentsm_build.cap.tags_tables import ComponentTag
from opentsm_build.cap.types import ClassRef

__all__ = [
    "ClassDebugInfo",
    "DebugComponent",
    "FieldDebugInfo",
    "LineInfo",
    "MethodDebugInfo",
    "VariableInfo",
]


@dataclass(frozen=True, slots=True)
class FieldDebugInfo:
    """A field: indices of its name and descriptor, class-file flags, and four bytes.

    The bytes are the token of an instance field, the offset of a static one, or the value of a constant.
    """

    name_index: int
    descriptor_index: int
    access_flags: int
    contents: bytes

    @property
    def number(self) -> int:
        """Token, offset or constant."""
        return int.from_bytes(self.contents, "big")


@dataclass(frozen=True, slots=True)
class VariableInfo:
    """A local variable: its index, name and type, and where in the code it lives."""

    index: int
    name_index: int
    descriptor_index: int
    start_pc: int
    length: int


@dataclass(frozen=True, slots=True)
class LineInfo:
    """Code of one source line: first and last pc."""

    start_pc: int
    end_pc: int
    source_line: int


@dataclass(frozen=True, slots=True)
class MethodDebugInfo:
    """A method.

    Args:
        name_index: its name.
        descriptor_index: its descriptor.
        access_flags: as in a class file.
        location: in the Method component's info item; 0 for an interface's method.
        header_size: bytes of its header.
        body_size: bytes of its code.
        variable_table: local variables.
        line_table: source lines.
    """

    name_index: int
    descriptor_index: int
    access_flags: int
    location: int
    header_size: int
    body_size: int
    variable_table: tuple[VariableInfo, ...] = ()
    line_table: tuple[LineInfo, ...] = ()

    @classmethod
    def read(cls, reader: CapReader) -> Self:
        """Read a method_debug_info."""
        name, descriptor, access, location = reader.u2s(4)
        header, body, variables, lines = reader.u1(), reader.u2(), reader.u2(), reader.u2()
        variable_table = tuple(VariableInfo(reader.u1(), *reader.u2s(4)) for _ in range(variables))
        line_table = tuple(LineInfo(*reader.u2s(3)) for _ in range(lines))
        return cls(name, descriptor, access, location, header, body, variable_table, line_table)

    def encode(self) -> bytes:
        """Return the method_debug_info."""
        parts = [u2(self.name_index, self.descriptor_index, self.access_flags, self.location), u1(self.header_size)]
        parts.append(u2(self.body_size, len(self.variable_table), len(self.line_table)))
        parts += [
            u1(each.index) + u2(each.name_index, each.descriptor_index, each.start_pc, each.length)
            for each in self.variable_table
        ]
        parts += [u2(each.start_pc, each.end_pc, each.source_line) for each in self.line_table]
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class ClassDebugInfo:
    """A class or interface; names are indices into the string table, flags those of a class file."""

    name_index: int
    access_flags: int
    location: ClassRef
    superclass_name_index: int
    source_file_index: int
    interface_names_indexes: tuple[int, ...] = ()
    fields: tuple[FieldDebugInfo, ...] = ()
    methods: tuple[MethodDebugInfo, ...] = ()

    @classmethod
    def read(cls, reader: CapReader) -> Self:
        """Read a class_debug_info."""
        name, access, location, superclass, source = reader.u2s(5)
        interfaces, field_count, method_count = reader.u1(), reader.u2(), reader.u2()
        names = reader.u2s(interfaces)
        fields = tuple(
            FieldDebugInfo(reader.u2(), reader.u2(), reader.u2(), reader.take(4)) for _ in range(field_count)
        )
        methods = tuple(MethodDebugInfo.read(reader) for _ in range(method_count))
        return cls(name, access, ClassRef(location), superclass, source, names, fields, methods)

    def encode(self) -> bytes:
        """Return the class_debug_info."""
        parts = [u2(self.name_index, self.access_flags, self.location, self.superclass_name_index)]
        parts += [u2(self.source_file_index), u1(len(self.interface_names_indexes))]
        parts.append(u2(len(self.fields), len(self.methods), *self.interface_names_indexes))
        parts += [u2(each.name_index, each.descriptor_index, each.access_flags) + each.contents for each in self.fields]
        return b"".join([*parts, *(each.encode() for each in self.methods)])


@dataclass(frozen=True, slots=True)
class DebugComponent:
    """Strings, the package's name, and its classes.

    Args:
        strings_table: UTF-8; what indices lead to.
        package_name_index: the package's name.
        classes: its classes and interfaces.
    """

    TAG: ClassVar = ComponentTag.DEBUG

    strings_table: tuple[bytes, ...]
    package_name_index: int
    classes: tuple[ClassDebugInfo, ...]

    @classmethod
    def parse(cls, component: bytes) -> Self:
        """Parse the whole component.

        Raises:
            CapError: malformed.
        """
        reader = CapReader.of_component(component, cls.TAG)
        strings = tuple(reader.take(reader.u2()) for _ in range(reader.u2()))
        package_name = reader.u2()
        classes = tuple(ClassDebugInfo.read(reader) for _ in range(reader.u2()))
        reader.end()
        return cls(strings, package_name, classes)

    def text(self, index: int) -> str:
        """Return a string; empty where an index leads nowhere."""
        return self.strings_table[index].decode("utf-8", "replace") if index < len(self.strings_table) else ""

    def encode(self) -> bytes:
        """Return the whole component."""
        strings = [u2(len(text)) + text for text in self.strings_table]
        head = [u2(len(self.strings_table)), *strings, u2(self.package_name_index, len(self.classes))]
        return encode_component(self.TAG, [*head, *(each.encode() for each in self.classes)])
