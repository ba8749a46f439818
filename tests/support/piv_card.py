"""The PIV card application as its users see it: names, first values, certificates for its keys."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["AID", "CAP", "KEY", "PIN", "PUK", "certificate", "public_point"]

CAP: Final = Path(__file__).parents[2] / "simulator" / "opentsm_simulator" / "caps" / "piv.cap"
AID: Final = "A000000308000010000100"
# What an instance has that is installed without parameters.
PIN: Final = "123456"
PUK: Final = "12345678"
KEY: Final = bytes(range(1, 9)) * 3


def certificate(name: str, key: RSAPublicKey | ec.EllipticCurvePublicKey, extra: int = 0) -> x509.Certificate:
    """Certify a key, by an authority that nobody keeps; with so many bytes more."""
    authority = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key).serial_number(7)
    builder = builder.not_valid_before(start).not_valid_after(start.replace(year=2036))
    comment = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.16.840.1.113730.1.13"), bytes(extra))
    return builder.add_extension(comment, critical=False).sign(authority, hashes.SHA256())


def public_point(template: bytes) -> ec.EllipticCurvePublicKey:
    """Read the answer to GENERATE ASYMMETRIC KEY PAIR for P-256."""
    head = bytes.fromhex("7F49438641")
    assert template.startswith(head)
    assert len(template) == len(head) + 65
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), template[len(head) :])
