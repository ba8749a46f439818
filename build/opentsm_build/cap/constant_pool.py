"""The ConstantPool component: what instructions and exception handlers refer to.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, Self

from opentsm_build.cap.codec import CapReader, encode_component, u1, u2
from opentsm_build.cap.tags_tables import ComponentTag
from opentsm_build.cap.types import ClassRef
from opentsm_card.errors import CapError

__all__ = ["ConstantPoolComponent", "ConstantPoolEntry", "ConstantPoolTag"]

_EXTERNAL: Final = 0x80


class ConstantPoolTag(IntEnum):
    """Tags of entries. Spec: JCVM 3.1, table 6-11."""

    CLASSREF = 1
    INSTANCE_FIELDREF = 2
    VIRTUAL_METHODREF = 3
    SUPER_METHODREF = 4
    STATIC_FIELDREF = 5
    STATIC_METHODREF = 6

    @property
    def title(self) -> str:
        """The specification's name."""
        return f"CONSTANT_{self.name.title().replace('_', '')}"


_TAGS: Final = {int(tag): tag for tag in ConstantPoolTag}
_STATIC: Final = frozenset({ConstantPoolTag.STATIC_FIELDREF, ConstantPoolTag.STATIC_METHODREF})


@dataclass(frozen=True, slots=True)
class ConstantPoolEntry:
    """One entry: a tag and three bytes, kept as they are; the properties say what they mean.

    Args:
        tag: what is referred to.
        info: the three bytes.
    """

    tag: ConstantPoolTag
    info: bytes

    @classmethod
    def of_class(cls, class_ref: ClassRef) -> Self:
        """Make a CONSTANT_Classref."""
        return cls(ConstantPoolTag.CLASSREF, u2(class_ref) + b"\0")

    @classmethod
    def of_member(cls, tag: ConstantPoolTag, class_ref: ClassRef, token: int) -> Self:
        """Make a CONSTANT_InstanceFieldref, _VirtualMethodref or _SuperMethodref.

        Args:
            tag: which of the three.
            class_ref: the class the reference names.
            token: of the field or method; bit 0x80 marks a package-visible virtual method.
        """
        return cls(tag, u2(class_ref) + u1(token))

    @classmethod
    def of_static(cls, tag: ConstantPoolTag, offset: int) -> Self:
        """Make a CONSTANT_StaticFieldref or _StaticMethodref to something in this package.

        Args:
            tag: which of the two.
            offset: into the static field image, or into the Method component's info item.
        """
        return cls(tag, b"\0" + u2(offset))

    @classmethod
    def of_imported_static(cls, tag: ConstantPoolTag, class_ref: ClassRef, token: int) -> Self:
        """Make a CONSTANT_StaticFieldref or _StaticMethodref to something in an imported package."""
        return cls(tag, u2(class_ref) + u1(token))

    @property
    def is_static(self) -> bool:
        """True for a static field, and for a static method, constructor or private method."""
        return self.tag in _STATIC

    @property
    def is_external(self) -> bool:
        """True when it refers to an imported package."""
        return bool(self.info[0] & _EXTERNAL)

    @property
    def class_ref(self) -> ClassRef:
        """The class; for a static member only where it is imported."""
        return ClassRef.from_bytes(self.info[:2], "big")

    @property
    def token(self) -> int:
        """The member's token; for a static member only where it is imported."""
        return self.info[2]

    @property
    def offset(self) -> int:
        """Where an internal static member is: in the static field image, or the Method component's info item."""
        return self.info[1] << 8 | self.info[2]

    def encode(self) -> bytes:
        """Return its four bytes."""
        return bytes((self.tag,)) + self.info


@dataclass(frozen=True, slots=True)
class ConstantPoolComponent:
    """The constant pool; instructions hold indices into it."""

    TAG: ClassVar = ComponentTag.CONSTANT_POOL

    constant_pool: tuple[ConstantPoolEntry, ...]

    @classmethod
    def parse(cls, component: bytes) -> Self:
        """Parse the whole component.

        Raises:
            CapError: malformed.
        """
        reader = CapReader.of_component(component, cls.TAG)
        entries = []
        for index in range(reader.u2()):
            tag = _TAGS.get(number := reader.u1())
            if tag is None:
                raise reader.fail(f"entry {index} has tag {number}, which is none", reader.offset - 1)
            entries.append(ConstantPoolEntry(tag, reader.take(3)))
        reader.end()
        return cls(tuple(entries))

    def entry(self, index: int) -> ConstantPoolEntry:
        """Return the entry of an index.

        Raises:
            CapError: there is none.
        """
        if index >= len(self.constant_pool):
            raise CapError(f"no entry {index}, there are {len(self.constant_pool)}", component=self.TAG.title)
        return self.constant_pool[index]

    def encode(self) -> bytes:
        """Return the whole component."""
        entries = (entry.encode() for entry in self.constant_pool)
        return encode_component(self.TAG, [u2(len(self.constant_pool)), *entries])
