"""The Java side of virtual SEs: compiles the card runtime and the built-in applets once, and makes cards of them.

The runtime's classes are one class loader's for the whole process; the applets' classes are defined anew for each card,
so that statics are per card.
"""

from __future__ import annotations

import functools
import threading
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jpype
import msgspec

from opentsm_build import artifacts, compiler, java
from opentsm_build.cap import CapFile
from opentsm_card.aid import Aid
from opentsm_card.errors import OpenTsmError, ProtocolError
from opentsm_simulator.load_files import package_reader

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AppletPackage", "CardMaker", "built_in_packages", "card_maker", "runtime_classes"]

_HERE: Final = Path(__file__).resolve().parent
_JAVA: Final = _HERE / "java"
_CAPS: Final = _HERE / "caps"
_FROM_SOURCES: Final = ("security-domain",)
# Rules, and that there are any, are the issuer's to bring: cards are made without it.
_NOT_ON_CARDS: Final = ("access-rules",)


class _AppletTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    aid: str
    class_: str = msgspec.field(name="class")


class _PackageTable(msgspec.Struct, frozen=True):
    package: str
    aid: str
    version: str
    applets: tuple[_AppletTable, ...]


@dataclass(frozen=True, slots=True)
class AppletPackage:
    """A package of Java Card sources: an executable load file with its modules.

    Args:
        folder: where its `applet.toml` and `src` are.
        aid: the load file's AID.
        version: major and minor version, 2 bytes.
        modules: module AID and applet class (full name), in order.
        block: its load file data block, where cards get it as a CAP file and not from its sources.
    """

    folder: Path
    aid: Aid
    version: bytes
    modules: tuple[tuple[Aid, str], ...]
    block: bytes | None = field(default=None, repr=False)

    @classmethod
    def load(cls, folder: Path) -> AppletPackage:
        """Read a folder's `applet.toml`.

        Raises:
            ProtocolError: it is not valid; the message names the place.
        """
        path = folder / "applet.toml"
        try:
            table = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _PackageTable)
            major, minor = (int(part) for part in table.version.split("."))
            return cls(
                folder,
                Aid.from_text(table.aid),
                bytes((major, minor)),
                tuple((Aid.from_text(applet.aid), f"{table.package}.{applet.class_}") for applet in table.applets),
            )
        except (OSError, ValueError, msgspec.ValidationError, ProtocolError) as error:
            raise ProtocolError(f"{path}: {error}") from error


def built_in_packages() -> tuple[AppletPackage, ...]:
    """Return the packages of `applets/`: inside the installed package, or beside it in a checkout."""
    for folder in (_HERE / "applets", _HERE.parent.parent / "applets"):
        if folder.is_dir():
            found = (entry.parent for entry in sorted(folder.glob("*/applet.toml")))
            return tuple(_built_in(each) for each in found if each.name not in _NOT_ON_CARDS)
    raise OpenTsmError("this installation holds no applets")


def _built_in(folder: Path) -> AppletPackage:
    """Return a package of ours: as the CAP file that our toolchain makes of it, but for security domains.

    Every command of a card goes through a security domain: from its sources it has the types that the JVM likes best.
    """
    package = AppletPackage.load(folder)
    cap = _CAPS / f"{folder.name}.cap"
    if folder.name in _FROM_SOURCES or not cap.exists():
        return package
    return replace(package, block=CapFile.read(cap).load_file_data_block())


@functools.cache
def _card_runtime() -> tuple[Path, Path, Any]:
    """Return jCardSim's archive, the card runtime's classes, and the class loader over both that all cards share."""
    jar = artifacts.resolve(artifacts.JCARDSIM)
    runtime = compiler.compile_sources([_JAVA], [jar])
    return jar, runtime, java.class_loader([runtime, jar])


def runtime_classes() -> Path:
    """Return the folder of the card runtime's classes, with the GlobalPlatform API that applets see.

    Raises:
        TransportError: an archive is not in the cache and can't be fetched.
        CompileError: the runtime's sources do not compile.
    """
    return _card_runtime()[1]


class CardMaker:
    """Makes cards in this process's JVM.

    Args:
        packages: the packages that are on every card it makes.
    """

    def __init__(self, packages: tuple[AppletPackage, ...]) -> None:
        self.packages = packages
        jar, runtime, loader = _card_runtime()
        sources = [package.folder / "src" for package in packages if package.block is None]
        applets = compiler.compile_sources(sources, [runtime, jar])
        self._provisioner: Callable[..., Any] = jpype.JClass("opentsm.runtime.Provisioner", loader=loader)
        self.keeper: Any = jpype.JClass("opentsm.runtime.CardImage$Keeper", loader=loader)
        """The card runtime's interface of who keeps a card's state."""
        self.error: Any = jpype.JClass("opentsm.runtime.ImageError", loader=loader)
        """What a state is refused with."""
        self._reader = package_reader(jpype.JClass("opentsm.runtime.PackageReader", loader=loader), runtime)
        self._class_files = jpype.JClass("java.util.HashMap")()
        for path in applets.rglob("*.class"):
            name = ".".join(path.relative_to(applets).with_suffix("").parts)
            self._class_files.put(jpype.JString(name), jpype.JArray(jpype.JByte)(path.read_bytes()))

    def empty(self, *, firewall: bool = True, transactions: bool = True) -> Any:  # noqa: ANN401 - Java objects have no Python types
        """Return a Provisioner for a new card with nothing on it, such as one that an image says.

        Args:
            firewall: whether the card has an applet firewall.
            transactions: whether loaded code tells the card's memory of its writes.
        """
        provisioner = self._provisioner(self._class_files)
        provisioner.setChecks(firewall, transactions)
        provisioner.setPackageReader(self._reader)
        return provisioner

    def begin(self, *, firewall: bool = True, transactions: bool = True) -> Any:  # noqa: ANN401 - Java objects have no Python types
        """Return a Provisioner for a new card, with the packages on it; the arguments are as for `empty`."""
        provisioner = self.empty(firewall=firewall, transactions=transactions)
        for package in self.packages:
            if package.block is not None:
                if not provisioner.addCapFile(package.block):
                    raise OpenTsmError(f"the card could not be made: {package.folder.name}.cap is refused; see the log")
                continue
            provisioner.addLoadFile(bytes(package.aid), package.version)
            for aid, class_name in package.modules:
                provisioner.addModule(bytes(package.aid), bytes(aid), class_name)
        return provisioner


_making = threading.Lock()
_makers: dict[tuple[AppletPackage, ...], CardMaker] = {}


def card_maker(packages: tuple[AppletPackage, ...]) -> CardMaker:
    """Return this process's maker of cards with some packages.

    Raises:
        TransportError: an archive is not in the cache and can't be fetched.
        CompileError: Java sources do not compile.
    """
    with _making:
        if packages not in _makers:
            _makers[packages] = CardMaker(packages)
        return _makers[packages]
