"""What the methods of a package are: instructions as far as they can be reached, the stack before each, signatures.

Nothing but the Method component's own code says where a method ends and what it takes, when there is no Descriptor
component: it is followed from its first instruction, so code that can't be reached is not looked at, and a handler
belongs to the methods whose instructions it guards. What an abstract method returns that nothing in the package
implements, is tried: one kind only lets the code behind a call make sense.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.10 (Method component), 7.5 (instructions).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentsm_build.cap.descriptor import AccessFlag
from opentsm_build.cap.methods import MethodFlag, MethodInfo
from opentsm_build.cap.types import TypeNibble
from opentsm_build.instructions import Instruction, decode_one
from opentsm_build.opcode_tables import Flow
from opentsm_card.errors import CapError
from opentsm_simulator.translate.classes import OwnClass, Slot
from opentsm_simulator.translate.linkage import KnownClass
from opentsm_simulator.translate.signature import Signature, SignatureVariable, words_of
from opentsm_simulator.translate.targets import KnownTarget, OwnTarget, SuperTarget, Target, Targets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.cap import CapFile
    from opentsm_build.cap.descriptor import DescriptorComponent
    from opentsm_build.cap.methods import ExceptionHandlerInfo
    from opentsm_build.cap.types import JcType
    from opentsm_simulator.translate.classes import OwnClasses

__all__ = ["Analysis", "Body", "is_new_object", "local_of", "shuffle_elements", "shuffle_words", "take_words"]

_GOES_ON: Final = frozenset({Flow.NEXT, Flow.BRANCH, Flow.JSR})
_RETURNS: Final = {"areturn": "A", "sreturn": "S", "ireturn": "I", "return": "V"}
_INVOKES: Final = frozenset({"invokevirtual", "invokespecial", "invokestatic"})
_MAX_STACK_ELEMENTS: Final = 256
# What a call may leave, in the order in which it is tried: shorts are the most frequent, and nothing fits rarely.
_GUESSES: Final = "SAIV"

# install(byte[], short, byte), which the runtime calls. Spec: Java Card API, javacard.framework.Applet.
_INSTALL: Final = Signature("ASS", "V")

# A reference to an object of a known class whose constructor was not called yet, by where it was made: `N` and the pc.
# A stack is a tuple of kinds: S, I, A, R (a return address) or such a new object.
Stack = tuple[str, ...]


def is_new_object(kind: str) -> bool:
    """Tell whether a stack element is an object that waits for its constructor."""
    return kind[0] == "N"


def _plain(kind: str) -> str:
    return "A" if is_new_object(kind) else kind


class _UnknownResultError(CapError):
    """A method is called of which nothing tells what it returns."""

    def __init__(self, variable: SignatureVariable) -> None:
        super().__init__("calls a method of which nothing tells what it returns")
        self.variable = variable


@dataclass
class Body:
    """A method of the package.

    Args:
        offset: of its header in the Method component's info item.
        info: its header.
        instructions: those that can be reached, by pc (offsets into the info item), in ascending order.
        handlers: exception handlers that guard any of them, in order.
        stacks: the stack before each instruction.
        signature: what it takes and gives.
    """

    offset: int
    info: MethodInfo
    signature: SignatureVariable
    instructions: dict[int, Instruction] = field(default_factory=dict)
    handlers: list[ExceptionHandlerInfo] = field(default_factory=list)
    stacks: dict[int, Stack] = field(default_factory=dict)

    @property
    def entry(self) -> int:
        """Where its code begins."""
        return self.offset + self.info.header_bytes

    @property
    def is_abstract(self) -> bool:
        """True when it has no code."""
        return MethodFlag.ABSTRACT in self.info.flags

    def stacks_in_order(self) -> list[Stack | None]:
        """Return the stack before each instruction, in their order; None where no path came."""
        return [self.stacks.get(pc) for pc in self.instructions]

    def fail(self, reason: str, pc: int | None = None) -> CapError:
        """Return the error that names this method."""
        where = f"method at {self.offset:#06x}"
        return CapError(reason, component="Method", where=where, pc=None if pc is None else pc - self.entry)


class Analysis:
    """Finds all methods that can be called, and what they take and give.

    Args:
        cap: the package.
        classes: its classes.

    Raises:
        CapError: code that no verifier would let pass, or that this translator can't do.
    """

    def __init__(self, cap: CapFile, classes: OwnClasses) -> None:
        self._component = cap.methods
        self._code = bytes(self._component.methods_offset) + self._component.methods
        self._classes = classes
        self.targets = Targets(cap, classes)
        self.bodies: dict[int, Body] = {}
        self.slots: dict[Slot, SignatureVariable] = {}
        self._discover(self._roots(cap))
        for applet in cap.applets:
            self.bodies[applet.install_method_offset].signature.fix(_INSTALL)
        self._make_families()
        if cap.descriptor is not None:
            self._take_descriptor(cap.descriptor)
        for body in list(self.bodies.values()):
            self._returns(body)
        for body in self.bodies.values():
            if not body.is_abstract:
                self._run_guessing(body)

    def _roots(self, cap: CapFile) -> Iterable[int]:
        """Return the methods that are called from elsewhere."""
        yield from (applet.install_method_offset for applet in cap.applets)
        for cls in self._classes.classes():
            yield from (offset for _, offset in cls.declared())
        if cap.exports is not None:
            for export in cap.exports.class_exports:
                yield from export.static_method_offsets

    # --- which methods there are, and their instructions ---

    def _discover(self, roots: Iterable[int]) -> None:
        waiting = list(roots)
        while waiting:
            offset = waiting.pop()
            if offset in self.bodies:
                continue
            info = MethodInfo.read(self._component.reader(offset), 0)
            body = self.bodies[offset] = Body(offset, info, SignatureVariable(info.nargs))
            if not body.is_abstract:
                self._follow(body)
                waiting += self._called(body)

    def _follow(self, body: Body) -> None:
        waiting = [body.entry]
        handlers: dict[int, ExceptionHandlerInfo] = {}
        found: dict[int, Instruction] = {}
        while waiting:
            pc = waiting.pop()
            if pc in found:
                continue
            try:
                instruction = found[pc] = decode_one(self._code, pc)
            except CapError as error:
                raise body.fail(error.reason, pc) from error
            waiting += instruction.targets
            if instruction.opcode.flow in _GOES_ON:
                waiting.append(instruction.next_pc)
            for number, handler in enumerate(self._component.exception_handlers):
                if handler.start_offset <= pc < handler.end_offset and number not in handlers:
                    handlers[number] = handler
                    waiting.append(handler.handler_offset)
        body.instructions = dict(sorted(found.items()))
        body.handlers = [handlers[number] for number in sorted(handlers)]

    def _called(self, body: Body) -> Iterable[int]:
        for instruction in body.instructions.values():
            if instruction.name in _INVOKES:
                target = self.target(body, instruction)
                if isinstance(target, OwnTarget):
                    yield target.offset

    def target(self, body: Body, instruction: Instruction) -> Target:
        """Return what an invoke instruction calls.

        Raises:
            CapError: its constant pool entry leads nowhere.
        """
        index = instruction.constant_pool_index
        assert index is not None
        try:
            if instruction.name == "invokeinterface":
                return self.targets.interface_method(index, instruction.operands[2])
            return self.targets.method(index)
        except CapError as error:
            raise body.fail(str(error), instruction.pc) from error

    # --- which of them share a signature ---

    def slot(self, slot: Slot, words: int) -> SignatureVariable:
        """Return the signature of a family of virtual methods."""
        if slot not in self.slots:
            self.slots[slot] = SignatureVariable(words)
            self.slots[slot].takes(0, "A")
        return self.slots[slot]

    def _make_families(self) -> None:
        for cls in self._classes.classes():
            for token, offset in cls.declared():
                body = self.bodies[offset]
                family = self.slot(cls.slot(token), body.info.nargs)
                family.unify(body.signature)
                member = cls.member(token)
                if member is not None:
                    family.fix(member.signature)
            self._join_interfaces(cls)

    def _join_interfaces(self, cls: OwnClass) -> None:
        """A method that implements an interface's has that one's signature."""
        for implemented in cls.info.interfaces:
            interface = self._classes.find(implemented.interface)
            for number, token in enumerate(implemented.index):
                offset = cls.implementation(token)
                if offset is None:
                    continue  # a known superclass implements it
                family = self.slot(cls.slot(token), self.bodies[offset].info.nargs)
                if isinstance(interface, KnownClass):
                    member = interface.virtual.get(number)
                    if member is not None:
                        family.fix(member.signature)
                else:
                    slot = Slot(int(implemented.interface), number, interface=True)
                    self.slot(slot, family.words).unify(family)

    def _returns(self, body: Body) -> None:
        for instruction in body.instructions.values():
            kind = _RETURNS.get(instruction.name)
            if kind is not None:
                try:
                    body.signature.returns(kind)
                except CapError as error:
                    raise body.fail(error.reason, instruction.pc) from error

    def _take_descriptor(self, descriptor: DescriptorComponent) -> None:
        """Take signatures from the Descriptor component."""
        types = descriptor.types.by_offset()
        for cls in descriptor.classes:
            interface = AccessFlag.INTERFACE in AccessFlag(cls.access_flags)
            for method in cls.methods:
                found = types.get(method.type_offset)
                if found is None:
                    raise CapError(f"no type at offset {method.type_offset:#06x}", component="Descriptor")
                *params, result = ("V" if each.words == 0 else _kind(each) for each in found.types())
                static = AccessFlag.STATIC in AccessFlag(method.access_flags)
                signature = Signature("".join(params) if static else "A" + "".join(params), result)
                if interface:
                    slot = Slot(int(cls.this_class_ref), method.token, interface=True)
                    self.slot(slot, signature.words).fix(signature)
                elif method.method_offset in self.bodies:
                    self.bodies[method.method_offset].signature.fix(signature)

    # --- the stack before each instruction ---

    def _run_guessing(self, body: Body, *, guessed: bool = False) -> None:
        """Follow a method's paths; where a call's result is not known, try each kind until the paths make sense.

        A guess must leave nothing on the stack at a return: no compiler does, though a verifier would allow it.
        """
        try:
            self._run(body)
            if guessed and any(map(_leaves_something, body.instructions.values(), body.stacks_in_order())):
                raise body.fail("leaves something on the stack when it returns")
        except _UnknownResultError as unknown:
            variables = [each.signature for each in self.bodies.values()] + list(self.slots.values())
            before = [variable.save() for variable in variables]
            for kind in _GUESSES:
                body.stacks.clear()
                try:
                    unknown.variable.returns(kind)
                    self._run_guessing(body, guessed=True)
                except CapError:
                    for variable, saved in zip(variables, before, strict=True):
                        variable.restore(saved)
                else:
                    return
            raise body.fail(f"{unknown.reason}: load the Descriptor component") from unknown

    def _run(self, body: Body) -> None:
        """Follow all paths with the kinds of what is on the stack."""
        # The argument words that may still hold the argument, for each instruction that was entered.
        held: dict[int, frozenset[int]] = {}
        waiting: list[tuple[int, Stack, frozenset[int]]] = [(body.entry, (), frozenset(range(body.info.nargs)))]
        handled: set[tuple[int, frozenset[int]]] = set()
        while waiting:
            pc, stack, arguments = waiting.pop()
            known = body.stacks.get(pc)
            if known is not None:
                if tuple(map(_plain, known)) != tuple(map(_plain, stack)):
                    raise body.fail("paths with different stacks meet", pc)
                if arguments <= held[pc]:
                    continue
                arguments |= held[pc]
            body.stacks[pc], held[pc] = stack, arguments
            instruction = body.instructions[pc]
            after, left = self._step(body, instruction, list(stack), arguments)
            jsr = instruction.opcode.flow is Flow.JSR
            waiting += [(target, after, left) for target in instruction.targets]
            if instruction.opcode.flow in _GOES_ON:
                waiting.append((instruction.next_pc, stack if jsr else after, left))
            for handler in body.handlers:
                if handler.start_offset <= pc < handler.end_offset:
                    key = (handler.handler_offset, arguments | left)
                    if key not in handled:
                        handled.add(key)
                        waiting.append((handler.handler_offset, ("A",), arguments | left))

    def _step(
        self, body: Body, instruction: Instruction, stack: list[str], arguments: frozenset[int]
    ) -> tuple[Stack, frozenset[int]]:
        opcode = instruction.opcode
        try:
            if "load" in opcode.name and not opcode.pops:
                self._load(body, instruction, arguments)
            elif opcode.name.startswith(("sinc", "iinc")):
                self._uses(body, instruction.operands[0], opcode.name[0].upper(), arguments)
            if opcode.name.startswith("invoke"):
                self._call(body, instruction, stack)
            elif opcode.name == "new":
                stack.append(self._new(instruction))
            elif "w" in opcode.pops or "*" in opcode.pops:
                shuffle_elements(instruction, stack)
            else:
                for kind in reversed(opcode.pops.upper()):
                    _pop(stack, kind)
                stack += opcode.pushes.upper()
        except _UnknownResultError:
            raise
        except CapError as error:
            raise body.fail(error.reason, instruction.pc) from error
        if len(stack) > _MAX_STACK_ELEMENTS:
            raise body.fail("the stack grows without bound", instruction.pc)
        return tuple(stack), arguments - self._stored(instruction)

    def _load(self, body: Body, instruction: Instruction, arguments: frozenset[int]) -> None:
        self._uses(body, local_of(instruction), instruction.name[0].upper(), arguments)

    @staticmethod
    def _uses(body: Body, local: int, kind: str, arguments: frozenset[int]) -> None:
        if local in arguments:
            body.signature.takes(local, kind)

    @staticmethod
    def _stored(instruction: Instruction) -> frozenset[int]:
        name = instruction.name
        if "store" not in name or instruction.opcode.pops not in {"a", "s", "i"}:
            return frozenset()
        local = local_of(instruction)
        return frozenset({local, local + 1} if name[0] == "i" else {local})

    def _new(self, instruction: Instruction) -> str:
        index = instruction.constant_pool_index
        assert index is not None
        cls = self.targets.class_(index)
        # Only an API's constructor makes its object; ours, and other translated packages', work on one that is made.
        return f"N{instruction.pc}" if isinstance(cls, KnownClass) and cls.is_api else "A"

    def signature_of(self, target: Target, words: int = 0) -> SignatureVariable | None:
        """Return the signature variable of what is called; None when it exists outside of the package.

        Args:
            target: what is called.
            words: the argument words that an invokeinterface names.
        """
        match target:
            case OwnTarget(offset):
                return self.bodies[offset].signature
            case KnownTarget() | SuperTarget():
                return None
            case _:
                return self.slot(target.slot, words)

    def _call(self, body: Body, instruction: Instruction, stack: list[str]) -> None:
        target = self.target(body, instruction)
        if isinstance(target, KnownTarget | SuperTarget):
            signature = target.member.signature
            for kind in reversed(signature.params):
                taken = _pop(stack, kind)
            if target.member.name == "<init>" and is_new_object(taken):
                stack[:] = ["A" if kind == taken else kind for kind in stack]
            result: str | None = signature.result
        else:
            variable = self.signature_of(target, instruction.operands[0])
            assert variable is not None
            result = variable.result
            self._arguments(variable, stack)
            if result is None:
                raise _UnknownResultError(variable)
        if result != "V":
            stack.append(result or "V")

    @staticmethod
    def _arguments(variable: SignatureVariable, stack: list[str]) -> None:
        """Take a call's arguments off the stack: they say what the called method takes."""
        word = variable.words
        while word > 0:
            if not stack:
                raise CapError("a call with too few arguments")
            kind = _plain(stack.pop())
            word -= words_of(kind)
            if word < 0:
                raise CapError("a call whose arguments begin inside an int")
            variable.takes(word, kind)


def _kind(type_: JcType) -> str:
    if type_.nibble.is_reference:
        return "A"
    return "I" if type_.nibble is TypeNibble.INT else "S"


def _leaves_something(instruction: Instruction, stack: Stack | None) -> bool:
    returned = 0 if instruction.name == "return" else 1
    return stack is not None and instruction.opcode.flow is Flow.RETURN and len(stack) > returned


def local_of(instruction: Instruction) -> int:
    """Return the local variable that a load, store or ret names."""
    if instruction.operands:
        return instruction.operands[0]
    return int(instruction.name[-1])


def _pop(stack: list[str], kind: str) -> str:
    if not stack:
        raise CapError("takes from an empty stack")
    taken = stack.pop()
    if _plain(taken) != kind and not (kind == "A" and taken == "R"):
        raise CapError(f"finds {_plain(taken)} on the stack, wants {kind}")
    return taken


def take_words(stack: list[str], words: int) -> list[str]:
    """Take whole elements off a stack that make some words; the deepest first.

    Raises:
        CapError: they would cut an int in two.
    """
    taken: list[str] = []
    while words > 0:
        if not stack:
            raise CapError("takes from an empty stack")
        taken.insert(0, stack.pop())
        words -= 2 if taken[0] == "I" else 1
    if words < 0:
        raise CapError("takes half of an int")
    return taken


def shuffle_words(instruction: Instruction) -> tuple[int, int, bool]:
    """Return, for dup, dup2, dup_x and swap_x: words on top, words they go below (0: none), whether they stay."""
    match instruction.name:
        case "dup":
            return 1, 0, True
        case "dup2":
            return 2, 0, True
        case _:
            top, depth = instruction.operands[0] >> 4, instruction.operands[0] & 0xF
            return top, depth, instruction.name == "dup_x"


def shuffle_elements(instruction: Instruction, stack: list[str]) -> None:
    """Do what pop, pop2, dup, dup2, dup_x or swap_x does with the elements of a stack; an int is `I`, two words."""
    if instruction.name in {"pop", "pop2"}:
        take_words(stack, 1 if instruction.name == "pop" else 2)
        return
    top, depth, copies = shuffle_words(instruction)
    if not copies:
        upper = take_words(stack, top)
        lower = take_words(stack, depth)
        stack += upper + lower
        return
    upper = take_words(stack, top)
    between = take_words(stack, depth - top) if depth else []
    stack += upper + between + upper
