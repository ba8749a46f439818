"""The ReferenceLocation component: where in the Method component constant pool indices are.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self

from opentsm_build.cap.codec import CapReader, encode_component, u2
from opentsm_build.cap.tags_tables import ComponentTag
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ReferenceLocationComponent"]

# A step of this size goes on without naming a place.
_STEP: Final = 255


@dataclass(frozen=True, slots=True)
class ReferenceLocationComponent:
    """Offsets of constant pool indices into the Method component's info item, ascending.

    Args:
        byte_indices: of one-byte indices.
        byte2_indices: of two-byte indices.
    """

    TAG: ClassVar = ComponentTag.REFERENCE_LOCATION

    byte_indices: tuple[int, ...]
    byte2_indices: tuple[int, ...]

    @classmethod
    def parse(cls, component: bytes) -> Self:
        """Parse the whole component.

        Raises:
            CapError: malformed.
        """
        reader = CapReader.of_component(component, cls.TAG)
        byte_indices, byte2_indices = _read_steps(reader), _read_steps(reader)
        reader.end()
        return cls(byte_indices, byte2_indices)

    def encode(self) -> bytes:
        """Return the whole component.

        Raises:
            CapError: the offsets do not ascend.
        """
        parts = []
        for offsets in (self.byte_indices, self.byte2_indices):
            steps = _steps(offsets)
            parts += [u2(len(steps)), steps]
        return encode_component(self.TAG, parts)


def _read_steps(reader: CapReader) -> tuple[int, ...]:
    count = reader.u2()
    at, offsets, step = 0, [], 0
    for step in reader.take(count):
        at += step
        if step != _STEP:
            offsets.append(at)
    if step == _STEP:
        raise reader.fail("the last step of 255 leads nowhere")
    return tuple(offsets)


def _steps(offsets: Iterable[int]) -> bytes:
    steps = bytearray()
    previous = 0
    for offset in offsets:
        if offset < previous:
            raise CapError(f"offset {offset} behind {previous}", component=ComponentTag.REFERENCE_LOCATION.title)
        far, rest = divmod(offset - previous, _STEP)
        steps += bytes((_STEP,)) * far + bytes((rest,))
        previous = offset
    return bytes(steps)
