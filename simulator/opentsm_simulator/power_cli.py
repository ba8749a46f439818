"""`opentsm se sweep`: cut the power at every write."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from opentsm_build.cap import CapFile
from opentsm_card.apdu_script import parse_script
from opentsm_card.errors import CapError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_card.apdu_script import Step
    from opentsm_simulator.power import Swept

__all__ = ["read_caps", "read_script", "sweep"]

_REFUSED: Final = 1
_MOST_SHOWN: Final = 20


def read_script(path: Path | None) -> tuple[Step, ...]:
    """Return the steps of a script; of no script none.

    Raises:
        ProtocolError: it can't be read, or a line is malformed.
    """
    if path is None:
        return ()
    try:
        return parse_script(path.read_text(encoding="utf-8"), path.name)
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{path}: not UTF-8 at byte {error.start}") from error


def read_caps(paths: Iterable[Path]) -> list[CapFile]:
    """Read CAP files.

    Raises:
        StorageError: one can't be read.
        CapError: one is no CAP file; the message names it.
    """
    caps = []
    for path in paths:
        try:
            caps.append(CapFile.read(path))
        except CapError as error:
            raise CapError(f"{path}: {error}") from error
    return caps


@click.command()
@click.argument("profile")
@click.option("--script", type=click.Path(path_type=Path), required=True, help="What is swept: lines APDU [SW] [data].")
@click.option("caps", "--cap", type=click.Path(path_type=Path), multiple=True, help="A CAP file to install before.")
@click.option("--prepare", type=click.Path(path_type=Path), help="A script that brings the card to where it begins.")
@click.option("--check", type=click.Path(path_type=Path), help="A script whose answers are the state of the card.")
@click.option("--secure", is_flag=True, help="Script and preparation in secure channels with the issuer's domain.")
@click.option("--sample", type=click.IntRange(1), help="Cut at this many writes, chosen at random, not at every one.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
def sweep(  # noqa: PLR0913 - one argument an option
    *,
    profile: str,
    script: Path,
    caps: tuple[Path, ...],
    prepare: Path | None,
    check: Path | None,
    secure: bool,
    sample: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Cut a virtual SE's power at every persistent write of a script, and say what state each cut leaves.

    For each write of each command, a card of PROFILE that has run all commands before loses its power at that write, is
    reset, and is looked at: is it as before the command, as after it, or between? Between is what a real card can be
    left in by a customer who takes it away too early. The state is the whole card (registry, every application's
    persistent objects), or with --check the answers to a script. The scripts are those of `opentsm card send --script`;
    a line `reset` begins a new session. Exits with 1 when a cut left the card between.

    \b
    An applet of your own:       opentsm se sweep embedded --cap wallet.cap --script pay.apdu
    By what it answers:          opentsm se sweep embedded --cap wallet.cap --script pay.apdu --check balance.apdu
    The issuer's domain:         opentsm se sweep embedded --secure --script put-key.apdu
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    # Imported here: the JVM's bindings are not needed to print help.
    from opentsm_simulator.power import sweep as run  # noqa: PLC0415 - see above
    from opentsm_simulator.power_script import maker, observer, steps_of  # noqa: PLC0415 - see above
    from opentsm_simulator.profile import load_profile  # noqa: PLC0415 - see above

    steps = steps_of(read_script(script), secure=secure)
    if not steps:
        raise ProtocolError(f"{script}: there is no command in it, and nothing to cut")
    make = maker(load_profile(profile), read_caps(caps), read_script(prepare), secure=secure)
    with click.progressbar(length=1, label="cuts", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def progress(done: int, of: int) -> None:
            bar.length = of
            bar.update(done - bar.pos)

        swept = run(make, steps, observe=observer(read_script(check)), sample=sample, seed=seed, progress=progress)
    if as_json:
        click.echo(json.dumps(_described(swept)))
    else:
        _show(swept)
    if swept.between:
        sys.exit(_REFUSED)


def _described(swept: Swept) -> dict[str, Any]:
    steps = [{"step": name, "writes": writes} for name, writes in zip(swept.steps, swept.writes, strict=True)]
    outcomes = swept.outcomes
    return {
        "steps": steps,
        "writes": sum(swept.writes),
        "cuts": len(swept.cuts),
        "before": outcomes["before"],
        "after": outcomes["after"],
        "between": [
            {"step": swept.steps[cut.step], "at_write": cut.at_write, "differs": list(cut.differs)}
            for cut in swept.between
        ],
        "took_s": round(swept.took_s, 3),
        "cuts_a_minute": round(swept.cuts_a_minute),
    }


def _show(swept: Swept) -> None:
    for name, writes in zip(swept.steps, swept.writes, strict=True):
        click.echo(f"{name}: {writes} writes")
    outcomes = swept.outcomes
    click.echo(
        f"{len(swept.cuts)} power cuts in {swept.took_s:.1f} s ({swept.cuts_a_minute:.0f} a minute): "
        f"{outcomes['before']} as before, {outcomes['after']} as after, {outcomes['between']} between"
    )
    for cut in swept.between[:_MOST_SHOWN]:
        click.echo(f"between: {swept.steps[cut.step]}, write {cut.at_write}: {', '.join(cut.differs)}")
    if len(swept.between) > _MOST_SHOWN:
        click.echo(f"… and {len(swept.between) - _MOST_SHOWN} more; --json lists all")
