"""`opentsm se trace`: run a script on a fresh virtual SE, and tell what code it executed and what it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from opentsm_simulator.power_cli import read_caps, read_script

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_simulator.trace.report import TraceReport

__all__ = ["trace"]

_FOLDER: Final = Path("trace")


@click.command()
@click.argument("profile")
@click.option("caps", "--cap", type=click.Path(path_type=Path), multiple=True, help="A CAP file to install and trace.")
@click.option("--script", type=click.Path(path_type=Path), required=True, help="What is run: lines APDU [SW] [data].")
@click.option("--secure", is_flag=True, help="Script in a secure channel with the issuer's domain.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=_FOLDER, show_default=True, help="Folder of the report."
)
@click.option(
    "sources", "--source", type=click.Path(path_type=Path), multiple=True, help="Folder of Java sources to be shown."
)
@click.option("--all", "every", is_flag=True, help="Tell of all packages that ran, not of those of --cap alone.")
@click.option("as_json", "--json", is_flag=True, help="Print the report as one JSON object.")
def trace(  # noqa: PLR0913 - one argument an option
    *,
    profile: str,
    caps: tuple[Path, ...],
    script: Path,
    secure: bool,
    out: Path,
    sources: tuple[Path, ...],
    every: bool,
    as_json: bool,
) -> None:
    """Run a script on a virtual SE, and tell which bytecode it executed, how often, and what each command wrote.

    A fresh card of PROFILE gets the CAP files, each applet installed under its own AID, and runs the script, which is
    of the form of `opentsm card send --script`. The report goes to OUT: trace.html to read, trace.json for programs.
    With a Debug component (debug = true in applet.toml) it names methods and source lines, and with --source it shows
    the sources. Exits with 1 when an answer is not what the script expects; the report is written all the same.

    \b
    opentsm se trace embedded --cap build/wallet.cap --script pay.apdu --source src
    opentsm se trace embedded --cap wallet.cap --script pay.apdu --json | jq '.packages[].methods[]'
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    steps = read_script(script)
    packages = read_caps(caps)
    # Imported here: the JVM's bindings are not needed to print help.
    from opentsm_simulator.power_script import ScriptRig  # noqa: PLC0415 - see above
    from opentsm_simulator.profile import load_profile  # noqa: PLC0415 - see above
    from opentsm_simulator.symbols import make_known  # noqa: PLC0415 - see above
    from opentsm_simulator.trace.files import write_report  # noqa: PLC0415 - see above
    from opentsm_simulator.trace.report import TraceReport  # noqa: PLC0415 - see above

    for package in packages:
        make_known(package)
    rig = ScriptRig(load_profile(profile), se_id="trace", trace=True)
    told = rig.se.trace
    assert told is not None
    try:
        for path, package in zip(caps, packages, strict=True):
            told.mark(f"install {path.name}")
            rig.install(package)
        told.mark(script.name)
        if secure:
            rig.open()
        for step in steps:
            rig.run(step)
    finally:
        only = None if every or not packages else {package.package_aid for package in packages}
        report = TraceReport.of(told, "trace", only)
        written = write_report(report, out, sources)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        _show(report, written)


def _show(report: TraceReport, written: Iterable[Path]) -> None:
    for package in report.packages:
        files = package.lines()
        lines = [count for of_file in files.values() for count, _ in of_file.values()]
        of_lines = f", {sum(count > 0 for count in lines)} of {len(lines)} lines" if lines else ""
        click.echo(
            f"{package.name or package.aid}: {package.covered} of {package.instructions} instructions{of_lines}; "
            f"{package.executed} executed"
        )
    click.echo(f"report: {', '.join(map(str, written))}")
