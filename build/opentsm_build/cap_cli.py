"""`opentsm cap`: look into CAP files, compare and verify them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from opentsm_build.api.export_file import read_export_file
from opentsm_build.cap import CapFile
from opentsm_build.cap_view import difference, info, listing
from opentsm_build.cap_view.package import resolve
from opentsm_build.verify import verify
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_build.api.model import ApiPackage
    from opentsm_build.cap_view.package import Resolved

__all__ = ["cap", "exports_option", "read_exports"]

_Read = TypeVar("_Read")

_EXIT_DIFFERENT = 1
_EXIT_INPUT = 4
_cap_file = click.argument("path", metavar="CAP", type=click.Path(path_type=Path))
_as_json = click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")


def exports_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option that names export files of imported packages."""
    return click.option(
        "exports",
        "--exp",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Export file of an imported package, or a folder of them; may be repeated. "
        "Java Card, GlobalPlatform and UICC packages are known.",
    )(command)


def read_exports(paths: tuple[Path, ...]) -> list[ApiPackage]:
    """Read export files, and those in folders.

    Raises:
        CapError: one is malformed.
        StorageError: one can't be read.
    """
    files = [file for path in paths for file in (sorted(path.rglob("*.exp")) if path.is_dir() else [path])]
    return [_named(file, read_export_file) for file in files]


def _named(path: Path, read: Callable[[Path], _Read]) -> _Read:
    """Read something, and name its file in an error."""
    try:
        return read(path)
    except CapError as error:
        raise CapError(f"{path}: {error}") from error


def _resolve(path: Path, given: list[ApiPackage]) -> Resolved:
    return _named(path, lambda path: resolve(CapFile.read(path), given))


def _print_json(value: object) -> None:
    click.echo(json.dumps(value))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cap() -> None:
    """Look into CAP files, compare, verify and sign them.

    Exit codes: 0 done, 1 two files differ (diff), 2 usage, 4 the file is no good.
    """


@cap.command("info")
@_cap_file
@exports_option
@_as_json
def cap_info(path: Path, *, exports: tuple[Path, ...], as_json: bool) -> None:
    """Say what a CAP file is, what it needs and what it takes."""
    summary = _named(path, lambda path: info.describe(CapFile.read(path), read_exports(exports)))
    if as_json:
        _print_json(summary)
    else:
        click.echo("\n".join(info.info_lines(summary)))


@cap.command("list")
@_cap_file
@exports_option
@_as_json
def cap_list(path: Path, *, exports: tuple[Path, ...], as_json: bool) -> None:
    """List classes, fields and methods."""
    listed = listing.class_list(_resolve(path, read_exports(exports)))
    if as_json:
        _print_json({"classes": listed})
    else:
        click.echo("\n".join(listing.list_lines(listed)))


@cap.command("dump")
@_cap_file
@exports_option
@_as_json
def cap_dump(path: Path, *, exports: tuple[Path, ...], as_json: bool) -> None:
    """Show the code of every method, with the names of what it uses."""
    resolved = _resolve(path, read_exports(exports))
    if as_json:
        _print_json({"methods": listing.dump(resolved)})
        return
    blocks = ("\n".join(listing.code_lines(resolved, body)) for body in resolved.bodies.values())
    click.echo("\n\n".join(blocks))


@cap.command("diff")
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@exports_option
@_as_json
@click.pass_context
def cap_diff(context: click.Context, one: Path, other: Path, *, exports: tuple[Path, ...], as_json: bool) -> None:
    """Show what differs between two CAP files: facts, sizes, members and code.

    Exits with 0 when they do the same, with 1 when not.
    """
    given = read_exports(exports)
    compared = difference.compare(_resolve(one, given), _resolve(other, given))
    if as_json:
        _print_json(compared)
    else:
        click.echo("\n".join(_difference_lines(compared)))
    context.exit(0 if compared["alike"] else _EXIT_DIFFERENT)


def _difference_lines(compared: dict[str, Any]) -> list[str]:
    if compared["same"]:
        return ["The components are the same."]
    lines = [f"{name}: {one} | {other}" for name, (one, other) in compared["facts"].items()]
    lines += [f"{name:<18} {one} | {other} bytes" for name, (one, other) in compared["components"].items()]
    lines.append("load size          {} | {} bytes".format(*compared["load_bytes"]))
    return [*lines, *compared["lines"]] if compared["lines"] else [*lines, "Members and code do the same."]


@cap.command("verify")
@click.argument("paths", metavar="CAP...", nargs=-1, required=True, type=click.Path(path_type=Path))
@exports_option
@_as_json
@click.pass_context
def cap_verify(context: click.Context, paths: tuple[Path, ...], *, exports: tuple[Path, ...], as_json: bool) -> None:
    """Prove that CAP files keep the rules a card relies on: structure, references, and every method by data flow.

    Exits with 4 when one does not; the message says which component, where, and which rule.
    """
    given = read_exports(exports)
    results = [_verify(path, given) for path in paths]
    if as_json:
        _print_json({"files": results})
    else:
        for result in results:
            click.echo(_verdict(result), err=not result["verified"])
    if not all(result["verified"] for result in results):
        context.exit(_EXIT_INPUT)


def _verify(path: Path, given: list[ApiPackage]) -> dict[str, Any]:
    try:
        verified = verify(CapFile.read(path), given)
    except CapError as error:
        return {
            "path": str(path),
            "verified": False,
            "error": str(error),
            "component": error.component,
            "offset": error.offset_bytes,
            "method": error.where,
            "pc": error.pc,
            "rule": error.reason,
        }
    return {
        "path": str(path),
        "verified": True,
        "whole": verified.whole,
        "classes": verified.classes,
        "methods": verified.methods,
        "instructions": verified.instructions,
    }


def _verdict(result: dict[str, Any]) -> str:
    if not result["verified"]:
        return f"{result['path']}: {result['error']}"
    if not result["whole"]:
        return f"{result['path']}: structure verified; without a Descriptor component code can't be"
    return (
        f"{result['path']}: verified, {info.counted(result['classes'], 'class')}, "
        f"{info.counted(result['methods'], 'method')}, {info.counted(result['instructions'], 'instruction')}"
    )
