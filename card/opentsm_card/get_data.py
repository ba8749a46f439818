"""GET DATA.

Spec: GP Card Specification 2.3.1, 11.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from opentsm_card.apdu import CommandApdu, check_header
from opentsm_card.errors import ProtocolError

__all__ = ["DataTag", "GetData"]


class DataTag(IntEnum):
    """Data objects of security domains (11.3.2.1, 11.1.11)."""

    ISSUER_IDENTIFICATION_NUMBER = 0x42
    CARD_IMAGE_NUMBER = 0x45
    CARD_DATA = 0x66
    CARD_CAPABILITY_INFORMATION = 0x67
    SEQUENCE_COUNTER = 0xC1
    CONFIRMATION_COUNTER = 0xC2
    DIVERSIFICATION_DATA = 0xCF
    CURRENT_SECURITY_LEVEL = 0xD3
    KEY_INFORMATION = 0xE0
    LIST_OF_APPLICATIONS = 0x2F00
    SECURITY_DOMAIN_MANAGER_URL = 0x5F50
    CARD_PRODUCTION_LIFE_CYCLE = 0x9F7F
    EXTENDED_CARD_RESOURCES = 0xFF21


@dataclass(frozen=True, slots=True)
class GetData:
    """Read a data object.

    Args:
        tag: 1 or 2 bytes, in P1 P2.
        data: tag list where the object needs one (`5C 00` for the list of applications).
        iso: the interindustry class: the card then answers the value without tag and length (11.3.3.1).
    """

    NAME: ClassVar[str] = "GET DATA"
    INS: ClassVar[int] = 0xCA

    tag: int
    data: bytes = b""
    iso: bool = False

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        if not 0 < self.tag <= 0xFFFF:
            raise ProtocolError(f"{self.NAME}: a tag has 1 or 2 bytes")
        return CommandApdu(0 if self.iso else 0x80, self.INS, self.tag >> 8, self.tag & 0xFF, self.data, 256)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command.
        """
        check_header(apdu, cls.INS, cls.NAME, proprietary=False)
        tag = apdu.p1 << 8 | apdu.p2
        if not tag:
            raise ProtocolError(f"{cls.NAME}: no tag in P1 P2")
        return cls(tag, apdu.data, not apdu.cla & 0x80)
