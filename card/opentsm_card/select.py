"""SELECT by name.

Spec: GP Card Specification 2.3.1, 11.9; ISO/IEC 7816-4:2013, 11.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from opentsm_card.apdu import CommandApdu, check_header
from opentsm_card.errors import ProtocolError

__all__ = ["Select"]


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT an application by its AID, or by the first bytes of it; no AID means the issuer security domain.

    Args:
        aid: 0 to 16 bytes.
        next: the next application that matches, instead of the first.
    """

    NAME: ClassVar[str] = "SELECT"
    INS: ClassVar[int] = 0xA4

    aid: bytes = b""
    next: bool = False

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        if len(self.aid) > 16:
            raise ProtocolError(f"SELECT takes at most 16 bytes of AID, not {len(self.aid)}")
        return CommandApdu(0x00, self.INS, 0x04, 0x02 if self.next else 0x00, self.aid, 256)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU; P2 may ask for FCP or no data (b4 b3), which changes the answer only.

        Raises:
            ProtocolError: not a SELECT by name.
        """
        check_header(apdu, cls.INS, cls.NAME, proprietary=False)
        if apdu.cla & 0x80 or apdu.p1 != 0x04 or apdu.p2 & ~0x0C not in {0x00, 0x02} or len(apdu.data) > 16:
            raise ProtocolError(f"not a SELECT by name: P1 {apdu.p1:02X}, P2 {apdu.p2:02X}")
        return cls(apdu.data, apdu.p2 & 0x03 == 0x02)
