"""`opentsm se create`, `snapshot` and `restore`: cards that outlive the process that runs them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import click

from opentsm_card.errors import StorageError
from opentsm_simulator.control import ask
from opentsm_simulator.control_cli import find
from opentsm_simulator.image import CardImage, read_image, write_image
from opentsm_simulator.images import SUFFIX, image_path
from opentsm_simulator.profile import load_keys

__all__ = ["create", "restore", "snapshot"]

_pid = click.option("--pid", type=int, help="The process, where several run an SE of that name.")
_json = click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")


@click.command()
@click.argument("name", metavar="NAME|FILE|FOLDER")
@click.option("--profile", required=True, help="A card profile (`opentsm se profiles`), or the path of one.")
@click.option(
    "--id", "se_id", help="The SE's identity; with --count, -1, -2, … is appended.  [default: the file's name]"
)
@click.option("--count", type=click.IntRange(1), help="Make so many, as files in a folder, which is made too.")
@click.option("--keys-file", type=click.Path(path_type=Path), help="TOML file of key sets in place of the profile's.")
@_json
def create(
    *, name: str, profile: str, se_id: str | None, count: int | None, keys_file: Path | None, as_json: bool
) -> None:
    """Make a card, as delivered, as an image file; `opentsm se run --image` runs it.

    NAME is a file of that name with the suffix .card in ~/.local/share/opentsm/se (or OPENTSM_SE_DIR); a FILE has a
    slash in its path, or that suffix. An image holds the card's keys: the file is readable by its owner only.

    \b
        opentsm se create mine --profile embedded
        opentsm se run --image mine --tcp 7001
    A hundred, run by one process on ports 7001 to 7100:
        opentsm se create fleet/ --profile uicc --count 100
        opentsm se run --image fleet/ --tcp 7001
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    # Imported here: the JVM's bindings are not needed to print help.
    from opentsm_simulator.virtual_se import VirtualSe  # noqa: PLC0415 - see above

    keys = load_keys(keys_file) if keys_file else None
    made = []
    path = Path(name) if count else image_path(name)
    try:
        (path if count else path.parent).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{error.filename}: {error.strerror}") from error
    if path.is_dir() and not count:
        raise click.UsageError(f"{path} is a folder; say how many cards to make in it with --count")
    for number in range(1, (count or 1) + 1):
        base = se_id or (Path(profile).stem if count else path.name.removesuffix(SUFFIX))
        this = f"{base}-{number}" if count else base
        file = path / (this + SUFFIX) if count else path
        write_image(file, VirtualSe.create(profile, se_id=this, keys=keys).snapshot())
        made.append({"id": this, "profile": Path(profile).stem, "image": str(file)})
    if as_json:
        click.echo(json.dumps({"ses": made}))
        return
    for each in made:
        click.echo(f"{each['id']} ({each['profile']}): {each['image']}")


@click.command()
@click.argument("se_id", metavar="ID")
@click.argument("file", type=click.Path(path_type=Path))
@_pid
@_json
def snapshot(*, se_id: str, file: Path, pid: int | None, as_json: bool) -> None:
    """Write a running SE as a new image FILE: all that it keeps without power, keys included.

    The SE runs on, and nothing on it is disturbed. Sessions, and what else ends with the power, are not in the image.
    """
    answer = ask(find(se_id, pid), {"do": "snapshot", "id": se_id})
    image = base64.b64decode(answer["content"])
    write_image(file, image)
    if as_json:
        click.echo(json.dumps({"id": se_id, "file": str(file), "bytes": len(image)}))
    else:
        click.echo(f"{se_id}: {len(image)} bytes in {file}")


@click.command()
@click.argument("se_id", metavar="ID")
@click.argument("file", type=click.Path(path_type=Path))
@_pid
@_json
def restore(*, se_id: str, file: Path, pid: int | None, as_json: bool) -> None:
    """Make a running SE the card that an image FILE holds, as if another card was put in.

    It goes on under its name, and is reached as before; what is selected and every session end. Where it runs from an
    image file of its own, that file is the restored card from then on.
    """
    CardImage.parse(read_image(file))
    answer = ask(find(se_id, pid), {"do": "restore", "id": se_id, "file": str(file.resolve())})
    if as_json:
        click.echo(json.dumps(answer))
    else:
        click.echo(f"{se_id}: restored from {file}")
