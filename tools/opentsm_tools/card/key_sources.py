"""Where keys come from: flags and the environment (files: `key_files`), and how a card's keys derive from them.

Which key, which version and which diversification is always declared by the user. Nothing is guessed: a wrong guess
costs the card one of a few tries.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

from opentsm_card.errors import ProtocolError
from opentsm_card.keys import KeySet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentsm_tools.card.channels import Offer

__all__ = ["DIVERSIFICATIONS", "KeySource", "Material", "combine", "from_environment", "material_of", "parse_key"]

DIVERSIFICATIONS: Final = ("none", "emv", "visa2", "kdf3")
_KEY_BYTES: Final = (16, 24, 32)
_VARIABLES: Final = {"key": "KEY", "enc": "KEY_ENC", "mac": "KEY_MAC", "dek": "KEY_DEK"}

# Keys that vendors deliver test cards with; whoever has read a manual has them.
# GP Card Specification 2.3.1 has no such keys: the first is the field's habit, the second Gemalto's.
_PUBLIC_KEYS: Final = frozenset(
    {
        *(bytes(range(0x40, 0x40 + size)) for size in _KEY_BYTES),
        b"GEMXPRESSOSAMPLE",
    }
)


class KeySource(Protocol):
    """Something that gives a card's static keys once the card has said what it asks for."""

    @property
    def version(self) -> int:
        """Key version to ask the card for; 0 for the card's default."""

    @property
    def origin(self) -> str:
        """Where the keys come from, for people; no secret."""

    @property
    def public(self) -> bool:
        """True when these are test keys that everyone knows."""

    def key_set(self, offer: Offer) -> KeySet:
        """Return the keys for this card."""


@dataclass(frozen=True, slots=True)
class Material:
    """Key bytes as declared.

    Args:
        enc: 16, 24 or 32 bytes.
        mac: as long.
        dek: as long.
        version: key version to ask for, 0..127.
        diversification: how the card's keys derive from these: `none`, `emv`, `visa2` or `kdf3`.
        origin: where they come from.
        test_card: the source declares the card to be a test card.
    """

    enc: bytes
    mac: bytes
    dek: bytes
    version: int = 0
    diversification: str = "none"
    origin: str = ""
    test_card: bool = False

    def __post_init__(self) -> None:
        """Check what does not depend on the card."""
        if self.diversification not in DIVERSIFICATIONS:
            raise ProtocolError(
                f"{self.origin}: diversification {self.diversification!r}: want {', '.join(DIVERSIFICATIONS)}"
            )
        KeySet(self.version, self.enc, self.mac, self.dek)

    def __repr__(self) -> str:
        """Show where the keys come from, and nothing of them."""
        return f"Material({self.origin}, version={self.version}, diversification={self.diversification})"

    @property
    def public(self) -> bool:
        """True when one of them is a published test key."""
        return not _PUBLIC_KEYS.isdisjoint({self.enc, self.mac, self.dek})

    def key_set(self, offer: Offer) -> KeySet:
        """Return the keys for the card that made this offer.

        Raises:
            ProtocolError: these keys don't fit the protocol that the card asks for.
        """
        des = offer.scp in {1, 2}
        if self.diversification == "none":
            if des and len(self.enc) == 32:
                raise ProtocolError(f"{offer.name} takes 3DES keys of 16 or 24 bytes; {self.origin} has 32")
            return KeySet(offer.key_version, self.enc, self.mac, self.dek, des)
        from opentsm_card.diversification import Method, diversify  # noqa: PLC0415 - rarely needed

        if des != (self.diversification != "kdf3"):
            raise ProtocolError(
                f"diversification {self.diversification} gives no keys for {offer.name}: kdf3 goes with AES (SCP03), "
                "emv and visa2 with 3DES (SCP01, SCP02)"
            )
        masters = KeySet(offer.key_version, self.enc, self.mac, self.dek, des)
        method = cast("Method", self.diversification)
        return diversify(masters, method, offer.diversification_data, version=offer.key_version)


def parse_key(text: str, name: str) -> bytes:
    """Return a key given in hex; the error never quotes it.

    Raises:
        ProtocolError: not hex, or of a length that no key has.
    """
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise ProtocolError(f"{name}: not hexadecimal") from None
    if len(key) not in _KEY_BYTES:
        raise ProtocolError(f"{name}: {len(key)} bytes, where a key has 16, 24 or 32")
    return key


def combine(
    parts: Mapping[str, str | None],
    names: Mapping[str, str],
    *,
    version: int | None,
    diversification: str | None,
    test_card: bool = False,
) -> Material | None:
    """Return the keys given as `key` for all three, or as `enc`, `mac` and `dek`; None when nothing is given.

    Args:
        parts: hex by part.
        names: what each part is called where they come from.
        version: key version, if declared.
        diversification: if declared.
        test_card: the source declares a test card.

    Raises:
        ProtocolError: some but not all are given, or one is malformed.
    """
    given = {part: text for part, text in parts.items() if text is not None}
    if not given:
        return None
    if set(given) not in ({"key"}, {"enc", "mac", "dek"}):
        three = ", ".join(names[part] for part in ("enc", "mac", "dek"))
        raise ProtocolError(f"keys: want either {names['key']} alone, or {three} together")
    keys = {part: parse_key(text, names[part]) for part, text in given.items()}
    enc, mac, dek = (keys.get(part) or keys["key"] for part in ("enc", "mac", "dek"))
    origin = ", ".join(names[part] for part in given)
    return Material(enc, mac, dek, version or 0, diversification or "none", origin, test_card)


def from_environment(*, version: int | None, diversification: str | None) -> Material | None:
    """Return the keys in OPENTSM_CARD_KEY, or OPENTSM_CARD_KEY_ENC, _MAC and _DEK; None when they are not set."""
    named = {part: f"OPENTSM_CARD_{name}" for part, name in _VARIABLES.items()}
    parts = {part: os.environ.get(name) for part, name in named.items()}
    return combine(parts, named, version=version, diversification=diversification)


def material_of(secret: bytes, origin: str, *, version: int | None, diversification: str | None) -> Material:
    """Return a stored secret as keys: one key for all three, or three behind one another.

    Raises:
        ProtocolError: of a length that is neither.
    """
    if len(secret) in _KEY_BYTES:
        return Material(secret, secret, secret, version or 0, diversification or "none", origin)
    third, rest = divmod(len(secret), 3)
    if rest or third not in _KEY_BYTES:
        raise ProtocolError(f"{origin}: a secret of {len(secret)} bytes is no key and no three keys")
    enc, mac, dek = secret[:third], secret[third : 2 * third], secret[2 * third :]
    return Material(enc, mac, dek, version or 0, diversification or "none", origin)
