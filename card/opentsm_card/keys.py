"""Key sets of security domains, and key check values.

Keys never show: a `repr` has the version and check values only.

Spec: GP Card Specification 2.3.1, B.6 (key check values); Amendment D 1.2, 6.1 and 7.2.2.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from opentsm_card.errors import ProtocolError

__all__ = ["KeySet", "des_ecb_encrypt", "key_check_value"]

_AES_KEY_BYTES = (16, 24, 32)
_INITIAL_VERSION = 0xFF


def des_ecb_encrypt(key: bytes, data: bytes) -> bytes:
    """Encrypt blocks of 8 bytes with triple DES in ECB mode, which GP uses to derive 3DES keys and check values.

    Args:
        key: 16 bytes (two-key) or 24 bytes.
        data: a multiple of 8 bytes.
    """
    full = key + key[:8] if len(key) == 16 else key
    # ECB over independent derivation blocks is what the specification prescribes.
    encryptor = Cipher(TripleDES(full), modes.ECB()).encryptor()  # noqa: S305 - prescribed, see above
    return encryptor.update(data) + encryptor.finalize()


def key_check_value(key: bytes, *, des: bool = False) -> bytes:
    """Return the check value of a key, 3 bytes: the start of an encrypted block of 01 (AES) or of 00 (DES).

    Args:
        key: 16, 24 or 32 bytes (AES), 16 or 24 bytes (DES).
        des: the key is a triple DES key.

    Raises:
        ProtocolError: no key has this length.
    """
    if len(key) not in (_AES_KEY_BYTES[:2] if des else _AES_KEY_BYTES):
        raise ProtocolError(f"no key has {len(key)} bytes")
    if des:
        return des_ecb_encrypt(key, bytes(8))[:3]
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - one block, prescribed
    return (encryptor.update(b"\x01" * 16) + encryptor.finalize())[:3]


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The static keys of one version of a security domain: ENC, MAC and DEK, all of one length.

    Args:
        version: key version number, 1..127; 0 for a set that stands for the card's default, 255 for initial keys.
        enc: 16, 24 or 32 bytes, identifier 1.
        mac: as long, identifier 2.
        dek: as long, identifier 3.
        des: triple DES keys (SCP02), of 16 or 24 bytes.

    Raises:
        ProtocolError: the version is out of range, or lengths are wrong or differ.
    """

    version: int
    enc: bytes
    mac: bytes
    dek: bytes
    des: bool = False

    def __post_init__(self) -> None:
        """Check version and lengths."""
        if not 0 <= self.version <= 0x7F and self.version != _INITIAL_VERSION:
            raise ProtocolError(f"key version {self.version} is not in 0..127, nor 255")
        if len({len(self.enc), len(self.mac), len(self.dek)}) != 1:
            raise ProtocolError("the keys of a set have one length")
        if len(self.enc) not in (_AES_KEY_BYTES[:2] if self.des else _AES_KEY_BYTES):
            raise ProtocolError(f"no key has {len(self.enc)} bytes")

    def __repr__(self) -> str:
        """Show version, algorithm and check values."""
        values = "/".join(value.hex().upper() for value in self.check_values)
        return f"KeySet(version={self.version}, {self.algorithm}, kcv={values})"

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, KeySet):
            return NotImplemented
        same = hmac.compare_digest(self.enc + self.mac + self.dek, other.enc + other.mac + other.dek)
        return same and self.version == other.version and self.des == other.des

    def __hash__(self) -> int:
        """Hash what `repr` shows."""
        return hash((self.version, self.check_values))

    def __reduce__(self) -> str | tuple[object, ...]:
        """Refuse: a pickled key set would be a secret on its way to somewhere."""
        raise TypeError("a KeySet is not pickled; hand its keys to a key store")

    @property
    def algorithm(self) -> str:
        """Cipher and key length, such as `AES-128`."""
        return "3DES" if self.des else f"AES-{len(self.enc) * 8}"

    @property
    def check_values(self) -> tuple[bytes, bytes, bytes]:
        """Check values of ENC, MAC and DEK, 3 bytes each."""
        enc, mac, dek = (key_check_value(key, des=self.des) for key in (self.enc, self.mac, self.dek))
        return enc, mac, dek
