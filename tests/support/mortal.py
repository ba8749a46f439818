"""Run an `opentsm` command that dies by SIGKILL at the n-th point where it keeps something.

Points are counted at the storage layer, not listed by hand: each `Store.commit` of the central TSM, each
`Journal.append` and each compaction of an agent's journal has a point before it and one behind it.

    python mortal.py COUNT_FILE KILL_AT opentsm-arguments …

COUNT_FILE is appended one byte for each point passed, so its size is the count, whoever dies. KILL_AT is the number,
from 1, of the point at which to die; 0 only counts.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__)


def command(count_file: Path, kill_at: int) -> list[str]:
    """Return the command line to put before an opentsm command's arguments."""
    return [sys.executable, str(HERE), str(count_file), str(kill_at)]


class _Points:
    def __init__(self, count_file: str, kill_at: int) -> None:
        self._fd = os.open(count_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._left = kill_at

    def passed(self) -> None:
        os.write(self._fd, b".")
        self._left -= 1
        if self._left == 0:
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
    count_file, kill_at, arguments = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    points = _Points(count_file, kill_at)
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
