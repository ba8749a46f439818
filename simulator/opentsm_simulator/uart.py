"""A virtual SE as the card on a serial port: a pseudo-terminal that speaks T=0 or T=1, as its ATR says.

A pseudo-terminal has no modem lines, so the card has power while the port is open, and what a host does before it pulls
the reset line, to flush its input, resets it (in packet mode the master is told). What is sent comes back, as from the
one-wire readers that hosts expect there. There are no bit times: characters go over at once, whatever the rate.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import pty
import select
import struct
import termios
import threading
import time
import tty
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import TransportError
from opentsm_card.transmission import CardSide
from opentsm_card.transmission.events import INVERSE, Discard, Execute, Receive, Send, SetInverse
from opentsm_simulator.port_link import put_link
from opentsm_simulator.t0 import T0Card
from opentsm_simulator.uart_faults import Fault, Faults, Garbled

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Never

    from opentsm_card.link import Link
    from opentsm_card.transmission import Conversation
    from opentsm_simulator.carried import Carried

__all__ = ["UartFront"]

_CLOCK_HZ: Final = 372.0 * 9600
_READ_BYTES: Final = 4096
_CLOSED_POLL_S: Final = 0.01
# After a port was opened or flushed, until the host has set it up.
_SETTLE_S: Final = 0.03
# How long a port stays closed before it is set up as it was.
_REOPEN_S: Final = 0.2
_FLUSHED: Final = getattr(termios, "TIOCPKT_FLUSHREAD", 1)


class _ResetError(Exception):
    """The host reset the card."""


class _ClosedError(Exception):
    """The host closed the port, or the front is stopped."""


class _FaultError(Exception):
    """A fault ends what is under way."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class UartFront:
    """A virtual SE's contact interface on a pseudo-terminal.

    Args:
        se: the virtual SE.
        path: where the port is to be reached, as a symbolic link; None for the pseudo-terminal's own path.
        echo: whether what is sent comes back.
        faults: of the line.

    Raises:
        TransportError: there is no pseudo-terminal, or the path is taken.
        ProtocolError: the SE's ATR can't be spoken.
    """

    def __init__(
        self, se: Carried, path: str | None = None, *, echo: bool = True, faults: Faults | None = None
    ) -> None:
        CardSide(se.atr, _CLOCK_HZ).parameters  # noqa: B018 - checked now rather than at the first reset
        self._se = se
        self._echo = echo
        self._faults = faults or Faults()
        self._removed = False
        self._inverse = False
        self._received = bytearray()
        self._pending: Future[bytes] | None = None
        self._stopped = threading.Event()
        try:
            self._master, slave = pty.openpty()
        except OSError as error:
            raise TransportError(f"no pseudo-terminal to be had: {error.strerror}") from error
        tty.setraw(slave)
        self._attributes = termios.tcgetattr(slave)
        self._port = os.ttyname(slave)
        os.close(slave)
        fcntl.ioctl(self._master, termios.TIOCPKT, struct.pack("i", 1))
        self._link = Path(path) if path else None
        if self._link is not None:
            self._make_link(self._link)
        self.address = path or self._port
        self._wake_out, self._wake_in = os.pipe()
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLIN)
        self._poll.register(self._wake_out, select.POLLIN)
        self._runner = ThreadPoolExecutor(1, f"{se.se_id} uart card")
        self._thread = threading.Thread(target=self._run, name=f"{se.se_id} uart", daemon=True)

    def _make_link(self, link: Path) -> None:
        try:
            put_link(link, self._port)
        except OSError as error:
            os.close(self._master)
            raise TransportError(f"the serial port can't be put at {link}: {error.strerror}") from error

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Take the port away and end the thread; safe to call twice."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        os.write(self._wake_in, b"x")
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._runner.shutdown(wait=False, cancel_futures=True)
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()
        for descriptor in (self._master, self._wake_in, self._wake_out):
            os.close(descriptor)

    # Power.

    def _run(self) -> None:
        restore_at = math.inf
        while not self._stopped.is_set():
            if any(events & select.POLLHUP for _, events in self._poll.poll(0)):
                # Nobody has it open: that can't be waited for. A host that is about to open it again sets it up itself.
                if time.monotonic() > restore_at:
                    self._restore()
                    restore_at = math.inf
                self._stopped.wait(_CLOSED_POLL_S)
                continue
            with contextlib.suppress(_ClosedError):
                self._powered()
            restore_at = time.monotonic() + _REOPEN_S

    def _restore(self) -> None:
        """Set the port up as it was: one that has what is asked of it already refuses the parity that it can't have."""
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(self._master, termios.TCSANOW, self._attributes)

    def _powered(self) -> None:
        """Be a card from when the port is opened until it is closed."""
        while True:
            # A host that opens, sets up and flushes a port does so in several steps: it gets one answer to reset.
            with contextlib.suppress(_ResetError):
                self._wait(time.monotonic() + _SETTLE_S)
                self._life()

    def _life(self) -> Never:
        """Be a card from a reset to the next."""
        self._received.clear()
        self._inverse = False
        if self._removed:
            self._be_deaf()
        with self._se.link() as link:
            try:
                self._converse(link)
            except _FaultError as fault:
                if fault.kind == "reset":
                    raise _ResetError from fault
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
                    self._send(event.data)
                case Execute():
                    outcome = self._execute(t0.transmit if event.is_tpdu else link.transmit, event)
                case SetInverse():
                    self._inverse = True
                case Discard():
                    self._received.clear()

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
            raise _FaultError("stick") from error
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
            raise _FaultError(piece.kind)
        self._stopped.wait(piece.value)
        return b""

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._master, data) :]
        except OSError as error:
            raise _ClosedError from error

    def _receive(self, event: Receive) -> bytes:
        limit = time.monotonic() + event.first_s
        while len(self._received) < event.count and self._wait(limit):
            limit = time.monotonic() + event.next_s
        taken = bytes(self._received[: event.count])
        del self._received[: event.count]
        return taken.translate(INVERSE) if self._inverse else taken

    def _wait(self, limit: float) -> bool:
        """Wait for what the host does until a moment; tell whether characters came.

        Raises:
            _ResetError: the host flushed its input.
            _ClosedError: the host closed the port.
            _FaultError: something happens to the line.
        """
        wait_s = limit - time.monotonic()
        ready = self._poll.poll(None if math.isinf(wait_s) else max(0.0, wait_s * 1000))
        if self._stopped.is_set():
            raise _ClosedError
        if not ready:
            return False
        try:
            packet = os.read(self._master, _READ_BYTES)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return False
            raise _ClosedError from error
        if not packet:
            raise _ClosedError
        if packet[0]:
            if packet[0] & _FLUSHED:
                raise _ResetError
            return False
        if self._echo:
            self._write(packet[1:])
        for piece in self._faults.cross(packet[1:]):
            self._received += self._apply(piece)
        return True
