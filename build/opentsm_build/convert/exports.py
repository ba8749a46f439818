"""What a converted package offers to others: the content of its export file. Spec: JCVM 3.1, 5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.api.model import SHAREABLE, ApiClass, ApiField, ApiMethod, ApiPackage
from opentsm_build.classfile.access_tables import Acc
from opentsm_build.convert.tokens import NO_TOKEN, is_constant, is_virtual

if TYPE_CHECKING:
    from opentsm_build.classfile import ClassFile
    from opentsm_build.convert.package import Package
    from opentsm_build.convert.tokens import ClassTokens, Tokens
    from opentsm_build.convert.universe import Universe

__all__ = ["exported_package"]

_VISIBLE: Final = Acc.PUBLIC | Acc.PROTECTED
_FIELD_FLAGS: Final = Acc.PUBLIC | Acc.PROTECTED | Acc.STATIC | Acc.FINAL
_CLASS_FLAGS: Final = Acc.PUBLIC | Acc.FINAL | Acc.INTERFACE | Acc.ABSTRACT
_METHOD_FLAGS: Final = _FIELD_FLAGS | Acc.ABSTRACT


def exported_package(package: Package, universe: Universe, tokens: Tokens, order: list[ClassFile]) -> ApiPackage:
    """Return the public classes with their tokens."""
    classes = {cls.name: _class(cls, universe, tokens) for cls in order if tokens.classes[cls.name].exported}
    return ApiPackage(package.name, package.aid, package.version, classes)


def _class(cls: ClassFile, universe: Universe, tokens: Tokens) -> ApiClass:
    own = tokens.classes[cls.name]
    flags = cls.access & _CLASS_FLAGS | (SHAREABLE if universe.is_shareable(cls.name) else 0)
    methods: dict[str, ApiMethod] = {}
    supers = list(universe.ancestors(cls.name))[1:]
    for ancestor in reversed([cls.name, *supers]):
        if (api := universe.api_class(ancestor)) is not None:
            methods |= {k: m for k, m in api.methods.items() if not m.access & Acc.STATIC and m.name != "<init>"}
        declared = universe.own.get(ancestor)
        if declared is None:
            continue
        for method in (*declared.methods, *tokens.classes[ancestor].mirandas):
            if is_virtual(method) and method.access & _VISIBLE:
                methods[method.key] = _method(method.key, own.public[method.key], method.access & _METHOD_FLAGS)
    if cls.is_interface:
        methods = {key: _method(key, token, Acc.PUBLIC | Acc.ABSTRACT) for key, token in own.public.items()}
    for method in cls.methods:
        if method.key in own.static_methods:
            methods[method.key] = _method(method.key, own.static_methods[method.key], method.access & _METHOD_FLAGS)
    fields = _fields(cls, own)
    interfaces = dict.fromkeys(
        interface for ancestor in reversed([cls.name, *supers]) for interface in universe.interfaces(ancestor)
    )
    return ApiClass(own.token, flags, cls.name, tuple(reversed(supers)), tuple(interfaces), methods, fields)


def _fields(cls: ClassFile, own: ClassTokens) -> dict[str, ApiField]:
    fields: dict[str, ApiField] = {}
    for entry in cls.fields:
        if not entry.access & _VISIBLE:
            continue
        key, constant = entry.name + entry.descriptor, None
        if is_constant(entry.access, entry.constant):
            if not isinstance(entry.constant, int):
                continue
            token, constant = NO_TOKEN, entry.constant
        else:
            token = own.statics.get(key, NO_TOKEN) if entry.is_static else own.fields[key]
        fields[key] = ApiField(token, entry.access & _FIELD_FLAGS, entry.name, entry.descriptor, constant)
    return fields


def _method(key: str, token: int, access: int) -> ApiMethod:
    name, paren, rest = key.partition("(")
    return ApiMethod(token, access, name, paren + rest)
