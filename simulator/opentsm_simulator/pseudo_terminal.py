"""Pseudo-terminals: the ports of virtual SEs that a host opens as it opens a serial device.

Each can have a symbolic link to it, so that the port has a name that stays.
"""

from __future__ import annotations

import os
import pty
import select
import tty
from typing import TYPE_CHECKING

from opentsm_card.errors import TransportError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PseudoTerminal"]


class PseudoTerminal:
    """A raw pseudo-terminal, and what a thread that serves it waits with.

    `master` is the descriptor of the side that serves, `slave` that of the host's, `port` its path; `poll` hears of
    what comes from the host, and of `wake`.

    Raises:
        TransportError: there is none to be had.
    """

    def __init__(self) -> None:
        try:
            self.master, self.slave = pty.openpty()
        except OSError as error:
            raise TransportError(f"no pseudo-terminal to be had: {error.strerror}") from error
        tty.setraw(self.slave)
        self.port = os.ttyname(self.slave)
        self._link: Path | None = None
        self._wake_out, self._wake_in = os.pipe()
        self._descriptors = {self.master, self.slave, self._wake_out, self._wake_in}
        self.poll = select.poll()
        self.poll.register(self.master, select.POLLIN)
        self.poll.register(self._wake_out, select.POLLIN)

    def close_slave(self) -> None:
        """Keep it open on the host's side no longer: when no host has it open, the master is told."""
        os.close(self.slave)
        self._descriptors.remove(self.slave)

    def put_at(self, path: Path, name: str) -> None:
        """Put a link to it at a path; one that leads nowhere, left by a killed process, is replaced.

        Args:
            path: where.
            name: what it is called in messages.

        Raises:
            TransportError: something else is there, or it can't be written; then the terminal is closed.
        """
        try:
            if path.is_symlink() and str(path.readlink()).startswith("/dev/pts/") and not path.exists():
                path.unlink()
            path.symlink_to(self.port)
        except OSError as error:
            self.close()
            raise TransportError(f"{name} can't be put at {path}: {error.strerror}") from error
        self._link = path

    def wake(self) -> None:
        """End what waits by `poll`, now and from now on."""
        os.write(self._wake_in, b"x")

    def close(self) -> None:
        """Take it away, and its link."""
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()
        for descriptor in self._descriptors:
            os.close(descriptor)
