"""Typed verification of a method by data flow: every path, joined where paths meet.

States are kept at the instructions where blocks begin, one for each chain of subroutine calls under way (`jsr`), so
that a subroutine is checked for each of its callers and nothing has to be guessed where it returns.

Spec: Java VM Specification 8, 4.10.2.2 (the algorithm); Java Card VM Specification 3.1, Classic Edition, 7.5.
"""

from __future__ import annotations

import bisect
import heapq
from typing import TYPE_CHECKING, Final

from opentsm_build.opcode_tables import Flow
from opentsm_build.verify.effects import execute
from opentsm_build.verify.frame import Frame
from opentsm_build.verify.values import State, Value, join, returns_to, show
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.instructions import Instruction
    from opentsm_build.verify.code import Body, Handler
    from opentsm_build.verify.world import World

__all__ = ["Steps", "check_flow"]

# Subroutine calls under way: (where the subroutine begins, where it returns to), the innermost last.
_Calls = tuple[tuple[int, int], ...]

# Words of all states of a method, and steps per instruction: code that compilers make takes 1.2 on average, some 3 at
# its worst.
_MAX_WORDS: Final = 4_000_000
_STEPS_EACH: Final = 20
# Joining frames of more words than this takes more than one step.
_WORDS_A_STEP: Final = 32
_STEPS_FREE: Final = 50_000
_ENDS: Final = frozenset({Flow.JUMP, Flow.SWITCH, Flow.JSR, Flow.RET, Flow.RETURN, Flow.THROW})


class Steps:
    """How many more instructions and joins the verification of one package may take: it must end for any input.

    Args:
        bodies: the methods that are to be verified.
    """

    def __init__(self, bodies: Iterable[Body]) -> None:
        self._left = _STEPS_FREE + _STEPS_EACH * sum(len(body.instructions) for body in bodies)

    def spend(self, count: int = 1) -> None:
        """Take some.

        Raises:
            CapError: none are left.
        """
        self._left -= count
        if self._left < 0:
            raise CapError("more paths than a compiler makes: not verified")


def check_flow(world: World, body: Body, steps: Steps) -> None:
    """Verify one method's code.

    Args:
        world: its package.
        body: the method.
        steps: what is left for the package.

    Raises:
        CapError: the first rule that is broken, with method and pc.
    """
    if body.instructions:
        _Verifier(world, body, steps).run()


class _Verifier:
    def __init__(self, world: World, body: Body, steps: Steps) -> None:
        self.body = body
        self.steps = steps
        self.frame = Frame(world, body)
        self.root = world.imported.root
        self.throwable = frozenset({world.imported.named("java/lang/Throwable")})
        self.states: dict[tuple[int, _Calls], State] = {}
        self.queue: list[tuple[int, _Calls]] = []
        self.queued: set[tuple[int, _Calls]] = set()
        self.leaders = {target for each in body.instructions.values() for target in each.targets}
        self.leaders |= {handler.handler_pc for handler in body.handlers}
        self.guards = _guards(body)
        words = body.info.nargs + body.info.max_locals + body.info.max_stack
        self.max_states = _MAX_WORDS // (words + 1)
        self.join_steps = 1 + words // _WORDS_A_STEP
        self.pc = 0
        # The handlers that the locals as they are have reached.
        self.guarding: tuple[Handler, ...] = ()

    def run(self) -> None:
        self.frame.enter()
        try:
            self._reach(0, 0, ())
            while self.queue:
                key = heapq.heappop(self.queue)
                self.queued.discard(key)
                pc, calls = key
                local, stack = self.states[key]
                self.frame.locals, self.frame.stack = list(local), list(stack)
                self.guarding = ()
                while True:
                    following = self._step(pc, calls)
                    if following is None:
                        break
                    pc = following
        except CapError as error:
            raise CapError(
                error.reason,
                component="Method",
                offset_bytes=self.body.code_offset + self.pc,
                where=str(self.body.method),
                pc=self.pc,
            ) from error

    def _step(self, pc: int, calls: _Calls) -> int | None:
        """Execute the instruction at a pc; return the next one's pc when the block goes on there."""
        self.pc = pc
        self.steps.spend()
        instruction = self.body.instructions.get(pc)
        if instruction is None:
            raise CapError("the code runs on behind the last instruction")
        guards = self.guards.get(pc, ())
        if guards and (self.frame.changed or guards is not self.guarding):
            local = tuple(self.frame.locals)
            for handler in guards:
                self._enter_handler(handler, local, calls)
        self.guarding, self.frame.changed = guards, False
        flow = instruction.opcode.flow
        if flow is Flow.JSR:
            self._call(instruction, calls)
            return None
        if flow is Flow.RET:
            self._return(instruction, calls)
            return None
        execute(self.frame, instruction)
        for target in instruction.targets:
            self._reach(target, pc, calls)
        if flow in _ENDS:
            return None
        following = instruction.next_pc
        if following in self.leaders:
            self._reach(following, pc, calls)
            return None
        return following

    def _reach(self, target: int, source: int, calls: _Calls) -> None:
        """Bring the frame's state to an instruction."""
        if target <= source and target in self.leaders and self._has_uninitialized():
            raise CapError("a jump backwards with an object that is not initialized yet")
        self._merge(target, calls, (tuple(self.frame.locals), tuple(self.frame.stack)))

    def _merge(self, target: int, calls: _Calls, state: State) -> None:
        self.steps.spend(self.join_steps)
        if target not in self.body.instructions:
            raise CapError("the code runs on behind the last instruction")
        key = (target, calls)
        known = self.states.get(key)
        if known is None:
            if len(self.states) >= self.max_states:
                raise CapError("too many states: more paths through subroutines than a compiler makes")
            self.states[key] = state
        else:
            try:
                joined = join(known, state, self.root)
            except CapError as error:
                raise CapError(f"at {target}: {error.reason}") from error
            if joined is None:
                return
            self.states[key] = joined
        if key not in self.queued:
            self.queued.add(key)
            heapq.heappush(self.queue, key)

    def _enter_handler(self, handler: Handler, local: tuple[Value, ...], calls: _Calls) -> None:
        caught: Value = self.throwable if handler.catch is None else frozenset({handler.catch})
        if self.body.info.max_stack < 1:
            raise CapError("an exception handler needs a word of stack, max_stack is 0")
        self._merge(handler.handler_pc, calls, (local, (caught,)))

    def _has_uninitialized(self) -> bool:
        values = (*self.frame.locals[:-1], *self.frame.stack)
        return any(isinstance(value, tuple) and value[0] == "new" for value in values)

    def _call(self, instruction: Instruction, calls: _Calls) -> None:
        target, back = instruction.targets[0], instruction.next_pc
        if any(begun == target for begun, _ in calls):
            raise CapError("a subroutine calls itself")
        self.frame.push_value(returns_to(back))
        self._reach(target, instruction.pc, (*calls, (target, back)))

    def _return(self, instruction: Instruction, calls: _Calls) -> None:
        value = self.frame.locals[instruction.operands[0]]
        for depth in range(len(calls) - 1, -1, -1):
            if value == returns_to(calls[depth][1]):
                self._merge(calls[depth][1], calls[:depth], (tuple(self.frame.locals), tuple(self.frame.stack)))
                return
        raise CapError(
            f"local {instruction.operands[0]} has {show(value)}, a return address of a subroutine under way is wanted"
        )


def _guards(body: Body) -> dict[int, tuple[Handler, ...]]:
    """Return, by pc, the handlers that an exception of the instruction there may reach."""
    if not body.handlers:
        return {}
    bounds = sorted({pc for handler in body.handlers for pc in (handler.start_pc, handler.end_pc)})
    # Between two bounds the handlers are the same.
    between = [
        tuple(handler for handler in body.handlers if handler.start_pc <= bound < handler.end_pc) for bound in bounds
    ]
    return {
        pc: between[bisect.bisect_right(bounds, pc) - 1] for pc in body.instructions if bounds[0] <= pc < bounds[-1]
    }
