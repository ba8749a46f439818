"""The StaticField component: the image of all static fields, and how it begins.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from opentsm_build.cap.codec import CapReader, encode_component, u1, u2
from opentsm_build.cap.tags_tables import ComponentTag

__all__ = ["ArrayInitInfo", "StaticFieldComponent"]


@dataclass(frozen=True, slots=True)
class ArrayInitInfo:
    """An array made when the package is loaded.

    Args:
        type: of its elements: 2 boolean, 3 byte, 4 short, 5 int.
        values: the elements, big-endian.
    """

    type: int
    values: bytes


@dataclass(frozen=True, slots=True)
class StaticFieldComponent:
    """The static field image: references first, those to `array_init` arrays before those to null, then primitives.

    Args:
        image_size: bytes of the image.
        reference_count: references in it, 2 bytes each.
        array_init: the arrays of its first references.
        default_value_count: bytes of primitives that begin as zero.
        non_default_values: the bytes of the other primitives.
    """

    TAG: ClassVar = ComponentTag.STATIC_FIELD

    image_size: int
    reference_count: int
    array_init: tuple[ArrayInitInfo, ...]
    default_value_count: int
    non_default_values: bytes

    @classmethod
    def parse(cls, component: bytes) -> Self:
        """Parse the whole component.

        Raises:
            CapError: malformed.
        """
        reader = CapReader.of_component(component, cls.TAG)
        image_size, reference_count, array_count = reader.u2s(3)
        arrays = tuple(ArrayInitInfo(reader.u1(), reader.take(reader.u2())) for _ in range(array_count))
        default_count = reader.u2()
        values = reader.take(reader.u2())
        reader.end()
        return cls(image_size, reference_count, arrays, default_count, values)

    def encode(self) -> bytes:
        """Return the whole component."""
        parts = [u2(self.image_size, self.reference_count, len(self.array_init))]
        for array in self.array_init:
            parts += [u1(array.type), u2(len(array.values)), array.values]
        parts += [u2(self.default_value_count, len(self.non_default_values)), self.non_default_values]
        return encode_component(self.TAG, parts)
