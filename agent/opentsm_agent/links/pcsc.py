"""`pcsc:READER?…`: a card in a PC/SC reader, through the low-level calls of pyscard (the extra `pcsc`).

The card is taken exclusively, or in a transaction from when the link is opened until it is closed: another program's
SELECT between two of ours would end a secure channel unnoticed. One that resets the card all the same is noticed: the
link then takes no command before it is reset.
"""

from __future__ import annotations

from typing import Self

from smartcard import scard

from opentsm_agent.links.long_commands import LongCommands, transmit_long
from opentsm_agent.links.pcsc_connection import Connection, connect
from opentsm_agent.links.pcsc_readers import OK, as_error
from opentsm_agent.links.pcsc_settings import PcscSettings
from opentsm_agent.links.t0 import transmit_t0
from opentsm_card.errors import CardRemovedError, TransportError

__all__ = ["PcscLink", "open_pcsc"]


def open_pcsc(address: str, timeout_s: float) -> PcscLink:
    """Open a link to the card in a reader; see `PcscSettings` for what may follow it.

    Args:
        address: `READER?NAME=VALUE&…`.
        timeout_s: how long to wait for another program to give the card free; for an answer the reader has time-outs of
            its own.

    Raises:
        ProtocolError: the address makes no sense.
        TransportError: the card can't be reached.
    """
    return PcscLink(PcscSettings.parse(address), timeout_s)


class PcscLink:
    """The card in one PC/SC reader; opening it resets the card.

    Args:
        settings: what was asked for.
        timeout_s: how long to wait for another program to give the card free, in seconds.

    Raises:
        CardRemovedError: no such reader, or no card in it.
        LinkTimeoutError: another program has not given the card free in time.
        TransportError: pcscd is not running, or refuses.
    """

    def __init__(self, settings: PcscSettings, timeout_s: float) -> None:
        self._settings = settings
        self._failed = False
        self._connection: Connection | None = connect(settings, timeout_s)
        self.reader = self._connection.reader
        self.atr = b""
        self._long = LongCommands()
        try:
            self._follow(self._connection)
        except BaseException:
            self.close()
            raise

    @property
    def protocol(self) -> int:
        """T of the protocol that is spoken."""
        return 0 if self._t0 else 1

    def transmit(self, command: bytes) -> bytes:
        """Send one C-APDU and return its R-APDU, SW1 SW2 last; over T=0, 61xx and 6Cxx are followed up.

        Raises:
            ProtocolError: the card can't be given the C-APDU; nothing was sent.
            CardRemovedError: card or reader are gone, or the link is closed.
            LinkTimeoutError: the reader gave up waiting.
            TransportError: any other failure of PC/SC; or one before, and the link was not reset since.
        """
        if self._connection is None:
            raise CardRemovedError(f"pcsc:{self.reader}: the link is closed")
        if self._failed:
            raise TransportError(f"pcsc:{self.reader}: an exchange failed; it takes commands again once it is reset")
        try:
            return transmit_long(self._transmit_short, command, self._long, t0=self._t0)
        except TransportError:
            self._failed = True
            raise

    def _transmit_short(self, command: bytes) -> bytes:
        return transmit_t0(self._exchange, command) if self._t0 else self._exchange(command)

    def reset(self) -> bytes:
        """Reset the card (warm) and return its ATR.

        Raises:
            TransportError: as `transmit`.
        """
        if self._connection is None:
            raise CardRemovedError(f"pcsc:{self.reader}: the link is closed")
        self._failed = True
        self._connection.reset()
        self._follow(self._connection)
        self._failed = False
        return self.atr

    def close(self) -> None:
        """Reset the card, so that no session stays open, and give it free; safe to call twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(scard.SCARD_RESET_CARD)

    def __enter__(self) -> Self:
        """Return the link itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the link."""
        self.close()

    def _exchange(self, command: bytes) -> bytes:
        assert self._connection is not None
        status, response = scard.SCardTransmit(self._connection.card, self._pci, list(command))
        if status != OK:
            raise as_error(status, f"pcsc:{self.reader}: transmit")
        if len(response) < 2:
            raise TransportError(f"pcsc:{self.reader}: an R-APDU of {len(response)} bytes has no status word")
        return bytes(response)

    def _follow(self, connection: Connection) -> None:
        """Speak to the card as its last answer to reset wants it."""
        known, self.atr = self.atr, connection.atr
        self._t0 = connection.protocol == scard.SCARD_PROTOCOL_T0
        self._pci: int = scard.SCARD_PCI_T0 if self._t0 else scard.SCARD_PCI_T1
        if known == self.atr:
            return
        try:
            self._long, asked = LongCommands.learn(self._settings.long, self.atr, self._transmit_short)
        except TransportError:
            self.atr = b""
            raise
        if asked:
            connection.reset()
