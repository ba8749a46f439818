"""MANAGE CHANNEL.

Spec: GP Card Specification 2.3.1, 11.7; ISO/IEC 7816-4:2013, 11.1.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from opentsm_card.apdu import CommandApdu, check_header
from opentsm_card.errors import ProtocolError

__all__ = ["CloseChannel", "OpenChannel", "parse_manage_channel"]

_NAME = "MANAGE CHANNEL"
_INS = 0x70
_MAX_CHANNEL = 19


def _check_channel(channel: int, lowest: int) -> None:
    if not lowest <= channel <= _MAX_CHANNEL:
        raise ProtocolError(f"{_NAME}: channel {channel} is not in {lowest}..{_MAX_CHANNEL}")


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """Open a supplementary logical channel.

    Args:
        channel: 1..19, or 0 to let the card choose and answer with the number.
    """

    NAME: ClassVar[str] = "MANAGE CHANNEL [open]"
    INS: ClassVar[int] = _INS

    channel: int = 0

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        _check_channel(self.channel, 0)
        return CommandApdu(0x00, self.INS, 0x00, self.channel, ne=None if self.channel else 1)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU."""
        check_header(apdu, cls.INS, cls.NAME, proprietary=False)
        if apdu.cla & 0x80 or apdu.p1 or apdu.data:
            raise ProtocolError(f"not {cls.NAME}")
        _check_channel(apdu.p2, 0)
        return cls(apdu.p2)


@dataclass(frozen=True, slots=True)
class CloseChannel:
    """Close a supplementary logical channel.

    Args:
        channel: 1..19.
    """

    NAME: ClassVar[str] = "MANAGE CHANNEL [close]"
    INS: ClassVar[int] = _INS

    channel: int

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        _check_channel(self.channel, 1)
        return CommandApdu(0x00, self.INS, 0x80, self.channel)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU."""
        check_header(apdu, cls.INS, cls.NAME, proprietary=False)
        if apdu.cla & 0x80 or apdu.p1 != 0x80 or apdu.data:
            raise ProtocolError(f"not {cls.NAME}")
        _check_channel(apdu.p2, 1)
        return cls(apdu.p2)


def parse_manage_channel(apdu: CommandApdu) -> OpenChannel | CloseChannel:
    """Parse either form.

    Raises:
        ProtocolError: no MANAGE CHANNEL.
    """
    return CloseChannel.parse(apdu) if apdu.p1 & 0x80 else OpenChannel.parse(apdu)
