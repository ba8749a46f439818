"""Small CAP files made by hand: a few lines of assembly in a package that is complete around them.

The package `craft` has an interface `Sink` (one method, `take(byte[]) short`), a class `Base` that implements it, and a
class `Applet`, which extends javacard.framework.Applet. `craft` puts code into one method of `Applet`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

from opentsm_build import instructions
from opentsm_build.cap import CapFile, ComponentTag
from opentsm_build.cap.classes import ClassComponent, ClassFlag, ClassInfo, ImplementedInterfaceInfo, InterfaceInfo
from opentsm_build.cap.constant_pool import ConstantPoolComponent, ConstantPoolEntry, ConstantPoolTag
from opentsm_build.cap.descriptor import (
    NO_TOKEN,
    NO_TYPE,
    AccessFlag,
    ClassDescriptorInfo,
    DescriptorComponent,
    FieldDescriptorInfo,
    MethodDescriptorInfo,
    TypeDescriptorInfo,
    primitive_type,
)
from opentsm_build.cap.header import (
    AppletComponent,
    AppletInfo,
    DirectoryComponent,
    HeaderComponent,
    ImportComponent,
    PackageInfo,
    StaticFieldSizeInfo,
)
from opentsm_build.cap.methods import ExceptionHandlerInfo, MethodComponent, MethodFlag, MethodInfo
from opentsm_build.cap.reference_location import ReferenceLocationComponent
from opentsm_build.cap.static_fields import ArrayInitInfo, StaticFieldComponent
from opentsm_build.cap.tags_tables import HeaderFlag
from opentsm_build.cap.types import ClassRef, JcType, TypeDescriptor, TypeNibble
from opentsm_build.opcode_tables import BY_NAME
from opentsm_card.aid import Aid

__all__ = ["APPLET_AID", "PACKAGE", "Code", "Handler", "assemble", "craft"]

PACKAGE: Final = PackageInfo(Aid.from_text("F00000010203"), (1, 0))
APPLET_AID: Final = Aid.from_text("F0000001020301")
_IMPORTS: Final = (
    PackageInfo(Aid.from_text("A0000000620101"), (1, 0)),  # javacard.framework
    PackageInfo(Aid.from_text("A0000000620001"), (1, 0)),  # java.lang
)
_APPLET: Final = ClassRef.external(0, 3)
_APDU: Final = ClassRef.external(0, 10)
_OBJECT: Final = ClassRef.external(1, 0)
_EXCEPTION: Final = ClassRef.external(1, 2)
_NULL_POINTER: Final = ClassRef.external(1, 7)
_MEMBER = ConstantPoolEntry.of_member
_STATIC = ConstantPoolEntry.of_imported_static
# Where the classes come to lie (format 2.1): Sink, Base, Applet.
_SINK: Final = ClassRef(0)
_BASE: Final = ClassRef(1)
_SELF: Final = ClassRef(17)

_B, _S, _I, _V = (JcType(nibble) for nibble in (TypeNibble.BYTE, TypeNibble.SHORT, TypeNibble.INT, TypeNibble.VOID))
_BYTES: Final = JcType(TypeNibble.BYTE_ARRAY)


def _class(ref: ClassRef) -> JcType:
    return JcType(TypeNibble.REFERENCE, ref)


_LETTERS: Final = {
    "V": _V, "B": _B, "S": _S, "I": _I, "Z": JcType(TypeNibble.BOOLEAN),
    "b": _BYTES, "s": JcType(TypeNibble.SHORT_ARRAY), "i": JcType(TypeNibble.INT_ARRAY),
    "z": JcType(TypeNibble.BOOLEAN_ARRAY), "o": JcType(TypeNibble.REFERENCE_ARRAY, _OBJECT),
    "O": _class(_OBJECT), "A": _class(_APDU), "T": _class(_SELF), "P": _class(_BASE), "K": _class(_SINK),
    "X": _class(_EXCEPTION),
}  # fmt: skip


def signature(letters: str) -> tuple[JcType, ...]:
    """Return types by letters: V B S I Z, b s i z for arrays, O A T P K X for classes; the result comes last."""
    return tuple(_LETTERS[letter] for letter in letters)


@dataclass(frozen=True)
class Handler:
    """An exception handler by labels; `catch` names an entry of the pool."""

    start: str
    end: str
    at: str
    catch: str | None = None
    stop: bool = True


@dataclass(frozen=True)
class Code:
    """A method: assembly, signature (see `signature`), sizes, flags and handlers."""

    text: str
    types: str = "V"
    stack: int = 6
    locals: int = 3
    access: int = AccessFlag.PRIVATE | AccessFlag.STATIC
    handlers: tuple[Handler, ...] = ()
    token: int = NO_TOKEN


# Constant pool: name -> (entry, type); entries of this package's own methods are filled in when they are laid out.
_POOL: Final[dict[str, tuple[ConstantPoolEntry | str, str | None]]] = {
    "Base.count": (_MEMBER(ConstantPoolTag.INSTANCE_FIELDREF, _BASE, 0), "S"),
    "Base.hidden": (_MEMBER(ConstantPoolTag.INSTANCE_FIELDREF, _BASE, 1), "B"),
    "Applet.sink": (_MEMBER(ConstantPoolTag.INSTANCE_FIELDREF, _SELF, 0), "K"),
    "Applet.data": (_MEMBER(ConstantPoolTag.INSTANCE_FIELDREF, _SELF, 1), "b"),
    "Applet.large": (_MEMBER(ConstantPoolTag.INSTANCE_FIELDREF, _SELF, 2), "S"),
    "static.table": (ConstantPoolEntry.of_static(ConstantPoolTag.STATIC_FIELDREF, 0), "b"),
    "static.total": (ConstantPoolEntry.of_static(ConstantPoolTag.STATIC_FIELDREF, 2), "S"),
    "Object": (ConstantPoolEntry.of_class(_OBJECT), None),
    "Exception": (ConstantPoolEntry.of_class(_EXCEPTION), None),
    "NullPointer": (ConstantPoolEntry.of_class(_NULL_POINTER), None),
    "Applet": (ConstantPoolEntry.of_class(_SELF), None),
    "Base": (ConstantPoolEntry.of_class(_BASE), None),
    "Sink": (ConstantPoolEntry.of_class(_SINK), None),
    "Object.<init>": (_STATIC(ConstantPoolTag.STATIC_METHODREF, _OBJECT, 0), "V"),
    "framework.Applet.<init>": (_STATIC(ConstantPoolTag.STATIC_METHODREF, _APPLET, 0), "V"),
    "register": (_MEMBER(ConstantPoolTag.VIRTUAL_METHODREF, _SELF, 1), "V"),
    "APDU.getBuffer": (_MEMBER(ConstantPoolTag.VIRTUAL_METHODREF, _APDU, 1), "b"),
    "take": (_MEMBER(ConstantPoolTag.VIRTUAL_METHODREF, _BASE, 1), "bS"),
    "super.select": (_MEMBER(ConstantPoolTag.SUPER_METHODREF, _SELF, 6), "Z"),
    "Base.<init>": ("base", "V"),
    "Applet.<init>": ("init", "V"),
    "probe": ("probe", None),
}
_NAMES: Final = list(_POOL)


def assemble(text: str) -> tuple[bytes, dict[str, int]]:
    """Assemble lines of `label:`, mnemonics and operands (numbers, labels, names of the pool); `#` begins a comment.

    Returns:
        The bytecodes, and the labels' offsets; `end` is behind the last instruction.
    """
    lines: list[tuple[str, list[str], int]] = []
    labels: dict[str, int] = {}
    pc = 0
    for raw in text.replace(";", "\n").splitlines():
        words = raw.partition("#")[0].split()
        while words and words[0].endswith(":"):
            labels[words.pop(0)[:-1]] = pc
        if not words:
            continue
        lines.append((words[0], words[1:], pc))
        zeros = tuple(_number(word, {}, 0) for word in words[1:])
        pc += len(instructions.encode(BY_NAME[words[0]], zeros))
    labels["end"] = pc
    parts = [
        instructions.encode(BY_NAME[name], tuple(_number(word, labels, at) for word in operands))
        for name, operands, at in lines
    ]
    return b"".join(parts), labels


def _number(word: str, labels: dict[str, int], at: int) -> int:
    if word in _POOL:
        return _NAMES.index(word)
    if word.lstrip("-").isdigit() or word.startswith("0x"):
        return int(word, 0)
    return labels[word] - at if labels else 0


_DEFAULTS: Final = {
    "base": Code(
        "aload_0; invokespecial Object.<init>; return", "V", access=AccessFlag.PUBLIC | AccessFlag.INIT, token=0
    ),
    "take": Code("sconst_0; sreturn", "bS", access=AccessFlag.PUBLIC, token=1),
    "init": Code(
        "aload_0; invokespecial framework.Applet.<init>; aload_0; invokevirtual register; return", "V",
        access=AccessFlag.PRIVATE | AccessFlag.INIT,
    ),
    "install": Code(
        "new Applet; invokespecial Applet.<init>; return", "bSBV", access=AccessFlag.PUBLIC | AccessFlag.STATIC, token=0
    ),
    "process": Code("aload_1; invokevirtual APDU.getBuffer; pop; return", "AV", access=AccessFlag.PUBLIC, token=7),
    "probe": Code("return"),
}  # fmt: skip
_OF_BASE: Final = ("base", "take")


def craft(code: Code | None = None, *, int_support: bool = True, **changed: Any) -> CapFile:
    """Return the package, with some code in the method `probe` of `Applet`, or in others by name.

    Args:
        code: of `probe`.
        int_support: whether flag ACC_INT is set.
        changed: other methods (`base`, `take`, `init`, `install`, `process`), as `Code`.
    """
    codes: dict[str, Code] = {**_DEFAULTS, **({"probe": code} if code else {}), **changed}
    handler_count = sum(len(each.handlers) for each in codes.values())
    at = 1 + 8 * handler_count
    offsets, infos, labels, handlers = {}, {}, {}, []
    for name, each in codes.items():
        offsets[name] = at
        bytecodes, labels[name] = assemble(each.text)
        words = sum(kind.words for kind in signature(each.types)[:-1]) + (not each.access & AccessFlag.STATIC)
        infos[name] = MethodInfo.of(each.stack, words, each.locals, bytecodes)
        start = at + infos[name].header_bytes
        for handler in each.handlers:
            first, last = labels[name][handler.start], labels[name][handler.end]
            catch = _NAMES.index(handler.catch) if handler.catch else 0
            handlers.append(
                ExceptionHandlerInfo(start + first, last - first, handler.stop, start + labels[name][handler.at], catch)
            )
        at += infos[name].length_bytes
    methods = MethodComponent(tuple(handlers), b"".join(info.encode() for info in infos.values()))
    return _package(codes, offsets, infos, methods, int_support=int_support)


def _package(
    codes: dict[str, Code],
    offsets: dict[str, int],
    infos: dict[str, MethodInfo],
    methods: MethodComponent,
    *,
    int_support: bool,
) -> CapFile:
    types, type_offsets = _types(codes)
    pool = tuple(
        ConstantPoolEntry.of_static(ConstantPoolTag.STATIC_METHODREF, offsets[entry])
        if isinstance(entry, str)
        else entry
        for entry, _ in _POOL.values()
    )
    classes = ClassComponent(
        (
            InterfaceInfo(ClassFlag.INTERFACE),
            ClassInfo(
                ClassFlag(0), _OBJECT, 2, 0xFF, 0, 1, (offsets["take"],),
                interfaces=(ImplementedInterfaceInfo(_SINK, (1,)),),
            ),
            ClassInfo(ClassFlag(0), _APPLET, 3, 0, 2, 7, (offsets["process"],)),
        )
    )  # fmt: skip
    assert classes.offsets((2, 1)) == (_SINK, _BASE, _SELF)
    static = StaticFieldComponent(4, 1, (ArrayInitInfo(3, b"\x01\x02"),), 2, b"")
    flags = HeaderFlag.APPLET | (HeaderFlag.INT if int_support else HeaderFlag(0))
    components = {
        ComponentTag.HEADER: HeaderComponent((2, 1), flags, PACKAGE).encode(),
        ComponentTag.APPLET: AppletComponent((AppletInfo(APPLET_AID, offsets["install"]),)).encode(),
        ComponentTag.IMPORT: ImportComponent(_IMPORTS).encode(),
        ComponentTag.CONSTANT_POOL: ConstantPoolComponent(pool).encode(),
        ComponentTag.CLASS: classes.encode((2, 1)),
        ComponentTag.METHOD: methods.encode(),
        ComponentTag.STATIC_FIELD: static.encode(),
        ComponentTag.REFERENCE_LOCATION: _locations(offsets, infos, methods).encode(),
        ComponentTag.DESCRIPTOR: _describe(codes, offsets, infos, types, type_offsets).encode(),
    }
    sizes = {tag: len(data) - 3 for tag, data in components.items()} | {ComponentTag.DIRECTORY: 31}
    directory = DirectoryComponent(sizes, StaticFieldSizeInfo(4, 1, 2), len(_IMPORTS), 1)
    components[ComponentTag.DIRECTORY] = directory.encode((2, 1))
    return CapFile(components, folder_name="craft")


def _types(codes: dict[str, Code]) -> tuple[TypeDescriptorInfo, dict[str, int]]:
    wanted = {code.types for code in codes.values()} | {"bS"}
    wanted |= {types for _, types in _POOL.values() if types is not None}
    descriptors = {types: TypeDescriptor.of(signature(types)) for types in sorted(wanted)}
    table = TypeDescriptorInfo((0,) * len(_POOL), tuple(descriptors.values()))
    at = dict(zip(descriptors, table.by_offset(), strict=True))
    pool_types = []
    for entry, own in _POOL.values():
        letters = codes[entry].types if isinstance(entry, str) else own
        pool_types.append(NO_TYPE if letters is None else at[letters])
    return dataclasses.replace(table, constant_pool_types=tuple(pool_types)), at


def _describe(
    codes: dict[str, Code],
    offsets: dict[str, int],
    infos: dict[str, MethodInfo],
    types: TypeDescriptorInfo,
    type_offsets: dict[str, int],
) -> DescriptorComponent:
    described, first = {}, 0
    for name, code in codes.items():
        count = len(code.handlers)
        described[name] = MethodDescriptorInfo(
            code.token, code.access, offsets[name], type_offsets[code.types], len(infos[name].bytecodes), count,
            first if count else 0,
        )  # fmt: skip
        first += count
    sink = MethodDescriptorInfo(0, AccessFlag.PUBLIC | AccessFlag.ABSTRACT, 0, type_offsets["bS"], 0)
    public, private = AccessFlag.PUBLIC, AccessFlag.PRIVATE
    base_fields = (
        FieldDescriptorInfo(0, public, b"\0\1\0", primitive_type(TypeNibble.SHORT)),
        FieldDescriptorInfo(1, private, b"\0\1\1", primitive_type(TypeNibble.BYTE)),
    )
    fields = (
        FieldDescriptorInfo(0, private, b"\0\x11\0", type_offsets["K"]),
        FieldDescriptorInfo(1, private, b"\0\x11\1", type_offsets["b"]),
        FieldDescriptorInfo(2, private, b"\0\x11\2", primitive_type(TypeNibble.SHORT)),
        FieldDescriptorInfo(NO_TOKEN, private | AccessFlag.STATIC, b"\0\0\0", type_offsets["b"]),
        FieldDescriptorInfo(NO_TOKEN, private | AccessFlag.STATIC, b"\0\0\2", primitive_type(TypeNibble.SHORT)),
    )
    own = tuple(method for name, method in described.items() if name not in _OF_BASE)
    return DescriptorComponent(
        (
            ClassDescriptorInfo(0, public | AccessFlag.INTERFACE | AccessFlag.ABSTRACT_CLASS, _SINK, methods=(sink,)),
            ClassDescriptorInfo(1, public, _BASE, (_SINK,), base_fields, tuple(described[name] for name in _OF_BASE)),
            ClassDescriptorInfo(2, public, _SELF, (), fields, own),
        ),
        types,
    )


def _locations(
    offsets: dict[str, int], infos: dict[str, MethodInfo], methods: MethodComponent
) -> ReferenceLocationComponent:
    one: list[int] = []
    two = [1 + 8 * index + 6 for index, handler in enumerate(methods.exception_handlers) if handler.catch_type_index]
    for name, info in infos.items():
        start = offsets[name] + info.header_bytes
        for each in instructions.decode(info.bytecodes):
            skipped = 2 if each.name in {"checkcast", "instanceof", "invokeinterface"} else 1
            if each.name in {"checkcast", "instanceof"} and each.operands[0] not in {0, 14}:
                continue
            if "cp1" in each.opcode.operands:
                one.append(start + each.pc + skipped)
            elif "cp2" in each.opcode.operands:
                two.append(start + each.pc + skipped)
    return ReferenceLocationComponent(tuple(one), tuple(two))


# A method without code.
ABSTRACT: Final = MethodFlag.ABSTRACT
