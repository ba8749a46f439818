"""A virtual SE as the card in a modem, whose AT port is a pseudo-terminal.

The modem is on whether its port is open or not, as one on USB; so is its card. There are no bit times.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentsm_simulator.modem import STANDARD, VirtualModem
from opentsm_simulator.pseudo_terminal import PseudoTerminal

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
        self._terminal = PseudoTerminal()
        os.set_blocking(self._terminal.master, False)
        if path:
            self._terminal.put_at(Path(path), "the modem's port")
        self.address = path or self._terminal.port
        self._card = se.link()
        self._modem = VirtualModem(self._card, se.atr, entry, faults)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{se.se_id} modem", daemon=True)

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
        self._card.close()
        self._terminal.close()

    def _run(self) -> None:
        master = self._terminal.master
        while not self._stopped.is_set():
            self._terminal.poll.poll()
            try:
                data = os.read(master, _READ_BYTES)
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
        master = self._terminal.master
        while data:
            ready = select.select([], [master], [], 1.0)[1]
            if not ready or self._stopped.is_set():
                return
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(master, data) :]
