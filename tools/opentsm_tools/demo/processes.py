"""The demo's processes: started with a log file each, ready when they say so, stopped by their own process id."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from opentsm_card.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["OPENTSM", "Process"]

OPENTSM: Final = (sys.executable, "-m", "opentsm_tools.main")

_READY_S: Final = 60.0
_STOP_S: Final = 10.0
_LOG_TAIL: Final = 2000


class Process:
    """One `opentsm …` process.

    It is started at once; `ready` waits for the JSON line that it prints when it serves.

    Args:
        name: for the log file and for people.
        arguments: what follows `opentsm`.
        log: the folder of the log files.
        command: what starts `opentsm`.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path, command: Sequence[str] = OPENTSM) -> None:
        self.name = name
        self._log = log / f"{name}.log"
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        with self._log.open("ab") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self._process.poll() is None

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines, self._log.open("a") as log:
            for line in lines:
                log.write(line)
                self._lines.put(line)
        self._lines.put(None)

    def ready(self) -> dict[str, Any]:
        """Wait for the process's ready line and return it.

        Raises:
            TransportError: it ended or took too long; the end of its log is in the message.
        """
        end = time.monotonic() + _READY_S
        while True:
            try:
                line = self._lines.get(timeout=max(end - time.monotonic(), 0))
            except queue.Empty:
                raise TransportError(f"{self.name} was not ready within {_READY_S:.0f} s\n{self.log_tail()}") from None
            if line is None:
                raise TransportError(f"{self.name} ended before it was ready\n{self.log_tail()}")
            try:
                said = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(said, dict) and said.get("ready") is True:
                return said

    def log_tail(self) -> str:
        """Return the end of the process's log."""
        return self._log.read_text(errors="replace")[-_LOG_TAIL:]

    def wait(self) -> str:
        """Wait for a command to end by itself and return what it printed.

        Raises:
            TransportError: it ended with another exit code than 0.
        """
        printed = []
        while (line := self._lines.get()) is not None:
            printed.append(line)
        if self._process.wait() != 0:
            raise TransportError(f"{self.name} failed ({self._process.returncode})\n{self.log_tail()}")
        return "".join(printed)

    def kill(self) -> None:
        """End the process with SIGKILL, as a power cut would, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self.alive:
            self._process.terminate()

    def stop(self) -> None:
        """Send SIGTERM and wait; SIGKILL what does not end."""
        self.ask_to_stop()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
