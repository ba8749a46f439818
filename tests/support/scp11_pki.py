"""Keys and certificates of SCP11, made with `cryptography` alone: X.509 and GlobalPlatform's own format."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

__all__ = ["Certificates", "certificate", "chain", "own_certificate", "point"]

_BEGIN: Final = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
_END: Final = dt.datetime(2054, 1, 1, tzinfo=dt.UTC)


def point(key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as 04 and two coordinates."""
    public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key
    return public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(
    subject: str,
    key: ec.EllipticCurvePublicKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    *,
    authority: bool = False,
    agreement: bool = True,
    serial: int | None = None,
) -> x509.Certificate:
    """Return an X.509 certificate, of an authority or for key agreement."""
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not authority and agreement,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .sign(signer, hashes.SHA256())
    )


@dataclass
class Certificates:
    """A chain up to an off-card entity: the authority's key, what is sent of the chain, the entity's key."""

    authority: ec.EllipticCurvePrivateKey
    sent: list[x509.Certificate]
    entity: ec.EllipticCurvePrivateKey
    keys: list[ec.EllipticCurvePrivateKey] = field(default_factory=list)


def chain(intermediates: int = 0, serial: int | None = None) -> Certificates:
    """Make a chain; `serial` is of its first certificate."""
    authority = ec.generate_private_key(ec.SECP256R1())
    signer, issuer = authority, "authority"
    sent: list[x509.Certificate] = []
    keys = []
    for number in range(intermediates):
        key = ec.generate_private_key(ec.SECP256R1())
        name = f"intermediate {number}"
        sent.append(
            certificate(name, key.public_key(), issuer, signer, authority=True, serial=None if number else serial)
        )
        keys.append(key)
        signer, issuer = key, name
    entity = ec.generate_private_key(ec.SECP256R1())
    sent.append(certificate("entity", entity.public_key(), issuer, signer, serial=None if intermediates else serial))
    return Certificates(authority, sent, entity, [*keys, entity])


def _tlv(tag: int, value: bytes) -> bytes:
    encoded = tag.to_bytes((tag.bit_length() + 7) // 8, "big")
    length = bytes((len(value),)) if len(value) < 0x80 else bytes((0x81, len(value)))
    return encoded + length + value


def own_certificate(
    subject: bytes,
    key: ec.EllipticCurvePublicKey,
    issuer: bytes,
    signer: ec.EllipticCurvePrivateKey,
    *,
    authority: bool = False,
    serial: bytes = b"\x01",
    more: bytes = b"",
) -> bytes:
    """Return a certificate in GlobalPlatform's format (7F21).

    Args:
        more: data objects behind the dates.
    """
    signed = (
        _tlv(0x93, serial)
        + _tlv(0x42, issuer)
        + _tlv(0x5F20, subject)
        + _tlv(0x95, b"\x82" if authority else b"\x00\x80")
        + _tlv(0x5F25, b"\x20\x24\x01\x01")
        + _tlv(0x5F24, b"\x20\x54\x01\x01")
        + more
        + _tlv(0x7F49, _tlv(0xB0, point(key)) + _tlv(0xF0, b"\x00"))
    )
    r, s = decode_dss_signature(signer.sign(signed, ec.ECDSA(hashes.SHA256())))
    return _tlv(0x7F21, signed + _tlv(0x5F37, r.to_bytes(32, "big") + s.to_bytes(32, "big")))
