"""Signatures of tokens and DAPs by a private key that stays in a PKCS#11 token.

The scheme follows from the key as for keys in files (`opentsm_card.signatures`).

Spec: GP Card Specification 2.3.1, table C-1, B.3, B.4.3; PKCS #11 3.0, CKM_SHA1_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS,
CKM_ECDSA.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from opentsm_card.errors import ProtocolError, StorageError
from opentsm_tools.card.pkcs11_keys import open_session

__all__ = ["sign_in_token"]

_SCHEME_1_BITS: Final = 1024
_PSS_SALT_BYTES: Final = 32
# Curves by their DER object identifier, with the hash of their length (table B-3).
_CURVES: Final = {
    bytes.fromhex("06082A8648CE3D030107"): "sha256",  # P-256
    bytes.fromhex("06052B81040022"): "sha384",  # P-384
    bytes.fromhex("06052B81040023"): "sha512",  # P-521
    bytes.fromhex("06092B2403030208010107"): "sha256",  # brainpoolP256r1
    bytes.fromhex("06092B240303020801010B"): "sha384",  # brainpoolP384r1
    bytes.fromhex("06092B240303020801010D"): "sha512",  # brainpoolP512r1
}


def sign_in_token(uri: str, data: bytes) -> bytes:
    """Return the signature of data by the RSA or ECC key that a PKCS#11 URI names.

    Raises:
        ProtocolError: the URI makes no sense, python-pkcs11 is not installed, or the curve has no scheme.
        StorageError: the token refuses, or has no such key.
    """
    session, parts = open_session(uri)
    import pkcs11  # noqa: PLC0415 - an extra; `open_session` has said so if it is missing

    label = parts["object"]
    wanted = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.Attribute.LABEL: label}
    try:
        keys = list(session.get_objects(wanted))
        if len(keys) != 1:
            raise StorageError(f"PKCS#11 token {parts['token']}: {len(keys) or 'no'} private keys are labelled {label}")
        return _sign(pkcs11, keys[0], data)
    except pkcs11.PKCS11Error as error:
        raise StorageError(f"PKCS#11 key {label}: {type(error).__name__}") from error


def _sign(pkcs11: Any, key: Any, data: bytes) -> bytes:  # noqa: ANN401 - the library ships no types
    mechanism, kind = pkcs11.Mechanism, key[pkcs11.Attribute.KEY_TYPE]
    if kind == pkcs11.KeyType.RSA:
        modulus = int.from_bytes(key[pkcs11.Attribute.MODULUS], "big")
        if modulus.bit_length() <= _SCHEME_1_BITS:
            return bytes(key.sign(data, mechanism=mechanism.SHA1_RSA_PKCS))
        parameters = (mechanism.SHA256, pkcs11.MGF.SHA256, _PSS_SALT_BYTES)
        return bytes(key.sign(data, mechanism=mechanism.SHA256_RSA_PKCS_PSS, mechanism_param=parameters))
    if kind == pkcs11.KeyType.EC:
        algorithm = _CURVES.get(bytes(key[pkcs11.Attribute.EC_PARAMS]))
        if algorithm is None:
            raise ProtocolError("PKCS#11: a key on a curve that signs nothing here: P-256, P-384, P-521 or brainpool")
        return bytes(key.sign(hashlib.new(algorithm, data).digest(), mechanism=mechanism.ECDSA))
    raise ProtocolError(f"PKCS#11: a key of type {kind.name} signs nothing here")
