"""The Descriptor component: names of none, types and bounds of all: what parsing and verifying the others takes.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.14.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar, Final, Self

from opentsm_build.cap.codec import CapReader, encode_component, u1, u2
from opentsm_build.cap.tags_tables import ComponentTag
from opentsm_build.cap.types import ClassRef, JcType, TypeDescriptor, TypeNibble
from opentsm_card.errors import CapError

__all__ = [
    "NO_TOKEN",
    "NO_TYPE",
    "AccessFlag",
    "ClassDescriptorInfo",
    "DescriptorComponent",
    "FieldDescriptorInfo",
    "MethodDescriptorInfo",
    "TypeDescriptorInfo",
    "field_type",
    "primitive_type",
]

NO_TOKEN: Final = 0xFF
# In constant_pool_types: a class has no type.
NO_TYPE: Final = 0xFFFF
_PRIMITIVE: Final = 0x8000
_PRIMITIVES: Final = {int(nibble): nibble for nibble in TypeNibble if TypeNibble.BOOLEAN <= nibble <= TypeNibble.INT}


class AccessFlag(IntFlag):
    """Access flags of classes, fields and methods. Spec: JCVM 3.1, tables 6-29, 6-30, 6-31.

    A class has PUBLIC, FINAL, INTERFACE, ABSTRACT_CLASS; the others belong to members.
    """

    PUBLIC = 0x01
    PRIVATE = 0x02
    PROTECTED = 0x04
    STATIC = 0x08
    FINAL = 0x10
    ABSTRACT = 0x40
    INIT = 0x80
    # The same bits in a class.
    INTERFACE = 0x40
    ABSTRACT_CLASS = 0x80


@dataclass(frozen=True, slots=True)
class FieldDescriptorInfo:
    """A field.

    Args:
        token: of a public or protected static field, and of every instance field; else 0xFF.
        access_flags: see `AccessFlag`.
        field_ref: three bytes: where a static field is, or class and token of an instance field.
        type: primitive (bit 0x8000 and a type nibble), or the offset of its type in the type table.
    """

    token: int
    access_flags: int
    field_ref: bytes
    type: int

    @property
    def is_static(self) -> bool:
        """True for a static field."""
        return bool(self.access_flags & AccessFlag.STATIC)

    @property
    def static_offset(self) -> int:
        """Of a static field: where it is in the static field image."""
        return self.field_ref[1] << 8 | self.field_ref[2]

    @property
    def class_ref(self) -> ClassRef:
        """Of an instance field: its class."""
        return ClassRef.from_bytes(self.field_ref[:2], "big")

    @property
    def instance_token(self) -> int:
        """Of an instance field: its token."""
        return self.field_ref[2]

    def encode(self) -> bytes:
        """Return the field_descriptor_info."""
        return u1(self.token) + u1(self.access_flags) + self.field_ref + u2(self.type)


@dataclass(frozen=True, slots=True)
class MethodDescriptorInfo:
    """A method.

    Args:
        token: of a virtual method, an exported static method or constructor; else 0xFF.
        access_flags: see `AccessFlag`.
        method_offset: of its method_info in the Method component's info item; of no meaning in an interface.
        type_offset: of its signature in the type table.
        bytecode_count: bytes of its code.
        exception_handler_count: its handlers.
        exception_handler_index: of the first of them in the Method component.
    """

    token: int
    access_flags: int
    method_offset: int
    type_offset: int
    bytecode_count: int
    exception_handler_count: int = 0
    exception_handler_index: int = 0

    def encode(self) -> bytes:
        """Return the method_descriptor_info."""
        return (
            u1(self.token)
            + u1(self.access_flags)
            + u2(self.method_offset, self.type_offset, self.bytecode_count)
            + u2(self.exception_handler_count, self.exception_handler_index)
        )


@dataclass(frozen=True, slots=True)
class ClassDescriptorInfo:
    """A class or interface.

    Args:
        token: of a public class; else 0xFF.
        access_flags: see `AccessFlag`.
        this_class_ref: where it is in the Class component.
        interfaces: those it implements; none for an interface.
        fields: those it declares, compile-time constants left out.
        methods: those it declares; of an interface, those it inherits too.
    """

    token: int
    access_flags: int
    this_class_ref: ClassRef
    interfaces: tuple[ClassRef, ...] = ()
    fields: tuple[FieldDescriptorInfo, ...] = ()
    methods: tuple[MethodDescriptorInfo, ...] = ()

    @classmethod
    def read(cls, reader: CapReader) -> Self:
        """Read a class_descriptor_info."""
        token, flags, this = reader.u1(), reader.u1(), ClassRef(reader.u2())
        interface_count, field_count, method_count = reader.u1(), reader.u2(), reader.u2()
        interfaces = tuple(ClassRef(value) for value in reader.u2s(interface_count))
        fields = tuple(
            FieldDescriptorInfo(reader.u1(), reader.u1(), reader.take(3), reader.u2()) for _ in range(field_count)
        )
        methods = tuple(MethodDescriptorInfo(reader.u1(), reader.u1(), *reader.u2s(5)) for _ in range(method_count))
        return cls(token, flags, this, interfaces, fields, methods)

    @property
    def is_interface(self) -> bool:
        """True for an interface."""
        return bool(self.access_flags & AccessFlag.INTERFACE)

    def encode(self) -> bytes:
        """Return the class_descriptor_info."""
        head = u1(self.token) + u1(self.access_flags) + u2(self.this_class_ref) + u1(len(self.interfaces))
        return b"".join(
            [
                head,
                u2(len(self.fields), len(self.methods), *self.interfaces),
                *(member.encode() for member in self.fields),
                *(member.encode() for member in self.methods),
            ]
        )


@dataclass(frozen=True, slots=True)
class TypeDescriptorInfo:
    """The type table; offsets count from its start.

    Args:
        constant_pool_types: for each entry of the constant pool the offset of its type, 0xFFFF for a class.
        type_desc: the types, one behind the other.
    """

    constant_pool_types: tuple[int, ...]
    type_desc: tuple[TypeDescriptor, ...]

    @classmethod
    def read(cls, reader: CapReader) -> Self:
        """Read a type_descriptor_info, to the reader's end."""
        pool_types = reader.u2s(reader.u2())
        descriptors = []
        while reader.remaining:
            descriptors.append(TypeDescriptor.read(reader))
        return cls(pool_types, tuple(descriptors))

    @property
    def first_offset(self) -> int:
        """Offset of the first type."""
        return 2 + 2 * len(self.constant_pool_types)

    def by_offset(self) -> dict[int, TypeDescriptor]:
        """Return the types by their offset."""
        found = {}
        at = self.first_offset
        for descriptor in self.type_desc:
            found[at] = descriptor
            at += 1 + (len(descriptor.nibbles) + 1) // 2
        return found

    def encode(self) -> bytes:
        """Return the type_descriptor_info."""
        types = (descriptor.encode() for descriptor in self.type_desc)
        return b"".join([u2(len(self.constant_pool_types), *self.constant_pool_types), *types])


@dataclass(frozen=True, slots=True)
class DescriptorComponent:
    """Classes with their members, and the type table."""

    TAG: ClassVar = ComponentTag.DESCRIPTOR

    classes: tuple[ClassDescriptorInfo, ...]
    types: TypeDescriptorInfo

    @classmethod
    def parse(cls, component: bytes) -> Self:
        """Parse the whole component.

        Raises:
            CapError: malformed.
        """
        reader = CapReader.of_component(component, cls.TAG)
        classes = tuple(ClassDescriptorInfo.read(reader) for _ in range(reader.u1()))
        return cls(classes, TypeDescriptorInfo.read(reader))

    def encode(self) -> bytes:
        """Return the whole component."""
        classes = (each.encode() for each in self.classes)
        return encode_component(self.TAG, [u1(len(self.classes)), *classes, self.types.encode()])


def field_type(value: int, types: dict[int, TypeDescriptor]) -> JcType:
    """Return the type that a field_descriptor_info tells.

    Args:
        value: its `type` item.
        types: what `TypeDescriptorInfo.by_offset` returns.

    Raises:
        CapError: no primitive type, no type at that offset, or not one type.
    """
    if value & _PRIMITIVE:
        nibble = _PRIMITIVES.get(value & ~_PRIMITIVE)
        if nibble is None:
            raise CapError(f"{value:#06x} is no primitive type", component=ComponentTag.DESCRIPTOR.title)
        return JcType(nibble)
    descriptor = types.get(value)
    if descriptor is None:
        raise CapError(f"no type at offset {value:#06x} of the type table", component=ComponentTag.DESCRIPTOR.title)
    found = descriptor.types()
    if len(found) != 1:
        raise CapError(f"a field of {len(found)} types", component=ComponentTag.DESCRIPTOR.title)
    return found[0]


def primitive_type(nibble: TypeNibble) -> int:
    """Return the `type` item of a field of a primitive type."""
    return _PRIMITIVE | nibble
