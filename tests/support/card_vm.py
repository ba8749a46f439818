"""A small Java Card virtual machine: runs a CAP file's methods, to be compared with the classes they came from.

It reads everything from the components (tables of methods and interfaces, the static field image, exception handlers),
so what it finds wrong a card would too. An int takes two 16-bit words, as on a card. Of the API it knows what the tests
use.

Spec: JCVM 3.1, 6 and 7.5.
"""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from opentsm_build.api import find_package
from opentsm_build.cap.classes import ClassComponent, ClassInfo, InterfaceInfo
from opentsm_build.cap.constant_pool import ConstantPoolComponent
from opentsm_build.cap.descriptor import AccessFlag, DescriptorComponent
from opentsm_build.cap.methods import MethodComponent
from opentsm_build.cap.static_fields import StaticFieldComponent
from opentsm_build.cap.tags_tables import ComponentTag
from opentsm_build.instructions import decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_build.api import ApiPackage
    from opentsm_build.cap import CapFile
    from opentsm_build.instructions import Instruction

_MAX_STEPS: Final = 2_000_000
_LANG: Final = "java/lang/"


def short(value: int) -> int:
    return (value + 0x8000) % 0x10000 - 0x8000


def byte(value: int) -> int:
    return (value + 0x80) % 0x100 - 0x80


def int32(value: int) -> int:
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def quotient(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


# A class is an offset into the Class component, or the name of one of the API's.
ClassId = int | str


@dataclass(eq=False)
class Object:
    cls: ClassId
    fields: dict[tuple[ClassId, int], Any] = field(default_factory=dict)
    reason: int = 0


@dataclass(eq=False)
class Array:
    """Elements of type Z, B, S, I, or of a class (L)."""

    kind: str
    values: list[Any]
    element: ClassId | None = None


class ThrownError(Exception):
    def __init__(self, what: Object) -> None:
        self.what = what


_NARROW: Final[dict[str, Callable[[int], int]]] = {"Z": byte, "B": byte, "S": short, "I": int32}
_ATYPES: Final = {10: "Z", 11: "B", 12: "S", 13: "I"}
_BINARY: Final[dict[str, Callable[[int, int], int]]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "shl": lambda a, b: a << (b & 31),
    "shr": lambda a, b: a >> (b & 31),
    "ushr": lambda a, b: (a & 0xFFFFFFFF) >> (b & 31),
}
_CONDITIONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
}


class CardVm:
    """Runs the methods of one package; `libraries` are the packages it imports that are no API's."""

    def __init__(self, cap: CapFile, libraries: dict[bytes, CardVm] | None = None) -> None:
        assert not libraries
        self.cap = cap
        parts = cap.components
        self.pool = ConstantPoolComponent.parse(parts[ComponentTag.CONSTANT_POOL])
        classes = ClassComponent.parse(parts[ComponentTag.CLASS], cap.format_version)
        self.classes = dict(zip(classes.offsets(cap.format_version), classes.entries, strict=True))
        self.methods = MethodComponent.parse(parts[ComponentTag.METHOD])
        self.image = bytearray()
        self.references: dict[int, Any] = {}
        self._load_statics(StaticFieldComponent.parse(parts[ComponentTag.STATIC_FIELD]))
        self.code: dict[int, tuple[Any, tuple[Instruction, ...], dict[int, int], bool]] = {}
        descriptor = DescriptorComponent.parse(parts[ComponentTag.DESCRIPTOR])
        for cls in descriptor.classes:
            for method in cls.methods:
                if not cls.is_interface and not method.access_flags & AccessFlag.ABSTRACT:
                    info = self.methods.method(method.method_offset, method.bytecode_count)
                    instructions = decode(info.bytecodes)
                    index = {each.pc: at for at, each in enumerate(instructions)}
                    self.code[method.method_offset] = (info, instructions, index, bool(method.access_flags & 8))
        self.packages: list[ApiPackage] = []
        for each in cap.imports:
            package = find_package(each.aid, each.version)
            assert package is not None
            self.packages.append(package)
        self.steps = 0
        self.counts: Counter[tuple[int, int]] = Counter()

    def _load_statics(self, component: StaticFieldComponent) -> None:
        self.image = bytearray(2 * component.reference_count + component.default_value_count)
        self.image += component.non_default_values
        assert len(self.image) == component.image_size
        kinds = {2: ("Z", 1), 3: ("B", 1), 4: ("S", 2), 5: ("I", 4)}
        for index, array in enumerate(component.array_init):
            kind, size = kinds[array.type]
            values = [
                int.from_bytes(array.values[at : at + size], "big", signed=True)
                for at in range(0, len(array.values), size)
            ]
            self.references[2 * index] = Array(kind, values)

    # --- classes ---

    def class_of(self, class_ref: Any) -> ClassId:
        if not class_ref.is_external:
            return int(class_ref)
        package = self.packages[class_ref.package_token]
        name: str = next(cls.name for cls in package.classes.values() if cls.token == class_ref.class_token)
        return name

    def super_of(self, cls: ClassId) -> ClassId | None:
        if isinstance(cls, str):
            supers = self.api(cls).supers
            return supers[-1] if supers else None
        info = self.classes[cls]
        return self.class_of(info.super_class_ref) if isinstance(info, ClassInfo) else _LANG + "Object"

    def api(self, name: str) -> Any:
        from opentsm_build import api

        return api.java_card("3.2.0")[name.rpartition("/")[0]].classes[name]

    def is_a(self, cls: ClassId, other: ClassId) -> bool:
        current: ClassId | None = cls
        while current is not None:
            if current == other or other in self.interfaces(current):
                return True
            current = self.super_of(current)
        return False

    def interfaces(self, cls: ClassId) -> list[ClassId]:
        if isinstance(cls, str):
            return list(self.api(cls).interfaces)
        info = self.classes[cls]
        if isinstance(info, InterfaceInfo):
            return [self.class_of(each) for each in info.superinterfaces]
        found: list[ClassId] = []
        for each in info.interfaces:
            interface = self.class_of(each.interface)
            found += [interface, *self.interfaces(interface)]
        return found

    def virtual(self, cls: ClassId, token: int) -> int | tuple[str, int]:
        """Return the offset of the method that a token leads to, or class and token in the API."""
        while not isinstance(cls, str):
            info = self.classes[cls]
            assert isinstance(info, ClassInfo)
            table, base = info.public_virtual_method_table, info.public_method_table_base
            if token & 0x80:
                table, base = info.package_virtual_method_table, info.package_method_table_base
            at = (token & 0x7F) - base
            if at >= 0:
                if table[at] == 0xFFFF:
                    return str(next(c for c in self._supers(cls) if isinstance(c, str))), token
                return table[at]
            above = self.super_of(cls)
            assert above is not None
            cls = above
        return cls, token

    def _supers(self, cls: ClassId) -> list[ClassId]:
        found: list[ClassId] = []
        current: ClassId | None = cls
        while current is not None:
            found.append(current)
            current = self.super_of(current)
        return found

    def interface_method(self, cls: ClassId, interface: ClassId, token: int) -> int:
        for each in self._supers(cls):
            info = self.classes.get(each) if isinstance(each, int) else None
            if isinstance(info, ClassInfo):
                for implemented in info.interfaces:
                    if self.class_of(implemented.interface) == interface:
                        return int(implemented.index[token])
        raise AssertionError("no such interface")

    # --- running ---

    def throw(self, name: str) -> ThrownError:
        return ThrownError(Object(_LANG + name))

    def call(self, offset: int, arguments: list[Any]) -> list[Any]:
        """Run a method on argument words; return the result's words."""
        info, instructions, index, _ = self.code[offset]
        assert len(arguments) == info.nargs
        frame = _Frame(self, arguments + [None] * info.max_locals, info.max_stack)
        start = offset + info.header_bytes
        at = 0
        while True:
            instruction = instructions[at]
            self.steps += 1
            self.counts[offset, instruction.pc] += 1
            assert self.steps < _MAX_STEPS, "runs too long"
            try:
                jump = frame.step(instruction)
            except ThrownError as thrown:
                handler = self._handler(start, instruction.pc, thrown.what)
                if handler is None:
                    raise
                frame.stack[:] = [thrown.what]
                at = index[handler - start]
                continue
            if frame.result is not None:
                return frame.result
            at = at + 1 if jump is None else index[jump]

    def _handler(self, start: int, pc: int, what: Object) -> int | None:
        here = start + pc
        for each in self.methods.exception_handlers:
            if each.start_offset <= here < each.end_offset:
                if each.catch_type_index == 0:
                    return each.handler_offset
                caught = self.class_of(self.pool.entry(each.catch_type_index).class_ref)
                if self.is_a(what.cls, caught):
                    return each.handler_offset
                # The stop bit ends the search: no later handler's range encloses this one. JCVM 3.1, 6.10.1.
                if each.stop_bit:
                    return None
        return None


class _Frame:
    def __init__(self, vm: CardVm, local: list[Any], max_stack: int) -> None:
        self.vm, self.local, self.max_stack = vm, local, max_stack
        self.stack: list[Any] = []
        self.result: list[Any] | None = None

    def push(self, value: Any) -> None:
        self.stack.append(value)
        assert len(self.stack) <= self.max_stack, "the stack is deeper than its header says"

    def push_int(self, value: int) -> None:
        self.push(short(value >> 16))
        self.push(short(value))

    def pop_int(self) -> int:
        low, high = self.stack.pop(), self.stack.pop()
        return int(high << 16 | low & 0xFFFF)

    def array(self) -> Array:
        value = self.stack.pop()
        if value is None:
            raise self.vm.throw("NullPointerException")
        assert isinstance(value, Array)
        return value

    def step(self, instruction: Instruction) -> int | None:  # noqa: PLR0911 - one line for each kind
        name, operands = instruction.name, instruction.operands
        head = name.split("_")[0]
        method = getattr(self, f"do_{head}", None)
        if method is not None:
            return method(name, operands, instruction)  # type: ignore[no-any-return]
        if head[1:] in _BINARY or head[1:] in ("div", "rem"):
            self.arithmetic(head)
            return None
        if name.endswith("return"):
            self.result = [] if name == "return" else self.stack[-2 if name[0] == "i" else -1 :]
            return None
        if head[1:] in ("load", "store") and head[0] in "asi":
            self.local_access(name, operands)
            return None
        if head[1:] in ("aload", "astore"):
            self.element(head)
            return None
        if head.startswith("if"):
            return self.branch(name, instruction)
        if head.endswith("switch"):
            return self.switch(name, operands, instruction)
        raise AssertionError(f"unknown instruction {name}")

    # --- constants, locals, the stack ---

    def do_nop(self, *_: Any) -> None:
        pass

    def do_aconst(self, *_: Any) -> None:
        self.push(None)

    def do_sconst(self, name: str, *_: Any) -> None:
        self.push(-1 if name.endswith("m1") else int(name[-1]))

    def do_iconst(self, name: str, *_: Any) -> None:
        self.push_int(-1 if name.endswith("m1") else int(name[-1]))

    def do_bspush(self, _: str, operands: tuple[int, ...], __: Any) -> None:
        self.push(operands[0])

    do_sspush = do_bspush

    def do_bipush(self, _: str, operands: tuple[int, ...], __: Any) -> None:
        self.push_int(operands[0])

    do_sipush = do_iipush = do_bipush

    def local_access(self, name: str, operands: tuple[int, ...]) -> None:
        head, _, tail = name.partition("_")
        slot = int(tail) if tail else operands[0]
        wide = head[0] == "i"
        if head.endswith("load"):
            self.push(self.local[slot])
            if wide:
                self.push(self.local[slot + 1])
        else:
            if wide:
                self.local[slot + 1] = self.stack.pop()
            self.local[slot] = self.stack.pop()

    def do_pop(self, *_: Any) -> None:
        self.stack.pop()

    def do_pop2(self, *_: Any) -> None:
        del self.stack[-2:]

    def do_dup(self, name: str, operands: tuple[int, ...], _: Any) -> None:
        if name == "dup":
            self.push(self.stack[-1])
            return
        m, n = operands[0] >> 4, operands[0] & 0xF
        at = len(self.stack) - (n or m)
        self.stack[at:at] = self.stack[-m:]
        assert len(self.stack) <= self.max_stack

    def do_dup2(self, *_: Any) -> None:
        self.stack += self.stack[-2:]
        assert len(self.stack) <= self.max_stack

    def do_swap(self, _: str, operands: tuple[int, ...], __: Any) -> None:
        m, n = operands[0] >> 4, operands[0] & 0xF
        top = self.stack[-m:]
        under = self.stack[-m - n : -m]
        self.stack[-m - n :] = top + under

    # --- arithmetic ---

    def arithmetic(self, head: str) -> None:
        wide = head[0] == "i"
        pop = self.pop_int if wide else self.stack.pop
        second, first = pop(), pop()
        if head[1:] in ("div", "rem"):
            if second == 0:
                raise self.vm.throw("ArithmeticException")
            value = quotient(first, second)
            value = first - second * value if head.endswith("rem") else value
        else:
            value = _BINARY[head[1:]](first, second)
        if wide:
            self.push_int(int32(value))
        else:
            self.push(short(value))

    def do_sneg(self, *_: Any) -> None:
        self.push(short(-self.stack.pop()))

    def do_ineg(self, *_: Any) -> None:
        self.push_int(int32(-self.pop_int()))

    def do_sinc(self, _: str, operands: tuple[int, ...], __: Any) -> None:
        self.local[operands[0]] = short(self.local[operands[0]] + operands[1])

    def do_iinc(self, _: str, operands: tuple[int, ...], __: Any) -> None:
        slot, step = operands
        value = int32((self.local[slot] << 16 | self.local[slot + 1] & 0xFFFF) + step)
        self.local[slot], self.local[slot + 1] = short(value >> 16), short(value)

    def do_s2b(self, *_: Any) -> None:
        self.push(byte(self.stack.pop()))

    def do_s2i(self, *_: Any) -> None:
        self.push_int(self.stack.pop())

    def do_i2b(self, *_: Any) -> None:
        self.push(byte(self.pop_int()))

    def do_i2s(self, *_: Any) -> None:
        self.push(short(self.pop_int()))

    def do_icmp(self, *_: Any) -> None:
        second, first = self.pop_int(), self.pop_int()
        self.push((first > second) - (first < second))

    # --- control ---

    def branch(self, name: str, instruction: Instruction) -> int | None:
        name = name.removesuffix("_w")
        if name in ("ifnull", "ifnonnull"):
            taken = (self.stack.pop() is None) == (name == "ifnull")
        elif "_acmp" in name:
            taken = (self.stack.pop() is self.stack.pop()) == name.endswith("eq")
        else:
            second = self.stack.pop() if "_scmp" in name else 0
            taken = _CONDITIONS[name[-2:]](self.stack.pop(), second)
        return instruction.targets[0] if taken else None

    def do_goto(self, _: str, __: Any, instruction: Instruction) -> int:
        return instruction.targets[0]

    def do_jsr(self, _: str, __: Any, instruction: Instruction) -> int:
        self.push(instruction.next_pc)
        return instruction.targets[0]

    def do_ret(self, _: str, operands: tuple[int, ...], __: Any) -> int:
        value = self.local[operands[0]]
        assert isinstance(value, int)
        return value

    def switch(self, name: str, operands: tuple[int, ...], instruction: Instruction) -> int:
        key = self.pop_int() if name[0] == "i" else self.stack.pop()
        if "table" in name:
            default, low, high, *distances = operands
            distance = distances[key - low] if low <= key <= high else default
        else:
            default, _, *pairs = operands
            distance = dict(zip(pairs[::2], pairs[1::2], strict=True)).get(key, default)
        return instruction.pc + distance

    def do_athrow(self, *_: Any) -> None:
        value = self.stack.pop()
        raise ThrownError(value) if value is not None else self.vm.throw("NullPointerException")

    # --- arrays ---

    def element(self, head: str) -> None:
        wide = head[0] == "i"
        value = None
        if head.endswith("store"):
            value = self.pop_int() if wide else self.stack.pop()
        index, array = self.stack.pop(), self.array()
        if not 0 <= index < len(array.values):
            raise self.vm.throw("ArrayIndexOutOfBoundsException")
        if head.endswith("store"):
            array.values[index] = _NARROW[array.kind](value) if array.kind in _NARROW else value  # type: ignore[arg-type]
        elif wide:
            self.push_int(array.values[index])
        else:
            self.push(array.values[index])

    def do_arraylength(self, *_: Any) -> None:
        self.push(len(self.array().values))

    def do_newarray(self, _: str, operands: tuple[int, ...], __: Any) -> None:
        self._new_array(_ATYPES[operands[0]], 0)

    def do_anewarray(self, _: str, operands: tuple[int, ...], __: Any) -> None:
        self._new_array("L", None, self.vm.class_of(self.vm.pool.entry(operands[0]).class_ref))

    def _new_array(self, kind: str, value: Any, element: ClassId | None = None) -> None:
        length = self.stack.pop()
        if length < 0:
            raise self.vm.throw("NegativeArraySizeException")
        self.push(Array(kind, [value] * length, element))

    # --- objects and fields ---

    def do_new(self, _: str, operands: tuple[int, ...], __: Any) -> None:
        self.push(Object(self.vm.class_of(self.vm.pool.entry(operands[0]).class_ref)))

    def _matches(self, operands: tuple[int, ...]) -> bool:
        value = self.stack[-1]
        atype, index = operands
        if isinstance(value, Array):
            if atype in _ATYPES:
                return value.kind == _ATYPES[atype]
            wanted = self.vm.class_of(self.vm.pool.entry(index).class_ref)
            if atype == 0:
                return wanted == _LANG + "Object"
            return value.element is not None and self.vm.is_a(value.element, wanted)
        return atype == 0 and self.vm.is_a(value.cls, self.vm.class_of(self.vm.pool.entry(index).class_ref))

    def do_checkcast(self, _: str, operands: tuple[int, ...], __: Any) -> None:
        if self.stack[-1] is not None and not self._matches(operands):
            raise self.vm.throw("ClassCastException")

    def do_instanceof(self, _: str, operands: tuple[int, ...], __: Any) -> None:
        matches = self.stack[-1] is not None and self._matches(operands)
        self.stack[-1] = int(matches)

    def _key(self, operands: tuple[int, ...]) -> tuple[ClassId, int]:
        entry = self.vm.pool.entry(operands[0])
        return self.vm.class_of(entry.class_ref), entry.token

    def do_getfield(self, name: str, operands: tuple[int, ...], _: Any) -> None:
        target = self.local[0] if name.endswith("_this") else self.stack.pop()
        if target is None:
            raise self.vm.throw("NullPointerException")
        kind = name.split("_")[1]
        value = target.fields.get(self._key(operands), None if kind == "a" else 0)
        if kind == "i":
            self.push_int(value)
        else:
            self.push(value)

    def do_putfield(self, name: str, operands: tuple[int, ...], _: Any) -> None:
        kind = name.split("_")[1]
        value = self.pop_int() if kind == "i" else self.stack.pop()
        target = self.local[0] if name.endswith("_this") else self.stack.pop()
        if target is None:
            raise self.vm.throw("NullPointerException")
        # A byte's field may have more bits on a card; what is stored must be a byte already.
        assert kind != "b" or -128 <= value <= 127
        target.fields[self._key(operands)] = value

    def do_getstatic(self, name: str, operands: tuple[int, ...], _: Any) -> None:
        offset = self.vm.pool.entry(operands[0]).offset
        kind = name[-1]
        if kind == "a":
            self.push(self.vm.references.get(offset))
            return
        size = {"b": 1, "s": 2, "i": 4}[kind]
        value = int.from_bytes(self.vm.image[offset : offset + size], "big", signed=True)
        if kind == "i":
            self.push_int(value)
        else:
            self.push(value)

    def do_putstatic(self, name: str, operands: tuple[int, ...], _: Any) -> None:
        offset = self.vm.pool.entry(operands[0]).offset
        kind = name[-1]
        if kind == "a":
            self.vm.references[offset] = self.stack.pop()
            return
        size = {"b": 1, "s": 2, "i": 4}[kind]
        value = self.pop_int() if kind == "i" else self.stack.pop()
        self.vm.image[offset : offset + size] = value.to_bytes(size, "big", signed=True)

    # --- calls ---

    def _invoke(self, offset: int) -> None:
        count = self.vm.code[offset][0].nargs
        arguments = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        for value in self.vm.call(offset, arguments):
            self.push(value)

    def _receiver(self, words: int) -> Object:
        value = self.stack[-words]
        if value is None:
            raise self.vm.throw("NullPointerException")
        assert isinstance(value, Object)
        return value

    def do_invokestatic(self, _: str, operands: tuple[int, ...], __: Any) -> None:
        entry = self.vm.pool.entry(operands[0])
        if not entry.is_external:
            self._invoke(entry.offset)
            return
        cls = self.vm.class_of(entry.class_ref)
        assert isinstance(cls, str)
        kinds = {"<init>", ""}
        for method in self.vm.api(cls).methods.values():
            if method.token == entry.token and (method.access & 8 or method.name in kinds):
                self._native(cls, method.name, method.descriptor, static=bool(method.access & 8))
                return
        raise AssertionError("no such method")

    def do_invokespecial(self, name: str, operands: tuple[int, ...], instruction: Any) -> None:
        entry = self.vm.pool.entry(operands[0])
        if entry.is_static:
            self.do_invokestatic(name, operands, instruction)
            return
        above = self.vm.super_of(self.vm.class_of(entry.class_ref))
        assert above is not None
        self._dispatch(above, entry.token)

    def do_invokevirtual(self, _: str, operands: tuple[int, ...], __: Any) -> None:
        entry = self.vm.pool.entry(operands[0])
        named = self.vm.class_of(entry.class_ref)
        target = self.vm.virtual(named, entry.token)
        # An abstract method's header tells the words of its arguments too.
        words = self._native_words(*target) if isinstance(target, tuple) else self.vm.methods.method(target, 0).nargs
        self._dispatch(self._receiver(words).cls, entry.token)

    def _native_words(self, cls: str, token: int) -> int:
        method = self._api_virtual(cls, token)
        from opentsm_build.convert.select import words_of
        from opentsm_build.convert.universe import parse_method_descriptor

        return 1 + sum(map(words_of, parse_method_descriptor(method.descriptor)[0]))

    def _api_virtual(self, cls: str, token: int) -> Any:
        methods = self.vm.api(cls).methods.values()
        return next(m for m in methods if m.token == token and not m.access & 8 and m.name != "<init>")

    def _dispatch(self, cls: ClassId, token: int) -> None:
        target = self.vm.virtual(cls, token)
        if isinstance(target, tuple):
            method = self._api_virtual(*target)
            self._native(target[0], method.name, method.descriptor, static=False)
        else:
            self._invoke(target)

    def do_invokeinterface(self, _: str, operands: tuple[int, ...], __: Any) -> None:
        words, index, token = operands
        interface = self.vm.class_of(self.vm.pool.entry(index).class_ref)
        receiver = self._receiver(words)
        self._dispatch(receiver.cls, self.vm.interface_method(receiver.cls, interface, token))

    def _native(self, cls: str, name: str, descriptor: str, *, static: bool) -> None:
        """Do what the tests use of the API."""
        if name == "<init>":
            if descriptor == "(S)V":
                reason = self.stack.pop()
                self.stack.pop().reason = reason
            else:
                self.stack.pop()
        elif name == "throwIt":
            raise ThrownError(Object(cls, reason=self.stack.pop()))
        elif name == "getReason":
            self.push(self.stack.pop().reason)
        elif name == "setReason":
            reason = self.stack.pop()
            self.stack.pop().reason = reason
        elif name == "equals" and not static:
            second, first = self.stack.pop(), self.stack.pop()
            self.push(int(first is second))
        elif (cls, name) == ("javacard/framework/Util", "getShort"):
            at, array = self.stack.pop(), self.array()
            self.push(short(array.values[at] << 8 | array.values[at + 1] & 0xFF))
        elif (cls, name) == ("javacard/framework/Util", "makeShort"):
            low, high = self.stack.pop(), self.stack.pop()
            self.push(short(high << 8 | low & 0xFF))
        else:
            raise AssertionError(f"{cls}.{name} is not known here")
