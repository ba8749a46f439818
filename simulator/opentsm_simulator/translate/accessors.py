"""Small static methods through which translated code reads and writes arrays and fields.

What a card has to do beside the access has its place here, once for each kind of access, and the code that accesses
stays small; the JVM's compiler puts the methods in line.

Spec: Java Card VM Specification 3.1, Classic Edition, 7.5.
"""

from __future__ import annotations

from typing import Final

from opentsm_simulator.translate.classwriter import ACC_STATIC, ClassWriter, Code, Label
from opentsm_simulator.translate.hierarchy import NULL, OBJECT, descriptor_of
from opentsm_simulator.translate.opcodes_tables import ARRAY_TYPES, ARRAYS
from opentsm_simulator.translate.signature import parameters, result_of

__all__ = ["RUNTIME", "Accessors"]

RUNTIME: Final = "opentsm/runtime/Jcvm"
_VALUES: Final = {"iaload": "I", "baload": "I", "saload": "I"}


class Accessors:
    """Makes the accessors of a package, in the class of its code.

    Args:
        code_class: where they go.
    """

    def __init__(self, code_class: ClassWriter) -> None:
        self._class = code_class

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

    @staticmethod
    def _element_written(code: Code) -> None:
        unwatched = Label()
        code.field("getstatic", RUNTIME, "watched", "Z")
        code.jump("ifeq", unwatched)
        code.local("aload", 0)
        code.local("iload", 1)
        code.invoke("invokestatic", RUNTIME, "writes", "(Ljava/lang/Object;I)V")
        code.label(unwatched)

    @staticmethod
    def _field_written(code: Code, owner: str, name: str, how: str) -> None:
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
            if operation.endswith("store"):
                self._element_written(code)
            self._arguments(code, descriptor)
            if exact:
                code.op(operation)
            else:
                code.invoke("invokestatic", RUNTIME, operation, of_runtime)
            self._return(code, descriptor)
        return operation, descriptor

    def put(self, owner: str, name: str, field: str) -> tuple[str, str]:
        """Return the accessor that writes an instance field.

        Args:
            owner: the class, in internal form.
            name: of the field.
            field: its descriptor.
        """
        accessor = f"put_{owner.rpartition('/')[2]}_{name}"
        descriptor = f"({descriptor_of(owner)}{_as_argument(field)})V"
        code = self._add(accessor, descriptor)
        if code is not None:
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
            self._field_written(code, owner, name, "putstatic")
            self._arguments(code, descriptor)
            code.field("putstatic", owner, name, field)
            code.op("return")
        return accessor, descriptor


def _as_argument(field: str) -> str:
    return field if field[0] in "L[" else "I"
