"""`opentsm se list`, `show` and `reset`: look after the virtual SEs that other shells run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from opentsm_card.errors import ProtocolError
from opentsm_simulator.control import ask, ask_all
from opentsm_simulator.images import image_path, images_folder, listed_images, reset_image
from opentsm_simulator.inspection import render
from opentsm_simulator.profile import load_profile, profile_names

__all__ = ["cut", "find", "list_profiles", "list_ses", "reset", "show"]

_pid = click.option("--pid", type=int, help="The process, where several run an SE of that name.")
_json = click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")


def list_profiles(*, as_json: bool) -> None:
    """Print the card profiles that come with the package."""
    known = {name: load_profile(name).summary for name in profile_names()}
    if as_json:
        click.echo(json.dumps({"profiles": [{"name": name, "summary": text} for name, text in known.items()]}))
        return
    width = max(map(len, known))
    for name, text in known.items():
        click.echo(f"{name:{width}}  {text}")


def _running() -> list[tuple[Path, dict[str, Any]]]:
    return [(path, se) for path, answer in ask_all({"do": "list"}) for se in answer["ses"]]


def find(se_id: str, pid: int | None) -> Path:
    """Return the control socket of the process that runs an SE.

    Raises:
        ProtocolError: none does, or several do and no `pid` chooses.
    """
    running = _running()
    found = [(path, se) for path, se in running if se["id"] == se_id and pid in {None, se["pid"]}]
    if not found:
        names = ", ".join(sorted({se["id"] for _, se in running}))
        raise ProtocolError(
            f"no SE named {se_id!r} runs here; " + (f"there are: {names}" if names else "none does: opentsm se run")
        )
    if len(found) > 1:
        pids = ", ".join(str(se["pid"]) for _, se in found)
        raise ProtocolError(f"several SEs named {se_id!r} run here; choose with --pid: {pids}")
    return found[0][0]


@click.command("list")
@click.option("profiles", "--profiles", is_flag=True, help="List the card profiles instead.")
@click.option(
    "images",
    "--images",
    is_flag=False,
    flag_value="",
    metavar="[FOLDER]",
    help="List the card images in a folder instead, or those that have a name (`opentsm se create`).",
)
@_json
def list_ses(*, profiles: bool, images: str | None, as_json: bool) -> None:
    """List the virtual SEs that run on this machine for this user, by every `opentsm se run`."""
    if images is not None:
        _list_images(Path(images) if images else images_folder(), is_named=bool(images), as_json=as_json)
        return
    if profiles:
        list_profiles(as_json=as_json)
        return
    ses = [se for _, se in _running()]
    if as_json:
        click.echo(json.dumps({"ses": ses}))
        return
    if not ses:
        click.echo("no virtual SE runs; start one with: opentsm se run --profile embedded")
        return
    rows = [("ID", "PROFILE", "UP", "PID", "REACHED BY"), *(_row(se) for se in ses)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        click.echo("  ".join([*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[4]]))


def _list_images(folder: Path, *, is_named: bool, as_json: bool) -> None:
    # The folder of images with a name is made with the first of them.
    found = list(listed_images(folder)) if is_named or folder.exists() else []
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "images": found}))
        return
    if not found:
        click.echo(f"there is no card image in {folder}; make one with: opentsm se create mine --profile embedded")
    for image in found:
        click.echo(f"{image['id']} ({image['profile']}): {image['image']}" if image["profile"] else image["error"])


def _row(se: dict[str, Any]) -> tuple[str, str, str, str, str]:
    names = ("tcp", "contactless", "vpcd", "reader", "contactless_reader", "uart", "modem", "dial")
    where = [f"{name.replace('_', ' ')} {se[name]}" for name in names if se[name]]
    return se["id"], se["profile"], _duration(se["uptime_s"]), str(se["pid"]), ", ".join(where) or "-"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


@click.command()
@click.argument("se_id", metavar="ID")
@_pid
@_json
def show(*, se_id: str, pid: int | None, as_json: bool) -> None:
    """Show a running SE as its OPEN knows it: domains, keys (no values), applications, load files, memory, effects.

    It asks the process that runs the SE, not the card: nothing that is selected or under way on it is disturbed.
    """
    answer = ask(find(se_id, pid), {"do": "show", "id": se_id})
    if as_json:
        click.echo(json.dumps(answer))
        return
    for line in render(answer):
        click.echo(line)


@click.command()
@click.argument("se_id", metavar="ID")
@click.option("--new", is_flag=True, help="Make it anew, as it was delivered: all that was done to it is gone.")
@_pid
@_json
def reset(*, se_id: str, new: bool, pid: int | None, as_json: bool) -> None:
    """Reset a running SE: what is selected and every session end. Its readers and clients stay connected.

    With --new, ID may be the image of a card that does not run, too: its name, or its file.
    """
    if (
        new
        and pid is None
        and (path := image_path(se_id)).is_file()
        and se_id not in {se["id"] for _, se in _running()}
    ):
        se_id = reset_image(path)
        answer = {"id": se_id, "image": str(path)}
    else:
        answer = ask(find(se_id, pid), {"do": "reset", "id": se_id, "new": new})
    if as_json:
        click.echo(json.dumps(answer))
    else:
        click.echo(f"{se_id}: {'as it was delivered' if new else 'reset'}")


@click.command()
@click.argument("se_id", metavar="ID")
@click.option("--at-write", type=click.IntRange(0), required=True, help="Which write from now; 0: none after all.")
@_pid
@_json
def cut(*, se_id: str, at_write: int, pid: int | None, as_json: bool) -> None:
    """Cut the power of a running SE at its n-th persistent write from now: that write does not happen.

    From then on it is as mute as a card without power, until its reader or client resets it, or `opentsm se reset`
    does. Then what was begun is undone, as on a card.

    \b
    Torn at the third write of whatever comes next:   opentsm se cut embedded --at-write 3
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    answer = ask(find(se_id, pid), {"do": "cut", "id": se_id, "at_write": at_write})
    if as_json:
        click.echo(json.dumps(answer))
    else:
        click.echo(f"{se_id}: " + (f"power is cut at write {at_write} from now" if at_write else "power is not cut"))
