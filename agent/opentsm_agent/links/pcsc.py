"""`pcsc:READER`: a card in a PC/SC reader, through the low-level calls of pyscard (the extra `pcsc`).

The card is taken exclusively: another program's SELECT between two of ours would end a secure channel unnoticed.
"""

from __future__ import annotations

from typing import Final, Self

from smartcard import scard

from opentsm_agent.links.t0 import transmit_t0
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, TransportError

__all__ = ["PcscLink", "open_pcsc", "reader_names"]

_GONE: Final = frozenset(
    {
        scard.SCARD_W_REMOVED_CARD,
        scard.SCARD_W_UNPOWERED_CARD,
        scard.SCARD_W_UNRESPONSIVE_CARD,
        scard.SCARD_E_NO_SMARTCARD,
        scard.SCARD_E_READER_UNAVAILABLE,
        scard.SCARD_E_UNKNOWN_READER,
        scard.SCARD_E_NO_READERS_AVAILABLE,
        scard.SCARD_E_INVALID_HANDLE,
    }
)
_OK: Final[int] = scard.SCARD_S_SUCCESS
# A card that offers both gets T=1, which carries any C-APDU as it is; pcscd would take the one that is offered first.
_PREFERRED: Final = (scard.SCARD_PROTOCOL_T1, scard.SCARD_PROTOCOL_T0)


def open_pcsc(reader: str, timeout_s: float) -> PcscLink:
    """Open a link to the card in a reader; PC/SC readers have time-outs of their own, so `timeout_s` is not used."""
    del timeout_s
    return PcscLink(reader)


def reader_names() -> list[str]:
    """List the readers that pcscd knows.

    Raises:
        TransportError: pcscd is not running, or refuses.
    """
    context = _establish_context()
    try:
        return _list_readers(context)
    finally:
        scard.SCardReleaseContext(context)


class PcscLink:
    """The card in one PC/SC reader; opening it resets the card.

    Args:
        reader: the reader's name, or a part of it that fits exactly one reader.

    Raises:
        CardRemovedError: no such reader, or no card in it.
        TransportError: pcscd is not running, or another program holds the card.
    """

    def __init__(self, reader: str) -> None:
        self._card: int | None = None
        self._context: int | None = _establish_context()
        try:
            self.reader = _find_reader(_list_readers(self._context), reader)
            self._card = self._connect(self._context)
            self.atr = self.reset()
        except BaseException:
            self.close()
            raise

    def transmit(self, command: bytes) -> bytes:
        """Send one C-APDU and return its R-APDU, SW1 SW2 last; over T=0, 61xx and 6Cxx are followed up.

        Raises:
            ProtocolError: T=0 can't carry the C-APDU; nothing was sent.
            CardRemovedError: card or reader are gone, or the link is closed.
            LinkTimeoutError: the reader gave up waiting.
            TransportError: any other failure of PC/SC.
        """
        if self._t0:
            return transmit_t0(self._exchange, command)
        return self._exchange(command)

    def reset(self) -> bytes:
        """Reset the card (warm) and return its ATR.

        Raises:
            TransportError: as `transmit`.
        """
        if self._card is None:
            raise CardRemovedError(f"pcsc:{self.reader}: the link is closed")
        for protocols in _PREFERRED:
            status, protocol = scard.SCardReconnect(
                self._card, scard.SCARD_SHARE_EXCLUSIVE, protocols, scard.SCARD_RESET_CARD
            )
            if status != scard.SCARD_E_PROTO_MISMATCH:
                break
        if status != _OK:
            raise _error(status, f"pcsc:{self.reader}: reset")
        self._set_protocol(protocol)
        status, _reader, _state, _protocol, atr = scard.SCardStatus(self._card)
        if status != _OK:
            raise _error(status, f"pcsc:{self.reader}: status")
        self.atr = bytes(atr)
        return self.atr

    def close(self) -> None:
        """Reset the card, so that no session stays open, and give it free; safe to call twice."""
        if self._card is not None:
            scard.SCardDisconnect(self._card, scard.SCARD_RESET_CARD)
            self._card = None
        if self._context is not None:
            scard.SCardReleaseContext(self._context)
            self._context = None

    def __enter__(self) -> Self:
        """Return the link itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the link."""
        self.close()

    def _connect(self, context: int) -> int:
        for protocols in _PREFERRED:
            status, card, protocol = scard.SCardConnect(context, self.reader, scard.SCARD_SHARE_EXCLUSIVE, protocols)
            if status != scard.SCARD_E_PROTO_MISMATCH:
                break
        if status != _OK:
            raise _error(status, f"pcsc:{self.reader}: connect")
        self._set_protocol(protocol)
        return int(card)

    def _exchange(self, command: bytes) -> bytes:
        if self._card is None:
            raise CardRemovedError(f"pcsc:{self.reader}: the link is closed")
        status, response = scard.SCardTransmit(self._card, self._pci, list(command))
        if status != _OK:
            raise _error(status, f"pcsc:{self.reader}: transmit")
        if len(response) < 2:
            raise TransportError(f"pcsc:{self.reader}: an R-APDU of {len(response)} bytes has no status word")
        return bytes(response)

    def _set_protocol(self, protocol: int) -> None:
        self._t0 = protocol == scard.SCARD_PROTOCOL_T0
        self._pci: int = scard.SCARD_PCI_T0 if self._t0 else scard.SCARD_PCI_T1


def _establish_context() -> int:
    status, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    if status != _OK:
        raise _error(status, "pcsc: no smart card service: is pcscd running?")
    return int(context)


def _list_readers(context: int) -> list[str]:
    status, readers = scard.SCardListReaders(context, [])
    if status == scard.SCARD_E_NO_READERS_AVAILABLE:
        return []
    if status != _OK:
        raise _error(status, "pcsc: listing the readers")
    return list(readers)


def _find_reader(readers: list[str], wanted: str) -> str:
    if wanted in readers:
        return wanted
    fitting = [name for name in readers if wanted in name]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(repr(name) for name in readers) or "none"
    problem = "more than one reader" if fitting else "no reader"
    raise CardRemovedError(f"pcsc:{wanted}: {problem} fits; readers: {known}")


def _error(status: int, doing: str) -> TransportError:
    """Map a PC/SC status to our error tree: the one place where that is done."""
    message = f"{doing}: {scard.SCardGetErrorMessage(status)}"
    if status in _GONE:
        return CardRemovedError(message)
    if status == scard.SCARD_E_TIMEOUT:
        return LinkTimeoutError(message)
    return TransportError(message)
