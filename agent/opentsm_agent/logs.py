"""The events of the agent: which area each belongs to, and how much it matters."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["AREAS", "EVENTS", "Level"]


class Level(Enum):
    """How much an event matters."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """Its place among the levels, from 0 on."""
        return list(Level).index(self)


EVENTS: Final[dict[str, tuple[str, Level]]] = {
    "access-denied": ("local", Level.WARNING),
    "started": ("agent", Level.INFO),
    "stopped": ("agent", Level.INFO),
    "journal-folder-made": ("agent", Level.INFO),
    "key-exposed": ("agent", Level.WARNING),
    "certificate-renewed": ("agent", Level.INFO),
    "certificate-not-renewed": ("agent", Level.WARNING),
    "trace-failed": ("agent", Level.WARNING),
    "hook-failed": ("agent", Level.WARNING),
    "default-rate": ("agent", Level.INFO),
    "attached": ("gateway", Level.INFO),
    "detached": ("gateway", Level.WARNING),
    "wake-up": ("gateway", Level.INFO),
    "reports-recovered": ("session", Level.INFO),
    "wake-up-ignored": ("gateway", Level.WARNING),
    "network-error": ("session", Level.WARNING),
    "session-started": ("session", Level.INFO),
    "session-resumed": ("session", Level.INFO),
    "session-suspended": ("session", Level.INFO),
    "session-ended": ("session", Level.INFO),
    "session-failed": ("session", Level.ERROR),
    "malformed-order": ("order", Level.WARNING),
    "order": ("order", Level.INFO),
    "notification": ("order", Level.INFO),
}
"""What `Events.emit` takes: its area and level, by name."""

AREAS: Final = frozenset(area for area, _ in EVENTS.values())
