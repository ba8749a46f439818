"""Keys for tokens, receipts and DAPs of every kind, and signatures under them by an implementation of the tests' own.

The signatures here are written from the specification's field lists and `cryptography` alone, with nothing of
`opentsm_card`, so that they judge both the card and the host.

Spec: GP Card Specification 2.3.1, annexes B and C; 11.8.2.3 for PUT KEY.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from opentsm_card.apdu import CommandApdu
from opentsm_card.signatures import MacKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentsm_card.apdu import ResponseApdu
    from opentsm_card.signatures import SigningKey, VerificationKey
    from sd_host import Host

TOKEN_VERSION: Final = 0x70
RECEIPT_VERSION: Final = 0x71
DAP_VERSION: Final = 0x73
CIPHER_VERSION: Final = 0x75

SYMMETRIC: Final = ("des", "aes-128", "aes-192", "aes-256")
ASYMMETRIC: Final = ("rsa-1024", "rsa-2048", "p-256", "p-384")
KINDS: Final = SYMMETRIC + ASYMMETRIC
# The load file hash that a signature under such a key asks for at least (table C-3).
HASHES: Final = dict.fromkeys(KINDS, "sha256") | {"rsa-1024": "sha1", "p-384": "sha384"}


@cache
def signing_key(kind: str, seed: int = 0) -> SigningKey:
    """Return a key of a kind; another seed gives another key."""
    if kind == "des":
        return MacKey(bytes((seed + 7 * index) & 0xFF for index in range(16)), des=True)
    if kind in SYMMETRIC:
        return MacKey(bytes((seed + 3 * index) & 0xFF for index in range(int(kind[4:]) // 8)))
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[4:]))
    return ec.generate_private_key(ec.SECP256R1() if kind == "p-256" else ec.SECP384R1())


def verification_key(key: SigningKey) -> VerificationKey:
    return key if isinstance(key, MacKey) else key.public_key()


def _retail_mac(key: bytes, data: bytes) -> bytes:
    """MAC algorithm 3 of ISO 9797-1, block by block."""

    def des(part: bytes, block: bytes, *, decrypt: bool = False) -> bytes:
        cipher = Cipher(TripleDES(part + part + part), modes.ECB())  # noqa: S305 - one block of a MAC
        return (cipher.decryptor() if decrypt else cipher.encryptor()).update(block)

    data += b"\x80" + bytes((7 - len(data)) % 8)
    state = bytes(8)
    for start in range(0, len(data), 8):
        block = bytes(a ^ b for a, b in zip(state, data[start : start + 8], strict=True))
        state = des(key[:8], block)
    return des(key[:8], des(key[8:], state, decrypt=True))


def independent_signature(key: SigningKey, data: bytes) -> bytes:
    """Sign data as annex B says for the type and length of the key."""
    if isinstance(key, MacKey) and key.des:
        return _retail_mac(key.value, data)
    if isinstance(key, MacKey):
        mac = CMAC(algorithms.AES(key.value))
        mac.update(data)
        return mac.finalize()
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size == 1024:
            return key.sign(data, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - B.3.1.1
        return key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    digest = hashes.SHA256() if key.key_size == 256 else hashes.SHA384()
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
    size = key.key_size // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def flips(data: bytes) -> Iterator[bytes]:
    """Yield data with one bit flipped: each bit of a short value, one of each byte of a long one."""
    for position in range(len(data)):
        for bit in range(8) if len(data) <= 16 else (position % 8,):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            yield bytes(flipped)


def _length(number: int) -> bytes:
    return (
        bytes((number,))
        if number < 128
        else b"\x81" + bytes((number,))
        if number < 256
        else b"\x82" + bytes((number >> 8, number & 0xFF))
    )


def _key_data(key: SigningKey | VerificationKey, dek: bytes) -> bytes:
    if isinstance(key, MacKey):
        padded = key.value + bytes(-len(key.value) % 16)
        block = Cipher(algorithms.AES(dek), modes.CBC(bytes(16))).encryptor().update(padded)
        return bytes((0x80 if key.des else 0x88, 1 + len(block), len(key.value))) + block + b"\x00"
    public = key.public_key() if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else key
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        modulus = numbers.n.to_bytes(public.key_size // 8, "big")
        return b"\xa1" + _length(len(modulus)) + modulus + b"\xa0\x03" + numbers.e.to_bytes(3, "big") + b"\x00"
    size = public.key_size // 8
    point = public.public_numbers()
    encoded = b"\x04" + point.x.to_bytes(size, "big") + point.y.to_bytes(size, "big")
    curve = 0 if size == 32 else 1
    return b"\xb0" + _length(len(encoded)) + encoded + bytes((0xF0, 1, curve)) + b"\x00"


def put_private_key(host: Host, version: int, key: ec.EllipticCurvePrivateKey, *, replaces: int = 0) -> ResponseApdu:
    """Put a private key with identifier 01 in the session, encrypted without padding (table 11-71)."""
    assert host.keys is not None
    size = key.key_size // 8
    scalar = key.private_numbers().private_value.to_bytes(size, "big")
    block = Cipher(algorithms.AES(host.keys.dek), modes.CBC(bytes(16))).encryptor().update(scalar)
    data = b"\xb1" + _length(size) + block + bytes((0xF0, 1, 0 if size == 32 else 1)) + b"\x00"
    return host.send(CommandApdu(0x80, 0xD8, replaces, 0x01, bytes((version,)) + data, 256))


def put_key(host: Host, version: int, key: SigningKey | VerificationKey, *, replaces: int = 0) -> ResponseApdu:
    """Put a key with identifier 01 in the session; public keys go in clear."""
    assert host.keys is not None
    return host.send(CommandApdu(0x80, 0xD8, replaces, 0x01, bytes((version,)) + _key_data(key, host.keys.dek), 256))
