"""A virtual SE as the card in a modem, whose AT port is a pseudo-terminal.

The modem is on whether its port is open or not, as one on USB; so is its card. There are no bit times.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import tty
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import TransportError
from opentsm_simulator.modem import STANDARD, VirtualModem
from opentsm_simulator.port_link import put_link

if TYPE_CHECKING:
    from opentsm_card.modem import ModemEntry
    from opentsm_simulator.carried import Carried
    from opentsm_simulator.modem_faults import ModemFaults

__all__ = ["ModemFront"]

_READ_BYTES: Final = 4096


class ModemFront:
    """A virtual SE's contact interface behind AT commands on a pseudo-terminal.

    Args:
        se: the virtual SE.
        path: where the port is to be reached, as a symbolic link; None for the pseudo-terminal's own path.
        entry: the modem to be.
        faults: of its lines.

    Raises:
        TransportError: there is no pseudo-terminal, or the path is taken.
    """

    def __init__(
        self, se: Carried, path: str | None = None, *, entry: ModemEntry = STANDARD, faults: ModemFaults | None = None
    ) -> None:
        try:
            self._master, self._slave = pty.openpty()
        except OSError as error:
            raise TransportError(f"no pseudo-terminal to be had: {error.strerror}") from error
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        port = os.ttyname(self._slave)
        self.address = path or port
        self._path = Path(path) if path else None
        if self._path is not None:
            self._place(self._path, port)
        self._card = se.link()
        self._modem = VirtualModem(self._card, se.atr, entry, faults)
        self._stopped = threading.Event()
        self._wake_out, self._wake_in = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"{se.se_id} modem", daemon=True)

    def _place(self, path: Path, port: str) -> None:
        try:
            put_link(path, port)
        except OSError as error:
            os.close(self._master)
            os.close(self._slave)
            raise TransportError(f"the modem's port can't be put at {path}: {error.strerror}") from error

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
        self._card.close()
        if self._path is not None and self._path.is_symlink():
            self._path.unlink()
        for descriptor in (self._master, self._slave, self._wake_in, self._wake_out):
            os.close(descriptor)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        poll.register(self._wake_out, select.POLLIN)
        while not self._stopped.is_set():
            poll.poll()
            try:
                data = os.read(self._master, _READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                return
            for delay_s, answer in self._modem.feed(data):
                if delay_s and self._stopped.wait(None if delay_s == float("inf") else delay_s):
                    return
                self._write(answer)

    def _write(self, data: bytes) -> None:
        """Send; what nobody reads is lost once the terminal's buffer is full, as with a port nobody has open."""
        while data:
            ready = select.select([], [self._master], [], 1.0)[1]
            if not ready or self._stopped.is_set():
                return
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._master, data) :]
