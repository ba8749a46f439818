"""EXTERNAL AUTHENTICATE for SCP02 and SCP03.

Spec: GP Card Specification 2.3.1, E.5.2; Amendment D 1.2, 7.1.2 and table 7-3 (security levels).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar, Self

from opentsm_card.apdu import CommandApdu
from opentsm_card.errors import ProtocolError

__all__ = ["ExternalAuthenticate", "SecurityLevel"]


class SecurityLevel(IntFlag):
    """Security level of a session: 00, 01, 03, 11, 13 and 33 with SCP03 (table 7-3); SCP02 has 10 and no 33."""

    NONE = 0x00
    C_MAC = 0x01
    C_DECRYPTION = 0x02
    R_MAC = 0x10
    R_ENCRYPTION = 0x20

    C_MAC_C_ENC = 0x03
    C_MAC_R_MAC = 0x11
    C_MAC_C_ENC_R_MAC = 0x13
    ALL = 0x33

    @classmethod
    def parse(cls, level: int) -> Self:
        """Return the level, checked against table 7-3.

        Raises:
            ProtocolError: a combination that the table does not have.
        """
        if level not in {0x00, 0x01, 0x03, 0x11, 0x13, 0x33}:
            raise ProtocolError(f"SCP03 has no security level {level:02X}")
        return cls(level)


@dataclass(frozen=True, slots=True)
class ExternalAuthenticate:
    """Authenticate the host and set the session's security level; always sent with a C-MAC.

    Args:
        level: security level of all that follows.
        host_cryptogram: 8 bytes (S8) or 16 (S16).
        c_mac: as long as the cryptogram.
    """

    NAME: ClassVar[str] = "EXTERNAL AUTHENTICATE"
    INS: ClassVar[int] = 0x82

    level: SecurityLevel
    host_cryptogram: bytes
    c_mac: bytes

    def apdu(self) -> CommandApdu:
        """Return the command APDU, C-MAC included."""
        if len(self.host_cryptogram) not in {8, 16} or len(self.c_mac) != len(self.host_cryptogram):
            raise ProtocolError(f"{self.NAME}: cryptogram and MAC have 8 or 16 bytes each")
        return CommandApdu(0x84, self.INS, self.level, 0x00, self.host_cryptogram + self.c_mac)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU, which says secure messaging in its class byte.

        Raises:
            ProtocolError: another command, or fields of a wrong length.
        """
        if apdu.ins != cls.INS or not apdu.cla & 0x80 or not apdu.secured:
            raise ProtocolError(f"not {cls.NAME}: {apdu.cla:02X} {apdu.ins:02X}")
        size, odd = divmod(len(apdu.data), 2)
        if apdu.p2 or odd or size not in {8, 16}:
            raise ProtocolError(f"{cls.NAME}: P2 {apdu.p2:02X}, {len(apdu.data)} bytes")
        level = SecurityLevel(apdu.p1) if apdu.p1 == SecurityLevel.R_MAC else SecurityLevel.parse(apdu.p1)
        return cls(level, apdu.data[:size], apdu.data[size:])
