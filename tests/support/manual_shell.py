"""Runs what the manual says to type: a script in a shell of its own, and everything that it started is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

__all__ = ["run_script"]


def run_script(script: str, folder: Path, timeout_s: float, **variables: str) -> str:
    """Run a script in bash and return what was printed; `opentsm` is this environment's.

    Args:
        script: bash.
        folder: where it runs; what is printed goes to the file `output` there.
        timeout_s: longer must it not take.
        variables: added to the environment.

    Raises:
        AssertionError: it exits with another code than 0.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # What servers say goes to a file: a pipe would stay open as long as they run.
    with (folder / "output").open("w+") as output:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env={**os.environ, "PATH": path, **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(timeout=timeout_s)
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
        output.seek(0)
        said = output.read()
    assert code == 0, said
    return said
