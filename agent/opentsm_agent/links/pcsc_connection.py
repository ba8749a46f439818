"""A connection to the card in a reader, made within a limited time.

SCardConnect and SCardBeginTransaction wait for as long as another program has a transaction with the card, and PC/SC
has no way to stop them. So they are called in a thread of their own. Who waited long enough goes away; the thread
stays, one for each reader at most, and gives the card free again should it get it after all.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from smartcard import scard

from opentsm_agent.links.pcsc_readers import OK, NoServiceError, as_error, establish_context, find_reader
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, TransportError

if TYPE_CHECKING:
    from opentsm_agent.links.pcsc_settings import PcscSettings

__all__ = ["Connection", "connect"]

_SHARE: Final = {"exclusive": scard.SCARD_SHARE_EXCLUSIVE, "shared": scard.SCARD_SHARE_SHARED}
# A card that offers both gets T=1, which carries any C-APDU as it is; pcscd would take the one that is offered first.
_PREFERRED: Final[dict[str, tuple[int, ...]]] = {
    "auto": (scard.SCARD_PROTOCOL_T1, scard.SCARD_PROTOCOL_T0),
    "t1": (scard.SCARD_PROTOCOL_T1,),
    "t0": (scard.SCARD_PROTOCOL_T0,),
}
_BOTH: Final[int] = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
_LOOK_S: Final = 0.1
_RESETS: Final = 3
# What a look may take beyond the time there is.
_GRACE_S: Final = 0.5


@dataclass(slots=True)
class Connection:
    """A connection to a card; shared, it is in a transaction until it is closed.

    Args:
        settings: what was asked for.
        context: of PC/SC.
        card: PC/SC's handle.
        reader: the reader's name.
        atr: the card's answer to its last reset.
        protocol: that is spoken, SCARD_PROTOCOL_T0 or SCARD_PROTOCOL_T1.
    """

    settings: PcscSettings
    context: int
    card: int
    reader: str
    atr: bytes = b""
    protocol: int = 0

    def begin(self) -> None:
        """Begin the transaction.

        Raises:
            CardRemovedError: card or reader are gone.
            TransportError: any other failure of PC/SC.
        """
        status = scard.SCardBeginTransaction(self.card)
        while status == scard.SCARD_W_RESET_CARD:
            # Another reset the card: that has to be taken note of before anything is granted.
            shared, leave = scard.SCARD_SHARE_SHARED, scard.SCARD_LEAVE_CARD
            status, _protocol = scard.SCardReconnect(self.card, shared, _BOTH, leave)
            if status == OK:
                status = scard.SCardBeginTransaction(self.card)
        if status != OK:
            raise as_error(status, f"pcsc:{self.reader}: transaction")

    def reset(self) -> None:
        """Reset the card (warm).

        Raises:
            CardRemovedError: card or reader are gone.
            TransportError: any other failure of PC/SC.
        """
        # A card just put in is switched off by pcscd (1.9) should nobody use it, which may fall between its reset and
        # its being used: then no protocol is left to speak.
        for _ in range(_RESETS):
            status, protocol = self._reset_once()
            if status != OK:
                raise as_error(status, f"pcsc:{self.reader}: reset")
            status, _reader, _state, spoken, atr = scard.SCardStatus(self.card)
            if status != OK:
                raise as_error(status, f"pcsc:{self.reader}: status")
            if spoken == protocol:
                self.atr, self.protocol = bytes(atr), protocol
                return
        raise TransportError(f"pcsc:{self.reader}: the card is switched off after each reset")

    def _reset_once(self) -> tuple[int, int]:
        # A shared card is in our transaction: nobody's command is under way.
        share = _SHARE[self.settings.share]
        for protocols in _PREFERRED[self.settings.protocol]:
            status, protocol = scard.SCardReconnect(self.card, share, protocols, scard.SCARD_RESET_CARD)
            if status != scard.SCARD_E_PROTO_MISMATCH:
                break
        return status, protocol

    def close(self, disposition: int) -> None:
        """Disconnect, which ends the transaction too.

        Args:
            disposition: what becomes of the card, SCARD_RESET_CARD or SCARD_LEAVE_CARD.
        """
        scard.SCardDisconnect(self.card, disposition)
        scard.SCardReleaseContext(self.context)


def connect(settings: PcscSettings, timeout_s: float) -> Connection:
    """Connect to the card, once pcscd, reader and card are there and free, and reset it.

    Args:
        settings: which reader, how shared, and how long to wait for pcscd, reader and card.
        timeout_s: how long to wait for another program to give the card free, in seconds; `wait` where that is longer.

    Raises:
        CardRemovedError: no such reader, or no card in it.
        LinkTimeoutError: another program has not given the card free in time.
        TransportError: pcscd is not running, or refuses.
    """
    limit_s = max(timeout_s, settings.wait_s)
    until = time.monotonic() + limit_s
    held = LinkTimeoutError(
        f"pcsc:{settings.reader}: no connection within {limit_s:g} s: another program holds the card in a transaction, "
        "or the reader hangs; end that, or wait longer (`wait`)"
    )
    with _lock:
        earlier = _given_up.get(settings.reader)
    if earlier is not None:
        earlier.join(limit_s)
        if earlier.is_alive():
            raise held
    attempt = _Attempt(settings, until)
    attempt.start()
    try:
        attempt.join(max(0.0, until - time.monotonic()) + _GRACE_S)
    finally:
        outcome = attempt.take()
    if outcome is None:
        raise held
    if isinstance(outcome, Connection):
        return outcome
    raise outcome


class _BusyError(TransportError):
    """Another program has the card."""


class _Attempt(threading.Thread):
    """A connection that is being made.

    Args:
        settings: what was asked for.
        until: when to stop looking; monotonic, in seconds.
    """

    def __init__(self, settings: PcscSettings, until: float) -> None:
        super().__init__(name=f"pcsc:{settings.reader}", daemon=True)
        self._settings = settings
        self._until = until
        self._outcome: Connection | BaseException | None = None
        self._unwanted = False

    def take(self) -> Connection | BaseException | None:
        """Return what came of it; None where nothing did yet, and then nobody wants it any more."""
        with _lock:
            if self._outcome is None:
                self._unwanted = True
                _given_up[self._settings.reader] = self
            return self._outcome

    def run(self) -> None:
        outcome: Connection | BaseException
        try:
            outcome = self._look()
        except BaseException as error:  # noqa: BLE001 - it is raised again where the connection is wanted
            outcome = error
        with _lock:
            self._outcome = outcome
            unwanted = self._unwanted
            if _given_up.get(self._settings.reader) is self:
                del _given_up[self._settings.reader]
        if unwanted and isinstance(outcome, Connection):
            outcome.close(scard.SCARD_LEAVE_CARD)

    def _look(self) -> Connection:
        there_until = time.monotonic() + self._settings.wait_s
        while True:
            try:
                return self._connect()
            except (CardRemovedError, NoServiceError):
                if time.monotonic() >= there_until:
                    raise
            except _BusyError as error:
                if time.monotonic() >= self._until:
                    raise LinkTimeoutError(str(error)) from error
            time.sleep(_LOOK_S)

    def _connect(self) -> Connection:
        # Anew each time: a context ends with the pcscd that it was made with.
        context = establish_context()
        try:
            return self._connect_in(context)
        except BaseException:
            scard.SCardReleaseContext(context)
            raise

    def _connect_in(self, context: int) -> Connection:
        reader = find_reader(context, self._settings.reader)
        for protocols in _PREFERRED[self._settings.protocol]:
            status, card, _protocol = scard.SCardConnect(context, reader, _SHARE[self._settings.share], protocols)
            if status != scard.SCARD_E_PROTO_MISMATCH:
                break
        if status == scard.SCARD_E_PROTO_MISMATCH:
            raise TransportError(f"pcsc:{reader}: the card does not speak {self._settings.protocol}")
        if status == scard.SCARD_E_SHARING_VIOLATION:
            raise _BusyError(f"pcsc:{reader}: another program holds the card: end it, or give share=shared to both")
        if status != OK:
            raise as_error(status, f"pcsc:{reader}: connect")
        connection = Connection(self._settings, context, int(card), reader)
        try:
            if self._settings.share == "shared":
                connection.begin()
            if not self._unwanted:
                connection.reset()
        except BaseException:
            scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
            raise
        return connection


# Attempts that nobody waits for any more, by the reader as the settings name it; the lock is also their outcomes'.
_given_up: Final[dict[str, _Attempt]] = {}
_lock: Final = threading.Lock()
