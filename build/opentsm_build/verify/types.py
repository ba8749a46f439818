"""Types, members and classes as the verifier sees them: resolved, whether of this package or of an imported one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentsm_build.cap.descriptor import NO_TOKEN, AccessFlag
from opentsm_build.cap.types import TypeNibble

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ClassNode", "Field", "Method", "Signature", "Type"]

VISIBILITY: Final = AccessFlag.PUBLIC | AccessFlag.PRIVATE | AccessFlag.PROTECTED


@dataclass(frozen=True, slots=True)
class Type:
    """A type.

    Args:
        nibble: its kind.
        node: the class of a reference, or of an array's elements.
    """

    nibble: TypeNibble
    node: ClassNode | None = None

    @property
    def words(self) -> int:
        """16-bit words it takes on the stack."""
        return {TypeNibble.VOID: 0, TypeNibble.INT: 2}.get(self.nibble, 1)

    @property
    def uses_int(self) -> bool:
        """True for int and arrays of int."""
        return self.nibble in {TypeNibble.INT, TypeNibble.INT_ARRAY}

    def __str__(self) -> str:
        """Return it as Java writes it."""
        if self.node is not None:
            return self.node.name.rpartition("/")[2] + ("[]" if self.nibble.is_array else "")
        return self.nibble.name.lower().replace("_array", "[]")


@dataclass(frozen=True, slots=True)
class Signature:
    """Types of a method's parameters, without `this`, and of its result."""

    parameters: tuple[Type, ...]
    result: Type

    @property
    def parameter_words(self) -> int:
        """Words the parameters take."""
        return sum(parameter.words for parameter in self.parameters)

    @property
    def uses_int(self) -> bool:
        """True when one of the types is int."""
        return self.result.uses_int or any(parameter.uses_int for parameter in self.parameters)

    def __str__(self) -> str:
        """Return it as Java writes it."""
        return f"({', '.join(map(str, self.parameters))}) {self.result}"


@dataclass(frozen=True, slots=True)
class Method:
    """A method.

    Args:
        owner: the class that declares it (of an imported one: the class it was found in).
        token: its token; 0xFF for none.
        access: see `AccessFlag`.
        signature: its types.
        name: from tables or debug information; empty when unknown.
        offset: of its method_info, within this package.
    """

    owner: ClassNode
    token: int
    access: AccessFlag
    signature: Signature
    name: str = ""
    offset: int | None = None

    @property
    def is_static(self) -> bool:
        """True for a static method."""
        return AccessFlag.STATIC in self.access

    @property
    def is_constructor(self) -> bool:
        """True for a constructor."""
        return AccessFlag.INIT in self.access

    @property
    def is_virtual(self) -> bool:
        """True for what is found through an object's class."""
        return not self.access & (AccessFlag.STATIC | AccessFlag.INIT | AccessFlag.PRIVATE)

    def __str__(self) -> str:
        """Say which it is."""
        nameless = f"method {self.token}" if self.token != NO_TOKEN else f"method at {self.offset or 0:#06x}"
        name = self.name or ("constructor" if self.is_constructor else nameless)
        return f"{self.owner.name}.{name}{self.signature}"


@dataclass(frozen=True, slots=True)
class Field:
    """A field; see `Method`. `offset` is that of a static field in the static field image."""

    owner: ClassNode
    token: int
    access: AccessFlag
    type: Type
    name: str = ""
    offset: int | None = None

    def __str__(self) -> str:
        """Say which it is."""
        name = self.name or (f"field {self.token}" if self.offset is None else f"static field at {self.offset}")
        return f"{self.owner.name}.{name}"


@dataclass(eq=False)
class ClassNode:
    """A class or interface; two are the same when they are one object.

    Args:
        name: in internal form, or where it is in the Class component.
        access: PUBLIC, FINAL, INTERFACE, ABSTRACT_CLASS as the Descriptor component has them.
        superclass: None for java/lang/Object, and for an interface.
        interfaces: all it implements or extends, those of its superclasses too.
        offset: in the Class component; None for a class of another package.
        shareable: an interface that is or extends javacard/framework/Shareable.
        virtuals: by token: what an object of this class answers to; of an interface, its methods.
        statics: static methods and constructors of an imported class, by token.
        fields: instance fields it declares, by token.
        static_fields: static fields of an imported class, by token.
    """

    name: str
    access: AccessFlag
    superclass: ClassNode | None = None
    interfaces: frozenset[ClassNode] = frozenset()
    offset: int | None = None
    shareable: bool = False
    virtuals: dict[int, Method] = field(default_factory=dict)
    statics: dict[int, Method] = field(default_factory=dict)
    fields: dict[int, Field] = field(default_factory=dict)
    static_fields: dict[int, Field] = field(default_factory=dict)
    ancestors: frozenset[ClassNode] = frozenset()

    def __post_init__(self) -> None:
        above = frozenset() if self.superclass is None else self.superclass.ancestors
        self.ancestors = above | self.interfaces | {self}

    @property
    def is_interface(self) -> bool:
        """True for an interface."""
        return AccessFlag.INTERFACE in self.access

    @property
    def is_internal(self) -> bool:
        """True for a class of the package itself."""
        return self.offset is not None

    def is_a(self, other: ClassNode) -> bool:
        """Tell whether a reference to this type is one to the other (every type is an Object)."""
        return other in self.ancestors or (other.superclass is None and not other.is_interface)

    def __repr__(self) -> str:
        """Return the name."""
        return f"ClassNode({self.name})"


def parse_descriptor(descriptor: str, node: Callable[[str], ClassNode]) -> Signature:
    """Return the types of a method's descriptor, such as `([BSB)V`.

    Args:
        descriptor: well formed; it is a table's or was checked.
        node: finds a class by its name.
    """
    inside, _, result = descriptor[1:].partition(")")
    return Signature(tuple(_types(inside, node)), _types(result, node)[0])


_LETTERS: Final = {
    "V": TypeNibble.VOID,
    "Z": TypeNibble.BOOLEAN,
    "B": TypeNibble.BYTE,
    "S": TypeNibble.SHORT,
    "I": TypeNibble.INT,
}
_ARRAY: Final = 8


def _types(text: str, node: Callable[[str], ClassNode]) -> list[Type]:
    types = []
    at = 0
    while at < len(text):
        array = text[at] == "["
        at += array
        if text[at] == "L":
            end = text.index(";", at)
            nibble = TypeNibble.REFERENCE_ARRAY if array else TypeNibble.REFERENCE
            types.append(Type(nibble, node(text[at + 1 : end])))
            at = end + 1
        else:
            primitive = _LETTERS[text[at]]
            types.append(Type(TypeNibble(primitive + _ARRAY) if array else primitive))
            at += 1
    return types
