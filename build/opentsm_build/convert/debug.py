"""The Debug component: names, source lines and variables, for debuggers.

Spec: JCVM 3.1, 6.15 (format 2.2 and later).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.cap.codec import encode_component, u1, u2, u4
from opentsm_build.cap.tags_tables import ComponentTag
from opentsm_build.convert.tokens import is_constant
from opentsm_build.convert.universe import OBJECT

if TYPE_CHECKING:
    from opentsm_build.classfile import ClassFile, Field, Method
    from opentsm_build.convert.assemble import Assembled
    from opentsm_build.convert.link import Linker

__all__ = ["debug_component"]

_NOWHERE: Final = 0xFFFF
_FLAGS: Final = 0x0FFF


class _Strings:
    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def index(self, text: str) -> bytes:
        return u2(self.known.setdefault(text, len(self.known)))

    def encode(self) -> bytes:
        texts = [text.encode() for text in self.known]
        return u2(len(texts)) + b"".join(u2(len(text)) + text for text in texts)


def debug_component(linker: Linker) -> bytes:
    """Return the Debug component of a package whose methods and classes have their places."""
    strings = _Strings()
    package = strings.index(linker.package.name)
    classes = [_class(linker, cls, strings) for cls in linker.order]
    body = package + u2(len(classes)) + b"".join(classes)
    return encode_component(ComponentTag.DEBUG, [strings.encode(), body])


def _class(linker: Linker, cls: ClassFile, strings: _Strings) -> bytes:
    interfaces = cls.interfaces
    methods = [method for method in cls.methods if method.name != "<clinit>"]
    parts = [
        strings.index(cls.name),
        u2(cls.access & _FLAGS),
        u2(linker.class_ref(cls.name)),
        strings.index(cls.super_name or OBJECT),
        strings.index(cls.source_file or ""),
        u1(len(interfaces)),
        u2(len(cls.fields), len(methods)),
        *(strings.index(name) for name in interfaces),
        *(_field(linker, cls, entry, strings) for entry in cls.fields),
        *(_method(linker, cls, method, strings) for method in methods),
    ]
    return b"".join(parts)


def _field(linker: Linker, cls: ClassFile, entry: Field, strings: _Strings) -> bytes:
    head = strings.index(entry.name) + strings.index(entry.descriptor) + u2(entry.access & _FLAGS)
    key = entry.name + entry.descriptor
    if is_constant(entry.access, entry.constant):
        value = entry.constant if isinstance(entry.constant, int) else 0
        return head + u4(value & 0xFFFFFFFF)
    if entry.is_static:
        return head + u2(0, linker.statics.offsets[cls.name, key])
    return head + u4(linker.tokens.classes[cls.name].fields[key])


def _method(linker: Linker, cls: ClassFile, method: Method, strings: _Strings) -> bytes:
    head = strings.index(method.name) + strings.index(method.descriptor) + u2(method.access & _FLAGS)
    code = linker.codes.get((cls.name, method.key))
    if code is None:
        place = linker.method_offsets.get((cls.name, method.key))
        return head + u2(_NOWHERE if place is None else place) + u1(0) + u2(0, 0, 0)
    assert method.code is not None
    info = linker.method_info(cls, method)
    variables = _variables(linker, cls, method, strings)
    lines = _lines(code, method)
    return b"".join(
        [
            head,
            u2(linker.method_offsets[cls.name, method.key]),
            u1(info.header_bytes),
            u2(len(code.code), len(variables), len(lines)),
            *variables,
            *lines,
        ]
    )


def _offset(code: Assembled, pc: int) -> int:
    """Return where a JVM pc is in the card's bytecodes."""
    return next((offset for offset, origin in code.pcs if origin >= pc), len(code.code))


def _variables(linker: Linker, cls: ClassFile, method: Method, strings: _Strings) -> list[bytes]:
    assert method.code is not None
    code = linker.codes[cls.name, method.key]
    rows = []
    for variable in method.code.variables:
        slot = next(
            (
                local
                for pc, source, local in linker.locals.get((cls.name, method.key), ())
                if source == variable.slot and variable.start_pc - 2 <= pc <= variable.start_pc + variable.length
            ),
            None,
        )
        if slot is not None:
            start = _offset(code, variable.start_pc)
            length = _offset(code, variable.start_pc + variable.length) - start
            names = strings.index(variable.name) + strings.index(variable.descriptor)
            rows.append(u1(slot) + names + u2(start, max(length, 0)))
    return rows


def _lines(code: Assembled, method: Method) -> list[bytes]:
    assert method.code is not None
    rows: list[tuple[int, int]] = []
    for offset, pc in code.pcs:
        line = method.code.line_at(pc)
        if line is not None and (not rows or rows[-1][1] != line):
            rows.append((offset, line))
    ends = [start - 1 for start, _ in rows[1:]] + [len(code.code) - 1]
    return [u2(start, end, line) for (start, line), end in zip(rows, ends, strict=True)]
