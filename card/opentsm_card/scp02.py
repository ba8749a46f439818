"""SCP02, host side: a session with a security domain, explicit or implicit, live or computed ahead.

Explicit (i bit 04): `Scp02Session.initialize_update` makes the command, `open` checks the card's answer,
`external_authenticate` gives the next command, then `wrap` and `unwrap` alternate. Implicit: `implicit` begins a
session with nothing sent; its first wrapped command authenticates the host. Ahead: `predict` says what a card with
pseudo-random challenges (i bit 40) will answer.

The card's answer does not name i: it is known from the card (GET DATA 66) or its profile.

Spec: GP Card Specification 2.3.1, annex E.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.external_authenticate import ExternalAuthenticate, SecurityLevel
from opentsm_card.initialize_update import InitializeUpdate, Scp02Answer
from opentsm_card.r_mac_session import BeginRMacSession, EndRMacSession
from opentsm_card.scp02_kdf import (
    MAX_SEQUENCE_COUNTER,
    Parameter,
    SessionKeys,
    card_cryptogram,
    host_cryptogram,
    mac_of_aid,
    pseudo_random_challenge,
)
from opentsm_card.scp02_messaging import MAC_BYTES, Messaging
from opentsm_card.scp03_messaging import has_response_mac

if TYPE_CHECKING:
    from opentsm_card.keys import KeySet

__all__ = ["Scp02Link", "Scp02Session", "Scp02State", "max_data_bytes", "predict"]

_BLOCK_BYTES = 8
_MAX_SHORT_DATA = 255
_CHALLENGE_BYTES = 8
_LEVELS = frozenset({0x00, 0x01, 0x03, 0x10, 0x11, 0x13})


@dataclass(frozen=True, slots=True)
class Scp02Link:
    """What belongs to one wrapped command: its C-MAC, 8 bytes; no secret."""

    c_mac: bytes


@dataclass(frozen=True, slots=True)
class Scp02State:
    """A session without its keys: what `Scp02Session.resume` needs beside the static keys; no secret.

    Args:
        i: the SCP02 parameter.
        host_challenge: 8 bytes.
        answer: the answer to INITIALIZE UPDATE, as received or predicted.
        level: security level; None before EXTERNAL AUTHENTICATE.
        c_mac: the last C-MAC, 8 bytes.
        r_mac: the last R-MAC, 8 bytes.
    """

    i: int
    host_challenge: bytes
    answer: bytes
    level: SecurityLevel | None
    c_mac: bytes
    r_mac: bytes


def max_data_bytes(level: SecurityLevel) -> int:
    """Return how much plain data one short command takes at a security level."""
    room = _MAX_SHORT_DATA - (MAC_BYTES if level & SecurityLevel.C_MAC else 0)
    if level & SecurityLevel.C_DECRYPTION:
        room = room // _BLOCK_BYTES * _BLOCK_BYTES - 1  # at least one byte of padding
    return room


class Scp02Session:
    """The host's end of one SCP02 session; not shared between threads.

    Args:
        keys: static keys of the security domain, triple DES.
        host_challenge: as sent in INITIALIZE UPDATE.
        answer: as received or predicted.
        i: the SCP02 parameter, of explicit initiation.

    Raises:
        SecureChannelError: the card's cryptogram is wrong, or it used another key version.
        ProtocolError: i is none of explicit SCP02's, or keys or challenge are none for it.
    """

    __slots__ = (
        "_alive",
        "_answer",
        "_ending",
        "_host_challenge",
        "_host_cryptogram",
        "_i",
        "_level",
        "_messaging",
        "_plain",
        "_r",
    )

    def __init__(self, keys: KeySet, host_challenge: bytes, answer: Scp02Answer, i: int) -> None:
        self._i = Parameter.parse(i)
        if not self._i & Parameter.EXPLICIT:
            raise ProtocolError(f"i = {i:02X}: sessions begin implicitly, without INITIALIZE UPDATE")
        if len(host_challenge) != _CHALLENGE_BYTES:
            raise ProtocolError("a host challenge of 8 bytes goes with SCP02")
        if keys.version not in {0, answer.key_version}:
            raise SecureChannelError(f"the card used key version {answer.key_version:#04x}, not {keys.version:#04x}")
        session_keys = SessionKeys.derive(keys, answer.sequence_counter, i)
        parts = (host_challenge, answer.sequence_counter, answer.card_challenge)
        if not hmac.compare_digest(card_cryptogram(session_keys, *parts), answer.card_cryptogram):
            raise SecureChannelError(f"card cryptogram does not verify under key version {answer.key_version:#04x}")
        self._answer: Scp02Answer | None = answer
        self._host_challenge = host_challenge
        self._host_cryptogram = host_cryptogram(session_keys, *parts)
        self._begin(Messaging(session_keys, i), None)

    def _begin(self, messaging: Messaging, level: SecurityLevel | None) -> None:
        self._messaging = messaging
        self._level = level
        self._alive = True
        self._plain: CommandApdu | None = None  # the command whose answer is to come
        self._r: str = ""  # "": no R-MACs; "each": with every answer; "kept": with END R-MAC SESSION alone
        self._ending = False  # the answer to come is that of END R-MAC SESSION

    def __repr__(self) -> str:
        """Show key version and level."""
        level = "not authenticated" if self._level is None else f"level {int(self._level):02X}"
        version = "implicit" if self._answer is None else f"key version {self._answer.key_version:#04x}"
        return f"Scp02Session({version}, {level}, alive={self._alive})"

    def __reduce__(self) -> str | tuple[object, ...]:
        """Refuse: a pickled session would carry session keys."""
        raise TypeError("an Scp02Session is not pickled; keep its state() and resume()")

    @staticmethod
    def initialize_update(key_version: int, host_challenge: bytes) -> CommandApdu:
        """Return the command that begins a session; see `InitializeUpdate`."""
        return InitializeUpdate(key_version, host_challenge).apdu()

    @classmethod
    def open(cls, keys: KeySet, host_challenge: bytes, answer: bytes, i: int) -> Self:
        """Check the card's answer to INITIALIZE UPDATE and return the session.

        Args:
            keys: static keys of the security domain.
            host_challenge: as sent.
            answer: response data, without the status word.
            i: the SCP02 parameter.

        Raises:
            SecureChannelError: the card does not hold these keys.
            ProtocolError: malformed.
        """
        return cls(keys, host_challenge, Scp02Answer.parse(answer), i)

    @classmethod
    def implicit(cls, keys: KeySet, *, sequence_counter: int, aid: bytes, i: int) -> Self:
        """Return a session that its first wrapped command begins, at level 01.

        Args:
            keys: static keys; the security domain uses its default key set.
            sequence_counter: the session's, as GET DATA C1 tells.
            aid: of the application that is selected.
            i: the SCP02 parameter, of implicit initiation.

        Raises:
            ProtocolError: i is none of implicit SCP02's, or keys or counter are none for it.

        Spec: GP Card Specification 2.3.1, E.3.
        """
        if Parameter.parse(i) & Parameter.EXPLICIT:
            raise ProtocolError(f"i = {i:02X}: sessions begin with INITIALIZE UPDATE")
        session_keys = SessionKeys.derive(keys, sequence_counter, i)
        session = cls.__new__(cls)
        session._i = Parameter.parse(i)  # noqa: SLF001 - the class's own
        session._answer = None  # noqa: SLF001 - the class's own
        session._host_challenge = session._host_cryptogram = b""  # noqa: SLF001 - the class's own
        icvs = mac_of_aid(session_keys.mac, aid), mac_of_aid(session_keys.rmac, aid)
        session._begin(Messaging(session_keys, i, *icvs), SecurityLevel.C_MAC)  # noqa: SLF001 - the class's own
        return session

    @classmethod
    def resume(cls, keys: KeySet, state: Scp02State) -> Self:
        """Return a session as `state` left it.

        Raises:
            SecureChannelError: the static keys are not those of the state's session.
            ProtocolError: malformed.
        """
        session = cls.open(keys, state.host_challenge, state.answer, state.i)
        if len(state.c_mac) != MAC_BYTES or len(state.r_mac) != MAC_BYTES:
            raise ProtocolError("SCP02 state: MACs of 8 bytes wanted")
        if state.level is not None:
            session._messaging.restore(state.c_mac, state.r_mac)  # noqa: SLF001 - the class's own
            session._set_level(state.level)  # noqa: SLF001 - the class's own
        return session

    def state(self) -> Scp02State:
        """Return what `resume` needs.

        Raises:
            SecureChannelError: the session is dead, implicit, or within an R-MAC session.
        """
        self._check_alive()
        if self._answer is None or (self._r and not (self._level or SecurityLevel.NONE) & SecurityLevel.R_MAC):
            raise SecureChannelError("an implicit session, or one within an R-MAC session, can't be resumed")
        messaging = self._messaging
        return Scp02State(
            int(self._i), self._host_challenge, self._answer.encode(), self._level, messaging.c_mac, messaging.r_mac
        )

    @property
    def answer(self) -> Scp02Answer:
        """The card's answer to INITIALIZE UPDATE, verified.

        Raises:
            SecureChannelError: the session is implicit.
        """
        if self._answer is None:
            raise SecureChannelError("an implicit session has no INITIALIZE UPDATE")
        return self._answer

    @property
    def level(self) -> SecurityLevel | None:
        """Security level, None before EXTERNAL AUTHENTICATE."""
        return self._level

    @property
    def link(self) -> Scp02Link:
        """What belongs to the command last wrapped."""
        return Scp02Link(self._messaging.c_mac)

    @property
    def max_data_bytes(self) -> int:
        """How much plain data one short command takes."""
        return max_data_bytes(self._level or SecurityLevel.NONE)

    def _set_level(self, level: SecurityLevel) -> None:
        self._level = level
        self._r = "each" if level & SecurityLevel.R_MAC else ""

    def external_authenticate(self, level: SecurityLevel) -> CommandApdu:
        """Return the command that authenticates the host and sets the security level.

        Args:
            level: 00, 01, 03, and with i bit 20 also 10, 11, 13.

        Raises:
            SecureChannelError: not the next step, or the card offers no such level.

        Spec: GP Card Specification 2.3.1, E.5.2.
        """
        self._check_alive()
        if self._level is not None:
            raise SecureChannelError("the session is authenticated already")
        if int(level) not in _LEVELS or (level & SecurityLevel.R_MAC and not self._i & Parameter.R_MAC):
            raise SecureChannelError(f"SCP02 with i = {int(self._i):02X} does not allow level {int(level):02X}")
        mac = self._messaging.next_c_mac(bytes((0x84, ExternalAuthenticate.INS, level, 0x00)), self._host_cryptogram)
        self._messaging.r_mac = mac
        self._set_level(level)
        return ExternalAuthenticate(level, self._host_cryptogram, mac).apdu()

    def wrap(self, command: CommandApdu) -> CommandApdu:
        """Protect a command as the security level says.

        Args:
            command: plain and short, for any logical channel.

        Raises:
            SecureChannelError: the session is dead or not authenticated.
            ProtocolError: the data does not fit a short APDU any more.

        Spec: GP Card Specification 2.3.1, E.4.4, E.4.6.
        """
        level = self._authenticated()
        self._plain = command
        self._ending = False
        if not level & SecurityLevel.C_MAC:
            return command
        return self._messaging.wrap(command, encrypt=bool(level & SecurityLevel.C_DECRYPTION))

    def unwrap(self, response: ResponseApdu, link: Scp02Link | None = None) -> ResponseApdu:
        """Verify a response as the security level says.

        A response with an error status word carries no R-MAC and is returned as it is; the next R-MAC covers it.

        Args:
            response: as received.
            link: of the command that it answers; that of the last command by default, which alone will do with R-MACs.

        Raises:
            SecureChannelError: its MAC is wrong, or the session is dead or not authenticated.

        Spec: GP Card Specification 2.3.1, E.4.5.
        """
        self._authenticated()
        if not self._r:
            return response
        if self._plain is None or (link is not None and link != self.link):
            raise SecureChannelError("an R-MAC is verified with the command it answers, and in order")
        if not has_response_mac(response.sw) and response.data:
            raise self._die(f"an error status word {response.sw:04X} with data")
        if self._ending and not has_response_mac(response.sw):
            return response
        if not self._ending and (self._r == "kept" or not has_response_mac(response.sw)):
            self._messaging.next_r_mac(self._plain, response)
            return response
        plain = ResponseApdu(response.data[:-MAC_BYTES], response.sw)
        expected = self._messaging.r_mac if self._ending else self._messaging.next_r_mac(self._plain, plain)
        if not hmac.compare_digest(expected, response.data[-MAC_BYTES:]):
            raise self._die("response MAC does not verify")
        return plain

    def begin_r_mac(self, challenge: bytes = b"", *, each: bool = True) -> CommandApdu:
        """Return BEGIN R-MAC SESSION, wrapped; call `r_mac_begun` once the card has answered 9000.

        Args:
            challenge: at most 24 bytes of the host's.
            each: R-MACs with every response; otherwise with that of END R-MAC SESSION alone, over all.

        Raises:
            SecureChannelError: the session is dead or not authenticated, or has R-MACs already, or can't have any.

        Spec: GP Card Specification 2.3.1, E.5.3.
        """
        if self._r or not self._i & Parameter.R_MAC:
            raise SecureChannelError(f"no R-MAC session can begin here (i = {int(self._i):02X})")
        return self.wrap(BeginRMacSession(SecurityLevel.R_MAC if each else SecurityLevel.NONE, challenge).apdu())

    def r_mac_begun(self, *, each: bool = True) -> None:
        """Expect R-MACs from the next response on: the card has taken BEGIN R-MAC SESSION, the first that they cover.

        Raises:
            SecureChannelError: BEGIN R-MAC SESSION was not the last command.

        Spec: GP Card Specification 2.3.1, E.4.5.
        """
        if self._plain is None or self._plain.ins != BeginRMacSession.INS:
            raise SecureChannelError("R-MACs begin with the answer to BEGIN R-MAC SESSION")
        self._messaging.next_r_mac(self._plain, ResponseApdu())
        self._r = "each" if each else "kept"

    def end_r_mac(self, *, end: bool = True) -> CommandApdu:
        """Return END R-MAC SESSION, wrapped; its answer has the R-MAC over all before it, and is not covered itself.

        Args:
            end: end the R-MAC session; otherwise it goes on, and call `r_mac_begun` no more.

        Raises:
            SecureChannelError: the session is dead or not authenticated, or in no R-MAC session.

        Spec: GP Card Specification 2.3.1, E.5.4.
        """
        if not self._r or self._authenticated() & SecurityLevel.R_MAC:
            raise SecureChannelError("in no R-MAC session that BEGIN R-MAC SESSION began")
        command = self.wrap(EndRMacSession(end=end).apdu())
        self._ending = True
        return command

    def r_mac_ended(self) -> None:
        """Expect no R-MACs any more: the answer to END R-MAC SESSION was unwrapped."""
        self._r = ""

    def encrypt_sensitive(self, data: bytes) -> bytes:
        """Encrypt keys and other sensitive data with the session's data encryption key.

        Args:
            data: a multiple of 8 bytes.

        Spec: GP Card Specification 2.3.1, E.4.7.
        """
        self._check_alive()
        return self._messaging.encrypt_sensitive(data)

    def _authenticated(self) -> SecurityLevel:
        if self._level is None or not self._alive:
            raise self._no_session()
        return self._level

    def _check_alive(self) -> None:
        if not self._alive:
            raise self._no_session()

    def _no_session(self) -> SecureChannelError:
        return SecureChannelError("the session is not authenticated" if self._alive else "the session is dead")

    def _die(self, reason: str) -> SecureChannelError:
        self._alive = False
        return SecureChannelError(reason)


def predict(
    keys: KeySet,
    host_challenge: bytes,
    *,
    sequence_counter: int,
    aid: bytes,
    diversification_data: bytes,
    i: int = 0x55,
) -> tuple[Scp02Answer, Scp02Session]:
    """Return what a card with pseudo-random challenges will answer to INITIALIZE UPDATE, and the session.

    Args:
        keys: static keys; `version` is the key version to be used, 1..127.
        host_challenge: 8 bytes.
        sequence_counter: of the session to be opened: how many sessions were authenticated with this key set.
        aid: the AID that is selected when INITIALIZE UPDATE comes.
        diversification_data: 10 bytes, as the card answers.
        i: the SCP02 parameter of the security domain.

    Raises:
        ProtocolError: challenges of this card are random (no bit 40 in i), or a value is out of range.
    """
    if not Parameter.parse(i) & Parameter.PSEUDO_RANDOM:
        raise ProtocolError(f"i = {i:02X}: the card's challenge is random and can't be known ahead")
    if not 0 <= sequence_counter < MAX_SEQUENCE_COUNTER or not keys.version or len(diversification_data) != 10:
        raise ProtocolError("a counter of 0..FFFE, a key version and 10 bytes of diversification data wanted")
    session_keys = SessionKeys.derive(keys, sequence_counter, i)
    challenge = pseudo_random_challenge(session_keys, aid)
    cryptogram = card_cryptogram(session_keys, host_challenge, sequence_counter, challenge)
    answer = Scp02Answer(diversification_data, keys.version, sequence_counter, challenge, cryptogram)
    return answer, Scp02Session(keys, host_challenge, answer, i)
