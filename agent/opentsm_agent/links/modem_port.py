"""`modem:DEVICE?…`: the card in a modem, at its AT port.

The port has eight bits, no parity and no flow control, and is opened by pyserial (the extra `serial`), for us alone.
"""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Final, Protocol

import serial
from serial.tools import list_ports

from opentsm_agent.links.exclusive_port import open_alone
from opentsm_agent.links.modem import ModemLink
from opentsm_agent.links.modem_line import ModemLine
from opentsm_agent.links.modem_settings import AUTO, ModemSettings
from opentsm_card.errors import CardRemovedError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["ModemPort", "TtyPort", "candidates", "find_modems", "open_modem"]

_READ_BYTES: Final = 4096
_WRITE_S: Final = 10.0
_FIND_S: Final = 1.0


class ModemPort(Protocol):
    """A line to a modem, and the clock by which it is waited for."""

    def now(self) -> float:
        """Return the time in seconds, from any beginning; it only grows."""

    def write(self, data: bytes) -> None:
        """Send.

        Raises:
            TransportError: the port is gone, or takes nothing.
        """

    def read(self, until: float) -> bytes:
        """Wait for something until a moment, and return what has arrived; nothing when the moment has come.

        Raises:
            CardRemovedError: the port is gone.
        """

    def close(self) -> None:
        """Let the port go; safe to call twice."""


def candidates() -> tuple[str, ...]:
    """List the serial ports of this machine that may be a modem's."""
    return tuple(sorted(port.device for port in list_ports.comports()))


class TtyPort:
    """A serial port (`ModemPort`).

    Args:
        device: its path.
        baud: bits a second.

    Raises:
        CardRemovedError: there is no such port.
        TransportError: it can't be opened, or another program has it.
    """

    def __init__(self, device: str, baud: int) -> None:
        self._name = f"modem:{device}"
        try:
            self._serial = serial.Serial(None, baud, timeout=0)
            self._serial.port = device
            open_alone(self._serial)
        except (serial.SerialException, OSError, ValueError) as error:
            kind = TransportError if os.path.exists(device) else CardRemovedError  # noqa: PTH110 - a device, not a file
            hint = "" if kind is CardRemovedError else "; does ModemManager or another program hold it?"
            raise kind(f"{self._name}: {error}{hint}") from error
        self._descriptor = self._serial.fileno()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)

    def now(self) -> float:
        """Return the monotonic clock."""
        return time.monotonic()

    def write(self, data: bytes) -> None:
        """Send; see `ModemPort`."""
        if not self._serial.is_open:
            raise CardRemovedError(f"{self._name}: the port is closed")
        # Directly: pyserial waits for the port before each write.
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError as error:
                if not select.select([], [self._descriptor], [], _WRITE_S)[1]:
                    raise TransportError(f"{self._name}: the port takes nothing for {_WRITE_S:g} s") from error
            except OSError as error:
                raise self._gone(error) from error

    def read(self, until: float) -> bytes:
        """Receive; see `ModemPort`."""
        if not self._serial.is_open:
            raise CardRemovedError(f"{self._name}: the port is closed")
        if not self._poll.poll(max(0.0, (until - time.monotonic()) * 1000)):
            return b""
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise CardRemovedError(f"{self._name}: the port is gone")
        return data

    def close(self) -> None:
        """Let the port go."""
        self._serial.close()

    def _gone(self, error: OSError) -> CardRemovedError:
        return CardRemovedError(f"{self._name}: the port is gone ({error.strerror or error})")


def open_modem(address: str, timeout_s: float) -> ModemLink:
    """Open a link to the card in a modem; see `ModemSettings` for what may follow the device.

    Args:
        address: `DEVICE?NAME=VALUE&…`; with the device `auto`, the first port that answers is taken.
        timeout_s: how long one answer may take, in seconds, where the address does not say.

    Raises:
        ProtocolError: the address makes no sense.
        TransportError: no modem answers, or its card can't be reached.
    """
    settings = ModemSettings.parse(address)
    device = settings.device
    if device == AUTO:
        found = find_modems(baud=settings.baud)
        if not found:
            raise CardRemovedError(f"modem:auto: no modem answers on {', '.join(candidates()) or 'any serial port'}")
        device = found[0][0]
    name, timeout_s = f"modem:{device}", settings.timeout_s or timeout_s
    return ModemLink(ModemLine(TtyPort(device, settings.baud), name, timeout_s), settings, timeout_s, name)


def find_modems(
    devices: Iterable[str] | None = None,
    *,
    baud: int = 115200,
    open_port: Callable[[str, int], ModemPort] = TtyPort,
) -> list[tuple[str, str]]:
    """Ask each port whether a modem answers there; return those, with what each says it is.

    Args:
        devices: paths of ports; None for all serial ports of this machine.
        baud: bits a second.
        open_port: opens one.
    """
    found: list[tuple[str, str]] = []
    for device in candidates() if devices is None else devices:
        try:
            port = open_port(device, baud)
        except TransportError:
            continue
        try:
            line = ModemLine(port, f"modem:{device}", _FIND_S)
            found.append((device, line.synchronize()))
            line.restore()
        except TransportError:
            continue
        finally:
            port.close()
    return found
