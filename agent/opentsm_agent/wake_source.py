"""What the ways on which wake-ups come have in common: a thread of their own, that can be nudged and stopped."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

__all__ = ["ThreadedSource"]


class ThreadedSource(ABC):
    """A way on which wake-ups come.

    Args:
        name: of its thread.
    """

    def __init__(self, name: str) -> None:
        self._nudge = threading.Event()
        self._stopping = threading.Event()
        self._attached = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def attached(self) -> bool:
        """True while wake-ups can come this way, as far as is known."""
        return self._attached

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Tell whether its thread runs."""
        return self._thread.is_alive()

    def nudge(self) -> None:
        """Try now what it waits to try."""
        self._nudge.set()

    def stop(self, timeout_s: float) -> None:
        """End, and wait for that no longer than so many seconds."""
        self._stopping.set()
        self._nudge.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @abstractmethod
    def _run(self) -> None:
        """Bring wake-ups until it is stopped."""
