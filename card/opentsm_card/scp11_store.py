"""What belongs to the keys of SCP11 on a card: certificates, allow lists and names of authorities.

The functions that store give the data of STORE DATA (structure BER-TLV), the others read what GET DATA answers.

Spec: GP Card Specification Amendment F 1.3, 7.7 to 7.11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "KeyReference",
    "certificate_request",
    "parse_authorities",
    "parse_certificates",
    "store_allow_list",
    "store_authority",
    "store_certificates",
]

_TAG_REFERENCE: Final = 0xA6
_TAG_KEY: Final = 0x83
_TAG_KIND: Final = 0x80
_TAG_NAME: Final = 0x42
_TAG_CERTIFICATES: Final = 0xBF21
_TAG_ALLOW_LIST: Final = 0x70
_TAG_SERIAL: Final = 0x93
_CERTIFICATE_TAGS: Final = frozenset({0x7F21, 0x30})


@dataclass(frozen=True, slots=True, order=True)
class KeyReference:
    """A key of a security domain.

    Args:
        key_id: 10, 20..2F an authority's; 11, 13, 15 the domain's own of SCP11a, b, c.
        key_version: 1..127.
    """

    key_id: int
    key_version: int

    def encode(self) -> bytes:
        """Return identifier and version.

        Raises:
            ProtocolError: out of range.
        """
        if not 0 <= self.key_id <= 0x7F or not 0 <= self.key_version <= 0xFF:
            raise ProtocolError(f"no key has identifier {self.key_id} and version {self.key_version}")
        return bytes((self.key_id, self.key_version))

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse identifier and version.

        Raises:
            ProtocolError: not 2 bytes.
        """
        if len(encoded) != 2:
            raise ProtocolError(f"a key reference has 2 bytes, not {len(encoded)}")
        return cls(encoded[0], encoded[1])


def _reference(key: KeyReference, more: bytes = b"") -> bytes:
    return tlv.encode(_TAG_REFERENCE, more + tlv.encode(_TAG_KEY, key.encode()))


def store_certificates(key: KeyReference, certificates: Sequence[bytes]) -> bytes:
    """Return the data that stores certificates of a key, encoded, its own at the end; none takes them away."""
    return _reference(key) + tlv.encode(_TAG_CERTIFICATES, b"".join(certificates))


def store_allow_list(authority: KeyReference, serials: Iterable[bytes]) -> bytes:
    """Return the data that allows an authority's certificates with these serial numbers alone; none allows all."""
    return _reference(authority) + tlv.encode(
        _TAG_ALLOW_LIST, b"".join(tlv.encode(_TAG_SERIAL, one) for one in serials)
    )


def store_authority(authority: KeyReference, name: bytes, *, of_cards: bool = False) -> bytes:
    """Return the data that names the authority whose key a key is.

    Args:
        authority: its key, or with `of_cards` the domain's own key that it certified.
        name: its identifier, such as a hash of its key; empty takes the name away.
        of_cards: it certifies cards, not hosts.
    """
    return _reference(authority, tlv.encode(_TAG_KIND, bytes((of_cards,))) + tlv.encode(_TAG_NAME, name))


def certificate_request(key: KeyReference) -> bytes:
    """Return the data of GET DATA BF21 that asks for the certificates of a key."""
    return _reference(key)


def parse_certificates(encoded: bytes) -> tuple[bytes, ...]:
    """Parse what GET DATA BF21 answers, the whole object: certificates, each encoded, the key's own at the end.

    Raises:
        ProtocolError: malformed.
    """
    store = tlv.parse_one(encoded)
    if store.tag != _TAG_CERTIFICATES:
        raise ProtocolError(f"BF21 wanted, not {store.tag:X}")
    certificates = store.children()
    if unknown := {found.tag for found in certificates} - _CERTIFICATE_TAGS:
        raise ProtocolError(f"certificate store: {min(unknown):X} is no certificate")
    return tuple(certificate.encode() for certificate in certificates)


def parse_authorities(encoded: bytes) -> dict[KeyReference, bytes]:
    """Parse what GET DATA FF33 (of hosts) or FF34 (of cards) answers, the whole object: names by key.

    Raises:
        ProtocolError: malformed.
    """
    listed = tlv.parse_one(encoded)
    objects = listed.children() if listed.constructed else tlv.parse_all(listed.value)
    if listed.tag not in {0xFF33, 0xFF34} or [found.tag for found in objects] != [_TAG_NAME, _TAG_KEY] * (
        len(objects) // 2
    ):
        raise ProtocolError("authorities: FF33 or FF34 with pairs of 42 and 83 wanted")
    return {KeyReference.parse(key.value): name.value for name, key in zip(objects[::2], objects[1::2], strict=True)}
