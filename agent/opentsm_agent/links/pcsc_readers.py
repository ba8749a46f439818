"""The readers that pcscd knows, by name or USB port, and what its status codes are in our error tree."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from smartcard import scard

from opentsm_agent.links.pcsc_settings import USB
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, TransportError

__all__ = ["OK", "NoServiceError", "as_error", "establish_context", "find_reader", "reader_names", "usb_path"]

OK: Final[int] = scard.SCARD_S_SUCCESS
"""The status of a call that did what it was asked for."""

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
_NO_SERVICE: Final = frozenset({scard.SCARD_E_NO_SERVICE, scard.SCARD_E_SERVICE_STOPPED})
_USB_DEVICES: Final = Path("/sys/bus/usb/devices")
_USB_CHANNEL: Final = 0x20
_MOST_READERS: Final = 16


class NoServiceError(TransportError):
    """pcscd is not running, or has ended."""


def reader_names() -> list[str]:
    """List the readers that pcscd knows.

    Raises:
        TransportError: pcscd is not running, or refuses.
    """
    context = establish_context()
    try:
        return _list_readers(context)
    finally:
        scard.SCardReleaseContext(context)


def establish_context() -> int:
    """Connect to pcscd.

    Raises:
        NoServiceError: it is not running.
        TransportError: it refuses.
    """
    status, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    if status == scard.SCARD_W_SECURITY_VIOLATION:
        raise as_error(status, "pcsc: this user may not use smart cards (polkit: `opentsm agent system-files`)")
    if status != OK:
        raise as_error(status, "pcsc: no smart card service: is pcscd running?")
    return int(context)


def find_reader(context: int, wanted: str) -> str:
    """Return the full name of the one reader that is meant.

    Args:
        context: of PC/SC.
        wanted: a name, a part of one, or `usb:` and the path of a port.

    Raises:
        CardRemovedError: none fits, or more than one does.
        TransportError: pcscd does not tell.
    """
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


def _list_readers(context: int) -> list[str]:
    status, readers = scard.SCardListReaders(context, [])
    if status == scard.SCARD_E_NO_READERS_AVAILABLE:
        return []
    if status != OK:
        raise as_error(status, "pcsc: listing the readers")
    return list(readers)


def usb_path(context: int, reader: str) -> str | None:
    """Return the path of the USB port that a reader is at, such as `1-2.3`; None for one that is at none.

    Spec: PC/SC part 3, 3.1.1 (SCARD_ATTR_CHANNEL_ID: 0020, bus, address, of a USB device).
    """
    status, card, _protocol = scard.SCardConnect(context, reader, scard.SCARD_SHARE_DIRECT, 0)
    if status != OK:
        return None
    try:
        status, value = scard.SCardGetAttrib(card, scard.SCARD_ATTR_CHANNEL_ID)
    finally:
        scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
    if status != OK or len(value) != struct.calcsize("I"):
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


def as_error(status: int, doing: str) -> TransportError:
    """Map a PC/SC status to our error tree."""
    message = f"{doing}: {scard.SCardGetErrorMessage(status)}"
    if status in _GONE:
        return CardRemovedError(message)
    if status in _NO_SERVICE:
        return NoServiceError(message)
    if status == scard.SCARD_W_RESET_CARD:
        return TransportError(f"{doing}: another program reset the card: what was selected is gone")
    if status == scard.SCARD_E_TIMEOUT:
        return LinkTimeoutError(message)
    return TransportError(message)
