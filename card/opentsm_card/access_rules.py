"""Access rules of a secure element: which device application may send which APDUs to which application of the card.

Rules come from the card: from the ARA-M, an application, or from the ARF, files in PKCS #15 form (`opentsm_card.arf`).

Spec: GPD_SPE_013, GlobalPlatform Secure Element Access Control 1.1: clauses 3.2 (rules), 4.1 (GET DATA), 4.2 (search),
6 (data objects). Where the search reads "specific rules stand before generic ones", it does as the Open Mobile API
implementations for Android do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ALWAYS",
    "ARA_M",
    "GET_ALL",
    "GET_NEXT",
    "GET_REFRESH_TAG",
    "NEVER",
    "TAG_ALL",
    "Access",
    "AccessRule",
    "AccessRules",
    "ApduFilter",
    "parse_all",
    "parse_apdus",
    "parse_refresh_tag",
    "parse_rules",
]

ARA_M: Final = bytes.fromhex("A00000015141434C00")
"""AID of the access rule application master (clause 4.1)."""

GET_ALL: Final = bytes.fromhex("80CAFF4000")
GET_NEXT: Final = bytes.fromhex("80CAFF6000")
GET_REFRESH_TAG: Final = bytes.fromhex("80CADF2000")

TAG_ALL: Final = 0xFF40
TAG_REFRESH: Final = 0xDF20
_TAG_RULE: Final = 0xE2
_TAG_REF: Final = 0xE1
_TAG_AR: Final = 0xE3
_TAG_AID: Final = 0x4F
_TAG_DEFAULT: Final = 0xC0
_TAG_HASH: Final = 0xC1
_TAG_APDU: Final = 0xD0
_TAG_NFC: Final = 0xD1
_HASH_BYTES: Final = frozenset({0, 20, 32})
_AID_BYTES: Final = frozenset({0, *range(5, 17)})
_FILTER_BYTES: Final = 8
_HEADER_BYTES: Final = 4
_REFRESH_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class ApduFilter:
    """Lets C-APDUs pass whose header under a mask is this one; 4 bytes each.

    Spec: GPD_SPE_013 1.1 table 6-8.
    """

    header: bytes
    mask: bytes

    def allows(self, command: bytes) -> bool:
        """Tell whether a C-APDU, its class byte as on the basic channel, passes."""
        return all(
            byte & mask == header & mask for byte, mask, header in zip(command, self.mask, self.header, strict=False)
        )


@dataclass(frozen=True, slots=True)
class Access:
    """What a rule gives.

    Args:
        apdus: True for all, False for none, or the filters of which one must let a C-APDU pass.
        nfc: may be told of NFC events; None where the rule does not say.
    """

    apdus: bool | tuple[ApduFilter, ...]
    nfc: bool | None = None

    def allows(self, command: bytes) -> bool:
        """Tell whether a C-APDU, its class byte as on the basic channel, may be sent."""
        if isinstance(self.apdus, bool):
            return self.apdus
        return len(command) >= _HEADER_BYTES and any(each.allows(command) for each in self.apdus)

    def merged(self, other: Self) -> Access:
        """Return what two rules for the same applications give together: never wins, filters add up."""
        nfc = other.nfc if self.nfc is None else self.nfc and other.nfc is not False
        if self.apdus is False or other.apdus is False:
            return Access(False, nfc)
        filters = tuple(each for rule in (self.apdus, other.apdus) if isinstance(rule, tuple) for each in rule)
        return Access(filters or True, nfc)


NEVER: Final = Access(False, False)
ALWAYS: Final = Access(True, True)


@dataclass(frozen=True, slots=True)
class AccessRule:
    """A rule.

    Args:
        aid: the card's application it is about; empty: every other one; None: the one that is selected by default.
        device_application: SHA-1 or SHA-256 of the device application's certificate; empty: any.
        access: what it gives.
    """

    aid: bytes | None
    device_application: bytes
    access: Access


class AccessRules:
    """All rules of a card.

    Args:
        rules: in any order; several for the same applications are merged.
    """

    def __init__(self, rules: Iterable[AccessRule]) -> None:
        self._access: dict[tuple[bytes | None, bytes], Access] = {}
        for rule in rules:
            key = (rule.aid, rule.device_application)
            known = self._access.get(key)
            self._access[key] = rule.access if known is None else known.merged(rule.access)

    def __len__(self) -> int:
        """Count the pairs of applications that rules are about."""
        return len(self._access)

    def access(self, aid: bytes | None, device_application: bytes) -> Access:
        """Return what a device application may do with an application of the card; without a rule, nothing.

        Args:
            aid: the card's application; None for the one that is selected by default.
            device_application: SHA-1 or SHA-256 of its certificate; several hashes of one are asked for one by one.

        Spec: GPD_SPE_013 1.1 clauses 3.2.1 and 4.2.3: the rule for both; else, where another device application has a
        rule for this application, none; else that for any device application; then the same for every other AID.
        """
        for about in (aid, b""):
            for application in (device_application, b""):
                found = self._access.get((about, application))
                if found is not None:
                    return found
                if application and any(key[0] == about and key[1] for key in self._access):
                    return NEVER
        return NEVER


def parse_all(data: bytes) -> tuple[AccessRule, ...]:
    """Parse what GET DATA [All] and [Next] brought, put together: a Response-ALL-REF-AR-DO (FF40).

    Raises:
        ProtocolError: it is none.
    """
    response = tlv.parse_one(data)
    if response.tag != TAG_ALL:
        raise ProtocolError(f"access rules: tag {response.tag:X}, want FF40")
    return parse_rules(response.value)


def parse_rules(data: bytes) -> tuple[AccessRule, ...]:
    """Parse REF-AR-DOs (E2), one behind the other; rules that are about packages of Android only are left out.

    Raises:
        ProtocolError: they are malformed.
    """
    rules = []
    for each in tlv.parse_all(data):
        if each.tag != _TAG_RULE:
            raise ProtocolError(f"access rules: tag {each.tag:X}, want E2")
        parts = {part.tag: part for part in each.children()}
        if _TAG_REF not in parts or _TAG_AR not in parts:
            raise ProtocolError("access rules: a REF-AR-DO without REF-DO or AR-DO")
        rule = _rule(parts[_TAG_REF].children(), parts[_TAG_AR].children())
        if rule is not None:
            rules.append(rule)
    return tuple(rules)


def parse_refresh_tag(data: bytes) -> bytes:
    """Parse a Response-Refresh-Tag-DO (DF20): 8 bytes that change when rules do.

    Raises:
        ProtocolError: it is none.
    """
    response = tlv.parse_one(data)
    if response.tag != TAG_REFRESH or len(response.value) != _REFRESH_BYTES:
        raise ProtocolError("access rules: want a refresh tag (DF20) of 8 bytes")
    return response.value


def _rule(ref: tuple[tlv.Tlv, ...], ar: tuple[tlv.Tlv, ...]) -> AccessRule | None:
    names = {part.tag: part.value for part in ref}
    rights = {part.tag: part.value for part in ar}
    digest = names.get(_TAG_HASH)
    if digest is None or (_TAG_AID not in names and _TAG_DEFAULT not in names):
        return None
    if len(digest) not in _HASH_BYTES:
        raise ProtocolError(f"access rules: a hash of {len(digest)} bytes, want 20 or 32")
    aid = names.get(_TAG_AID)
    if aid is not None and len(aid) not in _AID_BYTES:
        raise ProtocolError(f"access rules: an AID of {len(aid)} bytes")
    nfc = _flag(rights[_TAG_NFC]) if _TAG_NFC in rights else None
    # Without an APDU-AR-DO a rule gives no APDUs (table 6-7).
    return AccessRule(aid, digest, Access(parse_apdus(rights[_TAG_APDU]) if _TAG_APDU in rights else False, nfc))


def parse_apdus(value: bytes) -> bool | tuple[ApduFilter, ...]:
    """Parse the value of an APDU-AR-DO: 00 never, 01 always, or filters of 8 bytes.

    Raises:
        ProtocolError: it is none of them.
    """
    if len(value) == 1:
        return _flag(value)
    if not value or len(value) % _FILTER_BYTES:
        raise ProtocolError(f"access rules: APDU filters of {len(value)} bytes, want a multiple of 8")
    cut = (value[at : at + _FILTER_BYTES] for at in range(0, len(value), _FILTER_BYTES))
    return tuple(ApduFilter(each[:_HEADER_BYTES], each[_HEADER_BYTES:]) for each in cut)


def _flag(value: bytes) -> bool:
    if value not in {b"\0", b"\1"}:
        raise ProtocolError(f"access rules: {value.hex().upper() or 'nothing'}, want 00 or 01")
    return value == b"\1"
