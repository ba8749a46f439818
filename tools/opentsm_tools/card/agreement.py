"""SCP11 with a card: the domain's key from its certificates, the host's certificates, the agreement.

Spec: GP Card Specification Amendment F 1.3, 3.1, 6.4 to 6.6, 7.11.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from opentsm_card.apdu import CommandApdu
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.scp11 import KeyUsage, Scp11Agreement, Scp11Parameters
from opentsm_card.scp11_certificate import OwnCertificate, verify_chain
from opentsm_card.scp11_kdf import encode_point
from opentsm_card.scp11_store import KeyReference, certificate_request, parse_certificates
from opentsm_card.status import StatusWord, meaning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentsm_card.apdu import ResponseApdu
    from opentsm_card.scp11 import Scp11Session
    from opentsm_tools.card.scp11_entry import Scp11Entry

__all__ = ["AgreementError", "agree", "domain_key", "usage_of"]

_S16: Final = 0x40  # of SCP11's i of one byte (Amendment F 1.3, table 5-1)
_OWN: Final = 0x7F
# What `cryptography` raises on bytes that are no certificate that it reads.
_MALFORMED: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
# Of certificates and agreements that the card did not accept, which it counts. The other status words are of commands
# and keys that it does not have.
_COUNTED: Final = frozenset({0x6300, 0x6600, 0x6640, 0x6982, 0x6983})


class AgreementError(SecureChannelError):
    """An authentication that failed, on the card's side or on the host's."""


def usage_of(level: SecurityLevel | None) -> KeyUsage:
    """Return the key usage that makes a security level; the highest by default.

    Raises:
        ProtocolError: SCP11 has no such level.
    """
    if level is None or level is SecurityLevel.ALL:
        return KeyUsage.ALL
    if level is SecurityLevel.C_MAC_R_MAC:
        return KeyUsage.MAC
    raise ProtocolError(f"--security {int(level):02X}: SCP11 has levels 11 and 33 (Amendment F, table 6-5)")


def domain_key(entry: Scp11Entry, plain: Callable[[CommandApdu], ResponseApdu]) -> ec.EllipticCurvePublicKey:
    """Return the security domain's public key: as declared, or as its certificates say, verified.

    Raises:
        SecureChannelError: the card shows no certificates, or they don't lead to the authority.
        ProtocolError: they are malformed.
    """
    if entry.domain_key is not None:
        return entry.domain_key
    assert entry.domain_authority is not None
    request = certificate_request(KeyReference(entry.variant.key_id, entry.version))
    answer = plain(CommandApdu(0x80, 0xCA, 0xBF, 0x21, request, 256))
    if answer.sw != StatusWord.DONE:
        raise SecureChannelError(
            f"the card shows no certificates of its key {entry.variant.key_id:#04x}, version {entry.version:#04x} "
            f"({answer.sw:04X}, {meaning(answer.sw)}): declare domain_key, or another key version"
        )
    certificates = parse_certificates(answer.data)
    if not certificates:
        raise SecureChannelError("the card's certificate store is empty: declare domain_key")
    try:
        if all(one[0] == _OWN for one in certificates):
            return verify_chain([OwnCertificate.parse(one) for one in certificates], entry.domain_authority)
        return _verify_x509(certificates, entry.domain_authority)
    except SecureChannelError as error:
        raise SecureChannelError(f"the card's certificates don't lead to domain_authority: {error}") from error


def _verify_x509(certificates: Sequence[bytes], authority: ec.EllipticCurvePublicKey) -> ec.EllipticCurvePublicKey:
    """Verify a chain of X.509 certificates, the first signed by an authority; return the last one's key.

    Spec: RFC 5280, 6.1: signatures, names, validity, basic constraints and key usage.
    """
    signer, issuer = authority, None
    now = dt.datetime.now(dt.UTC)
    for number, encoded in enumerate(certificates, 1):
        last = number == len(certificates)
        try:
            one = x509.load_der_x509_certificate(encoded)
            key = one.public_key()
            algorithm = one.signature_hash_algorithm
            extensions = one.extensions
        except _MALFORMED as error:
            raise ProtocolError(f"certificate {number} of the card is malformed") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or algorithm is None:
            raise SecureChannelError(f"certificate {number} is of no key on P-256")
        try:
            signer.verify(one.signature, one.tbs_certificate_bytes, ec.ECDSA(algorithm))
        except InvalidSignature:
            raise SecureChannelError(f"the signature of certificate {number} does not verify") from None
        if issuer is not None and one.issuer != issuer:
            raise SecureChannelError(f"certificate {number} names another issuer than the one before")
        if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
            raise SecureChannelError(f"certificate {number} is not valid today")
        if not _fits(extensions, last=last):
            raise SecureChannelError(f"certificate {number} is not for what it is used for")
        encode_point(key)
        signer, issuer = key, one.subject
    return signer


def _fits(extensions: x509.Extensions, *, last: bool) -> bool:
    """Tell whether a certificate may certify others, or the last one agree on keys."""
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        if last:
            return usage.key_agreement
        return usage.key_cert_sign and extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def agree(
    entry: Scp11Entry,
    key: ec.EllipticCurvePublicKey,
    plain: Callable[[CommandApdu], ResponseApdu],
    usage: KeyUsage,
    i: int | None,
) -> Scp11Session:
    """Show the host's certificates, agree on keys, and return the session.

    Args:
        entry: keys and certificates.
        key: the domain's, verified.
        plain: sends a command outside a secure channel.
        usage: of the session's keys.
        i: SCP11's parameter, as the card says.

    Raises:
        AgreementError: the card did not accept the certificates, or either side is not who it says.
        SecureChannelError: the card does not do this.
        ProtocolError: malformed.
    """
    long_macs = i is not None and i <= 0xFF and bool(i & _S16)
    mac_bytes = entry.mac_bytes or (16 if long_macs else 8)
    agreement = Scp11Agreement(
        entry.variant,
        entry.version,
        key,
        entry.host_key,
        parameters=Scp11Parameters(usage, entry.key_bytes, mac_bytes),
    )
    if entry.certificates:
        authority = entry.authority
        for command in agreement.certificate_commands(
            entry.certificates, authority.key_version, authority.key_id, block_bytes=entry.block_bytes
        ):
            _done(plain(command), "PERFORM SECURITY OPERATION (the host's certificates)")
    command = agreement.authenticate()
    answer = _done(plain(command), "INTERNAL AUTHENTICATE" if entry.host_key is None else "MUTUAL AUTHENTICATE")
    try:
        return agreement.open(answer)
    except SecureChannelError as error:
        raise AgreementError(str(error)) from error


def _done(answer: ResponseApdu, what: str) -> bytes:
    if answer.sw == StatusWord.DONE:
        return answer.data
    kind = AgreementError if answer.sw in _COUNTED else SecureChannelError
    raise kind(f"{what}: the card answered {answer.sw:04X} ({meaning(answer.sw)})")
