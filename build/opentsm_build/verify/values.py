"""What a method's locals and stack hold at one point, and how two such states are joined.

A value is `SHORT` (boolean, byte, short), the two words of an int, a return address, an object that `new` made and no
constructor has seen, or a reference: the set of classes and arrays it may be of, empty for null. Keeping the set
instead of a common superclass loses nothing where two classes that meet only in an interface join.

Spec: Java Card VM Specification 3.1, Classic Edition, 3.5 (frames); Java VM Specification 8, 4.10.2 (data flow).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.cap.types import TypeNibble
from opentsm_build.verify.types import ClassNode, Type
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "INT_HIGH",
    "INT_LOW",
    "NULL",
    "SHORT",
    "State",
    "Value",
    "array_of",
    "assignable",
    "join",
    "made_by",
    "returns_to",
    "show",
    "values_of",
]

# A class, or an array as (kind of its elements, their class).
Atom = ClassNode | tuple[TypeNibble, ClassNode | None]
# None: nothing that may be used.
Value = str | tuple[str, int] | frozenset[Atom] | None

SHORT: Final = "short"
INT_HIGH: Final = "int, high word"
INT_LOW: Final = "int, low word"
NULL: Final[frozenset[Atom]] = frozenset()

# Locals, then the stack, its top last.
State = tuple[tuple[Value, ...], tuple[Value, ...]]

# A reference that may be of more classes than this counts as any Object.
_MAX_ATOMS: Final = 32


def made_by(pc: int) -> tuple[str, int]:
    """Return the object that `new` at a pc made, before its constructor has run; -1 for `this` in a constructor."""
    return ("new", pc)


def returns_to(pc: int) -> tuple[str, int]:
    """Return a return address."""
    return ("return address", pc)


def array_of(nibble: TypeNibble, node: ClassNode | None = None) -> frozenset[Atom]:
    """Return a reference to an array of a type (one of the array nibbles)."""
    return frozenset({(nibble, node)})


def values_of(kind: Type) -> tuple[Value, ...]:
    """Return the words of a declared type."""
    if kind.nibble is TypeNibble.VOID:
        return ()
    if kind.nibble is TypeNibble.INT:
        return (INT_HIGH, INT_LOW)
    if not kind.nibble.is_reference:
        return (SHORT,)
    if kind.nibble.is_array:
        return (array_of(kind.nibble, kind.node),)
    assert kind.node is not None
    return (frozenset({kind.node}),)


def assignable(value: Value, kind: Type) -> bool:
    """Tell whether a one-word value may stand where a type is declared."""
    if not kind.nibble.is_reference:
        return value == SHORT
    return isinstance(value, frozenset) and all(_is_a(atom, kind) for atom in value)


def _is_a(atom: Atom, kind: Type) -> bool:
    if kind.nibble.is_array:
        if isinstance(atom, ClassNode) or atom[0] is not kind.nibble:
            return False
        return kind.node is None or (atom[1] is not None and atom[1].is_a(kind.node))
    assert kind.node is not None
    if isinstance(atom, ClassNode):
        return atom.is_a(kind.node)
    return kind.node.superclass is None and not kind.node.is_interface


def show(value: Value) -> str:
    """Return a value as an error says it."""
    if value is None:
        return "nothing"
    if isinstance(value, frozenset):
        parts = [atom.name.rpartition("/")[2] if isinstance(atom, ClassNode) else str(Type(*atom)) for atom in value]
        return " or ".join(sorted(parts)) or "null"
    if isinstance(value, tuple):
        return "an uninitialized object" if value[0] == "new" else value[0]
    return value


def join(old: State, new: State, root: ClassNode) -> State | None:
    """Join two states that meet at one instruction; None when the new one adds nothing.

    Raises:
        CapError: their stacks differ in depth, or in more than the classes of references.
    """
    if old == new:
        return None
    (old_locals, old_stack), (new_locals, new_stack) = old, new
    if len(old_stack) != len(new_stack):
        raise CapError(f"the stack has {len(new_stack)} words here on one path, {len(old_stack)} on another")
    stack = _join_stack(old_stack, new_stack, root)
    joined = (
        old_locals
        if old_locals == new_locals
        else tuple(_join(one, other, root) for one, other in zip(old_locals, new_locals, strict=True))
    )
    return None if (joined, stack) == old else (joined, stack)


def _join_stack(old: Sequence[Value], new: Sequence[Value], root: ClassNode) -> tuple[Value, ...]:
    joined = []
    for depth, (one, other) in enumerate(zip(old, new, strict=True)):
        value = _join(one, other, root)
        if value is None:
            raise CapError(f"word {depth} of the stack is {show(other)} on one path, {show(one)} on another")
        joined.append(value)
    return tuple(joined)


def _join(one: Value, other: Value, root: ClassNode) -> Value:
    if one == other:
        return one
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        both = one | other
        return frozenset({root}) if root in both or len(both) > _MAX_ATOMS else both
    return None
