"""SCP03 secure messaging: encryption and MACs, the same on both sides.

Cipher contexts are made once a session and kept, which makes wrapping some three times as fast as fresh ones:

- One CBC encryptor is never finalized. Its state is the last block it put out, so to encrypt a counter block into an
  ICV the block is given in XORed with that state; and as the ICV then *is* the state, the message follows in the same
  call, and comes out encrypted under this ICV.
- One CBC decryptor gets the ICV in front of the ciphertext, and its first block out is thrown away.
- One CMAC context a key, copied for each message.

Spec: GP Card Specification Amendment D 1.2, 6.2.4 to 6.2.7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from opentsm_card.errors import SecureChannelError

if TYPE_CHECKING:
    from opentsm_card.scp03_kdf import SessionKeys

__all__ = ["RESPONSE_ICV", "Messaging", "has_response_mac", "pad"]

_BLOCK_BYTES = 16
# Set in the counter block for responses: most significant byte 80 (6.2.7).
RESPONSE_ICV = 0x80 << 120

# Padding by length modulo 16: 80 and zeros, never empty (4.1.4).
_PADDING = tuple(b"\x80" + bytes(_BLOCK_BYTES - 1 - rest) for rest in range(_BLOCK_BYTES))


def pad(data: bytes) -> bytes:
    """Append 80 and zeros up to a multiple of 16 bytes (4.1.4)."""
    return data + _PADDING[len(data) % _BLOCK_BYTES]


def has_response_mac(sw: int) -> bool:
    """Tell whether a response with this status word is protected: 9000 and warnings are, errors not (6.2.5)."""
    return sw == 0x9000 or sw >> 8 in {0x62, 0x63}


class Messaging:
    """The ciphers of one session; holds their contexts and nothing else."""

    __slots__ = ("_decryptor", "_encryptor", "_last", "_mac", "_rmac")

    def __init__(self, keys: SessionKeys) -> None:
        cipher = Cipher(algorithms.AES(keys.enc), modes.CBC(bytes(_BLOCK_BYTES)))
        self._encryptor = cipher.encryptor()
        self._decryptor = cipher.decryptor()
        self._last = 0
        self._mac = CMAC(algorithms.AES(keys.mac))
        self._rmac = CMAC(algorithms.AES(keys.rmac))

    def encrypt(self, counter_block: int, data: bytes) -> bytes:
        """Pad and encrypt data.

        Args:
            counter_block: encryption counter, with `RESPONSE_ICV` for a response.
            data: plaintext.
        """
        first = (counter_block ^ self._last).to_bytes(_BLOCK_BYTES, "big")
        encrypted = self._encryptor.update(first + data + _PADDING[len(data) % _BLOCK_BYTES])
        self._last = int.from_bytes(encrypted[-_BLOCK_BYTES:], "big")
        return encrypted[_BLOCK_BYTES:]

    def decrypt(self, counter_block: int, encrypted: bytes) -> bytes:
        """Decrypt data and take the padding off: 80 and zeros, of which real cards are seen to add a block too many.

        Args:
            counter_block: as for `encrypt`.
            encrypted: a multiple of 16 bytes, its MAC verified before.

        Raises:
            SecureChannelError: no whole blocks, or wrong padding.
        """
        if not encrypted or len(encrypted) % _BLOCK_BYTES:
            raise SecureChannelError("encrypted data is not made of whole blocks")
        first = (counter_block ^ self._last).to_bytes(_BLOCK_BYTES, "big")
        icv = self._encryptor.update(first)
        self._last = int.from_bytes(icv, "big")
        padded = self._decryptor.update(icv + encrypted)[_BLOCK_BYTES:]
        data = padded.rstrip(b"\x00")
        if data[-1:] != b"\x80":
            raise SecureChannelError("encrypted data has wrong padding")
        return data[:-1]

    def c_mac(self, message: bytes) -> bytes:
        """Return the full 16 bytes of a command MAC, which are the next chaining value too."""
        context = self._mac.copy()
        context.update(message)
        return context.finalize()

    def r_mac(self, message: bytes) -> bytes:
        """Return the full 16 bytes of a response MAC."""
        context = self._rmac.copy()
        context.update(message)
        return context.finalize()
