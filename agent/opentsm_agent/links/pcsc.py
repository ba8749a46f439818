"""`pcsc:READER?…`: a card in a PC/SC reader, through the low-level calls of pyscard (the extra `pcsc`).

The card is taken exclusively, or in a transaction from when the link is opened until it is closed: another program's
SELECT between two of ours would end a secure channel unnoticed. One that resets the card all the same is noticed: the
link then takes no command before it is reset.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Final, Self, cast

from smartcard import scard

from opentsm_agent.links.long_commands import LongWay, long_way, transmit_long
from opentsm_agent.links.pcsc_settings import USB, PcscSettings
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
# What may pass by itself: another program has the card for a moment, or somebody is about to put it in.
_BUSY: Final = scard.SCARD_E_SHARING_VIOLATION
_LOOK_S: Final = 0.1
# A card that offers both gets T=1, which carries any C-APDU as it is; pcscd would take the one that is offered first.
_PREFERRED: Final[dict[str, tuple[int, ...]]] = {
    "auto": (scard.SCARD_PROTOCOL_T1, scard.SCARD_PROTOCOL_T0),
    "t1": (scard.SCARD_PROTOCOL_T1,),
    "t0": (scard.SCARD_PROTOCOL_T0,),
}
_BOTH: Final[int] = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
_SHARE: Final = {"exclusive": scard.SCARD_SHARE_EXCLUSIVE, "shared": scard.SCARD_SHARE_SHARED}
_USB_DEVICES: Final = Path("/sys/bus/usb/devices")
_USB_CHANNEL: Final = 0x20
_MOST_READERS: Final = 16


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
        settings: what was asked for.
        timeout_s: how long to wait for another program to give the card free, in seconds.

    Raises:
        CardRemovedError: no such reader, or no card in it.
        LinkTimeoutError: another program has not given the card free in time.
        TransportError: pcscd is not running, or refuses.
    """

    def __init__(self, settings: PcscSettings, timeout_s: float) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._card: int | None = None
        self._in_transaction = False
        self._failed = False
        self._context: int | None = _establish_context()
        self.reader = settings.reader
        try:
            self._card = self._find_card(self._context)
            self.atr = self.reset()
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
        if self._card is None:
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
        card = self._card
        if card is None:
            raise CardRemovedError(f"pcsc:{self.reader}: the link is closed")
        self._end_transaction()
        share = _SHARE[self._settings.share]
        if self._settings.share == "shared":
            # First, so that nobody's command is under way; a reset by another ends it, and is told.
            self._begin_transaction(card)
        for protocols in _PREFERRED[self._settings.protocol]:
            status, protocol = scard.SCardReconnect(card, share, protocols, scard.SCARD_RESET_CARD)
            if status != scard.SCARD_E_PROTO_MISMATCH:
                break
        if status != _OK:
            raise _error(status, f"pcsc:{self.reader}: reset")
        status, _reader, _state, _protocol, atr = scard.SCardStatus(card)
        if status != _OK:
            raise _error(status, f"pcsc:{self.reader}: status")
        self.atr = bytes(atr)
        self._set_protocol(protocol)
        self._failed = False
        return self.atr

    def close(self) -> None:
        """Reset the card, so that no session stays open, and give it free; safe to call twice."""
        if self._card is not None:
            self._end_transaction()
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

    def _find_card(self, context: int) -> int:
        """Connect to the card, once reader and card are there and free."""
        begun = time.monotonic()
        while True:
            try:
                return self._connect(context)
            except CardRemovedError:
                if time.monotonic() - begun >= self._settings.wait_s:
                    raise
            except _BusyError as error:
                if time.monotonic() - begun >= max(self._timeout_s, self._settings.wait_s):
                    raise LinkTimeoutError(str(error)) from error
            time.sleep(_LOOK_S)

    def _connect(self, context: int) -> int:
        self.reader = _find_reader(context, self._settings.reader)
        share = _SHARE[self._settings.share]
        for protocols in _PREFERRED[self._settings.protocol]:
            status, card, _protocol = scard.SCardConnect(context, self.reader, share, protocols)
            if status != scard.SCARD_E_PROTO_MISMATCH:
                break
        if status == scard.SCARD_E_PROTO_MISMATCH:
            raise TransportError(f"pcsc:{self.reader}: the card does not speak {self._settings.protocol}")
        if status == _BUSY:
            raise _BusyError(f"pcsc:{self.reader}: another program holds the card")
        if status != _OK:
            raise _error(status, f"pcsc:{self.reader}: connect")
        return int(card)

    def _begin_transaction(self, card: int) -> None:
        """Begin a transaction; PC/SC waits for as long as another program has one, and has no way to stop that."""
        status = scard.SCardBeginTransaction(card)
        while status == scard.SCARD_W_RESET_CARD:
            # Another reset the card: that has to be taken note of before anything is granted.
            status, _protocol = scard.SCardReconnect(card, scard.SCARD_SHARE_SHARED, _BOTH, scard.SCARD_LEAVE_CARD)
            if status == _OK:
                status = scard.SCardBeginTransaction(card)
        if status != _OK:
            raise _error(status, f"pcsc:{self.reader}: transaction")
        self._in_transaction = True

    def _end_transaction(self) -> None:
        if self._in_transaction and self._card is not None:
            scard.SCardEndTransaction(self._card, scard.SCARD_LEAVE_CARD)
        self._in_transaction = False

    def _exchange(self, command: bytes) -> bytes:
        status, response = scard.SCardTransmit(self._card, self._pci, list(command))
        if status != _OK:
            raise _error(status, f"pcsc:{self.reader}: transmit")
        if len(response) < 2:
            raise TransportError(f"pcsc:{self.reader}: an R-APDU of {len(response)} bytes has no status word")
        return bytes(response)

    def _set_protocol(self, protocol: int) -> None:
        self._t0 = protocol == scard.SCARD_PROTOCOL_T0
        asked = self._settings.long
        self._long: LongWay = long_way(self.atr, t0=self._t0) if asked == "auto" else cast("LongWay", asked)
        self._pci: int = scard.SCARD_PCI_T0 if self._t0 else scard.SCARD_PCI_T1


def _establish_context() -> int:
    status, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    if status == scard.SCARD_W_SECURITY_VIOLATION:
        raise _error(status, "pcsc: this user may not use smart cards (polkit: `opentsm agent system-files`)")
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


def _find_reader(context: int, wanted: str) -> str:
    readers = _list_readers(context)
    if wanted.startswith(USB):
        fitting = [name for name in readers if usb_path(context, name) == wanted.removeprefix(USB)]
    elif wanted in readers:
        return wanted
    else:
        fitting = [name for name in readers if wanted in name]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(repr(name) for name in readers) or "none"
    problem = "more than one reader" if fitting else "no reader"
    full = f"; pcscd shows {_MOST_READERS} at most" if len(readers) >= _MOST_READERS and not fitting else ""
    raise CardRemovedError(f"pcsc:{wanted}: {problem} fits; readers: {known}{full}")


def usb_path(context: int, reader: str) -> str | None:
    """Return the path of the USB port that a reader is at, such as `1-2.3`; None for one that is at none.

    Spec: PC/SC part 3, 3.1.1 (SCARD_ATTR_CHANNEL_ID: 0020, bus, address, of a USB device).
    """
    status, card, _protocol = scard.SCardConnect(context, reader, scard.SCARD_SHARE_DIRECT, 0)
    if status != _OK:
        return None
    try:
        status, value = scard.SCardGetAttrib(card, scard.SCARD_ATTR_CHANNEL_ID)
    finally:
        scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
    if status != _OK or len(value) != struct.calcsize("I"):
        return None
    (channel,) = struct.unpack("<I", bytes(value))
    if channel >> 16 != _USB_CHANNEL:
        return None
    place = channel >> 8 & 0xFF, channel & 0xFF
    for device in sorted(_USB_DEVICES.iterdir()):
        try:
            if (int((device / "busnum").read_text()), int((device / "devnum").read_text())) == place:
                return device.name
        except (OSError, ValueError):
            continue
    return None


class _BusyError(TransportError):
    """Another program has the card."""


def _error(status: int, doing: str) -> TransportError:
    """Map a PC/SC status to our error tree: the one place where that is done."""
    message = f"{doing}: {scard.SCardGetErrorMessage(status)}"
    if status in _GONE:
        return CardRemovedError(message)
    if status == scard.SCARD_W_RESET_CARD:
        return TransportError(f"{doing}: another program reset the card: what was selected is gone")
    if status == scard.SCARD_E_TIMEOUT:
        return LinkTimeoutError(message)
    return TransportError(message)
