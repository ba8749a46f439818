"""Instructions of the Java Card virtual machine: bytes to values and back.

Spec: Java Card VM Specification 3.1, Classic Edition, 7.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opentsm_build.opcode_tables import OPCODES, OPERAND_BYTES, Flow, Opcode
from opentsm_card.errors import CapError

__all__ = ["OPERAND_BYTES", "Instruction", "decode", "decode_one", "encode"]

_SIGNED: Final = frozenset({"s1", "s2", "s4", "branch1", "branch2"})


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Args:
        pc: where it begins in its method's bytecodes.
        opcode: what it is.
        operands: in order, distances as signed numbers from `pc`. A tableswitch has (default, low, high, distances…),
            a lookupswitch (default, number of pairs, match, distance, match, distance, …).
        length_bytes: its bytes.
    """

    pc: int
    opcode: Opcode
    operands: tuple[int, ...]
    length_bytes: int

    @property
    def name(self) -> str:
        """Its mnemonic."""
        return self.opcode.name

    @property
    def next_pc(self) -> int:
        """Where the next one begins."""
        return self.pc + self.length_bytes

    @property
    def targets(self) -> tuple[int, ...]:
        """Return where it may jump to, as offsets into the bytecodes."""
        if self.opcode.flow is Flow.NEXT:
            return ()
        if self.opcode.flow is Flow.SWITCH:
            rest = self.operands[3:] if self.opcode.operands[0].startswith("table") else self.operands[3::2]
            return (self.pc + self.operands[0], *(self.pc + distance for distance in rest))
        if self.opcode.operands and self.opcode.operands[0].startswith("branch"):
            return (self.pc + self.operands[0],)
        return ()

    @property
    def constant_pool_index(self) -> int | None:
        """Return its index into the constant pool; None where it has none (or checks against a primitive array)."""
        for kind, value in zip(self.opcode.operands, self.operands, strict=False):
            if kind in {"cp1", "cp2"}:
                return value
        return None

    def encode(self) -> bytes:
        """Return its bytes."""
        return encode(self.opcode, self.operands)


def decode_one(code: bytes, pc: int) -> Instruction:
    """Decode the instruction at an offset.

    Raises:
        CapError: no such opcode, or it is cut short; names the pc.
    """
    if pc >= len(code):
        raise CapError("the code ends inside the method", pc=pc)
    opcode = OPCODES[code[pc]]
    if opcode is None:
        raise CapError(f"{code[pc]:#04x} is no opcode", pc=pc)
    if opcode.flow is Flow.SWITCH:
        return _decode_switch(code, pc, opcode)
    end = pc + opcode.length_bytes
    if end > len(code):
        raise CapError(f"{opcode.name} is cut short", pc=pc)
    at = pc + 1
    operands = []
    for kind in opcode.operands:
        size = OPERAND_BYTES[kind]
        operands.append(int.from_bytes(code[at : at + size], "big", signed=kind in _SIGNED))
        at += size
    return Instruction(pc, opcode, tuple(operands), opcode.length_bytes)


def _decode_switch(code: bytes, pc: int, opcode: Opcode) -> Instruction:
    kind = opcode.operands[0]
    table, size = kind.startswith("table"), int(kind[-1])
    head_end = pc + 3 + (2 * size if table else 2)
    if head_end > len(code):
        raise CapError(f"{opcode.name} is cut short", pc=pc)
    default = int.from_bytes(code[pc + 1 : pc + 3], "big", signed=True)
    if table:
        low = int.from_bytes(code[pc + 3 : pc + 3 + size], "big", signed=True)
        high = int.from_bytes(code[pc + 3 + size : head_end], "big", signed=True)
        if low > high:
            raise CapError(f"{opcode.name} from {low} to {high}", pc=pc)
        head: tuple[int, ...] = (default, low, high)
        end = head_end + 2 * (high - low + 1)
        widths: tuple[int, ...] = (2,)
    else:
        pairs = int.from_bytes(code[pc + 3 : head_end], "big")
        head, end = (default, pairs), head_end + (size + 2) * pairs
        widths = (size, 2)
    if end > len(code):
        raise CapError(f"{opcode.name} is cut short", pc=pc)
    values = []
    at = head_end
    while at < end:
        for width in widths:
            values.append(int.from_bytes(code[at : at + width], "big", signed=True))
            at += width
    return Instruction(pc, opcode, (*head, *values), end - pc)


def decode(code: bytes) -> tuple[Instruction, ...]:
    """Decode a method's bytecodes, front to back.

    Raises:
        CapError: they are not instructions to the end.
    """
    instructions = []
    pc = 0
    while pc < len(code):
        instruction = decode_one(code, pc)
        instructions.append(instruction)
        pc = instruction.next_pc
    return tuple(instructions)


def encode(opcode: Opcode, operands: tuple[int, ...] = ()) -> bytes:
    """Return an instruction's bytes; operands as in `Instruction`.

    Raises:
        CapError: an operand does not fit, or there are too many or too few.
    """
    if opcode.flow is Flow.SWITCH:
        sizes = _switch_sizes(opcode, operands)
    else:
        sizes = [(OPERAND_BYTES[kind], kind in _SIGNED) for kind in opcode.operands]
    if len(sizes) != len(operands):
        raise CapError(f"{opcode.name} with {len(operands)} operands, {len(sizes)} wanted")
    try:
        parts = [
            value.to_bytes(size, "big", signed=signed) for value, (size, signed) in zip(operands, sizes, strict=True)
        ]
    except OverflowError as error:
        raise CapError(f"{opcode.name} {operands}: an operand does not fit") from error
    return bytes((opcode.value,)) + b"".join(parts)


def _switch_sizes(opcode: Opcode, operands: tuple[int, ...]) -> list[tuple[int, bool]]:
    kind = opcode.operands[0]
    size = int(kind[-1])
    if kind.startswith("table"):
        low, high = operands[1:3] if len(operands) > 2 else (0, -1)
        return [(2, True), (size, True), (size, True), *[(2, True)] * max(0, high - low + 1)]
    pairs = operands[1] if len(operands) > 1 else 0
    return [(2, True), (2, False), *[(size, True), (2, True)] * pairs]
