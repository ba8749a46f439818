"""Resolve the members that code names to constant pool entries of the CAP file, still symbolic.

Spec: JCVM 3.1, 6.8 (constant pool), 4.3 (how members are named by tokens).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.api.model import ApiField, ApiMethod
from opentsm_build.classfile.access_tables import Acc
from opentsm_build.convert.ops import (
    CLASS_REF,
    INSTANCE_FIELD_REF,
    STATIC_FIELD_REF,
    STATIC_METHOD_REF,
    SUPER_METHOD_REF,
    VIRTUAL_METHOD_REF,
)
from opentsm_build.convert.tokens import is_virtual
from opentsm_build.convert.universe import OBJECT, dotted
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.classfile import ClassFile, Method
    from opentsm_build.convert.ops import Reference
    from opentsm_build.convert.tokens import Tokens
    from opentsm_build.convert.universe import Universe

__all__ = ["References"]

# Array types as checkcast, instanceof and newarray name them. Spec: JCVM 3.1, table 7-2, checkcast.
ARRAY_TYPES: Final = {"[Z": 10, "[B": 11, "[S": 12, "[I": 13}
_REFERENCE_ARRAY: Final = 14


class References:
    """Makes references; the errors it raises carry no place, the caller adds it.

    Args:
        universe: the classes that can be named.
        tokens: tokens of the own ones.
    """

    def __init__(self, universe: Universe, tokens: Tokens) -> None:
        self.universe, self.tokens = universe, tokens
        self._cache: dict[tuple[object, ...], Reference] = {}

    def class_ref(self, name: str) -> Reference:
        """Return the reference to a class or interface."""
        if not self.universe.known(name):
            raise CapError(_missing(name))
        return (CLASS_REF, name, None, None)

    def array_or_class(self, name: str) -> tuple[int, Reference | None]:
        """Return the array type and the class of a checkcast or instanceof."""
        if not name.startswith("["):
            return 0, self.class_ref(name)
        if name in ARRAY_TYPES:
            return ARRAY_TYPES[name], None
        if name.startswith("[L"):
            return _REFERENCE_ARRAY, self.class_ref(name[2:-1])
        raise CapError(
            f"an array of type {name}: a card has arrays of one dimension, of boolean, byte, short and objects"
        )

    def field(self, member: tuple[str, str, str], *, static: bool) -> Reference:
        """Return the reference to a field."""
        cached = self._cache.get((member, static))
        if cached is not None:
            return cached
        owner, name, descriptor = member
        found = self.universe.find_field(owner, name + descriptor)
        if found is None:
            raise CapError(_missing(owner, name))
        declared_in, entry = found
        if bool(entry.access & Acc.STATIC) != static:
            raise CapError(f"{dotted(owner)}.{name} changed between static and not static: compile all sources again")
        if static:
            token: int | str = entry.token if isinstance(entry, ApiField) else name + descriptor
            reference: Reference = (STATIC_FIELD_REF, declared_in, token, descriptor)
        else:
            own = self.tokens.classes.get(declared_in)
            if own is not None:
                token = own.fields[name + descriptor]
            else:
                assert isinstance(entry, ApiField)
                token = entry.token
            reference = (INSTANCE_FIELD_REF, declared_in, token, descriptor)
        self._cache[member, static] = reference
        return reference

    def static_method(self, member: tuple[str, str, str]) -> Reference:
        """Return the reference to a static method, constructor or private method."""
        owner, name, descriptor = member
        found = self.universe.find_method(owner, name + descriptor)
        if found is None or (name == "<init>" and found[0] != owner):
            raise CapError(_missing(owner, name + descriptor))
        declared_in, method = found
        token: int | str = method.token if isinstance(method, ApiMethod) else name + descriptor
        return (STATIC_METHOD_REF, declared_in, token, descriptor)

    def virtual_method(self, member: tuple[str, str, str]) -> Reference:
        """Return the reference to a virtual method, through the topmost own class that declares it: so few are made.

        Where no own class declares it, the imported class does that the own ones extend.
        """
        cached = self._cache.get(member)
        if cached is not None:
            return cached
        owner, name, descriptor = member
        key = name + descriptor
        if owner.startswith("[") or self.universe.is_interface(owner):
            owner = OBJECT
        token = self._virtual_token(owner, key)
        if token is None:
            raise CapError(_missing(owner, key))
        declaring = owner
        for ancestor in self.universe.ancestors(owner):
            if ancestor not in self.tokens.classes:
                if declaring in self.tokens.classes and not self.declares(declaring, key):
                    declaring = ancestor
                break
            if self._virtual_token(ancestor, key) == token and self.declares(ancestor, key):
                declaring = ancestor
        owner = declaring
        reference: Reference = (VIRTUAL_METHOD_REF, owner, token, descriptor)
        self._cache[member] = reference
        return reference

    def declares(self, name: str, key: str) -> bool:
        """Tell whether an own class has a method itself, be it one that it only has from its interfaces."""
        if self.universe.own_method(name, key) is not None:
            return True
        return any(method.key == key for method in self.tokens.classes[name].mirandas)

    def _virtual_token(self, owner: str, key: str) -> int | None:
        own = self.tokens.classes.get(owner)
        if own is not None:
            return own.public.get(key, own.package.get(key))
        for ancestor in self.universe.ancestors(owner):
            api = self.universe.api_class(ancestor)
            if api is not None and (method := api.methods.get(key)) is not None:
                return method.token
        return None

    def super_method(self, current: str, member: tuple[str, str, str]) -> Reference:
        """Return the reference to a superclass's method, called as `super.name()`."""
        _, name, descriptor = member
        above = self.universe.super_of(current)
        token = None if above is None else self._virtual_token(above, name + descriptor)
        if token is None:
            raise CapError(_missing(member[0], name + descriptor))
        return (SUPER_METHOD_REF, current, token, descriptor)

    def interface_method(self, member: tuple[str, str, str]) -> tuple[Reference, int] | None:
        """Return interface and token of an interface method; None where it is a method of Object."""
        owner, name, descriptor = member
        key = name + descriptor
        token = self.tokens.interface_methods(owner).get(key)
        if token is not None:
            return self.class_ref(owner), token
        if self._virtual_token(OBJECT, key) is not None:
            return None
        raise CapError(_missing(owner, key))

    def is_private(self, member: tuple[str, str, str]) -> bool:
        """Tell whether a method is an own private one."""
        method = self.universe.own_method(member[0], member[1] + member[2])
        return method is not None and bool(method.access & Acc.PRIVATE)

    def overridden(self, cls: ClassFile) -> Iterable[Method]:
        """Yield the virtual methods of a class."""
        return (method for method in cls.methods if is_virtual(method))


def _missing(owner: str, member: str | None = None) -> str:
    what = dotted(owner) + (f".{member}" if member else "")
    return f"{what} is in none of the imported packages: add it under imports, or choose a target that has it"
