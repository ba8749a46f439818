"""SCP03, card side: what a security domain does, for checking hosts and the virtual card.

Holds one key set with its sequence counter and at most one session. It decides nothing but the channel: commands come
out plain, answers go in plain.

Spec: GP Card Specification Amendment D 1.2; protocol rules in 5.6.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.channel_card import CardChannel, CardSession
from opentsm_card.errors import CardError, ProtocolError, SecureChannelError
from opentsm_card.external_authenticate import ExternalAuthenticate, SecurityLevel
from opentsm_card.initialize_update import InitializeUpdateAnswer
from opentsm_card.scp03_kdf import (
    MAX_SEQUENCE_COUNTER,
    Parameter,
    SessionKeys,
    card_cryptogram,
    host_cryptogram,
    next_sequence_counter,
    pseudo_random_challenge,
)
from opentsm_card.scp03_messaging import RESPONSE_ICV, Messaging, has_response_mac
from opentsm_card.status import StatusWord

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.keys import KeySet

__all__ = ["Scp03Card"]

_MAX_SHORT_DATA = 255


class _Session(CardSession):
    __slots__ = ("chaining_value", "counter", "messaging")

    def __init__(self, keys: SessionKeys, cryptogram: bytes) -> None:
        super().__init__(cryptogram)
        self.messaging = Messaging(keys)
        self.chaining_value = bytes(16)
        self.counter = 0


class Scp03Card(CardChannel[_Session]):
    """The card's end of SCP03 for one key set.

    Args:
        keys: static keys, version 1..127.
        aid: of the application that is selected, which pseudo-random challenges are bound to; may be set anew.
        diversification_data: 10 bytes.
        i: the SCP03 parameter.
        sequence_counter: the counter last used; 0 for a new key set.
        random_bytes: source of random challenges.
    """

    def __init__(
        self,
        keys: KeySet,
        *,
        aid: bytes,
        diversification_data: bytes,
        i: int = 0x70,
        sequence_counter: int = 0,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        super().__init__(
            keys,
            aid=aid,
            diversification_data=diversification_data,
            sequence_counter=sequence_counter,
            random_bytes=random_bytes,
        )
        self._i = Parameter.parse(i)
        if keys.des:
            raise ProtocolError("SCP03 needs AES keys")

    def initialize_update(self, apdu: CommandApdu) -> InitializeUpdateAnswer:
        """Begin a session, ending one that may be open.

        Raises:
            CardError: 6A80 (a challenge of another length), 6A88 (key version), 6985 (counter used up).
            ProtocolError: not INITIALIZE UPDATE.
        """
        size = self._i.size_bytes
        command = self._begin(apdu, size)
        counter = None
        if self._i & Parameter.PSEUDO_RANDOM:
            if self.sequence_counter >= MAX_SEQUENCE_COUNTER:
                raise CardError(StatusWord.CONDITIONS_NOT_SATISFIED, command.NAME)
            counter = self.sequence_counter = next_sequence_counter(self.sequence_counter)
            challenge = pseudo_random_challenge(self._keys, counter, self.aid, size)
        else:
            challenge = self._random_bytes(size)
        keys = SessionKeys.derive(self._keys, command.host_challenge, challenge)
        self._session = _Session(keys, host_cryptogram(keys, command.host_challenge, challenge))
        return InitializeUpdateAnswer(
            self._diversification_data,
            self._keys.version,
            int(self._i),
            challenge,
            card_cryptogram(keys, command.host_challenge, challenge),
            counter,
        )

    def external_authenticate(self, apdu: CommandApdu) -> SecurityLevel:
        """Authenticate the host and set the security level.

        Raises:
            SecureChannelError: cryptogram or MAC wrong, no such level, or not the next step; the session is over.
        """
        session = self._take_unauthenticated()
        command = ExternalAuthenticate.parse(apdu)
        SecurityLevel.parse(command.level)
        size = self._i.size_bytes
        head = bytes((0x84, apdu.ins, apdu.p1, apdu.p2)) + apdu.lc()
        mac = session.messaging.c_mac(session.chaining_value + head + command.host_cryptogram)
        authentic = hmac.compare_digest(mac[:size], command.c_mac)
        if not hmac.compare_digest(session.host_cryptogram, command.host_cryptogram) or not authentic:
            raise SecureChannelError("host cryptogram or MAC of EXTERNAL AUTHENTICATE does not verify")
        if (command.level & SecurityLevel.R_MAC and not self._i & Parameter.R_MAC) or (
            command.level & SecurityLevel.R_ENCRYPTION and not self._i & Parameter.R_ENCRYPTION
        ):
            raise SecureChannelError(f"i = {int(self._i):02X} does not allow level {int(command.level):02X}")
        session.level = command.level
        session.chaining_value = mac
        self._session = session
        return command.level

    def unwrap(self, apdu: CommandApdu) -> CommandApdu:
        """Verify and decrypt a command as the security level says.

        Returns:
            The plain command, on its logical channel.

        Raises:
            SecureChannelError: no session, no secure messaging where the level wants it, or MAC or padding wrong; the
                session is over.
        """
        session = self._session
        if session is None or session.level is None:
            raise SecureChannelError("no session")
        if not session.level & SecurityLevel.C_MAC:
            return apdu
        self._session = None  # until the command turns out right
        size = self._i.size_bytes
        if not apdu.secured or len(apdu.data) < size:
            raise SecureChannelError("a command without MAC in a session that wants one")
        data, mac = apdu.data[:-size], apdu.data[-size:]
        head = bytes((apdu.cla & 0x80 | 0x04, apdu.ins, apdu.p1, apdu.p2)) + apdu.lc()
        expected = session.messaging.c_mac(session.chaining_value + head + data)
        if not hmac.compare_digest(expected[:size], mac):
            raise SecureChannelError("command MAC does not verify")
        session.chaining_value = expected
        session.counter += 1
        if data and session.level & SecurityLevel.C_DECRYPTION:
            data = session.messaging.decrypt(session.counter, data)
        self._session = session
        extended = apdu.extended and len(data) > _MAX_SHORT_DATA
        cla = apdu.cla & ~(0x20 if apdu.cla & 0x40 else 0x0C)
        return CommandApdu(cla, apdu.ins, apdu.p1, apdu.p2, data, apdu.ne, extended)

    def wrap(self, response: ResponseApdu) -> ResponseApdu:
        """Protect the answer to the command last unwrapped as the security level says.

        Raises:
            SecureChannelError: no session.
        """
        session = self._session
        if session is None or session.level is None:
            raise SecureChannelError("no session")
        if not session.level & SecurityLevel.R_MAC:
            return response
        if not has_response_mac(response.sw):
            return ResponseApdu(b"", response.sw)
        data = response.data
        if data and session.level & SecurityLevel.R_ENCRYPTION:
            data = session.messaging.encrypt(RESPONSE_ICV | session.counter, data)
        mac = session.messaging.r_mac(session.chaining_value + data + response.sw.to_bytes(2, "big"))
        return ResponseApdu(data + mac[: self._i.size_bytes], response.sw)
