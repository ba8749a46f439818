"""Hashes and signatures of load file data blocks, and their encryption.

Spec: GP Card Specification 2.3.1, C.2 (hash), C.3 (DAP), C.6 (encryption), B.1.1.1, B.1.3, B.2.1, B.2.3, B.5.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from opentsm_card.errors import ProtocolError
from opentsm_card.load import CipheredBlock, DapBlock
from opentsm_card.signatures import sign, verify

if TYPE_CHECKING:
    from opentsm_card.aid import Aid
    from opentsm_card.signatures import MacKey, SigningKey, VerificationKey

__all__ = ["check_dap", "decipher_block", "encipher_block", "load_file_hash", "sign_dap"]

# Hashes by name, with the length that tells a card which it is.
_HASHES: Final = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}


def load_file_hash(data_block: bytes, algorithm: str = "sha256") -> bytes:
    """Return the hash of a load file data block, as INSTALL [for load] names it and DAPs sign it.

    Args:
        data_block: in clear: CAP components in load order.
        algorithm: sha1, sha256, sha384 or sha512; it must be as strong as the signatures and the cipher that are used
            with it (table C-3).

    Raises:
        ProtocolError: another algorithm.
    """
    if algorithm not in _HASHES:
        raise ProtocolError(f"no hash {algorithm!r} of load files: {', '.join(_HASHES)}")
    return hashlib.new(algorithm, data_block).digest()


def sign_dap(key: SigningKey, security_domain: Aid, digest: bytes) -> DapBlock:
    """Return the DAP block by which a security domain lets a load file onto the card.

    Args:
        key: that domain's DAP key.
        security_domain: its AID.
        digest: see `load_file_hash`.
    """
    return DapBlock(security_domain, sign(key, digest))


def check_dap(key: VerificationKey, block: DapBlock, digest: bytes) -> None:
    """Verify a DAP block, as a card does.

    Raises:
        SecureChannelError: it does not verify.
    """
    verify(key, digest, block.signature, f"DAP of {block.security_domain}")


def _cipher(key: MacKey, vector: bytes) -> tuple[Cipher[modes.CBC], int]:
    block_bytes = 8 if key.des else 16
    if len(vector) not in {0, block_bytes}:
        raise ProtocolError(f"an initial chaining vector of {len(vector)} bytes, {block_bytes} wanted")
    algorithm = TripleDES(key.value + key.value[:8]) if key.des else algorithms.AES(key.value)
    return Cipher(algorithm, modes.CBC(vector or bytes(block_bytes))), block_bytes


def encipher_block(key: MacKey, data_block: bytes, vector: bytes = b"") -> CipheredBlock:
    """Encrypt a load file data block for a security domain with the Ciphered Load File Data Block privilege.

    Args:
        key: that domain's key for it.
        data_block: in clear.
        vector: initial chaining vector, a random block; empty for zeros, which is not sent.

    Raises:
        ProtocolError: a vector of another length.
    """
    cipher, block_bytes = _cipher(key, vector)
    padded = data_block + b"\x80"
    padded += bytes(-len(padded) % block_bytes)
    encryptor = cipher.encryptor()
    return CipheredBlock(encryptor.update(padded) + encryptor.finalize(), vector)


def decipher_block(key: MacKey, block: CipheredBlock) -> bytes:
    """Decrypt a load file data block, as a card does.

    Raises:
        ProtocolError: not whole blocks, or no padding: it was not encrypted with this key.
    """
    cipher, block_bytes = _cipher(key, block.vector)
    if not block.data or len(block.data) % block_bytes:
        raise ProtocolError(f"ciphered load file data block of {len(block.data)} bytes")
    decryptor = cipher.decryptor()
    clear = (decryptor.update(block.data) + decryptor.finalize()).rstrip(b"\x00")
    if not clear.endswith(b"\x80"):
        raise ProtocolError("ciphered load file data block: no padding, so another key's")
    return clear[:-1]
