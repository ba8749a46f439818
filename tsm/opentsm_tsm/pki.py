"""Certificates: a small certificate authority, who a certificate speaks for, and the single-use codes of enrolment.

A certificate says whom it speaks for in its subject alternative names, as URIs `urn:opentsm:ROLE:ID` with a role of
`se` (an agent; one URI for each SE), `sp`, `mno`, `operator` or `tsm`. Keys are on P-256.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress
import os
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = [
    "ROLES",
    "CertificateAuthority",
    "EnrolmentCode",
    "Identity",
    "certificate_pem",
    "check_hosts",
    "create_key",
    "create_request",
    "fingerprint",
    "identity",
    "key_pem",
    "load_certificate",
    "load_key",
    "load_request",
    "read_certificate",
    "uri",
    "write_private",
]

ROLES: Final = frozenset({"se", "sp", "mno", "operator", "tsm"})
_PREFIX: Final = "urn:opentsm:"
_VALID_DAYS: Final = 825
_CA_VALID_DAYS: Final = 3650
# A device's clock may run behind the authority's.
_BACKDATE: Final = dt.timedelta(hours=1)
_CODE_BYTES: Final = 16
# RFC 1123, 2.1, with a wildcard in front at most.
_DNS_NAME: Final = re.compile(r"(?=.{1,253}$)(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?)+")


def uri(role: str, name: str) -> str:
    """Return the URI of a subject alternative name, such as `urn:opentsm:sp:bank`.

    Raises:
        ProtocolError: the role is none of `ROLES`, or the name is empty or has spaces.
    """
    if role not in ROLES or not name or not name.isascii() or not name.isprintable() or " " in name:
        raise ProtocolError(f"no identity {role!r} {name!r}")
    return f"{_PREFIX}{role}:{name}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a verified certificate speaks for.

    Args:
        fingerprint: SHA-256 of the certificate's DER.
        key: SHA-256 of its public key (SubjectPublicKeyInfo in DER), which stays the same when it is renewed.
        names: the (role, id) pairs of its subject alternative names.
        not_after: its end, in seconds since 1970.
    """

    fingerprint: bytes
    key: bytes
    names: tuple[tuple[str, str], ...]
    not_after: float

    def ids(self, role: str) -> tuple[str, ...]:
        """Return the ids that it may speak for in a role."""
        return tuple(name for kind, name in self.names if kind == role)


def fingerprint(certificate: x509.Certificate | bytes) -> bytes:
    """Return the SHA-256 of a certificate's DER."""
    der = certificate if isinstance(certificate, bytes) else certificate.public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).digest()


def identity(certificate: x509.Certificate | bytes) -> Identity:
    """Return whom a certificate (as an object or DER) speaks for; its chain must have been verified by the caller.

    Raises:
        ProtocolError: it is no certificate.
    """
    if isinstance(certificate, bytes):
        try:
            certificate = x509.load_der_x509_certificate(certificate)
        except ValueError:
            raise ProtocolError("not a certificate") from None
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        uris = []
    found = []
    for text in uris:
        role, colon, name = text.removeprefix(_PREFIX).partition(":")
        if text.startswith(_PREFIX) and colon and role in ROLES:
            found.append((role, name))
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Identity(
        fingerprint(certificate),
        hashlib.sha256(spki).digest(),
        tuple(found),
        certificate.not_valid_after_utc.timestamp(),
    )


def create_key() -> ec.EllipticCurvePrivateKey:
    """Return a new private key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as unencrypted PKCS #8 PEM; write it with `write_private` only."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the private key of a PEM.

    Raises:
        ProtocolError: it is no unencrypted elliptic-curve key.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise ProtocolError("not an unencrypted PEM private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ProtocolError("not an elliptic-curve private key")
    return key


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def load_certificate(pem: bytes) -> x509.Certificate:
    """Return the first certificate of a PEM.

    Raises:
        ProtocolError: there is none.
    """
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise ProtocolError("not a PEM certificate") from None


def read_certificate(path: Path) -> x509.Certificate:
    """Return the first certificate of a PEM file.

    Raises:
        ProtocolError: the file can't be read, or there is none in it; the message names the file.
    """
    try:
        return load_certificate(path.read_bytes())
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from None
    except ProtocolError as error:
        raise ProtocolError(f"{path}: {error}") from None


def create_request(key: ec.EllipticCurvePrivateKey, common_name: str) -> bytes:
    """Return a PEM certificate request (PKCS #10) that proves possession of `key`.

    Raises:
        ProtocolError: the common name has not 1 to 64 characters.
    """
    if not 1 <= len(common_name) <= 64:  # RFC 5280, ub-common-name
        raise ProtocolError(f"common name: {len(common_name)} characters, want 1 to 64")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def load_request(pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key of a PEM certificate request whose signature verifies.

    Raises:
        ProtocolError: it is none, its signature is wrong, or its key is not on P-256.
    """
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        valid = request.is_signature_valid
    except (ValueError, TypeError, InvalidSignature):
        raise ProtocolError("not a PEM certificate request") from None
    if not valid:
        raise ProtocolError("the certificate request's signature does not verify")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ProtocolError("the certificate request's key is not on P-256")
    return key


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read.

    Raises:
        FileExistsError: it exists; a key is never overwritten.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


class CertificateAuthority:
    """An authority that issues the certificates of one network of servers, agents and service providers.

    Args:
        certificate: its own certificate.
        key: its private key.
    """

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    def __repr__(self) -> str:
        """Name the authority, and nothing of its key."""
        return f"CertificateAuthority({self.certificate.subject.rfc4514_string()})"

    @classmethod
    def create(cls, common_name: str) -> CertificateAuthority:
        """Return a new authority with a self-signed certificate."""
        key = create_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        now = dt.datetime.now(dt.UTC)
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(now + dt.timedelta(days=_CA_VALID_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, certificate: Path, key: Path) -> CertificateAuthority:
        """Return the authority of two PEM files.

        Raises:
            ProtocolError: a file is not what it should be.
        """
        return cls(load_certificate(certificate.read_bytes()), load_key(key.read_bytes()))

    def save(self, certificate: Path, key: Path) -> None:
        """Write the authority to two new PEM files, the key for its owner only."""
        write_private(key, key_pem(self._key))
        certificate.write_bytes(certificate_pem(self.certificate))

    def key_pem(self) -> bytes:
        """Return the authority's private key as PEM, for a key store."""
        return key_pem(self._key)

    def issue(
        self,
        public_key: ec.EllipticCurvePublicKey,
        names: Iterable[tuple[str, str]],
        *,
        hosts: Iterable[str] = (),
        valid: dt.timedelta = dt.timedelta(days=_VALID_DAYS),
    ) -> x509.Certificate:
        """Issue a certificate.

        Args:
            public_key: the key that it certifies.
            names: the (role, id) pairs that it speaks for.
            hosts: DNS names and IP addresses, for a server; a certificate without any is a client's only.
            valid: for how long from now (negative: already expired, for tests).

        Raises:
            ProtocolError: a role or id is not one.
        """
        names, hosts = tuple(names), tuple(hosts)
        alternatives: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri(*name)) for name in names]
        alternatives += [_host(host) for host in hosts]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])
        common_name = names[0][1] if names else (hosts[0] if hosts else "opentsm")
        now = dt.datetime.now(dt.UTC)
        issuer_key = self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])]))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, now + valid) - _BACKDATE)
            .not_valid_after(now + valid)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def check_hosts(hosts: Iterable[str]) -> None:
    """Check the names of a server before anything is made for them.

    Raises:
        ProtocolError: one is neither an address nor a DNS name.
    """
    for host in hosts:
        _host(host)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _DNS_NAME.fullmatch(host):
            raise ProtocolError(f"host {host!r}: want an IP address or a DNS name in ASCII") from None
        return x509.DNSName(host)


@dataclass(frozen=True, slots=True)
class EnrolmentCode:
    """What a user types to enrol an agent: 128 random bits, and the CA that the agent shall pin.

    Args:
        secret: 16 random bytes.
        ca_fingerprint: SHA-256 of the CA certificate's DER.
    """

    secret: bytes
    ca_fingerprint: bytes

    def __repr__(self) -> str:
        """Show nothing of the secret."""
        return "EnrolmentCode(…)"

    @classmethod
    def create(cls, ca: x509.Certificate) -> EnrolmentCode:
        """Return a new code."""
        return cls(secrets.token_bytes(_CODE_BYTES), fingerprint(ca))

    def encode(self) -> str:
        """Return the code as typed: base32 of the secret, a dot, the CA's fingerprint in hexadecimal."""
        return f"{self.first}.{self.ca_fingerprint.hex()}"

    @property
    def first(self) -> str:
        """The part that is sent to the server."""
        return base64.b32encode(self.secret).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> EnrolmentCode:
        """Return the code that a user typed.

        Raises:
            ProtocolError: it is not one.
        """
        first, _, second = text.strip().partition(".")
        try:
            secret, pin = cls.parse_first(first), bytes.fromhex(second)
        except ValueError:
            raise ProtocolError("not an enrolment code") from None
        if len(pin) != hashlib.sha256().digest_size:
            raise ProtocolError("not an enrolment code")
        return cls(secret, pin)

    @staticmethod
    def parse_first(text: str) -> bytes:
        """Return the secret of a code's first part.

        Raises:
            ProtocolError: it is not one.
        """
        try:
            secret = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
        except ValueError:
            raise ProtocolError("not an enrolment code") from None
        if len(secret) != _CODE_BYTES:
            raise ProtocolError("not an enrolment code")
        return secret
