"""Contactless parameters of an application: what INSTALL brings to its registry entry.

Spec: GP Card Specification Amendment C 1.3, 3 (tags A0, A1 and 96 of the system parameters, EF).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Final, Self

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ContactlessParameters", "Interfaces", "ProtocolType", "aid_list", "encode_aid_list"]

_TAG_PROTOCOL: Final = 0xA0
_TAG_INTERACTION: Final = 0xA1
_TAG_PRIVACY: Final = 0x96
_TAG_AID: Final = 0x4F
_TAG_DISPLAY: Final = 0x7F20


class ProtocolType(IntEnum):
    """Protocol types for implicit selection (value bytes of tag 80)."""

    TYPE_A = 0x81
    TYPE_B = 0x82
    TYPE_F = 0x84


class Interfaces(IntFlag):
    """Communication interfaces that an application has access to (values in tag A5)."""

    CONTACT = 0x80
    PROXIMITY = 0x40


def encode_aid_list(aids: Iterable[bytes]) -> bytes:
    """Return AIDs, each as a 4F."""
    return b"".join(tlv.encode(_TAG_AID, aid) for aid in aids)


def aid_list(encoded: bytes) -> tuple[Aid, ...]:
    """Parse a list of 4F.

    Raises:
        ProtocolError: something else is in it, or a value is no AID.
    """
    objects = tlv.parse_all(encoded)
    if any(item.tag != _TAG_AID for item in objects):
        raise ProtocolError("a list of AIDs: something other than 4F in it")
    return tuple(Aid(item.value) for item in objects)


@dataclass(frozen=True, slots=True)
class ContactlessParameters:
    """Contactless parameters; None or empty leaves a data object out.

    Args:
        protocols: for which protocol types implicit selection is.
        activate: whether to activate the application when it becomes selectable.
        recognition: recognition algorithm for applications that are not selected by name.
        continuous: whether it processes continuously.
        access: interfaces the application may use.
        access_default: of a security domain: for applications under it that do not say.
        access_restriction: of a security domain: for all under it.
        protocol_data_a: protocol data type A: parameters (A0) and masks of their mandatory bits (A1).
        protocol_data_b: the same for type B.
        protocol_data_f: the same for type F.
        uri: where more is to be found, shown to the user.
        image: logo, shown to the user.
        message: shown to the user; its first byte says the coding.
        head: the head of the group to join.
        add_members: AIDs that may join the group of which this is the head.
        remove_members: AIDs that may not any more.
        add_listeners: AIDs of applications to be told of changes (the CREL list).
        remove_listeners: AIDs of those not to be told any more.
        restricted: AIDs that must not be active at the same time.
        discretionary: data for the CRS application, listeners and directories, such as 50 and 87 for a PPSE.
        family: application family identifier (ISO 14443-3), 1 byte.
        display_required: False when it works with the display off.
        privacy_sensitive: whether its presence is to be kept from readers.
    """

    protocols: tuple[ProtocolType, ...] = ()
    activate: bool | None = None
    recognition: bytes = b""
    continuous: bool | None = None
    access: Interfaces | None = None
    access_default: Interfaces | None = None
    access_restriction: Interfaces | None = None
    protocol_data_a: bytes = b""
    protocol_data_b: bytes = b""
    protocol_data_f: bytes = b""
    uri: bytes = b""
    image: bytes = b""
    message: bytes = b""
    head: Aid | None = None
    add_members: tuple[Aid, ...] = ()
    remove_members: tuple[Aid, ...] = ()
    add_listeners: tuple[Aid, ...] = ()
    remove_listeners: tuple[Aid, ...] = ()
    restricted: tuple[Aid, ...] = ()
    discretionary: bytes = b""
    family: int | None = None
    display_required: bool | None = None
    privacy_sensitive: bool | None = None

    def system(self) -> tuple[tlv.Tlv, ...]:
        """Return the data objects for `InstallParameters.system`."""
        access = _join(
            (0x80, _byte(self.access_restriction)), (0x81, _byte(self.access_default)), (0x82, _byte(self.access))
        )
        protocol = _join(
            (0x80, bytes(self.protocols)),
            (0x81, _byte(self.activate)),
            (0x83, self.recognition),
            (0x84, b"" if self.continuous is None else bytes((1 + self.continuous,))),
            (0xA5, access),
            (0x86, self.protocol_data_a),
            (0x87, self.protocol_data_b),
            (0x88, self.protocol_data_f),
        )
        interaction = _join(
            (_TAG_DISPLAY, _join((0x5F50, self.uri), (0x5F44, self.image), (0x5F45, self.message))),
            (0xA0, encode_aid_list(() if self.head is None else (self.head,))),
            (0xA1, encode_aid_list(self.add_members)),
            (0xA2, encode_aid_list(self.remove_members)),
            (0xA3, encode_aid_list(self.add_listeners)),
            (0xA4, encode_aid_list(self.remove_listeners)),
            (0xA5, encode_aid_list(self.restricted)),
            (0xA6, self.discretionary),
            (0x87, _byte(self.family)),
            (0x88, b"" if self.display_required is None else bytes((not self.display_required,))),
        )
        objects = (
            (_TAG_PROTOCOL, protocol),
            (_TAG_INTERACTION, interaction),
            (_TAG_PRIVACY, _byte(self.privacy_sensitive)),
        )
        return tuple(tlv.Tlv(tag, value) for tag, value in objects if value)

    @classmethod
    def parse(cls, system: tuple[tlv.Tlv, ...]) -> Self:
        """Parse the contactless data objects among the system parameters; others are passed over.

        Raises:
            ProtocolError: malformed.
        """
        protocol = tlv.parse_all(tlv.find(system, _TAG_PROTOCOL) or b"")
        access = tlv.parse_all(tlv.find(protocol, 0xA5) or b"")
        shown = tlv.parse_all(tlv.find(system, _TAG_INTERACTION) or b"")
        display = tlv.parse_all(tlv.find(shown, _TAG_DISPLAY) or b"")
        heads = _aids(shown, 0xA0)
        if len(heads) > 1:
            raise ProtocolError("contactless parameters: a group has one head")
        continuous = _number(protocol, 0x84, 1, 2)
        required = _flag(shown, 0x88)
        return cls(
            protocols=_protocols(tlv.find(protocol, 0x80) or b""),
            activate=_flag(protocol, 0x81),
            recognition=tlv.find(protocol, 0x83) or b"",
            continuous=None if continuous is None else continuous == 2,
            access=_interfaces(access, 0x82),
            access_default=_interfaces(access, 0x81),
            access_restriction=_interfaces(access, 0x80),
            protocol_data_a=tlv.find(protocol, 0x86) or b"",
            protocol_data_b=tlv.find(protocol, 0x87) or b"",
            protocol_data_f=tlv.find(protocol, 0x88) or b"",
            uri=tlv.find(display, 0x5F50) or b"",
            image=tlv.find(display, 0x5F44) or b"",
            message=tlv.find(display, 0x5F45) or b"",
            head=heads[0] if heads else None,
            add_members=_aids(shown, 0xA1),
            remove_members=_aids(shown, 0xA2),
            add_listeners=_aids(shown, 0xA3),
            remove_listeners=_aids(shown, 0xA4),
            restricted=_aids(shown, 0xA5),
            discretionary=tlv.find(shown, 0xA6) or b"",
            family=_number(shown, 0x87, 0, 0xFF),
            display_required=None if required is None else not required,
            privacy_sensitive=_flag(system, _TAG_PRIVACY),
        )


def _byte(value: int | None) -> bytes:
    return b"" if value is None else bytes((value,))


def _join(*objects: tuple[int, bytes]) -> bytes:
    return b"".join(tlv.encode(tag, value) for tag, value in objects if value)


def _aids(objects: tuple[tlv.Tlv, ...], tag: int) -> tuple[Aid, ...]:
    return aid_list(tlv.find(objects, tag) or b"")


def _number(objects: tuple[tlv.Tlv, ...], tag: int, low: int, high: int) -> int | None:
    value = tlv.find(objects, tag)
    if value is None:
        return None
    if len(value) != 1 or not low <= value[0] <= high:
        raise ProtocolError(f"contactless parameters: {tag:02X} is one byte, {low:02X} to {high:02X}")
    return value[0]


def _flag(objects: tuple[tlv.Tlv, ...], tag: int) -> bool | None:
    value = _number(objects, tag, 0, 1)
    return None if value is None else bool(value)


def _interfaces(objects: tuple[tlv.Tlv, ...], tag: int) -> Interfaces | None:
    value = _number(objects, tag, 0, 0xC0)
    if value is not None and value & 0x3F:
        raise ProtocolError(f"contactless parameters: {tag:02X} names an interface that there is not")
    return None if value is None else Interfaces(value)


def _protocols(encoded: bytes) -> tuple[ProtocolType, ...]:
    if unknown := set(encoded) - {member.value for member in ProtocolType}:
        raise ProtocolError(f"contactless parameters: protocol type {min(unknown):02X}")
    return tuple(ProtocolType(byte) for byte in encoded)
