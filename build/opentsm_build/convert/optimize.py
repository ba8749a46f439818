"""Make symbolic code smaller where nothing else changes.

What is done, until nothing changes any more: jumps to jumps, to returns and to the next instruction; a branch around a
jump turned round; code that is never reached; `x = x + constant` as sinc; conversions that change nothing; a value that
is stored and read again at once; pieces of code that end alike. Then locals are numbered anew, so that the four with
short instructions are the most used ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.convert.locals import local_of
from opentsm_build.convert.ops import Label, Op
from opentsm_build.convert.tails import join_tails

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.convert.select import Handlers

__all__ = ["optimize"]

_ENDS: Final = frozenset({"goto", "ret", "return", "sreturn", "ireturn", "areturn", "athrow", "sswitch", "iswitch"})
_INVERSE: Final = {
    "ifeq": "ifne", "iflt": "ifge", "ifgt": "ifle", "ifnull": "ifnonnull", "if_acmpeq": "if_acmpne",
    "if_scmpeq": "if_scmpne", "if_scmplt": "if_scmpge", "if_scmpgt": "if_scmple",
}  # fmt: skip
_INVERSES: Final = _INVERSE | {second: first for first, second in _INVERSE.items()}
# Compare with zero in place of a constant 0 and a comparison of two numbers.
_WITH_ZERO: Final = {f"if_scmp{c}": f"if{c}" for c in ("eq", "ne", "lt", "ge", "gt", "le")}
_RETURNS: Final = frozenset({"return", "sreturn", "areturn", "ireturn", "athrow"})
_PAIRS: Final = {"astore": "aload", "sstore": "sload", "istore": "iload"}
_INC_RANGE: Final = range(-128, 128)
_MAX_HOPS: Final = 32


def optimize(ops: list[Op], handlers: Handlers) -> list[Op]:
    """Return smaller code with the same effect.

    Args:
        ops: a method's code; its operations are changed in place.
        handlers: its handlers, whose labels stay.
    """
    ops = _sweep(_spare(_single_cases(ops)), handlers)
    while True:
        before = [op.name for op in ops]
        ops = _peephole(ops)
        _thread(ops)
        ops = _turn(ops)
        ops = _sweep(ops, handlers)
        if before == [op.name for op in ops]:
            joined = join_tails(ops, handlers)
            if joined is ops:
                return ops
            ops = joined


def _single_cases(ops: list[Op]) -> list[Op]:
    """Make a switch of one case a comparison."""
    result: list[Op] = []
    for op in ops:
        if op.cases is None or len(op.cases.keys) != 1 or op.name != "sswitch":
            result.append(op)
            continue
        result += [
            Op("sconst", op.cases.keys[0], pc=op.pc),
            Op("if_scmpne", target=op.cases.default, pc=op.pc),
            Op("goto", target=op.cases.targets[0], pc=op.pc),
        ]
    return result


def _spare(ops: list[Op]) -> list[Op]:
    """Leave a value on the stack that is stored, read again at once, and never else."""
    uses: dict[int, int] = {}
    for op in ops:
        local = local_of(op)
        if local is not None:
            uses[local] = uses.get(local, 0) + 1
    result: list[Op] = []
    for op in ops:
        previous = result[-1] if result else None
        if (
            previous is not None
            and previous.name in _PAIRS
            and op.name == _PAIRS[previous.name]
            and op.arg == previous.arg
            and uses[local_of(op) or 0] == 2
        ):
            result.pop()
            continue
        result.append(op)
    return result


def _labels(op: Op) -> Iterable[Label]:
    if op.target is not None and op.name != "label":
        yield op.target
    if op.cases is not None:
        yield op.cases.default
        yield from op.cases.targets


def _places(ops: list[Op]) -> dict[Label, int]:
    return {op.target: position for position, op in enumerate(ops) if op.name == "label" and op.target is not None}


def _first_real(ops: list[Op], position: int) -> int:
    while position < len(ops) and ops[position].name == "label":
        position += 1
    return position


def _thread(ops: list[Op]) -> None:
    """Let jumps lead where the jumps that they lead to lead."""
    places = _places(ops)

    def final(label: Label) -> Label:
        for _ in range(_MAX_HOPS):
            position = _first_real(ops, places[label])
            if position >= len(ops) or ops[position].name != "goto":
                break
            following = ops[position].target
            assert following is not None
            if following is label:
                break
            label = following
        return label

    for op in ops:
        if op.name == "label":
            continue
        if op.target is not None and op.name != "jsr":
            op.target = final(op.target)
            if op.name == "goto":
                position = _first_real(ops, places[op.target])
                if position < len(ops) and ops[position].name in _RETURNS:
                    # A return is shorter than a jump to it.
                    op.name, op.target = ops[position].name, None
        if op.cases is not None:
            op.cases.default = final(op.cases.default)
            op.cases.targets = tuple(map(final, op.cases.targets))


def _turn(ops: list[Op]) -> list[Op]:
    """Drop jumps to the next instruction; turn a branch around a jump round."""
    places = _places(ops)
    result: list[Op] = []
    position = 0
    while position < len(ops):
        op = ops[position]
        if op.target is not None and op.name == "goto" and _leads_next(ops, position, places[op.target]):
            position += 1
            continue
        following = ops[position + 1] if position + 1 < len(ops) else None
        if (
            op.target is not None
            and op.name in _INVERSES
            and following is not None
            and following.name == "goto"
            and _leads_next(ops, position + 1, places[op.target])
        ):
            op.name, op.target = _INVERSES[op.name], following.target
            result.append(op)
            position += 2
            continue
        result.append(op)
        position += 1
    return result


def _leads_next(ops: list[Op], position: int, place: int) -> bool:
    """Tell whether a label stands right behind an instruction."""
    return position < place and all(op.name == "label" for op in ops[position + 1 : place])


def _sweep(ops: list[Op], handlers: Handlers) -> list[Op]:
    """Drop code that is never reached, and labels that nobody uses."""
    used = {label for handler in handlers for label in handler[:3]}
    entries = {handler[2] for handler in handlers}
    places = _places(ops)
    reached = [False] * len(ops)
    todo = [0, *(places[label] for label in entries)]
    while todo:
        position = todo.pop()
        while position < len(ops) and not reached[position]:
            reached[position] = True
            op = ops[position]
            for label in _labels(op):
                used.add(label)
                todo.append(places[label])
            if op.name in _ENDS:
                break
            position += 1
    return [op for position, op in enumerate(ops) if (op.target in used if op.name == "label" else reached[position])]


def _peephole(ops: list[Op]) -> list[Op]:
    result: list[Op] = []
    for op in ops:
        result.append(op)
        while _shorten(result):
            pass
    return result


def _shorten(ops: list[Op]) -> bool:
    """Shorten the end of a piece of code; return True when something was done."""
    if len(ops) < 2:
        return False
    last, previous = ops[-1], ops[-2]
    if last.name in ("sstore", "bastore") and len(ops) >= 4 and _increment(ops):
        return True
    if previous.name == "sconst" and previous.arg == 0 and last.name in _WITH_ZERO:
        last.name = _WITH_ZERO[last.name]
        ops[-2:] = [last]
        return True
    pair = previous.name, last.name
    if pair == ("s2b", "bastore"):
        # bastore keeps the lower 8 bits only. Spec: JCVM 3.1, 7.5.3.
        ops[-2:] = [last]
    elif pair == ("s2i", "i2s"):
        del ops[-2:]
    elif pair == ("sconst", "s2i"):
        previous.name = "iconst"
        ops.pop()
    else:
        return False
    return True


def _increment(ops: list[Op]) -> bool:
    """Make `sload x, sconst c, sadd, sstore x` a sinc."""
    load, constant, operation, store = ops[-4:]
    if store.name != "sstore" or operation.name not in ("sadd", "ssub"):
        return False
    if load.name == "sconst" and operation.name == "sadd":
        load, constant = constant, load
    if load.name != "sload" or load.arg != store.arg or constant.name != "sconst":
        return False
    assert isinstance(constant.arg, int)
    assert isinstance(store.arg, int)
    step = constant.arg if operation.name == "sadd" else -constant.arg
    if step not in _INC_RANGE:
        return False
    ops[-4:] = [Op("sinc", (store.arg, step), pc=store.pc)]
    return True
