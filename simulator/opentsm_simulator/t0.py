"""A card that speaks T=0: data go one way in an exchange, so a case 4 command's response is fetched by GET RESPONSE.

It stands between a reader that passes TPDUs and a card that takes APDUs. A case 2 command whose Le is wrong is answered
6Cxx, and runs once all the same: its response waits for the command with the right Le. What a reader passes with the Le
of a case 4 APDU, or with extended lengths, is not T=0, and is answered as an APDU.

Spec: ISO/IEC 7816-3:2006, 12.2; ISO/IEC 7816-4:2020, 11.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["T0Card"]

_GET_RESPONSE: Final = 0xC0
_HEADER_BYTES: Final = 4
_MOST: Final = 256


class T0Card:
    """The T=0 side of a card.

    Args:
        transmit: runs a C-APDU and returns its R-APDU.
        exact: whether Le=00 is 256 bytes and nothing else, as on a line, where the reader waits for so many; a driver
            that passes whole TPDUs takes fewer.
    """

    def __init__(self, transmit: Callable[[bytes], bytes], *, exact: bool = False) -> None:
        self._transmit = transmit
        self._exact = exact
        # What GET RESPONSE fetches; and what waits, by its command's header, for the right Le.
        self._fetched: bytes | None = None
        self._waiting: tuple[bytes, bytes] | None = None

    def reset(self) -> None:
        """Forget what is to be fetched."""
        self._fetched = self._waiting = None

    def transmit(self, tpdu: bytes) -> bytes:
        """Exchange a TPDU."""
        fetched, waiting = self._fetched, self._waiting
        self.reset()
        if len(tpdu) == _HEADER_BYTES + 1:
            if fetched is not None and tpdu[1] == _GET_RESPONSE:
                return self._fetch(fetched, tpdu[4])
            if waiting is not None and waiting[0] == tpdu[:_HEADER_BYTES]:
                return self._case_2(tpdu, waiting[1])
            return self._case_2(tpdu, self._transmit(tpdu))
        response = self._transmit(tpdu)
        is_case_3 = len(tpdu) > _HEADER_BYTES + 1 and tpdu[4] and len(tpdu) == _HEADER_BYTES + 1 + tpdu[4]
        if not is_case_3 or len(response) == 2:
            return response
        self._fetched = response
        return bytes((0x61, (len(response) - 2) % _MOST))

    def _case_2(self, tpdu: bytes, response: bytes) -> bytes:
        available = len(response) - 2
        if self._exact and available > _MOST and not tpdu[4]:
            return self._fetch(response, 0)
        fits = tpdu[4] == available % _MOST or not (tpdu[4] or self._exact)
        if not available or fits:
            return response
        self._waiting = tpdu[:_HEADER_BYTES], response
        return bytes((0x6C, available % _MOST))

    def _fetch(self, response: bytes, le: int) -> bytes:
        available = len(response) - 2
        wanted = le or _MOST
        if wanted < available:
            self._fetched = response[wanted:]
            return response[:wanted] + bytes((0x61, (available - wanted) % _MOST))
        if (le or self._exact) and wanted > available:
            self._fetched = response
            return bytes((0x6C, available % _MOST))
        return response
