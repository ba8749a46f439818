"""What becomes of load files that LOAD brings to a virtual SE: each is read as a CAP file, checked, and translated.

The card runtime (Java) asks, through a `PackageReader`, for what a load file data block holds; it checks hash, DAPs and
token itself. Imports of the platform are checked here; others are left to the card, which knows what it has.

Spec: GP Card Specification 2.3.1, 9.3.5; Java Card VM Specification 3.0.5, 4.5.2 (which versions go together), 6.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import jpype

from opentsm_build import api
from opentsm_build.cap import CapFile, ComponentTag
from opentsm_build.verify import verify
from opentsm_card.aid import Aid
from opentsm_card.errors import CapError
from opentsm_simulator import offered, translation_cache
from opentsm_simulator.symbols import Symbols, fullest
from opentsm_simulator.translate import translate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from opentsm_simulator.translate import KnownPackage, TranslatedPackage

__all__ = ["LoadedCode", "PackageReader", "package_reader"]

_Key = TypeVar("_Key")
_Found = TypeVar("_Found")

_log: Final = logging.getLogger("opentsm.simulator")

# The APIs that the card runtime offers: Java Card's, and of these their last versions. The OPEN's own serves Security
# Domains only, whoever links to it: it looks at its caller's privileges in every call.
_OTHERS: Final = ("org/globalplatform", "org/globalplatform/contactless", "opentsm/open")

# Verified and translated packages that are kept: many cards load the same ones.
_KEPT: Final = 256


@functools.cache
def _whole() -> Mapping[Aid, tuple[int, int]]:
    """Return Java Card's packages, by AID, and up to which version they have all that belongs to it."""
    release = api.java_card(offered.WHOLE).values()
    whole = {package.aid: package.version for package in release if package.name not in offered.HOLLOW}
    return {package.aid: (0, 0) for package in api.java_card(offered.NEWEST).values()} | whole


@functools.cache
def _platform() -> Mapping[Aid, tuple[str, tuple[int, int]]]:
    """Return the packages of the platform: by AID their names, dotted, and versions."""
    packages = list(api.java_card(offered.NEWEST).values())
    packages += [api.package(name, api.versions(name)[-1]) for name in _OTHERS]
    return {package.aid: (package.name.replace("/", "."), package.version) for package in packages}


@dataclass(frozen=True, slots=True)
class LoadedCode:
    """A package that was translated.

    Args:
        cap: the CAP file, as it was made known (`symbols`), or else as it was loaded.
        package: its translation.
        symbols: names and lines of its methods; None where nothing tells them, and lines in the JVM's traces are pcs.
    """

    cap: CapFile
    package: TranslatedPackage
    symbols: Symbols | None


@dataclass(frozen=True, slots=True)
class _Described:
    """What the card is told of a package that was verified.

    Args:
        aid: the package's.
        version: (major, minor).
        modules: AIDs of its applets.
        imports: packages that the card must have besides its platform: AID and version.
    """

    aid: bytes
    version: tuple[int, int]
    modules: tuple[bytes, ...]
    imports: tuple[tuple[bytes, tuple[int, int]], ...]


class PackageReader:
    """The Python side of the card runtime's interface of this name; one serves all cards.

    Args:
        runtime: the folder of the card runtime's classes.
        counted: have executed instructions counted.
    """

    def __init__(self, runtime: Path, *, counted: bool = False) -> None:
        self._runtime = runtime
        self._counted = counted
        self._translated: OrderedDict[str, LoadedCode] = OrderedDict()
        # Verified load file data blocks, by their digests: one card after another gets the same.
        self._described: OrderedDict[bytes, _Described] = OrderedDict()

    def loaded(self, code: str) -> LoadedCode | None:
        """Return what was translated under a name (`LoadedPackage.setCode`); None when it was long ago."""
        return self._translated.get(code)

    def read(self, block: Any, into: Any) -> bool:  # noqa: ANN401 - Java objects have no Python types
        """Describe a package to the card.

        Args:
            block: the load file data block, a Java byte array.
            into: a `LoadedPackage` of the card runtime.

        Returns:
            Whether it is one that the card can take; why not is logged.
        """
        data = bytes(block)
        try:
            name = hashlib.sha256(data).digest()
            found = self._described.get(name)
            if found is None:
                found = self._describe(CapFile.parse_load_file(data))
            _keep(self._described, name, found)
        except CapError as error:
            _log.warning("load file refused: %s", error)
            return False
        except Exception:
            # A fault of ours, which the card can answer by 6F00 only: here is where it can be seen.
            _log.exception("load file refused for a fault in reading it")
            raise
        into.setPackage(found.aid, *found.version)
        for module in found.modules:
            into.addModule(module)
        for aid, version in found.imports:
            into.addImport(aid, *version)
        return True

    def _describe(self, cap: CapFile) -> _Described:
        # A Descriptor names types of other packages by their export files, which a card has of its platform only.
        linked = all(imported.aid in _platform() for imported in cap.imports)
        verify(cap if linked else replace(cap, components=_without_descriptor(cap)))
        imports = []
        for imported in cap.imports:
            known = _platform().get(imported.aid)
            if known is None:
                imports.append((bytes(imported.aid), imported.version))
            elif known[1][0] != imported.version[0] or known[1][1] < imported.version[1]:
                wanted = ".".join(map(str, imported.version))
                has = ".".join(map(str, known[1]))
                reason = f"package {cap.package_aid} needs {known[0]} {wanted}, this card has {has}"
                raise CapError(reason, component="Import")
        if any(_whole().get(each.aid, each.version) < each.version for each in cap.imports):
            missing = offered.missing_references(cap, self._runtime)
            if missing:
                raise CapError(f"package {cap.package_aid} needs {', '.join(missing)}: this card has no such thing")
        modules = tuple(bytes(applet.aid) for applet in cap.applets)
        return _Described(bytes(cap.package_aid), cap.package_version, modules, tuple(imports))

    def missing(self, package: Any, imported: Any, major: int, minor: int) -> None:  # noqa: ANN401 - Java arrays
        """Log that a package can't be linked."""
        _log.warning(
            "load file %s refused: it needs package %s %d.%d, which is not on the card; load that one first",
            Aid(bytes(package)),
            Aid(bytes(imported)),
            major,
            minor,
        )

    def translate(self, block: Any, imported: Any, into: Any) -> bool:  # noqa: ANN401 - Java objects
        """Translate a package to JVM classes, and link it to others that are on the card.

        Args:
            block: the load file data block, a Java byte array.
            imported: what `setCode` was told of the packages that it imports, a Java array of strings.
            into: a `LoadedPackage` of the card runtime.

        Returns:
            Whether it can be linked and translated; why not is logged.
        """
        data, names = bytes(block), [str(name) for name in imported]
        firewall, transactions = bool(into.isFirewalled()), bool(into.isTransactional())
        try:
            cap = CapFile.parse_load_file(data)
            known = fullest(cap)
            debug = known.components.get(ComponentTag.DEBUG, b"")
            mode = bytes((firewall, transactions, self._counted))
            code = hashlib.sha256(data + "".join(names).encode() + debug + mode).hexdigest()
            found = self._kept(code)
            if found is None:
                symbols = Symbols.of(known) if debug else None
                linked = [self._linked(name) for name in names]
                # What is counted is rarely wanted, and told of by more than its classes: it is not kept.
                package = None if self._counted else translation_cache.cached(code, cap)
                if package is None:
                    package = translate(
                        cap,
                        linked,
                        firewall=firewall,
                        transactions=transactions,
                        symbols=symbols,
                        counted=self._counted,
                    )
                    if not self._counted:
                        translation_cache.keep(code, cap, package)
                found = LoadedCode(known, package, symbols)
                _keep(self._translated, code, found)
            package = found.package
        except CapError as error:
            _log.warning("load file refused: %s", error)
            return False
        except Exception:
            _log.exception("load file refused for a fault in translating it")
            raise
        into.setCode(code)
        for name, class_file in package.classes.items():
            into.addClass(name.replace("/", "."), class_file)
        for _aid, name in package.applets:
            into.addAppletClass(name.replace("/", "."))
        if self._counted:
            into.setRuns(jpype.JArray(jpype.JInt)([len(run.pcs) for run in package.runs]))
        return True

    def _kept(self, code: str) -> LoadedCode | None:
        if code in self._translated:
            self._translated.move_to_end(code)
        return self._translated.get(code)

    def _linked(self, code: str) -> KnownPackage:
        found = self._kept(code)
        if found is None:
            raise CapError("it imports a package that can't be linked to here: delete that one and load it again")
        return found.package.exports


def _keep(kept: OrderedDict[_Key, _Found], key: _Key, found: _Found) -> None:
    """Keep the latest."""
    kept[key] = found
    kept.move_to_end(key)
    if len(kept) > _KEPT:
        kept.popitem(last=False)


def _without_descriptor(cap: CapFile) -> dict[ComponentTag, bytes]:
    return {tag: data for tag, data in cap.components.items() if tag is not ComponentTag.DESCRIPTOR}


def package_reader(interface: Any, reader: PackageReader) -> Any:  # noqa: ANN401 - Java objects have no Python types
    """Return a reader as a Java object of the card runtime's interface `PackageReader`.

    Args:
        interface: that interface, of the class loader of the card runtime.
        reader: the reader.
    """
    return jpype.JProxy(interface, inst=reader)
