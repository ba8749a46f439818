"""Enrolment: how a device gets its certificate from a one-time code.

The code is `<base32 of 16 random bytes>.<hex SHA-256 of the TSM's CA certificate, DER>`. The device fetches the
CA certificate without believing anything, believes it when its digest is the code's, and sends the code's first
part only over a connection that this CA vouches for. The private key never leaves the device.

The device keeps its new key before it asks, so that a lost answer can be asked for again with the same key. A renewal
is asked for under the certificate that is about to end, for the same key: one file changes, as a whole.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from opentsm_agent.http import HttpsClient, client_context
from opentsm_card.errors import OpenTsmError, ProtocolError

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_agent.clock import DeviceClock
    from opentsm_agent.config import Identity

__all__ = ["EnrolmentCode", "EnrolmentRefusedError", "enrol", "parse_code", "renew"]

_SECRET_BYTES: Final = 16
_TIMEOUT_S: Final = 30.0
_Pem = Annotated[str, msgspec.Meta(max_length=65536)]


class EnrolmentRefusedError(OpenTsmError):
    """The TSM does not take the code, or its answer is not to be believed."""


class _Enrolled(msgspec.Struct, frozen=True):
    certificate: _Pem
    ca: _Pem
    ses: list[str]


class _Problem(msgspec.Struct, frozen=True):
    title: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class EnrolmentCode:
    """A one-time code.

    Args:
        secret: what the TSM knows the code by, base32.
        ca_digest: SHA-256 of the CA certificate, DER; 32 bytes.
    """

    secret: str
    ca_digest: bytes

    def __repr__(self) -> str:
        """Show the CA's digest only."""
        return f"EnrolmentCode(ca_digest={self.ca_digest.hex()})"


def parse_code(code: str) -> EnrolmentCode:
    """Parse an enrolment code; spaces around it and the case of its letters don't matter.

    Raises:
        ProtocolError: it is none.
    """
    secret, _, digest = code.strip().partition(".")
    secret = secret.upper().rstrip("=")
    try:
        secret_bytes = base64.b32decode(secret + "=" * (-len(secret) % 8))
        ca_digest = bytes.fromhex(digest)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError("the enrolment code is not BASE32.HEX") from error
    if len(secret_bytes) != _SECRET_BYTES or len(ca_digest) != hashlib.sha256().digest_size:
        raise ProtocolError("the enrolment code is cut short, or has too much")
    return EnrolmentCode(secret, ca_digest)


def enrol(tsm_url: str, code: EnrolmentCode, identity: Identity, clock: DeviceClock | None = None) -> list[str]:
    """Get a certificate, and write key, certificate and CA where the configuration has them.

    Args:
        tsm_url: base URL of the central TSM.
        code: from the TSM's operator.
        identity: where the files go; an existing key is used again.
        clock: the device's, where its system's is not to be believed.

    Returns:
        The identifiers of the secure elements that the certificate may speak for.

    Raises:
        EnrolmentRefusedError: the TSM refuses the code, or its CA or certificate is not what it must be.
        TransportError: the TSM can't be reached.
        ProtocolError: a file or an answer is malformed.
    """
    ca_pem = _fetch_ca(tsm_url, code.ca_digest)
    key = _device_key(identity.key)
    _write(identity.ca, ca_pem, 0o644)
    body = msgspec.json.encode({"code": code.secret, "csr": _request(key)})
    client = HttpsClient(tsm_url, client_context(identity.ca, clock=clock), clock=clock, teaches=True)
    enrolled = _ask(client, "/enrol", body)
    _check_certificate(enrolled.certificate.encode(), ca_pem, key)
    _write(identity.certificate, enrolled.certificate.encode(), 0o644)
    return enrolled.ses


def renew(tsm_url: str, identity: Identity, clock: DeviceClock | None = None) -> list[str]:
    """Get a new certificate for the key that the device has, under the certificate that it has.

    Args:
        tsm_url: base URL of the central TSM.
        identity: whose certificate is replaced.
        clock: the device's, where its system's is not to be believed.

    Returns:
        The identifiers of the secure elements that the certificate may speak for.

    Raises:
        EnrolmentRefusedError: the TSM refuses, or its certificate is not what it must be.
        TransportError: the TSM can't be reached.
        ProtocolError: a file or an answer is malformed.
    """
    key = _device_key(identity.key)
    context = client_context(identity.ca, identity.certificate, identity.key, clock=clock)
    client = HttpsClient(tsm_url, context, clock=clock, teaches=True)
    renewed = _ask(client, "/renew", msgspec.json.encode({"csr": _request(key)}))
    try:
        ca_pem = identity.ca.read_bytes()
    except OSError as error:
        raise ProtocolError(f"{identity.ca}: {error.strerror}") from error
    _check_certificate(renewed.certificate.encode(), ca_pem, key)
    _write(identity.certificate, renewed.certificate.encode(), 0o644)
    return renewed.ses


def _fetch_ca(tsm_url: str, digest: bytes) -> bytes:
    """Return the TSM's CA certificate as PEM, once it has the digest of the code."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what comes is believed for its digest alone
    with HttpsClient(tsm_url, context) as client:
        response = client.request("GET", "/ca", timeout_s=_TIMEOUT_S)
    if response.status != 200:
        raise EnrolmentRefusedError(f"the TSM does not give its CA certificate: it answers {response.status}")
    certificate = _certificate(response.body, "the TSM's CA certificate")
    if not hmac.compare_digest(certificate.fingerprint(hashes.SHA256()), digest):
        raise EnrolmentRefusedError(
            "the TSM's CA certificate is not the one that the code names: this is another TSM, or somebody in between"
        )
    return certificate.public_bytes(serialization.Encoding.PEM)


def _device_key(key: Path | str) -> ec.EllipticCurvePrivateKey:
    if isinstance(key, str):
        from opentsm_agent.hardware_keys import HardwareKey  # noqa: PLC0415 - few devices have one
        from opentsm_agent.request_key import RequestKey  # noqa: PLC0415 - as above

        return RequestKey(HardwareKey(key))
    if key.exists():
        try:
            found = serialization.load_pem_private_key(key.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise ProtocolError(f"key {key}: it is there, but is no PEM private key without a password") from error
        if not isinstance(found, ec.EllipticCurvePrivateKey):
            raise ProtocolError(f"key {key}: want an elliptic curve key")
        return found
    made = ec.generate_private_key(ec.SECP256R1())
    pem = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key, pem, 0o600)
    return made


def _request(key: ec.EllipticCurvePrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "opentsm agent")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _ask(client: HttpsClient, path: str, body: bytes) -> _Enrolled:
    with client:
        response = client.request("POST", path, body=body, timeout_s=_TIMEOUT_S)
    if response.status != 200:
        why = _problem(response.status, response.body)
        if path == "/renew":
            raise EnrolmentRefusedError(f"the TSM does not renew this device's certificate: {why}")
        if response.status == 404:
            # A TSM tells nobody which of these it is.
            why += " (the code is unknown, used up or over; the TSM's operator makes a new one)"
        raise EnrolmentRefusedError(f"the TSM refuses to enrol this device: {why}")
    try:
        return msgspec.json.decode(response.body, type=_Enrolled)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"enrolment answer: {error}") from error


def _problem(status: int, body: bytes) -> str:
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return f"it answers {status}"
    return problem.detail or problem.title or f"it answers {status}"


def _check_certificate(certificate_pem: bytes, ca_pem: bytes, key: ec.EllipticCurvePrivateKey) -> None:
    certificate = _certificate(certificate_pem, "the device's certificate")
    try:
        certificate.verify_directly_issued_by(_certificate(ca_pem, "the TSM's CA certificate"))
    except (ValueError, TypeError, InvalidSignature) as error:
        raise EnrolmentRefusedError("the device's certificate does not come from the CA that the code names") from error
    if certificate.public_key() != key.public_key():
        raise EnrolmentRefusedError("the TSM answers with a certificate for another key")


def _certificate(pem: bytes, what: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise ProtocolError(f"{what} is no PEM certificate") from error


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file as a whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)
    new.replace(path)
