"""Leave out methods and classes that can never be reached: memory on a card is scarce.

What a package's applets, the platform and other packages can call is where it begins: the applets' `install`, what
overrides or implements something of an imported package, the methods of shareable interfaces, and of a library all that
is seen outside. A virtual method is reachable when one of its name and signature is called anywhere. Fields stay: so do
objects' sizes, and what the author counts on.

Spec: JCVM 3.1, 6.13 (an applet package exports shareable interfaces only).
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Final

from opentsm_build.classfile.access_tables import Acc
from opentsm_build.classfile.bytecode import decode
from opentsm_build.convert.tokens import is_virtual

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.classfile import ClassFile, Method
    from opentsm_build.classfile.bytecode import Insn
    from opentsm_build.convert.package import Package
    from opentsm_build.convert.universe import Universe

__all__ = ["prune"]

_INSTALL: Final = "install([BSB)V"
_VISIBLE: Final = Acc.PUBLIC | Acc.PROTECTED
_CLASS_NAMES: Final = re.compile(r"L([^;]+);")
_TYPED: Final = frozenset({"new", "anewarray", "checkcast", "instanceof"})


def prune(package: Package, universe: Universe) -> tuple[dict[str, ClassFile], dict[tuple[str, str], list[Insn]]]:
    """Return the classes that can be reached, with the methods that can be, and these methods' instructions."""
    reach = _Reach(package, universe)
    return reach.pruned(), reach.decoded


class _Reach:
    def __init__(self, package: Package, universe: Universe) -> None:
        self.universe = universe
        self.classes: set[str] = set()
        self.methods: set[tuple[str, str]] = set()
        self.called: set[str] = set()
        self.decoded: dict[tuple[str, str], list[Insn]] = {}
        self.todo: list[tuple[ClassFile, Method]] = []
        self.waiting: dict[str, list[tuple[ClassFile, Method]]] = {}
        if package.applets:
            for _, name in package.applets:
                self.use_class(name)
                self.use_method(name, _INSTALL)
            roots = [n for n, cls in universe.own.items() if cls.is_interface and universe.is_shareable(n)]
        else:
            roots = list(universe.own)
        for name in roots:
            cls = universe.own[name]
            if package.applets or cls.access & Acc.PUBLIC:
                self.use_class(name)
                for method in cls.methods:
                    if method.access & _VISIBLE:
                        self.use_method(name, method.key)
                        self.call(method.key)
        while self.todo:
            self.scan(*self.todo.pop())

    def use_class(self, name: str) -> None:
        """Keep a class, and what it is made of."""
        cls = self.universe.own.get(name)
        if cls is None or name in self.classes:
            return
        self.classes.add(name)
        for above in (cls.super_name, *cls.interfaces):
            self.use_class(above or "")
        for entry in cls.fields:
            self.use_types(entry.descriptor)
        outside = self.outside(name)
        for method in cls.methods:
            if method.name == "<clinit>":
                self.methods.add((name, method.key))
            elif is_virtual(method):
                if method.key in outside or method.key in self.called:
                    self.use_method(name, method.key)
                else:
                    self.waiting.setdefault(method.key, []).append((cls, method))

    def outside(self, name: str) -> set[str]:
        """Return the methods that code of other packages may call on a class."""
        keys: set[str] = set()
        for ancestor in self.universe.ancestors(name):
            for each in (ancestor, *self.universe.interfaces(ancestor)):
                api = self.universe.api_class(each)
                if api is not None:
                    keys.update(api.methods)
                elif each in self.universe.own and self.universe.is_shareable(each):
                    keys.update(method.key for method in self.universe.own[each].methods)
        return keys

    def use_types(self, descriptor: str) -> None:
        for name in _CLASS_NAMES.findall(descriptor):
            self.use_class(name)

    def use_method(self, name: str, key: str) -> None:
        found = self.universe.own_method(name, key)
        if found is not None and (name, key) not in self.methods:
            self.methods.add((name, key))
            self.todo.append((self.universe.own[name], found))

    def call(self, key: str) -> None:
        """Keep the virtual methods of a name and signature, in the classes that are there and those to come."""
        if key not in self.called:
            self.called.add(key)
            for cls, method in self.waiting.pop(key, []):
                self.use_method(cls.name, method.key)

    def scan(self, cls: ClassFile, method: Method) -> None:
        """Follow what a method that is reached refers to."""
        self.use_class(cls.name)
        self.use_types(method.descriptor)
        if method.code is None:
            return
        for handler in method.code.handlers:
            self.use_class(handler.catch_type or "")
        insns = self.decoded[cls.name, method.key] = decode(method.code.code, cls.pool, cls.place(method))
        for insn in insns:
            if insn.name in _TYPED and isinstance(insn.arg, str):
                self.use_class(insn.arg.lstrip("[").removeprefix("L").removesuffix(";"))
            elif isinstance(insn.arg, tuple) and len(insn.arg) == 3:
                self.use_member(insn.name, insn.arg)

    def use_member(self, instruction: str, member: tuple[str, str, str]) -> None:
        owner, name, descriptor = member
        key = name + descriptor
        self.use_class(owner)
        self.use_types(descriptor)
        if not instruction.startswith("invoke"):
            found_field = self.universe.find_field(owner, key)
            self.use_class(found_field[0] if found_field is not None else "")
            return
        if owner.startswith("["):
            return
        if instruction in ("invokevirtual", "invokeinterface"):
            self.call(key)
        found = self.universe.find_method(owner, key)
        if found is not None:
            self.use_class(found[0])
            self.use_method(found[0], key)

    def pruned(self) -> dict[str, ClassFile]:
        return {
            name: dataclasses.replace(cls, methods=tuple(self.kept(cls)))
            for name, cls in self.universe.own.items()
            if name in self.classes
        }

    def kept(self, cls: ClassFile) -> Iterable[Method]:
        return (method for method in cls.methods if (cls.name, method.key) in self.methods)
