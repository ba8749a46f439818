"""SET STATUS: life cycles, locks and contactless activation.

Spec: GP Card Specification 2.3.1, 11.10; GP Amendment C 1.3 (contactless activation).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Self

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu, check_header
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from opentsm_card.lifecycle import CardState

__all__ = ["SetStatus", "StatusType"]

_LOCK = 0x80
_TAG_AID = 0x4F


class StatusType(IntEnum):
    """What the change applies to: reference control parameter P1 (table 11-86)."""

    CARD = 0x80
    APPLICATION = 0x40
    SECURITY_DOMAIN_AND_APPLICATIONS = 0x60
    # Contactless availability. Sent to the managing security domain; the form by a CRS application (Amendment C)
    # is a different command with the same effect, for cards that have such an application.
    CONTACTLESS_ACTIVATION = 0x01


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Change a state.

    Args:
        status_type: what it applies to.
        state: the state wanted, P2.
        aid: the application or security domain; None for the card.
    """

    NAME: ClassVar[str] = "SET STATUS"
    INS: ClassVar[int] = 0xF0

    status_type: StatusType
    state: int
    aid: Aid | None = None

    @classmethod
    def lock(cls, aid: Aid) -> Self:
        """Lock one application or security domain."""
        return cls(StatusType.APPLICATION, _LOCK, aid)

    @classmethod
    def unlock(cls, aid: Aid) -> Self:
        """Unlock one application or security domain: it returns to the state before."""
        return cls(StatusType.APPLICATION, 0x00, aid)

    @classmethod
    def lock_all(cls, security_domain: Aid) -> Self:
        """Lock a security domain and everything under it."""
        return cls(StatusType.SECURITY_DOMAIN_AND_APPLICATIONS, _LOCK, security_domain)

    @classmethod
    def unlock_all(cls, security_domain: Aid) -> Self:
        """Unlock a security domain and everything under it that `lock_all` locked."""
        return cls(StatusType.SECURITY_DOMAIN_AND_APPLICATIONS, 0x00, security_domain)

    @classmethod
    def card(cls, state: CardState) -> Self:
        """Change the card's life cycle: CARD_LOCKED locks, SECURED unlocks, TERMINATED ends it for good."""
        return cls(StatusType.CARD, state)

    @classmethod
    def contactless(cls, aid: Aid, *, activated: bool) -> Self:
        """Activate or deactivate an application on the contactless interface."""
        return cls(StatusType.CONTACTLESS_ACTIVATION, 0x01 if activated else 0x00, aid)

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        if not 0 <= self.state <= 0xFF:
            raise ProtocolError(f"{self.NAME}: a state has one byte")
        if self.aid is None and self.status_type is not StatusType.CARD:
            raise ProtocolError(f"{self.NAME}: an AID is wanted")
        data = bytes(self.aid or b"")
        if self.status_type is StatusType.CONTACTLESS_ACTIVATION:
            data = tlv.encode(_TAG_AID, data)
        return CommandApdu(0x80, self.INS, self.status_type, self.state, data)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU; data of a card-wide change is ignored (11.10.2.3).

        Raises:
            ProtocolError: another command, an unknown status type, or a bad AID.
        """
        check_header(apdu, cls.INS, cls.NAME)
        if apdu.p1 & 0xE0 == StatusType.CARD:
            return cls(StatusType.CARD, apdu.p2)
        if apdu.p1 not in {member.value for member in StatusType}:
            raise ProtocolError(f"{cls.NAME}: status type {apdu.p1:02X}")
        status_type = StatusType(apdu.p1)
        if status_type is not StatusType.CONTACTLESS_ACTIVATION:
            return cls(status_type, apdu.p2, Aid(apdu.data))
        aid = tlv.find(tlv.parse_all(apdu.data), _TAG_AID)
        if aid is None or apdu.p2 > 0x01:
            raise ProtocolError(f"{cls.NAME} [contactless]: 4F missing or state {apdu.p2:02X}")
        return cls(status_type, apdu.p2, Aid(aid))
