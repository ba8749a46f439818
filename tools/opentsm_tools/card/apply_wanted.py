"""From a `card.toml` to what the planner wants: CAP files read, keys found, modules looked up."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentsm_build.cap import CapFile
from opentsm_card.errors import CapError, ProtocolError
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.lifecycle import CardState
from opentsm_card.plan import (
    Absent,
    ApplicationPresent,
    CardIn,
    KeySetsPresent,
    Locked,
    PackagePresent,
    SecurityDomainPresent,
    Unlocked,
    Wanted,
    WantedItem,
)
from opentsm_card.privileges import Privilege
from opentsm_tools.card.apply_document import privileges_of
from opentsm_tools.card.key_files import from_file, from_keystore
from opentsm_tools.card.key_sources import combine
from opentsm_tools.card.signing_keys import read_signing_key, read_verification_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from opentsm_card.aid import Aid
    from opentsm_card.registry import Registry
    from opentsm_card.signatures import SigningKey, VerificationKey
    from opentsm_tools.card.apply_document import ApplicationEntry, CardDocument, DomainEntry, KeyEntry, PackageEntry
    from opentsm_tools.card.key_sources import Material

__all__ = ["Content", "Package", "gather"]


@dataclass(frozen=True)
class Package:
    """A package to be there.

    Args:
        cap: the CAP file.
        path: of the file.
        block: the load file data block.
        entry: what the document says of it.
        algorithm: of the load file data block hash; `none` for none.
    """

    cap: CapFile
    path: Path
    block: bytes
    entry: PackageEntry
    algorithm: str

    @property
    def present(self) -> PackagePresent:
        """The same as the planner wants it."""
        return PackagePresent(
            self.cap.package_aid,
            bytes(self.cap.package_version),
            tuple(applet.aid for applet in self.cap.applets),
            len(self.block),
            b"" if self.algorithm == "none" else hashlib.new(self.algorithm, self.block).digest(),
            self.entry.security_domain,
            frozenset(imported.aid for imported in self.cap.imports),
            self.entry.replace,
        )


@dataclass(frozen=True)
class Content:
    """A document with everything that it names.

    Args:
        document: as read.
        path: of the document, for errors.
        packages: by AID.
        applications: as the planner wants them.
        keys: by security domain (None: the issuer's) and version.
        token_key: signs tokens; None when there is none.
        receipt_key: verifies receipts; None when there is none.
    """

    document: CardDocument
    path: Path
    packages: Mapping[Aid, Package]
    applications: tuple[ApplicationPresent, ...]
    keys: Mapping[tuple[Aid | None, int], Material]
    token_key: SigningKey | None = None
    receipt_key: VerificationKey | None = None

    def wanted(self, issuer: Aid, registry: Registry, key_versions: Mapping[Aid, AbstractSet[int]]) -> Wanted:
        """Return the wanted state.

        Args:
            issuer: AID of the issuer security domain.
            registry: as read: what is not there can't be unlocked.
            key_versions: of the security domains that told; key sets of one that is there and did not tell (it is
                locked) are left to the next plan.

        Raises:
            PlanError: entries contradict each other.
        """
        document = self.document
        items: list[WantedItem] = []
        if document.card.state is not None:
            items.append(CardIn(CardState[document.card.state]))
        if document.issuer is not None and issuer in key_versions:
            versions = tuple(keys.version for keys in document.issuer.keys)
            items.append(KeySetsPresent(issuer, versions, document.issuer.only))
        for domain in document.security_domain:
            items += self._domain(domain, told=domain.aid in key_versions or registry.find(domain.aid) is None)
        items += [package.present for package in self.packages.values()]
        items += self.applications
        items += [Absent(absent.aid, absent.related) for absent in document.absent]
        items += self._locks(registry)
        return Wanted(tuple(items))

    @staticmethod
    def _domain(entry: DomainEntry, *, told: bool) -> Iterator[WantedItem]:
        privileges = None
        if entry.privileges is not None:
            privileges = Privilege.SECURITY_DOMAIN | privileges_of(entry.privileges)
        versions = tuple(keys.version for keys in entry.keys)
        first = versions[0] if versions else None
        yield SecurityDomainPresent(entry.aid, privileges, _parameters(entry), entry.parent, first)
        if versions and told:
            yield KeySetsPresent(entry.aid, versions, entry.only)

    def _locks(self, registry: Registry) -> Iterator[WantedItem]:
        domains = [(entry.aid, entry.locked, True) for entry in self.document.security_domain]
        applications = [(entry.aid, entry.locked, False) for entry in self.document.application]
        for aid, locked, everything in (*domains, *applications):
            found = registry.find(aid)
            if locked:
                yield Locked(aid, everything)
            elif locked is False and found is not None and found.locked:
                yield Unlocked(aid, everything)


def gather(document: CardDocument, path: Path) -> Content:
    """Read all that a document names: CAP files and keys.

    Raises:
        ProtocolError: a file is not what it should be, or a module can't be told; the message names the entry.
        StorageError: a file can't be read.
    """
    packages: dict[Aid, Package] = {}
    by_path: dict[str, Package] = {}
    for number, entry in enumerate(document.package, 1):
        # A load token signs the hash.
        algorithm = entry.hash or ("none" if document.delegation is None else "sha256")
        package = _package(entry, algorithm, path, f"{path}: package number {number}")
        if packages.setdefault(package.cap.package_aid, package) is not package:
            raise ProtocolError(f"{path}: package number {number}: {package.cap.package_aid} is there already")
        by_path[entry.cap] = package
    applications = tuple(
        _application(entry, packages, by_path, f"{path}: application number {number}")
        for number, entry in enumerate(document.application, 1)
    )
    keys: dict[tuple[Aid | None, int], Material] = {}
    issuer = () if document.issuer is None else document.issuer.keys
    for owner, entries in ((None, issuer), *((domain.aid, domain.keys) for domain in document.security_domain)):
        for each in entries:
            if (owner, each.version) in keys:
                place = "issuer" if owner is None else f"security domain {owner}"
                raise ProtocolError(f"{path}: {place}: two key sets of version {each.version:#04x}")
            keys[owner, each.version] = _material(each, path)
    token_key = receipt_key = None
    if document.delegation is not None:
        token_key = read_signing_key(path.parent / document.delegation.token_key)
        if document.delegation.receipt_key is not None:
            receipt_key = read_verification_key(path.parent / document.delegation.receipt_key)
    return Content(document, path, packages, applications, keys, token_key, receipt_key)


def _package(entry: PackageEntry, algorithm: str, path: Path, place: str) -> Package:
    file = path.parent / entry.cap
    try:
        cap = CapFile.read(file)
    except CapError as error:
        raise ProtocolError(f"{place}: {file}: {error}") from error
    return Package(cap, file, cap.load_file_data_block(), entry, algorithm)


def _application(
    entry: ApplicationEntry, packages: Mapping[Aid, Package], by_path: Mapping[str, Package], place: str
) -> ApplicationPresent:
    package, module = entry.package, entry.module
    if entry.cap is not None:
        file = by_path.get(entry.cap)
        if file is None:
            raise ProtocolError(f"{place}: cap {entry.cap!r} is none of the packages; add [[package]] cap = …")
        if package is not None and package != file.cap.package_aid:
            raise ProtocolError(f"{place}: the package of {entry.cap!r} is {file.cap.package_aid}, not {package}")
        package, module = file.cap.package_aid, module or _only_module(file, place)
    assert module is not None, "checked when the document was read"
    if package is None:
        package = _package_of(module, packages, place)
    elif package in packages and module not in packages[package].present.modules:
        raise ProtocolError(f"{place}: {packages[package].path} has no module {module}")
    return ApplicationPresent(
        package,
        module,
        entry.aid,
        privileges_of(entry.privileges),
        _parameters(entry),
        entry.security_domain,
        entry.selectable,
        None if entry.contactless is None else entry.contactless == "activated",
    )


def _parameters(entry: ApplicationEntry | DomainEntry) -> bytes:
    """Return the parameters field of INSTALL: as it is declared, or with the application's own."""
    if entry.install_parameters is not None:
        return bytes.fromhex(entry.install_parameters)
    return InstallParameters(application=bytes.fromhex(entry.parameters)).encode()


def _only_module(package: Package, place: str) -> Aid:
    modules = package.present.modules
    if len(modules) != 1:
        there = ", ".join(map(str, modules)) or "none: it is a library"
        raise ProtocolError(f"{place}: which module of {package.path}? There are {there}")
    return modules[0]


def _package_of(module: Aid, packages: Mapping[Aid, Package], place: str) -> Aid:
    found = [aid for aid, package in packages.items() if module in package.present.modules]
    if len(found) != 1:
        raise ProtocolError(f"{place}: module {module} is in none of the packages' CAP files; name its package too")
    return found[0]


def _material(entry: KeyEntry, path: Path) -> Material:
    version, how = entry.version, entry.diversification
    if entry.file is not None:
        return from_file(path.parent / entry.file, version=version, diversification=how)
    if entry.keystore is not None:
        assert entry.name is not None, "checked when the document was read"
        passphrase = None if entry.passphrase_file is None else path.parent / entry.passphrase_file
        store = path.parent / entry.keystore
        return from_keystore(store, entry.name, passphrase, version=version, diversification=how)
    return _from_variable(str(entry.environment), version, how)


def _from_variable(name: str, version: int, diversification: str | None) -> Material:
    import os  # noqa: PLC0415 - for this source only

    found = combine(
        {"key": os.environ.get(name)}, {"key": f"${name}"}, version=version, diversification=diversification
    )
    if found is None:
        raise ProtocolError(f"the environment has no variable {name}, from which keys are to come")
    return found
