"""The Descriptor component of a converted package. Spec: JCVM 3.1, 6.14."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.cap.descriptor import (
    NO_TYPE,
    ClassDescriptorInfo,
    DescriptorComponent,
    FieldDescriptorInfo,
    MethodDescriptorInfo,
    TypeDescriptorInfo,
    primitive_type,
)
from opentsm_build.classfile.access_tables import Acc
from opentsm_build.convert.link import method_token
from opentsm_build.convert.ops import CLASS_REF
from opentsm_build.convert.tokens import NO_TOKEN, is_constant

if TYPE_CHECKING:
    from opentsm_build.cap.types import TypeDescriptor
    from opentsm_build.classfile import ClassFile, Field, Method
    from opentsm_build.convert.link import Linker

__all__ = ["describe"]

# public, private, protected, static, final have the same bits in class files and here.
_MEMBER_FLAGS: Final = Acc.PUBLIC | Acc.PRIVATE | Acc.PROTECTED | Acc.STATIC | Acc.FINAL
_METHOD_ABSTRACT, _METHOD_INIT = 0x40, 0x80
_CLASS_INTERFACE, _CLASS_ABSTRACT = 0x40, 0x80


class _Types:
    """The type table: each descriptor once."""

    def __init__(self, linker: Linker) -> None:
        self._linker = linker
        self._first = 2 + 2 * len(linker.pool.references)
        self._offsets: dict[TypeDescriptor, int] = {}
        self._known: dict[str, int] = {}
        self._next = self._first

    def offset(self, descriptor: str) -> int:
        known = self._known.get(descriptor)
        if known is None:
            signature = self._linker.signature(descriptor)
            known = self._offsets.get(signature)
            if known is None:
                known = self._offsets[signature] = self._next
                self._next += 1 + (len(signature.nibbles) + 1) // 2
            self._known[descriptor] = known
        return known

    def table(self) -> tuple[TypeDescriptor, ...]:
        return tuple(self._offsets)


def describe(linker: Linker) -> DescriptorComponent:
    """Return the Descriptor component of a package whose methods and classes have their places."""
    types = _Types(linker)
    pool = tuple(
        NO_TYPE if reference[0] == CLASS_REF or reference[3] is None else types.offset(reference[3])
        for reference in linker.pool.references
    )
    classes = tuple(_class(linker, cls, types) for cls in linker.order)
    return DescriptorComponent(classes, TypeDescriptorInfo(pool, types.table()))


def _class(linker: Linker, cls: ClassFile, types: _Types) -> ClassDescriptorInfo:
    tokens = linker.tokens.classes[cls.name]
    flags = cls.access & (Acc.PUBLIC | Acc.FINAL)
    if cls.is_interface:
        flags |= _CLASS_INTERFACE
    if cls.access & Acc.ABSTRACT:
        flags |= _CLASS_ABSTRACT
    fields = [
        _field(linker, cls, entry, types) for entry in cls.fields if not is_constant(entry.access, entry.constant)
    ]
    if cls.is_interface:
        methods = [
            MethodDescriptorInfo(token, Acc.PUBLIC | _METHOD_ABSTRACT, 0, types.offset(key[key.index("(") :]), 0)
            for key, token in tokens.public.items()
        ]
    else:
        methods = [_method(linker, cls, method, types) for method in linker.methods_of(cls)]
    interfaces = () if cls.is_interface else tuple(map(linker.class_ref, linker.universe.interfaces(cls.name)))
    return ClassDescriptorInfo(
        tokens.token, flags, linker.class_ref(cls.name), interfaces, tuple(fields), tuple(methods)
    )


def _field(linker: Linker, cls: ClassFile, entry: Field, types: _Types) -> FieldDescriptorInfo:
    tokens = linker.tokens.classes[cls.name]
    key = entry.name + entry.descriptor
    if entry.is_static:
        token = tokens.statics.get(key, NO_TOKEN)
        place = b"\0" + linker.statics.offsets[cls.name, key].to_bytes(2, "big")
    else:
        token = tokens.fields[key]
        place = linker.class_ref(cls.name).to_bytes(2, "big") + bytes((token,))
    primitive = entry.descriptor in "ZBSI"
    kind = primitive_type(linker.jc_type(entry.descriptor).nibble) if primitive else types.offset(entry.descriptor)
    return FieldDescriptorInfo(token, entry.access & _MEMBER_FLAGS, place, kind)


def _method(linker: Linker, cls: ClassFile, method: Method, types: _Types) -> MethodDescriptorInfo:
    key = (cls.name, method.key)
    flags = method.access & _MEMBER_FLAGS
    if method.access & Acc.ABSTRACT:
        flags |= _METHOD_ABSTRACT
    if method.name == "<init>":
        flags |= _METHOD_INIT
    code = linker.codes.get(key)
    count = 0 if code is None else len(code.handlers)
    return MethodDescriptorInfo(
        method_token(linker.tokens, cls, method),
        flags,
        linker.method_offsets[key],
        types.offset(method.descriptor),
        0 if code is None else len(code.code),
        count,
        linker.handler_indices[key] if count else 0,
    )
