"""Read class files, bounded and strict.

Every count is checked against what is left before anything is made of it, so memory stays in proportion to the input.

Spec: JVMS 8, 4.1 (ClassFile), 4.5 (fields), 4.6 (methods), 4.7 (attributes).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from opentsm_build.classfile.access_tables import Acc
from opentsm_build.classfile.constants import FIELD_DESCRIPTOR, METHOD_DESCRIPTOR, ConstantPool
from opentsm_build.classfile.model import ClassFile, Code, Field, Handler, LocalVariable, Method
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_CLASS_BYTES", "ClassReader", "parse_class"]

MAX_CLASS_BYTES: Final = 1 << 20
_MAGIC: Final = 0xCAFEBABE
_OLDEST, _NEWEST = 45, 52
_MAX_CODE_BYTES: Final = 65535
_NAME: Final = re.compile(r"[^.;\[/<>]+|<init>|<clinit>")
_CLASS_NAME: Final = re.compile(r"[^.;\[/]+(?:/[^.;\[/]+)*")


class ClassReader:
    """Read big-endian items from front to back.

    Args:
        data: the bytes.
        place: what they are, for errors.
        base: offset of the first byte in the file, for errors.
    """

    __slots__ = ("_data", "base", "offset", "place")

    def __init__(self, data: bytes, place: str, base: int = 0) -> None:
        self._data = data
        self.offset = 0
        self.place = place
        self.base = base

    def fail(self, reason: str, offset: int | None = None) -> CapError:
        """Return the error that names this place, to be raised by the caller."""
        at = self.base + (self.offset if offset is None else offset)
        return CapError(reason, component=self.place, offset_bytes=at)

    def take(self, length_bytes: int) -> bytes:
        """Read exactly this many bytes; raises CapError when fewer are left."""
        end = self.offset + length_bytes
        if end > len(self._data):
            raise self.fail(f"{length_bytes} bytes wanted, {len(self._data) - self.offset} left")
        taken = self._data[self.offset : end]
        self.offset = end
        return taken

    def u1(self) -> int:
        """Read a byte."""
        return self.take(1)[0]

    def u2(self) -> int:
        """Read a 16-bit number."""
        data = self.take(2)
        return data[0] << 8 | data[1]

    def u4(self) -> int:
        """Read a 32-bit number."""
        return int.from_bytes(self.take(4), "big")

    def sub(self, length_bytes: int) -> ClassReader:
        """Return a reader of the next bytes, and step over them."""
        base = self.base + self.offset
        return ClassReader(self.take(length_bytes), self.place, base)

    def end(self) -> None:
        """Check that nothing is left over."""
        if left := len(self._data) - self.offset:
            raise self.fail(f"{left} bytes left over")


def parse_class(data: bytes, place: str = "class file") -> ClassFile:
    """Parse a class file.

    Args:
        data: the whole file.
        place: its path, for errors.

    Raises:
        CapError: it is malformed, or newer than Java 8; the message names the offset.
    """
    if len(data) > MAX_CLASS_BYTES:
        raise CapError(f"{len(data)} bytes, {MAX_CLASS_BYTES} at most", component=place)
    reader = ClassReader(data, place)
    if (magic := reader.u4()) != _MAGIC:
        raise reader.fail(f"magic {magic:08X}, not {_MAGIC:08X}: no class file", 0)
    minor, major = reader.u2(), reader.u2()
    if not _OLDEST <= major <= _NEWEST:
        raise reader.fail(
            f"class-file version {major}; {_OLDEST} to {_NEWEST} (Java 8) are read: compile for Java 8", 4
        )
    pool = ConstantPool.read(reader)
    access, name = reader.u2(), _class_name(reader, pool.class_name_at(reader.u2()))
    pool.class_name = name.replace("/", ".")
    super_name = pool.optional_class(reader.u2())
    if super_name is None and name != "java/lang/Object":
        raise reader.fail("no superclass")
    interfaces = tuple(_class_name(reader, pool.class_name_at(reader.u2())) for _ in range(reader.u2()))
    fields = tuple(_field(reader, pool) for _ in range(reader.u2()))
    methods = tuple(_method(reader, pool) for _ in range(reader.u2()))
    source_file, inner_flags = _class_attributes(reader, pool, name)
    reader.end()
    return ClassFile(
        (major, minor), access, name, super_name, interfaces, fields, methods, pool, source_file, inner_flags
    )


def _class_name(reader: ClassReader, name: str) -> str:
    if not _CLASS_NAME.fullmatch(name):
        raise reader.fail(f"{name[:80]!r} is no class name")
    return name


def _attributes(reader: ClassReader, pool: ConstantPool, visit: Callable[[str, ClassReader], None]) -> None:
    for _ in range(reader.u2()):
        name = pool.text(reader.u2())
        visit(name, reader.sub(reader.u4()))


def _named(reader: ClassReader, pool: ConstantPool, form: re.Pattern[str]) -> tuple[int, str, str]:
    at = reader.offset
    access, name, descriptor = reader.u2(), pool.text(reader.u2()), pool.text(reader.u2())
    if not _NAME.fullmatch(name):
        raise reader.fail(f"{name[:80]!r} is no name", at)
    if not form.fullmatch(descriptor):
        raise reader.fail(f"{descriptor[:80]!r} of {name} is no descriptor", at)
    return access, name, descriptor


def _field(reader: ClassReader, pool: ConstantPool) -> Field:
    access, name, descriptor = _named(reader, pool, FIELD_DESCRIPTOR)
    constant: list[int | float | str] = []

    def visit(attribute: str, content: ClassReader) -> None:
        if attribute == "ConstantValue":
            constant.append(pool.value(content.u2()))
            content.end()

    _attributes(reader, pool, visit)
    return Field(access, name, descriptor, constant[0] if constant else None)


def _method(reader: ClassReader, pool: ConstantPool) -> Method:
    at = reader.offset
    access, name, descriptor = _named(reader, pool, METHOD_DESCRIPTOR)
    codes: list[Code] = []
    exceptions: list[str] = []

    def visit(attribute: str, content: ClassReader) -> None:
        if attribute == "Code":
            codes.append(_code(content, pool))
            content.end()
        elif attribute == "Exceptions":
            exceptions.extend(pool.class_name_at(content.u2()) for _ in range(content.u2()))
            content.end()

    _attributes(reader, pool, visit)
    bodiless = bool(access & (Acc.ABSTRACT | Acc.NATIVE))
    if len(codes) != (0 if bodiless else 1):
        raise reader.fail(f"{name}{descriptor} has {len(codes)} Code attributes", at)
    return Method(access, name, descriptor, codes[0] if codes else None, tuple(exceptions))


def _code(reader: ClassReader, pool: ConstantPool) -> Code:
    max_stack, max_locals, length = reader.u2(), reader.u2(), reader.u4()
    if not 0 < length <= _MAX_CODE_BYTES:
        raise reader.fail(f"{length} bytes of code, 1 to {_MAX_CODE_BYTES} are allowed")
    code = reader.take(length)
    handlers = tuple(_handler(reader, pool, length) for _ in range(reader.u2()))
    lines: list[tuple[int, int]] = []
    variables: list[LocalVariable] = []

    def visit(attribute: str, content: ClassReader) -> None:
        if attribute == "LineNumberTable":
            lines.extend((content.u2(), content.u2()) for _ in range(content.u2()))
            content.end()
        elif attribute == "LocalVariableTable":
            for _ in range(content.u2()):
                start, size = content.u2(), content.u2()
                name, descriptor = pool.text(content.u2()), pool.text(content.u2())
                variables.append(LocalVariable(start, size, name, descriptor, content.u2()))
            content.end()

    _attributes(reader, pool, visit)
    return Code(max_stack, max_locals, code, handlers, tuple(sorted(lines)), tuple(variables))


def _handler(reader: ClassReader, pool: ConstantPool, code_length: int) -> Handler:
    at = reader.offset
    handler = Handler(reader.u2(), reader.u2(), reader.u2(), pool.optional_class(reader.u2()))
    if not handler.start_pc < handler.end_pc <= code_length or handler.handler_pc >= code_length:
        raise reader.fail("an exception handler's range is not in the code", at)
    return handler


def _class_attributes(reader: ClassReader, pool: ConstantPool, name: str) -> tuple[str | None, int | None]:
    source: list[str] = []
    flags: list[int] = []

    def visit(attribute: str, content: ClassReader) -> None:
        if attribute == "SourceFile":
            source.append(pool.text(content.u2()))
            content.end()
        elif attribute == "InnerClasses":
            for _ in range(content.u2()):
                inner, _outer, _name, access = content.u2(), content.u2(), content.u2(), content.u2()
                if pool.class_name_at(inner) == name:
                    flags.append(access)
            content.end()

    _attributes(reader, pool, visit)
    return source[0] if source else None, flags[0] if flags else None
