"""Run an `opentsm` command that dies by SIGKILL at the n-th point where it keeps something.

Points are counted at the storage layer, not listed by hand: each `Store.commit` of the central TSM, each
`Journal.append` and each compaction of an agent's journal has a point before it and one behind it.

    python mortal.py COUNT_FILE ARM_FILE opentsm-arguments …

COUNT_FILE grows by one byte with each point passed, whichever process passes it. ARM_FILE, where it exists, holds the
count at which to die.
"""

from __future__ import annotations

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
    """

    folder: Path
    name: str

    @property
    def command(self) -> list[str]:
        """What to put before the arguments of the opentsm command."""
        return [sys.executable, str(Path(__file__)), str(self._file("count")), str(self._file("arm"))]

    def _file(self, kind: str) -> Path:
        return self.folder / f"{self.name}.{kind}"

    def count(self) -> int:
        """Return how many points were passed so far."""
        return self._file("count").stat().st_size if self._file("count").exists() else 0

    def arm(self, after: int) -> None:
        """Make the process die at the `after`-th point from now, from 1."""
        scratch = self._file("new")
        scratch.write_text(str(self.count() + after))
        scratch.replace(self._file("arm"))

    def disarm(self) -> None:
        """Let the process live."""
        self._file("arm").unlink(missing_ok=True)


class _Points:
    def __init__(self, count_file: str, arm_file: str) -> None:
        self._fd = os.open(count_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._arm = Path(arm_file)

    def passed(self) -> None:
        os.write(self._fd, b".")
        try:
            die_at = int(self._arm.read_text())
        except FileNotFoundError:
            return
        if os.fstat(self._fd).st_size == die_at:
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


def main() -> None:
    count_file, arm_file, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
    points = _Points(count_file, arm_file)
    if arguments[0] == "tsm":
        from opentsm_tsm.store import Store

        points.around(Store, "commit")
    else:
        from opentsm_agent.journal import Journal

        points.around(Journal, "append")
        points.around(Journal, "_compact")
    from opentsm_tools.main import main as opentsm

    sys.argv = ["opentsm", *arguments]
    opentsm()


if __name__ == "__main__":
    main()
