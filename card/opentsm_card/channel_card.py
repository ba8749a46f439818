"""What the card's ends of SCP02 and SCP03 share: one key set, at most one session, what INITIALIZE UPDATE must say.

Spec: GP Card Specification 2.3.1, E.5.1; Amendment D 1.2, 7.1.1.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Generic, TypeVar

from opentsm_card.errors import CardError, ProtocolError, SecureChannelError
from opentsm_card.initialize_update import InitializeUpdate
from opentsm_card.status import StatusWord

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.apdu import CommandApdu
    from opentsm_card.external_authenticate import SecurityLevel
    from opentsm_card.keys import KeySet

__all__ = ["CardChannel", "CardSession"]

_DIVERSIFICATION_BYTES = 10


class CardSession:
    """A session that INITIALIZE UPDATE began.

    Args:
        cryptogram: what the host must show.
    """

    __slots__ = ("host_cryptogram", "level")

    def __init__(self, cryptogram: bytes) -> None:
        self.host_cryptogram = cryptogram
        self.level: SecurityLevel | None = None


_Session = TypeVar("_Session", bound=CardSession)


class CardChannel(Generic[_Session]):
    """The card's end of a secure channel protocol for one key set.

    Args:
        keys: static keys, version 1..127.
        aid: of the application that is selected, which pseudo-random challenges are bound to; may be set anew.
        diversification_data: 10 bytes.
        sequence_counter: see the protocol.
        random_bytes: source of random challenges.

    Raises:
        ProtocolError: keys without a version, or diversification data of another length.
    """

    def __init__(
        self,
        keys: KeySet,
        *,
        aid: bytes,
        diversification_data: bytes,
        sequence_counter: int = 0,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        if not keys.version or len(diversification_data) != _DIVERSIFICATION_BYTES:
            raise ProtocolError("a card's keys have a version, and 10 bytes of diversification data")
        self._keys = keys
        self._diversification_data = diversification_data
        self._random_bytes = random_bytes
        self._session: _Session | None = None
        self.aid = aid
        self.sequence_counter = sequence_counter

    @property
    def level(self) -> SecurityLevel | None:
        """Security level of the session, None when there is none or the host is not authenticated."""
        return None if self._session is None else self._session.level

    def reset(self) -> None:
        """End the session: another application was selected, the channel closed, or the card reset."""
        self._session = None

    def _begin(self, apdu: CommandApdu, challenge_bytes: int) -> InitializeUpdate:
        """End the session that may be open, and return the INITIALIZE UPDATE that begins another.

        Raises:
            CardError: 6A80 (a challenge of another length), 6A88 (key version).
            ProtocolError: not INITIALIZE UPDATE.
        """
        self.reset()
        command = InitializeUpdate.parse(apdu)
        if len(command.host_challenge) != challenge_bytes:
            raise CardError(StatusWord.INCORRECT_DATA, command.NAME)
        if command.key_version not in {0, self._keys.version}:
            raise CardError(StatusWord.REFERENCED_DATA_NOT_FOUND, command.NAME)
        return command

    def _take_unauthenticated(self) -> _Session:
        """Return the session whose next step is EXTERNAL AUTHENTICATE; it is over unless it is put back.

        Raises:
            SecureChannelError: there is none.
        """
        session, self._session = self._session, None
        if session is None or session.level is not None:
            raise SecureChannelError("EXTERNAL AUTHENTICATE without INITIALIZE UPDATE before")
        return session
