"""New keys of a set: the options that name them, and where they come from; generated ones are kept first."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opentsm_card.errors import StorageError
from opentsm_tools.card.key_sources import DIVERSIFICATIONS, Material, combine, material_of
from opentsm_tools.card.options import number

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_new", "new_key_options", "new_material"]


def new_key_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `check_new` and `new_material` take."""
    options = (
        click.option("--new-version", metavar="N", required=True, help="Key version of the new keys, 1 to 127."),
        click.option("--new-key", metavar="HEX", help="One new key for ENC, MAC and DEK; prefer --new-key-file."),
        click.option("--new-key-file", type=click.Path(path_type=Path), help="TOML or JSON file with the new keys."),
        click.option(
            "--new-diversification", type=click.Choice(DIVERSIFICATIONS), help="How they derive.  [default: none]"
        ),
        click.option("--generate", is_flag=True, help="Make new random keys, with --save."),
        click.option("--save", type=click.Path(path_type=Path), help="Where to keep generated keys; written first."),
        click.option(
            "--new-size", type=click.Choice(["16", "24", "32"]), default="16", help="Bytes of a generated key."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def check_new(options: dict[str, Any]) -> None:
    """Refuse what the options of new keys can't mean, before a card is asked anything.

    Raises:
        click.UsageError: none or several sources, or keys that nobody would keep.
        click.BadParameter: no key version.
    """
    if number(options["new_version"], "--new-version") == 0:
        raise click.BadParameter("--new-version: want 1 to 127")
    if sum(bool(options[name]) for name in ("new_key", "new_key_file", "generate")) != 1:
        raise click.UsageError("which new keys? Give one of --new-key-file, --new-key and --generate")
    if options["generate"] and options["save"] is None:
        raise click.UsageError("--generate needs --save FILE: keys that nobody keeps lock everybody out")


def new_material(
    *,
    new_version: str,
    new_key: str | None,
    new_key_file: Path | None,
    new_diversification: str | None,
    generate: bool,
    save: Path | None,
    new_size: str,
) -> Material:
    """Return the new keys; generated ones are on disk before the card hears of them.

    Raises:
        ProtocolError, StorageError: they can't be had or kept.
    """
    version = number(new_version, "--new-version")
    if new_key_file is not None:
        from opentsm_tools.card.key_files import from_file  # noqa: PLC0415 - needed for this source only

        return from_file(new_key_file, version=version, diversification=new_diversification)
    if new_key is not None:
        given = combine({"key": new_key}, {"key": "--new-key"}, version=version, diversification=new_diversification)
        assert given is not None
        return given
    assert generate and save is not None, "see check_new"  # noqa: PT018 - both or neither
    size = int(new_size)
    made = secrets.token_bytes(3 * size)
    _keep(save, version, made)
    return material_of(made, str(save), version=version, diversification=None)


def _keep(path: Path, version: int, made: bytes) -> None:
    """Write generated keys to a new key file, readable by its owner only, synced with its place in the folder."""
    size = len(made) // 3
    parts = {name: made[index * size : (index + 1) * size].hex() for index, name in enumerate(("enc", "mac", "dek"))}
    if path.suffix == ".json":
        text = json.dumps({"version": version, **parts}, indent=2)
    else:
        text = "\n".join([f"version = {version:#04x}", *(f'{name} = "{value}"' for name, value in parts.items())])
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(handle)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
