"""`opentsm se fuzz`: send random and mutated commands to virtual SEs and say what must not be."""

from __future__ import annotations

import json
import secrets
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from opentsm_simulator.fuzz.campaign import CampaignReport

__all__ = ["fuzz"]

_REFUSED = 1


@click.command()
@click.option(
    "profiles",
    "--profile",
    multiple=True,
    help="A card profile, or the path of one; repeatable.  [default: all of ours]",
)
@click.option("--commands", type=click.IntRange(1), default=100_000, show_default=True, help="How many to send.")
@click.option("--seed", type=int, help="Decides everything that is sent.  [default: a new one, which is printed]")
@click.option("--episode", type=click.IntRange(0), default=0, help="Begin with this episode, to have a finding again.")
@click.option("--loads", is_flag=True, help="Send LOAD sequences: cut, broken, disturbed, with power cuts.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
def fuzz(
    profiles: tuple[str, ...], *, commands: int, seed: int | None, episode: int, loads: bool, as_json: bool
) -> None:
    """Send random and mutated commands to virtual SEs, in and out of secure channels.

    Commands are built by the rules of GlobalPlatform and broken in one place, on all channels and both interfaces; some
    are broken behind the wrapping of a secure channel. Every command must be answered by a status word other than
    6F00; without keys nothing may be changed; and after each burst the registry is read and must be sound.
    A new card every 400 commands. Exits with 1 when something was found.

    With --loads, load files are sent instead, broken inside, cut in any way, with other commands, other channels,
    resets and power cuts in between: the card must have the load file then, or be as it was before.

    \b
    A million commands:           opentsm se fuzz --commands 1000000
    An hour of loads:             opentsm se fuzz --loads --commands 500000
    One finding again:            opentsm se fuzz --seed 7 --episode 311 --commands 400
    An applet of your own:        opentsm se fuzz --profile my-profile.toml
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    # Imported here: the JVM's bindings are not needed to print help.
    from opentsm_simulator.fuzz.campaign import run_campaign  # noqa: PLC0415 - see above
    from opentsm_simulator.profile import load_profile, profile_names  # noqa: PLC0415 - see above

    chosen = [load_profile(name) for name in profiles or profile_names()]
    if seed is None:
        seed = secrets.randbits(32)
    with click.progressbar(
        length=commands, label=f"seed {seed}", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        done = 0

        def progress(report: CampaignReport) -> None:
            nonlocal done
            bar.update(report.commands - done)
            done = report.commands

        report = run_campaign(chosen, commands, seed, first_episode=episode, loads=loads, progress=progress)
    _print(report, as_json=as_json)
    if report.findings:
        sys.exit(_REFUSED)


def _print(report: CampaignReport, *, as_json: bool) -> None:
    if as_json:
        click.echo(
            json.dumps(
                {
                    "seed": report.seed,
                    "commands": report.commands,
                    "secured": report.secured,
                    "episodes": report.episodes,
                    "inspections": report.inspections,
                    "loaded": report.loaded,
                    "seconds": round(report.seconds, 1),
                    "answers": {f"{sw:04X}": times for sw, times in report.answers.most_common()},
                    "findings": [
                        {"episode": finding.episode, "what": finding.what, "commands": finding.commands}
                        for finding in report.findings
                    ],
                }
            )
        )
        return
    click.echo(
        f"{report.commands:,} commands ({report.secured:,} secured) to {report.episodes:,} cards in "
        f"{report.seconds:.1f} s; the registry was checked {report.inspections:,} times; seed {report.seed}"
    )
    click.echo("answers: " + "  ".join(f"{sw:04X} {times:,}" for sw, times in report.answers.most_common(12)))
    for finding in report.findings:
        click.echo(f"episode {finding.episode}: {finding.what}")
        for command in finding.commands[-5:]:
            click.echo(f"    {command}")
    click.echo(f"{len(report.findings)} findings" if report.findings else "nothing found")
