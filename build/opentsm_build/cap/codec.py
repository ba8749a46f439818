"""The bounded reader, and the writer of big-endian items, that every component is parsed and encoded with.

Spec: Java Card VM Specification 3.1, Classic Edition, 6 (u1, u2, u4 are unsigned and big-endian).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card.aid import Aid
from opentsm_card.errors import CapError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.cap.tags_tables import ComponentTag

__all__ = ["HEAD_BYTES", "CapReader", "FormatVersion", "encode_component", "u1", "u2", "u4"]

# A CAP format version as (major, minor), such as (2, 1).
FormatVersion = tuple[int, int]

# tag and size in front of a component's info item
HEAD_BYTES: Final = 3


class CapReader:
    """Read a component's info item from front to back.

    Holds the input and an offset; every read checks what is left.

    Args:
        data: the info item, or a part of it.
        component: its component's name, for errors.
        offset: where to begin.
    """

    __slots__ = ("_data", "component", "offset")

    def __init__(self, data: bytes, component: str, offset: int = 0) -> None:
        self._data = data
        self.component = component
        self.offset = offset

    @classmethod
    def of_component(cls, component: bytes, tag: ComponentTag) -> CapReader:
        """Check a whole component's tag and size, and return the reader of its info item.

        Raises:
            CapError: another tag, or a size that is not that of the component.
        """
        if len(component) < HEAD_BYTES:
            raise CapError(f"{len(component)} bytes are no component", component=tag.title)
        if component[0] != tag:
            raise CapError(f"tag {component[0]} where {int(tag)} belongs", component=tag.title)
        size = int.from_bytes(component[1:HEAD_BYTES], "big")
        if size != len(component) - HEAD_BYTES:
            raise CapError(f"size {size}, but {len(component) - HEAD_BYTES} bytes follow", component=tag.title)
        return cls(component[HEAD_BYTES:], tag.title)

    @property
    def remaining(self) -> int:
        """Bytes left."""
        return len(self._data) - self.offset

    def fail(self, reason: str, offset: int | None = None) -> CapError:
        """Return the error that names this place, to be raised by the caller."""
        return CapError(reason, component=self.component, offset_bytes=self.offset if offset is None else offset)

    def take(self, length_bytes: int) -> bytes:
        """Read exactly this many bytes.

        Raises:
            CapError: fewer are left.
        """
        end = self.offset + length_bytes
        if end > len(self._data):
            raise self.fail(f"{length_bytes} bytes wanted, {self.remaining} left")
        taken = self._data[self.offset : end]
        self.offset = end
        return taken

    def u1(self) -> int:
        """Read one byte."""
        if self.offset >= len(self._data):
            raise self.fail("1 byte wanted, 0 left")
        value = self._data[self.offset]
        self.offset += 1
        return value

    def u2(self) -> int:
        """Read a 16-bit number."""
        return int.from_bytes(self.take(2), "big")

    def u4(self) -> int:
        """Read a 32-bit number."""
        return int.from_bytes(self.take(4), "big")

    def u2s(self, count: int) -> tuple[int, ...]:
        """Read this many 16-bit numbers."""
        data = self.take(2 * count)
        return tuple(data[index] << 8 | data[index + 1] for index in range(0, len(data), 2))

    def aid(self) -> Aid:
        """Read a length byte and an AID."""
        at = self.offset
        try:
            return Aid(self.take(self.u1()))
        except ProtocolError as error:
            raise self.fail(str(error), at) from error

    def end(self) -> None:
        """Check that nothing is left.

        Raises:
            CapError: bytes are left over.
        """
        if self.remaining:
            raise self.fail(f"{self.remaining} bytes left over")


def u1(value: int) -> bytes:
    """Encode one byte.

    Raises:
        CapError: the number does not fit.
    """
    return _number(value, 1)


def u2(*values: int) -> bytes:
    """Encode 16-bit numbers, one behind the other; raises as `u1`."""
    return b"".join(_number(value, 2) for value in values)


def u4(value: int) -> bytes:
    """Encode a 32-bit number; raises as `u1`."""
    return _number(value, 4)


def _number(value: int, length_bytes: int) -> bytes:
    try:
        return value.to_bytes(length_bytes, "big")
    except OverflowError as error:
        raise CapError(f"{value} does not fit into {8 * length_bytes} bits") from error


def encode_component(tag: ComponentTag, parts: Iterable[bytes]) -> bytes:
    """Return tag, size and the info item.

    Raises:
        CapError: the info item is larger than a component can be.
    """
    info = b"".join(parts)
    if len(info) > 0xFFFF:
        raise CapError(f"{len(info)} bytes, 65535 at most: split the package", component=tag.title)
    return bytes((tag,)) + len(info).to_bytes(2, "big") + info
