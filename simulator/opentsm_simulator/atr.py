"""The answer to reset: its historical bytes, which an application may change.

Spec: ISO/IEC 7816-3:2006, 8.2.
"""

from __future__ import annotations

import functools
import operator

from opentsm_card.errors import ProtocolError
from opentsm_card.reader import Reader

__all__ = ["historical_bytes", "protocols", "with_historical_bytes"]


def _split(atr: bytes) -> tuple[bytes, bytes, tuple[int, ...]]:
    """Return what stands before the historical bytes, these, and the protocols that are named."""
    reader = Reader(atr, "ATR")
    reader.byte()
    announced = reader.byte()
    count = announced & 0x0F
    named: list[int] = []
    while announced >> 4:
        interface = reader.take((announced >> 4).bit_count())
        if not announced & 0x80:
            break
        announced = interface[-1]
        named.append(announced & 0x0F)
    front = atr[: reader.offset]
    historical = reader.take(count)
    if any(named):  # a protocol other than T=0: a check byte follows
        reader.byte()
    reader.end()
    return front, historical, tuple(named)


def protocols(atr: bytes) -> tuple[int, ...]:
    """Return the protocols that an ATR offers, in its order: T=0 alone when it names none.

    Raises:
        ProtocolError: it is no ATR.
    """
    return _split(atr)[2] or (0,)


def historical_bytes(atr: bytes) -> bytes:
    """Return an ATR's historical bytes.

    Raises:
        ProtocolError: it is no ATR.
    """
    return _split(atr)[1]


def with_historical_bytes(atr: bytes, historical: bytes) -> bytes:
    """Return an ATR with other historical bytes, their number and the check byte put right.

    Raises:
        ProtocolError: it is no ATR, or there are more than 15 historical bytes.
    """
    if len(historical) > 0x0F:
        raise ProtocolError(f"ATR: {len(historical)} historical bytes, at most 15 fit")
    front, _, named = _split(atr)
    front = front[:1] + bytes((front[1] & 0xF0 | len(historical),)) + front[2:]
    changed = front + historical
    return changed + bytes((functools.reduce(operator.xor, changed[1:]),)) if any(named) else changed
