"""The `opentsm` command in this process: what it prints, and the code it exits with; a traceback fails the test."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest import mock

from opentsm_tools.main import main

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Answer", "door", "refused"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def door(*arguments: str | Path, stdin: bytes = b"") -> Answer:
    """Run `opentsm ARGUMENTS`, as its console script does; any exception but SystemExit comes through."""
    printed, told = io.BytesIO(), io.BytesIO()
    out, err = io.TextIOWrapper(printed, write_through=True), io.TextIOWrapper(told, write_through=True)
    code = 0
    with (
        mock.patch.object(sys, "argv", ["opentsm", *map(str, arguments)]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
        mock.patch.object(sys, "stdout", out),
        mock.patch.object(sys, "stderr", err),
    ):
        try:
            main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0
    return Answer(code, printed.getvalue().decode(), told.getvalue().decode())


def refused(code: int, *arguments: str | Path, stdin: bytes = b"") -> str:
    """Run a command that must end in one message on standard error and this exit code, and return it.

    A message has one line, and may have more that stand in for a list of what is wrong.
    """
    answer = door(*arguments, stdin=stdin)
    assert answer.code == code, answer
    first, *more = answer.err.splitlines()
    assert first.startswith("opentsm: ")
    assert all(line.startswith("  ") for line in more), answer.err
    assert bool(more) == first.endswith(" things are wrong:"), answer.err
    assert "Traceback" not in answer.err
    return answer.err.rstrip("\n")
