"""The encrypted key store: named secrets in one file, and small secrets sealed for the database.

The file is JSON: a scrypt salt and cost, and one AES-256-GCM ciphertext over all secrets, with everything else of the
file authenticated. It is replaced as a whole (new file, synced, renamed over the old one), so a crash leaves the old or
the new one. The passphrase comes from a file or a prompt, never from the command line.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from opentsm_card.errors import ProtocolError, SecureChannelError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KeyStore", "read_passphrase"]

_FORMAT: Final = "opentsm-keystore-1"
_SEALING: Final = "sealing-key"
_NONCE_BYTES: Final = 12
# RFC 7914's interactive cost, times two: 32 MiB, about 0.1 s.
_SCRYPT_N: Final = 1 << 15
_SCRYPT_N_MAX: Final = 1 << 20


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    scrypt_n: int
    salt: bytes
    nonce: bytes
    ciphertext: bytes

    def header(self) -> bytes:
        return f"{self.format}:{self.scrypt_n}:{self.salt.hex()}:{self.nonce.hex()}".encode()


def read_passphrase(path: Path) -> bytes:
    """Return the passphrase in a file: its first line.

    Raises:
        ProtocolError: there is no such file, or it is empty.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from None
    if not lines or not lines[0]:
        raise ProtocolError(f"{path}: no passphrase in it")
    return lines[0]


class KeyStore:
    """Named secrets, decrypted in memory while the process runs."""

    def __init__(self, path: Path, key: bytes, salt: bytes, scrypt_n: int, named: dict[str, bytes]) -> None:
        self._path = path
        self._key = key
        self._salt = salt
        self._scrypt_n = scrypt_n
        self._named = named

    def __repr__(self) -> str:
        """Name the file and its secrets, and show none of them."""
        return f"KeyStore({self._path}, names={sorted(self._named)})"

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Refuse: a pickled store would be a copy of every secret in the clear."""
        raise TypeError("a key store is not pickled")

    @classmethod
    def create(cls, path: Path, passphrase: bytes) -> KeyStore:
        """Make a new file with no secrets but the one that seals.

        Raises:
            ProtocolError: the file exists, or the passphrase is empty.
        """
        if path.exists():
            raise ProtocolError(f"{path}: exists already")
        salt = secrets.token_bytes(16)
        store = cls(path, _derive(passphrase, salt, _SCRYPT_N), salt, _SCRYPT_N, {_SEALING: secrets.token_bytes(32)})
        store._write()
        return store

    @classmethod
    def open(cls, path: Path, passphrase: bytes) -> KeyStore:
        """Open a file.

        Raises:
            ProtocolError: it is no key store.
            StorageError: the passphrase is wrong, or the file was changed.
        """
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_File)
        except OSError as error:
            raise ProtocolError(f"{path}: {error.strerror}") from None
        except msgspec.DecodeError:
            raise ProtocolError(f"{path}: not a key store") from None
        cost_ok = _SCRYPT_N <= file.scrypt_n <= _SCRYPT_N_MAX and file.scrypt_n & (file.scrypt_n - 1) == 0
        if file.format != _FORMAT or not cost_ok or len(file.nonce) != _NONCE_BYTES:
            raise ProtocolError(f"{path}: not a key store of this version")
        key = _derive(passphrase, file.salt, file.scrypt_n)
        try:
            plain = AESGCM(key).decrypt(file.nonce, file.ciphertext, file.header())
        except InvalidTag:
            raise StorageError(f"{path}: wrong passphrase, or the file was changed") from None
        return cls(path, key, file.salt, file.scrypt_n, msgspec.json.decode(plain, type=dict[str, bytes]))

    def names(self) -> tuple[str, ...]:
        """Return the names of the secrets."""
        return tuple(sorted(name for name in self._named if name != _SEALING))

    def get(self, name: str) -> bytes:
        """Return a secret.

        Raises:
            ProtocolError: there is none of this name.
        """
        try:
            return self._named[name]
        except KeyError:
            raise ProtocolError(f"{self._path}: no secret named {name!r}") from None

    def put(self, name: str, secret: bytes) -> None:
        """Add a secret and write the file.

        Raises:
            ProtocolError: there is one of this name; a key is never overwritten (remove it first).
        """
        if name in self._named:
            raise ProtocolError(f"{self._path}: there is a secret named {name!r} already")
        self._named[name] = secret
        self._write()

    def remove(self, name: str) -> None:
        """Remove a secret, if there is one of this name, and write the file."""
        if self._named.pop(name, None) is not None:
            self._write()

    def seal(self, secret: bytes, context: bytes) -> bytes:
        """Return a secret encrypted for the database; `context` says what it is and must be given to `unseal`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._named[_SEALING]).encrypt(nonce, secret, context)

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Return what `seal` encrypted.

        Raises:
            SecureChannelError: it was changed, sealed by another store, or for another context.
        """
        try:
            return AESGCM(self._named[_SEALING]).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise SecureChannelError("a sealed secret does not open with this key store") from None

    def _write(self) -> None:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        bare = _File(_FORMAT, self._scrypt_n, self._salt, nonce, b"")
        ciphertext = AESGCM(self._key).encrypt(nonce, msgspec.json.encode(self._named), bare.header())
        new = self._path.with_name(self._path.name + ".new")
        new.unlink(missing_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(msgspec.structs.replace(bare, ciphertext=ciphertext)))
            file.flush()
            os.fsync(handle)
        new.replace(self._path)


def _derive(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    if not passphrase:
        raise ProtocolError("a key store needs a passphrase")
    return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(passphrase)
