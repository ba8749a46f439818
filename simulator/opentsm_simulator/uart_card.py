"""A virtual SE as the card at the end of a line of characters: it speaks T=0 or T=1, as its ATR says.

What the line is, a pseudo-terminal or a serial port, is for those who inherit from `CardOnLine`. What goes over it, and
what faults do to it, is here.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import TransportError
from opentsm_card.transmission import CardSide
from opentsm_card.transmission.events import INVERSE, Execute, Receive, Send, SetInverse, SetRate
from opentsm_simulator.t0 import T0Card
from opentsm_simulator.uart_faults import Fault, Faults, Garbled

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Never

    from opentsm_card.link import Link
    from opentsm_card.transmission import Conversation
    from opentsm_simulator.carried import Carried

__all__ = ["BAUD", "CardOnLine", "ClosedError", "FaultError", "ResetError"]

BAUD: Final = 9600
"""Bits a second of an answer to reset."""
_CLOCK_HZ: Final = 372.0 * BAUD
# After a line was opened, flushed or reset, until the host has set it up.
_SETTLE_S: Final = 0.03


class ResetError(Exception):
    """The host reset the card."""


class ClosedError(Exception):
    """The host closed the port, or the front is stopped."""


class FaultError(Exception):
    """A fault ends what is under way."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class CardOnLine:
    """A virtual SE's contact interface on a line of characters; one thread runs `_powered`.

    Args:
        se: the virtual SE.
        echo: whether what is sent comes back.
        faults: of the line.

    Raises:
        ProtocolError: the SE's ATR can't be spoken.
    """

    failure: str | None = None
    """What has ended the line for good, if anything has."""

    # How much later than on time a character may come.
    _slack_s = 0.0

    def __init__(self, se: Carried, *, echo: bool, faults: Faults | None) -> None:
        CardSide(se.atr, _CLOCK_HZ).parameters  # noqa: B018 - checked now rather than at the first reset
        self._se = se
        self._echo = echo
        self._faults = faults or Faults()
        self._removed = False
        self._inverse = False
        self._received = bytearray()
        self._pending: Future[bytes] | None = None
        self._stopped = threading.Event()
        self._runner = ThreadPoolExecutor(1, f"{se.se_id} uart card")

    def put_in(self) -> None:
        """Take the card out and put it in again; for lines where a host may have no way to reset it."""

    # What a line does.

    def _write(self, data: bytes) -> None:
        """Send.

        Raises:
            ClosedError: nobody is there any more.
        """
        raise NotImplementedError

    def _wait(self, limit: float) -> bool:
        """Wait for what the host does until a moment; tell whether characters came, which are in `_received` then.

        Raises:
            ResetError: the host resets the card.
            ClosedError: nobody is there any more, or the front is stopped.
            FaultError: something happens to the line.
        """
        raise NotImplementedError

    def _begin(self) -> None:
        """Bring the line to where a reset finds it; for lines that have rates."""

    def _turn(self, after_s: float) -> None:
        """Wait until a card may send, that long after the last character came; for lines that have bit times."""

    def _set_rate(self, baud: int) -> None:
        """Change the rate, in bits a second; for lines that have one."""

    def _set_inverse(self) -> None:
        """Go over to odd parity, in inverse convention; for lines that have parity."""

    def _check(self, *, checked: bool) -> None:
        """Fall silent where a character came with a wrong parity and nothing else finds out (`checked`)."""

    def _take_in(self, data: bytes) -> None:
        """Take in what the host sent, as the line's faults let it through."""
        if self._echo:
            self._write(data)
        for piece in self._faults.cross(data):
            self._received += self._apply(piece)

    # Power.

    def _powered(self) -> None:
        """Be a card from when the port is opened until it is closed."""
        while True:
            # A host that opens, sets up and flushes a port does so in several steps: it gets one answer to reset.
            with contextlib.suppress(ResetError):
                self._wait(time.monotonic() + _SETTLE_S)
                self._life()

    def _life(self) -> Never:
        """Be a card from a reset to the next."""
        self._received.clear()
        self._inverse = False
        self._begin()
        if self._removed:
            self._be_deaf()
        with self._se.link() as link:
            try:
                self._converse(link)
            except FaultError as fault:
                if fault.kind == "reset":
                    raise ResetError from fault
                if fault.kind != "brownout":
                    # Stuck, or out of the reader: the card itself is as it was.
                    self._removed = fault.kind == "remove"
                    self._be_deaf()
            finally:
                self._finish()
        self._be_deaf()

    def _be_deaf(self) -> Never:
        while True:
            self._wait(math.inf)
            self._received.clear()

    def _finish(self) -> None:
        """Wait for a command that still runs: a card runs one at a time."""
        if self._pending is not None:
            with contextlib.suppress(TransportError):
                self._pending.result()
            self._pending = None

    # The conversation.

    def _converse(self, link: Link) -> Never:
        t0 = T0Card(link.transmit, exact=True)
        conversation: Conversation[Never] = CardSide(self._se.atr, _CLOCK_HZ).serve()
        outcome: bytes | None = None
        while True:
            event = conversation.send(outcome)
            outcome = None
            match event:
                case Receive():
                    outcome = self._receive(event)
                case Send():
                    self._turn(event.after_s)
                    self._send(event.data)
                case Execute():
                    outcome = self._execute(t0.transmit if event.is_tpdu else link.transmit, event)
                case SetInverse():
                    self._inverse = True
                    self._set_inverse()
                case SetRate():
                    self._set_rate(round(_CLOCK_HZ * event.divisor / event.clock_cycles))

    def _execute(self, transmit: Callable[[bytes], bytes], event: Execute) -> bytes | None:
        if event.command is not None:
            self._pending = self._runner.submit(transmit, event.command)
        assert self._pending is not None
        try:
            response = self._pending.result(None if math.isinf(event.within_s) else event.within_s)
        except NotYet:
            return None
        except TransportError as error:
            # A card that has become mute, or was switched off.
            self._pending = None
            raise FaultError("stick") from error
        self._pending = None
        return response

    # The line.

    def _send(self, data: bytes) -> None:
        if self._inverse:
            data = data.translate(INVERSE)
        for piece in self._faults.cross(data):
            self._write(self._apply(piece))

    def _apply(self, piece: bytes | Garbled | Fault) -> bytes:
        """Carry out a fault, or return what arrives."""
        if isinstance(piece, bytes):
            return piece
        if isinstance(piece, Garbled):
            return bytes((piece.byte,))
        if piece.kind != "delay":
            raise FaultError(piece.kind)
        self._stopped.wait(piece.value)
        return b""

    def _receive(self, event: Receive) -> bytes:
        limit = time.monotonic() + event.first_s + self._slack_s
        while len(self._received) < event.count and self._wait(limit):
            limit = time.monotonic() + event.next_s + self._slack_s
        self._check(checked=event.checked)
        taken = bytes(self._received[: event.count])
        del self._received[: event.count]
        return taken.translate(INVERSE) if self._inverse else taken
