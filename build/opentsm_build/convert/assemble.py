"""Give symbolic instructions their sizes and bytes.

Branches start short and grow until all reach; a switch becomes a table or a list of pairs, whichever is smaller.

Spec: JCVM 3.1, 7.5; method_header_info: 6.10.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_build.convert.ops import Label, Op
from opentsm_build.opcode_tables import BY_NAME
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from opentsm_build.convert.ops import Reference
    from opentsm_build.convert.pool import Pool
    from opentsm_build.convert.select import Handlers

__all__ = ["Assembled", "AssembledHandler", "assemble"]

_OPCODE: Final = {name: opcode.value for name, opcode in BY_NAME.items()}
_POPS: Final = {
    name: (sum(2 if kind == "i" else 1 for kind in opcode.pops), sum(2 if kind == "i" else 1 for kind in opcode.pushes))
    for name, opcode in BY_NAME.items()
    if "*" not in opcode.pops
}
_ENDS: Final = frozenset({"goto", "ret", "return", "sreturn", "ireturn", "areturn", "athrow", "sswitch", "iswitch"})
_INT_NAMES: Final = frozenset(
    {name for name, opcode in BY_NAME.items() if "i" in opcode.pops + opcode.pushes}
    | {"iconst", "iload", "iinc", "iswitch"}
)
_INT_ARRAY: Final = 13
_BYTE_RANGE: Final = range(-128, 128)
_SHORT_RANGE: Final = range(-0x8000, 0x8000)
_MAX_CODE_BYTES: Final = 0x7FFF
_MAX_SLOT: Final = 0xFF


@dataclass(frozen=True, slots=True)
class AssembledHandler:
    """An exception handler, as offsets into the method's bytecodes."""

    start: int
    end: int
    handler: int
    catch: Reference | None
    stop: bool


@dataclass(frozen=True, slots=True)
class Assembled:
    """A method's bytecodes.

    Args:
        code: the bytes.
        max_stack: words.
        relocations: (offset of the operand, its size) of each constant pool index.
        handlers: exception handlers, in the order of their handlers' offsets.
        pcs: (offset, JVM pc) of each instruction, ascending.
        max_locals: words of locals, arguments among them.
        uses_int: True when an instruction works on an int.
    """

    code: bytes
    max_stack: int
    relocations: tuple[tuple[int, int], ...]
    handlers: tuple[AssembledHandler, ...]
    pcs: tuple[tuple[int, int], ...]
    max_locals: int
    uses_int: bool


def _number(name: str, value: int) -> bytes:
    """Encode the push of a constant."""
    letter = name[0]
    if -1 <= value <= 5:
        return bytes((_OPCODE[f"{name}_m1" if value == -1 else f"{name}_{value}"],))
    if value in _BYTE_RANGE:
        return bytes((_OPCODE["bspush" if letter == "s" else "bipush"], value & 0xFF))
    if value in _SHORT_RANGE:
        return bytes((_OPCODE["sspush" if letter == "s" else "sipush"],)) + (value & 0xFFFF).to_bytes(2, "big")
    return bytes((_OPCODE["iipush"],)) + (value & 0xFFFFFFFF).to_bytes(4, "big")


def _local(name: str, slot: int) -> bytes:
    if slot > _MAX_SLOT:
        raise CapError(f"local {slot}: a method has {_MAX_SLOT + 1} words of locals at most")
    if slot <= 3:
        return bytes((_OPCODE[f"{name}_{slot}"],))
    return bytes((_OPCODE[name], slot))


def _increment(name: str, arg: tuple[int, int]) -> bytes:
    slot, step = arg
    if slot > _MAX_SLOT:
        raise CapError(f"local {slot}: a method has {_MAX_SLOT + 1} words of locals at most")
    if step in _BYTE_RANGE:
        return bytes((_OPCODE[name], slot, step & 0xFF))
    return bytes((_OPCODE[f"{name}_w"], slot)) + (step & 0xFFFF).to_bytes(2, "big")


class _Assembler:
    def __init__(self, ops: list[Op], pool: Pool) -> None:
        self.ops, self.pool = _reachable_fields(ops, pool), pool
        self.wide: set[int] = set()
        # Bytes that do not depend on the layout; None for branches and switches.
        self.fixed = [self._fixed(op) for op in self.ops]

    def _fixed(self, op: Op) -> bytes | None:  # noqa: PLR0911 - one line for each form
        name, arg = op.name, op.arg
        if name == "label":
            return b""
        if op.target is not None or op.cases is not None:
            return None
        if op.ref is not None:
            return self._with_reference(op)
        if arg is None:
            return bytes((_OPCODE[name],))
        if isinstance(arg, tuple):
            return _increment(name, arg)
        if name in ("sconst", "iconst"):
            return _number(name, arg)
        if name in ("aload", "sload", "iload", "astore", "sstore", "istore"):
            return _local(name, arg)
        if name in ("checkcast", "instanceof"):
            return bytes((_OPCODE[name], arg, 0, 0))
        return bytes((_OPCODE[name], arg))

    def _with_reference(self, op: Op) -> bytes:
        assert op.ref is not None
        index = self.pool.index[op.ref]
        name = op.name
        if "field" in name:
            if index <= 0xFF:
                return bytes((_OPCODE[name], index))
            name += "_w"
        wide = index.to_bytes(2, "big")
        if name == "invokeinterface":
            assert isinstance(op.arg, int)
            return bytes((_OPCODE[name], op.words[0])) + wide + bytes((op.arg,))
        if name in ("checkcast", "instanceof"):
            assert isinstance(op.arg, int)
            return bytes((_OPCODE[name], op.arg)) + wide
        return bytes((_OPCODE[name],)) + wide

    def size(self, position: int) -> int:
        fixed = self.fixed[position]
        if fixed is not None:
            return len(fixed)
        op = self.ops[position]
        if op.cases is not None:
            return min(_table_bytes(op), _lookup_bytes(op))
        return 3 if op.name == "jsr" or position in self.wide else 2

    def layout(self) -> list[int]:
        while True:
            offsets, offset = [], 0
            for position, op in enumerate(self.ops):
                offsets.append(offset)
                if op.name == "label":
                    assert op.target is not None
                    op.target.offset = offset
                offset += self.size(position)
            grown = {
                position
                for position, op in enumerate(self.ops)
                if self.fixed[position] is None
                and op.target is not None
                and op.name != "jsr"
                and position not in self.wide
                and op.target.offset - offsets[position] not in _BYTE_RANGE
            }
            if not grown:
                if offset > _MAX_CODE_BYTES:
                    raise CapError(f"{offset} bytes of code, {_MAX_CODE_BYTES} at most: split the method")
                return offsets
            self.wide |= grown

    def encode(self, offsets: list[int]) -> bytes:
        parts = []
        for position, op in enumerate(self.ops):
            fixed = self.fixed[position]
            if fixed is None:
                fixed = (
                    _switch(op, offsets[position])
                    if op.cases is not None
                    else self._branch(position, offsets[position])
                )
            parts.append(fixed)
        return b"".join(parts)

    def _branch(self, position: int, offset: int) -> bytes:
        op = self.ops[position]
        assert op.target is not None
        distance = op.target.offset - offset
        if op.name == "jsr":
            return bytes((_OPCODE["jsr"],)) + (distance & 0xFFFF).to_bytes(2, "big")
        if position in self.wide:
            return bytes((_OPCODE[f"{op.name}_w"],)) + (distance & 0xFFFF).to_bytes(2, "big")
        return bytes((_OPCODE[op.name], distance & 0xFF))

    def relocations(self, offsets: list[int]) -> tuple[tuple[int, int], ...]:
        found = []
        for position, op in enumerate(self.ops):
            if op.ref is None:
                continue
            fixed = self.fixed[position]
            assert fixed is not None
            if "field" in op.name and len(fixed) == 2:
                found.append((offsets[position] + 1, 1))
            else:
                behind = 2 if op.name in ("checkcast", "instanceof", "invokeinterface") else 1
                found.append((offsets[position] + behind, 2))
        return tuple(found)


def _reachable_fields(ops: list[Op], pool: Pool) -> list[Op]:
    """Write out the `_this` instructions whose field has no index of one byte."""
    if not any(op.ref is not None and op.name.endswith("_this") and pool.index[op.ref] > 0xFF for op in ops):
        return ops
    result = []
    for op in ops:
        if op.ref is None or not op.name.endswith("_this") or pool.index[op.ref] <= 0xFF:
            result.append(op)
            continue
        result.append(Op("aload", 0, pc=op.pc))
        if op.name.startswith("put"):
            words = 2 if op.name == "putfield_i_this" else 1
            result.append(Op("swap_x", 1 << 4 | words, pc=op.pc, words=(1 + words, 1 + words)))
        result.append(Op(op.name.removesuffix("_this"), ref=op.ref, pc=op.pc))
    return result


def _key_bytes(op: Op) -> int:
    return 2 if op.name == "sswitch" else 4


def _table_bytes(op: Op) -> int:
    assert op.cases is not None
    keys = op.cases.keys
    if not keys:
        return 1 << 30
    return 3 + 2 * _key_bytes(op) + 2 * (keys[-1] - keys[0] + 1)


def _lookup_bytes(op: Op) -> int:
    assert op.cases is not None
    return 5 + (_key_bytes(op) + 2) * len(op.cases.keys)


def _switch(op: Op, offset: int) -> bytes:
    cases = op.cases
    assert cases is not None

    def distance(label: Label) -> bytes:
        return ((label.offset - offset) & 0xFFFF).to_bytes(2, "big")

    def number(value: int) -> bytes:
        return value.to_bytes(_key_bytes(op), "big", signed=True)

    letter = op.name[0]
    if _table_bytes(op) <= _lookup_bytes(op):
        targets = dict(zip(cases.keys, cases.targets, strict=True))
        low, high = cases.keys[0], cases.keys[-1]
        head = bytes((_OPCODE[f"{letter}tableswitch"],)) + distance(cases.default) + number(low) + number(high)
        return head + b"".join(distance(targets.get(key, cases.default)) for key in range(low, high + 1))
    head = bytes((_OPCODE[f"{letter}lookupswitch"],)) + distance(cases.default) + len(cases.keys).to_bytes(2, "big")
    return head + b"".join(
        number(key) + distance(target) for key, target in zip(cases.keys, cases.targets, strict=True)
    )


def effect(op: Op) -> tuple[int, int]:
    """Return the words that an instruction pops and pushes."""
    name = op.name
    if name.startswith("invoke") or name in ("dup_x", "swap_x"):
        return op.words
    if name in _POPS:
        return _POPS[name]
    if name in ("sconst", "iconst"):
        return 0, 2 if name[0] == "i" else 1
    return (2 if name == "iswitch" else 1) if name.endswith("switch") else 0, 0


def _max_stack(ops: list[Op], handlers: Handlers) -> int:
    """Return the deepest stack, in words."""
    place = {op.target: position for position, op in enumerate(ops) if op.name == "label"}
    todo = [(0, 0), *((place[handler[2]], 1) for handler in handlers)]
    seen: set[int] = set()
    deepest = 1 if handlers else 0
    while todo:
        position, depth = todo.pop()
        while position < len(ops) and position not in seen:
            seen.add(position)
            op = ops[position]
            if op.name != "label":
                popped, pushed = effect(op)
                depth += pushed - popped
                deepest = max(deepest, depth)
                if op.target is not None:
                    todo.append((place[op.target], depth))
                    if op.name == "jsr":
                        depth -= 1
                if op.cases is not None:
                    todo += [(place[target], depth) for target in (op.cases.default, *op.cases.targets)]
                if op.name in _ENDS:
                    break
            position += 1
    return deepest


def _ordered(ops: list[Op], handlers: Handlers) -> Handlers:
    """Put handlers into the order of their offsets, without a change of precedence where ranges meet.

    Where the order of the code contradicts the precedence, a handler gets a jump at the method's end as its entry.
    """
    result: Handlers = []
    for start, end, handler, caught in handlers:
        if start.offset >= end.offset:
            continue
        behind = [other for other in result if other[0].offset < end.offset and start.offset < other[1].offset]
        if any(other[2].offset > handler.offset for other in behind):
            entry = Label()
            entry.offset = 1 << 20 | len(ops)
            ops += [Op("label", target=entry), Op("goto", target=handler)]
            result.append((start, end, entry, caught))
        else:
            result.append((start, end, handler, caught))
    return sorted(result, key=lambda entry: entry[2].offset)


def assemble(ops: list[Op], handlers: Handlers, pool: Pool, max_locals: int) -> Assembled:
    """Assemble a method.

    Args:
        ops: its instructions; jumps may be appended for its handlers.
        handlers: in order of precedence.
        pool: indices of the references.
        max_locals: words of locals, arguments among them.

    Raises:
        CapError: the method is too long, or has too many locals.
    """
    assembler = _Assembler(ops, pool)
    assembler.layout()
    count = len(ops)
    ordered = _ordered(ops, handlers)
    if len(ops) != count:
        assembler = _Assembler(ops, pool)
    offsets = assembler.layout()
    code = assembler.encode(offsets)
    table = [(h[0].offset, h[1].offset, h[2].offset, h[3]) for h in ordered]
    done = tuple(
        AssembledHandler(
            start, end, handler, caught, not any(s < end and start < e for s, e, _, _ in table[index + 1 :])
        )
        for index, (start, end, handler, caught) in enumerate(table)
    )
    pcs = tuple((offset, op.pc) for offset, op in zip(offsets, assembler.ops, strict=True) if op.name != "label")
    uses_int = any(_is_int(op) for op in assembler.ops)
    stack = _max_stack(assembler.ops, handlers)
    return Assembled(code, stack, assembler.relocations(offsets), done, pcs, max_locals, uses_int)


def _is_int(op: Op) -> bool:
    """Tell whether an instruction is one of those that only a card with int support has."""
    name = op.name
    return (
        name in _INT_NAMES
        or name.endswith(("field_i", "field_i_this", "static_i"))
        or (name == "newarray" and op.arg == _INT_ARRAY)
    )
