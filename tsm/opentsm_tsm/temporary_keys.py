"""The temporary keys of a new SP security domain: made, sealed, handed to the SP, proved, destroyed.

Until the SP has rotated them they are in the database sealed under the key store, and go to the SP as a JWE for its
registered key (RFC 7516; ECDH-ES+A256KW, A256GCM), for nobody else to open.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwe
from joserfc.jwk import ECKey

from opentsm_card.errors import ProtocolError
from opentsm_card.keys import KeySet
from opentsm_tsm import holdings
from opentsm_tsm.messages import KeySetDocument
from opentsm_tsm.wire import Hex, encode

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_tsm.centre import Centre
    from opentsm_tsm.holdings import Domain

__all__ = ["VERSION", "encrypted", "make", "read_recipient", "unsealed"]

# The first version of the range that is customary for SCP03 keys.
VERSION: Final = 0x30
_HEADER: Final = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM"}


def make(centre: Centre, held: Domain, version: int, key_bytes: int) -> KeySet:
    """Return a domain's temporary keys: those that were made for it before, or new ones, stored sealed.

    Args:
        centre: database and key store, a transaction under way.
        held: the security domain.
        version: key version.
        key_bytes: length of each key.
    """
    if held.sealed is not None:
        return unsealed(centre, held)
    enc, mac, dek = (secrets.token_bytes(key_bytes) for _ in range(3))
    keys = KeySet(version, enc, mac, dek)
    sealed = centre.keystore.seal(keys.enc + keys.mac + keys.dek, _context(held, version))
    holdings.put_domain(centre.store, holdings.Domain(held.se, held.aid, held.sp, held.state, version, sealed))
    return keys


def unsealed(centre: Centre, held: Domain) -> KeySet:
    """Return a domain's temporary keys.

    Raises:
        ProtocolError: there are none any more.
    """
    if held.sealed is None or held.version is None:
        raise ProtocolError("the temporary keys are destroyed")
    plain = centre.keystore.unseal(held.sealed, _context(held, held.version))
    third = len(plain) // 3
    return KeySet(held.version, plain[:third], plain[third : 2 * third], plain[2 * third :])


def encrypted(centre: Centre, held: Domain, recipient: Path) -> str:
    """Return a domain's temporary keys as a compact JWE for a public key in a PEM file.

    Raises:
        ProtocolError: the file holds no public key on P-256, or the keys are destroyed.
    """
    keys = unsealed(centre, held)
    public = read_recipient(recipient)
    document = KeySetDocument(
        sd=Hex(held.aid), version=keys.version, enc=Hex(keys.enc), mac=Hex(keys.mac), dek=Hex(keys.dek)
    )
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return jwe.encrypt_compact(_HEADER, encode(document), ECKey.import_key(pem), algorithms=list(_HEADER.values()))


def read_recipient(recipient: Path) -> ec.EllipticCurvePublicKey:
    """Return the public key of a service provider from its PEM file.

    Raises:
        ProtocolError: the file can't be read, or holds no public key on P-256.
    """
    try:
        public = serialization.load_pem_public_key(recipient.read_bytes())
    except OSError as error:
        raise ProtocolError(f"{recipient}: {error.strerror}") from None
    except ValueError:
        raise ProtocolError(f"{recipient}: not a PEM public key") from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise ProtocolError(f"{recipient}: not a public key on P-256")
    return public


def _context(held: Domain, version: int) -> bytes:
    return f"temporary-keys:{held.se}:{held.aid.hex()}:{version}".encode()
