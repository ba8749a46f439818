"""What each instruction does with the intervals on the stack and in the locals.

Spec: JVMS 8, 6.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.classfile.bytecode import Switch
from opentsm_build.convert import ranges
from opentsm_build.convert.universe import parse_method_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_build.convert.flow import MethodFlow

__all__ = ["ANONYMOUS", "REFERENCE", "STEPS", "THIS", "TYPED", "UNINITIALIZED", "State", "Value"]

# A number: ("i", low, high, definition or web, slot it was read from or -1).
# A reference: ("a", 0, 0, definition or web, THIS or UNINITIALIZED or 0).
# A return address: ("r", subroutine's index, 0, definition or web, 0).
Value = tuple[str, int, int, int, int]
# locals and stack
State = tuple[list["Value | None"], list[Value]]

# A reference whose definition does not matter: only those that a load pushed can be spared.
ANONYMOUS: Final = -1
# `this`; in a constructor, before it has called another one.
THIS: Final = 1
UNINITIALIZED: Final = 2
REFERENCE: Final[Value] = ("a", 0, 0, ANONYMOUS, 0)
TYPED: Final = {"Z": ranges.BOOLEAN, "B": ranges.BYTE, "S": ranges.SHORT, "I": ranges.INT}
_NEGATED: Final = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}
_ZERO: Final = (0, 0)

_Locals = list["Value | None"]
_Stack = list[Value]


def _push(stack: _Stack, descriptor: str, at: int) -> None:
    """Push what a field, method or array element of a type gives."""
    span = TYPED.get(descriptor)
    if span is not None:
        stack.append(("i", *span, at, -1))
    elif descriptor != "V":
        stack.append(REFERENCE)


def _forget(stack: _Stack, slot: int) -> None:
    """Note that a local changes: what was read from it before is no longer it."""
    for depth, value in enumerate(stack):
        if value[0] == "i" and value[4] == slot:
            stack[depth] = (*value[:4], -1)


def _const(flow: MethodFlow, at: int, _local: _Locals, stack: _Stack) -> bool:
    value = flow.insns[at].arg
    assert isinstance(value, int)
    stack.append(("i", value, value, at, -1))
    return True


def _null(_flow: MethodFlow, _at: int, _local: _Locals, stack: _Stack) -> bool:
    stack.append(REFERENCE)
    return True


def _nop(_flow: MethodFlow, _at: int, _local: _Locals, _stack: _Stack) -> bool:
    return True


def _load(flow: MethodFlow, at: int, local: _Locals, stack: _Stack) -> bool:
    insn = flow.insns[at]
    slot = insn.arg
    assert isinstance(slot, int)
    value = local[slot]
    if value is None or value[0] != insn.name[0]:
        raise flow.fail(f"local {slot} is read, but holds no such value there", at)
    flow.read_web[at] = value[3]
    stack.append(("i", value[1], value[2], at, slot) if value[0] == "i" else ("a", 0, 0, at, value[4]))
    return True


def _store(flow: MethodFlow, at: int, local: _Locals, stack: _Stack) -> bool:
    insn = flow.insns[at]
    slot = insn.arg
    assert isinstance(slot, int)
    value = stack.pop()
    if value[0] != insn.name[0] and not (value[0] == "r" and insn.name == "astore"):
        raise flow.fail("a reference is stored as a number, or the other way round", at)
    _write(flow, at, slot, value, local)
    _forget(stack, slot)
    return True


def _write(flow: MethodFlow, at: int, slot: int, value: Value, local: _Locals) -> None:
    kind, low, high, _, this = value
    flow.write_web[at] = at
    flow.web_slot[at] = slot
    if kind == "i":
        known = flow.web_range.get(at)
        flow.web_range[at] = (low, high) if known is None else (min(known[0], low), max(known[1], high))
        local[slot] = ("i", low, high, at, -1)
    else:
        local[slot] = (kind, low, high, at, this)


def _iinc(flow: MethodFlow, at: int, local: _Locals, stack: _Stack) -> bool:
    arg = flow.insns[at].arg
    assert isinstance(arg, tuple)
    slot, step = arg
    value = local[slot]
    if value is None or value[0] != "i":
        raise flow.fail(f"local {slot} is incremented, but holds no number there", at)
    flow.read_web[at] = value[3]
    low, high = ranges.arithmetic("iadd", (value[1], value[2]), (step, step))
    _write(flow, at, slot, ("i", low, high, at, -1), local)
    flow.webs.union(at, value[3])
    _forget(stack, slot)
    return True


def _binary(flow: MethodFlow, at: int, _local: _Locals, stack: _Stack) -> bool:
    second, first = stack.pop(), stack.pop()
    if first[0] != "i" or second[0] != "i":
        raise flow.fail("a number is expected", at)
    name = flow.insns[at].name
    stack.append(("i", *ranges.arithmetic(name, (first[1], first[2]), (second[1], second[2])), at, -1))
    return True


def _unary(flow: MethodFlow, at: int, _local: _Locals, stack: _Stack) -> bool:
    value = stack.pop()
    name = flow.insns[at].name
    low, high = value[1], value[2]
    if name == "ineg":
        low, high = ranges.arithmetic(name, (low, high), _ZERO)
    elif name == "i2s":
        low, high = (low, high) if ranges.fits_short(low, high) else ranges.SHORT
    else:
        low, high = (low, high) if ranges.fits_byte(low, high) else ranges.BYTE
    stack.append(("i", low, high, at, -1))
    return True


def _array_load(flow: MethodFlow, at: int, _local: _Locals, stack: _Stack) -> bool:
    stack.pop()
    stack.pop()
    _push(stack, {"b": "B", "s": "S", "i": "I", "a": "L"}[flow.insns[at].name[0]], at)
    return True


def _array_store(_flow: MethodFlow, _at: int, _local: _Locals, stack: _Stack) -> bool:
    stack.pop()
    stack.pop()
    stack.pop()
    return True


def _field(flow: MethodFlow, at: int, _local: _Locals, stack: _Stack) -> bool:
    insn = flow.insns[at]
    assert isinstance(insn.arg, tuple)
    if insn.name.startswith("put"):
        stack.pop()
    if insn.name.endswith("field"):
        stack.pop()
    if insn.name.startswith("get"):
        _push(stack, insn.arg[2], at)
    return True


def _invoke(flow: MethodFlow, at: int, local: _Locals, stack: _Stack) -> bool:
    insn = flow.insns[at]
    assert isinstance(insn.arg, tuple)
    parameters, result = parse_method_descriptor(insn.arg[2])
    count = len(parameters) + (insn.name != "invokestatic")
    if count > len(stack):
        raise IndexError
    receiver = stack[-count] if count else REFERENCE
    del stack[len(stack) - count :]
    if receiver[4] == UNINITIALIZED and insn.arg[1] == "<init>":
        for place, held in enumerate(local):
            if held is not None and held[0] == "a" and held[4] == UNINITIALIZED:
                local[place] = (*held[:4], THIS)
        stack[:] = [(*held[:4], THIS) if held[0] == "a" and held[4] == UNINITIALIZED else held for held in stack]
    _push(stack, result, at)
    return True


def _new(_flow: MethodFlow, _at: int, _local: _Locals, stack: _Stack) -> bool:
    stack.append(REFERENCE)
    return True


def _new_array(_flow: MethodFlow, _at: int, _local: _Locals, stack: _Stack) -> bool:
    stack.pop()
    stack.append(REFERENCE)
    return True


def _length(_flow: MethodFlow, at: int, _local: _Locals, stack: _Stack) -> bool:
    stack.pop()
    stack.append(("i", *ranges.LENGTH, at, -1))
    return True


def _instanceof(_flow: MethodFlow, at: int, _local: _Locals, stack: _Stack) -> bool:
    stack.pop()
    stack.append(("i", 0, 1, at, -1))
    return True


def _checkcast(_flow: MethodFlow, _at: int, _local: _Locals, stack: _Stack) -> bool:
    stack[-1] = stack[-1] if stack[-1][0] == "a" else REFERENCE
    return True


def _pop(flow: MethodFlow, at: int, _local: _Locals, stack: _Stack) -> bool:
    stack.pop()
    if flow.insns[at].name == "pop2":
        stack.pop()
    return True


def _dup(flow: MethodFlow, at: int, _local: _Locals, stack: _Stack) -> bool:
    name = flow.insns[at].name
    count = 2 if name.startswith("dup2") else 1
    depth = count + (int(name[-1]) if "_x" in name else 0)
    if depth > len(stack):
        raise IndexError
    flow.shared.update(value[3] for value in stack[-count:])
    stack[len(stack) - depth : len(stack) - depth] = stack[-count:]
    return True


def _swap(_flow: MethodFlow, _at: int, _local: _Locals, stack: _Stack) -> bool:
    stack[-1], stack[-2] = stack[-2], stack[-1]
    return True


def _compare(flow: MethodFlow, at: int, local: _Locals, stack: _Stack) -> bool:
    insn = flow.insns[at]
    condition = insn.name[-2:]
    if "_icmp" in insn.name:
        second, first = stack.pop(), stack.pop()
    else:
        second, first = ("i", 0, 0, -1, -1), stack.pop()
    if first[0] != "i" or second[0] != "i":
        raise flow.fail("a number is expected", at)
    a, b = (first[1], first[2]), (second[1], second[2])
    for holds, target in ((condition, flow.targets(insn)[0]), (_NEGATED[condition], -1)):
        new_a, new_b = ranges.refine(holds, a, b)
        known = local if target < 0 else list(local)
        for value, span in ((first, new_a), (second, new_b)):
            slot = value[4]
            held = known[slot] if slot >= 0 else None
            if held is not None and held[0] == "i":
                known[slot] = ("i", *span, held[3], -1)
        if target >= 0:
            flow.enter(target, (known, stack))
    return True


def _compare_reference(flow: MethodFlow, at: int, local: _Locals, stack: _Stack) -> bool:
    insn = flow.insns[at]
    stack.pop()
    if "_acmp" in insn.name:
        stack.pop()
    flow.enter(flow.targets(insn)[0], (local, stack))
    return True


def _goto(flow: MethodFlow, at: int, local: _Locals, stack: _Stack) -> bool:
    flow.enter(flow.targets(flow.insns[at])[0], (local, stack))
    return False


def _switch(flow: MethodFlow, at: int, local: _Locals, stack: _Stack) -> bool:
    assert isinstance(flow.insns[at].arg, Switch)
    stack.pop()
    for target in dict.fromkeys(flow.targets(flow.insns[at])):
        flow.enter(target, (local, stack))
    return False


def _jsr(flow: MethodFlow, at: int, local: _Locals, stack: _Stack) -> bool:
    flow.jsr(at, (local, stack))
    return False


def _ret(flow: MethodFlow, at: int, local: _Locals, stack: _Stack) -> bool:
    slot = flow.insns[at].arg
    assert isinstance(slot, int)
    value = local[slot]
    if value is None or value[0] != "r":
        raise flow.fail(f"ret from local {slot}, which holds no return address", at)
    flow.read_web[at] = value[3]
    flow.ret(value[1], (local, stack))
    return False


def _end(flow: MethodFlow, at: int, _local: _Locals, stack: _Stack) -> bool:
    if flow.insns[at].name != "return":
        stack.pop()
    return False


STEPS: Final[dict[str, Callable[[MethodFlow, int, _Locals, _Stack], bool]]] = {
    "nop": _nop,
    "iconst": _const,
    "aconst_null": _null,
    "iload": _load,
    "aload": _load,
    "istore": _store,
    "astore": _store,
    "iinc": _iinc,
    **dict.fromkeys(("iadd", "isub", "imul", "idiv", "irem", "ishl", "ishr", "iushr", "iand", "ior", "ixor"), _binary),
    **dict.fromkeys(("ineg", "i2b", "i2s"), _unary),
    **dict.fromkeys(("baload", "saload", "iaload", "aaload"), _array_load),
    **dict.fromkeys(("bastore", "sastore", "iastore", "aastore"), _array_store),
    **dict.fromkeys(("getstatic", "putstatic", "getfield", "putfield"), _field),
    **dict.fromkeys(("invokevirtual", "invokespecial", "invokestatic", "invokeinterface"), _invoke),
    "new": _new,
    "newarray": _new_array,
    "anewarray": _new_array,
    "arraylength": _length,
    "instanceof": _instanceof,
    "checkcast": _checkcast,
    "pop": _pop,
    "pop2": _pop,
    **dict.fromkeys(("dup", "dup_x1", "dup_x2", "dup2", "dup2_x1", "dup2_x2"), _dup),
    "swap": _swap,
    **dict.fromkeys([f"if{c}" for c in ("eq", "ne", "lt", "ge", "gt", "le")], _compare),
    **dict.fromkeys([f"if_icmp{c}" for c in ("eq", "ne", "lt", "ge", "gt", "le")], _compare),
    **dict.fromkeys(("if_acmpeq", "if_acmpne", "ifnull", "ifnonnull"), _compare_reference),
    "goto": _goto,
    "switch": _switch,
    "jsr": _jsr,
    "ret": _ret,
    **dict.fromkeys(("return", "ireturn", "areturn", "athrow"), _end),
}
