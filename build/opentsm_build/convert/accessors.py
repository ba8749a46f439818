"""Accessors that javac makes for compound assignments to an outer class's private fields: they take an int.

`outer.count += 3` on a short becomes `access$012(Outer, int)`, whatever the operand is. Without int support the
parameter is taken for a short: a caller then has to pass one, which the narrowing rules check.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from opentsm_build.classfile.access_tables import Acc
from opentsm_build.convert.universe import parse_method_descriptor

if TYPE_CHECKING:
    from opentsm_build.classfile import ClassFile, Method

__all__ = ["narrow_accessors"]

_SYNTHETIC: Final = Acc.SYNTHETIC | Acc.STATIC


def _narrowed(method: Method) -> str | None:
    """Return the descriptor with shorts for ints, None for a method that is no such accessor."""
    if method.access & _SYNTHETIC != _SYNTHETIC or not method.name.startswith("access$"):
        return None
    parameters, result = parse_method_descriptor(method.descriptor)
    if "I" not in parameters:
        return None
    return f"({''.join('S' if each == 'I' else each for each in parameters)}){result}"


def narrow_accessors(own: dict[str, ClassFile]) -> dict[str, ClassFile]:
    """Return the classes with such accessors taking shorts; what calls them is told through the constant pools."""
    renamed = {
        (cls.name, method.name, method.descriptor): descriptor
        for cls in own.values()
        for method in cls.methods
        if (descriptor := _narrowed(method)) is not None
    }
    if not renamed:
        return own
    result = {}
    for name, cls in own.items():
        cls.pool.descriptors.update(renamed)
        methods = tuple(
            dataclasses.replace(
                method, descriptor=renamed.get((name, method.name, method.descriptor), method.descriptor)
            )
            for method in cls.methods
        )
        result[name] = dataclasses.replace(cls, methods=methods)
    return result
