"""Export files (`.exp`): what a package offers to others, with its tokens, read and written.

Spec: Java Card VM Specification 3.1, Classic Edition, 5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from opentsm_build.api.model import ApiClass, ApiField, ApiMethod, ApiPackage
from opentsm_build.cap.codec import CapReader, u1, u2, u4
from opentsm_card.aid import Aid
from opentsm_card.errors import CapError, ProtocolError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_EXPORT_BYTES", "ExportFile", "read_export_file"]

MAX_EXPORT_BYTES: Final = 1 << 20
_MAGIC: Final = 0x00FACADE
_FORMATS: Final = ((2, 1), (2, 2), (2, 3))
_WITH_REFERENCED: Final = (2, 3)
_UTF8, _INTEGER, _CLASSREF, _PACKAGE = 1, 3, 7, 13
_LIBRARY: Final = 0x01
_CONSTANT_VALUE: Final = "ConstantValue"
_NAME: Final = "export file"
_NO_INHERITABLE: Final = 0
_FIELD_TYPE: Final = re.compile(r"\[?(?:[ZBSI]|L[^;\[()]+;)")
_METHOD_TYPE: Final = re.compile(rf"\((?:{_FIELD_TYPE.pattern})*\)(?:V|{_FIELD_TYPE.pattern})")


@dataclass(frozen=True, slots=True)
class _Item:
    """An entry of the constant pool: its tag and its content as bytes."""

    tag: int
    content: bytes


@dataclass(frozen=True, slots=True)
class _Member:
    """A field (with indices of its attributes' names and values) or a method."""

    token: int
    access: int
    name_index: int
    descriptor_index: int
    attributes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class _Class:
    token: int
    access: int
    name_index: int
    supers: tuple[int, ...]
    interfaces: tuple[int, ...]
    fields: tuple[_Member, ...]
    methods: tuple[_Member, ...]
    inheritable_count: int


@dataclass(frozen=True, slots=True)
class ExportFile:
    """An export file, as it is laid out; `package` says what it means.

    Args:
        format_version: (major, minor) of the export file format.
        items: its constant pool.
        this_package: index of the package it describes.
        referenced_packages: indices of packages, from format 2.3 on.
        classes: exported classes and interfaces.
    """

    format_version: tuple[int, int]
    items: tuple[_Item, ...]
    this_package: int
    referenced_packages: tuple[int, ...]
    classes: tuple[_Class, ...]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse an export file.

        Raises:
            CapError: malformed, too large, or of an unknown format.
        """
        if len(data) > MAX_EXPORT_BYTES:
            raise CapError(f"{len(data)} bytes, {MAX_EXPORT_BYTES} at most", component=_NAME)
        reader = CapReader(data, _NAME)
        if (magic := reader.u4()) != _MAGIC:
            raise reader.fail(f"magic {magic:08X}, not {_MAGIC:08X}: no export file", 0)
        minor, major = reader.u1(), reader.u1()
        version = (major, minor)
        if version not in _FORMATS:
            raise reader.fail(f"export file format {major}.{minor}; 2.1, 2.2 and 2.3 are known", 4)
        items = tuple(_read_item(reader) for _ in range(reader.u2()))
        this_package = reader.u2()
        referenced = reader.u2s(reader.u1()) if version >= _WITH_REFERENCED else ()
        classes = tuple(_read_class(reader, version) for _ in range(reader.u1()))
        reader.end()
        parsed = cls(version, items, this_package, referenced, classes)
        _ = parsed.package  # every index is looked up once
        return parsed

    @classmethod
    def of(cls, package: ApiPackage, *, library: bool, format_version: tuple[int, int] = (2, 1)) -> Self:
        """Make the export file of a package.

        Args:
            package: what it offers.
            library: it has no applets.
            format_version: (major, minor) of the export file format.

        Raises:
            CapError: something does not fit.
        """
        pool = _Pool()
        classes = tuple(pool.of_class(each) for each in sorted(package.classes.values(), key=lambda each: each.token))
        this_package = pool.of_package(package, library=library)
        return cls(format_version, tuple(pool.items), this_package, (), classes)

    @property
    def is_library(self) -> bool:
        """True for a package without applets."""
        return bool(self._item(self.this_package, _PACKAGE)[0] & _LIBRARY)

    @property
    def package(self) -> ApiPackage:
        """What the package offers.

        Raises:
            CapError: an index leads to nothing, or to something else.
        """
        reader = CapReader(self._item(self.this_package, _PACKAGE), _NAME)
        reader.u1()
        name = self._text(reader.u2())
        minor, major = reader.u1(), reader.u1()
        aid = reader.aid()
        reader.end()
        return ApiPackage(name, aid, (major, minor), dict(self._class(each) for each in self.classes))

    def _class(self, each: _Class) -> tuple[str, ApiClass]:
        name = self._class_name(each.name_index)
        methods, fields = {}, {}
        for member in each.methods:
            text, descriptor = self._text(member.name_index), self._descriptor(member, _METHOD_TYPE)
            method = ApiMethod(member.token, member.access, text, descriptor)
            methods[method.key] = method
        for member in each.fields:
            text, descriptor = self._text(member.name_index), self._descriptor(member, _FIELD_TYPE)
            fields[text + descriptor] = ApiField(member.token, member.access, text, descriptor, self._constant(member))
        supers = tuple(map(self._class_name, each.supers))
        interfaces = tuple(map(self._class_name, each.interfaces))
        return name, ApiClass(each.token, each.access, name, supers, interfaces, methods, fields)

    def _constant(self, member: _Member) -> int | None:
        for name, value in member.attributes:
            if self._text(name) == _CONSTANT_VALUE:
                return int.from_bytes(self._item(value, _INTEGER), "big", signed=True)
        return None

    def _item(self, index: int, tag: int) -> bytes:
        if index >= len(self.items) or self.items[index].tag != tag:
            raise CapError(f"constant pool entry {index} is not of tag {tag}", component=_NAME)
        return self.items[index].content

    def _text(self, index: int) -> str:
        try:
            return self._item(index, _UTF8).decode()
        except UnicodeDecodeError as error:
            raise CapError(f"constant pool entry {index} is not UTF-8", component=_NAME) from error

    def _descriptor(self, member: _Member, wanted: re.Pattern[str]) -> str:
        descriptor = self._text(member.descriptor_index)
        if not wanted.fullmatch(descriptor):
            raise CapError(f"{descriptor!r} is no descriptor", component=_NAME)
        return descriptor

    def _class_name(self, index: int) -> str:
        return self._text(int.from_bytes(self._item(index, _CLASSREF), "big"))

    def encode(self) -> bytes:
        """Return the export file's bytes.

        Raises:
            CapError: something does not fit.
        """
        major, minor = self.format_version
        parts = [u4(_MAGIC), u1(minor), u1(major), u2(len(self.items))]
        for item in self.items:
            parts += [u1(item.tag), *([u2(len(item.content))] if item.tag == _UTF8 else []), item.content]
        parts.append(u2(self.this_package))
        if self.format_version >= _WITH_REFERENCED:
            parts += [u1(len(self.referenced_packages)), u2(*self.referenced_packages)]
        parts.append(u1(len(self.classes)))
        for each in self.classes:
            parts += _encode_class(each, self.format_version)
        return b"".join(parts)


def read_export_file(path: Path) -> ApiPackage:
    """Read an export file and return what its package offers.

    Raises:
        StorageError: it can't be read.
        CapError: it is no export file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_EXPORT_BYTES + 1)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
    return ExportFile.parse(data).package


def _read_item(reader: CapReader) -> _Item:
    at = reader.offset
    match tag := reader.u1():
        case 1:
            return _Item(tag, reader.take(reader.u2()))
        case 3:
            return _Item(tag, reader.take(4))
        case 7:
            return _Item(tag, reader.take(2))
        case 13:
            head = reader.take(6)
            aid = reader.take(head[5])
            try:
                Aid(aid)
            except ProtocolError as error:
                raise reader.fail(str(error), at) from error
            return _Item(tag, head + aid)
    raise reader.fail(f"constant pool tag {tag}", at)


def _read_member(reader: CapReader, *, with_attributes: bool) -> _Member:
    token, access, name, descriptor = reader.u1(), reader.u2(), reader.u2(), reader.u2()
    attributes = []
    for _ in range(reader.u2() if with_attributes else 0):
        attribute = reader.u2()
        if (length := reader.u4()) != 2:
            raise reader.fail(f"an attribute of {length} bytes, only ConstantValue (2 bytes) is known")
        attributes.append((attribute, reader.u2()))
    return _Member(token, access, name, descriptor, tuple(attributes))


def _read_class(reader: CapReader, version: tuple[int, int]) -> _Class:
    token, access, name = reader.u1(), reader.u2(), reader.u2()
    supers, interfaces = reader.u2s(reader.u2()), reader.u2s(reader.u1())
    fields = tuple(_read_member(reader, with_attributes=True) for _ in range(reader.u2()))
    methods = tuple(_read_member(reader, with_attributes=False) for _ in range(reader.u2()))
    inheritable = reader.u1() if version >= _WITH_REFERENCED else _NO_INHERITABLE
    return _Class(token, access, name, supers, interfaces, fields, methods, inheritable)


def _encode_class(each: _Class, version: tuple[int, int]) -> list[bytes]:
    parts = [u1(each.token), u2(each.access, each.name_index, len(each.supers), *each.supers)]
    parts += [u1(len(each.interfaces)), u2(*each.interfaces), u2(len(each.fields))]
    for member in each.fields:
        parts += [u1(member.token), u2(member.access, member.name_index, member.descriptor_index)]
        parts.append(u2(len(member.attributes)))
        parts += [u2(name) + u4(2) + u2(value) for name, value in member.attributes]
    parts.append(u2(len(each.methods)))
    parts += [
        u1(member.token) + u2(member.access, member.name_index, member.descriptor_index) for member in each.methods
    ]
    return [*parts, u1(each.inheritable_count)] if version >= _WITH_REFERENCED else parts


@dataclass
class _Pool:
    """A constant pool that grows; equal items are kept once."""

    items: list[_Item] = field(default_factory=list)
    _index: dict[_Item, int] = field(default_factory=dict)

    def _add(self, tag: int, content: bytes) -> int:
        item = _Item(tag, content)
        if item not in self._index:
            self._index[item] = len(self.items)
            self.items.append(item)
        return self._index[item]

    def text(self, text: str) -> int:
        return self._add(_UTF8, text.encode())

    def class_ref(self, name: str) -> int:
        return self._add(_CLASSREF, u2(self.text(name)))

    def of_package(self, package: ApiPackage, *, library: bool) -> int:
        major, minor = package.version
        flags = _LIBRARY if library else 0
        head = u1(flags) + u2(self.text(package.name)) + u1(minor) + u1(major) + u1(len(package.aid))
        return self._add(_PACKAGE, head + package.aid)

    def of_class(self, each: ApiClass) -> _Class:
        fields = sorted(each.fields.values(), key=lambda member: (member.token, member.name))
        methods = sorted(each.methods.values(), key=lambda member: (member.token, member.key))
        virtual = [method.token for method in methods if not method.access & 0x0008 and method.name != "<init>"]
        return _Class(
            each.token,
            each.access,
            self.class_ref(each.name),
            tuple(map(self.class_ref, each.supers)),
            tuple(map(self.class_ref, each.interfaces)),
            tuple(self._field(member) for member in fields),
            tuple(
                _Member(member.token, member.access, self.text(member.name), self.text(member.descriptor))
                for member in methods
            ),
            0 if each.is_interface else max(virtual, default=-1) + 1,
        )

    def _field(self, member: ApiField) -> _Member:
        attributes: tuple[tuple[int, int], ...] = ()
        if member.constant is not None:
            value = self._add(_INTEGER, (member.constant & 0xFFFFFFFF).to_bytes(4, "big"))
            attributes = ((self.text(_CONSTANT_VALUE), value),)
        names = self.text(member.name), self.text(member.descriptor)
        return _Member(member.token, member.access, *names, attributes)
