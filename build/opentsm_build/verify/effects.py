"""What each instruction does to a frame, and the types it wants there.

Spec: Java Card VM Specification 3.1, Classic Edition, 7.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.cap.constant_pool import ConstantPoolTag
from opentsm_build.cap.descriptor import AccessFlag
from opentsm_build.cap.types import TypeNibble
from opentsm_build.verify.types import ClassNode, Field, Method, Type
from opentsm_build.verify.values import (
    INT_HIGH,
    INT_LOW,
    SHORT,
    Value,
    array_of,
    assignable,
    made_by,
    show,
    values_of,
)
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_build.cap.constant_pool import ConstantPoolEntry
    from opentsm_build.instructions import Instruction
    from opentsm_build.verify.frame import Frame

__all__ = ["execute"]

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


def execute(frame: Frame, instruction: Instruction) -> None:
    """Do to a frame what an instruction does.

    Raises:
        CapError: the frame does not hold what it wants.
    """
    opcode = instruction.opcode
    special = _SPECIAL.get(opcode.name)
    if special is not None:
        special(frame, instruction)
        return
    for kind in reversed(opcode.pops):
        frame.pop(kind)
    for kind in opcode.pushes:
        frame.push(kind)


# --- the instructions that are more than words popped and pushed ---

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
    # Initial values of static fields are in the image: no code sets one that is final.
    if AccessFlag.FINAL in field.access:
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


def _entry(frame: Frame, instruction: Instruction) -> ConstantPoolEntry:
    index = instruction.constant_pool_index
    assert index is not None
    return frame.world.cap.constant_pool.entry(index)


def _invoke_on(frame: Frame, method: Method, node: ClassNode) -> None:
    """Pop the object that a method is invoked on, which must be of a class, and push the result."""
    value = frame.pop_value()
    if not assignable(value, Type(TypeNibble.REFERENCE, node)):
        raise CapError(f"the stack has {show(value)}, {node.name} is wanted")
    frame.check_access(method, value)
    frame.push_value(*values_of(method.signature.result))


@_effect("invokevirtual")
def _invoke_virtual(frame: Frame, instruction: Instruction) -> None:
    method = _method(frame, instruction)
    frame.pop_arguments(method)
    _invoke_on(frame, method, frame.world.node(_entry(frame, instruction).class_ref, "ConstantPool"))


@_effect("invokespecial")
def _invoke_special(frame: Frame, instruction: Instruction) -> None:
    method = _method(frame, instruction)
    frame.pop_arguments(method)
    if method.is_constructor:
        frame.construct(method)
        return
    entry = _entry(frame, instruction)
    if entry.tag is ConstantPoolTag.SUPER_METHODREF and frame.world.nodes.get(entry.class_ref) is not frame.current:
        raise CapError("invokespecial of a superclass's method in the name of another class")
    _invoke_on(frame, method, frame.current)


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
    if fresh in frame.locals:
        frame.locals = [None if each == fresh else each for each in frame.locals]
        frame.changed = True
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
