"""Find the packages that a project imports, each in the oldest version that has what is used.

A card refuses a package that wants a newer version than it has, so the oldest that will do is the best. A version
that the project names is taken as it is; what comes from a CAP or export file has one version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_build import api
from opentsm_build.cap import CapFile
from opentsm_build.convert.universe import Universe
from opentsm_card.errors import CapError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from opentsm_build.api import ApiPackage
    from opentsm_build.classfile import ClassFile
    from opentsm_build.project import Project

__all__ = ["Imports", "find_imports"]

_NAMED: Final = re.compile(r"([a-z]\w*(?:\.\w+)+)(?:@(\d+\.\d+))?")
_CLASS_NAME: Final = re.compile(r"L([^;]+);")


@dataclass(frozen=True, slots=True)
class Imports:
    """What a project may use.

    Args:
        target: packages of the Java Card release, by name in internal form.
        fixed: packages in one version.
        open: names of packages whose version is still to be chosen.
    """

    target: dict[str, ApiPackage]
    fixed: dict[str, ApiPackage]
    open: tuple[str, ...]

    def newest(self) -> list[ApiPackage]:
        """Return all but the target's packages, in the newest version: what to compile against."""
        return [*self.fixed.values(), *(api.package(name, api.versions(name)[-1]) for name in self.open)]

    def for_classes(self, classes: Sequence[ClassFile]) -> dict[str, ApiPackage]:
        """Return all packages, the open ones in the oldest version that has what the classes use."""
        chosen = self.target | self.fixed
        uses = self._with_ancestors(_uses(classes))
        for name in self.open:
            wanted = [use for use in uses if use[0].rpartition("/")[0] == name]
            for version in api.versions(name):
                candidate = api.package(name, version)
                universe = Universe({}, chosen | {name: candidate})
                if all(_has(universe, *use) for use in wanted):
                    break
            chosen[name] = candidate
        return chosen

    def _with_ancestors(self, uses: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
        """Add what the used classes of packages extend or implement: another package's, it may be."""
        known = {cls.name: cls for package in self.newest() for cls in package.classes.values()}
        used = [known[owner] for owner, _, _ in uses if owner in known]
        return uses | {(name, "", "class") for cls in used for name in (*cls.supers, *cls.interfaces)}


def _has(universe: Universe, owner: str, key: str, kind: str) -> bool:
    if not universe.known(owner):
        return False
    if kind == "class":
        return True
    return (universe.find_field if kind == "field" else universe.find_method)(owner, key) is not None


def _uses(classes: Iterable[ClassFile]) -> set[tuple[str, str, str]]:
    """Return what classes refer to: class, member's name and descriptor, kind."""
    uses: set[tuple[str, str, str]] = set()
    for cls in classes:
        uses |= cls.pool.references()
        descriptors = [field.descriptor for field in cls.fields] + [method.descriptor for method in cls.methods]
        uses |= {(name, "", "class") for descriptor in descriptors for name in _CLASS_NAME.findall(descriptor)}
    return uses


def find_imports(project: Project, build: Callable[[Path], ApiPackage]) -> Imports:
    """Find a project's imports.

    Args:
        project: whose.
        build: builds the project in a folder and returns what it exports.

    Raises:
        ProtocolError: an import names nothing that is there; the message says which.
        CapError: a CAP or export file is malformed.
    """
    fixed: dict[str, ApiPackage] = {}
    open_names = []
    for entry in project.imports:
        named = _NAMED.fullmatch(entry)
        if named is None or not api.versions(named[1].replace(".", "/")):
            package = _from_path(project, entry, build)
            fixed[package.name] = package
            continue
        name = named[1].replace(".", "/")
        if named[2] is None:
            open_names.append(name)
        else:
            fixed[name] = api.package(name, named[2])
    return Imports(dict(api.java_card(project.target)), fixed, tuple(open_names))


def _from_path(project: Project, entry: str, build: Callable[[Path], ApiPackage]) -> ApiPackage:
    path = project.folder / entry
    if path.is_dir():
        return build(path)
    if not path.is_file():
        raise ProtocolError(
            f"{project.folder / 'applet.toml'}: import {entry!r} is neither a known package nor a file or project: "
            "write `package`, `package@version`, or the path of a .cap, a .exp or another project"
        )
    from opentsm_build.api.export_file import ExportFile, read_export_file  # noqa: PLC0415 - most import no files

    if path.suffix != ".cap":
        return read_export_file(path)
    for name, content in CapFile.read(path).others.items():
        if name.endswith(".exp"):
            return ExportFile.parse(content).package
    raise CapError(
        "holds no export file, so the names of what it offers are not known: import its .exp", where=str(path)
    )
