"""What a class file says, as values. Names are in internal form (`com/example/Wallet`), descriptors as in the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentsm_build.classfile.access_tables import Acc

if TYPE_CHECKING:
    from opentsm_build.classfile.constants import ConstantPool

__all__ = ["ClassFile", "Code", "Field", "Handler", "LocalVariable", "Method"]


@dataclass(frozen=True, slots=True)
class Handler:
    """An entry of a method's exception table.

    Args:
        start_pc: first covered byte of the code.
        end_pc: the byte behind the last covered one.
        handler_pc: where the handler begins.
        catch_type: the class it catches; None for all.
    """

    start_pc: int
    end_pc: int
    handler_pc: int
    catch_type: str | None


@dataclass(frozen=True, slots=True)
class LocalVariable:
    """A source variable: where it lives in `slot`, from `start_pc` for `length` bytes of code."""

    start_pc: int
    length: int
    name: str
    descriptor: str
    slot: int


@dataclass(frozen=True, slots=True)
class Code:
    """A method's Code attribute. Spec: JVMS 8, 4.7.3.

    Args:
        max_stack: words of the operand stack.
        max_locals: local variable slots, arguments among them.
        code: the bytecodes.
        handlers: exception table, in order of precedence.
        lines: (start_pc, line), ascending by pc.
        variables: source variables, empty without debug information.
    """

    max_stack: int
    max_locals: int
    code: bytes
    handlers: tuple[Handler, ...]
    lines: tuple[tuple[int, int], ...] = ()
    variables: tuple[LocalVariable, ...] = ()

    def line_at(self, pc: int) -> int | None:
        """Return the source line of an instruction, None when it is not told."""
        found = None
        for start, line in self.lines:
            if start > pc:
                break
            found = line
        return found


@dataclass(frozen=True, slots=True)
class Field:
    """A field; `constant` is the value of its ConstantValue attribute, None without one."""

    access: int
    name: str
    descriptor: str
    constant: int | float | str | None = None

    @property
    def is_static(self) -> bool:
        """True for a class variable."""
        return bool(self.access & Acc.STATIC)


@dataclass(frozen=True, slots=True)
class Method:
    """A method; `code` is None where it is abstract or native."""

    access: int
    name: str
    descriptor: str
    code: Code | None = None
    exceptions: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Name and descriptor."""
        return self.name + self.descriptor

    @property
    def is_static(self) -> bool:
        """True for a class method."""
        return bool(self.access & Acc.STATIC)


@dataclass(frozen=True, slots=True)
class ClassFile:
    """A class or interface.

    Args:
        version: (major, minor) of the class-file format.
        access: ACC_ flags.
        name: its own name.
        super_name: its superclass; None for java/lang/Object only.
        interfaces: direct ones, in order.
        fields: in order.
        methods: in order.
        pool: constant pool that the methods' code refers to.
        source_file: name of the file it was compiled from, without folders.
        inner_flags: flags from its own InnerClasses entry: what the source said of a member class.
    """

    version: tuple[int, int]
    access: int
    name: str
    super_name: str | None
    interfaces: tuple[str, ...]
    fields: tuple[Field, ...]
    methods: tuple[Method, ...]
    pool: ConstantPool = field(repr=False)
    source_file: str | None = None
    inner_flags: int | None = None

    @property
    def package(self) -> str:
        """The package's name in internal form."""
        return self.name.rpartition("/")[0]

    @property
    def is_interface(self) -> bool:
        """True for an interface."""
        return bool(self.access & Acc.INTERFACE)

    def place(self, method: Method | None = None, line: int | None = None) -> str:
        """Return where something is, as people write it: `com.example.Wallet.process (Wallet.java:12)`."""
        name = self.name.replace("/", ".") + (f".{method.name}" if method else "")
        file = self.source_file or ""
        spot = f"{file}:{line}" if file and line else file or (f"line {line}" if line else "")
        return f"{name} ({spot})" if spot else name
