"""The classes of imported packages, made of token tables when something refers to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build import api
from opentsm_build.api.model import SHAREABLE
from opentsm_build.cap.descriptor import AccessFlag
from opentsm_build.verify.types import ClassNode, Field, Method, parse_descriptor
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.api.model import ApiClass, ApiPackage
    from opentsm_build.cap.header import PackageInfo

__all__ = ["ImportedClasses"]

_JAVA_INTERFACE, _JAVA_ABSTRACT = 0x0200, 0x0400
_MEMBER: Final = AccessFlag.PUBLIC | AccessFlag.PROTECTED | AccessFlag.STATIC | AccessFlag.FINAL
_CONSTANT: Final = 0xFF
_DEEP: Final = 64


class ImportedClasses:
    """The imported packages, by package token, and their classes.

    Args:
        imports: the Import component's packages.
        given: packages from export files, tried before the known APIs.

    Raises:
        CapError: of a package nothing is known.
    """

    def __init__(self, imports: Iterable[PackageInfo], given: Iterable[ApiPackage]) -> None:
        offered = list(given)
        self.packages = tuple(_find(index, entry, offered) for index, entry in enumerate(imports))
        self._by_name = {package.name: package for package in (*offered, *self.packages)}
        self._by_token = [{each.token: each for each in package.classes.values()} for package in self.packages]
        self._nodes: dict[str, ClassNode] = {}
        self._making: list[str] = []

    @property
    def root(self) -> ClassNode:
        """java/lang/Object."""
        return self.named("java/lang/Object")

    def by_token(self, package_token: int, class_token: int) -> ClassNode | None:
        """Return an imported class; None when there is none of these tokens."""
        if package_token >= len(self._by_token):
            return None
        found = self._by_token[package_token].get(class_token)
        return None if found is None else self.named(found.name)

    def named(self, name: str) -> ClassNode:
        """Return a class of an API by its name; of an unknown one, a class without members."""
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = self._make(name)
            found = self._class(name)
            if found is not None:
                self._fill(node, found)
        return node

    def _class(self, name: str) -> ApiClass | None:
        package_name = name.rpartition("/")[0]
        package = self._by_name.get(package_name)
        if package is None:
            package = api.java_card(api.RELEASES[-1]).get(package_name)
        if package is None and (versions := api.versions(package_name)):
            package = api.package(package_name, versions[-1])
        return None if package is None else package.classes.get(name)

    def _make(self, name: str) -> ClassNode:
        if name in self._making or len(self._making) > _DEEP:
            raise CapError(f"{name} inherits from itself", component="export file")
        found = self._class(name)
        if found is None:
            return ClassNode(name, AccessFlag.PUBLIC, None if name == "java/lang/Object" else self.root)
        self._making.append(name)
        superclass = self.named(found.supers[-1]) if found.supers and not found.is_interface else None
        interfaces = frozenset(self.named(each) for each in found.interfaces)
        self._making.pop()
        inherited = superclass.interfaces if superclass is not None else frozenset()
        return ClassNode(
            name, _class_access(found), superclass, interfaces | inherited, shareable=bool(found.access & SHAREABLE)
        )

    def _fill(self, node: ClassNode, found: ApiClass) -> None:
        for entry in found.methods.values():
            access = AccessFlag(entry.access & _MEMBER)
            if entry.access & _JAVA_ABSTRACT:
                access |= AccessFlag.ABSTRACT
            if entry.name == "<init>":
                access |= AccessFlag.INIT
            signature = parse_descriptor(entry.descriptor, self.named)
            method = Method(node, entry.token, access, signature, entry.name)
            (node.virtuals if method.is_virtual else node.statics)[entry.token] = method
        for field in found.fields.values():
            if field.token == _CONSTANT:
                continue
            access = AccessFlag(field.access & _MEMBER)
            kind = parse_descriptor(f"(){field.descriptor}", self.named).result
            static = AccessFlag.STATIC in access
            (node.static_fields if static else node.fields)[field.token] = Field(
                node, field.token, access, kind, field.name
            )


def _class_access(found: ApiClass) -> AccessFlag:
    access = AccessFlag(found.access & (AccessFlag.PUBLIC | AccessFlag.FINAL))
    if found.access & _JAVA_INTERFACE:
        access |= AccessFlag.INTERFACE
    if found.access & _JAVA_ABSTRACT:
        access |= AccessFlag.ABSTRACT_CLASS
    return access


def _find(index: int, entry: PackageInfo, offered: list[ApiPackage]) -> ApiPackage:
    for package in offered:
        same = package.aid == entry.aid and package.version[0] == entry.version[0]
        if same and package.version[1] >= entry.version[1]:
            return package
    found = api.find_package(entry.aid, entry.version)
    if found is None:
        version = ".".join(map(str, entry.version))
        name = api.package_name(entry.aid)
        called = f"{name.replace('/', '.')} ({entry.aid})" if name else str(entry.aid)
        raise CapError(
            f"package {index}, {called} version {version}, is of no known API: give its export file",
            component="Import",
        )
    return found
