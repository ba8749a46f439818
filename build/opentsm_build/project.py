"""Project files: `applet.toml`, what a Java Card package is made of and for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Self

import msgspec

from opentsm_build.api import DEFAULT_RELEASE, RELEASES
from opentsm_card.aid import Aid
from opentsm_card.documents import parse_toml
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PROJECT_FILE", "Applet", "Project"]

PROJECT_FILE: Final = "applet.toml"

_HexAid = Annotated[str, msgspec.Meta(pattern="^([0-9A-Fa-f]{2}){5,16}$")]
_NAME: Final = r"[A-Za-z_$][\w$]*"
_PACKAGE: Final = re.compile(rf"{_NAME}(\.{_NAME})*")
_VERSION: Final = re.compile(r"(\d{1,3})\.(\d{1,3})")
_FILE_NAME: Final = re.compile(r"[\w][\w.-]*")


class _AppletTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    aid: _HexAid
    class_: str = msgspec.field(name="class")


class _ProjectTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    package: str
    aid: _HexAid
    version: str = "1.0"
    target: str = DEFAULT_RELEASE
    name: str = ""
    sources: tuple[str, ...] = ("src",)
    imports: tuple[str, ...] = ()
    int: bool = False
    debug: bool = False
    prune: bool = True
    applets: tuple[_AppletTable, ...] = ()


@dataclass(frozen=True, slots=True)
class Applet:
    """An applet of the package: its AID, and its class's full name in internal form."""

    aid: Aid
    class_name: str


@dataclass(frozen=True, slots=True)
class Project:
    """A package's project.

    Args:
        folder: where its `applet.toml` is.
        package: the Java package, dotted.
        aid: the package's AID.
        version: (major, minor).
        target: Java Card release whose API it may use.
        name: stem of the files that are built.
        sources: folders of sources.
        imports: packages it uses besides the target's: `package`, `package@version`, or a path of another project, a
            CAP file or an export file.
        allow_int: it may use int.
        debug: the CAP file is to hold a Debug component.
        prune: leave out methods and classes that can never be reached.
        applets: its applets; none for a library.
    """

    folder: Path
    package: str
    aid: Aid
    version: tuple[int, int]
    target: str
    name: str
    sources: tuple[Path, ...]
    imports: tuple[str, ...] = ()
    allow_int: bool = False
    debug: bool = False
    applets: tuple[Applet, ...] = ()
    prune: bool = True

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder's `applet.toml`.

        Raises:
            ProtocolError: it is not there or not valid; the message names file and entry.
        """
        path = folder / PROJECT_FILE
        try:
            document = path.read_bytes()
        except OSError as error:
            raise ProtocolError(f"{path}: {error.strerror}: `opentsm new applet NAME` makes a project") from error
        table = parse_toml(document, _ProjectTable, str(path))
        version = _VERSION.fullmatch(table.version)
        if version is None or max(map(int, version.groups())) > 0xFF:
            raise ProtocolError(f'{path}: version {table.version!r}: two numbers up to 255 such as "1.0"')
        if not _PACKAGE.fullmatch(table.package):
            raise ProtocolError(f"{path}: package {table.package!r} is no name of a Java package")
        if table.target not in RELEASES:
            raise ProtocolError(f"{path}: target {table.target!r}; there are {', '.join(RELEASES)}")
        name = table.name or table.package.rpartition(".")[2]
        if not _FILE_NAME.fullmatch(name):
            raise ProtocolError(f"{path}: name {name!r} is no name for files")
        return cls(
            folder, table.package, Aid.from_text(table.aid), (int(version[1]), int(version[2])), table.target, name,
            tuple(folder / source for source in table.sources), table.imports, table.int, table.debug,
            _applets(table, path), table.prune,
        )  # fmt: skip


def _applets(table: _ProjectTable, path: Path) -> tuple[Applet, ...]:
    applets: dict[Aid, Applet] = {}
    for index, row in enumerate(table.applets):
        aid = Aid.from_text(row.aid)
        if aid in applets:
            raise ProtocolError(f"{path}: applets[{index}]: AID {aid} is another applet's already")
        if aid.rid != bytes.fromhex(table.aid)[:5]:
            raise ProtocolError(
                f"{path}: applets[{index}]: AID {aid} has another RID (first 5 bytes) than the package's {table.aid}"
            )
        full = row.class_ if row.class_.startswith(f"{table.package}.") else f"{table.package}.{row.class_}"
        applets[aid] = Applet(aid, full.replace(".", "/"))
    return tuple(applets.values())
