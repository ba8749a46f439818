"""A line between a reader and a card in virtual time: no thread, no pty, no waiting; every time-out is exact.

The card is the conversation of `CardSide`; the reader is whoever uses the port. Each side's clock is an event of one
simulation: when the reader receives, the card is run up to that moment.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from opentsm_card.errors import TransportError
from opentsm_card.transmission.activation import CardSide
from opentsm_card.transmission.events import INVERSE, Execute, Pause, Receive, Send, SetInverse, SetRate
from opentsm_simulator.t0 import T0Card
from opentsm_simulator.uart_faults import Fault, Faults, Garbled

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.transmission.events import Conversation, Event

__all__ = ["CLOCK_HZ", "ScriptCard", "VirtualPort"]

BAUD = 9600
CLOCK_HZ = 372.0 * BAUD
CHARACTER_ETU = 12


class ScriptCard:
    """A card that remembers what it ran; `answer` says what it answers, `seconds` how long that takes."""

    def __init__(
        self,
        answer: Callable[[bytes], bytes] = lambda command: command[5:] + b"\x90\x00",
        seconds: Callable[[bytes], float] = lambda _command: 0.001,
    ) -> None:
        self.answer = answer
        self.seconds = seconds
        self.run: list[bytes] = []

    def transmit(self, command: bytes) -> bytes:
        self.run.append(command)
        return self.answer(command)


class VirtualPort:
    """A reader's port (`opentsm_card.transmission.Port`) to a virtual card.

    Args:
        atr: the card's answer to reset.
        card: what runs its commands.
        faults: of the line; a corrupted character has a wrong parity where an odd number of bits turned.
    """

    def __init__(self, atr: bytes, card: ScriptCard, faults: Faults | None = None, *, one_by_one: bool = False) -> None:
        self.card = card
        self.faults = faults or Faults()
        self.removed = False
        self.garbled = 0
        self._side = CardSide(atr, CLOCK_HZ, one_by_one=one_by_one)
        self._t0 = T0Card(card.transmit, exact=True)
        self._now = 0.0
        self._heard_at = 0.0
        # For each time the reader sent: how long ago the card's last character had come.
        self.turns_etu: list[float] = []
        # What the reader went over to.
        self.rates: list[tuple[int, int]] = []
        self._etu_s = {False: 1 / BAUD, True: 1 / BAUD}
        self._inverse = {False: False, True: False}
        # Characters under way, with the time of their arrival and whether their parity is right: to the card, from it.
        self._to_card: deque[tuple[float, int, bool]] = deque()
        self._from_card: deque[tuple[float, int, bool]] = deque()
        self.power_up()

    # The reader's side.

    def now(self) -> float:
        return self._now

    def power_up(self) -> None:
        """Reset the card; nothing is under way any more."""
        self._dead = self.removed
        self._etu_s = {False: 1 / BAUD, True: 1 / BAUD}
        self._inverse = {False: False, True: False}
        self._to_card.clear()
        self._from_card.clear()
        self._restart_card(self._now)

    def send(self, data: bytes, extra_guard_s: float, *, after_s: float, checked: bool) -> None:
        del checked
        self._now = max(self._now, self._heard_at + after_s)
        self.turns_etu.append((self._now - self._heard_at) / self._etu_s[False])
        self._now = self._put(data, self._now, to_card=True, extra_guard_s=extra_guard_s)

    def receive(self, count: int, first_s: float, next_s: float, *, until: float, checked: bool) -> bytes:
        while True:
            due = self._due(self._from_card, self._now, count, first_s, next_s)
            due = min(due, until)
            if self._step_card(due):
                continue
            assert due < math.inf, "the reader would wait for ever"
            self._now = max(self._now, due)
            arrived = [self._from_card.popleft() for _ in range(self._arrived(self._from_card, due, count))]
            if checked and not all(right for _, _, right in arrived):
                raise TransportError("a character with a wrong parity came")
            received = bytes(byte for _, byte, _ in arrived)
            self._heard_at = arrived[-1][0] if arrived else self._heard_at
            return received.translate(INVERSE) if self._inverse[False] else received

    def discard(self) -> bytes:
        self._step_all(self._now)
        discarded = b""
        while self._from_card and self._from_card[0][0] <= self._now:
            discarded += bytes((self._from_card.popleft()[1],))
        return discarded.translate(INVERSE) if self._inverse[False] else discarded

    def pause(self, seconds: float) -> None:
        self._now += seconds
        self._step_all(self._now)

    def set_rate(self, clock_cycles: int, divisor: int) -> None:
        self.rates.append((clock_cycles, divisor))
        self._etu_s[False] = clock_cycles / divisor / CLOCK_HZ

    def set_inverse(self) -> None:
        self._inverse[False] = True

    def close(self) -> None:
        pass

    # The line.

    def _put(self, data: bytes, at: float, *, to_card: bool, extra_guard_s: float = 0.0) -> float:
        """Send characters from a moment on, and return when the last has gone."""
        if self._dead and not to_card:
            return at
        line = self._to_card if to_card else self._from_card
        sender_is_card = not to_card
        etu_s = self._etu_s[sender_is_card]
        if self._inverse[sender_is_card]:
            data = data.translate(INVERSE)
        matched = etu_s == self._etu_s[not sender_is_card]
        for piece in self.faults.cross(data):
            if isinstance(piece, Fault):
                at = self._happen(piece, at)
                continue
            right = not isinstance(piece, Garbled) or piece.parity_fits
            for byte in bytes((piece.byte,)) if isinstance(piece, Garbled) else piece:
                at += CHARACTER_ETU * etu_s + extra_guard_s
                if not self._dead:
                    line.append((at, byte if matched else byte ^ 0x55, right))
        return at

    def _happen(self, fault: Fault, at: float) -> float:
        if fault.kind == "delay":
            return at + fault.value
        if fault.kind == "reset":
            self._t0.reset()
            self._restart_card(at)
            return at
        self.removed = self.removed or fault.kind == "remove"
        self._dead = True
        return at

    @staticmethod
    def _due(line: deque[tuple[float, int, bool]], start: float, count: int, first_s: float, next_s: float) -> float:
        """Return when a reception ends, as far as one knows now."""
        limit = start + first_s
        for index, (at, _, _) in enumerate(line):
            if at > limit:
                return limit
            if index + 1 == count:
                return max(at, start)
            limit = max(at, start) + next_s
        return limit

    @staticmethod
    def _arrived(line: deque[tuple[float, int, bool]], due: float, count: int) -> int:
        arrived = 0
        for at, _, _ in line:
            if at > due or arrived == count:
                break
            arrived += 1
        return arrived

    # The card's side.

    def _restart_card(self, at: float) -> None:
        self._card_now = at
        self._conversation: Conversation[object] = self._side.serve()
        self._done_at = math.inf
        self._response = b""
        self._event: Event = self._conversation.send(None)

    def _step_all(self, until: float) -> None:
        while self._step_card(until):
            pass

    def _step_card(self, until: float) -> bool:
        """Let the card do its next thing if that happens before a moment, or at it."""
        if self._dead:
            return False
        event, begin, conversation = self._event, self._card_now, self._conversation
        if isinstance(event, Receive):
            due = self._due(self._to_card, begin, event.count, event.first_s, event.next_s)
            if due > until or due == math.inf:
                return False
            self._card_now = due
            outcome: bytes | None = self._heard(event)
        elif begin > until:
            return False
        else:
            outcome = self._act(event, begin)
        # A fault may have reset the card meanwhile.
        if self._conversation is conversation and not self._dead:
            self._event = conversation.send(outcome)
        return True

    def _heard(self, event: Receive) -> bytes:
        count = self._arrived(self._to_card, self._card_now, event.count)
        taken = [self._to_card.popleft() for _ in range(count)]
        if event.checked and not all(right for _, _, right in taken):
            # A card asks for a character with a wrong parity again, which a UART does not hear, and waits for it.
            self._dead = True
        outcome = bytes(byte for _, byte, _ in taken)
        return outcome.translate(INVERSE) if self._inverse[True] else outcome

    def _act(self, event: Event, begin: float) -> bytes | None:
        match event:
            case Send():
                self._card_now = self._put(event.data, begin + event.after_s, to_card=False)
            case Pause():
                self._card_now = begin + event.seconds
            case SetRate():
                self._etu_s[True] = event.clock_cycles / event.divisor / CLOCK_HZ
            case SetInverse():
                self._inverse[True] = True
            case Execute():
                return self._execute(event, begin)
        return None

    def _execute(self, event: Execute, begin: float) -> bytes | None:
        if event.command is not None:
            self._response = (self._t0.transmit if event.is_tpdu else self.card.transmit)(event.command)
            self._done_at = begin + self.card.seconds(event.command)
        if self._done_at > begin + event.within_s:
            self._card_now = begin + event.within_s
            return None
        self._card_now = max(begin, self._done_at)
        return self._response
