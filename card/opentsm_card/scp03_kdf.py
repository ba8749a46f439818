"""SCP03's derivation: session keys, cryptograms and pseudo-random card challenges.

Spec: GP Card Specification Amendment D 1.2, 4.1.5 (scheme), 6.2.1 (session keys), 6.2.2 (challenges, cryptograms);
NIST SP 800-108, 5.1 (KDF in counter mode over CMAC).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC

from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from opentsm_card.keys import KeySet

__all__ = [
    "MAX_SEQUENCE_COUNTER",
    "CmacKey",
    "Constant",
    "Parameter",
    "SessionKeys",
    "card_cryptogram",
    "derive",
    "host_cryptogram",
    "next_sequence_counter",
    "pseudo_random_challenge",
]

MAX_SEQUENCE_COUNTER = 0xFFFFFF
_BLOCK_BYTES = 16


class Parameter(IntFlag):
    """Bits of the SCP03 parameter i (Amendment D 1.2, table 5-1)."""

    S16 = 0x01
    PSEUDO_RANDOM = 0x10
    R_MAC = 0x20
    R_ENCRYPTION = 0x40

    @classmethod
    def parse(cls, i: int) -> Parameter:
        """Return i as bits, checked against table 5-1.

        Raises:
            ProtocolError: reserved bits, or response encryption without response MAC.
        """
        if i & ~0x71 or i & 0x60 == 0x40:
            raise ProtocolError(f"SCP03 has no parameter i = {i:02X}")
        return cls(i)

    @property
    def size_bytes(self) -> int:
        """Length of challenges, cryptograms and MACs: 8, or 16 with S16."""
        return 16 if self & Parameter.S16 else 8


class Constant(IntEnum):
    """Derivation constants (table 4-1)."""

    CARD_CRYPTOGRAM = 0x00
    HOST_CRYPTOGRAM = 0x01
    CARD_CHALLENGE = 0x02
    S_ENC = 0x04
    S_MAC = 0x06
    S_RMAC = 0x07


class CmacKey(Protocol):
    """A key that is not in this process, such as one in a PKCS#11 token: it does what derivation needs of it."""

    def cmac(self, message: bytes) -> bytes:
        """Return the CMAC of a message under this key."""


def derive(key: bytes | CmacKey, constant: Constant, length_bytes: int, context: bytes) -> bytes:
    """Derive data or a key.

    Args:
        key: AES key of 16, 24 or 32 bytes, or what makes CMACs with one.
        constant: what for.
        length_bytes: how much, 1..32.
        context: what it is bound to.

    Spec: GP Card Specification Amendment D 1.2, 4.1.5.
    """
    derived = b""
    for counter in range(1, -(-length_bytes // _BLOCK_BYTES) + 1):
        # 11 bytes of 00 and the constant; separator 00; length in bits; counter; context
        label = bytes(11) + bytes((constant, 0x00))
        message = label + (length_bytes * 8).to_bytes(2, "big") + bytes((counter,)) + context
        if isinstance(key, bytes):
            cmac = CMAC(algorithms.AES(key))
            cmac.update(message)
            derived += cmac.finalize()
        else:
            derived += key.cmac(message)
    return derived[:length_bytes]


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The keys of one session. They are never stored: static keys and challenges give them again.

    Args:
        enc: S-ENC.
        mac: S-MAC.
        rmac: S-RMAC.
    """

    enc: bytes
    mac: bytes
    rmac: bytes

    def __repr__(self) -> str:
        """Show nothing: session keys are secret and have no name."""
        return "SessionKeys(…)"

    @classmethod
    def derive(cls, keys: KeySet, host_challenge: bytes, card_challenge: bytes) -> SessionKeys:
        """Derive them from static keys and both challenges.

        Spec: GP Card Specification Amendment D 1.2, 6.2.1.
        """
        context = host_challenge + card_challenge
        return cls(
            derive(keys.enc, Constant.S_ENC, len(keys.enc), context),
            derive(keys.mac, Constant.S_MAC, len(keys.mac), context),
            derive(keys.mac, Constant.S_RMAC, len(keys.mac), context),
        )


def card_cryptogram(session: SessionKeys, host_challenge: bytes, card_challenge: bytes) -> bytes:
    """Return the card's cryptogram, as long as the challenges (6.2.2.2)."""
    return derive(session.mac, Constant.CARD_CRYPTOGRAM, len(host_challenge), host_challenge + card_challenge)


def host_cryptogram(session: SessionKeys, host_challenge: bytes, card_challenge: bytes) -> bytes:
    """Return the host's cryptogram, as long as the challenges (6.2.2.3)."""
    return derive(session.mac, Constant.HOST_CRYPTOGRAM, len(host_challenge), host_challenge + card_challenge)


def pseudo_random_challenge(keys: KeySet, sequence_counter: int, aid: bytes, size_bytes: int = 8) -> bytes:
    """Return the card challenge that a card with i bit 10 uses.

    Args:
        keys: the static key set.
        sequence_counter: the counter of this session, 1..FFFFFF: the value after it was incremented.
        aid: of the application that invokes the secure channel: the one selected, 5 to 16 bytes.
        size_bytes: 8 or 16.

    Spec: GP Card Specification Amendment D 1.2, 6.2.2.1.
    """
    context = sequence_counter.to_bytes(3, "big") + aid
    return derive(keys.enc, Constant.CARD_CHALLENGE, size_bytes, context)


def next_sequence_counter(last: int) -> int:
    """Return the counter of the next session.

    Amendment D 6.2.2.1: a counter is zero when its key set is created or replaced as a whole; every INITIALIZE UPDATE
    increments it first and uses the new value (so a new key set's first session shows 000001, as in dialogues with
    real cards); at the maximum INITIALIZE UPDATE is refused with 6985. An INITIALIZE UPDATE that no EXTERNAL
    AUTHENTICATE follows has counted all the same.

    Args:
        last: the counter last shown, 0 when the key set is new.

    Raises:
        ProtocolError: the counter is used up.
    """
    if not 0 <= last < MAX_SEQUENCE_COUNTER:
        raise ProtocolError(f"sequence counter {last:06X} has no next: the key set must be replaced")
    return last + 1
