"""What an answer to reset lays down for transmission: rates, guard and waiting times, T=1's sizes and check.

Spec: ISO/IEC 7816-3:2006, 8.3 (global interface bytes, tables 7 and 8), 10.2 (T=0: WI), 11.4 (T=1: IFSC, CWI, BWI,
EDC).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from opentsm_card.atr_tables import BIT_RATE_FACTORS, CLOCK_RATE_FACTORS
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from opentsm_card.atr import Atr

__all__ = ["DEFAULT_RATE", "INITIAL_WAIT_ETU", "TransmissionParameters", "rate_of"]

DEFAULT_RATE: Final = (372, 1)
"""Fd and Dd: the rate of the ATR, of PPS, and of what follows until it is changed."""

INITIAL_WAIT_ETU: Final = 9600
"""The waiting time while the ATR and PPS are under way, in elementary time units (8.1, 9.1)."""

_DEFAULT_WI: Final = 10
_DEFAULT_IFSC: Final = 32
_DEFAULT_BWI_CWI: Final = 0x4D
_MOST_BWI: Final = 9
_NO_EXTRA_GUARD: Final = 255
# T=15, which is no protocol: what is global to all.
_GLOBAL: Final = 15
_SPECIFIC_IMPLICIT: Final = 0x10


def rate_of(ta1: int) -> tuple[int, int]:
    """Return F and D of a TA1 or PPS1.

    Raises:
        ProtocolError: a half of it is reserved.
    """
    clock_cycles, divisor = CLOCK_RATE_FACTORS.get(ta1 >> 4), BIT_RATE_FACTORS.get(ta1 & 0x0F)
    if clock_cycles is None or divisor is None:
        raise ProtocolError(f"ATR: TA1 or PPS1 {ta1:02X} names a reserved rate")
    return clock_cycles, divisor


@dataclass(frozen=True, slots=True)
class TransmissionParameters:
    """What a card says of transmission.

    Args:
        protocols: T values it offers, in its order.
        ta1: rates it can do at most; 11 where it says nothing.
        specific: the one protocol of specific mode, or None in negotiable mode.
        extra_guard: N, 0..255.
        guard_by_ta1: whether N counts at the rate of TA1, whatever rate is in use: so it is where T=15 is named.
        wi: waiting time integer of T=0.
        ifsc: largest information field of a T=1 block to the card, 1..254.
        bwi: block waiting time integer.
        cwi: character waiting time integer.
        crc: whether T=1 blocks end in a CRC rather than an LRC.
    """

    protocols: tuple[int, ...] = (0,)
    ta1: int = 0x11
    specific: int | None = None
    extra_guard: int = 0
    guard_by_ta1: bool = False
    wi: int = _DEFAULT_WI
    ifsc: int = _DEFAULT_IFSC
    bwi: int = 4
    cwi: int = 13
    crc: bool = False

    @classmethod
    def from_atr(cls, atr: Atr) -> Self:
        """Take them from an answer to reset.

        Raises:
            ProtocolError: a value is reserved, or the rate of specific mode is not in the ATR.
        """
        values = {byte.name: byte.value for byte in atr.interface}
        # 8.2.3: TAi, TBi, TCi behind the first TD(i-1) that names T=1, from i=3, are T=1's.
        index = next((i for i in range(3, 9) if values.get(f"TD{i - 1}", 0xFF) & 0x0F == 1), 0)
        times = values.get(f"TB{index}", _DEFAULT_BWI_CWI)
        specific = values.get("TA2")
        if specific is not None and specific & _SPECIFIC_IMPLICIT:
            raise ProtocolError("ATR: TA2 says that the rate is known to the reader beforehand; it is not")
        found = cls(
            atr.protocols,
            values.get("TA1", 0x11),
            None if specific is None else specific & 0x0F,
            values.get("TC1", 0),
            any(value & 0x0F == _GLOBAL for name, value in values.items() if name.startswith("TD")),
            values.get("TC2", _DEFAULT_WI),
            values.get(f"TA{index}", _DEFAULT_IFSC),
            times >> 4,
            times & 0x0F,
            bool(values.get(f"TC{index}", 0) & 1),
        )
        if found.wi == 0 or found.bwi > _MOST_BWI or found.ifsc in {0, 255}:
            raise ProtocolError(f"ATR: WI {found.wi}, BWI {found.bwi} or IFSC {found.ifsc} is reserved")
        return found

    @property
    def rate(self) -> tuple[int, int]:
        """F and D of TA1.

        Raises:
            ProtocolError: they are reserved.
        """
        return rate_of(self.ta1)

    def wait_s(self, clock_hz: float) -> float:
        """WT of T=0: from the start of a character to the next of the card, in seconds (10.2)."""
        clock_cycles = CLOCK_RATE_FACTORS.get(self.ta1 >> 4, DEFAULT_RATE[0])
        return self.wi * 960 * clock_cycles / clock_hz

    def character_wait_s(self, etu_s: float) -> float:
        """CWT of T=1: between the characters of a block, in seconds (11.4.3)."""
        return (11 + (1 << self.cwi)) * etu_s

    def block_wait_s(self, etu_s: float, clock_hz: float) -> float:
        """BWT of T=1: from the last character of a block to the first of the card's, in seconds (11.4.3)."""
        return 11 * etu_s + (1 << self.bwi) * 960 * DEFAULT_RATE[0] / clock_hz

    def extra_guard_s(self, clock_hz: float, *, rate: tuple[int, int]) -> float:
        """Silence behind each character to the card, beyond 12 etu (11 with T=1 and N=255), in seconds (8.3).

        Args:
            clock_hz: the card's clock.
            rate: F and D in use.
        """
        if self.extra_guard in {0, _NO_EXTRA_GUARD}:
            return 0.0
        if self.guard_by_ta1:
            clock_cycles, divisor = CLOCK_RATE_FACTORS.get(self.ta1 >> 4), BIT_RATE_FACTORS.get(self.ta1 & 0x0F)
            # A reserved TA1 concerns nobody who stays at the rate in use.
            rate = (clock_cycles, divisor) if clock_cycles and divisor else rate
        return self.extra_guard * rate[0] / rate[1] / clock_hz
