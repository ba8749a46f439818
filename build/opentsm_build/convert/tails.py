"""Join pieces of code that end alike: one is kept, the others jump to it.

Two pieces are joined where the stack is empty in front of them and the same exception handlers cover them, so that
nothing but their place differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.convert.assemble import effect
from opentsm_build.convert.ops import Label, Op

if TYPE_CHECKING:
    from opentsm_build.convert.select import Handlers

__all__ = ["join_tails"]

_LEAVES: Final = frozenset({"return", "sreturn", "areturn", "ireturn", "athrow"})
# Ends of code, behind which the next instruction is not reached.
_ENDS: Final = _LEAVES | {"goto", "ret", "sswitch", "iswitch"}
_MIN_OPS: Final = 3

_Key = tuple[object, ...]


def _key(op: Op) -> _Key:
    return op.name, op.arg, op.ref, op.target


def _depths(ops: list[Op], handlers: Handlers) -> list[int]:
    """Return the stack's depth in front of each instruction; -1 where it is not known."""
    places = {op.target: at for at, op in enumerate(ops) if op.name == "label"}
    depths = [-1] * len(ops)
    todo = [(0, 0), *((places[handler[2]], 1) for handler in handlers)]
    while todo:
        at, depth = todo.pop()
        while at < len(ops) and depths[at] < 0:
            depths[at] = depth
            op = ops[at]
            if op.name != "label":
                popped, pushed = effect(op)
                depth += pushed - popped
                if op.target is not None:
                    todo.append((places[op.target], depth))
                    depth -= op.name == "jsr"
                if op.cases is not None:
                    todo += [(places[label], depth) for label in (op.cases.default, *op.cases.targets)]
                if op.name in _ENDS:
                    break
            at += 1
    return depths


def _covers(ops: list[Op], handlers: Handlers) -> list[tuple[int, ...]]:
    """Return which handlers cover each instruction."""
    covers: list[tuple[int, ...]] = []
    active: tuple[int, ...] = ()
    starts = {number: handler[:2] for number, handler in enumerate(handlers)}
    for op in ops:
        if op.name == "label" and handlers:
            begun = [number for number, (start, _) in starts.items() if start is op.target]
            ended = {number for number, (_, end) in starts.items() if end is op.target}
            active = tuple(sorted((*(number for number in active if number not in ended), *begun)))
        covers.append(active)
    return covers


def join_tails(ops: list[Op], handlers: Handlers) -> list[Op]:
    """Return the code with joined ends, or the same list when there is nothing to join."""
    depths, covers = _depths(ops, handlers), _covers(ops, handlers)
    groups: dict[_Key, list[int]] = {}
    for at, op in enumerate(ops):
        if op.name in _LEAVES or op.name == "goto":
            groups.setdefault(_key(op), []).append(at)
    for ends in groups.values():
        by_last: dict[_Key, list[int]] = {}
        for end in ends:
            if end:
                by_last.setdefault(_key(ops[end - 1]), []).append(end)
        for alike in by_last.values():
            for index, kept in enumerate(alike):
                for other in alike[index + 1 :]:
                    length = _common(ops, depths, covers, kept, other)
                    if length >= _MIN_OPS:
                        return _joined(ops, kept, other, length)
    return ops


def _common(ops: list[Op], depths: list[int], covers: list[tuple[int, ...]], kept: int, other: int) -> int:
    """Return how many instructions of two ends are the same, back to one with an empty stack."""
    length = best = 0
    while kept - length >= 0 and other - length > kept:
        first, second = ops[kept - length], ops[other - length]
        if first.name == "label" or second.name == "label" or first.cases is not None:
            break
        if _key(first) != _key(second) or covers[kept - length] != covers[other - length]:
            break
        length += 1
        if depths[kept - length + 1] == 0 and depths[other - length + 1] == 0:
            best = length
    return best


def _joined(ops: list[Op], kept: int, other: int, length: int) -> list[Op]:
    label = Label()
    start = kept - length + 1
    jump = Op("goto", target=label, pc=ops[other - length + 1].pc)
    return [
        *ops[:start],
        Op("label", target=label),
        *ops[start : other - length + 1],
        jump,
        *ops[other + 1 :],
    ]
