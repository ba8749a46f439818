"""One key for PUT KEY, from a file: public keys of tokens and DAPs, keys of receipts, private keys of SCP11.

Spec: GP Card Specification 2.3.1, 11.8.2.3 (key data), tables B-2 (curves) and C-1 (versions 70, 71, 73); Amendment D
1.2, 7.2; Amendment F 1.3, 7.2 (keys of SCP11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from opentsm_card.errors import ProtocolError
from opentsm_card.keys import key_check_value
from opentsm_card.put_key import KeyData, KeyType
from opentsm_card.signatures import MacKey
from opentsm_tools.card.signing_keys import read_signing_key, read_verification_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opentsm_tools.card.manager import CardManager

__all__ = ["encryptor", "private_key", "public_key", "symmetric_key"]

_CURVES: Final = {"secp256r1": 0, "secp384r1": 1}
_BLOCK_BYTES: Final = 16


def encryptor(card: CardManager) -> Callable[[bytes], bytes]:
    """Return what encrypts keys for the card: the session, or the token that holds its data encryption key."""
    dek: object = None if card.keys is None else card.keys.dek
    in_token: Callable[[bytes], bytes] | None = getattr(dek, "encrypt_cbc", None)
    return in_token or card.encrypt_sensitive


def _curve(key: ec.EllipticCurvePublicKey, path: Path) -> int:
    if key.curve.name not in _CURVES:
        raise ProtocolError(f"{path}: a key on {key.curve.name}: want P-256 or P-384")
    return _CURVES[key.curve.name]


def public_key(path: Path) -> tuple[KeyData, str]:
    """Return the public key in a file (PEM, a certificate, or a private key's) and its name.

    Raises:
        ProtocolError: the file can't be read, or it is no such key.
    """
    key = read_verification_key(path)
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        modulus = numbers.n.to_bytes(-(-key.key_size // 8), "big")
        exponent = numbers.e.to_bytes(-(-numbers.e.bit_length() // 8), "big")
        return KeyData.rsa_public(modulus, exponent), f"RSA-{key.key_size} public"
    if isinstance(key, MacKey):
        raise ProtocolError(f"{path}: a symmetric key: give it with --single-key")
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return KeyData.ecc_public(point, _curve(key, path)), f"ECC public on {key.curve.name}"


def private_key(path: Path, card: CardManager) -> tuple[KeyData, str]:
    """Return the private ECC key in a file, encrypted for the card, and its name.

    Raises:
        ProtocolError: the file can't be read, or it is no such key; or the session is of SCP02.
        SecureChannelError: no session.
    """
    key = read_signing_key(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ProtocolError(f"{path}: want a private ECC key in PEM")
    _no_des(card, path)
    curve = _curve(key.public_key(), path)
    scalar = key.private_numbers().private_value.to_bytes(key.key_size // 8, "big")
    return KeyData.ecc_private(scalar, encryptor(card), curve), f"ECC private on {key.curve.name}"


def symmetric_key(path: Path, card: CardManager) -> tuple[KeyData, str]:
    """Return the AES or 3DES key in a file, encrypted for the card, and its name.

    Raises:
        ProtocolError: the file can't be read, or it is no such key; or an AES key in a session of SCP02.
        SecureChannelError: no session.
    """
    key = read_signing_key(path)
    if not isinstance(key, MacKey):
        raise ProtocolError(f'{path}: want key = "…" in hex, and type = "3des" where it is one')
    value = key_check_value(key.value, des=key.des)
    if key.des and card.offer is not None and card.offer.scp == 2:
        return KeyData(KeyType.DES, encryptor(card)(key.value), value), "3DES"
    _no_des(card, path)
    padded = key.value.ljust(-(-len(key.value) // _BLOCK_BYTES) * _BLOCK_BYTES, b"\0")
    component = bytes((len(key.value),)) + encryptor(card)(padded)
    if key.des:
        return KeyData(KeyType.DES, component, value), "3DES"
    return KeyData(KeyType.AES, component, value), f"AES-{8 * len(key.value)}"


def _no_des(card: CardManager, path: Path) -> None:
    if card.offer is not None and card.offer.scp == 2:
        raise ProtocolError(f"{path}: with SCP02 keys are encrypted by 3DES, which carries 3DES keys alone")
