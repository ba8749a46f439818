"""GET STATUS: what the registry says.

Spec: GP Card Specification 2.3.1, 11.4. `opentsm_card.registry` parses the answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import ClassVar, Self

from opentsm_card import tlv
from opentsm_card.apdu import CommandApdu, check_header
from opentsm_card.errors import ProtocolError

__all__ = ["APPLICATION_TAGS", "LOAD_FILE_TAGS", "GetStatus", "Scope"]

_TAG_AID = 0x4F
_TAG_LIST = 0x5C
_NEXT = 0x01
_TEMPLATES = 0x02

# All that tables 11-36 and 11-37 define, so that a plan sees associations too.
APPLICATION_TAGS = (0x4F, 0x9F70, 0xC5, 0xCF, 0xC4, 0xCC)
LOAD_FILE_TAGS = (0x4F, 0x9F70, 0xCE, 0x84, 0xCC)


class Scope(IntEnum):
    """What to list: reference control parameter P1 (table 11-33)."""

    ISSUER_SECURITY_DOMAIN = 0x80
    APPLICATIONS = 0x40
    LOAD_FILES = 0x20
    LOAD_FILES_AND_MODULES = 0x10


@dataclass(frozen=True, slots=True)
class GetStatus:
    """List registry entries.

    Args:
        scope: what to list.
        aid_prefix: only AIDs that begin with these 0..16 bytes.
        next: go on after an answer of 6310.
        tags: data objects wanted in each entry (5C); none for the card's default, which leaves associations out.
        criteria: further search criteria, data objects that an entry has: tag and value. A card may pass them over.
        templates: answer in E3 templates; False for the form of version 2.1, for cards that know no other.
    """

    NAME: ClassVar[str] = "GET STATUS"
    INS: ClassVar[int] = 0xF2

    scope: Scope
    aid_prefix: bytes = b""
    next: bool = False
    tags: tuple[int, ...] = ()
    criteria: tuple[tuple[int, bytes], ...] = ()
    templates: bool = True

    @classmethod
    def everything(cls, scope: Scope, aid_prefix: bytes = b"") -> Self:
        """Ask for every data object that the specification has for this scope."""
        tags = LOAD_FILE_TAGS if scope in {Scope.LOAD_FILES, Scope.LOAD_FILES_AND_MODULES} else APPLICATION_TAGS
        return cls(scope, aid_prefix, tags=tags)

    def following(self) -> Self:
        """Return the command that goes on after 6310."""
        return replace(self, next=True)

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        if len(self.aid_prefix) > 16:
            raise ProtocolError(f"{self.NAME}: an AID has at most 16 bytes")
        data = tlv.encode(_TAG_AID, self.aid_prefix)
        data += b"".join(tlv.encode(tag, value) for tag, value in self.criteria)
        if self.tags:
            data += tlv.encode(_TAG_LIST, b"".join(tlv.encode_tag(tag) for tag in self.tags))
        p2 = (_TEMPLATES if self.templates else 0) | (_NEXT if self.next else 0)
        return CommandApdu(0x80, self.INS, self.scope, p2, data, 256)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command, or malformed data.
        """
        check_header(apdu, cls.INS, cls.NAME)
        if apdu.p1 not in {member.value for member in Scope} or apdu.p2 & ~(_NEXT | _TEMPLATES):
            raise ProtocolError(f"{cls.NAME}: P1 {apdu.p1:02X}, P2 {apdu.p2:02X}")
        objects = tlv.parse_all(apdu.data)
        prefix = tlv.find(objects, _TAG_AID)
        if prefix is None or len(prefix) > 16:
            raise ProtocolError(f"{cls.NAME}: no search criterion 4F of 0 to 16 bytes")
        tags = tlv.parse_tags(tlv.find(objects, _TAG_LIST) or b"")
        criteria = tuple((item.tag, item.value) for item in objects if item.tag not in {_TAG_AID, _TAG_LIST})
        next_one, templates = bool(apdu.p2 & _NEXT), bool(apdu.p2 & _TEMPLATES)
        return cls(Scope(apdu.p1), prefix, next_one, tags, criteria, templates)
