"""PUT KEY: add or replace keys, each encrypted under the data encryption key.

Spec: GP Card Specification 2.3.1, 11.8; Amendment D 1.2, 7.2 (keys under an AES DEK).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Self

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from opentsm_card.apdu import CommandApdu, check_header
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.keys import KeySet, key_check_value
from opentsm_card.reader import Reader, encode_lv

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Component", "KeyData", "KeyDetails", "KeyType", "PutKey", "PutKeyAnswer", "put_key_set"]

_BLOCK_BYTES = 16
_MULTIPLE = 0x80
_MORE = 0x80
_AES_KEY_BYTES = (16, 24, 32)


class KeyType(IntEnum):
    """Key types on one byte that opentsm knows (11.1.8)."""

    DES = 0x80
    DES_CBC = 0x82
    AES = 0x88
    RSA_EXPONENT = 0xA0
    RSA_MODULUS = 0xA1
    ECC_PUBLIC = 0xB0
    ECC_PRIVATE = 0xB1
    ECC_PARAMETERS = 0xF0


_EXTENDED = 0xFF
_MAX_USAGE_BYTES = 2


def _cbc(dek: bytes) -> Cipher[modes.CBC]:
    # Amendment D 1.2, 6.2.8: the static DEK, CBC, ICV zero.
    return Cipher(algorithms.AES(dek), modes.CBC(bytes(_BLOCK_BYTES)))


@dataclass(frozen=True, slots=True)
class Component:
    """A further component of a key: the exponent of an RSA key, the curve of an ECC key.

    Args:
        key_type: one byte.
        value: in clear.
    """

    key_type: int
    value: bytes


@dataclass(frozen=True, slots=True)
class KeyDetails:
    """What the extended format (table 11-70) says of a key beside it.

    Args:
        usage: key usage qualifier (11.1.9), 0 to 2 bytes.
        access: key access (11.1.10), 0 or 1 byte: 00 domain and applications, 01 the domain, 02 applications alone.
    """

    usage: bytes = b""
    access: bytes = b""


@dataclass(frozen=True, slots=True)
class KeyData:
    """One key data field, in the basic format (table 11-68), or with details in the extended one.

    Args:
        key_type: one byte.
        component: the key component block: a length byte and the encrypted key, or the encrypted key alone; of a public
            key the component in clear.
        check_value: 3 bytes; empty for none.
        more: further components, in clear.
        details: usage and access; None for the basic format.
    """

    key_type: int
    component: bytes
    check_value: bytes
    more: tuple[Component, ...] = ()
    details: KeyDetails | None = None

    def __repr__(self) -> str:
        """Show type and check value."""
        return f"KeyData({self.key_type:02X}, kcv={self.check_value.hex().upper()})"

    def encode(self) -> bytes:
        """Return the key data field.

        Raises:
            ProtocolError: usage or access of a wrong length.
        """
        lead = b"" if self.details is None else bytes((_EXTENDED,))
        encoded = lead + bytes((self.key_type,)) + encode_lv(self.component)
        for component in self.more:
            encoded += lead + bytes((component.key_type,)) + encode_lv(component.value)
        encoded += bytes((len(self.check_value),)) + self.check_value
        if self.details is not None:
            if len(self.details.usage) > _MAX_USAGE_BYTES or len(self.details.access) > 1:
                raise ProtocolError("PUT KEY: a key usage qualifier has 2 bytes at most, key access 1")
            encoded += encode_lv(self.details.usage) + encode_lv(self.details.access)
        return encoded

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a key data field.

        Raises:
            ProtocolError: malformed.
        """
        extended = reader.peek() == _EXTENDED
        if extended:
            reader.byte()
        key_type = reader.byte()
        component = reader.lv(byte_80=True)
        if not component:
            raise reader.fail("empty key")
        more = []
        # A length of a check value is small; a type of a further component is not.
        while (following := reader.peek()) is not None and following >= (_EXTENDED if extended else 0x80):
            if extended:
                reader.byte()
            more.append(Component(reader.byte(), reader.lv(byte_80=True)))
        check_value = reader.take(reader.byte())
        details = None
        if extended:
            details = KeyDetails(reader.take(reader.byte()), reader.take(reader.byte()))
            if len(details.usage) > _MAX_USAGE_BYTES or len(details.access) > 1:
                raise reader.fail("usage or access of a wrong length")
        return cls(key_type, component, check_value, tuple(more), details)

    @classmethod
    def rsa_public(cls, modulus: bytes, exponent: bytes = b"\x01\x00\x01") -> Self:
        """Return an RSA public key, in clear."""
        return cls(KeyType.RSA_MODULUS, modulus, b"", (Component(KeyType.RSA_EXPONENT, exponent),))

    @classmethod
    def ecc_public(cls, point: bytes, curve: int = 0) -> Self:
        """Return an ECC public key, in clear.

        Args:
            point: 04 and two coordinates.
            curve: key parameter reference (table B-2): 0 P-256, 1 P-384.
        """
        return cls(KeyType.ECC_PUBLIC, point, b"", (Component(KeyType.ECC_PARAMETERS, bytes((curve,))),))

    @classmethod
    def ecc_private(cls, scalar: bytes, encrypt: Callable[[bytes], bytes], curve: int = 0) -> Self:
        """Return an ECC private key.

        Args:
            scalar: as long as the curve's order, big-endian.
            encrypt: encrypts sensitive data as the session does.
            curve: as for `ecc_public`.
        """
        curve_parameter = Component(KeyType.ECC_PARAMETERS, bytes((curve,)))
        return cls(KeyType.ECC_PRIVATE, encrypt(scalar), b"", (curve_parameter,))

    @classmethod
    def aes(cls, key: bytes, dek: bytes) -> Self:
        """Encrypt an AES key (16, 24 or 32 bytes) under an AES data encryption key (table 7-10 of Amendment D).

        Raises:
            ProtocolError: a key of another length.
        """
        if len(key) not in _AES_KEY_BYTES or len(dek) not in _AES_KEY_BYTES:
            raise ProtocolError("an AES key has 16, 24 or 32 bytes")
        # The padding of a 24-byte key may be anything (6.2.8); zeros keep a script repeatable byte for byte.
        padded = key.ljust(-(-len(key) // _BLOCK_BYTES) * _BLOCK_BYTES, b"\x00")
        encryptor = _cbc(dek).encryptor()
        encrypted = encryptor.update(padded) + encryptor.finalize()
        return cls(KeyType.AES, bytes((len(key),)) + encrypted, key_check_value(key))

    def decrypt_aes(self, dek: bytes) -> bytes:
        """Return the AES key, its check value verified: what a card does.

        Raises:
            ProtocolError: another key type, or lengths that fit no AES key.
            SecureChannelError: the check value does not fit the key.
        """
        if self.key_type != KeyType.AES:
            raise ProtocolError(f"PUT KEY: key type {self.key_type:02X} is not AES")
        if len(self.component) % _BLOCK_BYTES:
            key_bytes, encrypted = self.component[0], self.component[1:]
        else:  # 11.8.2.3.3: no inner length, no padding
            key_bytes, encrypted = len(self.component), self.component
        if key_bytes not in _AES_KEY_BYTES or len(encrypted) != -(-key_bytes // _BLOCK_BYTES) * _BLOCK_BYTES:
            raise ProtocolError(f"PUT KEY: {key_bytes} bytes of key in {len(encrypted)}")
        decryptor = _cbc(dek).decryptor()
        key = (decryptor.update(encrypted) + decryptor.finalize())[:key_bytes]
        if not hmac.compare_digest(key_check_value(key), self.check_value):
            raise SecureChannelError("PUT KEY: key check value does not fit")
        return key


@dataclass(frozen=True, slots=True)
class PutKey:
    """Add keys, or replace those of a version.

    Args:
        replaces: version of the keys to replace, 1..127, or 0 to add.
        key_version: version of the new keys, 1..127.
        key_id: identifier of the first key, 1..127; those behind it count up.
        keys: the key data fields.
        more: another PUT KEY of the same operation follows.
    """

    NAME: ClassVar[str] = "PUT KEY"
    INS: ClassVar[int] = 0xD8

    replaces: int
    key_version: int
    key_id: int
    keys: tuple[KeyData, ...]
    more: bool = False

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        if not 0 <= self.replaces <= 0x7F or not 1 <= self.key_version <= 0x7F or not 0 <= self.key_id <= 0x7F:
            raise ProtocolError(f"{self.NAME}: key versions and identifiers are 1..127")
        data = bytes((self.key_version,))
        for key in self.keys:
            data += key.encode()
        p1 = self.replaces | (_MORE if self.more else 0)
        p2 = self.key_id | (_MULTIPLE if len(self.keys) > 1 else 0)
        return CommandApdu(0x80, self.INS, p1, p2, data, 256)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command, or malformed data.
        """
        check_header(apdu, cls.INS, cls.NAME)
        reader = Reader(apdu.data, cls.NAME)
        key_version = reader.byte()
        keys = []
        while reader.remaining:
            keys.append(KeyData.read(reader))
        if not keys or not 1 <= key_version <= 0x7F or (len(keys) > 1) != bool(apdu.p2 & _MULTIPLE):
            raise reader.fail(f"{len(keys)} keys, version {key_version:02X}, P2 {apdu.p2:02X}")
        return cls(apdu.p1 & 0x7F, key_version, apdu.p2 & 0x7F, tuple(keys), bool(apdu.p1 & _MORE))

    def answer(self) -> PutKeyAnswer:
        """Return what a card answers to this command."""
        return PutKeyAnswer(self.key_version, tuple(key.check_value for key in self.keys if key.check_value))


@dataclass(frozen=True, slots=True)
class PutKeyAnswer:
    """What the card answers: version and check values, which prove that the right keys arrived.

    Args:
        key_version: of the new keys.
        check_values: 3 bytes each.

    Spec: GP Card Specification 2.3.1, 11.8.3.1.
    """

    key_version: int
    check_values: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the response data."""
        return bytes((self.key_version,)) + b"".join(self.check_values)

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse the response data.

        Raises:
            ProtocolError: not a version and check values of 3 bytes.
        """
        reader = Reader(encoded, "PUT KEY answer")
        key_version = reader.byte()
        values = []
        while reader.remaining:
            values.append(reader.take(3))
        return cls(key_version, tuple(values))


def put_key_set(new: KeySet, dek: bytes, *, replaces: int = 0) -> PutKey:
    """Return the PUT KEY of a whole SCP03 key set, identifiers 1 to 3.

    Args:
        new: the key set to load; `version` becomes its version on the card.
        dek: data encryption key of the security domain's key set that opened the session.
        replaces: version to replace, or 0 to add.
    """
    keys = tuple(KeyData.aes(key, dek) for key in (new.enc, new.mac, new.dek))
    return PutKey(replaces, new.version, 1, keys)
