"""Two serial ports with a crossed cable between them, made of pseudo-terminals: no bit times, data lines alone."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import tty

__all__ = ["SerialPair"]


class SerialPair:
    """What is written to the port at `here` is read at `there`, and the other way round; `close` pulls both out.

    With `one_wire`, what is written is read at both.
    """

    def __init__(self, *, one_wire: bool = False) -> None:
        self._one_wire = one_wire
        ends = [pty.openpty() for _ in range(2)]
        self._masters = [master for master, _ in ends]
        self._slaves = [slave for _, slave in ends]
        for slave in self._slaves:
            tty.setraw(slave)
        self.here, self.there = map(os.ttyname, self._slaves)
        self._wake_out, self._wake_in = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        first, second = self._masters
        other = {first: second, second: first}
        while True:
            ready, _, _ = select.select([*self._masters, self._wake_out], [], [])
            if self._wake_out in ready:
                return
            for master in ready:
                with contextlib.suppress(OSError):
                    data = os.read(master, 4096)
                    os.write(other[master], data)
                    if self._one_wire:
                        os.write(master, data)

    def close(self) -> None:
        if not self._slaves:
            return
        os.write(self._wake_in, b"x")
        self._thread.join(10)
        for descriptor in (*self._slaves, *self._masters, self._wake_in, self._wake_out):
            os.close(descriptor)
        self._slaves.clear()
