"""Enrolment: an agent exchanges a single-use code for a certificate that speaks for its SEs.

Only the code's SHA-256 is stored: a code has 128 random bits, so the hash gives nothing away. A code is used up by the
first public key that it comes with; the same key may ask again while the code is good, because an answer can be lost.
Before its certificate ends an agent gets the next one under it, without a code.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization

from opentsm_card.errors import ProtocolError
from opentsm_tsm import audit, inventory, pki
from opentsm_tsm.operator_messages import EnrolReply
from opentsm_tsm.problems import bad_request, forbidden, unknown

if TYPE_CHECKING:
    from cryptography import x509

    from opentsm_tsm.operator_messages import EnrolRequest, RenewRequest
    from opentsm_tsm.pki import CertificateAuthority
    from opentsm_tsm.store import Store

__all__ = ["create_code", "enrol", "record_certificate", "renew", "revoked"]


def create_code(
    store: Store, authority: x509.Certificate, ses: tuple[str, ...], valid_s: float, actor: str
) -> tuple[pki.EnrolmentCode, float]:
    """Make a code for SEs, and return it with the time until which it is good.

    Raises:
        RefusalError: an SE is not in the inventory.
    """
    for se in ses:
        if inventory.find(store, se) is None:
            raise unknown(f"no such SE: {se}")
    code = pki.EnrolmentCode.create(authority)
    until = time.time() + valid_s
    with store.transaction():
        store.insert("enrolment", digest=_digest(code.secret), ses=json.dumps(ses), until=until)
        store.run("DELETE FROM enrolment WHERE until < ?", time.time())
        audit.record(store, actor, "enrolment-code", "created", se=" ".join(ses))
    return code, until


def enrol(store: Store, authority: CertificateAuthority, request: EnrolRequest) -> EnrolReply:
    """Exchange a code and a certificate request for a certificate.

    Raises:
        RefusalError: the code is none, is used up or over (all the same to the caller), or the request is malformed.
    """
    try:
        key = pki.load_request(request.csr.encode())
    except ProtocolError as error:
        raise bad_request("$.csr", str(error)) from None
    try:
        digest = _digest(pki.EnrolmentCode.parse_first(request.code))
    except ProtocolError:
        raise unknown("not an enrolment code") from None
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    with store.transaction():
        # Every code is compared, each in constant time: neither an index nor an early end tells how close a guess was.
        found = None
        for row in store.rows("SELECT * FROM enrolment"):
            if hmac.compare_digest(row["digest"], digest):
                found = row
        if found is None:
            raise unknown("enrolment with an unknown code")
        if found["until"] < time.time():
            raise unknown("enrolment with a code that is over")
        if found["key"] is not None and not hmac.compare_digest(found["key"], spki):
            raise unknown("enrolment with a code that is used up")
        ses = tuple(json.loads(found["ses"]))
        pem: bytes | None = found["certificate"]
        if pem is None:
            certificate = authority.issue(key, [("se", se) for se in ses])
            pem = pki.certificate_pem(certificate)
            store.run("UPDATE enrolment SET key = ?, certificate = ? WHERE digest = ?", spki, pem, digest)
            record_certificate(store, certificate, "se", "agent")
    return EnrolReply(certificate=pem.decode(), ca=pki.certificate_pem(authority.certificate).decode(), ses=ses)


def renew(store: Store, authority: CertificateAuthority, identity: pki.Identity, request: RenewRequest) -> EnrolReply:
    """Issue an agent a new certificate for the SEs that its present one speaks for.

    Args:
        store: the database.
        authority: issues it.
        identity: of the present certificate, which the connection was made with.
        request: the new one's key.

    Raises:
        RefusalError: the present one is revoked, speaks for no SE or for one that is gone, or the request is malformed.
    """
    ses = identity.ids("se")
    if not ses or revoked(store, identity.fingerprint):
        raise forbidden("no certificate of an agent")
    try:
        key = pki.load_request(request.csr.encode())
    except ProtocolError as error:
        raise bad_request("$.csr", str(error)) from None
    for se in ses:
        if inventory.find(store, se) is None:
            raise forbidden(f"the certificate speaks for SE {se}, which is not in the inventory")
    with store.transaction():
        certificate = authority.issue(key, [("se", se) for se in ses])
        record_certificate(store, certificate, "se", f"agent {identity.fingerprint.hex()[:16]}")
    pem = pki.certificate_pem(certificate).decode()
    return EnrolReply(certificate=pem, ca=pki.certificate_pem(authority.certificate).decode(), ses=ses)


def record_certificate(store: Store, certificate: x509.Certificate, role: str, actor: str) -> None:
    """Remember a certificate that was issued, inside the transaction under way."""
    names = " ".join(f"{kind}:{name}" for kind, name in pki.identity(certificate).names)
    fingerprint = pki.fingerprint(certificate)
    store.insert("certificate", fingerprint=fingerprint, role=role, names=names, issued=time.time())
    audit.record(store, actor, "certificate", "issued", detail=f"{names} {fingerprint.hex()[:16]}")


def revoked(store: Store, fingerprint: bytes) -> bool:
    """Tell whether a certificate was revoked."""
    row = store.row("SELECT revoked FROM certificate WHERE fingerprint = ?", fingerprint)
    return row is not None and row["revoked"] is not None


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(b"opentsm enrolment " + secret).digest()
