"""The signatures of secure content management: tokens, receipts and DAPs, by the type and length of the key.

A DES key of 16 bytes makes a retail MAC, an AES key a CMAC, an RSA key of 1024 bits PKCS#1 v1.5 with SHA-1, a longer
one PSS with SHA-256, an ECC key ECDSA with the hash of its length, r and s one behind the other.

Spec: GP Card Specification 2.3.1, table C-1; B.1.2.2, B.1.3, B.2.2, B.3.1.1, B.3.2.1, B.4.3 (table B-3).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.keys import key_check_value

__all__ = ["MacKey", "SigningKey", "VerificationKey", "sign", "signature_bytes", "verify"]

_DES_BLOCK_BYTES: Final = 8
_DES_KEY_BYTES: Final = 16
_SCHEME_1_BITS: Final = 1024
_ECC_HASHES: Final[dict[int, hashes.HashAlgorithm]] = {
    256: hashes.SHA256(),
    384: hashes.SHA384(),
    512: hashes.SHA512(),
    521: hashes.SHA512(),
}


@dataclass(frozen=True, slots=True, eq=False)
class MacKey:
    """A symmetric key for tokens, receipts or DAPs.

    Args:
        value: 16, 24 or 32 bytes (AES), or 16 bytes (triple DES).
        des: a triple DES key.

    Raises:
        ProtocolError: no such key has this length.
    """

    value: bytes
    des: bool = False

    def __post_init__(self) -> None:
        """Check the length."""
        if len(self.value) not in ((_DES_KEY_BYTES,) if self.des else (16, 24, 32)):
            raise ProtocolError(f"a {'DES' if self.des else 'AES'} key of {len(self.value)} bytes signs nothing")

    def __repr__(self) -> str:
        """Show algorithm and check value only."""
        name = "3DES" if self.des else f"AES-{len(self.value) * 8}"
        return f"MacKey({name}, kcv={key_check_value(self.value, des=self.des).hex().upper()})"


SigningKey = MacKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
VerificationKey = MacKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey


def _retail_mac(key: bytes, data: bytes) -> bytes:
    """Return the single DES plus final triple DES MAC (B.1.2.2), data padded as B.1.3 says."""
    padded = data + b"\x80"
    padded += bytes(-len(padded) % _DES_BLOCK_BYTES)
    left, right = key[:_DES_BLOCK_BYTES], key[_DES_BLOCK_BYTES:]
    # Single DES is triple DES with one key three times.
    chain = Cipher(TripleDES(left * 3), modes.CBC(bytes(_DES_BLOCK_BYTES))).encryptor()
    block = chain.update(padded)[-_DES_BLOCK_BYTES:]
    undo = Cipher(TripleDES(right * 3), modes.ECB()).decryptor()  # noqa: S305 - one block, prescribed
    redo = Cipher(TripleDES(left * 3), modes.ECB()).encryptor()  # noqa: S305 - one block, prescribed
    return redo.update(undo.update(block))


def _mac(key: MacKey, data: bytes) -> bytes:
    if key.des:
        return _retail_mac(key.value, data)
    cmac = CMAC(algorithms.AES(key.value))
    cmac.update(data)
    return cmac.finalize()


def _rsa_scheme(bits: int) -> tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]:
    if bits <= _SCHEME_1_BITS:
        return padding.PKCS1v15(), hashes.SHA1()  # noqa: S303 - scheme 1 of the specification
    return padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size), hashes.SHA256()


def _ecc_hash(bits: int) -> hashes.HashAlgorithm:
    algorithm = _ECC_HASHES.get(bits)
    if algorithm is None:
        raise ProtocolError(f"ECC keys of {bits} bits sign nothing here: 256, 384, 512 or 521")
    return algorithm


def signature_bytes(key: SigningKey | VerificationKey) -> int:
    """Return how long signatures under a key are."""
    if isinstance(key, MacKey):
        return _DES_BLOCK_BYTES if key.des else 16
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return -(-key.key_size // 8)
    return 2 * -(-key.key_size // 8)


def sign(key: SigningKey, data: bytes) -> bytes:
    """Return the signature of data.

    Raises:
        ProtocolError: the specification has no scheme for an ECC key of this length.
    """
    if isinstance(key, MacKey):
        return _mac(key, data)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, *_rsa_scheme(key.key_size))
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(_ecc_hash(key.key_size))))
    component = -(-key.key_size // 8)
    return r.to_bytes(component, "big") + s.to_bytes(component, "big")


def verify(key: VerificationKey, data: bytes, signature: bytes, what: str = "signature") -> None:
    """Verify a signature of data; MACs are compared in constant time.

    Args:
        key: the key that fits the signer's.
        data: what was signed.
        signature: of the length that `signature_bytes` says.
        what: names it in the error.

    Raises:
        SecureChannelError: it is not a signature of these data under this key.
        ProtocolError: the specification has no scheme for an ECC key of this length.
    """
    if not _is_valid(key, data, signature):
        raise SecureChannelError(f"{what} does not verify")


def _is_valid(key: VerificationKey, data: bytes, signature: bytes) -> bool:
    if len(signature) != signature_bytes(key):
        return False
    if isinstance(key, MacKey):
        return hmac.compare_digest(_mac(key, data), signature)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, *_rsa_scheme(key.key_size))
        else:
            half = len(signature) // 2
            r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
            key.verify(encode_dss_signature(r, s), data, ec.ECDSA(_ecc_hash(key.key_size)))
    except InvalidSignature:
        return False
    return True
