"""Types of references, as the Java Virtual Machine's verifier sees them: which fits where, and what two have in common.

A type is a class in internal form, an array by its descriptor, NULL, or, of what is no reference, SHORT or INT.

Spec: Java Virtual Machine Specification, Java SE 8, 4.10.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_simulator.translate.classes import OwnClasses
    from opentsm_simulator.translate.linkage import KnownClass

__all__ = ["INT", "NULL", "OBJECT", "SHORT", "Hierarchy", "descriptor_of", "reference_in"]

OBJECT: Final = "java/lang/Object"
NULL: Final = ""
SHORT: Final = "-"
INT: Final = "I"


def descriptor_of(type_: str) -> str:
    """Return the descriptor of a reference type."""
    return type_ if type_.startswith("[") else f"L{type_ or OBJECT};"


def reference_in(descriptor: str) -> str:
    """Return the type that a field's or parameter's descriptor names; SHORT or INT for no reference."""
    if descriptor[0] == "L":
        return descriptor[1:-1]
    if descriptor[0] == "[":
        return descriptor
    return INT if descriptor == "I" else SHORT


class Hierarchy:
    """Which class extends which, as far as the package's code names them.

    Args:
        classes: the package's.
    """

    def __init__(self, classes: OwnClasses) -> None:
        self._above: dict[str, str] = {}
        self._interfaces: set[str] = {interface.name for interface in classes.interfaces()}
        self._joined: dict[tuple[str, str], str] = {}
        for cls in classes.classes():
            self._above[cls.name] = cls.superclass.name
            self.add(cls.known_superclass)

    def add(self, known: KnownClass) -> None:
        """Take in a class that exists, with its superclasses."""
        if known.is_interface:
            self._interfaces.add(known.name)
        elif known.name not in self._above:
            chain = [each.name for each in known.ancestors()]
            self._above |= dict(zip(chain, [*chain[1:], OBJECT], strict=True))

    def _chain(self, name: str) -> Iterable[str]:
        while name != OBJECT:
            yield name
            name = self._above.get(name, OBJECT)

    def fits(self, type_: str, wanted: str) -> bool:
        """Tell whether a reference of a type needs no cast where another is wanted."""
        if type_ in {NULL, wanted} or wanted == OBJECT:
            return True
        if type_[0] == "[":
            return type_[1] == "L" and wanted.startswith("[L") and self.fits(type_[2:-1], wanted[2:-1])
        return wanted in self._chain(type_)

    def join(self, one: str, other: str) -> str:
        """Return what both are."""
        if other in {one, NULL}:
            return one
        if one == NULL:
            return other
        key = (one, other)
        if key not in self._joined:
            self._joined[key] = self._join(one, other)
        return self._joined[key]

    def _join(self, one: str, other: str) -> str:
        if one[0] == "[" or other[0] == "[":
            return f"[L{OBJECT};" if one[:2] == other[:2] == "[L" else OBJECT
        if one in self._interfaces or other in self._interfaces:
            return OBJECT
        mine = set(self._chain(one))
        return next((name for name in self._chain(other) if name in mine), OBJECT)
