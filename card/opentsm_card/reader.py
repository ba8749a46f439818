"""A bounded reader over bytes: the one way parsers here move through input.

Every read checks what is left, so a truncated input ends in `ProtocolError` with the offset, never in an IndexError.
"""

from __future__ import annotations

from opentsm_card.errors import ProtocolError

__all__ = ["Reader", "encode_length", "encode_lv"]


class Reader:
    """Read bytes from front to back.

    Holds the input and an offset; `what` names the input in errors.
    """

    __slots__ = ("_data", "_offset", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._offset = 0
        self._what = what

    @property
    def offset(self) -> int:
        """Bytes read so far."""
        return self._offset

    @property
    def remaining(self) -> int:
        """Bytes left."""
        return len(self._data) - self._offset

    def fail(self, reason: str) -> ProtocolError:
        """Return the error that names this input and offset, to be raised by the caller."""
        return ProtocolError(f"{self._what}, offset {self._offset}: {reason}")

    def take(self, length_bytes: int) -> bytes:
        """Read exactly this many bytes.

        Raises:
            ProtocolError: fewer are left.
        """
        end = self._offset + length_bytes
        if length_bytes < 0 or end > len(self._data):
            raise self.fail(f"{length_bytes} bytes wanted, {self.remaining} left")
        taken = self._data[self._offset : end]
        self._offset = end
        return taken

    def byte(self) -> int:
        """Read one byte as a number."""
        return self.take(1)[0]

    def peek(self) -> int | None:
        """Return the next byte without reading it, or None at the end."""
        return self._data[self._offset] if self.remaining else None

    def length(self, *, byte_80: bool = False) -> int:
        """Read a BER length of 1 to 4 bytes (definite form).

        Args:
            byte_80: take the single byte 80 as 128, as INSTALL and PUT KEY allow.

        Spec: ISO 8825-1, 8.1.3; GP Card Specification 2.3.1, 11.5.2.3.1 (the byte 80).
        """
        first = self.byte()
        if first < 0x80 or (byte_80 and first == 0x80):
            return first
        count = first & 0x7F
        if not 1 <= count <= 3:
            raise self.fail(f"length form {first:02X} not supported")
        return int.from_bytes(self.take(count), "big")

    def lv(self, *, byte_80: bool = False) -> bytes:
        """Read a length and that many bytes; see `length`."""
        return self.take(self.length(byte_80=byte_80))

    def rest(self) -> bytes:
        """Read all that is left."""
        return self.take(self.remaining)

    def end(self) -> None:
        """Check that nothing is left.

        Raises:
            ProtocolError: bytes are left over.
        """
        if self.remaining:
            raise self.fail(f"{self.remaining} bytes left over")


def encode_length(length: int) -> bytes:
    """Encode a BER length in its shortest definite form, up to FFFFFF.

    Spec: ISO 8825-1, 8.1.3.
    """
    if length < 0x80:
        return bytes((length,))
    if length <= 0xFF:
        return bytes((0x81, length))
    if length <= 0xFFFF:
        return b"\x82" + length.to_bytes(2, "big")
    if length <= 0xFFFFFF:
        return b"\x83" + length.to_bytes(3, "big")
    raise ProtocolError(f"a value of {length} bytes is too long to encode")


def encode_lv(value: bytes) -> bytes:
    """Encode a length and the value."""
    return encode_length(len(value)) + value
