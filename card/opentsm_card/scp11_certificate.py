"""Certificates in GlobalPlatform's format (7F21) for SCP11: make, read and verify them.

Spec: GP Card Specification Amendment F 1.3, 6.1 (table 6-1).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.scp11_kdf import decode_point, encode_point

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CertificateUsage", "OwnCertificate", "verify_chain"]

_TAG_CERTIFICATE: Final = 0x7F21
_TAG_SERIAL: Final = 0x93
_TAG_ISSUER: Final = 0x42
_TAG_SUBJECT: Final = 0x5F20
_TAG_USAGE: Final = 0x95
_TAG_EFFECTIVE: Final = 0x5F25
_TAG_EXPIRATION: Final = 0x5F24
_TAG_PUBLIC_KEY: Final = 0x7F49
_TAG_POINT: Final = 0xB0
_TAG_PARAMETERS: Final = 0xF0
_TAG_SIGNATURE: Final = 0x5F37
_P256: Final = b"\x00"
_SCALAR_BYTES: Final = 32
_ORDER: Final = (_TAG_SERIAL, _TAG_ISSUER, _TAG_SUBJECT, _TAG_USAGE)


class CertificateUsage(Enum):
    """What the certified key is for (tag 95)."""

    AUTHORITY = b"\x82"
    AGREEMENT = b"\x00\x80"


def _date(text: str) -> bytes:
    if len(text) != 8 or not text.isdecimal() or not text.isascii():
        raise ProtocolError(f"{text!r} is no date of the form YYYYMMDD")
    return bytes.fromhex(text)


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A certificate of a key on P-256.

    Args:
        serial: serial number, 1 to 16 bytes.
        issuer: identifier of the authority that signs.
        subject: identifier of whose key it is.
        usage: of the key.
        expiration: YYYYMMDD.
        point: the public key, 04 and two coordinates.
        effective: YYYYMMDD, or None.
        signature: r and s, 64 bytes; empty before `signed`.
    """

    serial: bytes
    issuer: bytes
    subject: bytes
    usage: CertificateUsage
    expiration: str
    point: bytes
    effective: str | None = None
    signature: bytes = b""

    def _content(self) -> bytes:
        effective = b"" if self.effective is None else tlv.encode(_TAG_EFFECTIVE, _date(self.effective))
        key = tlv.encode(_TAG_POINT, self.point) + tlv.encode(_TAG_PARAMETERS, _P256)
        return (
            tlv.encode(_TAG_SERIAL, self.serial)
            + tlv.encode(_TAG_ISSUER, self.issuer)
            + tlv.encode(_TAG_SUBJECT, self.subject)
            + tlv.encode(_TAG_USAGE, self.usage.value)
            + effective
            + tlv.encode(_TAG_EXPIRATION, _date(self.expiration))
            + tlv.encode(_TAG_PUBLIC_KEY, key)
        )

    def signed(self, signer: ec.EllipticCurvePrivateKey) -> OwnCertificate:
        """Return it with the signature of an authority's key on P-256.

        Raises:
            ProtocolError: a key on another curve.
        """
        encode_point(signer.public_key())
        r, s = decode_dss_signature(signer.sign(self._content(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_SCALAR_BYTES, "big") + s.to_bytes(_SCALAR_BYTES, "big")
        return OwnCertificate(
            self.serial,
            self.issuer,
            self.subject,
            self.usage,
            self.expiration,
            self.point,
            self.effective,
            signature,
        )

    def verify(self, authority: ec.EllipticCurvePublicKey) -> None:
        """Check the signature.

        Raises:
            SecureChannelError: it is not the authority's, or of another content.
        """
        r, s = (int.from_bytes(self.signature[at : at + _SCALAR_BYTES], "big") for at in (0, _SCALAR_BYTES))
        try:
            authority.verify(encode_dss_signature(r, s), self._content(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise SecureChannelError("the certificate's signature does not verify") from error

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the certified key.

        Raises:
            ProtocolError: a point that is not on P-256.
        """
        return decode_point(self.point)

    def encode(self) -> bytes:
        """Return the certificate with its tag.

        Raises:
            ProtocolError: it is not signed, or a field has a wrong length.
        """
        if len(self.signature) != 2 * _SCALAR_BYTES or not 1 <= len(self.serial) <= 16:
            raise ProtocolError("certificate: a signature of 64 bytes and a serial number of 1 to 16 wanted")
        return tlv.encode(_TAG_CERTIFICATE, self._content() + tlv.encode(_TAG_SIGNATURE, self.signature))

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse a certificate with its tag, of the fields that this class has.

        Raises:
            ProtocolError: malformed, or with other fields: what is signed could not be given again.
        """
        certificate = tlv.parse_one(encoded)
        if certificate.tag != _TAG_CERTIFICATE:
            raise ProtocolError(f"certificate: 7F21 wanted, not {certificate.tag:X}")
        objects = certificate.children()
        tags = tuple(found.tag for found in objects)
        has_effective = _TAG_EFFECTIVE in tags
        dates = (_TAG_EFFECTIVE, _TAG_EXPIRATION) if has_effective else (_TAG_EXPIRATION,)
        if tags != (*_ORDER, *dates, _TAG_PUBLIC_KEY, _TAG_SIGNATURE):
            raise ProtocolError("certificate: 93, 42, 5F20, 95, 5F25 or not, 5F24, 7F49, 5F37 wanted")
        values = [found.value for found in objects]
        key = objects[-2].children()
        if [found.tag for found in key] != [_TAG_POINT, _TAG_PARAMETERS] or key[1].value != _P256:
            raise ProtocolError("certificate: a key on P-256 (B0, F0 00) wanted")
        try:
            usage = CertificateUsage(values[3])
        except ValueError as error:
            raise ProtocolError(f"certificate: key usage {values[3].hex()} is not known") from error
        parsed = cls(
            values[0],
            values[1],
            values[2],
            usage,
            values[-3].hex(),
            key[0].value,
            values[4].hex() if has_effective else None,
            values[-1],
        )
        if parsed.encode() != encoded:
            raise ProtocolError("certificate: not in the shortest encoding")
        return parsed


def verify_chain(
    certificates: Sequence[OwnCertificate], authority: ec.EllipticCurvePublicKey
) -> ec.EllipticCurvePublicKey:
    """Verify a chain, the first signed by an authority, each further one by the one before; return the last's key.

    Raises:
        SecureChannelError: a signature, name or usage that does not fit. A chain of none verifies nothing.
        ProtocolError: a point that is not on P-256.
    """
    if not certificates:
        raise SecureChannelError("no certificate")
    signer = authority
    for number, certificate in enumerate(certificates):
        last = number == len(certificates) - 1
        certificate.verify(signer)
        if number and certificate.issuer != certificates[number - 1].subject:
            raise SecureChannelError(f"certificate {number} names another issuer than the one before")
        if certificate.usage is not (CertificateUsage.AGREEMENT if last else CertificateUsage.AUTHORITY):
            raise SecureChannelError(f"certificate {number} is not for what it is used for")
        signer = certificate.public_key()
    return signer
