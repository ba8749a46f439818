"""`opentsm demo`: run the whole system on this machine, and check it by reading each SE."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from opentsm_card.errors import OpenTsmError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentsm_tools.demo.report import JsonReport, TableReport

__all__ = ["demo"]

SES_VARIABLE = "OPENTSM_DEMO_SES"
# As in `opentsm_tools.demo.ends`, which help is shown without.
LINKS: Final = ("tcp", "tcp-listen", "stdio", "uart-t0", "uart-t1", "modem-csim", "modem-ccho", "pcsc")
_EXIT_TERMINATED: Final = 128 + signal.SIGTERM


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; progress goes to standard error.")
@click.option(
    "--work-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where keys, configurations, databases and logs go (new or empty). Default: a temporary folder.",
)
@click.option("--keep", is_flag=True, help="Keep the temporary folder.")
@click.option(
    "--link",
    type=click.Choice(LINKS),
    default="tcp",
    show_default=True,
    help="By what the agents reach their SEs: modems, serial ports, readers (pcsc: as root, where no pcscd runs).",
)
@click.option(
    "--before-check",
    metavar="COMMAND",
    help=f"Run this shell command before the comparison; {SES_VARIABLE} names a file with each SE's links and keys.",
)
def demo(*, as_json: bool, work_dir: Path | None, keep: bool, link: str, before_check: str | None) -> None:
    """Run the whole system on this machine, end to end.

    Two service providers, one central TSM, two mobile networks, and three devices, each with an agent and a virtual
    SE, go through every sequence. Each SE is then read with its own keys and as a payment reader, and compared with
    what the central TSM believes. Exits 0 only when they agree.
    """
    from opentsm_tools.demo.report import JsonReport, TableReport  # noqa: PLC0415 - --help needs no rich

    # As Ctrl-C: leave by the normal way, so that every process is stopped.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(_EXIT_TERMINATED))
    report = JsonReport() if as_json else TableReport()
    began = time.monotonic()
    try:
        with _folder(work_dir, keep=keep) as folder, report.shown():
            differences = _perform(folder, report, link, before_check)
    except OpenTsmError as error:
        report.end(ok=False, differences=[str(error)], seconds=time.monotonic() - began)
        raise
    ok = not differences
    report.end(ok=ok, differences=differences, seconds=time.monotonic() - began)
    sys.exit(0 if ok else 1)


@contextlib.contextmanager
def _folder(work_dir: Path | None, *, keep: bool) -> Iterator[Path]:
    """Give the work directory, and delete it afterwards if it was a temporary one."""
    if work_dir is not None:
        work_dir.mkdir(parents=True, exist_ok=True)
        if any(work_dir.iterdir()):
            raise ProtocolError(f"{work_dir}: not empty")
        yield work_dir.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="opentsm-demo-"))
    try:
        yield folder
    finally:
        if keep:
            click.echo(f"kept: {folder}", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _perform(folder: Path, report: TableReport | JsonReport, link: str, before_check: str | None) -> list[str]:
    """Run world, sequences and comparison; return everything that is not as it should be."""
    from opentsm_tools.demo.comparison import compare  # noqa: PLC0415 - as above
    from opentsm_tools.demo.sequences import SEQUENCES  # noqa: PLC0415 - as above
    from opentsm_tools.demo.stage import Stage  # noqa: PLC0415 - as above
    from opentsm_tools.demo.world import World  # noqa: PLC0415 - as above

    with World(folder, report.say, link=link) as world:
        stage = Stage(world, report)
        world.observe = stage.observe
        for step in SEQUENCES:
            failures = stage.play(step)
            if failures:
                return failures
        if before_check is not None:
            _hook(before_check, world.ses_file)
        report.say("comparing each SE with what the central TSM believes")
        return compare(stage)


def _hook(command: str, ses_file: Path) -> None:
    """Run the user's command.

    Raises:
        OpenTsmError: it failed.
    """
    environment = {**os.environ, SES_VARIABLE: str(ses_file)}
    done = subprocess.run(command, shell=True, env=environment, stdout=sys.stderr, check=False)  # noqa: S602 - the user's own
    code = done.returncode
    if code != 0:
        raise OpenTsmError(f"--before-check failed ({code})")
