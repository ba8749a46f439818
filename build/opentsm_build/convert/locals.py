"""Number a method's locals: arguments keep their places, the others get those with the shortest instructions.

Spec: JCVM 3.1, 7.5 (the first four locals have instructions of one byte).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentsm_build.convert.ops import Op

__all__ = ["local_of", "number_locals"]

_ACCESS: Final = frozenset({"aload", "sload", "iload", "astore", "sstore", "istore", "ret"})
_SAVES: Final = frozenset({"aload", "sload", "iload", "astore", "sstore", "istore"})


def number_locals(ops: list[Op], arguments: int) -> int:
    """Give the locals behind the arguments new numbers, the most used first; return how many words are in use.

    Args:
        ops: code, changed in place.
        arguments: words of the arguments.
    """
    uses: dict[int, int] = {}
    wide: set[int] = set()
    for op in ops:
        slot = local_of(op)
        if slot is None:
            continue
        uses[slot] = uses.get(slot, 0) + (op.name in _SAVES)
        if op.name[0] == "i":
            wide.add(slot)
    mapping = {slot: slot for slot in uses if slot < arguments}
    at = arguments
    for slot in sorted((slot for slot in uses if slot >= arguments), key=lambda slot: (-uses[slot], slot)):
        mapping[slot] = at
        at += 2 if slot in wide else 1
    for op in ops:
        if isinstance(op.arg, tuple):
            op.arg = (mapping[op.arg[0]], op.arg[1])
        elif op.name in _ACCESS and op.arg is not None:
            op.arg = mapping[op.arg]
    return at


def local_of(op: Op) -> int | None:
    """Return the local that an instruction names, None when it names none."""
    if isinstance(op.arg, tuple):
        return op.arg[0]
    return op.arg if op.name in _ACCESS else None
