"""A program of the integrator's that is run at events: to light a lamp, or to write to another log.

It gets the event in its environment: `OPENTSM_EVENT`, `OPENTSM_AREA`, `OPENTSM_LEVEL`, and `OPENTSM_` with each
detail's name in upper case. Programs run one after the other, in a thread of their own; the agent never waits for one.
"""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from typing import TYPE_CHECKING, Final

from opentsm_agent.logs import EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentsm_agent.config import Hook
    from opentsm_agent.events import Detail, Events

__all__ = ["HookRunner"]

_MOST_WAITING: Final = 256
_STOP: Final = None


class HookRunner:
    """Runs the hook's program for each event that it is for.

    Args:
        hook: from `agent.toml`.
        events: where a failure of the program is told; the runner listens to it from now on.
    """

    def __init__(self, hook: Hook, events: Events) -> None:
        self._hook = hook
        self._events = events
        self._wanted = frozenset(hook.events)
        self._waiting: queue.Queue[dict[str, str] | None] = queue.Queue(_MOST_WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="hook", daemon=True)
        self._thread.start()
        events.listen(self._take)

    def stop(self, timeout_s: float = 2.0) -> None:
        """Let what waits run, for so long; then leave."""
        try:
            self._waiting.put_nowait(_STOP)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _take(self, event: str, details: Mapping[str, Detail]) -> None:
        if event == "hook-failed" or (self._wanted and event not in self._wanted):
            return
        area, level = EVENTS[event]
        environment = {"OPENTSM_EVENT": event, "OPENTSM_AREA": area, "OPENTSM_LEVEL": level.value}
        for name, value in details.items():
            environment[f"OPENTSM_{name.upper()}"] = _shown(value)
        try:
            self._waiting.put_nowait(environment)
        except queue.Full:
            self._lost += 1  # told by the next that runs

    def _run(self) -> None:
        while (environment := self._waiting.get()) is not _STOP:
            lost, self._lost = self._lost, 0
            problem = self._call(environment)
            if lost:
                problem = f"{lost} events were not told: it is too slow" + (f"; {problem}" if problem else "")
            if problem:
                self._events.emit("hook-failed", error=problem, at_event=environment["OPENTSM_EVENT"])

    def _call(self, environment: dict[str, str]) -> str | None:
        """Run the program; say what went wrong, if anything did."""
        try:
            ended = subprocess.run(  # noqa: S603 - the operator's own program, without a shell
                self._hook.command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=self._hook.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"ended after {self._hook.timeout_s:g} s: it had not"
        except OSError as error:
            return f"{self._hook.command[0]}: {error.strerror or error}"
        return f"exit code {ended.returncode}" if ended.returncode else None


def _shown(value: Detail) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(value) if isinstance(value, list) else str(value).replace("\0", "")
