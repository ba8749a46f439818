"""Access rule files (ARF): the access rules of a UICC in files under a PKCS #15 application.

From EF(ODF), 5031, the data objects' directory file leads to EF(ACMain), that to EF(ACRules), and each rule there to a
file of conditions. Files may be longer than what is in them; what follows is FF or 00.

Spec: GPD_SPE_013, GlobalPlatform Secure Element Access Control 1.1, clause 7 and annex C; PKCS #15 1.1 clause 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card import tlv
from opentsm_card.access_rules import Access, AccessRule, ApduFilter
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EF_ODF", "PKCS15", "parse_acmain", "parse_conditions", "parse_dodf", "parse_odf", "parse_rules"]

PKCS15: Final = bytes.fromhex("A000000063504B43532D3135")
"""AID of the PKCS #15 application."""

EF_ODF: Final = bytes.fromhex("5031")

_SEQUENCE: Final = 0x30
_OCTETS: Final = 0x04
_OID: Final = 0x06
_DODF: Final = 0xA7
_OID_DO: Final = 0xA1
# 1.2.840.114283.200.1.1, GlobalPlatform's access control.
_ACCESS_CONTROL: Final = bytes.fromhex("2A864886FC6B81480101")
_TARGET_AID: Final = 0xA0
_TARGET_DEFAULT: Final = 0x81
_TARGET_OTHERS: Final = 0x82
_CONTEXT_0: Final = 0xA0
_CONTEXT_1: Final = 0xA1
_PERMISSION: Final = 0x80
_REFRESH_BYTES: Final = 8
_HASH_BYTES: Final = frozenset({0, 20, 32})
_FILTER_BYTES: Final = 8


def parse_odf(data: bytes) -> bytes:
    """Return the path of EF(DODF), the directory of data objects, from EF(ODF).

    Raises:
        ProtocolError: it names none.
    """
    for entry in _entries(data, "EF(ODF)"):
        if entry.tag == _DODF:
            return _path(entry.children(), "EF(ODF)")
    raise ProtocolError("EF(ODF): no directory of data objects (A7)")


def parse_dodf(data: bytes) -> bytes:
    """Return the path of EF(ACMain) from EF(DODF): the object with the identifier 1.2.840.114283.200.1.1.

    Raises:
        ProtocolError: there is none.
    """
    for entry in _entries(data, "EF(DODF)"):
        if entry.tag != _OID_DO:
            continue
        for part in entry.children():
            if part.tag != _OID_DO:
                continue
            value = _only(part, "EF(DODF)")
            inner = value.children() if value.tag == _SEQUENCE else ()
            if inner and (inner[0].tag, inner[0].value) == (_OID, _ACCESS_CONTROL):
                return _path(inner[1:], "EF(DODF)")
    raise ProtocolError("EF(DODF): no access control")


def parse_acmain(data: bytes) -> tuple[bytes, bytes]:
    """Return the refresh tag (8 bytes) and the path of EF(ACRules) from EF(ACMain).

    Raises:
        ProtocolError: it is malformed.
    """
    for entry in _entries(data, "EF(ACMain)"):
        parts = entry.children() if entry.tag == _SEQUENCE else ()
        if len(parts) == 2 and parts[0].tag == _OCTETS and len(parts[0].value) == _REFRESH_BYTES:
            return parts[0].value, _path(parts[1:], "EF(ACMain)")
    raise ProtocolError("EF(ACMain): want a refresh tag of 8 bytes and a path")


def parse_rules(data: bytes) -> tuple[tuple[bytes | None, bytes], ...]:
    """Return targets and paths of their conditions from EF(ACRules).

    A target is an AID, None for the application selected by default, or nothing for all others.

    Raises:
        ProtocolError: it is malformed.
    """
    rules: list[tuple[bytes | None, bytes]] = []
    for entry in _entries(data, "EF(ACRules)"):
        parts = entry.children() if entry.tag == _SEQUENCE else ()
        if len(parts) != 2:
            raise ProtocolError("EF(ACRules): a rule has a target and a path")
        target = parts[0]
        aid: bytes | None
        if target.tag == _TARGET_AID:
            name = _only(target, "EF(ACRules)")
            if name.tag != _OCTETS or not 5 <= len(name.value) <= 16:
                raise ProtocolError("EF(ACRules): a target that is no AID")
            aid = name.value
        elif target.tag in {_TARGET_DEFAULT, _TARGET_OTHERS}:
            aid = None if target.tag == _TARGET_DEFAULT else b""
        else:
            raise ProtocolError(f"EF(ACRules): a target of tag {target.tag:02X}")
        rules.append((aid, _path(parts[1:], "EF(ACRules)")))
    return tuple(rules)


def parse_conditions(data: bytes, aid: bytes | None) -> tuple[AccessRule, ...]:
    """Return the rules for a target from its EF(ACConditions).

    An empty file gives nobody anything; a condition without a hash is about any device application, one without a rule
    gives all.

    Raises:
        ProtocolError: it is malformed.
    """
    rules = []
    for entry in _entries(data, "EF(ACConditions)"):
        if entry.tag != _SEQUENCE:
            raise ProtocolError(f"EF(ACConditions): tag {entry.tag:02X}, want 30")
        digest, access = b"", Access(True, True)
        for part in entry.children():
            if part.tag == _OCTETS:
                digest = part.value
            elif part.tag == _CONTEXT_0:
                access = _access(part)
            else:
                raise ProtocolError(f"EF(ACConditions): tag {part.tag:02X} in a condition")
        if len(digest) not in _HASH_BYTES:
            raise ProtocolError(f"EF(ACConditions): a hash of {len(digest)} bytes, want 20 or 32")
        rules.append(AccessRule(aid, digest, access))
    return tuple(rules) or (AccessRule(aid, b"", Access(False, False)),)


def _access(rules: tlv.Tlv) -> Access:
    apdus: bool | tuple[ApduFilter, ...] = True
    nfc = True
    for rule in rules.children():
        choice = _only(rule, "EF(ACConditions)")
        if rule.tag == _CONTEXT_0 and choice.tag == _CONTEXT_1:
            apdus = tuple(_filter(each) for each in choice.children())
        elif rule.tag in {_CONTEXT_0, _CONTEXT_1} and choice.tag == _PERMISSION and len(choice.value) == 1:
            # Cards write TRUE as 01, DER's FF too.
            given = choice.value != b"\0"
            if rule.tag == _CONTEXT_0:
                apdus = given
            else:
                nfc = given
        else:
            raise ProtocolError(f"EF(ACConditions): tag {rule.tag:02X} in a rule")
    return Access(apdus, nfc)


def _filter(octets: tlv.Tlv) -> ApduFilter:
    if octets.tag != _OCTETS or len(octets.value) != _FILTER_BYTES:
        raise ProtocolError("EF(ACConditions): an APDU filter has 8 bytes")
    return ApduFilter(octets.value[:4], octets.value[4:])


def _only(constructed: tlv.Tlv, what: str) -> tlv.Tlv:
    parts = constructed.children()
    if len(parts) != 1:
        raise ProtocolError(f"{what}: {len(parts)} data objects in a {constructed.tag:02X}, want one")
    return parts[0]


def _entries(data: bytes, what: str) -> Iterator[tlv.Tlv]:
    """Yield the data objects of a file, up to where nothing more was written."""
    at = 0
    while at < len(data) and data[at] not in {0x00, 0xFF}:
        entry, at = _next(data, at, what)
        yield entry


def _next(data: bytes, at: int, what: str) -> tuple[tlv.Tlv, int]:
    """Read one DER object; tags here have one byte."""
    head = at + 2
    length = data[at + 1] if head <= len(data) else 0x80
    if length > 0x80:
        head += length & 0x7F
        length = int.from_bytes(data[at + 2 : head], "big")
    elif length == 0x80:
        raise ProtocolError(f"{what}: cut short at byte {at}")
    if head + length > len(data):
        raise ProtocolError(f"{what}: cut short at byte {at}")
    return tlv.parse_one(data[at : head + length]), head + length


def _path(parts: tuple[tlv.Tlv, ...], what: str) -> bytes:
    """Return the path of a Path: file identifiers of two bytes."""
    path = next((part for part in parts if part.tag == _SEQUENCE), None)
    octets = path.children()[0] if path is not None and path.children() else None
    if octets is None or octets.tag != _OCTETS or not octets.value or len(octets.value) % 2:
        raise ProtocolError(f"{what}: want a path")
    return octets.value
