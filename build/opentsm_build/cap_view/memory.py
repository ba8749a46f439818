"""An estimate of the memory that an instance of an applet takes, from the code that its `install` runs.

Counted are the fields of the objects, and the elements of the arrays, that code reachable from `install` makes, each
place in the code once; an array whose length is no constant just before it counts as unknown. Headers that a card adds
to each object, and what its own classes take inside, are not known from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_build.verify.types import ClassNode, Method

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.instructions import Instruction
    from opentsm_build.verify.code import Body

__all__ = ["InstanceMemory", "object_bytes", "of_instance"]

_WORD_BYTES: Final = 2
_ELEMENT_BYTES: Final = {10: 1, 11: 1, 12: 2, 13: 4}
_TRANSIENT: Final = {
    "makeTransientBooleanArray": 1,
    "makeTransientByteArray": 1,
    "makeTransientShortArray": 2,
    "makeTransientObjectArray": 2,
}
_JCSYSTEM: Final = "javacard/framework/JCSystem"
_CONSTANTS: Final = {f"sconst_{value}": value for value in range(6)}


@dataclass(slots=True)
class InstanceMemory:
    """What an instance takes, in bytes.

    Args:
        persistent_bytes: fields of objects and elements of arrays.
        transient_bytes: elements of transient arrays.
        objects: objects and arrays that are counted.
        unknown: arrays of a length that is not known.
    """

    persistent_bytes: int = 0
    transient_bytes: int = 0
    objects: int = 0
    unknown: int = 0


def object_bytes(node: ClassNode) -> int:
    """Return the bytes of an object's fields, as far as classes of this package declare them."""
    total = 0
    current: ClassNode | None = node
    while current is not None and current.is_internal:
        total += sum(field.type.words for field in current.fields.values()) * _WORD_BYTES
        current = current.superclass
    return total


def of_instance(bodies: Iterable[Body], install: int) -> InstanceMemory:
    """Return the estimate for an applet.

    Args:
        bodies: all methods of the package.
        install: offset of the applet's `install` in the Method component.
    """
    by_offset = {body.method.offset: body for body in bodies}
    memory = InstanceMemory()
    waiting, seen = [install], {install}
    while waiting:
        body = by_offset.get(waiting.pop())
        if body is None:
            continue
        previous: Instruction | None = None
        window: list[Instruction] = []
        for instruction in body.instructions.values():
            item = body.items.get(instruction.pc)
            _count(memory, instruction, item, previous, window)
            internal = isinstance(item, Method) and instruction.name in {
                "invokespecial",
                "invokestatic",
                "invokevirtual",
            }
            if internal and isinstance(item, Method) and item.offset is not None and item.offset not in seen:
                seen.add(item.offset)
                waiting.append(item.offset)
            previous = instruction
            window = [*window[-2:], instruction]
    return memory


def _count(
    memory: InstanceMemory,
    instruction: Instruction,
    item: object,
    previous: Instruction | None,
    window: list[Instruction],
) -> None:
    name = instruction.name
    if name == "new" and isinstance(item, ClassNode):
        memory.objects += 1
        memory.persistent_bytes += object_bytes(item)
    elif name in {"newarray", "anewarray"}:
        memory.objects += 1
        length = _constant(previous)
        if length is None:
            memory.unknown += 1
        else:
            memory.persistent_bytes += length * (
                _ELEMENT_BYTES[instruction.operands[0]] if name == "newarray" else _WORD_BYTES
            )
    elif (
        name == "invokestatic" and isinstance(item, Method) and item.owner.name == _JCSYSTEM and item.name in _TRANSIENT
    ):
        memory.objects += 1
        # arguments: length, event
        length = _constant(window[-2]) if len(window) > 1 else None
        if length is None:
            memory.unknown += 1
        else:
            memory.transient_bytes += length * _TRANSIENT[item.name]


def _constant(instruction: Instruction | None) -> int | None:
    if instruction is None:
        return None
    if instruction.name in {"bspush", "sspush"}:
        return max(0, instruction.operands[0])
    return _CONSTANTS.get(instruction.name)
