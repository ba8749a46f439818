"""What protocol parameters, key versions and object identifiers mean, in words.

Spec: GP Card Specification 2.3.1, table E-1 (SCP02), 11.1.9 and Amendment D 1.2, table 5-1 (SCP03); Amendment F 1.3,
table 5-1 (SCP11); Amendment C 1.3 and ETSI TS 102 225 (key versions of SCP80, SCP81).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentsm_card.card_data import Oid
    from opentsm_card.key_information import KeyInformation

__all__ = ["key_words", "oid_words", "scp_words"]

_SCP02: Final = (
    (0x01, "three keys", "one base key"),
    (0x02, "C-MAC on the unmodified APDU", "C-MAC on the modified APDU"),
    (0x04, "explicit initiation", "implicit initiation"),
    (0x08, "ICV set to MAC over the AID", "ICV set to zero"),
    (0x10, "ICV encryption for C-MAC", "no ICV encryption"),
    (0x20, "R-MAC", "no R-MAC"),
    (0x40, "well-known pseudo-random challenge", "random challenge"),
)
_SCP03: Final = (
    (0x01, "challenges and MACs of 16 bytes", "challenges and MACs of 8 bytes"),
    (0x10, "pseudo-random card challenge", "random card challenge"),
    (0x20, "R-MAC", "no R-MAC"),
    (0x40, "R-ENC", "no R-ENC"),
)
_SCP11: Final = (
    (0x01, "SCP11a", ""),
    (0x02, "SCP11b", ""),
    (0x10, "SCP11c", ""),
    (0x40, "MACs of 16 bytes", "MACs of 8 bytes"),
)
_VERSIONS: Final = (
    (range(0x01, 0x10), "OTA (SCP80)"),
    (range(0x20, 0x30), "SCP02"),
    (range(0x30, 0x40), "SCP03"),
    (range(0x40, 0x50), "TLS (SCP81)"),
)
_PUBLIC: Final = (
    (range(0x70, 0x71), "token verification"),
    (range(0x73, 0x74), "DAP verification"),
    (range(0x74, 0x75), "CASD"),
)
_SYMMETRIC: Final = (
    (range(0x11, 0x12), "DAP verification (TS 102 226)"),
    (range(0x71, 0x72), "receipt generation"),
    (range(0x73, 0x74), "DAP verification"),
    (range(0x75, 0x76), "ciphered load file data block"),
)
_CHIP: Final = {
    (1, 3, 6, 1, 4, 1, 42, 2, 110, 1): "Java Card",
    (1, 3, 656, 840, 100, 2, 1): "OP2.x/VOP configuration",
}


def scp_words(scp: int, i: int) -> list[str]:
    """Return what i means under a secure channel protocol; empty where GP defines nothing for it.

    Of an i with two bytes, as newer cards have for SCP11, nothing is said.
    """
    if i > 0xFF:
        return []
    bits = {0x02: _SCP02, 0x03: _SCP03, 0x11: _SCP11}.get(scp, ())
    return [text for mask, one, zero in bits if (text := one if i & mask else zero)]


def key_words(key: KeyInformation) -> str:
    """Return what keys of this version are for, where GP or ETSI reserve it; empty where they don't.

    Cards use the versions of tokens, receipts and DAPs (70 to 75) for other keys too: a 3DES key 70 is no token key.
    """
    if key.version == 0xFF:
        return "initial keys, to be replaced"
    public = key.components[0].key_type & 0xF0 in {0xA0, 0xB0}
    ranges = (*_VERSIONS, *(_PUBLIC if public else _SYMMETRIC))
    known = next((words for numbers, words in ranges if key.version in numbers), "")
    part = {1: "ENC", 2: "MAC", 3: "DEK"}.get(key.key_id, "") if known in {"SCP02", "SCP03"} else ""
    return f"{known} {part}".strip()


def oid_words(oid: Oid) -> str:
    """Return what an object identifier of 65 or 66 means, in brackets; empty where it is not known."""
    for prefix, words in _CHIP.items():
        if oid[: len(prefix)] == prefix:
            version = ".".join(map(str, oid[len(prefix) :]))
            return f" ({words} {version})"
    return ""
