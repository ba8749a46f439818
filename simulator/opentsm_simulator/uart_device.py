"""A virtual SE as the card on a real serial port of this machine.

The line is a crossed cable to the host's port, or a Season interface in the slot of its reader. The reset line comes in
as CTS (a host's RTS), as DSR (its DTR), or as DCD (the slot's RST). Which level holds a card in reset differs by the
reader that a host thinks it has, so any change resets the card: it answers once the line has come to rest. A port
without such lines is one whose card somebody puts in: when the front starts, and by `put_in`.

Where both directions are one wire, as at a card's contact, what the card sends comes back to it. The first answer to
reset tells: nothing that a host begins with looks like one.

The port is opened by pyserial (the extra `serial`): eight bits, even parity, two stop bits, 9600 bits a second until
PPS agrees on another rate. A character with a wrong parity is for T=1 to find out; T=0 falls silent, as nobody could
tell what the command was.

Spec: ISO/IEC 7816-3:2006, 6.2 (reset), 7.2 (character frame); POSIX.1-2017, 11 (terminals).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
import termios
import threading
import time
from typing import TYPE_CHECKING, Final

import serial

from opentsm_card.errors import TransportError
from opentsm_card.transmission.parity import ParityMarks
from opentsm_simulator.uart_card import BAUD, CardOnLine, ClosedError, FaultError, ResetError

if TYPE_CHECKING:
    from opentsm_simulator.carried import Carried
    from opentsm_simulator.uart_faults import Faults

__all__ = ["DeviceFront", "reset_lines"]

_READ_BYTES: Final = 4096
_INPUT_FLAGS: Final = 0
# Nothing wakes a process when a line changes while it waits for characters too.
_LOOK_S: Final = 0.02
_WRITE_S: Final = 5.0


def reset_lines(descriptor: int) -> int | None:
    """Return the state of CTS, DSR and DCD of a port, or None where it has no such lines."""
    try:
        (state,) = struct.unpack("I", fcntl.ioctl(descriptor, termios.TIOCMGET, struct.pack("I", 0)))
    except OSError:
        return None
    return int(state) & (termios.TIOCM_CTS | termios.TIOCM_DSR | termios.TIOCM_CD)


class DeviceFront(CardOnLine):
    """A virtual SE's contact interface on a serial port; its card is put in when the front starts.

    Args:
        se: the virtual SE.
        path: of the port.
        echo: whether what is sent comes back, as from a one-wire reader.
        faults: of the line.

    Raises:
        TransportError: there is no such port, or it can't be used.
        ProtocolError: the SE's ATR can't be spoken.
    """

    # What adapters add.
    _slack_s = 0.1

    def __init__(self, se: Carried, path: str, *, echo: bool = True, faults: Faults | None = None) -> None:
        super().__init__(se, echo=echo, faults=faults)
        self.address = path
        self._serial = self._opened(path)
        self._descriptor: int = self._serial.fileno()
        self._lines = reset_lines(self._descriptor)
        self._marks = ParityMarks()
        self._heard_at = 0.0
        # Whether there is one wire for both directions, None until one knows; and what is to come back on it.
        self._one_wire: bool | None = None
        self._own = bytearray()
        self._again = threading.Event()
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._poll.register(self._wake_out, select.POLLIN)
        self._thread = threading.Thread(target=self._run, name=f"{se.se_id} uart", daemon=True)

    @staticmethod
    def _opened(path: str) -> serial.Serial:
        port = serial.Serial()
        port.port, port.baudrate, port.exclusive = path, BAUD, True
        port.parity, port.stopbits = serial.PARITY_EVEN, serial.STOPBITS_TWO
        try:
            try:
                port.open()
            except termios.error as error:
                if error.args[:1] != (errno.EINVAL,):
                    raise
                # A pseudo-terminal has no parity, and says so where there is nothing else to set.
                port.parity = serial.PARITY_NONE
                port.open()
        except (OSError, termios.error, ValueError) as error:
            raise TransportError(f"the serial port {path} can't be used: {error}") from error
        return port

    def start(self) -> None:
        """Put the card in."""
        self._thread.start()

    def put_in(self) -> None:
        """Take the card out and put it in again: it answers a reset."""
        self._again.set()
        os.write(self._wake_in, b"x")

    def stop(self) -> None:
        """Let the port go and end the thread; safe to call twice."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        os.write(self._wake_in, b"x")
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._runner.shutdown(wait=False, cancel_futures=True)
        self._serial.close()
        for descriptor in (self._wake_in, self._wake_out):
            os.close(descriptor)

    def _run(self) -> None:
        try:
            self._powered()
        except ClosedError as error:
            if not self._stopped.is_set():
                self.failure = f"the serial port {self.address} is gone: {error}"

    # The line.

    def _begin(self) -> None:
        try:
            termios.tcflush(self._descriptor, termios.TCIOFLUSH)
            self._adjust("baudrate", BAUD)
            self._adjust("parity", serial.PARITY_EVEN)
        except (OSError, termios.error) as error:
            raise ClosedError(str(error)) from error
        self._marks.clear()
        self._own.clear()

    def _adjust(self, name: str, value: int | str) -> None:
        if name == "parity" and self._serial.parity == serial.PARITY_NONE:
            return
        try:
            setattr(self._serial, name, value)
        except termios.error as error:
            if error.args[:1] != (errno.EINVAL,):
                raise
            # A pseudo-terminal: as in `_opened`.
            self._serial.parity = serial.PARITY_NONE
        attributes = termios.tcgetattr(self._descriptor)
        attributes[_INPUT_FLAGS] |= termios.INPCK | termios.PARMRK
        attributes[_INPUT_FLAGS] &= ~termios.IGNPAR
        termios.tcsetattr(self._descriptor, termios.TCSANOW, attributes)

    def _set_rate(self, baud: int) -> None:
        with contextlib.suppress(OSError, ValueError, termios.error):
            # A port that can't go at that rate is deaf from here, as a card that lost its reader.
            self._adjust("baudrate", baud)

    def _set_inverse(self) -> None:
        with contextlib.suppress(OSError, termios.error):
            self._adjust("parity", serial.PARITY_ODD)

    def _turn(self, after_s: float) -> None:
        if (early_s := self._heard_at + after_s - time.monotonic()) > 0:
            self._stopped.wait(early_s)

    def _check(self, *, checked: bool) -> None:
        garbled, self._marks.garbled = self._marks.garbled, False
        if garbled and checked:
            raise FaultError("stick")

    def _write(self, data: bytes) -> None:
        until = time.monotonic() + _WRITE_S
        if self._one_wire is not False:
            self._own += data
        try:
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:
                    if time.monotonic() > until or self._stopped.is_set():
                        raise FaultError("stick") from None
                    select.select([], [self._descriptor], [], _LOOK_S)
            # The card's waiting times begin once the line has carried everything.
            termios.tcdrain(self._descriptor)
        except (OSError, termios.error) as error:
            raise ClosedError(str(error)) from error

    def _wait(self, limit: float) -> bool:
        """Wait; a change of a line of the host's, or somebody who puts the card in, resets it."""
        while True:
            self._look()
            wait_s = limit - time.monotonic()
            if self._lines is not None:
                wait_s = min(wait_s, _LOOK_S)
            ready = dict(self._poll.poll(max(0.0, min(wait_s, 3600.0)) * 1000))
            if self._descriptor in ready:
                if data := self._without_own(self._read()):
                    self._take_in(data)
                    return True
            elif self._wake_out in ready:
                os.read(self._wake_out, _READ_BYTES)
            elif time.monotonic() >= limit:
                return False

    def _without_own(self, data: bytes) -> bytes:
        """Return what is the host's of what was read."""
        while self._own and data:
            same = next((at for at, pair in enumerate(zip(self._own, data, strict=False)) if pair[0] != pair[1]), None)
            same = min(len(self._own), len(data)) if same is None else same
            if not same:
                # The host's beginning, where there are two wires; on one, both have talked at once.
                self._one_wire = bool(self._one_wire)
                self._own.clear()
                break
            del self._own[:same]
            data = data[same:]
            if not self._own and self._one_wire is None:
                self._one_wire, self._echo = True, False
        return data

    def _look(self) -> None:
        if self._stopped.is_set():
            raise ClosedError
        lines = reset_lines(self._descriptor)
        if self._again.is_set() or lines != self._lines:
            self._again.clear()
            self._lines = lines
            raise ResetError

    def _read(self) -> bytes:
        try:
            chunk = os.read(self._descriptor, _READ_BYTES)
        except OSError as error:
            raise ClosedError(error.strerror or str(error)) from error
        if not chunk:
            raise ClosedError("it hung up")
        self._heard_at = time.monotonic()
        return self._marks.take(chunk)
