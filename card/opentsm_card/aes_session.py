"""Secure messaging with AES on the host side: the part of a session that SCP03 and SCP11 have in common.

Spec: GP Card Specification Amendment D 1.2, 6.2.4 to 6.2.7; Amendment F 1.3, 4.8.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from opentsm_card.apdu import CommandApdu, ResponseApdu, cla_on_channel
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.scp03_messaging import RESPONSE_ICV, Messaging, has_response_mac

if TYPE_CHECKING:
    from opentsm_card.scp03_kdf import SessionKeys

__all__ = ["AesSession", "ChainLink"]

_MAX_SHORT_DATA = 255
_BLOCK_BYTES = 16


@dataclass(frozen=True, slots=True)
class ChainLink:
    """What the answer to one wrapped command is unwrapped with; no secret.

    Args:
        chaining_value: the command's full MAC, 16 bytes.
        counter: the encryption counter that the command used.
    """

    chaining_value: bytes
    counter: int


class AesSession:
    """The host's end of a session once there are session keys; not shared between threads.

    Args:
        keys: of the session.
        mac_bytes: length of MACs, 8 or 16.
        chaining_value: the first, 16 bytes.
        dek: data encryption key.
    """

    __slots__ = ("_alive", "_chaining_value", "_counter", "_dek", "_level", "_mac_bytes", "_messaging")

    def __init__(self, keys: SessionKeys, mac_bytes: int, chaining_value: bytes, dek: bytes) -> None:
        self._messaging = Messaging(keys)
        self._dek = dek
        self._mac_bytes = mac_bytes
        self._level: SecurityLevel | None = None
        self._chaining_value = chaining_value
        self._counter = 0
        self._alive = True

    def __reduce__(self) -> str | tuple[object, ...]:
        """Refuse: a pickled session would carry session keys."""
        raise TypeError(f"{type(self).__name__} is not pickled: it holds session keys")

    @property
    def level(self) -> SecurityLevel | None:
        """Security level, None before EXTERNAL AUTHENTICATE."""
        return self._level

    @property
    def link(self) -> ChainLink:
        """What the answer to the command last wrapped is unwrapped with."""
        return ChainLink(self._chaining_value, self._counter)

    def wrap(self, command: CommandApdu) -> CommandApdu:
        """Protect a command as the security level says.

        Args:
            command: plain, for any logical channel; extended where it must be.

        Raises:
            SecureChannelError: the session is dead or not authenticated.
            ProtocolError: the data does not fit an APDU any more.

        Spec: GP Card Specification Amendment D 1.2, 6.2.4, 6.2.6.
        """
        level = self._level
        if level is None or not self._alive:
            raise self._no_session()
        level_bits = int(level)
        if not level_bits & 0x01:
            return command
        data = command.data
        self._counter += 1
        if level_bits & 0x02 and data:
            data = self._messaging.encrypt(self._counter, data)
        ne = command.ne
        cla = command.cla
        # The MAC is over the class byte of channel 0 with GP's secure messaging bit.
        mac_cla = cla & 0x80 | 0x04
        nc = len(data) + self._mac_bytes
        head: tuple[int, ...]
        if nc <= _MAX_SHORT_DATA and not command.extended:
            head = (mac_cla, command.ins, command.p1, command.p2, nc)
        else:
            head = (mac_cla, command.ins, command.p1, command.p2, 0, nc >> 8, nc & 0xFF)
        mac = self._messaging.c_mac(self._chaining_value + bytes(head) + data)
        self._chaining_value = mac
        if cla & 0x43:
            mac_cla = cla_on_channel(mac_cla, command.channel)
        extended = len(head) == 7
        wrapped_data = data + mac[: self._mac_bytes]
        return CommandApdu(mac_cla, command.ins, command.p1, command.p2, wrapped_data, ne, extended)

    def unwrap(self, response: ResponseApdu, link: ChainLink | None = None) -> ResponseApdu:
        """Verify and decrypt a response as the security level says.

        A response with an error status word carries no protection and is returned as it is: nothing follows from it.

        Args:
            response: as received.
            link: of the command that it answers; that of the last command by default.

        Raises:
            SecureChannelError: its MAC or padding is wrong, or the session is dead or not authenticated.

        Spec: GP Card Specification Amendment D 1.2, 6.2.5, 6.2.7.
        """
        level = self._level
        if level is None or not self._alive:
            raise self._no_session()
        if not level & SecurityLevel.R_MAC:
            return response
        if not has_response_mac(response.sw):
            if response.data:
                raise self._die(f"an error status word {response.sw:04X} with data")
            return response
        chaining_value, counter = (
            (self._chaining_value, self._counter) if link is None else (link.chaining_value, link.counter)
        )
        data, mac = response.data[: -self._mac_bytes], response.data[-self._mac_bytes :]
        expected = self._messaging.r_mac(chaining_value + data + response.sw.to_bytes(2, "big"))
        if not hmac.compare_digest(expected[: self._mac_bytes], mac):
            raise self._die("response MAC does not verify")
        if data and level & SecurityLevel.R_ENCRYPTION:
            try:
                data = self._messaging.decrypt(RESPONSE_ICV | counter, data)
            except SecureChannelError:
                self._alive = False
                raise
        return ResponseApdu(data, response.sw)

    def encrypt_sensitive(self, data: bytes) -> bytes:
        """Encrypt keys and other sensitive data with the data encryption key: SCP03's static one, SCP11's agreed one.

        Args:
            data: a multiple of 16 bytes.

        Raises:
            ProtocolError: of another length.
            SecureChannelError: the session is dead.

        Spec: GP Card Specification Amendment D 1.2, 6.2.8.
        """
        self._check_alive()
        if not data or len(data) % _BLOCK_BYTES:
            raise ProtocolError(f"sensitive data comes in blocks of 16 bytes, not {len(data)}")
        encryptor = Cipher(algorithms.AES(self._dek), modes.CBC(bytes(_BLOCK_BYTES))).encryptor()
        return encryptor.update(data) + encryptor.finalize()

    def _check_alive(self) -> None:
        if not self._alive:
            raise self._no_session()

    def _no_session(self) -> SecureChannelError:
        return SecureChannelError("the session is not authenticated" if self._alive else "the session is dead")

    def _die(self, reason: str) -> SecureChannelError:
        self._alive = False
        return SecureChannelError(reason)
