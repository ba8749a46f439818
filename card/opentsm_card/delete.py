"""DELETE of card content and of keys.

Spec: GP Card Specification 2.3.1, 11.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu, check_header
from opentsm_card.errors import ProtocolError

__all__ = ["DeleteKey", "DeleteObject", "parse_delete"]

_INS = 0xE4
_TAG_AID = 0x4F
_TAG_CRT = 0xB6
_TAG_TOKEN = 0x9E
_TAG_KEY_ID = 0xD0
_TAG_KEY_VERSION = 0xD2


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """Delete an application or load file.

    Args:
        aid: what to delete.
        related: a load file's applications too (P2 80).
        signature_template: value of the control reference template B6, without its tag; empty for none.
        token: delete token (9E) for delegated management; empty for none.
    """

    NAME: ClassVar[str] = "DELETE"
    INS: ClassVar[int] = _INS

    aid: Aid
    related: bool = False
    signature_template: bytes = b""
    token: bytes = b""

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        data = tlv.encode(_TAG_AID, self.aid)
        if self.signature_template:
            data += tlv.encode(_TAG_CRT, self.signature_template)
        if self.token:
            data += tlv.encode(_TAG_TOKEN, self.token)
        return CommandApdu(0x80, self.INS, 0x00, 0x80 if self.related else 0x00, data, 256)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command, or malformed data.
        """
        check_header(apdu, cls.INS, cls.NAME)
        objects = tlv.parse_all(apdu.data)
        aid = tlv.find(objects, _TAG_AID)
        if aid is None or apdu.p1 or apdu.p2 & 0x7F:
            raise ProtocolError(f"not {cls.NAME} of card content: P1 {apdu.p1:02X}, P2 {apdu.p2:02X}")
        template = tlv.find(objects, _TAG_CRT) or b""
        return cls(Aid(aid), bool(apdu.p2 & 0x80), template, tlv.find(objects, _TAG_TOKEN) or b"")


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """Delete a key, all keys of a version, or all keys of an identifier.

    Args:
        key_version: 1..127, or None for every version.
        key_id: 1..127, or None for every identifier.
    """

    NAME: ClassVar[str] = "DELETE [key]"
    INS: ClassVar[int] = _INS

    key_version: int | None
    key_id: int | None = None

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        data = b""
        if self.key_id is not None:
            data += tlv.encode(_TAG_KEY_ID, bytes((self.key_id,)))
        if self.key_version is not None:
            data += tlv.encode(_TAG_KEY_VERSION, bytes((self.key_version,)))
        if not data:
            raise ProtocolError(f"{self.NAME}: a version or an identifier wanted")
        return CommandApdu(0x80, self.INS, 0x00, 0x00, data, 256)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command, or malformed data.
        """
        check_header(apdu, cls.INS, cls.NAME)
        objects = tlv.parse_all(apdu.data)
        numbers: dict[int, int] = {}
        for item in objects:
            if item.tag not in {_TAG_KEY_ID, _TAG_KEY_VERSION} or len(item.value) != 1 or item.tag in numbers:
                raise ProtocolError(f"{cls.NAME}: unexpected data object {item.tag:02X}")
            numbers[item.tag] = item.value[0]
        if not numbers or apdu.p1:
            raise ProtocolError(f"not {cls.NAME}")
        return cls(numbers.get(_TAG_KEY_VERSION), numbers.get(_TAG_KEY_ID))


def parse_delete(apdu: CommandApdu) -> DeleteObject | DeleteKey:
    """Parse either form.

    Raises:
        ProtocolError: no DELETE, or malformed.
    """
    first = apdu.data[:1]
    return DeleteKey.parse(apdu) if first in {b"\xd0", b"\xd2"} else DeleteObject.parse(apdu)
