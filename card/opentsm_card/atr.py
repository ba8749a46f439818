"""Answer to reset: convention, interface bytes, protocols, historical bytes, check byte.

Spec: ISO/IEC 7816-3:2006, 8.2 and 8.3 (structure; tables 7, 8 for Fi and Di); ISO/IEC 7816-4:2013, 12.1.1 (historical
bytes: category indicator, COMPACT-TLV, card capabilities in table 119 and the two before).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Final, Self

from opentsm_card.atr_tables import BIT_RATE_FACTORS, CAPABILITIES, CLOCK_RATE_FACTORS, HISTORICAL_TAGS
from opentsm_card.errors import ProtocolError
from opentsm_card.reader import Reader

__all__ = ["Atr", "HistoricalObject", "InterfaceByte"]

_DIRECT: Final = 0x3B
_INVERSE: Final = 0x3F
_MAX_BYTES: Final = 33
_MAX_HISTORICAL: Final = 15
_TAG_CAPABILITIES: Final = 7
_TLV_CATEGORIES: Final = (0x00, 0x80)


@dataclass(frozen=True, slots=True)
class InterfaceByte:
    """One interface byte.

    Args:
        name: such as `TA1`.
        value: the byte.
    """

    name: str
    value: int


@dataclass(frozen=True, slots=True)
class HistoricalObject:
    """A data object of the historical bytes.

    Args:
        tag: 0..15.
        value: its bytes.
    """

    tag: int
    value: bytes

    @property
    def name(self) -> str:
        """What the tag means, for people."""
        return HISTORICAL_TAGS.get(self.tag, f"tag {self.tag:X}")

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What card capabilities (tag 7) say, in words; empty for other tags."""
        if self.tag != _TAG_CAPABILITIES:
            return ()
        found = [text for index, bit, text in CAPABILITIES if index < len(self.value) and self.value[index] & bit]
        if len(self.value) == 3:
            channels = self.value[2] & 0x07
            most = "8 or more" if channels == 7 else str(channels + 1)
            found.append(f"logical channels: {most}")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Atr:
    """An answer to reset.

    Args:
        raw: all of it.
        interface: the interface bytes in order.
        historical: the historical bytes.
        check: TCK, or None where only T=0 is offered.
    """

    raw: bytes
    interface: tuple[InterfaceByte, ...]
    historical: bytes
    check: int | None

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Parse an answer to reset.

        Raises:
            ProtocolError: malformed; a wrong check byte is for `check_ok` to tell.
        """
        reader = Reader(raw, "ATR")
        if len(raw) > _MAX_BYTES:
            raise reader.fail(f"{len(raw)} bytes, where an ATR has at most {_MAX_BYTES}")
        if reader.byte() not in {_DIRECT, _INVERSE}:
            raise reader.fail("TS is neither 3B (direct) nor 3F (inverse convention)")
        format_byte = reader.byte()
        interface: list[InterfaceByte] = []
        follow, number, protocols = format_byte >> 4, 1, set()
        while follow:
            present = [letter for bit, letter in ((1, "A"), (2, "B"), (4, "C"), (8, "D")) if follow & bit]
            following = 0
            for letter in present:
                interface.append(InterfaceByte(f"T{letter}{number}", reader.byte()))
                if letter == "D":
                    protocols.add(interface[-1].value & 0x0F)
                    following = interface[-1].value >> 4
            follow, number = following, number + 1
        historical = reader.take(format_byte & 0x0F)
        check = reader.byte() if protocols - {0} else None
        reader.end()
        return cls(raw, tuple(interface), historical, check)

    def with_historical(self, historical: bytes) -> Self:
        """Return the ATR with other historical bytes, their number and the check byte put right.

        Raises:
            ProtocolError: there are more than 15.
        """
        if len(historical) > _MAX_HISTORICAL:
            raise ProtocolError(f"ATR: {len(historical)} historical bytes, at most {_MAX_HISTORICAL} fit")
        front = len(self.raw) - len(self.historical) - (self.check is not None)
        changed = self.raw[:1] + bytes((self.raw[1] & 0xF0 | len(historical),)) + self.raw[2:front] + historical
        check = b"" if self.check is None else bytes((reduce(xor, changed[1:]),))
        return self.parse(changed + check)

    @property
    def convention(self) -> str:
        """`direct` or `inverse`."""
        return "direct" if self.raw[0] == _DIRECT else "inverse"

    @property
    def protocols(self) -> tuple[int, ...]:
        """The transmission protocols offered, in the card's order (15 is for global interface bytes, not one)."""
        named = [byte.value & 0x0F for byte in self.interface if byte.name.startswith("TD")]
        ordered = dict.fromkeys(protocol for protocol in named if protocol != 15)
        return tuple(ordered) or (0,)

    @property
    def check_ok(self) -> bool:
        """True when TCK fits, or none is due: from T0 to TCK all bytes XOR to zero (8.2.5)."""
        return self.check is None or reduce(xor, self.raw[1:], 0) == 0

    @property
    def rates(self) -> tuple[int, int] | None:
        """Fi and Di of TA1: clock cycles and divisor of a bit; None where TA1 is absent or reserved."""
        ta1 = next((byte.value for byte in self.interface if byte.name == "TA1"), None)
        if ta1 is None:
            return None
        clock, bits = CLOCK_RATE_FACTORS.get(ta1 >> 4), BIT_RATE_FACTORS.get(ta1 & 0x0F)
        return None if clock is None or bits is None else (clock, bits)

    def objects(self) -> tuple[HistoricalObject, ...] | None:
        """Return the historical bytes as data objects, or None where they are proprietary.

        With category 00 the last three bytes are status bytes, not an object.
        """
        if not self.historical or self.historical[0] not in _TLV_CATEGORIES:
            return None
        end = len(self.historical) - (3 if self.historical[0] == 0x00 else 0)
        reader = Reader(self.historical[1:end], "historical bytes")
        found = []
        try:
            while reader.remaining:
                head = reader.byte()
                found.append(HistoricalObject(head >> 4, reader.take(head & 0x0F)))
        except ProtocolError:
            return None
        return tuple(found)
