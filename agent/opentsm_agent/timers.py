"""What the agent waits by: one clock for everything that waits, and pauses that grow.

All time-outs of the agent go through one `Timers` (long poll, network, back-off, delays, busy secure elements), so a
test gives it some that run faster. The links' own time-outs belong to the cards behind them, and are not in it.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

__all__ = ["SYSTEM", "Backoff", "FastTimers", "SystemTimers", "Timers"]

_FIRST_S: Final = 0.2
_MOST_S: Final = 30.0


class Timers(Protocol):
    """What tells the time, and waits."""

    def now(self) -> float:
        """Return the time in seconds, from any beginning; it only grows."""

    def real_s(self, seconds: float) -> float:
        """Return how many seconds of the operating system so many seconds of this clock are."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for an event, no longer than so many seconds; tell whether it came."""


class SystemTimers:
    """The operating system's clock."""

    def now(self) -> float:
        """Return the monotonic clock."""
        return time.monotonic()

    def real_s(self, seconds: float) -> float:
        """Return the same."""
        return seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait."""
        return event.wait(seconds)


class FastTimers:
    """A clock that runs faster than the operating system's, for tests.

    Args:
        speed: how many of its seconds pass in one.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._started = time.monotonic()

    def now(self) -> float:
        """Return the time since it was made, in its own seconds."""
        return (time.monotonic() - self._started) * self._speed

    def real_s(self, seconds: float) -> float:
        """Return the part of a second that it is."""
        return seconds / self._speed

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait as much shorter."""
        return event.wait(seconds / self._speed)


SYSTEM: Final = SystemTimers()


class Backoff:
    """Pauses between attempts: each step twice the one before up to the longest, and a random part of it.

    A pause is at least half of its step: devices that lost their network together do not come back together.

    Args:
        first_s: the first step, in seconds.
        most_s: the longest step, in seconds.
        chance: gives numbers from 0 to 1.
    """

    def __init__(
        self, first_s: float = _FIRST_S, most_s: float = _MOST_S, chance: Callable[[], float] = random.random
    ) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._chance = chance
        self._step_s = first_s

    def pause_s(self) -> float:
        """Return the next pause, in seconds."""
        step_s = self._step_s
        self._step_s = min(2 * step_s, self._most_s)
        return round(step_s * (1 + self._chance()) / 2, 3)

    def reset(self) -> None:
        """Begin anew: an attempt has succeeded."""
        self._step_s = self._first_s
