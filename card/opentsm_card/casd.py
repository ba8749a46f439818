"""Confidential set-up of a security domain's keys with the help of the card's controlling authority (a CASD).

The host agrees on a secret with the CASD, whose key a certificate vouches for; the keys of the domain and a receipt key
are derived from it on both sides. So not even who owns the domain above, or carries the commands, learns them.

The host reads the certificate with GET DATA 7F21 from the CASD and verifies it; sends its ephemeral public key and what
keys there are to be with STORE DATA to the domain; and verifies the receipt in the answer.

Spec: GP Card Specification 2.3.1, B.4.4 (ECKA-EG), B.4.5 (X9.63 key derivation); GP Amendment A 1.2, scenario 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from opentsm_card import tlv
from opentsm_card.certificates import encode_point
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.keys import KeySet
from opentsm_card.signatures import MacKey, verify
from opentsm_card.store_data import DataStructure, Dgi, StoreData, encode_dgis

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

__all__ = ["KeySetUp"]

_DGI_TEMPLATE: Final = 0x00A6
_DGI_PUBLIC_KEY: Final = 0x7F49
_TAG_TEMPLATE: Final = 0xA6
_TAG_RANDOM: Final = 0x85
_TAG_RECEIPT: Final = 0x86
_SCENARIO: Final = 3
_WITH_RANDOM: Final = 0x02
_WITH_NAMES: Final = 0x04
_USAGE: Final = 0x5C
_AES: Final = 0x88
_RANDOM_BYTES: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class KeySetUp:
    """One set-up, from the host's ephemeral key to the key set.

    Args:
        ephemeral: the host's key pair, used once, on the curve of the CASD's key.
        version: key version number of the set, 1..127.
        key_bytes: 16, 24 or 32.
        with_random: have the card put random data into the derivation.
        names: host identifier, provider number (42) and image number (45) of the domain, to derive from; None not to.

    Raises:
        ProtocolError: no key set has such keys.
    """

    ephemeral: EllipticCurvePrivateKey
    version: int
    key_bytes: int = 16
    with_random: bool = True
    names: tuple[bytes, bytes, bytes] | None = None

    def __post_init__(self) -> None:
        """Check what is asked for."""
        if not 1 <= self.version <= 0x7F or self.key_bytes not in {16, 24, 32}:
            raise ProtocolError(f"no AES key set of version {self.version} with keys of {self.key_bytes} bytes")
        if self.names is not None and any(len(name) > 16 for name in self.names):
            raise ProtocolError("names of host and domain have at most 16 bytes")

    def __repr__(self) -> str:
        """Show what is asked for, no key."""
        return f"KeySetUp(version={self.version}, AES-{self.key_bytes * 8})"

    @classmethod
    def begin(
        cls,
        casd_key: EllipticCurvePublicKey,
        version: int,
        *,
        key_bytes: int = 16,
        with_random: bool = True,
        names: tuple[bytes, bytes, bytes] | None = None,
    ) -> Self:
        """Return a set-up with a fresh ephemeral key on the curve of the CASD's, whose certificate was verified."""
        return cls(ec.generate_private_key(casd_key.curve), version, key_bytes, with_random, names)

    def _template(self) -> bytes:
        parameter = (_WITH_RANDOM if self.with_random else 0) | (_WITH_NAMES if self.names else 0)
        value = tlv.encode(0x90, bytes((_SCENARIO, parameter)))
        numbers = ((0x95, _USAGE), (0x80, _AES), (0x81, self.key_bytes), (0x82, 1), (0x83, self.version))
        value += b"".join(tlv.encode(tag, bytes((number,))) for tag, number in numbers)
        if self.names and self.names[0]:
            value += tlv.encode(0x84, self.names[0])
        return tlv.encode(_TAG_TEMPLATE, value)

    def command(self) -> StoreData:
        """Return the STORE DATA for the security domain."""
        groups = (Dgi(_DGI_TEMPLATE, self._template()), Dgi(_DGI_PUBLIC_KEY, encode_point(self.ephemeral.public_key())))
        return StoreData(0, encode_dgis(groups), True, structure=DataStructure.DGI, response=True)

    def finish(self, casd_key: EllipticCurvePublicKey, answer: bytes) -> KeySet:
        """Verify the receipt and return the key set that the domain has now.

        Args:
            casd_key: of the certificate.
            answer: data that answered the command.

        Raises:
            ProtocolError: the answer is malformed, or lacks what was asked for.
            SecureChannelError: the receipt does not verify: another card, or another command.
        """
        objects = tlv.parse_all(answer)
        tags = [item.tag for item in objects]
        if tags != [*([_TAG_RANDOM] if self.with_random else []), _TAG_RECEIPT]:
            raise ProtocolError("key set-up: the answer is not random data (85) and a receipt (86) as asked for")
        random = objects[0].value if self.with_random else b""
        if self.with_random and len(random) != _RANDOM_BYTES:
            raise ProtocolError(f"key set-up: {len(random)} bytes of random data")
        shared = bytes((_USAGE, _AES, self.key_bytes)) + random
        if self.names:
            shared += b"".join(bytes((len(name),)) + name for name in self.names)
        try:
            secret = self.ephemeral.exchange(ec.ECDH(), casd_key)
        except ValueError as error:
            raise SecureChannelError("key set-up: the CASD's key is on another curve") from error
        derived = X963KDF(hashes.SHA256(), 4 * self.key_bytes, shared).derive(secret)
        receipt_key, enc, mac, dek = (
            derived[start : start + self.key_bytes] for start in range(0, len(derived), self.key_bytes)
        )
        signed = self._template() + encode_point(self.ephemeral.public_key())
        signed += tlv.encode(_TAG_RANDOM, random) if self.with_random else b""
        verify(MacKey(receipt_key), signed, objects[-1].value, "receipt of the key set-up")
        return KeySet(self.version, enc, mac, dek)
