"""A serial port as a line to a card: eight bits, even parity, two stop bits, time-outs, echo, the reset line.

Opened and set up by pyserial (the extra `serial`), then read and written directly: pyserial sets the port up anew for
each change of a time-out.

Readers after the Phoenix circuit tie both directions together, so each character that is sent comes back; it is taken
off again, and must be the one that was sent. A port marks characters with a wrong parity (PARMRK), so that T=0, which
has no other check, fails rather than believes them.

Spec: ISO/IEC 7816-3:2006, 6.2 (reset), 7.2 (character frame), 8.1 (conventions).
"""

from __future__ import annotations

import errno
import os
import select
import termios
import time
from typing import TYPE_CHECKING, Final

import serial

from opentsm_agent.links.exclusive_port import TAKEN, open_alone
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, TransportError
from opentsm_card.transmission.events import INVERSE
from opentsm_card.transmission.parity import ParityMarks

if TYPE_CHECKING:
    from opentsm_agent.links.uart_settings import UartSettings

__all__ = ["SerialPort"]

_RESET_S: Final = 0.05
_READ_BYTES: Final = 4096
_CHARACTER_BITS: Final = 12
# What the operating system and USB adapters add to every time-out of the card.
_SLACK_S: Final = 0.5
_DETECT_S: Final = 0.3
_PPS_WAIT_S: Final = 1.2
_PPSS: Final = 0xFF
_PPS_BYTES: Final = 3
_WRITE_S: Final = 10.0
_MOST_DISCARDS: Final = 64
_INPUT_FLAGS: Final = 0
_NO_LINES: Final = frozenset({errno.ENOTTY, errno.EINVAL})


class SerialPort:
    """A serial port (`opentsm_card.transmission.Port`); `power_up` opens it.

    Args:
        settings: device, rate, reset, echo, wiring.
    """

    def __init__(self, settings: UartSettings) -> None:
        self._settings = settings
        self._name = f"uart:{settings.device}"
        self._serial: serial.Serial | None = None
        self._descriptor = -1
        self._poll = select.poll()
        # Received and not yet asked for.
        self._received = b""
        self._marks = ParityMarks()
        self._inverse = False
        self._echo: bool | None = None
        self._character_s = 0.0
        self._busy_until = 0.0
        self._heard_at = 0.0
        # A pseudo-terminal has no bit times, and nobody at its end needs time to turn.
        self._instant = os.path.realpath(settings.device).startswith("/dev/pts/")

    # Opening and resetting.

    def power_up(self) -> None:
        """Reset the card; its answer is what is received next.

        Raises:
            CardRemovedError: the port is gone, or was never there.
            TransportError: it can't be used, or has not the line that is to reset the card.
        """
        settings = self._settings
        self._inverse = False
        self._echo = {"yes": True, "no": False}.get(settings.echo)
        held = settings.wiring == "phoenix"
        try:
            if self._serial is None or settings.reset == "open":
                self.close()
                self._open(held=held)
            else:
                self._adjust("baudrate", settings.baud)
                self._adjust("parity", serial.PARITY_EVEN)
            if settings.reset not in {"open", "none"}:
                self._pull(held=held)
        except (OSError, termios.error) as error:
            raise self._failed(error, "opening") from error
        self._character_s = _CHARACTER_BITS / settings.baud

    def _open(self, *, held: bool) -> None:
        settings = self._settings
        port = serial.Serial()
        port.port = settings.device
        port.baudrate = settings.baud
        port.parity = serial.PARITY_EVEN
        port.stopbits = serial.STOPBITS_TWO
        # Both lines also feed readers that have no supply of their own; the one that resets begins in reset.
        port.rts = held if settings.reset in {"rts", "auto"} else True
        port.dtr = held if settings.reset == "dtr" else True
        try:
            open_alone(port)
        except (OSError, termios.error) as error:
            if error.args[:1] != (errno.EINVAL,):
                raise
            # A pseudo-terminal has no parity, and says so where there is nothing else to set.
            port.parity = serial.PARITY_NONE
            open_alone(port)
        self._serial = port
        self._descriptor = port.fileno()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._received = b""
        self._mark_parity()

    def _adjust(self, name: str, value: int | str) -> None:
        """Change the rate or the parity of the open port; a pseudo-terminal has no parity, and may say so (EINVAL)."""
        port = self._serial
        if port is None or (name == "parity" and port.parity == serial.PARITY_NONE):
            return
        try:
            setattr(port, name, value)
        except termios.error as error:
            if error.args[:1] != (errno.EINVAL,):
                raise
            port.parity = serial.PARITY_NONE
        self._mark_parity()

    def _mark_parity(self) -> None:
        attributes = termios.tcgetattr(self._descriptor)
        attributes[_INPUT_FLAGS] |= termios.INPCK | termios.PARMRK
        attributes[_INPUT_FLAGS] &= ~termios.IGNPAR
        termios.tcsetattr(self._descriptor, termios.TCSANOW, attributes)

    def _pull(self, *, held: bool) -> None:
        """Hold the card in reset, then let it go."""
        port = self._serial
        assert port is not None
        line = "dtr" if self._settings.reset == "dtr" else "rts"
        try:
            setattr(port, line, held)
        except OSError as error:
            if error.errno not in _NO_LINES:
                raise
            if self._settings.reset == "auto":
                # A pseudo-terminal: opening it is what powers the card.
                self.close()
                self._open(held=held)
                return
            raise TransportError(
                f"{self._name}: the port has no {line.upper()} to reset the card with; give reset=open if "
                "opening it powers the card"
            ) from error
        time.sleep(_RESET_S)
        self.discard()
        setattr(port, line, not held)

    def close(self) -> None:
        """Close the port; safe to call twice."""
        if self._serial is not None:
            self._serial.close()
            self._serial = None
            self._descriptor = -1

    # What `perform` asks for.

    def now(self) -> float:
        """Return the monotonic time in seconds."""
        return time.monotonic()

    def send(self, data: bytes, extra_guard_s: float, *, after_s: float, checked: bool) -> None:
        """Send characters, and take their echo off the line.

        Raises:
            CardRemovedError: the port is gone.
            TransportError: the echo is something else, or nothing.
        """
        if self._inverse:
            data = data.translate(INVERSE)
        if after_s and not self._instant and (early_s := self._heard_at + after_s - time.monotonic()) > 0:
            time.sleep(early_s)
        if extra_guard_s:
            for byte in data:
                self._send(bytes((byte,)), checked=checked)
                self.pause(max(0.0, self._busy_until - time.monotonic()) + extra_guard_s)
        else:
            self._send(data, checked=checked)

    def _send(self, data: bytes, *, checked: bool) -> None:
        self._write(data)
        self._busy_until = max(time.monotonic(), self._busy_until) + len(data) * self._character_s
        if self._echo is None:
            self._echo = self._hears(data)
        if not self._echo:
            return
        heard = self._take(len(data), 0.0, self._character_s, until=self._busy_until + _WRITE_S)
        self._marks.garbled = False
        if not heard:
            raise TransportError(f"{self._name}: what is sent does not come back; give echo=no if it never does")
        if checked and heard != data:
            raise TransportError(f"{self._name}: what is sent comes back changed: noise, or two that talk at once")

    def _hears(self, data: bytes) -> bool:
        """Find out whether what was just sent comes back; what is no echo stays to be received."""
        until = self._busy_until + _DETECT_S
        while len(self._received) < len(data):
            self._fill(until)
            received = self._received
            if received != data[: len(received)] and not data.startswith(received):
                if not received.startswith(data):
                    return False
                break
            if time.monotonic() >= until:
                return False
        if data[0] == _PPSS and len(data) >= _PPS_BYTES and len(self._received) == len(data):
            # A card's answer to PPS is what it was asked: only with an echo there is more to come.
            self._fill(time.monotonic() + _PPS_WAIT_S)
            return len(self._received) > len(data)
        return True

    def receive(self, count: int, first_s: float, next_s: float, *, until: float, checked: bool) -> bytes:
        """Receive characters.

        Raises:
            CardRemovedError: the port is gone.
            TransportError: one has a wrong parity.
        """
        received = self._take(count, first_s, next_s, until=until)
        if self._marks.garbled:
            self._marks.garbled = False
            if checked:
                raise TransportError(f"{self._name}: a character came with a wrong parity")
        return received.translate(INVERSE) if self._inverse else received

    def discard(self) -> bytes:
        """Forget what has come, and return it."""
        # Not by flushing the port: to a virtual card behind a pseudo-terminal, that is a reset.
        for _ in range(_MOST_DISCARDS):
            if not self._fill(0.0):
                break
        discarded, self._received = self._received, b""
        self._marks.clear()
        return discarded.translate(INVERSE) if self._inverse else discarded

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def set_rate(self, clock_cycles: int, divisor: int) -> None:
        """Change the rate.

        Raises:
            TransportError: the port can't do it.
        """
        baud = round(self._settings.clock_hz * divisor / clock_cycles)
        try:
            if self._serial is not None:
                # What was sent at the old rate leaves the port first.
                termios.tcdrain(self._descriptor)
                self._adjust("baudrate", baud)
        except (OSError, ValueError, termios.error) as error:
            raise TransportError(f"{self._name}: the port can't go at {baud} bits a second: {error}") from error
        self._character_s = _CHARACTER_BITS / baud

    def set_inverse(self) -> None:
        """Go over to inverse convention, in which the parity is odd to the port."""
        self._inverse = True
        if self._serial is not None:
            try:
                self._adjust("parity", serial.PARITY_ODD)
            except (OSError, termios.error) as error:
                raise self._failed(error, "setting up") from error
        self._marks.garbled = False

    # Reading and writing.

    def _write(self, data: bytes) -> None:
        until = 0.0
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                until = until or time.monotonic() + _WRITE_S + len(data) * self._character_s
                if time.monotonic() > until:
                    raise LinkTimeoutError(f"{self._name}: the port takes nothing") from None
                select.select([], [self._descriptor], [], self._character_s)
            except OSError as error:
                raise self._failed(error, "sending") from error

    def _take(self, count: int, first_s: float, next_s: float, *, until: float) -> bytes:
        if len(self._received) < count:
            begin = max(time.monotonic(), self._busy_until)
            limit = min(begin + first_s + _SLACK_S, until)
            while self._fill(limit) and len(self._received) < count:
                limit = min(self._heard_at + next_s + _SLACK_S, until)
        received = self._received
        self._received = received[count:]
        return received[:count]

    def _fill(self, limit: float) -> bool:
        """Wait for characters until a moment, and take in all that are there; tell whether there were any."""
        while True:
            wait_s = limit - time.monotonic()
            try:
                if not self._poll.poll(0.0 if wait_s <= 0.0 else min(wait_s, 3600.0) * 1000.0):
                    if wait_s <= 3600:
                        return False
                    continue
                chunk = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                # What was there was flushed away by the other end.
                if wait_s <= 0.0:
                    return False
                continue
            except OSError as error:
                raise self._failed(error, "receiving") from error
            self._heard_at = time.monotonic()
            if not chunk:
                raise self._failed(OSError(errno.EIO, "the port hung up"), "receiving")
            self._received += self._marks.take(chunk)
            return True

    def _failed(self, error: Exception, doing: str) -> TransportError:
        """Map an error of the operating system or pyserial: the one place where that is done."""
        self.close()
        number = getattr(error, "errno", None)
        if number in {errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EIO, errno.EBADF}:
            return CardRemovedError(f"{self._name}: {doing}: there is no such port (any more)")
        if number in {errno.EACCES, errno.EPERM}:
            return TransportError(f"{self._name}: {doing}: no permission; be of the group that owns it (often dialout)")
        if number in TAKEN:
            return TransportError(f"{self._name}: {doing}: another program has it")
        return TransportError(f"{self._name}: {doing}: {error}")
