"""Decide for every number whether it is a short (one word) or an int (two words) on the card.

A number whose interval fits a short is a short. A wider one may be a short too where only its lower 16 bits matter:
sums, differences, products, negations, and, or, xor and left shifts give the right lower bits from the lower bits of
their operands. Everything else needs the exact number: then it must be an int, and without int support the package is
refused, with the source line and the cast that is missing.

Spec: JCVM 3.1, 2.2.3.1 (Arithmetic Expressions: intermediate results without int).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.convert.ranges import fits_short
from opentsm_build.convert.universe import parse_method_descriptor

if TYPE_CHECKING:
    from opentsm_build.convert.flow import MethodFlow

__all__ = ["Forms"]

# Their lower 16 bits depend on the lower 16 bits of the operands only.
_LOW: Final = frozenset({"iadd", "isub", "imul", "iand", "ior", "ixor", "ishl", "ineg"})
_EXACT: Final = frozenset({"idiv", "irem", "ishr", "iushr"})
_NAMES: Final = {
    "iadd": "the sum", "isub": "the difference", "imul": "the product", "ineg": "the negation",
    "ishl": "the left shift", "iand": "the bitwise and", "ior": "the bitwise or", "ixor": "the bitwise exclusive or",
    "idiv": "the quotient", "irem": "the remainder", "ishr": "the right shift", "iushr": "the unsigned right shift",
    "iload": "the int variable", "getfield": "the int field", "getstatic": "the int field",
    "iaload": "the element of an int array",
}  # fmt: skip
_USES: Final = {
    "idiv": "divided", "irem": "divided", "ishr": "shifted right", "iushr": "shifted right", "switch": "switched on",
    "istore": "kept in a variable", "ireturn": "returned", "newarray": "an array's length",
    "anewarray": "an array's length", "putfield": "kept in a field", "putstatic": "kept in a field",
} | dict.fromkeys(
    ("baload", "saload", "iaload", "aaload", "bastore", "sastore", "iastore", "aastore"), "an array index"
)  # fmt: skip
_TOP_EXACT: Final = frozenset(
    {"ifeq", "ifne", "iflt", "ifge", "ifgt", "ifle", "switch", "istore", "ireturn", "newarray", "anewarray"}
)


class Forms:
    """The forms of one method's numbers.

    Args:
        flow: its data flow.
        allow_int: True when the package may use int.

    Attributes:
        ints: definitions (representatives) that are ints on the stack.
        in_int: instructions that compute in 32 bits.
        int_webs: webs (representatives) of locals that are ints.

    Raises:
        CapError: without int support, a number must be exact and may exceed a short.
    """

    def __init__(self, flow: MethodFlow, *, allow_int: bool) -> None:
        self.flow, self.allow_int = flow, allow_int
        self.ints: set[int] = set()
        self.in_int: set[int] = set()
        find = flow.definitions.find
        self._wide = {find(at) for at, span in flow.result.items() if not fits_short(*span)}
        self.int_webs = {flow.webs.find(web) for web, span in flow.web_range.items() if not fits_short(*span)}
        self._exact: set[int] = set()
        if self._wide or allow_int:
            self._solve()

    def is_int(self, definition: int) -> bool:
        """Tell whether a number on the stack is an int."""
        return self.flow.definitions.find(definition) in self.ints

    # --- the solution: grows until nothing changes ---

    def _solve(self) -> None:
        flow = self.flow
        order = [at for at in range(len(flow.insns) - 1, -1, -1) if flow.before[at] is not None]
        while True:
            size = len(self.ints), len(self.in_int), len(self._exact)
            for at in order:
                self._visit(at)
            if size == (len(self.ints), len(self.in_int), len(self._exact)):
                return

    def _need(self, definition: int, at: int, *, as_int: bool = False) -> None:
        """Note that an instruction needs a number exactly; `as_int`: as an int, whatever it can be."""
        root = self.flow.definitions.find(definition)
        if root in self._wide and not self.allow_int:
            self._refuse(definition, at)
        self._exact.add(root)
        if as_int or root in self._wide:
            self.ints.add(root)

    def _visit(self, at: int) -> None:
        flow = self.flow
        name = flow.insns[at].name
        stack = flow.before[at]
        assert stack is not None
        if name in _LOW or name in _EXACT:
            self._operation(at, name)
        elif name.startswith("if_icmp"):
            first, second = stack[-2][3], stack[-1][3]
            self._need(second, at)
            self._need(first, at)
            roots = {flow.definitions.find(first), flow.definitions.find(second)}
            if roots & self._wide or flow.definitions.find(first) in self.ints:
                self.in_int.add(at)
                self._need(first, at, as_int=True)
        elif name in _TOP_EXACT:
            self._need(stack[-1][3], at)
        elif name in ("baload", "saload", "iaload", "aaload"):
            self._index(stack[-1][3], at)
        elif name in ("bastore", "sastore", "iastore", "aastore"):
            self._index(stack[-2][3], at)
            if name == "iastore":
                self._need(stack[-1][3], at)
        elif name in ("putfield", "putstatic"):
            if stack[-1][0] == "i":
                self._need(stack[-1][3], at)
        elif name.startswith("invoke"):
            self._arguments(at)

    def _index(self, definition: int, at: int) -> None:
        if self.flow.definitions.find(definition) in self._wide:
            self._refuse(definition, at)
        self._need(definition, at)

    def _arguments(self, at: int) -> None:
        flow = self.flow
        arg, stack = flow.insns[at].arg, flow.before[at]
        assert isinstance(arg, tuple)
        assert stack is not None
        parameters = parse_method_descriptor(arg[2])[0]
        for value, descriptor in zip(stack[len(stack) - len(parameters) :], parameters, strict=True):
            if value[0] == "i":
                self._need(value[3], at, as_int=descriptor == "I")

    def _operation(self, at: int, name: str) -> None:
        """Decide in which arithmetic an operation runs, and what it needs for that."""
        flow = self.flow
        find = flow.definitions.find
        stack = flow.before[at]
        assert stack is not None
        operands = [stack[-1][3]] if name == "ineg" else [stack[-2][3], stack[-1][3]]
        first = find(operands[0])
        wide_result = not fits_short(*flow.result[at])
        result_exact = find(at) in self._exact
        must = (wide_result and result_exact) or first in self.ints
        if name in _EXACT:
            exact = operands[:1] if name in ("ishr", "iushr") else operands
            for operand in exact:
                self._need(operand, at)
            must = must or any(find(operand) in self._wide for operand in exact)
        if must:
            self.in_int.add(at)
            self._need(operands[0], at, as_int=True)
            if len(operands) > 1:
                self._need(operands[1], at)

    # --- refusal ---

    def _refuse(self, definition: int, at: int) -> None:
        flow = self.flow
        user = flow.insns[at].name
        source = next(
            (
                position
                for position, span in sorted(flow.result.items())
                if flow.definitions.find(position) == flow.definitions.find(definition) and not fits_short(*span)
            ),
            definition,
        )
        insn = flow.insns[source]
        what = f"the constant {insn.arg}" if insn.name == "iconst" else _NAMES.get(insn.name, "the int result")
        use = _USES.get(user, "compared" if user.startswith("if") else "passed as an argument")
        if use == "an array index" and self.allow_int:
            raise flow.fail(f"{what} is an array index, which is a short on a card: cast it to short", at)
        remedy = "cast it to short" if insn.name not in ("iload", "getfield", "getstatic") else "make it a short"
        line, own = flow.code.line_at(insn.pc), flow.code.line_at(flow.insns[at].pc)
        place = f" (line {line})" if line != own else ""
        raise flow.fail(
            f"{what}{place} may need more than 16 bits where it is {use}: {remedy}, or allow int (int = true)", at
        )
