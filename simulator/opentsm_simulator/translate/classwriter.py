"""JVM class files, written: constant pool, fields, methods, code with labels.

Class-file version 49: its verifier infers types, so no stack maps are needed, and jsr and ret are allowed.

Spec: Java Virtual Machine Specification, Java SE 8, chapter 4.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import CapError
from opentsm_simulator.translate.jvm_tables import OP

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["ACC_INTERFACE", "ACC_PUBLIC", "ACC_STATIC", "ACC_SYNTHETIC", "ClassWriter", "Code", "Label"]

_MAGIC: Final = 0xCAFEBABE
_VERSION: Final = 49
_MAX_CODE_BYTES: Final = 0xFFFF
_MAX_POOL: Final = 0xFFFF
_WIDE: Final = 0xC4
# iload_0, aload_0, istore_0, astore_0: each is followed by those of locals 1 to 3. What is small, the JVM puts in line.
_FIRST_SHORT_FORM: Final = {"iload": 0x1A, "aload": 0x2A, "istore": 0x3B, "astore": 0x4B}
_SHORT_FORMS: Final = 4

ACC_PUBLIC: Final = 0x0001
ACC_STATIC: Final = 0x0008
ACC_SYNTHETIC: Final = 0x1000
_ACC_SUPER: Final = 0x0020
ACC_INTERFACE: Final = 0x0200
ACC_ABSTRACT: Final = 0x0400


class Label:
    """A place in code, known once it was put there."""

    __slots__ = ("offset",)

    def __init__(self) -> None:
        self.offset: int | None = None


@dataclass(frozen=True, slots=True)
class _Jump:
    at: int
    origin: int
    target: Label
    wide: bool


class Code:
    """Code of one method, appended instruction by instruction.

    Args:
        pool: the class it belongs to.
        max_stack: slots of operand stack.
        max_locals: slots of locals.
    """

    def __init__(self, pool: ClassWriter, max_stack: int, max_locals: int) -> None:
        self._pool = pool
        self._code = bytearray()
        self._jumps: list[_Jump] = []
        self._handlers: list[tuple[Label, Label, Label, str | None]] = []
        self._lines: list[tuple[int, int]] = []
        self._max_stack = max_stack
        self.max_locals = max_locals

    def op(self, name: str) -> None:
        """Append an instruction without operands."""
        self._code.append(OP[name])

    def label(self, label: Label) -> None:
        """Put a label here."""
        label.offset = len(self._code)

    def line(self, number: int) -> None:
        """Say which line the code that follows is of, 0..65535."""
        if not self._lines or self._lines[-1][1] != number:
            self._lines.append((len(self._code), number))

    def push(self, value: int) -> None:
        """Push an int constant."""
        if -1 <= value <= 5:
            self._code.append(OP["iconst_0"] + value)
        elif -0x80 <= value < 0x80:
            self._code += struct.pack(">Bb", OP["bipush"], value)
        elif -0x8000 <= value < 0x8000:
            self._code += struct.pack(">Bh", OP["sipush"], value)
        else:
            self._code += struct.pack(">BH", OP["ldc_w"], self._pool.integer(value))

    def string(self, text: str) -> None:
        """Push a string constant of characters up to FF."""
        self._code += struct.pack(">BH", OP["ldc_w"], self._pool.string(text))

    def local(self, name: str, index: int) -> None:
        """Append a load, store or ret of a local."""
        if index < _SHORT_FORMS and name in _FIRST_SHORT_FORM:
            self._code.append(_FIRST_SHORT_FORM[name] + index)
        elif index <= 0xFF:
            self._code += bytes((OP[name], index))
        else:
            self._code += struct.pack(">BBH", _WIDE, OP[name], index)

    def increment(self, index: int) -> None:
        """Append an iinc by one."""
        if index <= 0xFF:
            self._code += bytes((OP["iinc"], index, 1))
        else:
            self._code += struct.pack(">BBHh", _WIDE, OP["iinc"], index, 1)

    def jump(self, name: str, target: Label) -> None:
        """Append a branch, goto or jsr."""
        self._jumps.append(_Jump(len(self._code) + 1, len(self._code), target, wide=False))
        self._code += bytes((OP[name], 0, 0))

    def table_switch(self, default: Label, low: int, targets: Sequence[Label]) -> None:
        """Append a tableswitch over consecutive keys."""
        self._switch(
            "tableswitch", default, struct.pack(">ii", low, low + len(targets) - 1), [(b"", t) for t in targets]
        )

    def lookup_switch(self, default: Label, pairs: Iterable[tuple[int, Label]]) -> None:
        """Append a lookupswitch."""
        rows = [(struct.pack(">i", key), target) for key, target in sorted(pairs, key=lambda pair: pair[0])]
        self._switch("lookupswitch", default, struct.pack(">i", len(rows)), rows)

    def _switch(self, name: str, default: Label, head: bytes, rows: Sequence[tuple[bytes, Label]]) -> None:
        origin = len(self._code)
        self._code.append(OP[name])
        self._code += bytes(-len(self._code) % 4)
        self._far(origin, default)
        self._code += head
        for key, target in rows:
            self._code += key
            self._far(origin, target)

    def _far(self, origin: int, target: Label) -> None:
        self._jumps.append(_Jump(len(self._code), origin, target, wide=True))
        self._code += bytes(4)

    def field(self, name: str, owner: str, member: str, descriptor: str) -> None:
        """Append getfield, putfield, getstatic or putstatic."""
        self._code += struct.pack(">BH", OP[name], self._pool.member(9, owner, member, descriptor))

    def invoke(self, name: str, owner: str, member: str, descriptor: str) -> None:
        """Append invokestatic, invokevirtual or invokespecial."""
        self._code += struct.pack(">BH", OP[name], self._pool.member(10, owner, member, descriptor))

    def invoke_interface(self, owner: str, member: str, descriptor: str, slots: int) -> None:
        """Append invokeinterface; `slots` counts the arguments, the receiver among them."""
        index = self._pool.member(11, owner, member, descriptor)
        self._code += struct.pack(">BHBB", OP["invokeinterface"], index, slots, 0)

    def of_class(self, name: str, class_name: str) -> None:
        """Append new, anewarray, checkcast, instanceof, or an ldc_w of a class."""
        self._code += struct.pack(">BH", OP[name], self._pool.class_(class_name))

    def new_array(self, element: int) -> None:
        """Append newarray of a primitive type, by its JVM number."""
        self._code += bytes((OP["newarray"], element))

    def handler(self, start: Label, end: Label, target: Label, catch: str | None) -> None:
        """Add an exception handler; those added first are tried first."""
        self._handlers.append((start, end, target, catch))

    def attribute(self) -> bytes:
        """Return the Code attribute.

        Raises:
            CapError: too large for a JVM's method.
        """
        code = self._code
        if not 0 < len(code) <= _MAX_CODE_BYTES:
            raise CapError(f"a method becomes {len(code)} bytes of JVM code, {_MAX_CODE_BYTES} at most: split it")
        for jump in self._jumps:
            assert jump.target.offset is not None
            distance = jump.target.offset - jump.origin
            if jump.wide:
                struct.pack_into(">i", code, jump.at, distance)
            elif -0x8000 <= distance < 0x8000:
                struct.pack_into(">h", code, jump.at, distance)
            else:
                raise CapError(f"a method becomes {len(code)} bytes of JVM code, too far to branch in: split it")
        rows = []
        for start, end, target, catch in self._handlers:
            assert start.offset is not None
            assert end.offset is not None
            assert target.offset is not None
            if start.offset < end.offset:
                catch_index = 0 if catch is None else self._pool.class_(catch)
                rows.append(struct.pack(">HHHH", start.offset, end.offset, target.offset, catch_index))
        body = struct.pack(">HHI", self._max_stack, self.max_locals, len(code)) + code
        body += struct.pack(">H", len(rows)) + b"".join(rows) + self._line_numbers()
        return struct.pack(">HI", self._pool.utf8("Code"), len(body)) + body

    def _line_numbers(self) -> bytes:
        """Return the attributes of the Code attribute: its LineNumberTable (JVMS 4.7.12), if there are lines."""
        if not self._lines:
            return b"\0\0"
        table = b"".join(struct.pack(">HH", offset, number) for offset, number in self._lines)
        head = (1, self._pool.utf8("LineNumberTable"), 2 + len(table), len(self._lines))
        return struct.pack(">HHIH", *head) + table


@dataclass
class ClassWriter:
    """A class or interface being written.

    Args:
        name: in internal form.
        superclass: in internal form.
        interfaces: in internal form.
        access: flags; ACC_PUBLIC is added.
        source_file: what its lines are of; None for nothing.
    """

    name: str
    superclass: str = "java/lang/Object"
    interfaces: tuple[str, ...] = ()
    access: int = 0
    source_file: str | None = None
    _pool: list[bytes] = field(default_factory=list)
    _index: dict[bytes, int] = field(default_factory=dict)
    _fields: dict[str, bytes] = field(default_factory=dict)
    _methods: dict[str, tuple[int, Code | None]] = field(default_factory=dict)

    def _entry(self, encoded: bytes) -> int:
        index = self._index.get(encoded)
        if index is None:
            self._pool.append(encoded)
            index = self._index[encoded] = len(self._pool)
            if index >= _MAX_POOL:
                raise CapError("the package becomes too large for a JVM's constant pool")
        return index

    def utf8(self, text: str) -> int:
        """Return the index of a name or text in the constant pool."""
        encoded = text.encode().replace(b"\0", b"\xc0\x80")  # modified UTF-8 (JVMS 4.4.7)
        return self._entry(struct.pack(">BH", 1, len(encoded)) + encoded)

    def integer(self, value: int) -> int:
        """Return the index of an int constant."""
        return self._entry(struct.pack(">Bi", 3, value))

    def string(self, text: str) -> int:
        """Return the index of a string constant."""
        return self._entry(struct.pack(">BH", 8, self.utf8(text)))

    def class_(self, name: str) -> int:
        """Return the index of a class."""
        return self._entry(struct.pack(">BH", 7, self.utf8(name)))

    def member(self, tag: int, owner: str, name: str, descriptor: str) -> int:
        """Return the index of a field (9), method (10) or interface method (11)."""
        pair = self._entry(struct.pack(">BHH", 12, self.utf8(name), self.utf8(descriptor)))
        return self._entry(struct.pack(">BHH", tag, self.class_(owner), pair))

    def add_field(self, name: str, descriptor: str, access: int = 0) -> None:
        """Add a public field; one that is there already stays."""
        key = f"{name}:{descriptor}"
        if key not in self._fields:
            indices = (access | ACC_PUBLIC, self.utf8(name), self.utf8(descriptor), 0)
            self._fields[key] = struct.pack(">HHHH", *indices)

    def has_method(self, name: str, descriptor: str) -> bool:
        """Tell whether a method is there."""
        return name + descriptor in self._methods

    def add_method(self, name: str, descriptor: str, code: Code, access: int = 0) -> None:
        """Add a public method."""
        self.utf8(name)
        self._methods[f"{name}{descriptor}"] = (access | ACC_PUBLIC, code)

    def add_abstract_method(self, name: str, descriptor: str) -> None:
        """Add a method without code, to an interface."""
        self._methods[f"{name}{descriptor}"] = (ACC_PUBLIC | ACC_ABSTRACT, None)

    def encode(self) -> bytes:
        """Return the class file.

        Raises:
            CapError: too large for a JVM.
        """
        methods = []
        for key, (access, code) in self._methods.items():
            name, parenthesis, rest = key.partition("(")
            attribute = b"" if code is None else code.attribute()
            head = struct.pack(">HHHH", access, self.utf8(name), self.utf8(parenthesis + rest), 1 if attribute else 0)
            methods.append(head + attribute)
        access = self.access | ACC_PUBLIC | (ACC_ABSTRACT if self.access & ACC_INTERFACE else _ACC_SUPER)
        indices = [access, self.class_(self.name), self.class_(self.superclass), len(self.interfaces)]
        indices += [self.class_(name) for name in self.interfaces]
        body = struct.pack(f">{len(indices)}H", *indices)
        body += struct.pack(">H", len(self._fields)) + b"".join(self._fields.values())
        body += struct.pack(">H", len(methods)) + b"".join(methods)
        if self.source_file is None:
            body += b"\0\0"
        else:
            body += struct.pack(">HHIH", 1, self.utf8("SourceFile"), 2, self.utf8(self.source_file))  # JVMS 4.7.10
        head = struct.pack(">IHHH", _MAGIC, 0, _VERSION, len(self._pool) + 1)
        return head + b"".join(self._pool) + body
