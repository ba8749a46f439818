"""SCP02, card side, explicit: what a security domain does, for checking hosts and the virtual card.

Holds one key set with its sequence counter and at most one session. It decides nothing but the channel: commands come
out plain, answers go in plain.

Spec: GP Card Specification 2.3.1, annex E.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.channel_card import CardChannel, CardSession
from opentsm_card.errors import CardError, ProtocolError, SecureChannelError
from opentsm_card.external_authenticate import ExternalAuthenticate, SecurityLevel
from opentsm_card.initialize_update import Scp02Answer
from opentsm_card.scp02_kdf import (
    MAX_SEQUENCE_COUNTER,
    Parameter,
    SessionKeys,
    card_cryptogram,
    host_cryptogram,
    pseudo_random_challenge,
)
from opentsm_card.scp02_messaging import MAC_BYTES, Messaging
from opentsm_card.scp03_messaging import has_response_mac
from opentsm_card.status import StatusWord

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.keys import KeySet

__all__ = ["Scp02Card"]

_CHALLENGE_BYTES = 8


class _Session(CardSession):
    __slots__ = ("command", "messaging")

    def __init__(self, messaging: Messaging, cryptogram: bytes) -> None:
        super().__init__(cryptogram)
        self.messaging = messaging
        self.command: CommandApdu | None = None


class Scp02Card(CardChannel[_Session]):
    """The card's end of SCP02 for one key set.

    Args:
        keys: static keys, triple DES, version 1..127.
        aid: of the application that is selected, which pseudo-random challenges are bound to; may be set anew.
        diversification_data: 10 bytes.
        i: the SCP02 parameter, of explicit initiation.
        sequence_counter: how many sessions were authenticated.
        random_bytes: source of random challenges.
    """

    def __init__(
        self,
        keys: KeySet,
        *,
        aid: bytes,
        diversification_data: bytes,
        i: int = 0x55,
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
        if not keys.des or not self._i & Parameter.EXPLICIT:
            raise ProtocolError("SCP02 needs DES keys, and an explicit i")

    def initialize_update(self, apdu: CommandApdu) -> Scp02Answer:
        """Begin a session, ending one that may be open.

        Raises:
            CardError: 6A80 (a challenge of another length), 6A88 (key version), 6985 (counter used up).
            ProtocolError: not INITIALIZE UPDATE.
        """
        command = self._begin(apdu, _CHALLENGE_BYTES)
        if self.sequence_counter >= MAX_SEQUENCE_COUNTER:
            raise CardError(StatusWord.CONDITIONS_NOT_SATISFIED, command.NAME)
        counter = self.sequence_counter
        keys = SessionKeys.derive(self._keys, counter, self._i)
        if self._i & Parameter.PSEUDO_RANDOM:
            challenge = pseudo_random_challenge(keys, self.aid)
        else:
            challenge = self._random_bytes(6)
        parts = (command.host_challenge, counter, challenge)
        self._session = _Session(Messaging(keys, self._i), host_cryptogram(keys, *parts))
        return Scp02Answer(
            self._diversification_data, self._keys.version, counter, challenge, card_cryptogram(keys, *parts)
        )

    def external_authenticate(self, apdu: CommandApdu) -> SecurityLevel:
        """Authenticate the host, set the security level and count the session.

        Raises:
            SecureChannelError: cryptogram or MAC wrong, no such level, or not the next step; the session is over.
        """
        session = self._take_unauthenticated()
        command = ExternalAuthenticate.parse(apdu)
        if not hmac.compare_digest(session.host_cryptogram, command.host_cryptogram):
            raise SecureChannelError("host cryptogram of EXTERNAL AUTHENTICATE does not verify")
        session.messaging.unwrap(apdu, encrypted=False)
        if command.level & SecurityLevel.R_ENCRYPTION or (
            command.level & SecurityLevel.R_MAC and not self._i & Parameter.R_MAC
        ):
            raise SecureChannelError(f"i = {int(self._i):02X} does not allow level {int(command.level):02X}")
        session.messaging.r_mac = session.messaging.c_mac
        session.level = command.level
        self.sequence_counter += 1
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
        self._session = None  # until the command turns out right
        command = apdu
        if session.level & SecurityLevel.C_MAC:
            if not apdu.secured or len(apdu.data) < MAC_BYTES or apdu.extended:
                raise SecureChannelError("a command without MAC in a session that wants one")
            command = session.messaging.unwrap(apdu, encrypted=bool(session.level & SecurityLevel.C_DECRYPTION))
        session.command = command
        self._session = session
        return command

    def wrap(self, response: ResponseApdu) -> ResponseApdu:
        """Protect the answer to the command last unwrapped as the security level says.

        Raises:
            SecureChannelError: no session.
        """
        session = self._session
        if session is None or session.level is None or session.command is None:
            raise SecureChannelError("no session")
        if not session.level & SecurityLevel.R_MAC:
            return response
        if not has_response_mac(response.sw):
            error = ResponseApdu(b"", response.sw)
            session.messaging.next_r_mac(session.command, error)
            return error
        return ResponseApdu(response.data + session.messaging.next_r_mac(session.command, response), response.sw)
