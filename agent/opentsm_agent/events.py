"""What the agent tells its operator: one line an event, for people or as JSON.

No event holds a session id, or anything of an APDU but counts.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TextIO

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Events"]


class Events:
    """A stream of events.

    Args:
        stream: where the lines go; each is flushed.
        as_json: one JSON object a line, with `event` and `at` (UTC); else text for people.
    """

    def __init__(self, stream: TextIO, *, as_json: bool = False) -> None:
        self._stream = stream
        self._as_json = as_json
        self._lock = threading.Lock()

    def emit(self, event: str, **details: str | float | bool | list[str] | None) -> None:
        """Write one event; details that are None are left out."""
        given = {name: value for name, value in details.items() if value is not None}
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
        return msgspec.json.encode({"event": event, "at": at, **details}).decode()


def _text(event: str, details: Mapping[str, object]) -> str:
    told = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in details.items())
    return f"{time.strftime('%H:%M:%S')} {event}" + (f": {told}" if told else "")


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
