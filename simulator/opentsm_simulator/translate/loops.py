"""Which loops of a method have to be counted, so that code without end is noticed.

A loop that only counts, `for (short i = …; i < …; i++) …`, ends by itself: a short that grows by one each turn is at
some time not less than another. It needs no counter of its own, which would keep the JVM's compiler from making it
fast; each time it is begun, what is around it is counted.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from opentsm_build.opcode_tables import Flow
from opentsm_simulator.translate.analysis import local_of

if TYPE_CHECKING:
    from opentsm_build.instructions import Instruction
    from opentsm_simulator.translate.analysis import Body

__all__ = ["Count", "counts"]

# Comparisons of a counter and something after which the loop goes on, by the counter's step; and those that end it.
_GO_ON: Final = {1: {"if_scmplt", "iflt"}, -1: {"if_scmpgt", "ifgt", "ifge"}}
_END: Final = {1: {"if_scmpge", "ifge"}, -1: {"if_scmple", "ifle", "iflt"}}

_PC: Final = attrgetter("pc")


class Count(enum.Enum):
    """How turns of a loop are counted."""

    NOT = "it ends by itself"
    TURN = "many make a step"
    STEP = "each is a step, for there are loops inside that are not counted"


def goes_back(instruction: Instruction) -> bool:
    """Tell whether it can jump back, or to itself."""
    if instruction.opcode.flow is Flow.NEXT:
        return False
    return any(target <= instruction.pc for target in instruction.targets)


def counts(body: Body) -> dict[int, Count]:
    """Return how turns are counted at each instruction that goes back."""
    back = [instruction for instruction in body.instructions.values() if goes_back(instruction)]
    in_order = list(body.instructions.values()) if back else []
    ending = {instruction.pc for instruction in back if _ends(body, instruction, back, in_order)}
    return {
        instruction.pc: Count.NOT
        if instruction.pc in ending
        else Count.STEP
        if any(min(instruction.targets) <= pc < instruction.pc for pc in ending)
        else Count.TURN
        for instruction in back
    }


def _ends(body: Body, back: Instruction, all_back: list[Instruction], in_order: list[Instruction]) -> bool:
    """Tell whether a loop ends by itself: nothing goes back inside, and each turn counts and compares."""
    if len(back.targets) != 1:
        return False
    start = back.targets[0]
    if any(each is not back and start <= each.pc <= back.pc for each in all_back):
        return False
    # A turn through a handler needs not count here: each handler begins with a step.
    region = in_order[bisect_left(in_order, start, key=_PC) : bisect_right(in_order, back.pc, key=_PC)]
    if any(each.opcode.flow in {Flow.JSR, Flow.RET} for each in region):
        return False
    steps = [each for each in region if each.name.startswith("sinc") and each.operands[1] in {1, -1}]
    return any(_counts(body, step, back, region) for step in steps)


def _counts(body: Body, step: Instruction, back: Instruction, region: list[Instruction]) -> bool:
    local, by = step.operands
    changed = sum(_changes(each, local) for each in region)
    if changed != 1 or not _every_turn(step.pc, back.pc, region):
        return False
    if back.name.removesuffix("_w") in _GO_ON[by] and _compares(body, back, local, region):
        return True
    return any(
        each.name.removesuffix("_w") in _END[by]
        and each.targets[0] > back.pc
        and _every_turn(each.pc, back.pc, region)
        and _compares(body, each, local, region)
        for each in region
    )


def _changes(instruction: Instruction, local: int) -> bool:
    name = instruction.name
    if name.startswith(("sinc", "iinc")):
        return instruction.operands[0] in ({local} if name[0] == "s" else {local, local - 1})
    if "store" in name and instruction.opcode.pops in {"a", "s", "i"}:
        return local_of(instruction) in ({local, local - 1} if name[0] == "i" else {local})
    return False


def _every_turn(pc: int, back_pc: int, region: list[Instruction]) -> bool:
    """Tell whether every way to the jump back goes through an instruction: none jumps over it."""
    return not any(each.pc < pc < target <= back_pc for each in region for target in each.targets)


def _compares(body: Body, branch: Instruction, local: int, region: list[Instruction]) -> bool:
    """Tell whether a branch compares the counter with something that is put on the stack behind it, or with zero."""
    depth = len(body.stacks.get(branch.pc, ())) - len(branch.opcode.pops)
    targets = {target for each in region for target in each.targets}
    for each in reversed([each for each in region if each.pc < branch.pc]):
        if each.next_pc in targets and len(body.stacks.get(each.next_pc, ())) > depth:
            return False  # something else may be below, on another way
        if len(body.stacks.get(each.pc, ())) == depth:
            return each.name.startswith("sload") and local_of(each) == local and each.opcode.pops == ""
    return False
