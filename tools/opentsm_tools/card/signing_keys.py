"""Keys that sign and verify tokens, receipts and DAPs, from files.

RSA and ECC keys are PEM; a symmetric key is a TOML file with `key` in hex, and `type = "3des"` where it is one. A file
with a secret must be readable by its owner only.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import load_pem_x509_certificate

from opentsm_card.errors import ProtocolError
from opentsm_card.signatures import MacKey
from opentsm_tools.card.key_files import read_private
from opentsm_tools.card.key_sources import parse_key

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_card.signatures import SigningKey, VerificationKey

__all__ = ["read_signing_key", "read_verification_key"]

_PEM = b"-----BEGIN "
_PRIVATE = b"PRIVATE KEY-----"
_MAX_BYTES = 1 << 16


def _mac_key(content: bytes, path: Path) -> MacKey:
    try:
        tree: dict[str, Any] = tomllib.loads(content.decode())
    except ValueError:
        raise ProtocolError(f"{path}: neither PEM nor TOML") from None
    kind = tree.get("type", "aes")
    if set(tree) - {"key", "type"} or not isinstance(tree.get("key"), str) or kind not in {"aes", "3des"}:
        raise ProtocolError(f'{path}: want key = "…" in hex, type = "3des" where it is one, and nothing else')
    return MacKey(parse_key(tree["key"], f"{path}: key"), des=kind == "3des")


def _checked(key: object, path: Path) -> Any:  # noqa: ANN401 - one of several kinds of key
    if not isinstance(
        key, rsa.RSAPrivateKey | rsa.RSAPublicKey | ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey
    ):
        raise ProtocolError(f"{path}: neither an RSA nor an ECC key")
    return key


def read_signing_key(path: Path) -> SigningKey:
    """Return the key in a file.

    Raises:
        ProtocolError: the file can't be read, others may read it, or it is no such key; nothing of it is quoted.
    """
    content = read_private(path)
    if not content.startswith(_PEM):
        return _mac_key(content, path)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError):
        raise ProtocolError(f"{path}: no private key in PEM without a passphrase") from None
    signing: SigningKey = _checked(key, path)
    return signing


def read_verification_key(path: Path) -> VerificationKey:
    """Return the key in a file: public (PEM, or a certificate), or a secret one that signs and verifies.

    Raises:
        ProtocolError: as `read_signing_key`.
    """
    try:
        content = path.read_bytes()[:_MAX_BYTES]
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error
    if not content.startswith(_PEM) or _PRIVATE in content:
        key = read_signing_key(path)
        return key if isinstance(key, MacKey) else key.public_key()
    try:
        if b"CERTIFICATE" in content[:40]:
            found: object = load_pem_x509_certificate(content).public_key()
        else:
            found = serialization.load_pem_public_key(content)
    except ValueError:
        raise ProtocolError(f"{path}: no public key or certificate in PEM") from None
    verification: VerificationKey = _checked(found, path)
    return verification
