"""What a package's references to other packages mean: classes and members of the APIs and of packages loaded before.

Spec: Java Card VM Specification 3.1, Classic Edition, 4.3.7 (tokens), 4.5 (versions).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentsm_build.api import find_package
from opentsm_card.errors import CapError
from opentsm_simulator.translate.signature import Member, Signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentsm_build.api import ApiClass, ApiMethod, ApiPackage
    from opentsm_build.cap import ImportedPackage
    from opentsm_card.aid import Aid

__all__ = ["KnownClass", "KnownPackage", "Linkage", "api_package"]

_ACC_STATIC: Final = 0x0008
_ACC_PROTECTED: Final = 0x0004
_OBJECT: Final = "java/lang/Object"
_SHAREABLE: Final = "javacard/framework/Shareable"


@dataclass(frozen=True)
class KnownClass:
    """A class or interface that exists.

    Args:
        name: in internal form.
        superclass: its direct superclass; None for java/lang/Object and interfaces.
        is_interface: True for an interface.
        virtual: methods by virtual or interface method token, inherited ones among them.
        static: static methods and constructors by token.
        static_fields: by token.
        fields: instance fields by token.
        is_api: it is not a translated package's.
        is_shareable: it is an interface whose methods switch the context (JCRE 3.0.5, 6.2.4).
    """

    name: str
    superclass: KnownClass | None
    is_interface: bool
    virtual: Mapping[int, Member] = field(repr=False)
    static: Mapping[int, Member] = field(repr=False)
    static_fields: Mapping[int, Member] = field(default_factory=dict, repr=False)
    fields: Mapping[int, Member] = field(default_factory=dict, repr=False)
    is_api: bool = True
    is_shareable: bool = False

    def ancestors(self) -> Iterable[KnownClass]:
        """Yield the class and its superclasses, itself first."""
        at: KnownClass | None = self
        while at is not None:
            yield at
            at = at.superclass


@dataclass(frozen=True)
class KnownPackage:
    """A package that can be linked to.

    Args:
        aid: its AID.
        version: (major, minor).
        classes: by class token.
        shares_statics: other contexts may find references in its static fields.
    """

    aid: Aid
    version: tuple[int, int]
    classes: Mapping[int, KnownClass] = field(repr=False)
    shares_statics: bool = False


def _member(owner: ApiClass, method: ApiMethod) -> Member:
    static = bool(method.access & _ACC_STATIC)
    return Member(
        owner.name,
        method.name,
        method.descriptor,
        Signature.of_descriptor(method.descriptor, receiver=not static),
        bool(method.access & _ACC_PROTECTED),
    )


def _api_class(cls: ApiClass, superclass: KnownClass | None) -> KnownClass:
    virtual: dict[int, Member] = {}
    static: dict[int, Member] = {}
    for method in cls.methods.values():
        of_class = method.name == "<init>" or method.access & _ACC_STATIC
        (static if of_class else virtual)[method.token] = _member(cls, method)
    shareable = cls.is_interface and _SHAREABLE in {cls.name, *cls.interfaces}
    return KnownClass(cls.name, superclass, cls.is_interface, virtual, static, is_shareable=shareable)


def _superclass(package: ApiPackage, cls: ApiClass) -> KnownClass | None:
    """Return a class's direct superclass: of its package, or with no tokens of its own where it is another's."""
    if cls.is_interface or cls.name == _OBJECT:
        return None
    above: KnownClass | None = None
    for name in cls.supers:
        known = package.classes.get(name)
        above = (
            KnownClass(name, above, is_interface=False, virtual={}, static={})
            if known is None
            else _api_class(known, above)
        )
    return above


def api_package(aid: Aid, version: tuple[int, int]) -> KnownPackage | None:
    """Return a package of a known API in the version that an import names; None where there is none."""
    package = find_package(aid, version)
    if package is None:
        return None
    classes = {cls.token: _api_class(cls, _superclass(package, cls)) for cls in package.classes.values()}
    return KnownPackage(package.aid, package.version, classes)


class Linkage:
    """The imports of one package, resolved.

    Args:
        imports: as its Import component lists them.
        loaded: packages on the card.

    Attributes:
        shares_statics: one of them shares static fields that are references.

    Raises:
        CapError: a package is not there, or not in a version that fits.
    """

    def __init__(self, imports: Iterable[ImportedPackage], loaded: Iterable[KnownPackage]) -> None:
        on_card = {bytes(package.aid): package for package in loaded}
        self._packages = [self._find(wanted, on_card) for wanted in imports]
        self.shares_statics = any(package.shares_statics for package in self._packages)

    @staticmethod
    def _find(wanted: ImportedPackage, on_card: Mapping[bytes, KnownPackage]) -> KnownPackage:
        found = on_card.get(bytes(wanted.aid)) or api_package(wanted.aid, wanted.version)
        version = ".".join(map(str, wanted.version))
        if found is None:
            raise CapError(f"imports package {wanted.aid} {version}, which is not on the card", component="Import")
        # The same major version, and at least the minor one (JCVM 3.1, 4.5.2).
        if found.version[0] != wanted.version[0] or found.version[1] < wanted.version[1]:
            has = ".".join(map(str, found.version))
            raise CapError(f"imports package {wanted.aid} {version}, the card has {has}", component="Import")
        return found

    def find(self, package_token: int, class_token: int) -> KnownClass:
        """Return an imported class.

        Raises:
            CapError: there is none.
        """
        if package_token >= len(self._packages):
            raise CapError(f"package token {package_token} of {len(self._packages)} imports", component="ConstantPool")
        package = self._packages[package_token]
        found = package.classes.get(class_token)
        if found is None:
            raise CapError(f"package {package.aid} has no class with token {class_token}", component="ConstantPool")
        return found
