"""All that a package's code may name: its own classes, and those of the packages that it imports.

Names are in internal form. Own classes come from class files, others from token tables or export files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from opentsm_build.api.model import SHAREABLE
from opentsm_build.classfile.access_tables import Acc
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentsm_build.api.model import ApiClass, ApiField, ApiMethod, ApiPackage
    from opentsm_build.classfile import ClassFile, Field, Method

__all__ = ["OBJECT", "MethodType", "Universe", "dotted", "parse_method_descriptor"]

OBJECT: Final = "java/lang/Object"
_SHAREABLE_INTERFACE: Final = "javacard/framework/Shareable"
_TYPES: Final = re.compile(r"\[*(?:[BCDFIJSZV]|L[^;]+;)")
_MAX_DEPTH: Final = 128

# parameters and result, as descriptors
MethodType = tuple[tuple[str, ...], str]
_method_types: dict[str, MethodType] = {}


def parse_method_descriptor(descriptor: str) -> MethodType:
    """Return the descriptors of the parameters and of the result."""
    known = _method_types.get(descriptor)
    if known is None:
        *parameters, result = _TYPES.findall(descriptor)
        known = _method_types[descriptor] = (tuple(parameters), result)
    return known


def dotted(name: str) -> str:
    """Return a class's name as people write it."""
    return name.replace("/", ".")


class Universe:
    """The classes that can be named.

    Args:
        own: the package's class files, by name.
        packages: imported packages, by name.
    """

    def __init__(self, own: Mapping[str, ClassFile], packages: Mapping[str, ApiPackage]) -> None:
        self.own = own
        self.packages = packages
        self._own_methods = {name: {m.key: m for m in cls.methods} for name, cls in own.items()}
        self._own_fields = {name: {f.name + f.descriptor: f for f in cls.fields} for name, cls in own.items()}
        self._interfaces: dict[str, tuple[str, ...]] = {}

    # --- classes ---

    def api_class(self, name: str) -> ApiClass | None:
        """Return a class of an imported package, None when there is none of that name."""
        package = self.packages.get(name.rpartition("/")[0])
        return None if package is None else package.classes.get(name)

    def known(self, name: str) -> bool:
        """Tell whether a class is there."""
        return name in self.own or self.api_class(name) is not None

    def is_interface(self, name: str) -> bool:
        """Tell whether a name is an interface's."""
        if (own := self.own.get(name)) is not None:
            return own.is_interface
        api = self.api_class(name)
        return api is not None and api.is_interface

    def super_of(self, name: str) -> str | None:
        """Return the direct superclass, None for Object and for what is not known."""
        if (own := self.own.get(name)) is not None:
            return own.super_name
        api = self.api_class(name)
        return api.supers[-1] if api is not None and api.supers else None

    def ancestors(self, name: str) -> Iterable[str]:
        """Yield a class and its superclasses, the nearest first.

        Raises:
            CapError: a class is its own ancestor, or the line is absurdly long.
        """
        current: str | None = name
        for _ in range(_MAX_DEPTH):
            if current is None:
                return
            yield current
            current = self.super_of(current)
        raise CapError(f"{dotted(name)} has more than {_MAX_DEPTH} superclasses, or is its own")

    def is_subclass(self, name: str, other: str) -> bool:
        """Tell whether a class is another one or extends it."""
        return any(ancestor == other for ancestor in self.ancestors(name))

    def interfaces(self, name: str, depth: int = 0) -> tuple[str, ...]:
        """Return all interfaces that a class declares (superclasses aside) or an interface extends, directly or not."""
        if (known := self._interfaces.get(name)) is not None:
            return known
        if depth > _MAX_DEPTH:
            raise CapError(f"interface {dotted(name)} extends itself")
        own = self.own.get(name)
        if own is None:
            api = self.api_class(name)
            found = list(api.interfaces) if api is not None else []
        else:
            found = []
            for interface in own.interfaces:
                found += [*self.interfaces(interface, depth + 1), interface]
        result = self._interfaces[name] = tuple(dict.fromkeys(found))
        return result

    def implements(self, name: str, interface: str) -> bool:
        """Tell whether a class or one of its superclasses implements an interface."""
        return any(ancestor == interface or interface in self.interfaces(ancestor) for ancestor in self.ancestors(name))

    def is_shareable(self, name: str) -> bool:
        """Tell whether a class or interface is of type javacard.framework.Shareable."""
        api = self.api_class(name)
        if api is not None and api.access & SHAREABLE:
            return True
        return self.implements(name, _SHAREABLE_INTERFACE)

    # --- members ---

    def own_method(self, name: str, key: str) -> Method | None:
        """Return a method that an own class declares itself."""
        methods = self._own_methods.get(name)
        return None if methods is None else methods.get(key)

    def find_method(self, name: str, key: str) -> tuple[str, Method | ApiMethod] | None:
        """Return the class that has a method, looked up in the superclasses, then in the interfaces."""
        for ancestor in self.ancestors(name):
            if (method := self.own_method(ancestor, key)) is not None:
                return ancestor, method
            api = self.api_class(ancestor)
            if api is not None and (found := api.methods.get(key)) is not None:
                return ancestor, found
        for ancestor in self.ancestors(name):
            for interface in self.interfaces(ancestor):
                api = self.api_class(interface)
                found2 = self.own_method(interface, key) or (api.methods.get(key) if api is not None else None)
                if found2 is not None:
                    return interface, found2
        return None

    def find_field(self, name: str, key: str) -> tuple[str, Field | ApiField] | None:
        """Return the class that declares a field (key: name and descriptor), looked up as the JVM does."""
        for ancestor in self.ancestors(name):
            for candidate in (ancestor, *self.interfaces(ancestor)):
                own = self._own_fields.get(candidate)
                if own is not None and key in own:
                    return candidate, own[key]
                api = self.api_class(candidate)
                # An export file lists inherited fields too; they belong to the topmost class that has them.
                if api is not None and (field := api.fields.get(key)) is not None:
                    return candidate, field
        return None

    def catches(self, name: str) -> bool:
        """Tell whether a class can be thrown."""
        return self.is_subclass(name, "java/lang/Throwable")

    def is_package_visible(self, cls: ClassFile) -> bool:
        """Tell whether a class is not public, as the source says: a private member class is, a protected one is not."""
        flags = cls.access if cls.inner_flags is None else cls.inner_flags
        return not flags & (Acc.PUBLIC | Acc.PROTECTED)
