"""Protocol and parameters selection: which protocol, and at which rate.

Spec: ISO/IEC 7816-3:2006, clause 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import TYPE_CHECKING, Final, Self

from opentsm_card.errors import ProtocolError, TransportError
from opentsm_card.reader import Reader
from opentsm_card.transmission.events import Receive, Send
from opentsm_card.transmission.parameters import DEFAULT_RATE, INITIAL_WAIT_ETU, rate_of

if TYPE_CHECKING:
    from opentsm_card.transmission.events import Conversation

__all__ = ["PPSS", "Pps", "answer", "negotiate", "read_pps"]

PPSS: Final = 0xFF
_PPS1: Final = 0x10
_PARTS: Final = (0x10, 0x20, 0x40)


@dataclass(frozen=True, slots=True)
class Pps:
    """A PPS request or response.

    Args:
        protocol: T, 0..14.
        pps1: F and D, coded as TA1, or None.
        pps2: use of SPU, or None.
        pps3: reserved, or None.
    """

    protocol: int
    pps1: int | None = None
    pps2: int | None = None
    pps3: int | None = None

    def encode(self) -> bytes:
        """Encode it, from PPSS to PCK (9.2)."""
        parts = (self.pps1, self.pps2, self.pps3)
        head = self.protocol | sum(bit for bit, part in zip(_PARTS, parts, strict=True) if part is not None)
        front = bytes((PPSS, head, *(part for part in parts if part is not None)))
        return front + bytes((reduce(xor, front),))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse one.

        Raises:
            ProtocolError: it is malformed, or PCK is wrong.
        """
        reader = Reader(data, "PPS")
        if reader.byte() != PPSS:
            raise reader.fail("PPSS is not FF")
        head = reader.byte()
        parts = [reader.byte() if head & bit else None for bit in _PARTS]
        reader.byte()
        reader.end()
        if head & 0x80:
            raise reader.fail(f"PPS0 {head:02X} has its reserved bit set")
        if reduce(xor, data):
            raise reader.fail("PCK is wrong")
        return cls(head & 0x0F, *parts)


def read_pps(etu_s: float, received: bytes = b"") -> Conversation[bytes]:
    """Receive a PPS, of which some characters may have come already; what comes may be cut short."""
    wait_s = INITIAL_WAIT_ETU * etu_s
    if len(received) < 2:
        received += (yield Receive(2 - len(received), wait_s, wait_s)) or b""
    if len(received) < 2 or received[0] != PPSS:
        return received
    rest = 1 + sum(bool(received[1] & bit) for bit in _PARTS)
    return received + ((yield Receive(rest, wait_s, wait_s)) or b"")


def negotiate(protocol: int, ta1: int, etu_s: float, extra_guard_s: float = 0.0) -> Conversation[tuple[int, int]]:
    """Ask a card for a protocol and a rate, and return the rate that holds from now on: F and D.

    Args:
        protocol: T.
        ta1: the rate, coded as TA1; 11 to stay at the one in use.
        etu_s: length of a bit now, in seconds.
        extra_guard_s: silence behind each character to the card, beyond 12 etu, in seconds (8.3).

    Raises:
        TransportError: the card does not agree; only a reset helps (9.3).
    """
    request = Pps(protocol, ta1 if ta1 != 0x11 else None)
    yield Send(request.encode(), extra_guard_s)
    raw = yield from read_pps(etu_s)
    if not raw:
        raise TransportError(f"the card does not answer PPS for T={protocol}")
    try:
        response = Pps.parse(raw)
    except ProtocolError as error:
        raise TransportError(f"the card's answer to PPS is none: {error}") from error
    # 9.3: the same protocol; PPS1 the same, or absent for the default rate; PPS2 and PPS3 were not asked for.
    agreed = response.protocol == protocol and response.pps1 in {None, request.pps1}
    if not agreed or response.pps2 is not None or response.pps3 is not None:
        raise TransportError(f"the card answers PPS with {raw.hex().upper()}, not what was asked for")
    return DEFAULT_RATE if response.pps1 is None else rate_of(response.pps1)


def answer(request: bytes, protocols: tuple[int, ...], ta1: int) -> tuple[Pps, tuple[int, int]] | None:
    """Return a card's response to a request and the rate that it leads to; None where a card stays silent.

    Args:
        request: what came.
        protocols: what the card offers.
        ta1: its highest rate, coded as TA1.
    """
    try:
        asked = Pps.parse(request)
        best, wanted = rate_of(ta1), rate_of(asked.pps1) if asked.pps1 is not None else DEFAULT_RATE
    except ProtocolError:
        return None
    if asked.protocol not in protocols:
        return None
    # A rate between the default and the card's best is fine (9.2: F from Fd to Fi, D from Dd to Di).
    fits = DEFAULT_RATE[0] <= wanted[0] <= best[0] and wanted[1] <= best[1]
    if asked.pps1 is None or not fits:
        return Pps(asked.protocol), DEFAULT_RATE
    return Pps(asked.protocol, asked.pps1), wanted
