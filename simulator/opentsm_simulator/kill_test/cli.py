"""`opentsm se kill-test`: kill hosts of virtual SEs at random moments, and say what was lost."""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from opentsm_simulator.kill_test.campaign import KillReport

__all__ = ["kill_test"]

_REFUSED = 1


@click.command("kill-test")
@click.option("--ses", type=click.IntRange(1), default=100, show_default=True, help="How many SEs the host runs.")
@click.option("--kills", type=click.IntRange(1), default=200, show_default=True, help="How many times it is killed.")
@click.option("--seed", type=int, help="Decides what is done to them.  [default: a new one, which is printed]")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
def kill_test(*, ses: int, kills: int, seed: int | None, as_json: bool) -> None:
    """Kill a host of many SEs (SIGKILL) at random moments while they are driven over TCP, and start it from the images.

    Meanwhile applications are installed, personalized, locked, unlocked and deleted, and a domain's keys are rotated.
    Whatever an SE has answered must be there after the kill; what it has not answered must be there wholly or not at
    all; sequence counters must go on. Exits with 1 when something was found. The images are in a folder for temporary
    files, and go with the command.

    \b
    Two hundred kills of a hundred SEs:   opentsm se kill-test
    A short one:                          opentsm se kill-test --ses 10 --kills 20
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    # Imported here: the JVM's bindings are not needed to print help.
    from opentsm_simulator.kill_test.campaign import run_kills  # noqa: PLC0415 - see above

    if seed is None:
        seed = secrets.randbits(32)
    label = f"seed {seed}"
    with (
        tempfile.TemporaryDirectory(prefix="opentsm-kill-") as folder,
        click.progressbar(length=kills, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar,
    ):
        report = run_kills(Path(folder), ses=ses, kills=kills, seed=seed, progress=lambda _: bar.update(1))
    if as_json:
        click.echo(json.dumps({"seed": seed} | asdict(report)))
    else:
        _print(report)
    if report.findings:
        sys.exit(_REFUSED)


def _print(report: KillReport) -> None:
    click.echo(f"{report.kills} kills of a host of {report.ses} SEs; {report.answered} changes answered")
    click.echo(f"{report.cut_off} changes not answered, of which {report.done} were done")
    click.echo(f"{report.checks} comparisons of an SE with what it had answered; {len(report.findings)} differ")
    for finding in report.findings:
        click.echo(f"  {finding}")
