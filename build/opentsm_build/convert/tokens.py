"""Token assignment: the numbers that stand for a package's classes, fields and methods.

A virtual method that overrides keeps its token. Public and protected methods count on from the superclass's, whatever
its package; package-visible ones have a count of their own (bit 7 set) that goes on only inside one package, so that a
method outside which happens to have the same name is another method.

Spec: JCVM 3.1, 4.3.7.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentsm_build.classfile.access_tables import Acc
from opentsm_build.classfile.model import Method
from opentsm_build.convert.universe import OBJECT, dotted
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from opentsm_build.classfile import ClassFile
    from opentsm_build.convert.universe import Universe

__all__ = ["NO_TOKEN", "PACKAGE_BIT", "ClassTokens", "Tokens"]

NO_TOKEN: Final = 0xFF
PACKAGE_BIT: Final = 0x80
_MAX_VIRTUAL: Final = 0x7F
_VISIBLE: Final = Acc.PUBLIC | Acc.PROTECTED

# class and key of the method that a table's entry leads to; None where it is in another package
Implementation = tuple[str, str] | None


@dataclass
class ClassTokens:
    """Tokens of one own class or interface.

    Args:
        token: the class's own; 255 for one that is not public.
        exported: True when other packages can use it.
        public: tokens of public and protected virtual methods (or interface methods) by key, inherited ones among them.
        package: tokens (bit 7 set) of package-visible virtual methods by key.
        public_table: what each public token leads to.
        package_table: what each package token (without bit 7) leads to.
        declared: public tokens that the class declares or overrides.
        declared_package: the same for package tokens, without bit 7.
        fields: instance field tokens by name and descriptor.
        size_cells: instance fields in 16-bit cells, the superclass's aside.
        first_reference: token of the first field that holds a reference.
        reference_count: fields that hold references.
        mirandas: abstract methods that an abstract class has from its interfaces only.
        statics: tokens of static fields by name and descriptor, where they are seen outside.
        static_methods: tokens of constructors and static methods by key, where they are seen outside.
    """

    token: int = NO_TOKEN
    exported: bool = False
    public: dict[str, int] = field(default_factory=dict)
    package: dict[str, int] = field(default_factory=dict)
    public_table: list[Implementation] = field(default_factory=list)
    package_table: list[Implementation] = field(default_factory=list)
    declared: set[int] = field(default_factory=set)
    declared_package: set[int] = field(default_factory=set)
    fields: dict[str, int] = field(default_factory=dict)
    size_cells: int = 0
    first_reference: int = NO_TOKEN
    reference_count: int = 0
    mirandas: list[Method] = field(default_factory=list)
    statics: dict[str, int] = field(default_factory=dict)
    static_methods: dict[str, int] = field(default_factory=dict)


def is_virtual(method: Method) -> bool:
    """Tell whether a method is dispatched on its receiver's class."""
    return not method.access & (Acc.STATIC | Acc.PRIVATE) and method.name[0] != "<"


class Tokens:
    """Tokens of all own classes.

    Args:
        universe: what there is.
        order: own classes, each behind its superclass and its interfaces.
        exports: True for a library: its public members get tokens. An applet package exports shareable interfaces only.

    Raises:
        CapError: too many methods or fields.
    """

    def __init__(self, universe: Universe, order: list[ClassFile], *, exports: bool) -> None:
        self.universe = universe
        self.classes: dict[str, ClassTokens] = {}
        self._overridden = self._count_overriding(order)
        for cls in order:
            tokens = self.classes[cls.name] = ClassTokens()
            if cls.is_interface:
                self._interface(cls, tokens)
            else:
                self._virtual(cls, tokens)
                self._fields(cls, tokens)
        self._export(order, exports=exports)

    def _count_overriding(self, order: list[ClassFile]) -> dict[tuple[str, str], int]:
        """Return in how many own classes a class's method is overridden, by class and key."""
        counts: dict[tuple[str, str], int] = {}
        for cls in order:
            for ancestor in list(self.universe.ancestors(cls.name))[1:]:
                for method in cls.methods:
                    if is_virtual(method):
                        counts[ancestor, method.key] = counts.get((ancestor, method.key), 0) + 1
        return counts

    def _interface(self, cls: ClassFile, tokens: ClassTokens) -> None:
        for interface in self.universe.interfaces(cls.name):
            for key in self.interface_methods(interface):
                tokens.public.setdefault(key, len(tokens.public))
        for method in cls.methods:
            if method.name != "<clinit>":
                tokens.public.setdefault(method.key, len(tokens.public))
        if len(tokens.public) > NO_TOKEN:
            raise CapError(f"{len(tokens.public)} methods in an interface, {NO_TOKEN} at most", where=cls.place())

    def interface_methods(self, name: str) -> dict[str, int]:
        """Return an interface's methods, inherited ones among them, with their tokens."""
        if name in self.classes:
            return self.classes[name].public
        api = self.universe.api_class(name)
        return {} if api is None else {key: m.token for key, m in api.methods.items()}

    def _virtual(self, cls: ClassFile, tokens: ClassTokens) -> None:
        super_name = cls.super_name or OBJECT
        inherited = self.classes.get(super_name)
        if inherited is not None:
            tokens.public, tokens.package = dict(inherited.public), dict(inherited.package)
            tokens.public_table = list(inherited.public_table)
            tokens.package_table = list(inherited.package_table)
        else:
            api = self.universe.api_class(super_name)
            if api is None:
                raise CapError(f"the superclass {dotted(super_name)} is not known", where=cls.place())
            tokens.public = {
                key: m.token for key, m in api.methods.items() if not m.access & Acc.STATIC and m.name != "<init>"
            }
            tokens.public_table = [None] * (max(tokens.public.values(), default=-1) + 1)
        if cls.access & Acc.ABSTRACT:
            tokens.mirandas = self._mirandas(cls, tokens)
        # What subclasses override gets the last tokens: a subclass's table begins with the first that it overrides.
        declared = [method for method in (*cls.methods, *tokens.mirandas) if is_virtual(method)]
        for method in sorted(declared, key=lambda each: self._overridden.get((cls.name, each.key), 0)):
            self._method(cls, method, tokens)
        if max(len(tokens.public_table), len(tokens.package_table)) > _MAX_VIRTUAL + 1:
            raise CapError(f"more than {_MAX_VIRTUAL + 1} virtual methods", where=cls.place())

    def _mirandas(self, cls: ClassFile, tokens: ClassTokens) -> list[Method]:
        declared = {method.key for method in cls.methods}
        missing: dict[str, Method] = {}
        for interface in self.universe.interfaces(cls.name):
            for key in self.interface_methods(interface):
                if key not in declared and key not in tokens.public:
                    name, paren, rest = key.partition("(")
                    missing[key] = Method(Acc.PUBLIC | Acc.ABSTRACT, name, paren + rest)
        return list(missing.values())

    @staticmethod
    def _method(owner: ClassFile, method: Method, tokens: ClassTokens) -> None:
        here = (owner.name, method.key)
        if method.access & _VISIBLE and method.key in tokens.package:
            # The two would have to be one method under two tokens. Spec: JCVM 3.1, 2.2.1.4.4.
            line = method.code.lines[0][1] if method.code is not None and method.code.lines else None
            raise CapError(
                "overrides a package-visible method as public or protected: give both the same access",
                where=owner.place(method, line),
            )
        if method.access & _VISIBLE:
            token = tokens.public.get(method.key)
            if token is None:
                token = tokens.public[method.key] = len(tokens.public_table)
                tokens.public_table.append(here)
            tokens.public_table[token] = here
            tokens.declared.add(token)
            return
        token = tokens.package.get(method.key)
        if token is None:
            token = tokens.package[method.key] = PACKAGE_BIT | len(tokens.package_table)
            tokens.package_table.append(here)
        tokens.package_table[token & ~PACKAGE_BIT] = here
        tokens.declared_package.add(token & ~PACKAGE_BIT)

    @staticmethod
    def _fields(owner: ClassFile, tokens: ClassTokens) -> None:
        """Order instance fields so that those which hold references are neighbours. Spec: JCVM 3.1, 4.3.7.5."""
        groups: tuple[list[str], ...] = ([], [], [], [])
        for entry in owner.fields:
            if not entry.is_static:
                reference, hidden = entry.descriptor[0] in "L[", not entry.access & _VISIBLE
                groups[(2 if reference else 3) if hidden else (1 if reference else 0)].append(
                    entry.name + entry.descriptor
                )
        token = 0
        for index, group in enumerate(groups):
            for key in group:
                tokens.fields[key] = token
                if index in (1, 2) and tokens.first_reference == NO_TOKEN:
                    tokens.first_reference = token
                token += 2 if key.endswith("I") and index in (0, 3) else 1
        tokens.reference_count = len(groups[1]) + len(groups[2])
        tokens.size_cells = token
        if token > NO_TOKEN:
            raise CapError(f"{token} cells of instance fields, {NO_TOKEN} at most", where=owner.place())

    def _export(self, order: list[ClassFile], *, exports: bool) -> None:
        """Give public classes tokens; in an applet package the shareable interfaces, alone exported, come first."""
        public = [cls for cls in order if cls.access & Acc.PUBLIC]
        if not exports:
            public.sort(key=lambda cls: not self.is_exported_by_applets(cls))
        if len(public) > NO_TOKEN:
            raise CapError(f"{len(public)} public classes, {NO_TOKEN} at most")
        for token, cls in enumerate(public):
            tokens = self.classes[cls.name]
            tokens.token = token
            tokens.exported = exports or self.is_exported_by_applets(cls)
        for cls in order:
            tokens = self.classes[cls.name]
            for method in cls.methods:
                if method.access & _VISIBLE and not is_virtual(method) and method.name != "<clinit>":
                    tokens.static_methods[method.key] = len(tokens.static_methods)
            for entry in cls.fields:
                if entry.is_static and entry.access & _VISIBLE and not is_constant(entry.access, entry.constant):
                    tokens.statics[entry.name + entry.descriptor] = len(tokens.statics)

    def is_exported_by_applets(self, cls: ClassFile) -> bool:
        """Tell whether a class is exported even by a package with applets: a public shareable interface."""
        return cls.is_interface and self.universe.is_shareable(cls.name)


def is_constant(access: int, constant: object) -> bool:
    """Tell whether a field is a compile-time constant, which its users hold and no card does."""
    return bool(access & Acc.FINAL) and constant is not None
