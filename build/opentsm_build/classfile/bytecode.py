"""Decode a method's bytecodes into instructions with resolved operands.

Spec: JVMS 8, 4.9.1 (static constraints), 6.5.
"""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING, Final

from opentsm_build.classfile.opcodes_tables import FORMS, NAMES
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentsm_build.classfile.constants import ConstantPool

__all__ = ["Insn", "Switch", "decode"]

# Names with a number at their end, and what they are short for.
_SHORT: Final = {
    f"{kind}{verb}_{slot}": (f"{kind}{verb}", slot)
    for kind in "ilfda"
    for verb in ("load", "store")
    for slot in range(4)
} | {f"iconst_{value}": ("iconst", value) for value in range(6)}
_WIDE: Final = frozenset(name for name, form in zip(NAMES, FORMS, strict=True) if form in "li")
_PRIMITIVES: Final = {4: "Z", 5: "C", 6: "F", 7: "D", 8: "B", 9: "S", 10: "I", 11: "J"}


class Switch:
    """The operand of a switch: `default` and `targets` are pcs, `keys` ascend."""

    __slots__ = ("default", "keys", "targets")

    def __init__(self, default: int, keys: tuple[int, ...], targets: tuple[int, ...]) -> None:
        self.default = default
        self.keys = keys
        self.targets = targets


class Insn:
    """One instruction.

    `name` is canonical: constants are `iconst`, `iload_0` is `iload`, `goto_w` is `goto`, `ldc_w` is `ldc`. The operand
    `arg` is a number (constant, local, target pc), a name or descriptor (class, primitive), a `Switch`, a tuple
    (class, name, descriptor) for a member, or (local, increment); None without one.
    """

    __slots__ = ("arg", "name", "pc")

    def __init__(self, pc: int, name: str, arg: object = None) -> None:
        self.pc = pc
        self.name = name
        self.arg = arg


class _Decoder:
    def __init__(self, code: bytes, pool: ConstantPool, where: str) -> None:
        self.code, self.pool, self.where = code, pool, where
        self.pc = self.at = 0

    def fail(self, reason: str) -> CapError:
        return CapError(reason, where=self.where, pc=self.at)

    def read(self, form: str) -> int:
        try:
            value: int = struct.unpack_from(form, self.code, self.pc)[0]
        except struct.error as error:
            raise self.fail("an instruction is cut short") from error
        self.pc += struct.calcsize(form)
        return value

    def instructions(self) -> Iterator[Insn]:
        while self.pc < len(self.code):
            self.at = self.pc
            opcode = self.read(">B")
            if opcode >= len(NAMES):
                raise self.fail(f"{opcode:#04x} is no instruction")
            name, form = NAMES[opcode], FORMS[opcode]
            yield self.instruction(name, form)

    def instruction(self, name: str, form: str) -> Insn:  # noqa: C901, PLR0911, PLR0912 - one arm for each form of operand
        match form:
            case "-":
                short = _SHORT.get(name)
                if short:
                    return Insn(self.at, *short)
                return Insn(self.at, "iconst", -1) if name == "iconst_m1" else Insn(self.at, name)
            case "b" | "h":
                return Insn(self.at, "iconst", self.read(">b" if form == "b" else ">h"))
            case "l":
                return Insn(self.at, name, self.read(">B"))
            case "i":
                return Insn(self.at, name, (self.read(">B"), self.read(">b")))
            case "j" | "J":
                return Insn(self.at, name.removesuffix("_w"), self.at + self.read(">h" if form == "j" else ">i"))
            case "c" | "C":
                return self.constant(name, self.read(">B" if form == "c" else ">H"))
            case "I":
                member = self.pool.member(self.read(">H"), field=False)
                if self.read(">B") == 0 or self.read(">B") != 0:
                    raise self.fail("a malformed invokeinterface")
                return Insn(self.at, name, member)
            case "D":
                self.read(">I")
                return Insn(self.at, name)
            case "n":
                code = self.read(">B")
                if code not in _PRIMITIVES:
                    raise self.fail(f"newarray of the unknown type {code}")
                return Insn(self.at, name, _PRIMITIVES[code])
            case "m":
                return Insn(self.at, name, (self.pool.class_name_at(self.read(">H")), self.read(">B")))
            case "w":
                return self.wide()
        return self.switch(name, form)

    def wide(self) -> Insn:
        opcode = self.read(">B")
        name = NAMES[opcode] if opcode < len(NAMES) else ""
        if name not in _WIDE:
            raise self.fail(f"wide in front of opcode {opcode:#04x}")
        slot = self.read(">H")
        return Insn(self.at, name, (slot, self.read(">h")) if name == "iinc" else slot)

    def constant(self, name: str, index: int) -> Insn:
        if name in ("ldc", "ldc_w", "ldc2_w"):
            value = self.pool.integer(index)
            if value is None:
                return Insn(self.at, "ldc", self.pool.tag(index))
            return Insn(self.at, "iconst", value)
        if name in ("new", "anewarray", "checkcast", "instanceof"):
            return Insn(self.at, name, self.pool.class_name_at(index))
        return Insn(self.at, name, self.pool.member(index, field=not name.startswith("invoke")))

    def switch(self, name: str, form: str) -> Insn:
        self.pc += -self.pc % 4
        default = self.at + self.read(">i")
        low_or_count = self.read(">i")
        if form == "t":
            high = self.read(">i")
            count = high - low_or_count + 1
            keys = tuple(range(low_or_count, low_or_count + max(0, min(count, len(self.code)))))
        else:
            count = low_or_count
            keys = ()
        width = 4 if form == "t" else 8
        if count < (1 if form == "t" else 0) or count * width > len(self.code) - self.pc:
            raise self.fail(f"a {name} with {count} cases")
        numbers = struct.unpack_from(f">{count * width // 4}i", self.code, self.pc)
        self.pc += count * width
        if form == "k":
            keys, numbers = numbers[::2], numbers[1::2]
            if any(first >= second for first, second in itertools.pairwise(keys)):
                raise self.fail("the keys of a lookupswitch do not ascend")
        return Insn(self.at, "switch", Switch(default, keys, tuple(self.at + number for number in numbers)))


def decode(code: bytes, pool: ConstantPool, where: str = "") -> list[Insn]:
    """Decode bytecodes; every branch is checked to lead to an instruction.

    Args:
        code: the bytecodes of one method.
        pool: its class's constant pool.
        where: class and method, for errors.

    Raises:
        CapError: not a sequence of instructions; the message names the pc.
    """
    instructions = list(_Decoder(code, pool, where).instructions())
    starts = {insn.pc for insn in instructions}
    for insn in instructions:
        targets: tuple[int, ...] = ()
        if isinstance(insn.arg, Switch):
            targets = (insn.arg.default, *insn.arg.targets)
        elif insn.name.startswith(("if", "goto", "jsr")):
            assert isinstance(insn.arg, int)
            targets = (insn.arg,)
        for target in targets:
            if target not in starts:
                raise CapError(f"a branch to {target}, which is no instruction", where=where or None, pc=insn.pc)
    return instructions
