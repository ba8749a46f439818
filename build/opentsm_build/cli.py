"""`opentsm build` and `opentsm new`: from Java sources to a CAP file."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opentsm_build.build import build_project
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentsm_build.build import Built
    from opentsm_build.kit import Kit

__all__ = ["build", "new"]

# A compiler that has more packages in front of it is worth being compiled well itself.
_FEW = 10
_HELP = {"help_option_names": ["-h", "--help"]}


@click.command(context_settings=_HELP)
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path), metavar="[DIR]...")
@click.option("--out", type=click.Path(path_type=Path), help="Where the files go.  [default: DIR/build]")
@click.option(
    "--javac", is_flag=True, help="Compile with the javac of JAVA_HOME or PATH instead of Eclipse's compiler."
)
@click.option(
    "--classes", type=click.Path(path_type=Path), help="Convert the class files of a folder; compile nothing."
)
@click.option(
    "--sdk", type=click.Path(path_type=Path), help="Convert and verify by an Oracle kit's tools.  [env: JC_HOME]"
)
@click.option("--compare", is_flag=True, help="With a kit: show what its converter makes beside ours, which is kept.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
def build(
    folders: tuple[Path, ...],
    *,
    out: Path | None,
    javac: bool,
    classes: Path | None,
    sdk: Path | None,
    compare: bool,
    as_json: bool,
) -> None:
    """Build Java Card packages: sources to CAP file, with export file and listing.

    DIR is a folder with an applet.toml; the current one when none is named. Several are built in one go, with a warm
    compiler.
    """
    compiler = _find_javac() if javac else None
    if classes is None and len(folders) <= _FEW:
        from opentsm_build.compiler import expect_short_life  # noqa: PLC0415 - not needed to convert alone

        expect_short_life()
    kit = _find_kit(sdk)
    if compare and kit is None:
        raise ProtocolError("--compare needs an Oracle kit: name its folder by --sdk or in JC_HOME")
    if classes is not None and len(folders) > 1:
        raise click.UsageError("--classes goes with one DIR")
    results = []
    with _no_collection():
        for folder in folders or (Path(),):
            built = build_project(folder, out, javac=compiler, classes=classes, kit=kit, compare=compare)
            results.append(_result(built))
            if not as_json:
                _show(built)
    if as_json:
        click.echo(json.dumps({"packages": results}))


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Don't look through for garbage what lives as long as the command."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _find_kit(sdk: Path | None) -> Kit | None:
    if sdk is None and "JC_HOME" not in os.environ:
        return None
    from opentsm_build.kit import Kit  # noqa: PLC0415 - for those who have one

    return Kit.find(sdk)


def _find_javac() -> Path:
    home = os.environ.get("JAVA_HOME")
    found = Path(home) / "bin" / "javac" if home else None
    path = str(found) if found is not None and found.is_file() else shutil.which("javac")
    if path is None:
        raise ProtocolError("there is no javac: set JAVA_HOME to a JDK, or leave --javac out")
    return Path(path)


def _result(built: Built) -> dict[str, Any]:
    cap = built.cap
    result = {
        "package": built.project.package,
        "aid": str(cap.package_aid),
        "version": ".".join(map(str, cap.package_version)),
        "format": ".".join(map(str, cap.format_version)),
        "applets": [str(applet.aid) for applet in cap.applets],
        "imports": [{"aid": str(each.aid), "version": ".".join(map(str, each.version))} for each in cap.imports],
        "load_bytes": len(cap.load_file_data_block()),
        "cap": str(built.cap_path),
        "exp": None if built.exp_path is None else str(built.exp_path),
        "listing": str(built.listing_path),
    }
    if (comparison := built.comparison) is not None:
        result["comparison"] = {
            "kit": str(comparison.kit),
            "ours": {"load_bytes": comparison.ours_bytes, "components": dict(comparison.ours)},
            "theirs": {"load_bytes": comparison.theirs_bytes, "components": dict(comparison.theirs)},
            "verified": not comparison.complaint,
            "complaint": comparison.complaint,
        }
    return result


def _show(built: Built) -> None:
    cap = built.cap
    version = ".".join(map(str, cap.package_version))
    size = len(cap.load_file_data_block())
    kind = f"{len(cap.applets)} applet{'s'[: len(cap.applets) != 1]}" if cap.applets else "library"
    click.echo(f"{built.project.package} {version}: {kind}, {size} bytes to load")
    for path in (built.cap_path, built.exp_path, built.listing_path):
        if path is not None:
            click.echo(f"  {path}")
    if (comparison := built.comparison) is not None:
        click.echo(f"  {'component':20}{'ours':>8}{'the kit':>10}")
        for name in {**comparison.theirs, **comparison.ours}:
            click.echo(f"  {name:20}{comparison.ours.get(name, 0):8}{comparison.theirs.get(name, 0):10}")
        click.echo(f"  {'to load':20}{comparison.ours_bytes:8}{comparison.theirs_bytes:10}")
        click.echo(f"  the kit's verifier: {comparison.complaint or 'no error in ours'}")


@click.group(context_settings=_HELP)
def new() -> None:
    """Begin a project."""


@new.command()
@click.argument("name")
@click.option("--package", help="Java package.  [default: com.example.NAME]")
@click.option("--aid", help="The package's AID in hex; the applet's is this and 01.  [default: one of no one's, F0…]")
@click.option("--target", help="Java Card release.  [default: 3.0.4]")
def applet(name: str, *, package: str | None, aid: str | None, target: str | None) -> None:
    """Make a folder NAME with a small applet and its test; `opentsm build NAME` builds it."""
    from opentsm_build.new import new_applet  # noqa: PLC0415 - not needed to build

    folder = new_applet(Path(name), package=package, aid=aid, target=target)
    click.echo(f"{folder}: build it with `opentsm build {folder}`")
