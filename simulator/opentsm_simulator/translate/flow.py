"""The references in one method: what is on the stack and in the local variables before each of its instructions.

Spec: Java Card VM Specification 3.1, Classic Edition, 7.5; Java Virtual Machine Specification, Java SE 8, 4.10.2.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_build.opcode_tables import BY_NAME, Flow
from opentsm_simulator.translate.analysis import is_new_object, local_of, shuffle_elements
from opentsm_simulator.translate.hierarchy import INT, NULL, OBJECT, SHORT, reference_in
from opentsm_simulator.translate.linkage import KnownClass
from opentsm_simulator.translate.opcodes_tables import PRIMITIVE_ARRAYS
from opentsm_simulator.translate.signature import result_of
from opentsm_simulator.translate.targets import KnownTarget, OwnTarget, SuperTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_build.instructions import Instruction
    from opentsm_simulator.translate.analysis import Analysis, Body
    from opentsm_simulator.translate.types import Types

__all__ = ["BodyFlow", "State", "checked_type"]

_THROWABLE: Final = "java/lang/Throwable"
_REFERENCE_ARRAY: Final = 14

# None is a local variable that is one thing on one path and another on the next.
Locals = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class State:
    """What is on the stack, the top last, and in the local variables, before an instruction."""

    stack: tuple[str, ...]
    locals: Locals


def checked_type(analysis: Analysis, instruction: Instruction) -> str:
    """Return the type that a checkcast or instanceof names."""
    atype, index = instruction.operands
    if atype in {0, _REFERENCE_ARRAY}:
        name = analysis.targets.class_(index).name
        return f"[L{name};" if atype else name
    return PRIMITIVE_ARRAYS[atype][1]


class BodyFlow:
    """Follows the references through one method."""

    def __init__(self, types: Types, body: Body) -> None:
        self._types = types
        self._body = body
        self._analysis = types.analysis
        self._states: dict[int, State] = {}
        self._waiting: deque[int] = deque()
        self._handlers = [
            (handler.start_offset, handler.end_offset, handler.handler_offset, self._caught(handler.catch_type_index))
            for handler in body.handlers
        ]
        # Subroutines: the stack at each jsr, and the locals with which they return.
        self._jsrs: dict[Instruction, tuple[str, ...]] = {}
        self._returned: Locals | None = None

    def _caught(self, index: int) -> str:
        if not index:
            return _THROWABLE
        cls = self._analysis.targets.class_(index)
        if isinstance(cls, KnownClass):
            self._types.hierarchy.add(cls)
        return cls.name

    def run(self) -> dict[int, State]:
        """Return the state before each instruction."""
        body, types = self._body, self._types
        locals_: list[str | None] = [None] * (body.info.nargs + body.info.max_locals + 1)
        word = 0
        this = types.this(body)
        for number, kind in enumerate(body.signature.settle().params):
            if kind == "A":
                known = types.read(types.argument(body.signature, number), body)
                locals_[word] = this if number == 0 and this is not None else known
            word += 2 if kind == "I" else 1
        self._reach(body.entry, (), tuple(locals_))
        while self._waiting:
            pc: int | None = self._waiting.popleft()
            while pc is not None:
                pc = self._step(pc)
        return self._states

    def _reach(self, pc: int, stack: tuple[str, ...], locals_: Locals) -> None:
        """Come to an instruction by a path; what follows is to be looked at (again) if that tells more."""
        if self._tells(pc, stack, locals_):
            self._waiting.append(pc)

    def _tells(self, pc: int, stack: tuple[str, ...], locals_: Locals) -> bool:
        """Take in a path to an instruction; tell whether anything is known there that was not."""
        known = self._states.get(pc)
        if known is None:
            self._states[pc] = State(stack, locals_)
            return True
        if known.stack == stack and known.locals == locals_:
            return False
        join = self._types.hierarchy.join
        joined = State(
            tuple(a if a == b else join(a, b) for a, b in zip(known.stack, stack, strict=True)),
            tuple(a if a == b else self._join_local(a, b) for a, b in zip(known.locals, locals_, strict=True)),
        )
        if joined == known:
            return False
        self._states[pc] = joined
        return True

    def _join_local(self, one: str | None, other: str | None) -> str | None:
        if one is None or other is None or SHORT in {one, other} or INT in {one, other}:
            return None
        return self._types.hierarchy.join(one, other)

    def _step(self, pc: int) -> int | None:
        """Go over one instruction; return the next one where that is to be looked at at once."""
        instruction = self._body.instructions[pc]
        opcode = instruction.opcode
        state = self._states[pc]
        locals_ = state.locals
        if self._handlers:
            self._handle(pc, locals_)
        stack = list(state.stack)
        name = opcode.name
        if name in _STORES:
            locals_ = self._store(instruction, stack.pop(), locals_)
            if self._handlers:
                self._handle(pc, locals_)
        elif name in _PLAIN:
            pops, pushes = _PLAIN[name]
            if pops:
                del stack[-pops:]
            stack += pushes
        else:
            self._effect(instruction, name, stack, locals_)
        after = tuple(stack)
        flow = opcode.flow
        if flow is Flow.NEXT:
            next_pc = instruction.next_pc
            return next_pc if self._tells(next_pc, after, locals_) else None
        for target in instruction.targets:
            self._reach(target, after, locals_)
        if flow is Flow.JSR:
            self._jsrs[instruction] = state.stack
            self._return()
        elif flow is Flow.RET:
            known = self._returned
            if known is not None:
                locals_ = tuple(map(self._join_local, known, locals_))
            self._returned = locals_
            self._return()
        elif flow is Flow.BRANCH:
            self._reach(instruction.next_pc, after, locals_)
        return None

    def _return(self) -> None:
        """Go on behind each jsr with what any subroutine left in the locals."""
        if self._returned is not None:
            for instruction, stack in self._jsrs.items():
                self._reach(instruction.next_pc, stack, self._returned)

    def _handle(self, pc: int, locals_: Locals) -> None:
        for start, end, target, caught in self._handlers:
            if start <= pc < end:
                self._reach(target, (caught,), locals_)

    @staticmethod
    def _store(instruction: Instruction, type_: str, locals_: Locals) -> Locals:
        changed = list(locals_)
        local = local_of(instruction)
        changed[local] = type_
        if instruction.name[0] == "i":
            changed[local + 1] = None
        return tuple(changed)

    def _effect(self, instruction: Instruction, name: str, stack: list[str], locals_: Locals) -> None:
        special = _SPECIAL.get(name)
        if special is not None:
            special(self, instruction, stack)
        elif name.startswith("aload"):
            stack.append(locals_[local_of(instruction)] or OBJECT)
        elif name.startswith("invoke"):
            self._call(instruction, stack)
        else:
            shuffle_elements(instruction, stack)

    # --- instructions with references ---

    def null(self, _instruction: Instruction, stack: list[str]) -> None:
        """Push a null."""
        stack.append(NULL)

    def aaload(self, _instruction: Instruction, stack: list[str]) -> None:
        """Load an element of an array."""
        del stack[-1]
        array = stack.pop()
        stack.append(array[2:-1] if array.startswith("[L") else NULL if array == NULL else OBJECT)

    def _field_place(self, instruction: Instruction) -> tuple[tuple[object, ...], str | None]:
        """Return the place of a field, and its type where it is another package's."""
        index = instruction.constant_pool_index
        assert index is not None
        targets = self._analysis.targets
        place: tuple[object, ...]
        if "static" in instruction.name:
            static = targets.static_field(index)
            place, member = ("static", static.offset), static.member
        else:
            target = targets.field(index)
            place, member = ("field", target.owner, target.token), target.member
        return place, None if member is None else reference_in(member.descriptor)

    def get(self, instruction: Instruction, stack: list[str]) -> None:
        """Read a field."""
        if instruction.opcode.pops:
            del stack[-1]
        place, known = self._field_place(instruction)
        stack.append(known or self._types.read(place, self._body))

    def put(self, instruction: Instruction, stack: list[str]) -> None:
        """Write a field."""
        place, known = self._field_place(instruction)
        if known is None:
            self._types.widen(place, stack[-1])
        del stack[-len(instruction.opcode.pops) :]

    def new(self, instruction: Instruction, stack: list[str]) -> None:
        """Make an object."""
        index = instruction.constant_pool_index
        assert index is not None
        cls = self._analysis.targets.class_(index)
        stack.append(NULL if isinstance(cls, KnownClass) and cls.is_api else cls.name)

    def new_array(self, instruction: Instruction, stack: list[str]) -> None:
        """Make an array."""
        if instruction.name == "newarray":
            stack[-1] = PRIMITIVE_ARRAYS.get(instruction.operands[0], (0, OBJECT))[1]
            return
        index = instruction.constant_pool_index
        assert index is not None
        stack[-1] = f"[L{self._analysis.targets.class_(index).name};"

    def cast(self, instruction: Instruction, stack: list[str]) -> None:
        """Take a reference for what it was checked to be."""
        if instruction.operands[0] in {0, _REFERENCE_ARRAY}:
            cls = self._analysis.targets.class_(instruction.operands[1])
            if isinstance(cls, KnownClass):
                self._types.hierarchy.add(cls)
        stack[-1] = checked_type(self._analysis, instruction)

    def areturn(self, _instruction: Instruction, stack: list[str]) -> None:
        """Return a reference."""
        self._types.widen(self._types.result(self._body.signature), stack.pop())

    def _call(self, instruction: Instruction, stack: list[str]) -> None:
        target = self._analysis.target(self._body, instruction)
        if isinstance(target, KnownTarget | SuperTarget):
            self._call_known(instruction, target, stack)
            return
        types = self._types
        variable = self._analysis.signature_of(target, instruction.operands[0])
        assert variable is not None
        settled = variable.settle()
        first = len(stack) - len(settled.params)
        # The receiver of a virtual method says nothing of what another one's is.
        for number in range(0 if isinstance(target, OwnTarget) else 1, len(settled.params)):
            if settled.params[number] == "A":
                types.widen(types.argument(variable, number), stack[first + number])
        del stack[first:]
        if settled.result == "A":
            stack.append(types.read(types.result(variable), self._body))
        elif settled.result != "V":
            stack.append(INT if settled.result == "I" else SHORT)

    def _call_known(self, instruction: Instruction, target: KnownTarget | SuperTarget, stack: list[str]) -> None:
        member = target.member
        first = len(stack) - len(member.signature.params)
        kinds = self._body.stacks[instruction.pc]
        made = kinds[first] if member.name == "<init>" else ""
        del stack[first:]
        if made and is_new_object(made):
            if isinstance(target, KnownTarget):
                self._types.hierarchy.add(target.owner)
            for number, kind in enumerate(kinds[:first]):
                if kind == made:
                    stack[number] = member.owner
        result = member.signature.result
        if result == "A":
            stack.append(reference_in(result_of(member.descriptor)))
        elif result != "V":
            stack.append(INT if result == "I" else SHORT)


_SPECIAL: Final[dict[str, Callable[[BodyFlow, Instruction, list[str]], None]]] = {
    "aconst_null": BodyFlow.null,
    "aaload": BodyFlow.aaload,
    "new": BodyFlow.new,
    "newarray": BodyFlow.new_array,
    "anewarray": BodyFlow.new_array,
    "checkcast": BodyFlow.cast,
    "areturn": BodyFlow.areturn,
    **{f"getfield_a{suffix}": BodyFlow.get for suffix in ("", "_w", "_this")},
    **{f"putfield_a{suffix}": BodyFlow.put for suffix in ("", "_w", "_this")},
    "getstatic_a": BodyFlow.get,
    "putstatic_a": BodyFlow.put,
}

_STORES: Final = frozenset(
    name for name, opcode in BY_NAME.items() if "store" in name and opcode.pops in {"a", "s", "i"}
)

# What is taken off the stack, and put on it, by instructions that do no more.
_PLAIN: Final = {
    name: (len(opcode.pops), tuple(INT if kind == "i" else SHORT for kind in opcode.pushes))
    for name, opcode in BY_NAME.items()
    if name not in _SPECIAL
    and name not in _STORES
    and not name.startswith(("aload", "invoke"))
    and not {"w", "*"} & {*opcode.pops}
}
