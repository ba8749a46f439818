"""The parameters field of INSTALL: what an application, the system and the toolkit get.

Spec: GP Card Specification 2.3.1, 11.5.2.3.7, tables 11-48 to 11-52.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError

__all__ = ["InstallParameters"]

_TAG_APPLICATION = 0xC9
_TAG_SYSTEM = 0xEF
_TAG_VOLATILE = 0xC7
_TAG_NONVOLATILE = 0xC8
_TAG_IMPLICIT_SELECTION = 0xCF


def _amount(size_bytes: int) -> bytes:
    """Encode an amount of memory: 2 bytes up to 32767, 4 above (11.5.2.3.7)."""
    return size_bytes.to_bytes(2 if size_bytes <= 0x7FFF else 4, "big")


@dataclass(frozen=True, slots=True)
class InstallParameters:
    """Parameters of INSTALL [for install] and its siblings.

    Args:
        application: value of C9, handed to the application; None to leave C9 out (forms other than install).
        volatile_quota_bytes: C7 in EF, or None.
        nonvolatile_quota_bytes: C8 in EF, or None.
        implicit_selection: CF in EF, one byte, or None.
        system: further data objects of EF.
        others: further data objects behind C9 and EF, such as EA (TS 102 226) or B6.
    """

    application: bytes | None = b""
    volatile_quota_bytes: int | None = None
    nonvolatile_quota_bytes: int | None = None
    implicit_selection: int | None = None
    system: tuple[tlv.Tlv, ...] = ()
    others: tuple[tlv.Tlv, ...] = ()

    def encode(self) -> bytes:
        """Return the field's value."""
        system = b""
        if self.volatile_quota_bytes is not None:
            system += tlv.encode(_TAG_VOLATILE, _amount(self.volatile_quota_bytes))
        if self.nonvolatile_quota_bytes is not None:
            system += tlv.encode(_TAG_NONVOLATILE, _amount(self.nonvolatile_quota_bytes))
        if self.implicit_selection is not None:
            system += tlv.encode(_TAG_IMPLICIT_SELECTION, bytes((self.implicit_selection,)))
        system += b"".join(item.encode() for item in self.system)
        encoded = b"" if self.application is None else tlv.encode(_TAG_APPLICATION, self.application)
        if system:
            encoded += tlv.encode(_TAG_SYSTEM, system)
        return encoded + b"".join(item.encode() for item in self.others)

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse the field's value.

        Raises:
            ProtocolError: malformed data objects.
        """
        objects = tlv.parse_all(encoded)
        system = tlv.parse_all(tlv.find(objects, _TAG_SYSTEM) or b"")
        known = {_TAG_VOLATILE, _TAG_NONVOLATILE, _TAG_IMPLICIT_SELECTION}
        return cls(
            tlv.find(objects, _TAG_APPLICATION),
            _number(system, _TAG_VOLATILE, {2, 4}),
            _number(system, _TAG_NONVOLATILE, {2, 4}),
            _number(system, _TAG_IMPLICIT_SELECTION, {1}),
            tuple(item for item in system if item.tag not in known),
            tuple(item for item in objects if item.tag not in {_TAG_APPLICATION, _TAG_SYSTEM}),
        )


def _number(objects: tuple[tlv.Tlv, ...], tag: int, lengths: set[int]) -> int | None:
    value = tlv.find(objects, tag)
    if value is None:
        return None
    if len(value) not in lengths:
        raise ProtocolError(f"install parameters: tag {tag:02X} of {len(value)} bytes")
    return int.from_bytes(value, "big")
