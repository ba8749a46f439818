"""SCP02's derivation: session keys, cryptograms, pseudo-random card challenges, and the retail MAC.

Spec: GP Card Specification 2.3.1, E.1.1 (parameter i), E.4.1 (session keys), E.4.2 (cryptograms), B.1.2 (MACs).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from opentsm_card.errors import ProtocolError
from opentsm_card.keys import des_ecb_encrypt

if TYPE_CHECKING:
    from opentsm_card.keys import KeySet

__all__ = [
    "MAX_SEQUENCE_COUNTER",
    "Constant",
    "Parameter",
    "SessionKeys",
    "card_cryptogram",
    "cbc_decrypt",
    "cbc_encrypt",
    "derive",
    "host_cryptogram",
    "mac_of_aid",
    "pad",
    "pseudo_random_challenge",
    "retail_mac",
    "single_des",
]

MAX_SEQUENCE_COUNTER = 0xFFFF
_BLOCK_BYTES = 8
_ZERO = bytes(_BLOCK_BYTES)
_KEY_BYTES = 16
_CHALLENGE_BYTES = 6


class Parameter(IntFlag):
    """Bits of the SCP02 parameter i (2.3.1, table E-1)."""

    THREE_KEYS = 0x01
    UNMODIFIED_APDU = 0x02
    EXPLICIT = 0x04
    ICV_OVER_AID = 0x08
    ICV_ENCRYPTION = 0x10
    R_MAC = 0x20
    PSEUDO_RANDOM = 0x40

    @classmethod
    def parse(cls, i: int) -> Parameter:
        """Return i as bits, checked against table E-1.

        Explicit initiation goes with an ICV of zero, implicit initiation with one over the AID and without a card
        challenge; the other bits are free.

        Raises:
            ProtocolError: a combination that the table does not have.
        """
        explicit = i & 0x0C == 0x04
        implicit = i & 0x4C == 0x08
        if not 0 <= i <= 0x7F or not (explicit or implicit):
            raise ProtocolError(f"SCP02 has no parameter i = {i:02X}")
        return cls(i)


class Constant(IntEnum):
    """Derivation constants (E.4.1)."""

    C_MAC = 0x0101
    R_MAC = 0x0102
    DEK = 0x0181
    ENC = 0x0182


def _triple(key: bytes) -> TripleDES:
    return TripleDES(key + key[:_BLOCK_BYTES])


def cbc_encrypt(key: bytes, data: bytes) -> bytes:
    """Encrypt whole blocks of 8 bytes with a two-key triple DES key in CBC mode, initial value zero."""
    encryptor = Cipher(_triple(key), modes.CBC(_ZERO)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def cbc_decrypt(key: bytes, data: bytes) -> bytes:
    """Reverse `cbc_encrypt`."""
    decryptor = Cipher(_triple(key), modes.CBC(_ZERO)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def pad(data: bytes) -> bytes:
    """Append 80 and zeros up to a multiple of 8 bytes (B.1.3)."""
    return data + b"\x80" + bytes(-(len(data) + 1) % _BLOCK_BYTES)


def single_des(key: bytes, block: bytes) -> bytes:
    """Encrypt one block with single DES: triple DES whose keys are all the first half of the key."""
    return des_ecb_encrypt(key[:_BLOCK_BYTES] * 3, block)


def retail_mac(key: bytes, message: bytes, icv: bytes = _ZERO) -> bytes:
    """Return the single DES plus final triple DES MAC, 8 bytes, of a message that is padded here.

    Args:
        key: 16 bytes.
        message: of any length.
        icv: initial chaining value, 8 bytes.

    Spec: GP Card Specification 2.3.1, B.1.2.2; ISO/IEC 9797-1, algorithm 3.
    """
    padded = pad(message)
    head, last = padded[:-_BLOCK_BYTES], padded[-_BLOCK_BYTES:]
    chain = icv
    if head:
        encryptor = Cipher(TripleDES(key[:_BLOCK_BYTES] * 3), modes.CBC(icv)).encryptor()
        chain = (encryptor.update(head) + encryptor.finalize())[-_BLOCK_BYTES:]
    return des_ecb_encrypt(key, bytes(a ^ b for a, b in zip(chain, last, strict=True)))


def derive(key: bytes, constant: Constant, sequence_counter: int) -> bytes:
    """Return a session key of 16 bytes.

    Args:
        key: static key, 16 bytes.
        constant: what for.
        sequence_counter: 0..FFFF.
    """
    data = constant.to_bytes(2, "big") + sequence_counter.to_bytes(2, "big") + bytes(12)
    return cbc_encrypt(key, data)


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The keys of one session. They are never stored: static keys and the sequence counter give them again.

    Args:
        enc: for encryption and cryptograms.
        mac: for C-MACs.
        rmac: for R-MACs.
        dek: for sensitive data.
    """

    enc: bytes
    mac: bytes
    rmac: bytes
    dek: bytes

    def __repr__(self) -> str:
        """Show nothing: session keys are secret and have no name."""
        return "SessionKeys(…)"

    @classmethod
    def derive(cls, keys: KeySet, sequence_counter: int, i: int) -> SessionKeys:
        """Derive them; with a base key (i bit 01 clear) all from `keys.enc`.

        In an implicit session the first command's C-MAC counts the counter: all keys but the C-MAC's are of the next.

        Args:
            keys: static keys.
            sequence_counter: of the session.
            i: the SCP02 parameter.

        Raises:
            ProtocolError: no triple DES keys of 16 bytes, or a counter out of range.

        Spec: GP Card Specification 2.3.1, E.1.2.2, E.4.1.
        """
        if not keys.des or len(keys.enc) != _KEY_BYTES:
            raise ProtocolError("SCP02 needs triple DES keys of 16 bytes")
        later = sequence_counter if i & Parameter.EXPLICIT else sequence_counter + 1
        if not 0 <= sequence_counter <= later <= MAX_SEQUENCE_COUNTER:
            raise ProtocolError(f"an SCP02 sequence counter has 2 bytes, not {sequence_counter:X}")
        three = bool(i & Parameter.THREE_KEYS)
        mac, dek = (keys.mac, keys.dek) if three else (keys.enc, keys.enc)
        return cls(
            derive(keys.enc, Constant.ENC, later),
            derive(mac, Constant.C_MAC, sequence_counter),
            derive(mac, Constant.R_MAC, later),
            derive(dek, Constant.DEK, later),
        )


def card_cryptogram(session: SessionKeys, host_challenge: bytes, sequence_counter: int, card_challenge: bytes) -> bytes:
    """Return the card's cryptogram, 8 bytes (E.4.2.1)."""
    data = host_challenge + sequence_counter.to_bytes(2, "big") + card_challenge
    return cbc_encrypt(session.enc, pad(data))[-_BLOCK_BYTES:]


def host_cryptogram(session: SessionKeys, host_challenge: bytes, sequence_counter: int, card_challenge: bytes) -> bytes:
    """Return the host's cryptogram, 8 bytes (E.4.2.2)."""
    data = sequence_counter.to_bytes(2, "big") + card_challenge + host_challenge
    return cbc_encrypt(session.enc, pad(data))[-_BLOCK_BYTES:]


def mac_of_aid(key: bytes, aid: bytes) -> bytes:
    """Return the MAC of the selected AID: the first ICV of implicit initiation; its first 6 bytes a card challenge.

    Args:
        key: the session's C-MAC key; its R-MAC key for the first R-MAC's ICV.
        aid: of the application that is selected.

    Spec: GP Card Specification 2.3.1, E.3.3, E.4.2.3 (i bit 40).
    """
    return retail_mac(key, aid)


def pseudo_random_challenge(session: SessionKeys, aid: bytes) -> bytes:
    """Return the card challenge that a card with i bit 40 uses, 6 bytes."""
    return mac_of_aid(session.mac, aid)[:_CHALLENGE_BYTES]
