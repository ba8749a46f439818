"""Static initializers, run when the package is converted: a card has none, it gets the values they leave.

The class initializers run here on constants and arrays of constants. What they leave in the static fields becomes the
image of the StaticField component. What they may not do is make objects or call methods.

Spec: JCVM 3.1, 2.2.4.6 (Class Initialization); 6.11 (StaticField).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentsm_build.cap.static_fields import ArrayInitInfo, StaticFieldComponent
from opentsm_build.classfile.bytecode import Switch, decode
from opentsm_build.convert.tokens import is_constant
from opentsm_build.convert.universe import dotted
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentsm_build.classfile import ClassFile, Method
    from opentsm_build.classfile.bytecode import Insn
    from opentsm_build.convert.universe import Universe

__all__ = ["StaticImage", "Statics"]

_MAX_STEPS: Final = 2_000_000
_MAX_ELEMENTS: Final = 0x7FFF
_ELEMENT: Final = {"Z": (2, 1), "B": (3, 1), "S": (4, 2), "I": (5, 4)}
_SIZES: Final = {"Z": 1, "B": 1, "S": 2, "I": 4}
_CONDITIONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b,
    "ge": lambda a, b: a >= b, "gt": lambda a, b: a > b, "le": lambda a, b: a <= b,
}  # fmt: skip


@dataclass(eq=False)
class _Array:
    element: str
    values: list[int]


_Value = int | _Array | None


def _int(value: int) -> int:
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def _narrow(value: int, descriptor: str) -> int:
    bits = {"Z": 1, "B": 8, "S": 16}.get(descriptor, 32)
    if bits == 1:
        return value & 1
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def _quotient(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


_BINARY: Final[dict[str, Callable[[int, int], int]]] = {
    "iadd": lambda a, b: a + b, "isub": lambda a, b: a - b, "imul": lambda a, b: a * b, "iand": lambda a, b: a & b,
    "ior": lambda a, b: a | b, "ixor": lambda a, b: a ^ b, "ishl": lambda a, b: a << (b & 31),
    "ishr": lambda a, b: a >> (b & 31), "iushr": lambda a, b: (a & 0xFFFFFFFF) >> (b & 31),
    "idiv": _quotient, "irem": lambda a, b: a - b * _quotient(a, b),
}  # fmt: skip


class Statics:
    """Values of all static fields after all class initializers ran.

    Args:
        universe: the classes.
        order: own classes.

    Raises:
        CapError: an initializer does what no card can do; the message names the source line.
    """

    def __init__(self, universe: Universe, order: Iterable[ClassFile]) -> None:
        self._universe = universe
        self.values: dict[tuple[str, str], _Value] = {}
        self._started: set[str] = set()
        for cls in order:
            self._initialize(cls)

    def _initialize(self, cls: ClassFile) -> None:
        if cls.name in self._started:
            return
        self._started.add(cls.name)
        for entry in cls.fields:
            if entry.is_static:
                constant = entry.constant if isinstance(entry.constant, int) else None
                default = None if entry.descriptor[0] in "L[" else 0
                self.values[cls.name, entry.name + entry.descriptor] = default if constant is None else constant
        for method in cls.methods:
            if method.name == "<clinit>":
                _Run(self, cls, method).run()

    def read(self, member: tuple[str, str, str]) -> _Value:
        """Return the value of a static field; its class's initializer runs first."""
        owner, name, descriptor = member
        found = self._universe.find_field(owner, name + descriptor)
        if found is None or found[0] not in self._universe.own:
            raise CapError(f"reads {dotted(owner)}.{name}, which is not of this package")
        self._initialize(self._universe.own[found[0]])
        return self.values[found[0], name + descriptor]


class _Run:
    """One class initializer."""

    def __init__(self, statics: Statics, cls: ClassFile, method: Method) -> None:
        assert method.code is not None
        self.statics, self.cls, self.method, self.code = statics, cls, method, method.code
        self.insns = decode(method.code.code, cls.pool, cls.place(method))
        self.index = {insn.pc: at for at, insn in enumerate(self.insns)}
        self.stack: list[_Value] = []
        self.local: dict[int, _Value] = {}

    def fail(self, reason: str, insn: Insn) -> CapError:
        place = self.cls.place(self.method, self.code.line_at(insn.pc))
        remedy = (
            "static fields begin with constants and arrays of constants only: set it up in the applet's constructor"
        )
        return CapError(f"{reason}: {remedy}", where=place, pc=insn.pc)

    def run(self) -> None:
        at = 0
        for _ in range(_MAX_STEPS):
            if at >= len(self.insns):
                raise self.fail("the static initializer does not end", self.insns[-1])
            insn = self.insns[at]
            if insn.name == "return":
                return
            try:
                jump = self.step(insn)
            except (IndexError, KeyError, TypeError, ZeroDivisionError) as error:
                raise self.fail("the static initializer fails", insn) from error
            except CapError as error:
                if error.where is not None:
                    raise
                raise self.fail(error.reason, insn) from None
            at = at + 1 if jump is None else self.index[jump]
        raise self.fail("the static initializer runs too long", self.insns[0])

    def number(self) -> int:
        value = self.stack.pop()
        if not isinstance(value, int):
            raise TypeError
        return value

    def array(self) -> _Array:
        value = self.stack.pop()
        if not isinstance(value, _Array):
            raise TypeError
        return value

    def step(self, insn: Insn) -> int | None:  # noqa: C901, PLR0912 - one arm for each kind of instruction
        name, arg, stack = insn.name, insn.arg, self.stack
        if name == "iconst":
            assert isinstance(arg, int)
            stack.append(arg)
        elif name == "aconst_null":
            stack.append(None)
        elif name in _BINARY:
            second, first = self.number(), self.number()
            stack.append(_int(_BINARY[name](first, second)))
        elif name in ("i2b", "i2s"):
            stack.append(_narrow(self.number(), name[2].upper()))
        elif name == "ineg":
            stack.append(_int(-self.number()))
        elif name == "newarray":
            self.new_array(str(arg))
        elif name in ("bastore", "sastore", "iastore", "baload", "saload", "iaload", "arraylength"):
            self.element(name)
        elif name in ("getstatic", "putstatic"):
            assert isinstance(arg, tuple)
            if name == "getstatic":
                stack.append(self.statics.read(arg))
            else:
                self.put(arg)
        elif name in ("iload", "aload"):
            assert isinstance(arg, int)
            stack.append(self.local[arg])
        elif name in ("istore", "astore"):
            assert isinstance(arg, int)
            self.local[arg] = stack.pop()
        elif name == "iinc":
            assert isinstance(arg, tuple)
            held = self.local[arg[0]]
            assert isinstance(held, int)
            self.local[arg[0]] = _int(held + arg[1])
        elif name == "dup":
            stack.append(stack[-1])
        elif name == "pop":
            stack.pop()
        elif name.startswith(("if", "goto")) or name == "switch":
            return self.jump(insn)
        elif name in ("new", "anewarray", "multianewarray") or name.startswith("invoke") or name == "ldc":
            raise CapError(_doing(insn))
        else:
            raise CapError(f"the static initializer uses {name}")
        return None

    def jump(self, insn: Insn) -> int | None:
        if isinstance(insn.arg, Switch):
            key = self.number()
            return dict(zip(insn.arg.keys, insn.arg.targets, strict=True)).get(key, insn.arg.default)
        assert isinstance(insn.arg, int)
        name = insn.name
        if name == "goto":
            return insn.arg
        if name in ("ifnull", "ifnonnull"):
            return insn.arg if (self.stack.pop() is None) == (name == "ifnull") else None
        if "_acmp" in name:
            same = self.stack.pop() is self.stack.pop()
            return insn.arg if same == name.endswith("eq") else None
        second = self.number() if "_icmp" in name else 0
        return insn.arg if _CONDITIONS[name[-2:]](self.number(), second) else None

    def new_array(self, element: str) -> None:
        length = self.number()
        if element not in _ELEMENT:
            raise CapError("makes an array of a type that no card has")
        if not 0 <= length <= _MAX_ELEMENTS:
            raise CapError(f"makes an array of {length} elements, {_MAX_ELEMENTS} at most")
        self.stack.append(_Array(element, [0] * length))

    def element(self, name: str) -> None:
        if name == "arraylength":
            self.stack.append(len(self.array().values))
            return
        value = self.number() if name.endswith("store") else 0
        index, array = self.number(), self.array()
        if not 0 <= index < len(array.values):
            raise IndexError
        if name.endswith("store"):
            array.values[index] = _narrow(value, array.element)
        else:
            self.stack.append(array.values[index])

    def put(self, member: tuple[str, str, str]) -> None:
        owner, name, descriptor = member
        key = (owner, name + descriptor)
        if owner != self.cls.name or key not in self.statics.values:
            raise CapError(f"sets {dotted(owner)}.{name} of another class")
        value = self.stack.pop()
        self.statics.values[key] = _narrow(value, descriptor) if isinstance(value, int) else value


def _doing(insn: Insn) -> str:
    if insn.name == "new":
        return f"makes an object of {dotted(str(insn.arg))}"
    if insn.name == "anewarray":
        return f"makes an array of {dotted(str(insn.arg))}"
    if insn.name.startswith("invoke") and isinstance(insn.arg, tuple):
        return f"calls {dotted(insn.arg[0])}.{insn.arg[1]}"
    if insn.name == "ldc":
        return "uses a class literal or String (`assert` does), which no card has"
    return "makes an array of arrays"


@dataclass
class StaticImage:
    """Where each static field lies.

    Args:
        offsets: of each field, by class and (name + descriptor), in the static field image.
        component: the StaticField component.
        has_int: True when an int is among them.
    """

    component: StaticFieldComponent
    offsets: dict[tuple[str, str], int] = field(default_factory=dict)
    has_int: bool = False

    @classmethod
    def lay_out(cls, statics: Statics, order: Iterable[ClassFile], *, library: bool) -> StaticImage:
        """Order the fields as the image wants them: arrays, null references, zeros, other numbers.

        Raises:
            CapError: two fields share an array, which an image can't say; or a library's field begins with an array.
        """
        groups: tuple[list[tuple[str, str]], ...] = ([], [], [], [])
        seen: dict[int, str] = {}
        for own in order:
            for entry in own.fields:
                if not entry.is_static or is_constant(entry.access, entry.constant):
                    continue
                key = (own.name, entry.name + entry.descriptor)
                value = statics.values[key]
                if isinstance(value, _Array):
                    name = f"{dotted(own.name)}.{entry.name}"
                    if library:
                        # Spec: JCVM 3.1, 6.11 (array_init_count).
                        reason = "begins with an array, which a library's static fields can't: make it in a method"
                        raise CapError(reason, where=f"{own.place()}, field {entry.name}")
                    if (other := seen.setdefault(id(value), name)) != name:
                        raise CapError(f"{other} and {name} begin with one array: give each its own", where=own.place())
                groups[_group(entry.descriptor, value)].append(key)
        offsets, at = {}, 0
        for key in (key for group in groups for key in group):
            offsets[key] = at
            at += _SIZES.get(key[1][-1], 2) if not _is_reference(key[1]) else 2
        arrays = [statics.values[key] for key in groups[0]]
        zeros = sum(_SIZES[key[1][-1]] for key in groups[2])
        numbers = b"".join(_bytes(statics.values[key], _SIZES[key[1][-1]]) for key in groups[3])
        component = StaticFieldComponent(
            at, len(groups[0]) + len(groups[1]), tuple(_array(array) for array in arrays), zeros, numbers
        )
        has_int = any(key[1][-1] == "I" for group in groups for key in group)
        return cls(component, offsets, has_int)


def _is_reference(key: str) -> bool:
    # A field's key is its name and its descriptor; only that of a reference has ; or [ in it.
    return key.endswith(";") or "[" in key


def _group(descriptor: str, value: _Value) -> int:
    if descriptor[0] in "L[":
        return 0 if isinstance(value, _Array) else 1
    return 3 if value else 2


def _bytes(value: _Value, size: int) -> bytes:
    assert isinstance(value, int)
    return value.to_bytes(size, "big", signed=True)


def _array(array: _Value) -> ArrayInitInfo:
    assert isinstance(array, _Array)
    tag, size = _ELEMENT[array.element]
    return ArrayInitInfo(tag, b"".join(_bytes(value, size) for value in array.values))
