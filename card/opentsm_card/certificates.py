"""Certificates in GlobalPlatform's own format (7F21), of ECC keys.

What is signed are the data objects before the signature, as they stand.

Spec: GP Amendment F 1.3, 6.1 (table 6-1; the same format in Amendments A and E); GP Card Specification 2.3.1, B.4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.signatures import sign, verify

__all__ = ["Certificate", "decode_point", "encode_point"]

TAG_CERTIFICATE: Final = 0x7F21
_TAG_SERIAL: Final = 0x93
_TAG_ISSUER: Final = 0x42
_TAG_SUBJECT: Final = 0x5F20
_TAG_USAGE: Final = 0x95
_TAG_EFFECTIVE: Final = 0x5F25
_TAG_EXPIRES: Final = 0x5F24
_TAG_DISCRETIONARY: Final = 0x53
_TAG_PUBLIC_KEY: Final = 0x7F49
_TAG_SIGNATURE: Final = 0x5F37
_TAG_POINT: Final = 0xB0
_TAG_CURVE: Final = 0xF0

_ORDER: Final = (
    _TAG_SERIAL,
    _TAG_ISSUER,
    _TAG_SUBJECT,
    _TAG_USAGE,
    _TAG_EFFECTIVE,
    _TAG_EXPIRES,
    _TAG_DISCRETIONARY,
    _TAG_PUBLIC_KEY,
    _TAG_SIGNATURE,
)
_REQUIRED: Final = {_TAG_SERIAL, _TAG_ISSUER, _TAG_SUBJECT, _TAG_USAGE, _TAG_PUBLIC_KEY, _TAG_SIGNATURE}
# Key parameter references (table B-2) by curve.
_CURVES: Final[dict[int, ec.EllipticCurve]] = {0: ec.SECP256R1(), 1: ec.SECP384R1()}

USAGE_AGREEMENT: Final = b"\x00\x80"
USAGE_VERIFICATION: Final = b"\x82"


def encode_point(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key uncompressed: 04 and two coordinates (B.4.4)."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def decode_point(point: bytes, curve: int | None = None) -> ec.EllipticCurvePublicKey:
    """Return the public key that a point is.

    Args:
        point: 04 and two coordinates.
        curve: key parameter reference; None to tell it by the length.

    Raises:
        ProtocolError: not a point of P-256 or P-384.
    """
    reference = {65: 0, 97: 1}.get(len(point)) if curve is None else curve
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[-1 if reference is None else reference], point)
    except (KeyError, ValueError) as error:
        raise ProtocolError(f"a public key of {len(point)} bytes that is no point of P-256 or P-384") from error


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate.

    Args:
        serial: serial number (93).
        issuer: identifier of who signed it (42).
        subject: identifier of whose key it is (5F20).
        usage: key usage (95): 0080 key agreement, 82 verification.
        point: the public key: 04 and two coordinates.
        curve: key parameter reference of the point's curve: 0 P-256, 1 P-384.
        effective: first day, YYYYMMDD in BCD (5F25), or empty.
        expires: last day (5F24), or empty.
        discretionary: anything (53), or empty.
        signature: r and s; empty while it is not signed.
    """

    serial: bytes
    issuer: bytes
    subject: bytes
    usage: bytes
    point: bytes
    curve: int = 0
    effective: bytes = b""
    expires: bytes = b""
    discretionary: bytes = b""
    signature: bytes = b""

    def signed_data(self) -> bytes:
        """Return what the signature signs."""
        key = tlv.encode(_TAG_POINT, self.point) + tlv.encode(_TAG_CURVE, bytes((self.curve,)))
        values = (
            self.serial,
            self.issuer,
            self.subject,
            self.usage,
            self.effective,
            self.expires,
            self.discretionary,
            key,
        )
        return b"".join(tlv.encode(tag, value) for tag, value in zip(_ORDER, values, strict=False) if value)

    def encode(self) -> bytes:
        """Return the data object 7F21."""
        return tlv.encode(TAG_CERTIFICATE, self.signed_data() + tlv.encode(_TAG_SIGNATURE, self.signature))

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse the data object 7F21.

        Raises:
            ProtocolError: not a certificate of an ECC key, its objects in order.
        """
        outer = tlv.parse_one(encoded)
        if outer.tag != TAG_CERTIFICATE:
            raise ProtocolError(f"certificate: tag {outer.tag:02X}, 7F21 wanted")
        objects = outer.children()
        tags = [item.tag for item in objects]
        if tags != [tag for tag in _ORDER if tag in tags] or not set(tags) >= _REQUIRED:
            raise ProtocolError("certificate: data objects missing, unknown, or not in order")
        values = {item.tag: item.value for item in objects}
        key = tlv.parse_all(values[_TAG_PUBLIC_KEY])
        point, curve = tlv.find(key, _TAG_POINT), tlv.find(key, _TAG_CURVE)
        if point is None or curve is None or len(curve) != 1:
            raise ProtocolError("certificate: a public key (B0) and its curve (F0) wanted")
        parsed = cls(
            values[_TAG_SERIAL],
            values[_TAG_ISSUER],
            values[_TAG_SUBJECT],
            values[_TAG_USAGE],
            point,
            curve[0],
            values.get(_TAG_EFFECTIVE, b""),
            values.get(_TAG_EXPIRES, b""),
            values.get(_TAG_DISCRETIONARY, b""),
            values[_TAG_SIGNATURE],
        )
        if parsed.encode() != encoded:
            raise ProtocolError("certificate: not coded in the shortest form")
        return parsed

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The key that is certified; raises `ProtocolError` when it is no point of its curve."""
        return decode_point(self.point, self.curve)

    def signed(self, key: ec.EllipticCurvePrivateKey) -> Certificate:
        """Return the certificate with its signature."""
        signature = sign(key, self.signed_data())
        return Certificate(
            self.serial,
            self.issuer,
            self.subject,
            self.usage,
            self.point,
            self.curve,
            self.effective,
            self.expires,
            self.discretionary,
            signature,
        )

    def check(self, issuer_key: ec.EllipticCurvePublicKey, *, usage: bytes, today: bytes = b"") -> None:
        """Verify the signature, the usage, and the dates if a day is given.

        Args:
            issuer_key: of who signed it.
            usage: what the key is to be used for.
            today: YYYYMMDD in BCD; empty not to look at the dates.

        Raises:
            SecureChannelError: it does not verify, is for another use, or not valid today.
        """
        verify(issuer_key, self.signed_data(), self.signature, "certificate")
        if self.usage != usage:
            raise SecureChannelError(f"certificate is for usage {self.usage.hex().upper()}")
        early = self.effective and today and today < self.effective
        if early or (self.expires and today and today > self.expires):
            raise SecureChannelError("certificate is not valid today")
