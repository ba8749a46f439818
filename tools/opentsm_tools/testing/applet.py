"""The applet under test: its project built, loaded through LOAD, installed and selected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from opentsm_build.project import PROJECT_FILE
from opentsm_card.aid import Aid
from opentsm_card.errors import ProtocolError
from opentsm_card.install import InstallForInstall
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.privileges import Privilege
from opentsm_card.select import Select
from opentsm_tools.card.content import parse_privileges
from opentsm_tools.card.delegation import Authority
from opentsm_tools.card.installing import choose_applet
from opentsm_tools.card.loading import Loading, read_cap
from opentsm_tools.card.manager import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentsm_build.cap import CapFile
    from opentsm_card.apdu import Command, CommandApdu, ResponseApdu
    from opentsm_tools.card.manager import CardManager
    from opentsm_tools.testing.secure_element import SecureElement

__all__ = ["Applet", "AppletOptions", "Package", "find_project", "read_package"]

_DONE: Final = 0x9000


@dataclass(frozen=True, slots=True)
class AppletOptions:
    """What a test says of the applet it wants (`@pytest.mark.applet`).

    Args:
        params: the applet's install parameters, the value of C9.
        install_params: the whole parameters field instead.
        aid: of the instance; None for the module's.
        module: which applet of the package; None for the only one.
        privileges: of the instance.
        project: folder of its project; None for the one that the test is in.
        cap: a CAP file instead of a project.
    """

    params: bytes = b""
    install_params: bytes | None = None
    aid: Aid | None = None
    module: Aid | None = None
    privileges: Privilege = Privilege.NONE
    project: Path | None = None
    cap: Path | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Self:
        """Take a mark's arguments: bytes, or hex; names of privileges, with commas.

        Raises:
            ProtocolError: an argument is unknown or malformed.
        """
        readers: dict[str, Callable[[Any], Any]] = {
            "params": _bytes, "install_params": _bytes, "aid": _aid, "module": _aid, "privileges": parse_privileges,
            "project": Path, "cap": Path,
        }  # fmt: skip
        if unknown := sorted(set(given) - set(readers)):
            raise ProtocolError(f"mark applet: unknown argument {unknown[0]}; known: {', '.join(readers)}")
        return cls(**{name: readers[name](value) for name, value in given.items() if value is not None})

    @property
    def field(self) -> bytes:
        """The parameters field of INSTALL."""
        if self.install_params is not None:
            return self.install_params
        return InstallParameters(application=self.params).encode()


def _bytes(value: bytes | str) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise ProtocolError(f"mark applet: {value!r}: want bytes, or hexadecimal") from None


def _aid(value: bytes | str) -> Aid:
    return Aid(_bytes(value))


def find_project(start: Path) -> Path:
    """Return the folder of the project that a file is in: the next one above it.

    Raises:
        ProtocolError: there is none.
    """
    for folder in start.parents:
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise ProtocolError(
        f"{start}: no {PROJECT_FILE} in its folder or any above: name the applet with "
        '@pytest.mark.applet(project="…") or (cap="…")'
    )


@dataclass(frozen=True, slots=True)
class Package:
    """The package under test.

    Args:
        cap: what is loaded.
        told: the same with names and lines of the sources, where they are known.
        sources: folders of its Java sources.
    """

    cap: CapFile
    told: CapFile
    sources: tuple[Path, ...] = ()


def read_package(options: AppletOptions, test: Path) -> Package:
    """Return the package of the applet: built from its project, or read from a file.

    Args:
        options: what the test says.
        test: the test's file.

    Raises:
        ProtocolError, CapError, StorageError: it can't be had.
    """
    if options.cap is not None:
        cap = read_cap(test.parent / options.cap)
        return Package(cap, cap)
    from opentsm_build.build import build_project, convert_project  # noqa: PLC0415 - a CAP file needs no toolchain

    folder = find_project(test) if options.project is None else test.parent / options.project
    built = build_project(folder)
    told = built.cap
    if told.debug is None:
        told = convert_project(replace(built.project, debug=True), classes=built.classes)[0].cap
    return Package(built.cap, told, built.project.sources)


class Applet:
    """An instance of the applet under test.

    Args:
        se: the secure element it is on.
        package: its package.
        options: what the test says of it.

    Raises:
        ProtocolError: the package has no such applet, or several to choose from.
    """

    def __init__(self, se: SecureElement, package: Package, options: AppletOptions) -> None:
        self.se = se
        self.cap = package.cap
        self.options = options
        self.package, self.module = choose_applet(package.cap, None, options.module)
        se.make_known(package.told)
        se.sources.update(package.sources)
        self.aid = options.aid or self.module

    def __repr__(self) -> str:
        """Show which it is and where."""
        return f"Applet({self.aid}, {self.se!r})"

    # What tests send.

    def transmit(self, command: bytes) -> bytes:
        """Exchange one C-APDU as it is; return the R-APDU.

        Raises:
            TransportError: no answer came: the power was cut, or the card is mute.
        """
        return self.se.transmit(command)

    def send(self, command: bytes | Command | CommandApdu) -> ResponseApdu:
        """Send a command, and collect its whole answer (61xx, 6Cxx): `data` and `sw`.

        Raises:
            TransportError: no answer came.
        """
        return self.se.send(command)

    def select(self) -> ResponseApdu:
        """SELECT it.

        Raises:
            RefusedError: the card refused.
        """
        response = self.se.send(Select(self.aid))
        if response.sw != _DONE:
            raise RefusedError(response.sw, f"SELECT {self.aid}")
        return response

    # Its life.

    def install(self, params: bytes | None = None) -> None:
        """Load the package unless it is there, install the instance and select it.

        Args:
            params: the applet's install parameters in place of the mark's.

        Raises:
            RefusedError: the card refused.
        """
        if params is not None:
            self.options = replace(self.options, params=params, install_params=None)
        self.se.load(self.package, self._load)
        command = InstallForInstall(self.package, self.module, self.aid, self.options.privileges, self.options.field)
        card = self.se.manager()
        with self.se.link.aside():
            card.require(command, f"INSTALL {self.aid}")
            self.select()

    def _load(self, card: CardManager) -> None:
        how: dict[str, Any] = {"with_descriptor": False, "daps": (), "digest": None, "owner": None, "block_size": None}
        Loading.of(self.cap, Authority(), how).run(card, Authority())

    def delete(self) -> None:
        """Delete the instance; the package stays for the next test.

        Raises:
            RefusedError: the card refused.
        """
        self.se.delete(self.aid)

    def install_again(self, params: bytes | None = None) -> None:
        """Delete the instance, install it anew and select it.

        Raises:
            RefusedError: the card refused.
        """
        self.delete()
        self.install(params)
