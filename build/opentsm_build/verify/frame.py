"""The locals and the stack of a method under verification, and what may be done with a member of a class there.

Spec: Java Card VM Specification 3.1, Classic Edition, 3.5; Java VM Specification 8, 4.10.1.8 (protected members).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.cap.descriptor import AccessFlag
from opentsm_build.cap.types import TypeNibble
from opentsm_build.verify.types import ClassNode, Field, Method, Type
from opentsm_build.verify.values import INT_HIGH, INT_LOW, NULL, SHORT, Value, assignable, made_by, show, values_of
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from opentsm_build.verify.code import Body
    from opentsm_build.verify.world import World

__all__ = ["Frame"]

_THIS: Final = made_by(-1)


class Frame:
    """Locals and stack of one method at one point, with the checks of what is put there and taken.

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
        # Set when a local changes: exception handlers see what locals hold before each instruction.
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

    def get_field(self, field: Field, receiver: Value) -> None:
        """Check an object and push its field."""
        self._check_object(field, receiver)
        self.push_value(*values_of(field.type))

    def put_field(self, field: Field, receiver: Value) -> None:
        """Check an object whose field was given a value."""
        own = field.owner is self.current
        if AccessFlag.FINAL in field.access and not (own and self.body.method.is_constructor):
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
