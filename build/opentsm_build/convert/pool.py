"""The constant pool: every reference once, the ones that gain by a small index in front.

An instance field's index takes one byte in an instruction where it is below 256, so instance fields come first, the
most used of them at the front. The others follow in the order in which the code names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.convert.ops import INSTANCE_FIELD_REF
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.convert.ops import Op, Reference

__all__ = ["Pool"]

_MAX_ENTRIES: Final = 0xFFFF


class Pool:
    """Indices of references.

    Args:
        codes: all methods' instructions.
        extra: references that are needed besides, such as classes that are caught.
    """

    def __init__(self, codes: Iterable[list[Op]], extra: Iterable[Reference]) -> None:
        uses: dict[Reference, int] = {}
        for ops in codes:
            for op in ops:
                if op.ref is not None:
                    uses[op.ref] = uses.get(op.ref, 0) + 1
        for reference in extra:
            uses.setdefault(reference, 0)
        # Sorting is stable: what is used as often stays in the order of the code.
        order = sorted(
            uses, key=lambda ref: (ref[0] != INSTANCE_FIELD_REF, -uses[ref] if ref[0] == INSTANCE_FIELD_REF else 0)
        )
        if len(order) > _MAX_ENTRIES:
            raise CapError(f"{len(order)} constant pool entries, {_MAX_ENTRIES} at most: split the package")
        self.references = order
        self.index = {reference: index for index, reference in enumerate(order)}
