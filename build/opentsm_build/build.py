"""Build a project: sources to classes to CAP file, with its export file and listing.

The files go to `build/` in the project's folder, or where the caller says. The same sources give the same bytes.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentsm_build import api
from opentsm_build.cap import CapFile
from opentsm_build.classfile import parse_class
from opentsm_build.convert.converter import convert
from opentsm_build.convert.package import Options, Package
from opentsm_build.imports import Imports, find_imports
from opentsm_build.places import with_line
from opentsm_build.project import PROJECT_FILE, Project
from opentsm_card.errors import CapError, ProtocolError, StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentsm_build.api import ApiPackage
    from opentsm_build.convert.package import Conversion
    from opentsm_build.kit import Kit

__all__ = ["Built", "Comparison", "build_project", "convert_project"]

_IMPORT: Final = re.compile(r"import\s+([\w.]+);")
_OUTPUT: Final = "build"
_MAX_DEPTH: Final = 8
# From this release on, cards know CAP format 2.3; older ones refuse it.
_FORMAT_2_3: Final = ("3.1.0", "3.2.0")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What our converter and a kit's make of one project.

    Args:
        kit: the kit's folder.
        ours: sizes of our components in bytes, by name.
        theirs: sizes of the kit's.
        ours_bytes: what a card loads of ours.
        theirs_bytes: what a card loads of the kit's.
        complaint: what the kit's verifier has against ours; empty for nothing.
    """

    kit: Path
    ours: Mapping[str, int]
    theirs: Mapping[str, int]
    ours_bytes: int
    theirs_bytes: int
    complaint: str


@dataclass(frozen=True, slots=True)
class Built:
    """A built project.

    Args:
        project: what was built.
        conversion: what came of it.
        cap_path: the CAP file.
        exp_path: the export file; None when nothing is exported.
        listing_path: the listing.
        classes: folder of the class files.
        cap: the CAP file's content: ours, or the kit's where one was asked for.
        comparison: with `compare`, what both converters made.
    """

    project: Project
    conversion: Conversion
    cap_path: Path
    exp_path: Path | None
    listing_path: Path
    classes: Path
    cap: CapFile
    comparison: Comparison | None = None


def convert_project(
    project: Project, *, javac: Path | None = None, classes: Path | None = None, depth: int = 0
) -> tuple[Conversion, Path]:
    """Compile and convert a project; return the result, and the folder of its classes.

    Args:
        project: what to convert.
        javac: a JDK's compiler to use instead of Eclipse's.
        classes: folder of class files that are compiled already, by whatever compiler.
        depth: how deep in imports of imports it is.

    Raises:
        ProtocolError: its project file or imports are wrong.
        CompileError: its sources do not compile.
        CapError: its classes break a rule of Java Card.
    """
    if depth > _MAX_DEPTH:
        raise ProtocolError(f"{project.folder}: projects import each other in a circle, or too deeply")

    def exports_of(folder: Path) -> ApiPackage:
        return convert_project(Project.load(folder), javac=javac, depth=depth + 1)[0].exports

    imports = find_imports(project, exports_of)
    folder = classes or _compile(project, imports, javac)
    paths = sorted(folder.rglob("*.class"))
    if not paths:
        raise CapError("there are no class files", where=str(folder))
    files = [parse_class(path.read_bytes(), path.name) for path in paths]
    package = Package(
        project.package.replace(".", "/"),
        project.aid,
        project.version,
        tuple((applet.aid, applet.class_name) for applet in project.applets),
    )
    format_version = (2, 3) if project.target in _FORMAT_2_3 else None
    options = Options(project.allow_int, project.debug, format_version, project.prune)
    try:
        return convert(package, files, imports.for_classes(files), options), folder
    except CapError as error:
        if error.where is None:
            raise CapError(error.reason, where=str(project.folder / PROJECT_FILE)) from None
        raise with_line(error, project) from None


def _compile(project: Project, imports: Imports, javac: Path | None) -> Path:
    # Imported where they are needed: converting alone is to start at once.
    from opentsm_build import stubs  # noqa: PLC0415 - see above
    from opentsm_build.compiler import CompileError, compile_sources  # noqa: PLC0415 - see above

    boot = stubs.archive([*imports.target.values(), *imports.newest()])
    try:
        return compile_sources(project.sources, boot=boot, javac=javac)
    except CompileError as error:
        missing = _missing_imports(error.reason, project)
        if not missing:
            raise
        hint = f"{project.folder / PROJECT_FILE}: imports = {json.dumps(missing)} is missing"
        raise CompileError(f"{error.reason}\n{hint}") from None


def _missing_imports(message: str, project: Project) -> list[str]:
    """Return the known packages that the lines which do not compile import, and the project does not."""
    found = {name.rpartition(".")[0] for name in _IMPORT.findall(message)}
    known = {name.replace("/", ".") for name in api.names()}
    present = {entry.partition("@")[0] for entry in project.imports}
    return sorted(found & known - present)


def build_project(
    folder: Path,
    out: Path | None = None,
    *,
    javac: Path | None = None,
    classes: Path | None = None,
    kit: Kit | None = None,
    compare: bool = False,
) -> Built:
    """Build the project in a folder.

    Args:
        folder: where its `applet.toml` is.
        out: where the files go; `build` in the folder when None.
        javac: a JDK's compiler to use instead of Eclipse's.
        classes: folder of class files that are compiled already.
        kit: a kit whose converter makes the CAP file, and whose verifier has to agree.
        compare: with a kit: keep to our converter, and tell what both make.

    Raises:
        ProtocolError: its project file or imports are wrong.
        CompileError: its sources do not compile.
        CapError: its classes break a rule of Java Card, or the kit says so.
        StorageError: the files can't be written.
    """
    project = Project.load(folder)
    conversion, classes = convert_project(project, javac=javac, classes=classes)
    cap, comparison = conversion.cap, None
    if kit is not None:
        cap, comparison = _with_kit(kit, project, conversion, classes, compare=compare)
    target = out or folder / _OUTPUT
    cap_path, listing_path = target / f"{project.name}.cap", target / f"{project.name}.lst"
    exp_path = target / f"{project.name}.exp" if conversion.exports.classes else None
    try:
        target.mkdir(parents=True, exist_ok=True)
        _write(cap_path, cap.encode())
        _write(listing_path, conversion.write_listing().encode())
        if exp_path is not None:
            from opentsm_build.api.export_file import ExportFile  # noqa: PLC0415 - as in _compile

            _write(exp_path, ExportFile.of(conversion.exports, library=conversion.is_library).encode())
    except OSError as error:
        raise StorageError(f"{error.filename}: {error.strerror or error}") from error
    return Built(project, conversion, cap_path, exp_path, listing_path, classes, cap, comparison)


def _with_kit(
    kit: Kit, project: Project, conversion: Conversion, classes: Path, *, compare: bool
) -> tuple[CapFile, Comparison | None]:
    """Return the CAP file that is to be written, and the comparison that was asked for."""
    from opentsm_build.kit import components  # noqa: PLC0415 - as in _compile

    others = [package for package in conversion.imports if package.name not in api.java_card(project.target)]
    theirs = kit.convert(project, classes, others)
    chosen = conversion.cap.encode() if compare else theirs
    complaint = kit.verify(project, chosen, others, conversion.exports, library=conversion.is_library)
    their_cap = CapFile.parse(theirs)
    if not compare:
        if complaint:
            raise CapError(f"the kit's verifier refuses it:\n{complaint}", where=project.package)
        return their_cap, None
    ours_bytes, theirs_bytes = (len(cap.load_file_data_block()) for cap in (conversion.cap, their_cap))
    return conversion.cap, Comparison(
        kit.home, components(chosen), components(theirs), ours_bytes, theirs_bytes, complaint
    )


def _write(path: Path, content: bytes) -> None:
    """Replace a file as a whole, or not at all."""
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(scratch).chmod(0o666 & ~_umask())
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
