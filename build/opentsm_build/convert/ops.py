"""The symbolic form of Java Card code: instructions whose sizes, constant pool indices and distances come later.

Names are the mnemonics of JCVM 3.1, 7.5, without what a size adds to them: `sconst` and `iconst` push `arg`; `sload`,
`astore`, … take a local in `arg`; `sinc` and `iinc` (local, number); branches a `target`; `sswitch` and `iswitch` a
`Cases`; fields are `getfield_b`, … or `getfield_b_this`, …; `checkcast` and `instanceof` an array type in `arg`.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Cases", "Label", "Op", "Reference"]

# Constant pool entry, symbolic: tag, class, token (instance members) or name and descriptor (static ones), descriptor.
Reference = tuple[int, str, "int | str | None", "str | None"]

CLASS_REF: Final = 1
INSTANCE_FIELD_REF: Final = 2
VIRTUAL_METHOD_REF: Final = 3
SUPER_METHOD_REF: Final = 4
STATIC_FIELD_REF: Final = 5
STATIC_METHOD_REF: Final = 6


class Label:
    """A place in the code; `offset` is known after assembly."""

    __slots__ = ("offset", "uses")

    def __init__(self) -> None:
        self.offset = -1
        self.uses = 0


class Cases:
    """The cases of a switch: keys ascend."""

    __slots__ = ("default", "keys", "targets")

    def __init__(self, keys: tuple[int, ...], targets: tuple[Label, ...], default: Label) -> None:
        self.keys = keys
        self.targets = targets
        self.default = default


class Op:
    """One instruction, or (name `label`) the place that `target` marks.

    Args:
        name: see the module.
        arg: number, local, or pair; see the module.
        ref: constant pool entry.
        target: where a branch leads.
        pc: of the JVM instruction it comes from.
        cases: of a switch.
    """

    __slots__ = ("arg", "cases", "name", "pc", "ref", "target", "words")

    def __init__(
        self,
        name: str,
        arg: int | tuple[int, int] | None = None,
        *,
        ref: Reference | None = None,
        target: Label | None = None,
        pc: int = -1,
        cases: Cases | None = None,
        words: tuple[int, int] = (0, 0),
    ) -> None:
        self.name = name
        self.arg = arg
        self.ref = ref
        self.target = target
        self.pc = pc
        self.cases = cases
        # words popped and pushed, for calls and dup_x
        self.words = words

    def __repr__(self) -> str:
        """Show what the listing shows."""
        parts = [self.name, self.arg, self.ref]
        return " ".join(str(part) for part in parts if part is not None)
