"""Which results of 16-bit arithmetic have to be narrowed at once, and which later, or never.

The JVM computes in 32 bits. Sums, differences, products and left shifts of numbers whose low 16 bits are right have the
right low 16 bits; so a result is cut to a short only where something looks at more of it: a comparison, a division, a
call, an index, a local variable. What goes into an array or field of bytes or shorts is cut there.

The code is gone through once, from its end: of each element of the stack is known how many of its low bits what follows
looks at. At a jump back, that is all.

Spec: Java Card VM Specification 3.1, Classic Edition, 7.5; JVMS SE 8, 6.5 (bastore, sastore, putfield).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.opcode_tables import Flow
from opentsm_simulator.translate.opcodes_tables import CONSTANTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_build.instructions import Instruction
    from opentsm_simulator.translate.analysis import Body

__all__ = ["NARROWED", "left_wide"]

_BYTE: Final = 8
_SHORT: Final = 16
_ALL: Final = 32

# Instructions whose result may leave its range, and is cut.
NARROWED: Final = frozenset({"sadd", "ssub", "smul", "sneg", "sshl", "sdiv", "sushr", "s2b", "i2s"})
_PUSHES: Final = frozenset({"bspush", "sspush"})

# What instructions look at of the elements that they take, where it is not all.
_LOOKS_AT: Final = {
    "bastore": (_ALL, _ALL, _BYTE),
    "sastore": (_ALL, _ALL, _SHORT),
    "sshr": (_ALL, _BYTE),
    "sushr": (_ALL, _BYTE),
    "pop": (0,),
    "putfield_b": (_ALL, _BYTE),
    "putfield_b_w": (_ALL, _BYTE),
    "putfield_s": (_ALL, _SHORT),
    "putfield_s_w": (_ALL, _SHORT),
    "putfield_b_this": (_BYTE,),
    "putfield_s_this": (_SHORT,),
    "putstatic_b": (_BYTE,),
    "putstatic_s": (_SHORT,),
}


def _modular(after: list[int], _constant: int | None) -> tuple[int, int]:
    bits = min(after[-1], _SHORT)
    return bits, bits


def _bitwise(after: list[int], constant: int | None) -> tuple[int, int]:
    return after[-1] if constant is None else min(after[-1], constant), after[-1]


# The same for those where it depends on what is looked at of their result; AND with a constant looks at less.
_OPERANDS: Final[dict[str, Callable[[list[int], int | None], tuple[int, ...]]]] = {
    "sadd": _modular,
    "ssub": _modular,
    "smul": _modular,
    "sneg": lambda after, _: (min(after[-1], _SHORT),),
    "sshl": lambda after, _: (min(after[-1], _SHORT), _BYTE),
    "s2b": lambda *_: (_BYTE,),
    "sand": _bitwise,
    "sor": _bitwise,
    "sxor": _bitwise,
    "dup": lambda after, _: (max(after[-2:]),),
}


def left_wide(body: Body) -> frozenset[int]:
    """Return the pcs of instructions whose result is not to be narrowed: nothing looks at more than its low bits."""
    in_order = list(body.instructions.values())
    if len(body.stacks) != len(in_order) or not any(each.name in NARROWED for each in in_order):
        return frozenset()
    wide = set()
    before: dict[int, list[int]] = {}
    targets = {target for each in in_order for target in each.targets}
    for number in range(len(in_order) - 1, -1, -1):
        instruction = in_order[number]
        after = _after(body, instruction, before)
        name = instruction.name
        bits = after[-1] if after else _ALL
        if name in NARROWED and bits <= (_BYTE if name == "s2b" else _SHORT):
            wide.add(instruction.pc)
        straight = name == "sand" and instruction.pc not in targets
        constant = _constant(in_order[number - 1]) if straight else None
        before[instruction.pc] = _before(body, instruction, after, constant)
    return frozenset(wide)


def _after(body: Body, instruction: Instruction, before: dict[int, list[int]]) -> list[int]:
    """Return what is looked at of the elements behind an instruction."""
    flow = instruction.opcode.flow
    if flow is Flow.NEXT:
        return before[instruction.next_pc]
    if flow in {Flow.RETURN, Flow.THROW, Flow.RET}:
        return []
    successors = [*instruction.targets, *([instruction.next_pc] if flow in {Flow.BRANCH, Flow.JSR} else [])]
    found = [before.get(pc) or [_ALL] * len(body.stacks[pc]) for pc in successors]
    if flow is Flow.JSR:
        return [_ALL] * max(map(len, found))
    return [max(bits) for bits in zip(*found, strict=True)]


def _before(body: Body, instruction: Instruction, after: list[int], constant: int | None) -> list[int]:
    """Return what is looked at of the elements before an instruction."""
    depth = len(body.stacks[instruction.pc])
    name, opcode = instruction.name, instruction.opcode
    if name in _LOOKS_AT:
        taken = _LOOKS_AT[name]
    elif name in _OPERANDS:
        taken = _OPERANDS[name](after, constant)
    elif name.startswith("invoke"):
        # Its arguments; and what is on top behind it may be its result, or below them.
        taken = (_ALL,) * (depth - max(0, min(len(after) - 1, depth)))
    elif "w" in opcode.pops or "*" in opcode.pops or opcode.flow is Flow.JSR:
        taken = (_ALL,) * depth
    else:
        taken = (_ALL,) * (depth - len(after) + len(opcode.pushes) if after else depth)
    return [*after[: depth - len(taken)], *taken]


def _constant(instruction: Instruction) -> int | None:
    """Return how many low bits of the other operand an AND with a constant looks at; None where that is all."""
    if instruction.name in _PUSHES:
        value = instruction.operands[0]
    elif instruction.name in CONSTANTS:
        value = CONSTANTS[instruction.name]
    else:
        return None
    return None if value < 0 else _BYTE if value < 1 << _BYTE else _SHORT
