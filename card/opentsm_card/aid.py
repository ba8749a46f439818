"""Application identifiers.

Spec: ISO/IEC 7816-4:2013, 12.2.3; ISO/IEC 7816-5.
"""

from __future__ import annotations

from typing import Self

from opentsm_card.errors import ProtocolError

__all__ = ["Aid"]

_MIN_BYTES = 5
_MAX_BYTES = 16


class Aid(bytes):
    """An application identifier of 5 to 16 bytes: a 5-byte RID (or own category) and up to 11 bytes of PIX.

    It is bytes, so it goes wherever bytes go; as text it is upper-case hex.

    Raises:
        ProtocolError: the length is not 5..16.
    """

    __slots__ = ()

    def __new__(cls, value: bytes) -> Self:
        """Make one from its bytes."""
        if not _MIN_BYTES <= len(value) <= _MAX_BYTES:
            raise ProtocolError(f"an AID has 5 to 16 bytes, not {len(value)}")
        return super().__new__(cls, value)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Parse hex, for command lines and configuration files.

        Raises:
            ProtocolError: not hex, or of a wrong length.
        """
        try:
            return cls(bytes.fromhex(text))
        except ValueError as error:
            raise ProtocolError(f"AID {text!r} is not hexadecimal") from error

    @property
    def rid(self) -> bytes:
        """The registered application provider identifier, 5 bytes."""
        return bytes(self[:5])

    def __str__(self) -> str:
        """Return upper-case hex."""
        return self.hex().upper()

    def __repr__(self) -> str:
        """Return upper-case hex in the class's name."""
        return f"Aid({self})"
