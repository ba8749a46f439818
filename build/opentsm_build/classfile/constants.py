"""The constant pool of a class file.

Spec: JVMS 8, 4.4; modified UTF-8: 4.4.7.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from opentsm_build.classfile.reader import ClassReader

__all__ = ["Constant", "ConstantPool"]

UTF8, INTEGER, FLOAT, LONG, DOUBLE, CLASS, STRING, FIELD, METHOD, INTERFACE_METHOD, NAME_AND_TYPE = (
    1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
)  # fmt: skip
METHOD_HANDLE, METHOD_TYPE, INVOKE_DYNAMIC = 15, 16, 18
# Spec: JVMS 8, 4.3.2, 4.3.3.
_TYPE: Final = r"\[*(?:[BCDFIJSZ]|L[^;\[.()]+;)"
FIELD_DESCRIPTOR: Final = re.compile(_TYPE)
METHOD_DESCRIPTOR: Final = re.compile(rf"\((?:{_TYPE})*\)(?:V|{_TYPE})")
_MEMBERS: Final = (FIELD, METHOD, INTERFACE_METHOD)

# tag and value: numbers and text are values, the others are indices
Constant = tuple[int, "int | float | bytes | tuple[int, int]"]


class ConstantPool:
    """Constants by index, checked when they are asked for.

    Args:
        entries: index 0 and the second halves of long and double are None.
        class_name: for errors.
    """

    __slots__ = ("_entries", "_texts", "class_name", "descriptors")

    def __init__(self, entries: list[Constant | None], class_name: str = "") -> None:
        self._entries = entries
        self._texts: dict[int, str] = {}
        self.class_name = class_name
        # Descriptors that take the place of those in the file, by class, name and descriptor.
        self.descriptors: dict[tuple[str, str, str], str] = {}

    @classmethod
    def read(cls, reader: ClassReader) -> ConstantPool:
        """Read constant_pool_count and the constants.

        Raises:
            CapError: cut short, or of an unknown tag.
        """
        count = reader.u2()
        entries: list[Constant | None] = [None]
        while len(entries) < count:
            at, tag = reader.offset, reader.u1()
            if tag == UTF8:
                entries.append((tag, reader.take(reader.u2())))
            elif tag == INTEGER:
                entries.append((tag, struct.unpack(">i", reader.take(4))[0]))
            elif tag == FLOAT:
                entries.append((tag, struct.unpack(">f", reader.take(4))[0]))
            elif tag in (LONG, DOUBLE):
                entries += [(tag, struct.unpack(">q" if tag == LONG else ">d", reader.take(8))[0]), None]
            elif tag in (CLASS, STRING, METHOD_TYPE):
                entries.append((tag, reader.u2()))
            elif tag in (*_MEMBERS, NAME_AND_TYPE, INVOKE_DYNAMIC):
                entries.append((tag, (reader.u2(), reader.u2())))
            elif tag == METHOD_HANDLE:
                entries.append((tag, (reader.u1(), reader.u2())))
            else:
                raise reader.fail(f"constant {len(entries)} has the unknown tag {tag}", at)
        if len(entries) > max(count, 1):
            raise reader.fail("the last constant is cut in half")
        return cls(entries)

    def _get(self, index: int, *tags: int) -> Constant:
        entry = self._entries[index] if 0 <= index < len(self._entries) else None
        if entry is None or (tags and entry[0] not in tags):
            kind = "nothing" if entry is None else f"a constant of tag {entry[0]}"
            raise CapError(f"constant {index} is {kind}, not what belongs there", where=self.class_name or None)
        return entry

    def tag(self, index: int) -> int:
        """Return a constant's tag."""
        return self._get(index)[0]

    def text(self, index: int) -> str:
        """Return the text of a CONSTANT_Utf8."""
        if (known := self._texts.get(index)) is not None:
            return known
        data = self._get(index, UTF8)[1]
        assert isinstance(data, bytes)
        try:
            # Modified UTF-8: NUL is C0 80, and what is beyond the BMP is two surrogates of three bytes each.
            text = data.replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise CapError(f"constant {index} is not UTF-8", where=self.class_name or None) from error
        self._texts[index] = text
        return text

    def class_name_at(self, index: int) -> str:
        """Return the name in a CONSTANT_Class: internal form, or a descriptor for an array."""
        name_index = self._get(index, CLASS)[1]
        assert isinstance(name_index, int)
        return self.text(name_index)

    def optional_class(self, index: int) -> str | None:
        """Return the name in a CONSTANT_Class, None for index 0."""
        return self.class_name_at(index) if index else None

    def name_and_type(self, index: int) -> tuple[str, str]:
        """Return name and descriptor."""
        pair = self._get(index, NAME_AND_TYPE)[1]
        assert isinstance(pair, tuple)
        return self.text(pair[0]), self.text(pair[1])

    def member(self, index: int, *, field: bool) -> tuple[str, str, str]:
        """Return class, name and descriptor of a field or method reference."""
        pair = self._get(index, *((FIELD,) if field else (METHOD, INTERFACE_METHOD)))[1]
        assert isinstance(pair, tuple)
        owner, (name, descriptor) = self.class_name_at(pair[0]), self.name_and_type(pair[1])
        if not name or not (FIELD_DESCRIPTOR if field else METHOD_DESCRIPTOR).fullmatch(descriptor):
            reason = f"constant {index}: {descriptor[:80]!r} of {name[:80]!r} is no descriptor"
            raise CapError(reason, where=self.class_name or None)
        return owner, name, self.descriptors.get((owner, name, descriptor), descriptor)

    def value(self, index: int) -> int | float | str:
        """Return the value of a number or string constant."""
        tag, value = self._get(index, INTEGER, FLOAT, LONG, DOUBLE, STRING)
        if tag == STRING:
            assert isinstance(value, int)
            return self.text(value)
        assert isinstance(value, (int, float))
        return value

    def integer(self, index: int) -> int | None:
        """Return the value of a CONSTANT_Integer, None when the constant is of another kind."""
        tag, value = self._get(index)
        return value if tag == INTEGER and isinstance(value, int) else None

    def references(self) -> set[tuple[str, str, str]]:
        """Return what the class refers to: class, member's name and descriptor (empty for a class), and the kind."""
        found: set[tuple[str, str, str]] = set()
        for index, entry in enumerate(self._entries):
            if entry is None:
                continue
            if entry[0] == CLASS:
                found.add((self.class_name_at(index).lstrip("[").removeprefix("L").removesuffix(";"), "", "class"))
            elif entry[0] in _MEMBERS:
                owner, name, descriptor = self.member(index, field=entry[0] == FIELD)
                found.add((owner, name + descriptor, "field" if entry[0] == FIELD else "method"))
        return found
