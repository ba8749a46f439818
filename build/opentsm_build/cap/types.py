"""References to classes, and descriptions of types, as components hold them.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.8.1 (class_ref), 6.9 and table 6-15 (type_descriptor).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Self

from opentsm_build.cap.codec import u1
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.cap.codec import CapReader

__all__ = ["NO_CLASS", "ClassRef", "JcType", "TypeDescriptor", "TypeNibble"]

_EXTERNAL: Final = 0x8000
_MAX_NIBBLES: Final = 255


class ClassRef(int):
    """A class_ref: a class of this package (offset into the Class component) or of an imported one (two tokens)."""

    __slots__ = ()

    @classmethod
    def internal(cls, offset: int) -> Self:
        """Make the reference to a class of this package.

        Args:
            offset: of its class_info or interface_info in the Class component's info item, 0..0x7FFF.

        Raises:
            CapError: too large.
        """
        if not 0 <= offset < _EXTERNAL:
            raise CapError(f"class offset {offset} does not fit into 15 bits: split the package")
        return cls(offset)

    @classmethod
    def external(cls, package_token: int, class_token: int) -> Self:
        """Make the reference to an imported class.

        Args:
            package_token: index into the Import component, 0..127.
            class_token: token of the class in its package.

        Raises:
            CapError: a token is too large.
        """
        if not (0 <= package_token < 0x80 and 0 <= class_token <= 0xFF):
            raise CapError(f"package token {package_token}, class token {class_token}: too large")
        return cls(_EXTERNAL | package_token << 8 | class_token)

    @property
    def is_external(self) -> bool:
        """True for a class of an imported package."""
        return self >= _EXTERNAL

    @property
    def package_token(self) -> int:
        """Index into the Import component, of an external reference."""
        return self >> 8 & 0x7F

    @property
    def class_token(self) -> int:
        """Token of the class in its package, of an external reference."""
        return self & 0xFF

    def __repr__(self) -> str:
        """Show what it refers to."""
        if self.is_external:
            return f"ClassRef(package {self.package_token}, class {self.class_token})"
        return f"ClassRef({int(self):#06x})"


# What stands for "no superclass" (java.lang.Object itself).
NO_CLASS: Final = ClassRef(0xFFFF)


class TypeNibble(IntEnum):
    """Nibbles of a type descriptor. Spec: JCVM 3.1, table 6-15."""

    VOID = 0x1
    BOOLEAN = 0x2
    BYTE = 0x3
    SHORT = 0x4
    INT = 0x5
    REFERENCE = 0x6
    BOOLEAN_ARRAY = 0xA
    BYTE_ARRAY = 0xB
    SHORT_ARRAY = 0xC
    INT_ARRAY = 0xD
    REFERENCE_ARRAY = 0xE

    @property
    def is_array(self) -> bool:
        """True for an array type."""
        return self >= TypeNibble.BOOLEAN_ARRAY

    @property
    def has_class(self) -> bool:
        """True when a class_ref follows."""
        return self in {TypeNibble.REFERENCE, TypeNibble.REFERENCE_ARRAY}

    @property
    def is_reference(self) -> bool:
        """True for a class, interface or array type."""
        return self >= TypeNibble.REFERENCE


_NIBBLES: Final = {int(nibble): nibble for nibble in TypeNibble}


@dataclass(frozen=True, slots=True)
class JcType:
    """A type of a field, parameter or result.

    Args:
        nibble: its kind.
        class_ref: the class, for a reference and an array of references.
    """

    nibble: TypeNibble
    class_ref: ClassRef | None = None

    def nibbles(self) -> tuple[int, ...]:
        """Return its nibbles."""
        if self.class_ref is None:
            return (self.nibble,)
        return (self.nibble, *(self.class_ref >> shift & 0xF for shift in (12, 8, 4, 0)))

    @property
    def words(self) -> int:
        """16-bit words it takes on the stack: 2 for int, 0 for void, 1 for all others."""
        return {TypeNibble.VOID: 0, TypeNibble.INT: 2}.get(self.nibble, 1)


@dataclass(frozen=True, slots=True)
class TypeDescriptor:
    """A type_descriptor: one type, or the types of a method's parameters and its result.

    Args:
        nibbles: the types' nibbles, one behind the other; 255 at most.
        padding: the nibble that fills the last byte when their number is odd (0 by the specification).
    """

    nibbles: tuple[int, ...]
    padding: int = 0

    @classmethod
    def of(cls, types: Iterable[JcType]) -> Self:
        """Make one of types; a method's result comes last.

        Raises:
            CapError: longer than a descriptor can be.
        """
        nibbles = tuple(nibble for each in types for nibble in each.nibbles())
        if len(nibbles) > _MAX_NIBBLES:
            raise CapError(f"a signature of {len(nibbles)} nibbles, {_MAX_NIBBLES} at most: use fewer parameters")
        return cls(nibbles)

    @classmethod
    def read(cls, reader: CapReader) -> Self:
        """Read one."""
        count = reader.u1()
        nibbles = [half for byte in reader.take((count + 1) // 2) for half in (byte >> 4, byte & 0xF)]
        return cls(tuple(nibbles[:count]), nibbles[count] if count % 2 else 0)

    def encode(self) -> bytes:
        """Return its bytes."""
        halves = [*self.nibbles, *([self.padding] if len(self.nibbles) % 2 else [])]
        packed = bytes(high << 4 | low for high, low in zip(halves[::2], halves[1::2], strict=True))
        return u1(len(self.nibbles)) + packed

    def types(self) -> tuple[JcType, ...]:
        """Return the types it is made of.

        Raises:
            CapError: a nibble is no type, or a reference is cut short.
        """
        types = []
        at = 0
        while at < len(self.nibbles):
            nibble = _NIBBLES.get(self.nibbles[at])
            if nibble is None:
                raise CapError(f"type descriptor: {self.nibbles[at]:X} is no type")
            at += 1
            if not nibble.has_class:
                types.append(JcType(nibble))
                continue
            parts = self.nibbles[at : at + 4]
            if len(parts) < 4:
                raise CapError("type descriptor: a reference is cut short")
            types.append(JcType(nibble, ClassRef(parts[0] << 12 | parts[1] << 8 | parts[2] << 4 | parts[3])))
            at += 4
        return tuple(types)
