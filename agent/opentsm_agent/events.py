"""What the agent tells its operator: one line an event, for people or as JSON.

No event holds a session id, or anything of an APDU but counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TextIO

import msgspec

from opentsm_agent.logs import EVENTS, Level

__all__ = ["Detail", "Events", "Listener"]

Detail = str | float | bool | list[str]
"""What a detail of an event may be."""

Listener = Callable[[str, Mapping[str, Detail]], None]
"""Is told of events: name and details."""


class Events:
    """A stream of events.

    Args:
        stream: where the lines go; each is flushed.
        as_json: one JSON object a line, with `event`, `area`, `level` and `at` (UTC); else text for people.
        level: events that matter less are not written.
        areas: the same, by area.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        as_json: bool = False,
        level: Level = Level.INFO,
        areas: Mapping[str, Level] | None = None,
    ) -> None:
        self._stream = stream
        self._as_json = as_json
        self._level = level
        self._areas = dict(areas or {})
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()

    def listen(self, listener: Listener) -> None:
        """Have every event told to a listener too, whatever its level; it must return soon and not fail."""
        self._listeners.append(listener)

    def emit(self, event: str, **details: Detail | None) -> None:
        """Write one event, which `EVENTS` has; details that are None are left out."""
        area, level = EVENTS[event]
        given = {name: value for name, value in details.items() if value is not None}
        for listener in self._listeners:
            listener(event, given)
        if level.rank < self._areas.get(area, self._level).rank:
            return
        line = self._json(event, given) if self._as_json else _text(event, given)
        with self._lock:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                # Nobody listens any more: a relay must go on without.
                return

    @staticmethod
    def _json(event: str, details: Mapping[str, object]) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        area, level = EVENTS[event]
        return msgspec.json.encode({"event": event, "area": area, "level": level.value, "at": at, **details}).decode()


def _text(event: str, details: Mapping[str, object]) -> str:
    told = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in details.items())
    return f"{time.strftime('%H:%M:%S')} {event}" + (f": {told}" if told else "")


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
