"""From a card's reset to a protocol that runs, on both sides.

Spec: ISO/IEC 7816-3:2006, 6.3.1 (selection of protocol), 8 (answer to reset), 9 (PPS).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Never

from opentsm_card.atr import Atr
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError
from opentsm_card.transmission import pps
from opentsm_card.transmission.events import (
    FOREVER_S,
    INVERSE,
    Pause,
    Receive,
    Send,
    SetInverse,
    SetRate,
)
from opentsm_card.transmission.parameters import DEFAULT_RATE, INITIAL_WAIT_ETU, TransmissionParameters
from opentsm_card.transmission.t0_card import T0CardSide
from opentsm_card.transmission.t1 import T1Reader, T1Times
from opentsm_card.transmission.t1_card import T1CardSide

if TYPE_CHECKING:
    from opentsm_card.transmission.events import Conversation

__all__ = ["Active", "CardSide", "activate", "read_atr"]

_DIRECT: Final = 0x3B
_INVERSE: Final = 0x3F
_INVERSE_AS_DIRECT: Final = INVERSE[_INVERSE]
_GLITCH: Final = 0x00
_MOST_GLITCHES: Final = 3
# Between the leading edges of characters of opposite directions: BGT of T=1 (11.4.2), and what EMV Book 1, 9.2.2.1
# wants of T=0. A character that has come is 10 of them old at least.
_BGT_ETU: Final = 22
_TURN_ETU: Final = 16
_CHARACTER_ETU: Final = 10
# 400 to 40,000 clock cycles go by before the card answers a reset (6.2.2); with some, the operating system's delay.
_ANSWER_CYCLES: Final = 400
_FIRST_WAIT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Active:
    """A card that was reset and is ready for commands.

    Args:
        atr: its answer to reset.
        protocol: 0 or 1.
        wait_s: WT of T=0, in seconds.
        extra_guard_s: silence behind each character to it, in seconds.
        turn_s: silence between characters of opposite directions with T=0, in seconds.
        rate: F and D in use.
        t1: the state of T=1, where that is the protocol.
    """

    atr: bytes
    protocol: int
    wait_s: float
    extra_guard_s: float
    turn_s: float
    rate: tuple[int, int]
    t1: T1Reader | None


def read_atr(etu_s: float, first_s: float = _FIRST_WAIT_S) -> Conversation[Atr]:
    """Receive the answer to a reset, in whichever convention it comes.

    Args:
        etu_s: initial length of a bit, in seconds.
        first_s: how long to wait for its first character, in seconds.

    Raises:
        CardRemovedError: nothing comes.
        LinkTimeoutError: it stops in the middle.
        TransportError: what comes is no ATR.
    """
    wait_s = INITIAL_WAIT_ETU * etu_s
    # An inverse card's first character has the wrong parity to a UART in direct convention.
    first = (yield Receive(1, first_s, wait_s, checked=False)) or b""
    for _ in range(_MOST_GLITCHES):
        # The edge of the reset may look like a character.
        if first and first[0] == _GLITCH:
            first = (yield Receive(1, first_s, wait_s, checked=False)) or b""
    if not first:
        raise CardRemovedError(
            f"no answer to reset within {first_s:g} s: no card, no power, or a reset line that is wired otherwise"
        )
    if first[0] == _INVERSE_AS_DIRECT:
        yield SetInverse()
        first = bytes((_INVERSE,))
    elif first[0] != _DIRECT:
        raise TransportError(f"the answer to reset begins with {first[0]:02X}, not 3B or 3F: another baud rate?")
    raw = first + (yield from _take(1, wait_s, first))
    follow, protocols = raw[1] >> 4, {0}
    while follow:
        raw += yield from _take(follow.bit_count(), wait_s, raw)
        named = raw[-1] if follow & 8 else 0
        follow, protocols = named >> 4, protocols | {named & 0x0F}
        if len(raw) > 32:
            break
    rest = (raw[1] & 0x0F) + (protocols != {0})
    if rest:
        raw += yield from _take(rest, wait_s, raw)
    try:
        atr = Atr.parse(raw)
    except ProtocolError as error:
        raise TransportError(f"the answer to reset is none: {error}") from error
    if not atr.check_ok:
        raise TransportError(f"the check byte of the answer to reset {raw.hex().upper()} is wrong")
    return atr


def _take(count: int, wait_s: float, so_far: bytes) -> Conversation[bytes]:
    # In inverse convention some may have come before the UART was told.
    received = (yield Receive(count, wait_s, wait_s, checked=so_far[0] == _DIRECT)) or b""
    if len(received) < count:
        raise LinkTimeoutError(f"the answer to reset stops behind {(so_far + received).hex().upper()}")
    return received


def activate(
    clock_hz: float, *, protocol: int | None = None, fast: bool = False, first_s: float = _FIRST_WAIT_S
) -> Conversation[Active]:
    """Bring a card that was just reset to the point where it takes commands.

    Args:
        clock_hz: the card's clock; bits of the ATR last 372 cycles of it.
        protocol: 0 or 1, or None for the card's first choice of the two.
        fast: whether to go over to the rate of TA1 by PPS.
        first_s: how long to wait for the answer to reset, in seconds.

    Raises:
        CardRemovedError: no answer to reset.
        TransportError: it makes no sense, or the card does not do what is wanted.
    """
    etu_s = DEFAULT_RATE[0] / clock_hz
    atr = yield from read_atr(etu_s, first_s)
    try:
        said = TransmissionParameters.from_atr(atr)
        card_rate = said.rate if fast or said.specific is not None else DEFAULT_RATE
    except ProtocolError as error:
        raise TransportError(str(error)) from error
    offered = said.protocols if said.specific is None else (said.specific,)
    usable = [known for known in offered if known in {0, 1} and protocol in {known, None}]
    if not usable:
        wanted = "T=0 or T=1" if protocol is None else f"T={protocol}"
        raise TransportError(f"the card offers {', '.join(f'T={known}' for known in offered)}, not {wanted}")
    rate = DEFAULT_RATE
    if said.specific is not None:
        rate = card_rate
    elif usable[0] != said.protocols[0] or card_rate != DEFAULT_RATE:
        guard_s = said.extra_guard_s(clock_hz, rate=rate)
        rate = yield from pps.negotiate(usable[0], said.ta1 if fast else 0x11, etu_s, guard_s)
    if rate != DEFAULT_RATE:
        yield SetRate(*rate)
    guard_s = said.extra_guard_s(clock_hz, rate=rate)
    etu_s = rate[0] / rate[1] / clock_hz
    turn_s = (_TURN_ETU - _CHARACTER_ETU) * etu_s
    if usable[0] == 0:
        return Active(atr.raw, 0, said.wait_s(clock_hz), guard_s, turn_s, rate, None)
    block_guard_s = (_BGT_ETU - _CHARACTER_ETU) * etu_s
    times = T1Times(said.block_wait_s(etu_s, clock_hz), said.character_wait_s(etu_s), guard_s, block_guard_s)
    t1 = T1Reader(times, said.ifsc, crc=said.crc, atr=atr.raw)
    yield from t1.start()
    return Active(atr.raw, 1, said.wait_s(clock_hz), guard_s, turn_s, rate, t1)


@dataclass(frozen=True, slots=True)
class CardSide:
    """A card on a line: its answer to reset, PPS, and T=0 or T=1, from one reset to the next.

    Args:
        atr: its answer to reset.
        clock_hz: its clock.
        one_by_one: whether T=0 asks for each byte by itself.

    Raises:
        ProtocolError: the ATR makes no sense, or offers neither T=0 nor T=1.
    """

    atr: bytes
    clock_hz: float
    one_by_one: bool = False

    @property
    def parameters(self) -> TransmissionParameters:
        """What the ATR says."""
        said = TransmissionParameters.from_atr(Atr.parse(self.atr))
        if not {0, 1} & set(said.protocols):
            raise ProtocolError(f"ATR {self.atr.hex().upper()}: offers neither T=0 nor T=1")
        return said

    def serve(self) -> Conversation[Never]:
        """Answer the reset, then whatever comes."""
        said = self.parameters
        yield Pause(_ANSWER_CYCLES / self.clock_hz)
        if self.atr[0] == _INVERSE:
            yield SetInverse()
        yield Send(self.atr)
        protocol = said.specific if said.specific is not None else said.protocols[0]
        rate = said.rate if said.specific is not None else DEFAULT_RATE
        first = (yield Receive(1, FOREVER_S, FOREVER_S)) or b""
        if first[0] == pps.PPSS and said.specific is None:
            request = yield from pps.read_pps(DEFAULT_RATE[0] / self.clock_hz, first)
            agreed = pps.answer(request, said.protocols, said.ta1)
            while agreed is None:
                # Deaf until the next reset (9.3).
                yield Receive(1, FOREVER_S, FOREVER_S)
            yield Send(agreed[0].encode())
            protocol, rate, first = agreed[0].protocol, agreed[1], b""
        if rate != DEFAULT_RATE:
            yield SetRate(*rate)
        if protocol == 0:
            yield from T0CardSide(said.wait_s(self.clock_hz), one_by_one=self.one_by_one).serve(first)
        etu_s = rate[0] / rate[1] / self.clock_hz
        guard_s = (_BGT_ETU - _CHARACTER_ETU) * etu_s
        times = T1Times(said.block_wait_s(etu_s, self.clock_hz), said.character_wait_s(etu_s), 0.0, guard_s)
        yield from T1CardSide(times, said.ifsc, crc=said.crc).serve(first)
        raise AssertionError("a card never stops serving")
