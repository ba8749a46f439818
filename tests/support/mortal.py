"""Run an `opentsm` command that dies by SIGKILL at the n-th point where it keeps something.

Points are counted at the storage layer, not listed by hand: each `Store.commit` of the central TSM, each
`Journal.append` and each compaction of an agent's journal has a point before it and one behind it.

    python mortal.py COUNT_FILE ARM_FILE SPEED opentsm-arguments …

COUNT_FILE grows by one byte with each point passed, whichever process passes it. ARM_FILE, where it exists, holds the
count from which on to die, once, and how: `kill`, or `power` and which part of what no sync has reached is on the disk
all the same: then the journal is cut there, and the next process finds the device started anew. The agent's clock runs
SPEED times as fast.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Mortal:
    """The test's side: starts, counts and arms one mortal process.

    Args:
        folder: where its two files are.
        name: of the process.
        speed: how much faster than the system's an agent's clock runs.
    """

    folder: Path
    name: str
    speed: float = 1

    @property
    def command(self) -> list[str]:
        """What to put before the arguments of the opentsm command."""
        files = [str(self._file("count")), str(self._file("arm"))]
        return [sys.executable, str(Path(__file__)), *files, str(self.speed)]

    def _file(self, kind: str) -> Path:
        return self.folder / f"{self.name}.{kind}"

    def count(self) -> int:
        """Return how many points were passed so far."""
        return self._file("count").stat().st_size if self._file("count").exists() else 0

    def arm(self, after: int, *, power: float | None = None) -> None:
        """Make the process die at the `after`-th point from now, from 1.

        Args:
            after: the number of points.
            power: None for SIGKILL; else the device loses power, and this part (0 to 1) of what was written since
                the last sync is on the disk.
        """
        scratch = self._file("new")
        how = "kill" if power is None else f"power {power}"
        scratch.write_text(f"{self.count() + after} {how}")
        scratch.replace(self._file("arm"))

    def disarm(self) -> None:
        """Let the process live."""
        self._file("arm").unlink(missing_ok=True)


class _Points:
    def __init__(self, count_file: str, arm_file: str) -> None:
        self._fd = os.open(count_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._arm = Path(arm_file)
        self.lose_power: Callable[[float], None] = lambda _part: None

    def passed(self) -> None:
        os.write(self._fd, b".")
        try:
            die_at, how, *part = self._arm.read_text().split()
        except FileNotFoundError:
            return
        # Not at this count only: the last points of what went before may pass while it is being armed.
        if os.fstat(self._fd).st_size >= int(die_at):
            self._arm.unlink(missing_ok=True)
            if how == "power":
                self.lose_power(float(part[0]))
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: type, name: str) -> None:
        method: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(method)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.passed()
            result = method(*args, **kwargs)
            self.passed()
            return result

        setattr(owner, name, counted)


class _Device:
    """The disk and the boot of the agent's device, as far as the agent can tell."""

    def __init__(self, boot: Path) -> None:
        from opentsm_agent import journal

        self._boot = boot
        if not boot.exists():
            boot.write_text("boot 1")
        setattr(journal, "_BOOT_ID", boot)  # noqa: B010 - mypy would have it that it is final
        self._journal: Any = None
        self._durable = 0

    def watch(self, owner: type) -> None:
        """Remember up to where the journal has been synced."""
        for name in ("_sync", "_compact"):
            method: Callable[..., Any] = getattr(owner, name)

            def done(this: Any, method: Callable[..., Any] = method, name: str = name) -> None:
                garbage = this.state.garbage
                method(this)
                self._journal = this
                if name == "_sync" or garbage:
                    self._durable = this._length

            setattr(owner, name, done)

    def lose_power(self, part: float) -> None:
        """Let what was not synced be lost but for a part, and the device start anew."""
        if self._journal is not None:
            written = self._journal._length
            with contextlib.suppress(FileNotFoundError):
                os.truncate(self._journal._path, self._durable + int((written - self._durable) * part))
        self._boot.write_text(f"boot {int(self._boot.read_text().split()[1]) + 1}")


def main() -> None:
    count_file, arm_file, speed, arguments = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4:]
    points = _Points(count_file, arm_file)
    if arguments[0] == "tsm":
        from opentsm_tsm.store import Store

        points.around(Store, "commit")
    else:
        from opentsm_agent import agent, service
        from opentsm_agent.journal import Journal
        from opentsm_agent.timers import FastTimers

        device = _Device(Path(count_file).with_suffix(".boot"))
        device.watch(Journal)
        points.lose_power = device.lose_power
        if speed != 1:
            fast = functools.partial(agent.Agent, timers=FastTimers(speed))
            setattr(service, "Agent", fast)  # noqa: B010 - mypy would have it that a class is not to be changed
        points.around(Journal, "append")
        points.around(Journal, "_compact")
    from opentsm_tools.main import main as opentsm

    sys.argv = ["opentsm", *arguments]
    opentsm()


if __name__ == "__main__":
    main()
