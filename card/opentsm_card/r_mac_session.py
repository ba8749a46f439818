"""BEGIN and END R-MAC SESSION: protect responses for a part of a secure channel session.

Spec: GP Card Specification 2.3.1, E.5.3, E.5.4; Amendment D 1.2, 7.1.3, 7.1.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from opentsm_card.apdu import CommandApdu, check_header
from opentsm_card.errors import ProtocolError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.reader import Reader

__all__ = ["BeginRMacSession", "EndRMacSession"]

_MAX_CHALLENGE_BYTES = 24
_LEVELS = frozenset({0x00, 0x10, 0x30})
_BEGIN = 0x01
_RETURN = 0x01
_END = 0x03


@dataclass(frozen=True, slots=True)
class BeginRMacSession:
    """Protect responses from the next command on.

    Args:
        level: 10 (R-MAC), 30 (with R-ENC, SCP03), or 00: one R-MAC over all, with END R-MAC SESSION (SCP02).
        challenge: at most 24 bytes of the host's.
    """

    NAME: ClassVar[str] = "BEGIN R-MAC SESSION"
    INS: ClassVar[int] = 0x7A

    level: SecurityLevel
    challenge: bytes = b""

    def apdu(self) -> CommandApdu:
        """Return the command APDU.

        Raises:
            ProtocolError: no such level, or a challenge that is too long.
        """
        if int(self.level) not in _LEVELS or len(self.challenge) > _MAX_CHALLENGE_BYTES:
            raise ProtocolError(f"{self.NAME}: level {int(self.level):02X}, challenge of {len(self.challenge)} bytes")
        data = bytes((len(self.challenge),)) + self.challenge
        return CommandApdu(0x80, self.INS, self.level, _BEGIN, data)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command, or malformed.
        """
        check_header(apdu, cls.INS, cls.NAME)
        if apdu.p1 not in _LEVELS or apdu.p2 != _BEGIN:
            raise ProtocolError(f"{cls.NAME}: P1 {apdu.p1:02X}, P2 {apdu.p2:02X}")
        challenge = b""
        if apdu.data:
            reader = Reader(apdu.data, cls.NAME)
            challenge = reader.take(reader.byte())
            reader.end()
        if len(challenge) > _MAX_CHALLENGE_BYTES:
            raise ProtocolError(f"{cls.NAME}: a challenge of {len(challenge)} bytes")
        return cls(SecurityLevel(apdu.p1), challenge)


@dataclass(frozen=True, slots=True)
class EndRMacSession:
    """Have the R-MAC returned.

    Args:
        end: end the R-MAC session with it.
    """

    NAME: ClassVar[str] = "END R-MAC SESSION"
    INS: ClassVar[int] = 0x78

    end: bool = True

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        return CommandApdu(0x80, self.INS, 0x00, _END if self.end else _RETURN, b"", 256)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command, or malformed.
        """
        check_header(apdu, cls.INS, cls.NAME)
        if apdu.p1 or apdu.p2 not in {_END, _RETURN} or apdu.data:
            raise ProtocolError(f"{cls.NAME}: P1 {apdu.p1:02X}, P2 {apdu.p2:02X}")
        return cls(apdu.p2 == _END)
