"""Extended card resources (tag FF21): how many applications there are, and how much memory is free.

Spec: ETSI TS 102 226, 8.2.1.7.2 (GET DATA FF21).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError

__all__ = ["CardResources"]

_TAG: Final = 0xFF21
_MAX_NUMBER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class CardResources:
    """What is left on the card; None where the card does not say.

    Args:
        applications: how many are installed.
        free_nonvolatile_bytes: free non-volatile memory.
        free_volatile_bytes: free volatile memory.
    """

    applications: int | None
    free_nonvolatile_bytes: int | None
    free_volatile_bytes: int | None

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse the answer to GET DATA FF21, with its tag or without.

        Raises:
            ProtocolError: malformed.
        """
        objects = tlv.parse_all(encoded)
        inner = tlv.find(objects, _TAG)
        if inner is not None:
            objects = tlv.parse_all(inner)
        return cls(*(_number(objects, tag) for tag in (0x81, 0x82, 0x83)))


def _number(objects: tuple[tlv.Tlv, ...], tag: int) -> int | None:
    value = tlv.find(objects, tag)
    if value is None:
        return None
    if not 1 <= len(value) <= _MAX_NUMBER_BYTES:
        raise ProtocolError(f"extended card resources: {tag:02X} has {len(value)} bytes")
    return int.from_bytes(value, "big")
