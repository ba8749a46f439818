"""Wake those who wait for something to change, inside one event loop."""

from __future__ import annotations

import asyncio

__all__ = ["WORK_SIGNAL", "Signals"]

WORK_SIGNAL = "work"
"""Notified when an operation is new or came forward: an SE may have to be woken, or an MNO asked."""


class Signals:
    """Named signals: a waiter sleeps until its name is notified, or a time has passed.

    Nothing is remembered: look at the database first, then wait, and look again.
    """

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}

    def notify(self, name: str) -> None:
        """Wake all who wait for a name; does nothing when nobody waits."""
        for waiter in self._waiters.pop(name, set()):
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, name: str, timeout_s: float) -> bool:
        """Sleep until a name is notified; False when the time passed first."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(name, set()).add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        finally:
            waiters = self._waiters.get(name)
            if waiters is not None:
                waiters.discard(waiter)
                if not waiters:
                    del self._waiters[name]
        return True
