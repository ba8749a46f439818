"""The service manager's side: systemd is told that the agent is ready, that it lives, and that it ends.

Without a service manager, `NOTIFY_SOCKET` is not set and nothing is told to nobody.

Spec: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Watchdog", "notify"]

_SHORTEST_S: Final = 0.05


def notify(state: str) -> bool:
    """Tell the service manager a state, such as `READY=1` or `STATUS=attached`; True when there is one.

    What can't be told is left: a service must not fail for its supervisor.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or address[0] not in "/@":
        return False
    if address[0] == "@":
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(address)
            sock.sendall(state.encode())
    except OSError:
        return False
    return True


class Watchdog:
    """Tells the service manager that the agent lives, as often as it wants, for as long as that is true.

    Args:
        alive: tells whether the agent still does its work.
    """

    def __init__(self, alive: Callable[[], bool]) -> None:
        self._alive = alive
        self._ended = threading.Event()
        self._every_s = _every_s()
        if self._every_s is not None:
            threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """End."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            if self._alive():
                notify("WATCHDOG=1")


def _every_s() -> float | None:
    """Return half of what the service manager allows, in seconds; None when it watches nothing of this process."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or not int(microseconds) or (pid and pid != str(os.getpid())):
        return None
    return max(int(microseconds) / 2e6, _SHORTEST_S)
