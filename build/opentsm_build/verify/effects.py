"""What each instruction does to a frame, and the types it wants there.

Spec: Java Card VM Specification 3.1, Classic Edition, 7.5; Java VM Specification 8, 4.10.1.8 (protected members).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.cap.constant_pool import ConstantPoolTag
from opentsm_build.cap.descriptor import AccessFlag
from opentsm_build.cap.types import TypeNibble
from opentsm_build.verify.frames import (
    INT_HIGH,
    INT_LOW,
    NULL,
    SHORT,
    Value,
    array_of,
    assignable,
    made_by,
    show,
    values_of,
)
from opentsm_build.verify.types import ClassNode, Field, Method, Type
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_build.instructions import Instruction
    from opentsm_build.verify.code import Body
    from opentsm_build.verify.world import World

__all__ = ["Frame"]

_THIS: Final = made_by(-1)
_REFERENCE_ARRAY: Final = 14
_ARRAY_NIBBLES: Final = {
    10: TypeNibble.BOOLEAN_ARRAY,
    11: TypeNibble.BYTE_ARRAY,
    12: TypeNibble.SHORT_ARRAY,
    13: TypeNibble.INT_ARRAY,
}
_ELEMENTS: Final = {
    "a": frozenset({TypeNibble.REFERENCE_ARRAY}),
    "b": frozenset({TypeNibble.BOOLEAN_ARRAY, TypeNibble.BYTE_ARRAY}),
    "s": frozenset({TypeNibble.SHORT_ARRAY}),
    "i": frozenset({TypeNibble.INT_ARRAY}),
}
_ALL_ARRAYS: Final = frozenset().union(*_ELEMENTS.values())


class Frame:
    """Locals and stack of one method at one point; `execute` moves over an instruction.

    The local behind the last one says whether the constructor of a superclass has run (see `made_by`).

    Args:
        world: the package.
        body: the method.
    """

    def __init__(self, world: World, body: Body) -> None:
        self.world = world
        self.body = body
        self.max_stack = body.info.max_stack
        self.current = body.method.owner
        self.locals: list[Value] = []
        self.stack: list[Value] = []
        # True after an instruction that changed a local.
        self.changed = False

    def enter(self) -> None:
        """Set the frame up as it is at the method's first instruction."""
        method = self.body.method
        this: list[Value] = []
        unfinished = method.is_constructor
        if not method.is_static:
            this = [_THIS if unfinished else frozenset({self.current})]
        arguments = [value for kind in method.signature.parameters for value in values_of(kind)]
        nothing: list[Value] = [None] * self.body.info.max_locals
        self.locals = [*this, *arguments, *nothing, _THIS if unfinished else SHORT]
        self.stack = []

    def execute(self, instruction: Instruction) -> None:
        """Do what an instruction does.

        Raises:
            CapError: the frame does not hold what it wants.
        """
        opcode = instruction.opcode
        special = _SPECIAL.get(opcode.name)
        if special is not None:
            special(self, instruction)
            return
        for kind in reversed(opcode.pops):
            self.pop(kind)
        for kind in opcode.pushes:
            self.push(kind)

    # --- the stack ---

    def push_value(self, *words: Value) -> None:
        """Push words, the top last."""
        self.stack.extend(words)
        if len(self.stack) > self.max_stack:
            raise CapError(f"the stack has {len(self.stack)} words, max_stack is {self.max_stack}")

    def push(self, kind: str) -> None:
        """Push a value of a kind (`s`, `i`, or `a` for null)."""
        if kind == "s":
            self.push_value(SHORT)
        elif kind == "i":
            self.push_value(INT_HIGH, INT_LOW)
        else:
            self.push_value(NULL)

    def pop_value(self) -> Value:
        """Pop one word."""
        if not self.stack:
            raise CapError("the stack is empty")
        return self.stack.pop()

    def pop(self, kind: str) -> Value:
        """Pop a value of a kind: `s`, `i`, `a` (a reference), `w` (one word that is not half of an int)."""
        value = self.pop_value()
        if kind == "s":
            if value == SHORT:
                return value
        elif kind == "i":
            if value == INT_LOW and self.pop_value() == INT_HIGH:
                return value
        elif kind == "a":
            if isinstance(value, frozenset):
                return value
        elif value not in {INT_LOW, INT_HIGH}:
            return value
        wanted = {"s": "a short", "i": "an int", "a": "a reference", "w": "a word that is no half of an int"}[kind]
        raise CapError(f"the stack has {show(value)}, {wanted} is wanted")

    def pop_reference(self) -> frozenset[ClassNode | tuple[TypeNibble, ClassNode | None]]:
        """Pop a reference to an initialized object, or null."""
        value = self.pop("a")
        assert isinstance(value, frozenset)
        return value

    def pop_type(self, kind: Type) -> None:
        """Pop a value that may stand where a type is declared."""
        if kind.nibble is TypeNibble.INT:
            self.pop("i")
            return
        value = self.pop_value()
        if not assignable(value, kind):
            raise CapError(f"the stack has {show(value)}, {kind} is wanted")

    def words(self, count: int) -> list[Value]:
        """Take words off the top that hold whole values."""
        if count > len(self.stack):
            raise CapError(f"{count} words wanted, the stack has {len(self.stack)}")
        taken = self.stack[len(self.stack) - count :]
        if count and taken[0] == INT_LOW:
            raise CapError("half of an int would be moved")
        del self.stack[len(self.stack) - count :]
        return taken

    # --- locals ---

    def load(self, index: int, kind: str) -> None:
        """Push a local."""
        value = self.locals[index]
        if kind == "i":
            right = value == INT_HIGH and self.locals[index + 1] == INT_LOW
        elif kind == "s":
            right = value == SHORT
        else:
            # An object that is not initialized yet may be moved about, a return address may not.
            right = isinstance(value, frozenset) or (isinstance(value, tuple) and value[0] == "new")
        if not right:
            wanted = {"s": "a short", "i": "an int", "a": "a reference"}[kind]
            raise CapError(f"local {index} has {show(value)}, {wanted} is wanted")
        self.push_value(*((INT_HIGH, INT_LOW) if kind == "i" else (value,)))

    def store(self, index: int, kind: str) -> None:
        """Pop into a local; half an int that is left there is of no use any more."""
        if kind == "a":
            value = self.pop_value()
            if not isinstance(value, frozenset | tuple):
                raise CapError(f"the stack has {show(value)}, a reference or return address is wanted")
        else:
            value = self.pop(kind)
        values: tuple[Value, ...] = (INT_HIGH, INT_LOW) if kind == "i" else (value,)
        if index and self.locals[index] == INT_LOW:
            self.locals[index - 1] = None
        end = index + len(values)
        if self.locals[end - 1] == INT_HIGH:
            self.locals[end] = None
        self.locals[index:end] = values
        self.changed = True

    # --- members ---

    def check_access(self, member: Field | Method, receiver: Value = NULL) -> None:
        """Check that the method's class may touch a member, and a protected one of this object."""
        owner = member.owner
        if AccessFlag.PRIVATE in member.access:
            if owner is not self.current:
                raise CapError(f"{member} is private")
        elif not owner.is_internal and AccessFlag.PUBLIC not in member.access:
            if AccessFlag.PROTECTED not in member.access or not self.current.is_a(owner):
                raise CapError(f"{member} is not accessible from {self.current.name}")
            if AccessFlag.STATIC not in member.access and isinstance(receiver, frozenset):
                own = Type(TypeNibble.REFERENCE, self.current)
                if not assignable(receiver, own):
                    raise CapError(f"{member} is protected, of {show(receiver)} it is not accessible")

    def pop_receiver(self, member: Field | Method) -> None:
        """Pop the object whose member is used."""
        value = self.pop_value()
        if not assignable(value, Type(TypeNibble.REFERENCE, member.owner)):
            raise CapError(f"the stack has {show(value)}, {member.owner.name} is wanted")
        self.check_access(member, value)

    def get_field(self, field: Field, receiver: Value) -> None:
        """Check an object and push its field."""
        self._check_object(field, receiver)
        self.push_value(*values_of(field.type))

    def put_field(self, field: Field, receiver: Value) -> None:
        """Check an object whose field was given a value."""
        own = field.owner is self.current
        if AccessFlag.FINAL in field.access and not own:
            raise CapError(f"{field} is final")
        # Before the constructor of the superclass has run, a constructor may set fields of its own class.
        if receiver == _THIS and own and self.body.method.is_constructor:
            return
        self._check_object(field, receiver)

    def _check_object(self, field: Field, receiver: Value) -> None:
        if not assignable(receiver, Type(TypeNibble.REFERENCE, field.owner)):
            raise CapError(f"{field} of {show(receiver)}")
        self.check_access(field, receiver)

    def pop_arguments(self, method: Method) -> None:
        """Pop a method's arguments, the last first."""
        for kind in reversed(method.signature.parameters):
            self.pop_type(kind)

    def construct(self, method: Method) -> None:
        """Run a constructor: the object it is of is initialized wherever it is."""
        value = self.pop_value()
        if value == _THIS:
            right = method.owner is self.current or method.owner is self.current.superclass
            node = self.current
        elif isinstance(value, tuple) and value[0] == "new":
            item = self.body.items[value[1]]
            assert isinstance(item, ClassNode)
            node = item
            right = method.owner is node
        else:
            raise CapError(f"{method} of {show(value)}")
        if not right:
            raise CapError(f"{method} of an object of {node.name}")
        if not method.owner.is_internal and AccessFlag.PROTECTED in method.access and value != _THIS:
            raise CapError(f"{method} is protected")
        self.check_access(method)
        ready: Value = frozenset({node})
        flag = SHORT if value == _THIS else self.locals[-1]
        self.locals = [ready if each == value else each for each in self.locals]
        self.locals[-1] = flag
        self.stack = [ready if each == value else each for each in self.stack]
        self.changed = True


# --- the instructions that are more than words popped and pushed ---

_Effect = "Callable[[Frame, Instruction], None]"
_SPECIAL: dict[str, Callable[[Frame, Instruction], None]] = {}


def _effect(*names: str) -> Callable[[Callable[[Frame, Instruction], None]], Callable[[Frame, Instruction], None]]:
    def register(function: Callable[[Frame, Instruction], None]) -> Callable[[Frame, Instruction], None]:
        _SPECIAL.update(dict.fromkeys(names, function))
        return function

    return register


def _load(frame: Frame, instruction: Instruction) -> None:
    name = instruction.name
    frame.load(instruction.operands[0] if instruction.operands else int(name[-1]), name[0])


def _store(frame: Frame, instruction: Instruction) -> None:
    name = instruction.name
    frame.store(instruction.operands[0] if instruction.operands else int(name[-1]), name[0])


for _kind in "asi":
    for _suffix in ("", "_0", "_1", "_2", "_3"):
        _SPECIAL[f"{_kind}load{_suffix}"] = _load
        _SPECIAL[f"{_kind}store{_suffix}"] = _store


@_effect("sinc", "sinc_w", "iinc", "iinc_w")
def _increment(frame: Frame, instruction: Instruction) -> None:
    index = instruction.operands[0]
    value = frame.locals[index]
    wanted = SHORT if instruction.name[0] == "s" else INT_HIGH
    if value != wanted or (wanted == INT_HIGH and frame.locals[index + 1] != INT_LOW):
        raise CapError(f"local {index} has {show(value)}, {'a short' if wanted == SHORT else 'an int'} is wanted")


def _pop_array(
    frame: Frame, kinds: frozenset[TypeNibble]
) -> frozenset[ClassNode | tuple[TypeNibble, ClassNode | None]]:
    value = frame.pop_reference()
    if not all(isinstance(atom, tuple) and atom[0] in kinds for atom in value):
        wanted = " or ".join(sorted(nibble.name.lower() for nibble in kinds))
        raise CapError(f"the stack has {show(value)}, {wanted} is wanted")
    return value


@_effect("aaload", "baload", "saload", "iaload")
def _load_element(frame: Frame, instruction: Instruction) -> None:
    kind = instruction.name[0]
    frame.pop("s")
    arrays = _pop_array(frame, _ELEMENTS[kind])
    if kind == "a":
        frame.push_value(frozenset(atom[1] for atom in arrays if isinstance(atom, tuple) and atom[1] is not None))
    else:
        frame.push("i" if kind == "i" else "s")


@_effect("aastore", "bastore", "sastore", "iastore")
def _store_element(frame: Frame, instruction: Instruction) -> None:
    kind = instruction.name[0]
    frame.pop("s" if kind == "b" else kind)
    frame.pop("s")
    _pop_array(frame, _ELEMENTS[kind])


@_effect("arraylength")
def _length(frame: Frame, instruction: Instruction) -> None:
    del instruction
    _pop_array(frame, _ALL_ARRAYS)
    frame.push("s")


@_effect("pop2")
def _pop2(frame: Frame, instruction: Instruction) -> None:
    del instruction
    frame.words(2)


@_effect("dup", "dup2")
def _dup(frame: Frame, instruction: Instruction) -> None:
    taken = frame.words(1 if instruction.name == "dup" else 2)
    if len(taken) == 1 and taken[0] in {INT_HIGH, INT_LOW}:
        raise CapError("half of an int would be copied")
    frame.push_value(*taken, *taken)


@_effect("dup_x")
def _dup_x(frame: Frame, instruction: Instruction) -> None:
    moved, depth = instruction.operands[0] >> 4, instruction.operands[0] & 0xF
    copied = frame.words(moved)
    below = frame.words(max(0, depth - moved))
    frame.push_value(*copied, *below, *copied)


@_effect("swap_x")
def _swap_x(frame: Frame, instruction: Instruction) -> None:
    top = frame.words(instruction.operands[0] >> 4)
    below = frame.words(instruction.operands[0] & 0xF)
    frame.push_value(*top, *below)


@_effect("areturn", "sreturn", "ireturn", "return")
def _return(frame: Frame, instruction: Instruction) -> None:
    method = frame.body.method
    result = method.signature.result
    kind = {"areturn": "a", "sreturn": "s", "ireturn": "i", "return": "v"}[instruction.name]
    wanted = (
        "v"
        if result.nibble is TypeNibble.VOID
        else "a"
        if result.nibble.is_reference
        else "i"
        if result.uses_int
        else "s"
    )
    if kind != wanted:
        raise CapError(f"{instruction.name} in a method with result {result}")
    if kind != "v":
        frame.pop_type(result)
    if frame.locals[-1] != SHORT:
        raise CapError("the constructor returns, and no constructor of its superclass has run on every path")


@_effect("athrow")
def _throw(frame: Frame, instruction: Instruction) -> None:
    del instruction
    frame.pop_type(Type(TypeNibble.REFERENCE, frame.world.imported.named("java/lang/Throwable")))


# --- members and classes ---


def _field(frame: Frame, instruction: Instruction) -> Field:
    item = frame.body.items[instruction.pc]
    assert isinstance(item, Field)
    return item


def _get_static(frame: Frame, instruction: Instruction) -> None:
    field = _field(frame, instruction)
    frame.check_access(field)
    frame.push_value(*values_of(field.type))


def _put_static(frame: Frame, instruction: Instruction) -> None:
    field = _field(frame, instruction)
    frame.check_access(field)
    if AccessFlag.FINAL in field.access and field.owner is not frame.current:
        raise CapError(f"{field} is final")
    frame.pop_type(field.type)


def _get_field(frame: Frame, instruction: Instruction) -> None:
    field = _field(frame, instruction)
    frame.get_field(field, frame.pop_value())


def _put_field(frame: Frame, instruction: Instruction) -> None:
    field = _field(frame, instruction)
    frame.pop_type(field.type)
    frame.put_field(field, frame.pop_value())


def _this(frame: Frame) -> Value:
    if frame.body.method.is_static or not frame.body.info.nargs:
        raise CapError("a static method has no `this`")
    return frame.locals[0]


def _get_field_this(frame: Frame, instruction: Instruction) -> None:
    frame.get_field(_field(frame, instruction), _this(frame))


def _put_field_this(frame: Frame, instruction: Instruction) -> None:
    field = _field(frame, instruction)
    frame.pop_type(field.type)
    frame.put_field(field, _this(frame))


for _kind in "absi":
    _SPECIAL[f"getstatic_{_kind}"] = _get_static
    _SPECIAL[f"putstatic_{_kind}"] = _put_static
    _SPECIAL[f"getfield_{_kind}"] = _SPECIAL[f"getfield_{_kind}_w"] = _get_field
    _SPECIAL[f"putfield_{_kind}"] = _SPECIAL[f"putfield_{_kind}_w"] = _put_field
    _SPECIAL[f"getfield_{_kind}_this"] = _get_field_this
    _SPECIAL[f"putfield_{_kind}_this"] = _put_field_this


def _method(frame: Frame, instruction: Instruction) -> Method:
    item = frame.body.items[instruction.pc]
    assert isinstance(item, Method)
    return item


@_effect("invokevirtual")
def _invoke_virtual(frame: Frame, instruction: Instruction) -> None:
    method = _method(frame, instruction)
    frame.pop_arguments(method)
    index = instruction.constant_pool_index
    assert index is not None
    entry = frame.world.cap.constant_pool.entry(index)
    node = frame.world.node(entry.class_ref, "ConstantPool")
    value = frame.pop_value()
    if not assignable(value, Type(TypeNibble.REFERENCE, node)):
        raise CapError(f"the stack has {show(value)}, {node.name} is wanted")
    frame.check_access(method, value)
    frame.push_value(*values_of(method.signature.result))


@_effect("invokespecial")
def _invoke_special(frame: Frame, instruction: Instruction) -> None:
    method = _method(frame, instruction)
    frame.pop_arguments(method)
    if method.is_constructor:
        frame.construct(method)
        return
    index = instruction.constant_pool_index
    assert index is not None
    entry = frame.world.cap.constant_pool.entry(index)
    if entry.tag is ConstantPoolTag.SUPER_METHODREF and frame.world.nodes.get(entry.class_ref) is not frame.current:
        raise CapError("invokespecial of a superclass's method in the name of another class")
    value = frame.pop_value()
    if not assignable(value, Type(TypeNibble.REFERENCE, frame.current)):
        raise CapError(f"the stack has {show(value)}, {frame.current.name} is wanted")
    frame.check_access(method, value)
    frame.push_value(*values_of(method.signature.result))


@_effect("invokestatic")
def _invoke_static(frame: Frame, instruction: Instruction) -> None:
    method = _method(frame, instruction)
    frame.check_access(method)
    frame.pop_arguments(method)
    frame.push_value(*values_of(method.signature.result))


@_effect("invokeinterface")
def _invoke_interface(frame: Frame, instruction: Instruction) -> None:
    interface = _class(frame, instruction)
    nargs, _, token = instruction.operands
    method = interface.virtuals.get(token)
    if method is None:
        raise CapError(f"{interface.name} has no method {token}")
    if nargs != method.signature.parameter_words + 1:
        raise CapError(f"invokeinterface of {method} with {nargs} words")
    frame.pop_arguments(method)
    frame.pop_type(Type(TypeNibble.REFERENCE, interface))
    frame.push_value(*values_of(method.signature.result))


def _class(frame: Frame, instruction: Instruction) -> ClassNode:
    item = frame.body.items[instruction.pc]
    assert isinstance(item, ClassNode)
    return item


@_effect("new")
def _new(frame: Frame, instruction: Instruction) -> None:
    fresh = made_by(instruction.pc)
    if fresh in frame.stack:
        raise CapError("an object made here before is not initialized yet")
    frame.locals = [None if each == fresh else each for each in frame.locals]
    frame.push_value(fresh)


@_effect("newarray")
def _new_array(frame: Frame, instruction: Instruction) -> None:
    frame.pop("s")
    frame.push_value(array_of(_ARRAY_NIBBLES[instruction.operands[0]]))


@_effect("anewarray")
def _new_reference_array(frame: Frame, instruction: Instruction) -> None:
    frame.pop("s")
    frame.push_value(array_of(TypeNibble.REFERENCE_ARRAY, _class(frame, instruction)))


@_effect("checkcast")
def _check_cast(frame: Frame, instruction: Instruction) -> None:
    frame.pop_reference()
    kind = instruction.operands[0]
    if kind in _ARRAY_NIBBLES:
        frame.push_value(array_of(_ARRAY_NIBBLES[kind]))
    elif kind == _REFERENCE_ARRAY:
        frame.push_value(array_of(TypeNibble.REFERENCE_ARRAY, _class(frame, instruction)))
    else:
        frame.push_value(frozenset({_class(frame, instruction)}))
