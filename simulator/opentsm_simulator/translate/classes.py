"""The classes of a package being translated: their superclasses, virtual methods and interfaces, by tokens.

Methods that override each other make a family: one name, one signature. A family whose token an imported superclass
knows has that one's name and signature.

Spec: Java Card VM Specification 3.1, Classic Edition, 4.3.7.6 (virtual method tokens), 6.9 (Class component).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentsm_build.cap.classes import ClassFlag, ClassInfo, InterfaceInfo
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentsm_build.cap import CapFile
    from opentsm_build.cap.types import ClassRef
    from opentsm_simulator.translate.linkage import KnownClass, Linkage
    from opentsm_simulator.translate.signature import Member

__all__ = ["OwnClass", "OwnClasses", "OwnInterface", "Slot"]

_PACKAGE_VISIBLE: Final = 0x80
_IN_SUPERCLASS: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Slot:
    """A family of methods that override each other.

    Args:
        root: offset of the topmost class of the package that has it; of the interface for an interface's method.
        token: of the method; bit 0x80 for a package-visible one.
        interface: it is an interface's.
    """

    root: int
    token: int
    interface: bool = False


@dataclass(frozen=True)
class OwnInterface:
    """An interface of the package."""

    name: str
    offset: int
    info: InterfaceInfo
    superinterfaces: tuple[str, ...]

    @property
    def is_shareable(self) -> bool:
        """True when its methods switch the context (JCRE 3.0.5, 6.2.4)."""
        return ClassFlag.SHAREABLE in self.info.flags


@dataclass(frozen=True)
class OwnClass:
    """A class of the package.

    Args:
        name: in internal form.
        offset: in the Class component: what references to it hold.
        info: its class_info.
        superclass: of the package, or one that exists.
    """

    name: str
    offset: int
    info: ClassInfo
    superclass: OwnClass | KnownClass = field(repr=False)

    @property
    def known_superclass(self) -> KnownClass:
        """The nearest superclass outside of the package."""
        at: OwnClass | KnownClass = self
        while isinstance(at, OwnClass):
            at = at.superclass
        return at

    def chain(self) -> Iterator[OwnClass]:
        """Yield the class and its superclasses of the package, itself first."""
        at: OwnClass | KnownClass = self
        while isinstance(at, OwnClass):
            yield at
            at = at.superclass

    def _table(self, token: int) -> tuple[int, tuple[int, ...], int]:
        """Return base and entries of the table a token belongs to, and the token without its mark."""
        if token & _PACKAGE_VISIBLE:
            info = self.info
            return info.package_method_table_base, info.package_virtual_method_table, token & ~_PACKAGE_VISIBLE
        return self.info.public_method_table_base, self.info.public_virtual_method_table, token

    def has(self, token: int) -> bool:
        """Tell whether it has a virtual method of a token, of its own or from a superclass of the package."""
        base, entries, number = self._table(token)
        return number < base + len(entries)

    def declared(self) -> Iterator[tuple[int, int]]:
        """Yield token and Method component offset of the entries of its tables that the package implements."""
        for mark in (0, _PACKAGE_VISIBLE):
            base, entries, _ = self._table(mark)
            for number, offset in enumerate(entries, base):
                if offset != _IN_SUPERCLASS:
                    yield number | mark, offset

    def implementation(self, token: int) -> int | None:
        """Return the Method component offset of what a virtual method runs; None when it is a known superclass's."""
        for cls in self.chain():
            base, entries, number = cls._table(token)
            if base <= number < base + len(entries):
                offset = entries[number - base]
                return None if offset == _IN_SUPERCLASS else offset
        return None

    def member(self, token: int) -> Member | None:
        """Return the method of a known superclass that a token names, if any."""
        return None if token & _PACKAGE_VISIBLE else self.known_superclass.virtual.get(token)

    def slot(self, token: int) -> Slot:
        """Return the family of a virtual method.

        Raises:
            CapError: it has no such method.
        """
        root = None
        for cls in self.chain():
            if cls.has(token):
                root = cls
        if root is None:
            raise CapError(f"class at {self.offset:#06x} has no virtual method with token {token}", component="Class")
        return Slot(root.offset, token)


class OwnClasses:
    """All classes and interfaces of a package.

    Args:
        cap: the package.
        linkage: its imports.
        prefix: before the names of its classes, such as `cap/A0000000/`.

    Raises:
        CapError: a reference leads nowhere.
    """

    def __init__(self, cap: CapFile, linkage: Linkage, prefix: str) -> None:
        self._linkage = linkage
        self.by_offset: dict[int, OwnClass | OwnInterface] = {}
        component = cap.classes
        offsets = component.offsets(cap.format_version)
        for offset, info in zip(offsets, component.entries, strict=True):
            name = f"{prefix}C{offset:04x}"
            if isinstance(info, InterfaceInfo):
                above = tuple(self.name(reference) for reference in info.superinterfaces)
                self.by_offset[offset] = OwnInterface(name, offset, info, above)
            elif info.has_superclass:
                superclass = self.find(info.super_class_ref)
                if isinstance(superclass, OwnInterface):
                    raise CapError("a superclass that is an interface", component="Class", offset_bytes=offset)
                self.by_offset[offset] = OwnClass(name, offset, info, superclass)
            else:
                raise CapError("a class without a superclass: only java.lang.Object is one", component="Class")

    def find(self, reference: ClassRef) -> OwnClass | OwnInterface | KnownClass:
        """Return what a class_ref names.

        Raises:
            CapError: nothing, or a class that stands behind (a superclass comes first).
        """
        if reference.is_external:
            return self._linkage.find(reference.package_token, reference.class_token)
        found = self.by_offset.get(int(reference))
        if found is None:
            raise CapError("no class begins here", component="Class", offset_bytes=int(reference))
        return found

    def name(self, reference: ClassRef) -> str:
        """Return the name of what a class_ref names, in internal form."""
        return self.find(reference).name

    def classes(self) -> Iterator[OwnClass]:
        """Yield the classes, in order."""
        yield from (entry for entry in self.by_offset.values() if isinstance(entry, OwnClass))

    def interfaces(self) -> Iterator[OwnInterface]:
        """Yield the interfaces, in order."""
        yield from (entry for entry in self.by_offset.values() if isinstance(entry, OwnInterface))
