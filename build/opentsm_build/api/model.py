"""What a package exports to others: classes, fields and methods with their tokens.

Names are in internal form (`javacard/framework/APDU`), flags are those of class files.

Spec: Java Card VM Specification 3.1, Classic Edition, 4.3 (tokens), 5 (export files).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentsm_card.aid import Aid

__all__ = ["SHAREABLE", "ApiClass", "ApiField", "ApiMethod", "ApiPackage"]

# Flags that export files add to those of class files. Spec: JCVM 3.1, table 5-4.
SHAREABLE: Final = 0x0800


@dataclass(frozen=True, slots=True)
class ApiMethod:
    """A public or protected method; `token` counts among its kind (virtual, static or constructor, interface)."""

    token: int
    access: int
    name: str
    descriptor: str

    @property
    def key(self) -> str:
        """Name and descriptor."""
        return self.name + self.descriptor


@dataclass(frozen=True, slots=True)
class ApiField:
    """A public or protected field; a compile-time `constant` has token 255 and is in no CAP file."""

    token: int
    access: int
    name: str
    descriptor: str
    constant: int | None = None


@dataclass(frozen=True, slots=True)
class ApiClass:
    """A public class or interface.

    Args:
        token: its token in its package.
        access: flags.
        name: in internal form.
        supers: superclasses, java/lang/Object first, the direct one last.
        interfaces: all that it implements or extends, directly or not.
        methods: by name and descriptor, inherited ones among them.
        fields: by name and descriptor.
    """

    token: int
    access: int
    name: str
    supers: tuple[str, ...]
    interfaces: tuple[str, ...]
    methods: Mapping[str, ApiMethod] = field(repr=False)
    fields: Mapping[str, ApiField] = field(repr=False)

    @property
    def is_interface(self) -> bool:
        """True for an interface."""
        return bool(self.access & 0x0200)


@dataclass(frozen=True, slots=True)
class ApiPackage:
    """A package in one version.

    Args:
        name: in internal form.
        aid: its AID.
        version: (major, minor).
        classes: by full name in internal form.
    """

    name: str
    aid: Aid
    version: tuple[int, int]
    classes: Mapping[str, ApiClass] = field(repr=False)
