"""The code of one method: Java Card instructions to JVM instructions.

Every method of the Method component becomes a static method, constructors and private ones too: a constructor works on
an object that is whole already. So nothing has to be known of who owns it.

Locals: arguments come first, one JVM slot each; every other local of the Java Card method has a slot of its own behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.opcode_tables import Flow
from opentsm_card.errors import CapError
from opentsm_simulator.translate.accessors import RUNTIME
from opentsm_simulator.translate.adapters import made
from opentsm_simulator.translate.analysis import is_new_object, local_of, shuffle_words, take_words
from opentsm_simulator.translate.classwriter import Code, Label
from opentsm_simulator.translate.flow import checked_type
from opentsm_simulator.translate.hierarchy import INT, OBJECT, SHORT, reference_in
from opentsm_simulator.translate.linkage import KnownClass
from opentsm_simulator.translate.loops import Count, counts
from opentsm_simulator.translate.narrowing import left_wide
from opentsm_simulator.translate.opcodes_tables import (
    ARRAY_DEPTHS,
    ARRAY_TYPES,
    BRANCHES,
    CONSTANTS,
    PRIMITIVE_ARRAYS,
    SIMPLE,
)
from opentsm_simulator.translate.runs import may_throw
from opentsm_simulator.translate.signature import words_of
from opentsm_simulator.translate.targets import KnownTarget, OwnTarget, SuperTarget

if TYPE_CHECKING:
    from opentsm_build.instructions import Instruction
    from opentsm_simulator.translate.analysis import Body, Stack
    from opentsm_simulator.translate.package import PackageTranslator
    from opentsm_simulator.translate.targets import Target

__all__ = ["MethodEmitter"]

_MORE_STACK: Final = 6

# Turns of a loop that count as one step.
_TURNS_A_STEP: Final = 4096
_PUSHES: Final = frozenset({"bspush", "sspush", "bipush", "sipush", "iipush"})
_STORES: Final = {"A": "astore", "R": "astore", "S": "istore", "I": "istore"}
_LOADS: Final = {"A": "aload", "R": "aload", "S": "iload", "I": "iload"}
_OF_KIND: Final = {"S": SHORT, "R": SHORT, "I": INT}


class MethodEmitter:
    """Writes one method.

    Args:
        package: the package being translated.
        body: the method.
    """

    def __init__(self, package: PackageTranslator, body: Body) -> None:
        self._package = package
        self._body = body
        self._signature = body.signature.settle()
        self._slots = self._place_arguments()
        info = body.info
        self._behind = len(self._signature.params) + info.nargs + info.max_locals
        self.code = Code(package.code_class, info.max_stack + _MORE_STACK, self._behind)
        self._labels = {pc: Label() for pc in body.instructions}
        self._turns = -1
        self._counts = counts(body)
        self._keeps_this = package.types.this(body) is not None and not any(
            "store" in each.name and each.opcode.pops in {"a", "s", "i"} and local_of(each) == 0
            for each in body.instructions.values()
        )
        self._states = package.types.states.get(body.offset, {})
        self._runs = package.begin_runs(body)
        self._wide = left_wide(body)
        self._returned = reference_in(package.types.result_descriptor(body.signature))

    def _place_arguments(self) -> dict[int, int]:
        """Return the JVM slot of each argument, by the local variable where it begins."""
        slots = {}
        word = 0
        for slot, kind in enumerate(self._signature.params):
            slots[word] = slot
            word += words_of(kind)
        return slots

    def _slot(self, local: int) -> int:
        return self._slots.get(local, len(self._signature.params) + local)

    def run(self) -> Code:
        """Write the method.

        Raises:
            CapError: something can't be translated.
        """
        self._enter()
        for pc, instruction in self._body.instructions.items():
            self.code.label(self._labels[pc])
            self._locate(instruction)
            stack = self._body.stacks.get(pc)
            if stack is None:
                raise self._body.fail("an instruction that no path reaches", pc)
            self._turn(self._counts.get(pc))
            try:
                self._emit(instruction, stack)
            except CapError as error:
                raise self._body.fail(error.reason, pc) from error
            if instruction.opcode.flow in {Flow.NEXT, Flow.BRANCH, Flow.JSR}:
                # What follows may lie elsewhere only where an unreachable instruction lies between; none does.
                assert instruction.next_pc in self._labels
        self._write_handlers()
        return self.code

    def _locate(self, instruction: Instruction) -> None:
        """Say where an instruction comes from, and count the run that it begins."""
        run = self._runs.get(instruction.pc)
        if run is not None:
            self.code.push(run)
            self.code.invoke("invokestatic", self._package.code_class.name, "count", "(I)V")
        if may_throw(instruction) or instruction.opcode.flow is Flow.THROW:
            line = self._package.line(self._body.offset, instruction.pc - self._body.entry)
            if line is not None:
                self.code.line(line)

    def _step(self) -> None:
        self.code.invoke("invokestatic", self._package.code_class.name, "step", "()V")

    def _enter(self) -> None:
        """Count a call of a method that may run for long, and begin to count the turns of its loops."""
        if self._package.calls.is_counted(self._body):
            self._step()
        if Count.TURN in self._counts.values():
            self._turns = self.code.max_locals
            self.code.max_locals += 1
            self.code.push(0)
            self.code.local("istore", self._turns)

    def _turn(self, count: Count | None) -> None:
        """Count a turn of a loop: in a local variable, which costs little, and many turns as a step."""
        if count is Count.STEP:
            self._step()
        if count is not Count.TURN:
            return
        on = Label()
        self.code.increment(self._turns)
        self.code.local("iload", self._turns)
        self.code.push(_TURNS_A_STEP)
        self.code.jump("if_icmplt", on)
        self.code.push(0)
        self.code.local("istore", self._turns)
        self._step()
        self.code.label(on)

    def _write_handlers(self) -> None:
        """Write the exception handlers: behind the code, so that what ends a runaway does not stop at one of them."""
        pcs = list(self._body.instructions)
        end = Label()
        self.code.label(end)
        for handler in self._body.handlers:
            start = next(pc for pc in pcs if pc >= handler.start_offset)
            stop = next((pc for pc in pcs if pc >= handler.end_offset), None)
            catch = None
            if handler.catch_type_index:
                catch = self._package.analysis.targets.class_(handler.catch_type_index).name
            entry = Label()
            self.code.handler(self._labels[start], end if stop is None else self._labels[stop], entry, catch)
            self.code.label(entry)
            self._step()
            self.code.op("dup")
            self.code.invoke("invokestatic", RUNTIME, "caught", "(Ljava/lang/Object;)V")
            self.code.jump("goto", self._labels[handler.handler_offset])

    # --- by groups of instructions ---

    def _emit(self, instruction: Instruction, stack: Stack) -> None:
        name = instruction.name
        if name in SIMPLE:
            wide = instruction.pc in self._wide
            for simple in SIMPLE[name][:-1] if wide else SIMPLE[name]:
                self.code.op(simple)
        elif name in CONSTANTS or name in _PUSHES:
            self.code.push(CONSTANTS[name] if name in CONSTANTS else instruction.operands[0])
        elif name in ARRAY_DEPTHS:
            self._array(name, self._types(instruction, stack))
        elif name == "icmp":
            self.code.invoke("invokestatic", RUNTIME, name, "(II)I")
        elif name.removesuffix("_w") in BRANCHES:
            self.code.jump(BRANCHES[name.removesuffix("_w")], self._labels[instruction.targets[0]])
        elif name.startswith("invoke"):
            self._call(instruction, stack)
        elif "field" in name or "static" in name:
            (self._field if "field" in name else self._static)(instruction, self._types(instruction, stack))
        elif "switch" in name:
            self._switch(instruction)
        elif name in {"pop", "pop2", "dup", "dup2", "dup_x", "swap_x"}:
            self._shuffle(instruction, stack)
        elif "load" in name or "store" in name or name.startswith(("sinc", "iinc")) or name == "ret":
            self._local(instruction, stack)
        else:
            self._object(instruction, self._types(instruction, stack))

    def _types(self, instruction: Instruction, stack: Stack) -> tuple[str, ...]:
        """Return the types of what is on the stack."""
        state = self._states.get(instruction.pc)
        if state is None:
            return tuple(_OF_KIND.get(kind, OBJECT) for kind in stack)
        return state.stack

    def _cast(self, type_: str, wanted: str) -> None:
        """Cast what is on top of the stack where it is not known to be what is wanted."""
        if not self._package.types.hierarchy.fits(type_, wanted):
            self.code.of_class("checkcast", wanted)

    def _access(self, accessor: tuple[str, str]) -> None:
        self.code.invoke("invokestatic", self._package.code_class.name, *accessor)

    def _ask(self, method: str) -> None:
        """Ask the firewall about the reference on top of the stack."""
        if self._package.accessors.firewall:
            self.code.op("dup")
            self._access(self._package.accessors.question(method))

    def _array(self, name: str, types: tuple[str, ...]) -> None:
        """Access an array: as the JVM does where its type is known, or through the runtime."""
        accessors = self._package.accessors
        array = types[-ARRAY_DEPTHS[name]]
        if accessors.is_plain and array[:2] in ARRAY_TYPES[name]:
            self.code.op(name)
        else:
            self._access(accessors.array(name, array))

    def _local(self, instruction: Instruction, stack: Stack) -> None:
        name = instruction.name
        slot = self._slot(local_of(instruction))
        if name.startswith(("sinc", "iinc")):
            self.code.local("iload", slot)
            self.code.push(instruction.operands[1])
            self.code.op("iadd")
            if name[0] == "s":
                self.code.op("i2s")
            self.code.local("istore", slot)
        elif name == "ret":
            self.code.local("ret", slot)
        else:
            if "store" in name and is_new_object(stack[-1]):
                raise CapError("stores an object before its constructor was called: not supported")
            what = "load" if "load" in name else "store"
            self.code.local(("a" if name[0] == "a" else "i") + what, slot)

    def _field(self, instruction: Instruction, types: tuple[str, ...]) -> None:
        index = instruction.constant_pool_index
        assert index is not None
        target = self._package.analysis.targets.field(index)
        what, kind = instruction.name.split("_")[:2]
        field_name, descriptor = self._package.field(target, kind)
        if what == "putfield" and kind == "a":
            self._cast(types[-1], reference_in(descriptor))
        if instruction.name.endswith("_this"):
            receiver = self._this(instruction)
            self.code.local("aload", self._slot(0))
            if what == "putfield":
                self.code.op("swap")
        else:
            receiver = types[-2] if what == "putfield" else types[-1]
        if not self._package.types.hierarchy.fits(receiver, target.owner):
            if what == "putfield":
                self.code.op("swap")
            self.code.of_class("checkcast", target.owner)
            if what == "putfield":
                self.code.op("swap")
        # The receiver of a virtual method is in the context that runs it (JCRE 3.0.5, 6.2.8.4).
        own = instruction.name.endswith("_this") and self._keeps_this
        accessors = self._package.accessors
        if what == "putfield" and not accessors.is_plain:
            self._access(accessors.put(target.owner, field_name, descriptor, own=own))
        elif own or not accessors.firewall or what == "putfield":
            self.code.field(what, target.owner, field_name, descriptor)
        else:
            self._access(accessors.get(target.owner, field_name, descriptor))

    def _this(self, instruction: Instruction) -> str:
        """Return the type of what getfield_*_this and putfield_*_this access: local variable 0."""
        state = self._states.get(instruction.pc)
        return OBJECT if state is None else state.locals[0] or OBJECT

    def _static(self, instruction: Instruction, types: tuple[str, ...]) -> None:
        index = instruction.constant_pool_index
        assert index is not None
        target = self._package.analysis.targets.static_field(index)
        what, kind = instruction.name.split("_")
        owner, field_name, descriptor = self._package.static_field(target, kind)
        if what == "putstatic" and kind == "a":
            self._cast(types[-1], reference_in(descriptor))
        if what == "putstatic" and not self._package.accessors.is_plain:
            self._access(self._package.accessors.put_static(owner, field_name, descriptor))
        else:
            self.code.field(what, owner, field_name, descriptor)

    def _switch(self, instruction: Instruction) -> None:
        default, *targets = (self._labels[pc] for pc in instruction.targets)
        if "table" in instruction.name:
            self.code.table_switch(default, instruction.operands[1], targets)
            return
        keys = instruction.operands[2::2]
        if len(set(keys)) != len(keys):
            raise CapError(f"{instruction.name} has a key twice")
        self.code.lookup_switch(default, zip(keys, targets, strict=True))

    def _object(self, instruction: Instruction, types: tuple[str, ...]) -> None:
        name = instruction.name
        index = instruction.constant_pool_index
        match name:
            case "new":
                assert index is not None
                cls = self._package.analysis.targets.class_(index)
                if isinstance(cls, KnownClass) and cls.is_api:
                    self.code.op("aconst_null")  # its place: the constructor's call makes it
                    return
                self.code.of_class("new", cls.name)
                self.code.op("dup")
                self.code.invoke("invokespecial", cls.name, "<init>", "()V")
                made(self.code)
            case "newarray":
                self.code.new_array(self._primitive(instruction.operands[0])[0])
                made(self.code)
            case "anewarray":
                assert index is not None
                self.code.of_class("anewarray", self._package.analysis.targets.class_(index).name)
                made(self.code)
            case "checkcast" | "instanceof":
                self._ask("castShareable" if self._package.is_shareable(instruction) else "cast")
                self.code.of_class(name, checked_type(self._package.analysis, instruction))
            case "areturn":
                self._cast(types[-1], self._returned)
                self.code.op("areturn")
            case "athrow":
                self._cast(types[-1], "java/lang/Throwable")
                self._ask("thrown")
                self.code.op("athrow")
            case _:
                raise CapError(f"{name} can't be translated")

    @staticmethod
    def _primitive(atype: int) -> tuple[int, str]:
        if atype not in PRIMITIVE_ARRAYS:
            raise CapError(f"array type {atype}")
        return PRIMITIVE_ARRAYS[atype]

    # --- the stack ---

    def _shuffle(self, instruction: Instruction, stack: Stack) -> None:
        elements = list(stack)
        if instruction.name in {"pop", "pop2"}:
            taken = take_words(elements, 1 if instruction.name == "pop" else 2)
            self.code.op("pop" if len(taken) == 1 else "pop2")
            return
        top, depth, copies = shuffle_words(instruction)
        upper = take_words(elements, top)
        if not copies:
            self._rebuild(take_words(elements, depth), upper, copies=False)
            return
        between = take_words(elements, depth - top) if depth else []
        shape = (len(upper), len(between))
        direct = {
            (1, 0): "dup",
            (2, 0): "dup2",
            (1, 1): "dup_x1",
            (1, 2): "dup_x2",
            (2, 1): "dup2_x1",
            (2, 2): "dup2_x2",
        }
        if shape in direct:
            self.code.op(direct[shape])
        else:
            self._rebuild(between, upper, copies=True)

    def _rebuild(self, lower: list[str], upper: list[str], *, copies: bool) -> None:
        """Take both groups off the stack, and put them back: upper, lower, and upper again where it is copied."""
        upper_slots = self._save(upper)
        lower_slots = self._save(lower)
        self._restore(upper, upper_slots)
        self._restore(lower, lower_slots)
        if copies:
            self._restore(upper, upper_slots)

    def _save(self, kinds: list[str]) -> list[int]:
        slots = [self.code.max_locals + index for index in range(len(kinds))]
        self.code.max_locals += len(kinds)
        for kind, slot in zip(reversed(kinds), reversed(slots), strict=True):
            self.code.local(_STORES.get(kind, "astore"), slot)
        return slots

    def _restore(self, kinds: list[str], slots: list[int]) -> None:
        for kind, slot in zip(kinds, slots, strict=True):
            self.code.local(_LOADS.get(kind, "aload"), slot)

    # --- calls ---

    def _call(self, instruction: Instruction, stack: Stack) -> None:
        package = self._package
        target = package.analysis.target(self._body, instruction)
        types = self._types(instruction, stack)
        match target:
            case OwnTarget(offset):
                name, descriptor = package.method(offset)
                called = package.adapters.own(name, descriptor, self._given(target, types, instruction))
            case SuperTarget():
                called = package.adapters.super(target, self._given(target, types, instruction))
            case KnownTarget() if target.member.name == "<init>":
                self._construct(target, stack, types)
                return
            case KnownTarget():
                called = package.adapters.known(target, self._given(target, types, instruction))
            case _:
                called = package.virtual(target, self._given(target, types, instruction))
        self.code.invoke("invokestatic", package.code_class.name, *called)

    def _given(self, target: Target, types: tuple[str, ...], instruction: Instruction) -> tuple[str, ...]:
        """Return the types of a call's arguments."""
        if isinstance(target, KnownTarget | SuperTarget):
            count = len(target.member.signature.params)
        else:
            signature = self._package.analysis.signature_of(target, instruction.operands[0])
            assert signature is not None
            count = len(signature.settle().params)
        return types[len(types) - count :]

    def _construct(self, target: KnownTarget, stack: Stack, types: tuple[str, ...]) -> None:
        """Call an API's constructor: make the object, and put it where its place was kept."""
        params = target.member.signature.params
        given = types[len(types) - len(params) :]
        receiver = stack[len(stack) - len(params)]
        adapters = self._package.adapters
        if not is_new_object(receiver):
            adapter = adapters.super_constructor(target, given)
            if adapter is None:
                self.code.op("pop")
            else:
                self.code.invoke("invokestatic", self._package.code_class.name, *adapter)
            return
        self.code.invoke("invokestatic", self._package.code_class.name, *adapters.factory(target, given[1:]))
        below = list(stack[: len(stack) - len(params)])
        # Now on the stack: below, the place of the receiver, the object.
        if below.count(receiver) == 1 and below[-1] == receiver:
            for simple in ("swap", "pop", "swap", "pop"):
                self.code.op(simple)
            return
        (made,) = self._save(["A"])
        self.code.op("pop")
        if receiver not in below:
            return
        changed = below[below.index(receiver) :]
        slots = self._save(changed)
        for kind, slot in zip(changed, slots, strict=True):
            self.code.local(_LOADS.get(kind, "aload"), made if kind == receiver else slot)
