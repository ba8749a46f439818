"""Small static methods through which translated code reads and writes arrays and fields.

What a card has to do beside the access has its place here, once for each kind of access, and the code that accesses
stays small; the JVM's compiler puts the methods in line.

Spec: Java Card VM Specification 3.1, Classic Edition, 7.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_simulator.translate.classwriter import ACC_STATIC, ClassWriter, Code, Label
from opentsm_simulator.translate.hierarchy import NULL, OBJECT, descriptor_of, reference_in
from opentsm_simulator.translate.opcodes_tables import ARRAY_TYPES, ARRAYS
from opentsm_simulator.translate.signature import parameters, result_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_simulator.translate.hierarchy import Hierarchy

__all__ = ["FIREWALL", "RUNTIME", "Accessors"]

RUNTIME: Final = "opentsm/runtime/Jcvm"
FIREWALL: Final = "opentsm/runtime/Firewall"
_APDU: Final = "javacard/framework/APDU"
_THROWABLE: Final = "java/lang/Throwable"
_WALL: Final = "wall"
_OF_OBJECT: Final = f"(L{OBJECT};)V"


class Accessors:
    """Makes the accessors of a package, in the class of its code.

    While nothing of another context can have come into the package, the field `wall` is null, and no access costs more
    than to see that. Spec: JCRE 3.0.5, 6.2.8.

    Args:
        code_class: where they go.
        hierarchy: which references fit where.
        firewall: whether accesses ask the card's firewall.
        from_start: whether they do from the beginning: other contexts may share static fields with this package.
        transactions: whether the card's memory hears of writes.
    """

    def __init__(
        self,
        code_class: ClassWriter,
        hierarchy: Hierarchy,
        *,
        firewall: bool,
        from_start: bool = False,
        transactions: bool = True,
    ) -> None:
        self._class = code_class
        self._hierarchy = hierarchy
        self.firewall = firewall
        self.transactions = transactions
        self._from_start = from_start
        if firewall:
            code_class.add_field(_WALL, f"L{FIREWALL};", ACC_STATIC)

    @property
    def is_plain(self) -> bool:
        """True when there is nothing to do beside an access."""
        return not self.firewall and not self.transactions

    def begin(self, code: Code) -> None:
        """Append to the static initializer what it has to do."""
        if self.firewall and self._from_start:
            code.invoke("invokestatic", RUNTIME, _WALL, f"()L{FIREWALL};")
            code.field("putstatic", self._class.name, _WALL, f"L{FIREWALL};")

    def wall(self, code: Code) -> None:
        """Append what loads the firewall."""
        code.field("getstatic", self._class.name, _WALL, f"L{FIREWALL};")

    def ask(self, code: Code, questions: Iterable[tuple[str, int]]) -> None:
        """Append what asks the firewall, once it has to be asked, about references in local variables.

        Args:
            code: where to.
            questions: methods of `opentsm.runtime.Firewall`, each with a local variable.
        """
        asked = list(questions)
        if not self.firewall or not asked:
            return
        skip = Label()
        self.wall(code)
        code.jump("ifnull", skip)
        for method, local in asked:
            self.wall(code)
            code.local("aload", local)
            code.invoke("invokevirtual", FIREWALL, method, _OF_OBJECT)
        code.label(skip)

    def question(self, method: str) -> tuple[str, str]:
        """Return the accessor that asks the firewall about one reference."""
        name = f"ask_{method}"
        code = self._add(name, _OF_OBJECT)
        if code is not None:
            self.ask(code, [(method, 0)])
            code.op("return")
        return name, _OF_OBJECT

    def _stores(self, code: Code, local: int, type_: str) -> None:
        """Append what refuses to store a global array or a temporary entry point, unless it is none by its type."""
        fits = self._hierarchy.fits
        if self.firewall and (type_ in {OBJECT, _APDU} or type_[0] == "[" or fits(type_, _THROWABLE)):
            code.local("aload", local)
            code.invoke("invokestatic", RUNTIME, "stored", _OF_OBJECT)

    def _add(self, name: str, descriptor: str) -> Code | None:
        """Begin an accessor with its arguments loaded; None when it is there already."""
        if self._class.has_method(name, descriptor):
            return None
        kinds = parameters(descriptor)
        code = Code(self._class, len(kinds) + 4, len(kinds))
        self._class.add_method(name, descriptor, code, ACC_STATIC)
        return code

    @staticmethod
    def _arguments(code: Code, descriptor: str) -> None:
        for number, kind in enumerate(parameters(descriptor)):
            code.local("aload" if kind[0] in "L[" else "iload", number)

    @staticmethod
    def _return(code: Code, descriptor: str) -> None:
        result = result_of(descriptor)
        code.op("return" if result == "V" else "areturn" if result[0] in "L[" else "ireturn")

    # The card's memory hears of a write before it happens, where anything wants to know of writes.

    def _element_written(self, code: Code) -> None:
        if not self.transactions:
            return
        unwatched = Label()
        code.field("getstatic", RUNTIME, "watched", "Z")
        code.jump("ifeq", unwatched)
        code.local("aload", 0)
        code.local("iload", 1)
        code.invoke("invokestatic", RUNTIME, "writes", "(Ljava/lang/Object;I)V")
        code.label(unwatched)

    def _field_written(self, code: Code, owner: str, name: str, how: str) -> None:
        if not self.transactions:
            return
        unwatched = Label()
        code.field("getstatic", RUNTIME, "watched", "Z")
        code.jump("ifeq", unwatched)
        if how == "putfield":
            code.local("aload", 0)
        else:
            code.op("aconst_null")
        code.of_class("ldc_w", owner)
        code.string(name)
        code.invoke("invokestatic", RUNTIME, "writes", "(Ljava/lang/Object;Ljava/lang/Class;Ljava/lang/String;)V")
        code.label(unwatched)

    def array(self, operation: str, array: str) -> tuple[str, str]:
        """Return the accessor that does an array instruction, by name and descriptor.

        Args:
            operation: such as `baload`.
            array: the type of the array, as far as it is known.
        """
        exact = array[:2] in ARRAY_TYPES[operation]
        of_runtime = ARRAYS[operation]
        descriptor = of_runtime
        if exact:
            descriptor = of_runtime.replace(descriptor_of(OBJECT), descriptor_of(array), 1)
            if operation == "aaload":
                element = array[2:-1] if array != NULL else OBJECT
                descriptor = f"({descriptor_of(array)}I){descriptor_of(element)}"
        code = self._add(operation, descriptor)
        if code is not None:
            if operation == "aastore":
                self._stores(code, 2, array[2:-1] if array.startswith("[L") else OBJECT)
            self.ask(code, [("access", 0)])
            if operation.endswith("store"):
                self._element_written(code)
            self._arguments(code, descriptor)
            if exact:
                code.op(operation)
            else:
                code.invoke("invokestatic", RUNTIME, operation, of_runtime)
            self._return(code, descriptor)
        return operation, descriptor

    def get(self, owner: str, name: str, field: str) -> tuple[str, str]:
        """Return the accessor that reads an instance field."""
        accessor = f"get_{owner.rpartition('/')[2]}_{name}"
        descriptor = f"({descriptor_of(owner)}){_as_argument(field)}"
        code = self._add(accessor, descriptor)
        if code is not None:
            self.ask(code, [("access", 0)])
            code.local("aload", 0)
            code.field("getfield", owner, name, field)
            self._return(code, descriptor)
        return accessor, descriptor

    def put(self, owner: str, name: str, field: str, *, own: bool) -> tuple[str, str]:
        """Return the accessor that writes an instance field.

        Args:
            owner: the class, in internal form.
            name: of the field.
            field: its descriptor.
            own: whether the object is the receiver of the method, which is in its context.
        """
        accessor = f"{'set' if own else 'put'}_{owner.rpartition('/')[2]}_{name}"
        descriptor = f"({descriptor_of(owner)}{_as_argument(field)})V"
        code = self._add(accessor, descriptor)
        if code is not None:
            if field[0] in "L[":
                self._stores(code, 1, reference_in(field))
            self.ask(code, () if own else [("access", 0)])
            self._field_written(code, owner, name, "putfield")
            self._arguments(code, descriptor)
            code.field("putfield", owner, name, field)
            code.op("return")
        return accessor, descriptor

    def put_static(self, owner: str, name: str, field: str) -> tuple[str, str]:
        """Return the accessor that writes a static field."""
        accessor = f"put_{owner.rpartition('/')[2]}_{name}"
        descriptor = f"({_as_argument(field)})V"
        code = self._add(accessor, descriptor)
        if code is not None:
            if field[0] in "L[":
                self._stores(code, 0, reference_in(field))
            self._field_written(code, owner, name, "putstatic")
            self._arguments(code, descriptor)
            code.field("putstatic", owner, name, field)
            code.op("return")
        return accessor, descriptor


def _as_argument(field: str) -> str:
    return field if field[0] in "L[" else "I"
