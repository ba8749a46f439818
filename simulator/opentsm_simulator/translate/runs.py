"""Runs of instructions: what is executed from its first instruction to its last, and counted as one.

A run ends where code branches or may be left: at calls, at accesses to memory, at all that can throw. So the number of
times that a run was begun is the number of times that each of its instructions was.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from opentsm_build.opcode_tables import Flow

if TYPE_CHECKING:
    from opentsm_build.instructions import Instruction
    from opentsm_simulator.translate.analysis import Body

__all__ = ["may_throw", "runs_of"]

# Instructions that only work on stack and locals. Spec: JCVM 3.1, 7.5, "Runtime Exceptions" of each.
_HARMLESS: Final = re.compile(
    r"nop|[asi]const_.*|[bsi]{1,2}push|[asi](load|store)(_\d)?|pop2?|dup(2|_x)?|swap_x"
    r"|[si](add|sub|mul|neg|shl|shr|ushr|and|or|xor)|[si]inc(_w)?|s2[bi]|i2[bs]|icmp"
)


def may_throw(instruction: Instruction) -> bool:
    """Tell whether an instruction can end with an exception."""
    return instruction.opcode.flow is Flow.NEXT and not _HARMLESS.fullmatch(instruction.name)


def runs_of(body: Body) -> list[tuple[int, ...]]:
    """Return the runs of a method, each by the pcs of its instructions, in ascending order."""
    starts = {body.entry} | {handler.handler_offset for handler in body.handlers}
    for instruction in body.instructions.values():
        starts.update(instruction.targets)
    runs: list[list[int]] = []
    ended = True
    for pc, instruction in body.instructions.items():
        if ended or pc in starts:
            runs.append([])
        runs[-1].append(pc)
        ended = instruction.opcode.flow is not Flow.NEXT or may_throw(instruction)
    return [tuple(run) for run in runs]
