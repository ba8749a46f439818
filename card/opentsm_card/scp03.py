"""SCP03, host side: a session with a security domain, live or computed ahead.

Live: `Scp03Session.initialize_update` makes the command, `Scp03Session.open` checks the card's answer,
`external_authenticate` gives the next command, then `wrap` and `unwrap` alternate. Ahead: `predict` says what a card
with pseudo-random challenges will answer and gives the session before anything is sent; see
`opentsm_card.scp03_script`.

A session holds session keys in cipher contexts, the MAC chaining value and the encryption counter. `state` gives the
two numbers, which are no secrets, and `resume` makes the session again from them and the static keys, so that it can
span orders and a restart. When a MAC or cryptogram is wrong the session is dead: each further call fails.

Spec: GP Card Specification Amendment D 1.2.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from opentsm_card.aes_session import AesSession, ChainLink
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.external_authenticate import ExternalAuthenticate, SecurityLevel
from opentsm_card.initialize_update import InitializeUpdate, InitializeUpdateAnswer
from opentsm_card.r_mac_session import BeginRMacSession, EndRMacSession
from opentsm_card.scp03_kdf import (
    Parameter,
    SessionKeys,
    card_cryptogram,
    host_cryptogram,
    next_sequence_counter,
    pseudo_random_challenge,
)

if TYPE_CHECKING:
    from opentsm_card.apdu import CommandApdu
    from opentsm_card.keys import KeySet

__all__ = [
    "ChainLink",
    "Scp03Session",
    "Scp03State",
    "SecurityLevel",
    "max_data_bytes",
    "next_sequence_counter",
    "predict",
]

_ZERO_CHAINING_VALUE = bytes(16)
_MAX_SHORT_DATA = 255
_BLOCK_BYTES = 16


@dataclass(frozen=True, slots=True)
class Scp03State:
    """A session without its keys: what `Scp03Session.resume` needs beside the static keys; no secret.

    Args:
        host_challenge: 8 or 16 bytes.
        answer: the answer to INITIALIZE UPDATE, as received or predicted.
        level: security level; None before EXTERNAL AUTHENTICATE.
        chaining_value: 16 bytes.
        counter: encryption counter of the command last wrapped.
    """

    host_challenge: bytes
    answer: bytes
    level: SecurityLevel | None
    chaining_value: bytes
    counter: int


def max_data_bytes(level: SecurityLevel, i: int = 0x70, *, limit: int = _MAX_SHORT_DATA) -> int:
    """Return how much plain data one command takes at a security level.

    Args:
        level: of the session.
        i: the SCP03 parameter, for the length of MACs.
        limit: bytes of command data at most, 255 for short APDUs.
    """
    room = limit - (Parameter.parse(i).size_bytes if level & SecurityLevel.C_MAC else 0)
    if level & SecurityLevel.C_DECRYPTION:
        room = room // _BLOCK_BYTES * _BLOCK_BYTES - 1  # at least one byte of padding
    return room


class Scp03Session(AesSession):
    """The host's end of one SCP03 session; not shared between threads.

    Args:
        keys: static keys of the security domain.
        host_challenge: as sent in INITIALIZE UPDATE.
        answer: as received or predicted.

    Raises:
        SecureChannelError: the card's cryptogram is wrong, or it used another key version.
        ProtocolError: the answer does not fit the challenge, or i is none of SCP03's.
    """

    __slots__ = ("_answer", "_first_level", "_host_challenge", "_host_cryptogram")

    def __init__(self, keys: KeySet, host_challenge: bytes, answer: InitializeUpdateAnswer) -> None:
        i = Parameter.parse(answer.i)
        if len(host_challenge) != i.size_bytes:
            raise ProtocolError(f"a host challenge of {i.size_bytes} bytes goes with i = {answer.i:02X}")
        if keys.des:
            raise ProtocolError("SCP03 needs AES keys")
        if keys.version not in {0, answer.key_version}:
            raise SecureChannelError(f"the card used key version {answer.key_version:#04x}, not {keys.version:#04x}")
        session_keys = SessionKeys.derive(keys, host_challenge, answer.card_challenge)
        expected = card_cryptogram(session_keys, host_challenge, answer.card_challenge)
        if not hmac.compare_digest(expected, answer.card_cryptogram):
            raise SecureChannelError(f"card cryptogram does not verify under key version {answer.key_version:#04x}")
        self._answer = answer
        self._host_challenge = host_challenge
        self._host_cryptogram = host_cryptogram(session_keys, host_challenge, answer.card_challenge)
        self._first_level: SecurityLevel | None = None
        super().__init__(session_keys, i.size_bytes, _ZERO_CHAINING_VALUE, keys.dek)

    def __repr__(self) -> str:
        """Show key version and level."""
        level = "not authenticated" if self._level is None else f"level {int(self._level):02X}"
        return f"Scp03Session(key version {self._answer.key_version:#04x}, {level}, alive={self._alive})"

    def __reduce__(self) -> str | tuple[object, ...]:
        """Refuse: a pickled session would carry session keys."""
        raise TypeError("an Scp03Session is not pickled; keep its state() and resume()")

    @staticmethod
    def initialize_update(key_version: int, host_challenge: bytes) -> CommandApdu:
        """Return the command that begins a session; see `InitializeUpdate`."""
        return InitializeUpdate(key_version, host_challenge).apdu()

    @classmethod
    def open(cls, keys: KeySet, host_challenge: bytes, answer: bytes) -> Self:
        """Check the card's answer to INITIALIZE UPDATE and return the session.

        Args:
            keys: static keys of the security domain.
            host_challenge: as sent.
            answer: response data, without the status word.

        Raises:
            SecureChannelError: the card does not hold these keys.
            ProtocolError: malformed.
        """
        return cls(keys, host_challenge, InitializeUpdateAnswer.parse(answer))

    @classmethod
    def resume(cls, keys: KeySet, state: Scp03State) -> Self:
        """Return a session as `state` left it.

        Raises:
            SecureChannelError: the static keys are not those of the state's session.
            ProtocolError: malformed.
        """
        session = cls.open(keys, state.host_challenge, state.answer)
        if len(state.chaining_value) != _BLOCK_BYTES or state.counter < 0:
            raise ProtocolError("SCP03 state: a chaining value of 16 bytes and a counter wanted")
        session._level = session._first_level = state.level  # noqa: SLF001 - the class's own
        session._chaining_value = state.chaining_value  # noqa: SLF001 - the class's own
        session._counter = state.counter  # noqa: SLF001 - the class's own
        return session

    def state(self) -> Scp03State:
        """Return what `resume` needs.

        Raises:
            SecureChannelError: the session is dead.
        """
        self._check_alive()
        return Scp03State(self._host_challenge, self._answer.encode(), self._level, self._chaining_value, self._counter)

    @property
    def answer(self) -> InitializeUpdateAnswer:
        """The card's answer to INITIALIZE UPDATE, verified."""
        return self._answer

    @property
    def max_data_bytes(self) -> int:
        """How much plain data one short command takes."""
        return max_data_bytes(self._level or SecurityLevel.NONE, self._answer.i)

    def external_authenticate(self, level: SecurityLevel) -> CommandApdu:
        """Return the command that authenticates the host and sets the security level.

        Args:
            level: 00, 01, 03, 11, 13 or 33; responses are protected only as i allows.

        Raises:
            SecureChannelError: not the next step, or the card offers no such level.

        Spec: GP Card Specification Amendment D 1.2, 6.2.3, 7.1.2.
        """
        self._check_alive()
        level = SecurityLevel.parse(level)
        if self._level is not None:
            raise SecureChannelError("the session is authenticated already")
        if (level & SecurityLevel.R_MAC and not self._answer.i & Parameter.R_MAC) or (
            level & SecurityLevel.R_ENCRYPTION and not self._answer.i & Parameter.R_ENCRYPTION
        ):
            raise SecureChannelError(f"i = {self._answer.i:02X} does not allow level {int(level):02X}")
        lc = 2 * self._mac_bytes
        head = bytes((0x84, ExternalAuthenticate.INS, level, 0x00, lc))
        mac = self._messaging.c_mac(_ZERO_CHAINING_VALUE + head + self._host_cryptogram)
        self._chaining_value = mac
        self._level = self._first_level = level
        return ExternalAuthenticate(level, self._host_cryptogram, mac[: self._mac_bytes]).apdu()

    def begin_r_mac(self, challenge: bytes = b"", *, encrypt: bool = False) -> CommandApdu:
        """Return BEGIN R-MAC SESSION, wrapped; call `r_mac_begun` once the card has answered 9000.

        Args:
            challenge: at most 24 bytes of the host's.
            encrypt: responses are encrypted too, in a session whose commands are.

        Raises:
            SecureChannelError: responses are protected already, or the card can't protect them, or not so.

        Spec: GP Card Specification Amendment D 1.2, 7.1.3.
        """
        level = self._level
        wanted = Parameter.R_MAC | Parameter.R_ENCRYPTION if encrypt else Parameter.R_MAC
        if (
            level is None
            or level & SecurityLevel.R_MAC
            or self._answer.i & wanted != wanted
            or (encrypt and not level & SecurityLevel.C_DECRYPTION)
        ):
            raise SecureChannelError(f"no such R-MAC session can begin here (i = {self._answer.i:02X})")
        protection = SecurityLevel.R_MAC | SecurityLevel.R_ENCRYPTION if encrypt else SecurityLevel.R_MAC
        return self.wrap(BeginRMacSession(protection, challenge).apdu())

    def r_mac_begun(self, *, encrypt: bool = False) -> None:
        """Expect protected responses from the next on: the card has taken BEGIN R-MAC SESSION."""
        if self._level is None:
            raise self._no_session()
        self._level |= SecurityLevel.R_MAC | (SecurityLevel.R_ENCRYPTION if encrypt else SecurityLevel.NONE)

    def end_r_mac(self, *, end: bool = True) -> CommandApdu:
        """Return END R-MAC SESSION, wrapped; its answer is protected still, then call `r_mac_ended`.

        Raises:
            SecureChannelError: in no R-MAC session that BEGIN R-MAC SESSION began.

        Spec: GP Card Specification Amendment D 1.2, 7.1.4.
        """
        if self._level is None or self._level == self._first_level:
            raise SecureChannelError("in no R-MAC session that BEGIN R-MAC SESSION began")
        return self.wrap(EndRMacSession(end=end).apdu())

    def r_mac_ended(self) -> None:
        """Expect responses as EXTERNAL AUTHENTICATE asked for them: the answer to END R-MAC SESSION was unwrapped."""
        self._level = self._first_level


def predict(
    keys: KeySet,
    host_challenge: bytes,
    *,
    sequence_counter: int,
    aid: bytes,
    diversification_data: bytes,
    i: int = 0x70,
) -> tuple[InitializeUpdateAnswer, Scp03Session]:
    """Return what a card with pseudo-random challenges will answer to INITIALIZE UPDATE, and the session.

    Args:
        keys: static keys; `version` is the key version to be used, 1..127.
        host_challenge: 8 bytes, 16 with i bit 01.
        sequence_counter: of the session to be opened: `next_sequence_counter` of the one last shown.
        aid: the AID that is selected when INITIALIZE UPDATE comes.
        diversification_data: 10 bytes, as the card answers.
        i: the SCP03 parameter of the security domain.

    Raises:
        ProtocolError: challenges of this card are random (no bit 10 in i), or a value is out of range.
    """
    parameter = Parameter.parse(i)
    if not parameter & Parameter.PSEUDO_RANDOM:
        raise ProtocolError(f"i = {i:02X}: the card's challenge is random and can't be known ahead")
    if not 1 <= sequence_counter <= 0xFFFFFF or not keys.version or len(diversification_data) != 10:
        raise ProtocolError("a counter of 1..FFFFFF, a key version and 10 bytes of diversification data wanted")
    challenge = pseudo_random_challenge(keys, sequence_counter, aid, parameter.size_bytes)
    cryptogram = card_cryptogram(SessionKeys.derive(keys, host_challenge, challenge), host_challenge, challenge)
    answer = InitializeUpdateAnswer(diversification_data, keys.version, i, challenge, cryptogram, sequence_counter)
    return answer, Scp03Session(keys, host_challenge, answer)
