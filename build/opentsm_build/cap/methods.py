"""The Method component: bytecodes and exception handlers.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.10.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag
from typing import ClassVar, Final, Self

from opentsm_build.cap.codec import CapReader, encode_component, u1, u2
from opentsm_build.cap.tags_tables import ComponentTag
from opentsm_card.errors import CapError

__all__ = ["ExceptionHandlerInfo", "MethodComponent", "MethodFlag", "MethodInfo"]

_HANDLER_BYTES: Final = 8
_STOP_BIT: Final = 0x8000
_NIBBLE_MAX: Final = 15
_SHORT_HEADER_BYTES: Final = 2
_EXTENDED_HEADER_BYTES: Final = 4


class MethodFlag(IntFlag):
    """Flags of a method header. Spec: JCVM 3.1, table 6-20."""

    EXTENDED = 0x8
    ABSTRACT = 0x4


_NO_FLAGS: Final = MethodFlag(0)


@dataclass(frozen=True, slots=True)
class ExceptionHandlerInfo:
    """An exception handler; offsets count from the start of the Method component's info item.

    Args:
        start_offset: of the first instruction it guards.
        active_length: bytes it guards, 0..0x7FFF.
        stop_bit: no later handler guards a range that encloses this one's.
        handler_offset: where it begins.
        catch_type_index: of a CONSTANT_Classref; 0 for all (finally).
    """

    start_offset: int
    active_length: int
    stop_bit: bool
    handler_offset: int
    catch_type_index: int

    @classmethod
    def read(cls, reader: CapReader) -> Self:
        """Read an exception_handler_info."""
        start, bits, handler, catch = reader.u2s(4)
        return cls(start, bits & ~_STOP_BIT, bool(bits & _STOP_BIT), handler, catch)

    @property
    def end_offset(self) -> int:
        """The offset behind the last byte it guards."""
        return self.start_offset + self.active_length

    def encode(self) -> bytes:
        """Return the exception_handler_info."""
        bits = self.active_length | (_STOP_BIT if self.stop_bit else 0)
        return u2(self.start_offset, bits, self.handler_offset, self.catch_type_index)


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """A method.

    Args:
        max_stack: words of operand stack it needs.
        nargs: words of its arguments, `this` among them.
        max_locals: words of local variables, without the arguments.
        bytecodes: its code; empty for an abstract method.
        flags: EXTENDED where the long header is used (needed above 15), ABSTRACT.
        padding: the four bits beside the flags of a long header.
    """

    max_stack: int
    nargs: int
    max_locals: int
    bytecodes: bytes
    flags: MethodFlag = _NO_FLAGS
    padding: int = 0

    @classmethod
    def of(cls, max_stack: int, nargs: int, max_locals: int, bytecodes: bytes) -> Self:
        """Make one with the shortest header that holds the numbers."""
        extended = max(max_stack, nargs, max_locals) > _NIBBLE_MAX
        return cls(max_stack, nargs, max_locals, bytecodes, MethodFlag.EXTENDED if extended else _NO_FLAGS)

    @classmethod
    def read(cls, reader: CapReader, bytecode_count: int) -> Self:
        """Read a method_info whose length of code is known."""
        first = reader.u1()
        flags = MethodFlag(first >> 4)
        if MethodFlag.EXTENDED in flags:
            stack, nargs, max_locals = reader.take(3)
            return cls(stack, nargs, max_locals, reader.take(bytecode_count), flags, first & 0xF)
        second = reader.u1()
        return cls(first & 0xF, second >> 4, second & 0xF, reader.take(bytecode_count), flags)

    @property
    def header_bytes(self) -> int:
        """Length of its header."""
        return _EXTENDED_HEADER_BYTES if MethodFlag.EXTENDED in self.flags else _SHORT_HEADER_BYTES

    @property
    def length_bytes(self) -> int:
        """Length of header and code."""
        return self.header_bytes + len(self.bytecodes)

    def encode(self) -> bytes:
        """Return the method_info.

        Raises:
            CapError: a number is too large for its header.
        """
        if MethodFlag.EXTENDED in self.flags:
            numbers = u1(self.max_stack) + u1(self.nargs) + u1(self.max_locals)
            return u1(self.flags << 4 | self.padding) + numbers + self.bytecodes
        if max(self.max_stack, self.nargs, self.max_locals) > _NIBBLE_MAX:
            raise CapError("stack, arguments or locals above 15 words need the extended header")
        return bytes((self.flags << 4 | self.max_stack, self.nargs << 4 | self.max_locals)) + self.bytecodes


@dataclass(frozen=True, slots=True)
class MethodComponent:
    """Exception handlers, and methods one behind the other.

    Where one method ends and the next begins is told by the Descriptor component only, so a parsed component keeps the
    bytes of the methods as they are; `method` reads one at an offset.

    Args:
        exception_handlers: of all methods, a method's in the order in which they are tried.
        methods: headers and code, one behind the other, as bytes.
    """

    TAG: ClassVar = ComponentTag.METHOD

    exception_handlers: tuple[ExceptionHandlerInfo, ...]
    methods: bytes
    # Offset of `methods` in the info item.
    methods_offset: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods_offset", 1 + _HANDLER_BYTES * len(self.exception_handlers))

    @classmethod
    def parse(cls, component: bytes) -> Self:
        """Parse the whole component.

        Raises:
            CapError: malformed.
        """
        reader = CapReader.of_component(component, cls.TAG)
        handlers = tuple(ExceptionHandlerInfo.read(reader) for _ in range(reader.u1()))
        return cls(handlers, reader.take(reader.remaining))

    @property
    def info_bytes(self) -> int:
        """Length of the info item."""
        return self.methods_offset + len(self.methods)

    def reader(self, offset: int) -> CapReader:
        """Return a reader at an offset into the info item.

        Raises:
            CapError: no method can be there.
        """
        if not self.methods_offset <= offset < self.info_bytes:
            raise CapError("no method can be here", component=self.TAG.title, offset_bytes=offset)
        return CapReader(bytes(self.methods_offset) + self.methods, self.TAG.title, offset)

    def method(self, offset: int, bytecode_count: int) -> MethodInfo:
        """Read the method at an offset into the info item.

        Args:
            offset: of its header.
            bytecode_count: bytes of its code, as the Descriptor component tells.

        Raises:
            CapError: outside the component.
        """
        return MethodInfo.read(self.reader(offset), bytecode_count)

    def encode(self) -> bytes:
        """Return the whole component.

        Raises:
            CapError: too many handlers, or too large.
        """
        handlers = (handler.encode() for handler in self.exception_handlers)
        return encode_component(self.TAG, [u1(len(self.exception_handlers)), *handlers, self.methods])
