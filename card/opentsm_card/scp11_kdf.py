"""SCP11's key agreement: shared secrets, derivation and the receipt, the same on both sides.

Spec: GP Card Specification Amendment F 1.3, 3.1.2 (derivation), 6.5.2 (receipt); BSI TR-03111, 4.3.3 (X9.63 KDF).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from opentsm_card.errors import ProtocolError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.scp03_kdf import SessionKeys

__all__ = ["POINT_BYTES", "AgreedKeys", "KeyUsage", "Variant", "decode_point", "encode_point", "receipt"]

POINT_BYTES: Final = 65
_KEY_TYPE_AES: Final = 0x88


class Variant(Enum):
    """A kind of SCP11: its parameter byte (table 6-3), key identifier (table 7-1) and instruction."""

    A = (0x01, 0x11, 0x82)
    B = (0x00, 0x13, 0x88)
    C = (0x03, 0x15, 0x82)

    @property
    def parameter(self) -> int:
        """The second byte of tag 90."""
        return self.value[0]

    @property
    def key_id(self) -> int:
        """Identifier of the security domain's private key."""
        return self.value[1]

    @property
    def ins(self) -> int:
        """MUTUAL AUTHENTICATE, or INTERNAL AUTHENTICATE for b."""
        return self.value[2]


class KeyUsage(Enum):
    """What the session's keys are for, and the security level that this makes (table 6-5)."""

    MAC = 0x34
    ALL = 0x3C

    @property
    def level(self) -> SecurityLevel:
        """The session's security level."""
        return SecurityLevel.C_MAC_R_MAC if self is KeyUsage.MAC else SecurityLevel.ALL


def decode_point(point: bytes) -> ec.EllipticCurvePublicKey:
    """Return a public key on P-256 from 04 and two coordinates.

    Raises:
        ProtocolError: of another form, or not on the curve.
    """
    if len(point) != POINT_BYTES:
        raise ProtocolError(f"a point of P-256 has {POINT_BYTES} bytes, not {len(point)}")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as error:
        raise ProtocolError("a point that is not on P-256") from error


def encode_point(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as 04 and two coordinates.

    Raises:
        ProtocolError: a key on another curve than P-256.
    """
    if not isinstance(key.curve, ec.SECP256R1):
        raise ProtocolError(f"SCP11 takes keys on P-256, not on {key.curve.name}")
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


@dataclass(frozen=True, slots=True)
class AgreedKeys:
    """The five keys of an agreement.

    Args:
        receipt: for the receipt alone.
        session: S-ENC, S-MAC and S-RMAC.
        dek: S-DEK, for sensitive data.
    """

    receipt: bytes
    session: SessionKeys
    dek: bytes

    def __repr__(self) -> str:
        """Show nothing: they are secret and have no name."""
        return "AgreedKeys(…)"

    @classmethod
    def derive(cls, first: bytes, second: bytes, usage: KeyUsage, key_bytes: int) -> AgreedKeys:
        """Derive them from both shared secrets.

        Args:
            first: of the ephemeral keys; with SCP11c of the host's ephemeral and the domain's static key. 32 bytes.
            second: of the static keys; with SCP11b of the host's ephemeral and the domain's static key. 32 bytes.
            usage: of the keys.
            key_bytes: 16, 24 or 32.

        Raises:
            ProtocolError: no AES key has this length.
        """
        if key_bytes not in {16, 24, 32}:
            raise ProtocolError(f"no AES key has {key_bytes} bytes")
        information = bytes((usage.value, _KEY_TYPE_AES, key_bytes))
        derived = X963KDF(hashes.SHA256(), 5 * key_bytes, information).derive(first + second)
        keys = [derived[start : start + key_bytes] for start in range(0, 5 * key_bytes, key_bytes)]
        return cls(keys[0], SessionKeys(*keys[1:4]), keys[4])


def receipt(key: bytes, request: bytes, public_key: bytes) -> bytes:
    """Return the receipt, 16 bytes, which is the first MAC chaining value too.

    Args:
        key: the receipt key.
        request: the data field of MUTUAL or INTERNAL AUTHENTICATE.
        public_key: the whole data object 5F49 of the answer.
    """
    cmac = CMAC(algorithms.AES(key))
    cmac.update(request + public_key)
    return cmac.finalize()
