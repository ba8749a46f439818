"""What a method's code does with stack and locals, found by running it over intervals instead of numbers.

Every number on the stack has a *definition*, the instruction that pushed it. Definitions that meet at a join are one
(a union-find set), for their number must have one form. Every local variable slot is split into *webs*: writes that can
reach the same read. A web of numbers is a short or an int as a whole.

Spec: JVMS 8, 4.10.2 (the same data flow, over types); 4.10.2.5 (finally, jsr and ret).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.classfile.bytecode import Switch, decode
from opentsm_build.convert import ranges
from opentsm_build.convert.flow_steps import REFERENCE, STEPS, THIS, UNINITIALIZED, State, Value
from opentsm_build.convert.subset import unsupported
from opentsm_build.convert.universe import parse_method_descriptor
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from opentsm_build.classfile import ClassFile, Method
    from opentsm_build.classfile.bytecode import Insn
    from opentsm_build.convert.ranges import Range

__all__ = ["MethodFlow", "Value"]

_TYPED: Final = {"Z": ranges.BOOLEAN, "B": ranges.BYTE, "S": ranges.SHORT, "I": ranges.INT}
_ENDS: Final = frozenset({"goto", "switch", "return", "ireturn", "areturn", "athrow", "ret"})
_WRITES: Final = frozenset({"istore", "astore", "iinc"})
_MAX_ROUNDS: Final = 200


class Sets:
    """Union-find over numbers."""

    __slots__ = ("_parent",)

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def find(self, item: int) -> int:
        """Return the set's smallest member."""
        parent = self._parent
        while (up := parent.get(item, item)) != item:
            item = up
        return item

    def union(self, first: int, second: int) -> None:
        """Make one set of two."""
        a, b = self.find(first), self.find(second)
        if a != b:
            self._parent[max(a, b)] = min(a, b)


class MethodFlow:
    """The data flow of one method.

    Args:
        cls: its class.
        method: the method, with code.
        insns: its instructions, where they are decoded already.

    Attributes:
        insns: its instructions.
        leaders: where basic blocks begin.
        index: instruction's index by pc.
        before: for each instruction the stack in front of it, None where it is never reached.
        read_web: web that a load, iinc or ret reads, by instruction.
        write_web: web that a store or iinc writes, by instruction.
        definitions: sets of definitions (of numbers on the stack).
        webs: sets of webs; each is named by the instruction that writes, those of the arguments by -1 - slot.
        result: interval of the number that an instruction pushed.
        shared: definitions that have copies, or that met others.
        web_range: interval of all numbers written to a web of numbers, by any member.
        web_slot: the JVM's slot of a web, by any member.
    """

    def __init__(self, cls: ClassFile, method: Method, insns: list[Insn] | None = None) -> None:
        assert method.code is not None
        self.cls, self.method, self.code = cls, method, method.code
        self.insns = insns or decode(method.code.code, cls.pool, cls.place(method))
        self.index = {insn.pc: position for position, insn in enumerate(self.insns)}
        self.before: list[list[Value] | None] = [None] * len(self.insns)
        self.read_web: dict[int, int] = {}
        self.write_web: dict[int, int] = {}
        self.definitions, self.webs = Sets(), Sets()
        self.result: dict[int, Range] = {}
        self.shared: set[int] = set()
        self.web_range: dict[int, Range] = {}
        self.web_slot: dict[int, int] = {}
        self._states: dict[int, State] = {}
        self._rounds: dict[int, int] = {}
        self._queue: list[int] = []
        self._jsr_states: dict[int, dict[int, State]] = {}
        self._ret_states: dict[int, State] = {}
        self._modified: dict[int, frozenset[int]] = {}
        self._has_jsr = any(insn.name == "jsr" for insn in self.insns)
        self.leaders = self._find_leaders()
        self._covering = self._find_covering()
        self._run()

    def fail(self, reason: str, at: int) -> CapError:
        """Return the error that names class, method, pc and source line of an instruction, to be raised."""
        pc = self.insns[at].pc
        return CapError(reason, where=self.cls.place(self.method, self.code.line_at(pc)), pc=pc)

    # --- structure ---

    def _find_leaders(self) -> frozenset[int]:
        leaders = {0}
        for position, insn in enumerate(self.insns):
            leaders.update(self.targets(insn))
            if insn.name in _ENDS or insn.name.startswith(("if", "jsr")):
                leaders.add(position + 1)
        for handler in self.code.handlers:
            for pc in (handler.start_pc, handler.handler_pc, handler.end_pc):
                if pc in self.index:
                    leaders.add(self.index[pc])
                elif pc != len(self.code.code):
                    raise CapError(f"an exception handler's range ends inside an instruction (pc {pc})")
        return frozenset(leaders)

    def _find_covering(self) -> dict[int, tuple[int, ...]]:
        """Return the handlers' first instructions for each leader that is covered."""
        covering: dict[int, tuple[int, ...]] = {}
        for leader in self.leaders:
            if leader < len(self.insns):
                pc = self.insns[leader].pc
                covering[leader] = tuple(
                    dict.fromkeys(self.index[h.handler_pc] for h in self.code.handlers if h.start_pc <= pc < h.end_pc)
                )
        return covering

    def targets(self, insn: Insn) -> tuple[int, ...]:
        """Return the instructions that an instruction may jump to, by index."""
        if isinstance(insn.arg, Switch):
            return tuple(self.index[pc] for pc in (insn.arg.default, *insn.arg.targets))
        if isinstance(insn.arg, int) and insn.name.startswith(("if", "goto", "jsr")):
            return (self.index[insn.arg],)
        return ()

    def _modifies(self, entry: int) -> frozenset[int]:
        """Return the slots that a subroutine writes."""
        if entry not in self._modified:
            self._modified[entry] = frozenset()
            slots, seen, todo = set[int](), set[int](), [entry]
            while todo:
                at = todo.pop()
                while at < len(self.insns) and at not in seen:
                    seen.add(at)
                    insn = self.insns[at]
                    if insn.name.endswith("store") and isinstance(insn.arg, int):
                        slots.add(insn.arg)
                    elif insn.name == "iinc" and isinstance(insn.arg, tuple):
                        slots.add(insn.arg[0])
                    if insn.name == "jsr":
                        slots |= self._modifies(self.targets(insn)[0])
                    else:
                        todo += self.targets(insn)
                    if insn.name in _ENDS:
                        break
                    at += 1
            self._modified[entry] = frozenset(slots)
        return self._modified[entry]

    # --- subroutines ---

    def jsr(self, at: int, state: State) -> None:
        """Let control go from a jsr into its subroutine, and behind the jsr where the subroutine returns."""
        entry = self.targets(self.insns[at])[0]
        local, stack = state
        self._jsr_states.setdefault(entry, {})[at] = (list(local), list(stack))
        self.enter(entry, (local, [*stack, ("r", entry, 0, 0, 0)]))
        self._return(entry, at)

    def ret(self, entry: int, state: State) -> None:
        """Let control return from a subroutine to where it was called from."""
        known = self._ret_states.get(entry)
        if known is None:
            self._ret_states[entry] = (list(state[0]), list(state[1]))
        else:
            self._merge(entry, known, state)
        for caller in list(self._jsr_states.get(entry, ())):
            self._return(entry, caller)

    def _return(self, entry: int, caller: int) -> None:
        """Reach what is behind a jsr: the locals that the subroutine writes are its, the others the caller's."""
        done = self._ret_states.get(entry)
        if done is not None:
            modified = self._modifies(entry)
            before = self._jsr_states[entry][caller][0]
            local = [done[0][slot] if slot in modified else value for slot, value in enumerate(before)]
            self.enter(caller + 1, (local, done[1]))

    # --- the run ---

    def _run(self) -> None:
        local: list[Value | None] = []
        if not self.method.is_static:
            local.append(("a", 0, 0, -1, UNINITIALIZED if self.method.name == "<init>" else THIS))
            self.web_slot[-1] = 0
        for descriptor in parse_method_descriptor(self.method.descriptor)[0]:
            web = -1 - len(local)
            self.web_slot[web] = len(local)
            span = _TYPED.get(descriptor)
            if span is None:
                local.append(("a", 0, 0, web, 0))
                local += [None] if descriptor in "JD" else []
            else:
                local.append(("i", *span, web, -1))
                self.web_range[web] = span
        if len(local) > self.code.max_locals:
            raise self.fail(f"{len(local)} slots of arguments, but {self.code.max_locals} of locals", 0)
        local += [None] * (self.code.max_locals - len(local))
        self.enter(0, (local, []))
        while self._queue:
            # The earliest block first: what it leads to is then seen once more often than not.
            leader = min(self._queue)
            self._queue.remove(leader)
            self._block(leader)

    def enter(self, at: int, state: State) -> None:
        """Let control reach a leader with a state."""
        if at >= len(self.insns):
            raise self.fail("the code runs off its end", len(self.insns) - 1)
        known = self._states.get(at)
        if known is None:
            self._states[at] = (list(state[0]), list(state[1]))
            self._queue.append(at)
            return
        if self._merge(at, known, state):
            self._rounds[at] = self._rounds.get(at, 0) + 1
            if self._rounds[at] > _MAX_ROUNDS:
                raise self.fail("the code's types do not settle", at)
            if at not in self._queue:
                self._queue.append(at)

    def _merge(self, at: int, known: State, state: State) -> bool:
        changed = False
        for slot, (old, new) in enumerate(zip(known[0], state[0], strict=True)):
            if old is None or old == new:
                continue
            merged = None if new is None else self._meet(old, new, self.webs)
            if merged != old:
                known[0][slot] = merged
                changed = True
        if len(known[1]) != len(state[1]):
            raise self.fail("the stack's depth differs between two ways to get here", at)
        for depth, (old2, new2) in enumerate(zip(known[1], state[1], strict=True)):
            if old2 == new2:
                continue
            merged2 = self._meet(old2, new2, self.definitions)
            self.shared.update((old2[3], new2[3]))
            if merged2 is None:
                raise self.fail("the stack holds different things on two ways to get here", at)
            if merged2 != old2:
                known[1][depth] = merged2
                changed = True
        return changed

    @staticmethod
    def _meet(old: Value, new: Value, sets: Sets) -> Value | None:
        kind, low, high, name, source = old
        if kind != new[0] or (kind == "r" and low != new[1]):
            return None
        if name != new[3]:
            sets.union(name, new[3])
            name = sets.find(name)
        if kind == "i":
            low, high = ranges.join((low, high), (new[1], new[2]))
            return kind, low, high, name, source if source == new[4] else -1
        return kind, low, high, name, source if source == new[4] else 0

    def _block(self, leader: int) -> None:
        entry = self._states[leader]
        local, stack = list(entry[0]), list(entry[1])
        covering = self._covering[leader]
        for handler in covering:
            self.enter(handler, (local, [REFERENCE]))
        at = leader
        while True:
            insn = self.insns[at]
            self.before[at] = list(stack)
            step = STEPS.get(insn.name)
            if step is None:
                raise self.fail(unsupported(insn), at)
            try:
                goes_on = step(self, at, local, stack)
            except IndexError as error:
                raise self.fail("the stack or a local is used that is not there", at) from error
            if insn.name in _WRITES:
                for handler in covering:
                    self.enter(handler, (local, [REFERENCE]))
            if not goes_on:
                return
            if stack and stack[-1][0] == "i" and stack[-1][3] == at:
                low, high = stack[-1][1:3]
                known = self.result.get(at, (low, high))
                self.result[at] = min(known[0], low), max(known[1], high)
            at += 1
            if at in self.leaders or at >= len(self.insns):
                self.enter(at, (local, stack))
                return
