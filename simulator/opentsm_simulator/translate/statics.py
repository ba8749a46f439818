"""How static fields begin: the StaticField component's image as a static initializer.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card.errors import CapError
from opentsm_simulator.translate.classwriter import ACC_STATIC, ClassWriter, Code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentsm_build.cap.static_fields import ArrayInitInfo, StaticFieldComponent

__all__ = ["write_static_initializer"]

_RUNTIME: Final = "opentsm/runtime/Jcvm"
_REFERENCE_BYTES: Final = 2
_SIZES: Final = {"B": 1, "S": 2, "I": 4}
_PART_BYTES: Final = 16_000
_ELEMENT_BYTES: Final = {2: 1, 3: 1, 4: 2, 5: 4}
_OBJECT: Final = "Ljava/lang/Object;"


def write_static_initializer(
    fields: StaticFieldComponent,
    writer: ClassWriter,
    descriptors: Mapping[int, str],
    begin: Callable[[Code], None],
) -> None:
    """Add `<clinit>` to the class of the code, where any field begins with something.

    Args:
        fields: the component.
        writer: the class that has the fields.
        descriptors: of the fields that are used, by their offset in the image.
        begin: appends what else comes first.

    Raises:
        CapError: the image and its fields don't fit.
    """
    code = Code(writer, 4, 1)
    begin(code)
    for number, array in enumerate(fields.array_init):
        offset = number * _REFERENCE_BYTES
        if offset in descriptors:
            _make_array(code, array, writer.name)
            if descriptors[offset] != _OBJECT:
                code.of_class("checkcast", descriptors[offset])
            code.field("putstatic", writer.name, f"s{offset:04x}", descriptors[offset])
    first = fields.reference_count * _REFERENCE_BYTES + fields.default_value_count
    for offset, descriptor in descriptors.items():
        at = offset - first
        if descriptor not in _SIZES or at < 0:
            continue
        value = fields.non_default_values[at : at + _SIZES[descriptor]]
        if len(value) != _SIZES[descriptor]:
            raise CapError(f"no value for the static field at {offset:#06x}", component="StaticField")
        code.push(int.from_bytes(value, "big", signed=True))
        code.field("putstatic", writer.name, f"s{offset:04x}", descriptor)
    code.op("return")
    writer.add_method("<clinit>", "()V", code, ACC_STATIC)


def _make_array(code: Code, array: ArrayInitInfo, owner: str) -> None:
    if array.type not in _ELEMENT_BYTES or len(array.values) % _ELEMENT_BYTES[array.type]:
        raise CapError(f"an array of type {array.type} and {len(array.values)} bytes", component="StaticField")
    code.of_class("ldc_w", owner)
    code.push(array.type)
    code.push(len(array.values) // _ELEMENT_BYTES[array.type])
    code.invoke("invokestatic", _RUNTIME, "array", f"(Ljava/lang/Class;II){_OBJECT}")
    for at in range(0, len(array.values), _PART_BYTES):
        code.op("dup")
        code.push(at // _ELEMENT_BYTES[array.type])
        code.string(array.values[at : at + _PART_BYTES].decode("latin-1"))
        code.invoke("invokestatic", _RUNTIME, "fill", f"({_OBJECT}ILjava/lang/String;)V")
