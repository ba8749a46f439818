"""Card production life cycle data (tag 9F7F): who made the chip, the card and its personalization, and when.

Spec: VISA GlobalPlatform Card Production Guide / GP Card Specification 2.1.1, H.6 (the 42 bytes); dates are YDDD: the
last digit of the year and the day of the year.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Self

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError

__all__ = ["FIELDS", "Cplc", "possible_dates"]

_TAG: Final = 0x9F7F
_BYTES: Final = 42
_HEAD: Final = b"\x9f\x7f\x2a"

FIELDS: Final[tuple[tuple[str, int, bool], ...]] = (
    ("ic_fabricator", 2, False),
    ("ic_type", 2, False),
    ("operating_system_id", 2, False),
    ("operating_system_release_date", 2, True),
    ("operating_system_release_level", 2, False),
    ("ic_fabrication_date", 2, True),
    ("ic_serial_number", 4, False),
    ("ic_batch_identifier", 2, False),
    ("ic_module_fabricator", 2, False),
    ("ic_module_packaging_date", 2, True),
    ("icc_manufacturer", 2, False),
    ("ic_embedding_date", 2, True),
    ("ic_pre_personalizer", 2, False),
    ("ic_pre_personalization_equipment_date", 2, True),
    ("ic_pre_personalization_equipment_id", 4, False),
    ("ic_personalizer", 2, False),
    ("ic_personalization_date", 2, True),
    ("ic_personalization_equipment_id", 4, False),
)
"""Name, length in bytes, and whether it is a date, in order."""


@dataclass(frozen=True, slots=True)
class Cplc:
    """The data, field by field.

    Args:
        raw: the 42 bytes.
    """

    raw: bytes

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse the answer to GET DATA 9F7F, with tag and length or without.

        Raises:
            ProtocolError: not 42 bytes, or another tag.
        """
        value = encoded
        if len(encoded) != _BYTES or encoded[:3] == _HEAD:
            item = tlv.parse_one(encoded)
            if item.tag != _TAG:
                raise ProtocolError(f"CPLC: tag {item.tag:02X} instead of 9F7F")
            value = item.value
        if len(value) != _BYTES:
            raise ProtocolError(f"CPLC: {len(value)} bytes instead of {_BYTES}")
        return cls(value)

    def field(self, name: str) -> bytes:
        """Return one field's bytes.

        Raises:
            KeyError: there is no such field.
        """
        offset = 0
        for field, length, _ in FIELDS:
            if field == name:
                return self.raw[offset : offset + length]
            offset += length
        raise KeyError(name)

    @property
    def chip_id(self) -> bytes | None:
        """What tells this chip from all others, 10 bytes: fabricator, type, batch and serial number.

        None where the card left batch and serial number empty.
        """
        batch, serial = self.field("ic_batch_identifier"), self.field("ic_serial_number")
        if set(batch + serial) in ({0x00}, {0xFF}):
            return None
        return self.field("ic_fabricator") + self.field("ic_type") + batch + serial


def possible_dates(encoded: bytes, today: date) -> tuple[date, ...]:
    """Return the days that a date of two bytes (YDDD, BCD) can mean, the latest first, none after today.

    The year has one digit only: the same bytes come round every ten years, from 1990 (there are no older such cards).

    Args:
        encoded: 2 bytes.
        today: the latest day it can be.

    Returns:
        Empty when the bytes are no date: zeros, or digits beyond 9, or a day beyond 366.
    """
    digits = encoded.hex()
    if not digits.isdecimal() or len(digits) != 4:
        return ()
    digit, day = int(digits[0]), int(digits[1:])
    found = []
    for year in range(today.year, 1989, -1):
        if year % 10 == digit and 1 <= day <= 366:
            candidate = date(year, 1, 1) + timedelta(days=day - 1)
            if candidate.year == year and candidate <= today:
                found.append(candidate)
    return tuple(found)
