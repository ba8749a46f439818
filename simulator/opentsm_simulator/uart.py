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
import select
import struct
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentsm_simulator.pseudo_terminal import PseudoTerminal
from opentsm_simulator.uart_card import CardOnLine, ClosedError, ResetError

if TYPE_CHECKING:
    from opentsm_simulator.carried import Carried
    from opentsm_simulator.uart_faults import Faults

__all__ = ["UartFront"]

_READ_BYTES: Final = 4096
_CLOSED_POLL_S: Final = 0.01
# How long a port stays closed before it is set up as it was.
_REOPEN_S: Final = 0.2
_FLUSHED: Final = getattr(termios, "TIOCPKT_FLUSHREAD", 1)


class UartFront(CardOnLine):
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
        super().__init__(se, echo=echo, faults=faults)
        self._terminal = PseudoTerminal()
        self._attributes = termios.tcgetattr(self._terminal.slave)
        self._terminal.close_slave()
        fcntl.ioctl(self._terminal.master, termios.TIOCPKT, struct.pack("i", 1))
        if path:
            self._terminal.put_at(Path(path), "the serial port")
        self.address = path or self._terminal.port
        self._thread = threading.Thread(target=self._run, name=f"{se.se_id} uart", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Take the port away and end the thread; safe to call twice."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._terminal.wake()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._runner.shutdown(wait=False, cancel_futures=True)
        self._terminal.close()

    # Power.

    def _run(self) -> None:
        restore_at = math.inf
        while not self._stopped.is_set():
            if any(events & select.POLLHUP for _, events in self._terminal.poll.poll(0)):
                # Nobody has it open: that can't be waited for. A host that is about to open it again sets it up itself.
                if time.monotonic() > restore_at:
                    self._restore()
                    restore_at = math.inf
                self._stopped.wait(_CLOSED_POLL_S)
                continue
            with contextlib.suppress(ClosedError):
                self._powered()
            restore_at = time.monotonic() + _REOPEN_S

    def _restore(self) -> None:
        """Set the port up as it was: one that has what is asked of it already refuses the parity that it can't have."""
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(self._terminal.master, termios.TCSANOW, self._attributes)

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._terminal.master, data) :]
        except OSError as error:
            raise ClosedError from error

    def _wait(self, limit: float) -> bool:
        """Wait; a host that flushes its input resets the card, one that closes the port takes its power."""
        wait_s = limit - time.monotonic()
        ready = self._terminal.poll.poll(None if math.isinf(wait_s) else max(0.0, wait_s * 1000))
        if self._stopped.is_set():
            raise ClosedError
        if not ready:
            return False
        try:
            packet = os.read(self._terminal.master, _READ_BYTES)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return False
            raise ClosedError from error
        if not packet:
            raise ClosedError
        if packet[0]:
            if packet[0] & _FLUSHED:
                raise ResetError
            return False
        self._take_in(packet[1:])
        return True
