"""The Java side of virtual SEs: compiles the card runtime once, and makes cards with it and with CAP files.

The runtime's classes are one class loader's for the whole process; what the packages of a card are translated to is
defined anew for each card, so that statics are per card.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jpype

from opentsm_build import artifacts, compiler, java
from opentsm_build.build import convert_project
from opentsm_build.cap import CapFile
from opentsm_build.project import Project
from opentsm_card.errors import OpenTsmError, ProtocolError
from opentsm_simulator.load_files import PackageReader, package_reader

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BUILT_IN", "CardMaker", "CardPackage", "built_in_packages", "card_maker", "package", "runtime_classes"]

_HERE: Final = Path(__file__).resolve().parent
_JAVA: Final = _HERE / "java"
_CAPS: Final = _HERE / "caps"
# How a profile names a package that comes with the simulator.
BUILT_IN: Final = "built-in:"
# The issuer's to bring: rules, and that there are any; a person's card. Cards are made without them.
_NOT_ON_CARDS: Final = ("access-rules", "openpgp", "piv")


@dataclass(frozen=True, slots=True)
class CardPackage:
    """A package that a card is made with.

    Args:
        name: what it is called in messages.
        block: its load file data block, as LOAD would bring it.
    """

    name: str
    block: bytes = field(repr=False)


@functools.cache
def _built_in(name: str) -> CardPackage:
    return CardPackage(name, CapFile.read(_CAPS / f"{name}.cap").load_file_data_block())


def built_in_packages() -> tuple[CardPackage, ...]:
    """Return the packages of `applets/` that cards are made with: as the CAP files that our toolchain made of them."""
    names = sorted(path.stem for path in _CAPS.glob("*.cap"))
    return tuple(_built_in(name) for name in names if name not in _NOT_ON_CARDS)


def package(entry: str) -> CardPackage:
    """Return a package that a profile names.

    Args:
        entry: `built-in:` and the name of one of ours, the path of a CAP file, or the folder of a project, which is
            built first.

    Raises:
        ProtocolError: there is no such package, or its project file is wrong.
        StorageError: the file can't be read.
        CapError: it is no CAP file, or the project can't be made one.
    """
    if entry.startswith(BUILT_IN):
        name = entry.removeprefix(BUILT_IN)
        known = sorted(path.stem for path in _CAPS.glob("*.cap"))
        if name not in known:
            raise ProtocolError(f"there is no built-in package {name!r}; there are {', '.join(known)}")
        return _built_in(name)
    path = Path(entry)
    cap = convert_project(Project.load(path))[0].cap if path.is_dir() else CapFile.read(path)
    return CardPackage(path.name, cap.load_file_data_block())


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
        counted: have executed instructions counted.
    """

    def __init__(self, packages: tuple[CardPackage, ...], *, counted: bool = False) -> None:
        self.packages = packages
        _, runtime, loader = _card_runtime()
        self._provisioner: Callable[..., Any] = jpype.JClass("opentsm.runtime.Provisioner", loader=loader)
        self.keeper: Any = jpype.JClass("opentsm.runtime.CardImage$Keeper", loader=loader)
        """The card runtime's interface of who keeps a card's state."""
        self.error: Any = jpype.JClass("opentsm.runtime.ImageError", loader=loader)
        """What a state is refused with."""
        self.reader = PackageReader(runtime, counted=counted)
        self._reader = package_reader(jpype.JClass("opentsm.runtime.PackageReader", loader=loader), self.reader)
        self.new_trace: Callable[[], Any] = jpype.JClass("opentsm.runtime.Trace", loader=loader)

    def empty(self, *, firewall: bool = True, transactions: bool = True, trace: Any = None) -> Any:  # noqa: ANN401 - Java
        """Return a Provisioner for a new card with nothing on it, such as one that an image says.

        Args:
            firewall: whether the card has an applet firewall.
            transactions: whether loaded code tells the card's memory of its writes.
            trace: a `Trace` of the card runtime that is told what the card does; None for none.
        """
        provisioner = self._provisioner()
        provisioner.setChecks(firewall, transactions)
        provisioner.setPackageReader(self._reader)
        if trace is not None:
            provisioner.setTrace(trace)
        return provisioner

    def begin(self, *, firewall: bool = True, transactions: bool = True, trace: Any = None) -> Any:  # noqa: ANN401 - Java
        """Return a Provisioner for a new card, with the packages on it; the arguments are as for `empty`.

        Raises:
            OpenTsmError: one of them is none that the card can take.
        """
        provisioner = self.empty(firewall=firewall, transactions=transactions, trace=trace)
        for each in self.packages:
            if not provisioner.addCapFile(each.block):
                raise OpenTsmError(f"the card could not be made: package {each.name} is refused; see the log")
        return provisioner


_making = threading.Lock()
_makers: dict[tuple[tuple[CardPackage, ...], bool], CardMaker] = {}


def card_maker(packages: tuple[CardPackage, ...], *, counted: bool = False) -> CardMaker:
    """Return this process's maker of cards with some packages.

    Args:
        packages: the packages.
        counted: have executed instructions counted.

    Raises:
        TransportError: an archive is not in the cache and can't be fetched.
        CompileError: the runtime's sources do not compile.
    """
    with _making:
        key = packages, counted
        if key not in _makers:
            _makers[key] = CardMaker(packages, counted=counted)
        return _makers[key]
