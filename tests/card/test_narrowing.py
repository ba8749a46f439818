"""Sums and products that are left wide until something looks at them come out as if each had been cut at once."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from cap_assembler import Assembler
from opentsm_build.cap.constant_pool import ConstantPoolEntry, ConstantPoolTag
from opentsm_build.cap.static_fields import StaticFieldComponent
from translated_code import define

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

METHODS: Final = 60
ARGUMENTS: Final = [(a, b) for a in (-0x8000, -129, -1, 0, 3, 0x7FFF) for b in (-0x7FFF, -2, 1, 250, 0x4321)]


def short(value: int) -> int:
    return (value & 0xFFFF ^ 0x8000) - 0x8000


def byte(value: int) -> int:
    return (value & 0xFF ^ 0x80) - 0x80


def quotient(left: int, right: int) -> int:
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)


BINARY: Final[dict[str, Callable[[int, int], int]]] = {
    "sadd": lambda a, b: a + b,
    "ssub": lambda a, b: a - b,
    "smul": lambda a, b: a * b,
    "sand": lambda a, b: a & b,
    "sor": lambda a, b: a | b,
    "sxor": lambda a, b: a ^ b,
    "sshl": lambda a, b: a << (b & 31),
    "sshr": lambda a, b: a >> (b & 31),
    "sushr": lambda a, b: (a & 0xFFFFFFFF) >> (b & 31),
    "sdiv": lambda a, b: quotient(a, b) if b else 0,
}
UNARY: Final[dict[str, Callable[[int], int]]] = {"sneg": lambda a: -a, "s2b": byte}


@dataclass(frozen=True)
class Expression:
    """Code that leaves a short on the stack, and what it is for two arguments."""

    code: str
    value: Callable[[int, int], int]


class Writer:
    """Writes expressions at random: the same for the same seed."""

    def __init__(self, seed: int, fields: list[int]) -> None:
        self._random = random.Random(seed)
        self._labels: Iterator[int] = itertools.count()
        self._fields = fields

    def expression(self, depth: int) -> Expression:
        others = [self._unary, self._masked, self._choice, self._field, self._twice]
        forms = [self._leaf] if depth == 0 else [self._binary] * 6 + others
        return self._random.choice(forms)(depth)

    def _leaf(self, _depth: int) -> Expression:
        constant = self._random.choice([0xFF, 0x1FF, 0x7FFF, 0x0F, -1, -256, 5, 0x1234])
        return self._random.choice(
            [
                Expression("sload_0", lambda a, _: a),
                Expression("sload_1", lambda _, b: b),
                Expression(f"sspush {constant}", lambda *_: constant),
            ]
        )

    def _binary(self, depth: int) -> Expression:
        left, right = self.expression(depth - 1), self.expression(depth - 1)
        name = self._random.choice(list(BINARY))
        compute = BINARY[name]
        if name == "sdiv":  # by no zero: sor 1
            right = self._odd(right)
        return Expression(
            f"{left.code}; {right.code}; {name}", lambda a, b: short(compute(left.value(a, b), right.value(a, b)))
        )

    @staticmethod
    def _odd(inner: Expression) -> Expression:
        return Expression(f"{inner.code}; sconst_1; sor", lambda a, b: inner.value(a, b) | 1)

    def _unary(self, depth: int) -> Expression:
        inner = self.expression(depth - 1)
        name = self._random.choice(list(UNARY))
        return Expression(f"{inner.code}; {name}", lambda a, b: short(UNARY[name](inner.value(a, b))))

    def _choice(self, depth: int) -> Expression:
        """A sum or a quotient of what is on the stack meanwhile and one of two others, by a third."""
        test, yes, no, below = (self.expression(depth - 1) for _ in range(4))
        names = self._random.choice([("sadd", "sadd"), ("sadd", "sdiv"), ("sdiv", "sadd")])
        number = next(self._labels)
        code = (
            f"{below.code}; {test.code}; ifle ->no{number}; {yes.code}; sconst_1; sor; {names[0]}; goto ->on{number}; "
            f"no{number}: {no.code}; sconst_1; sor; {names[1]}; on{number}: nop"
        )

        def value(a: int, b: int) -> int:
            chosen, name = (yes, names[0]) if test.value(a, b) > 0 else (no, names[1])
            return short(BINARY[name](below.value(a, b), chosen.value(a, b) | 1))

        return Expression(code, value)

    def _masked(self, depth: int) -> Expression:
        inner = self.expression(depth - 1)
        mask = self._random.choice([0x0F, 0xFF, 0x1FF, 0x7FFF, -256])
        return Expression(f"{inner.code}; s2b; sspush {mask}; sand", lambda a, b: byte(inner.value(a, b)) & mask)

    def _field(self, depth: int) -> Expression:
        """Through a static field of a byte or a short."""
        inner = self.expression(depth - 1)
        kind = self._random.choice("bs")
        index = self._fields["bs".index(kind)]
        cut = byte if kind == "b" else short
        return Expression(
            f"{inner.code}; putstatic_{kind} {index}; getstatic_{kind} {index}", lambda a, b: cut(inner.value(a, b))
        )

    def _twice(self, depth: int) -> Expression:
        """The same value with two uses: one looks at its low bits, one at all."""
        inner = self.expression(depth - 1)
        if self._random.random() < 0.5:
            code = f"{inner.code}; dup; sconst_3; sshr; sxor"
            return Expression(code, lambda a, b: short(inner.value(a, b) ^ (inner.value(a, b) >> 3)))
        code = f"{inner.code}; dup; sconst_3; sadd; sconst_1; sor; sdiv"
        return Expression(code, lambda a, b: short(quotient(inner.value(a, b), short(inner.value(a, b) + 3) | 1)))


def compiled(seed: int) -> tuple[list[Expression], list[Callable[[int, int], int]]]:
    package = Assembler()
    package.statics = StaticFieldComponent(4, 0, (), 4, b"")
    fields = [
        package.reference(ConstantPoolEntry.of_static(ConstantPoolTag.STATIC_FIELDREF, offset)) for offset in (0, 2)
    ]
    writer = Writer(seed, fields)
    expressions = [writer.expression(4) for _ in range(METHODS)]
    for number, each in enumerate(expressions):
        package.method(f"m{number}", 2, f"{each.code}; sreturn")
    code: Any = define(package.build())[1]
    return expressions, [getattr(code, f"m{package.offset(f'm{number}'):04x}") for number in range(METHODS)]


@pytest.mark.parametrize("seed", range(3))
def test_an_expression_is_worth_what_its_parts_are_worth_cut_at_once(seed: int) -> None:
    expressions, methods = compiled(seed)
    for expression, method in zip(expressions, methods, strict=True):
        for a, b in ARGUMENTS:
            assert int(method(a, b)) == expression.value(a, b), expression.code


def test_what_the_jvm_compiles_is_worth_the_same() -> None:
    """A field's value that was not cut before it was stored is cut by the JVM, in compiled code too."""
    expressions, methods = compiled(99)
    kept = [(each, method) for each, method in zip(expressions, methods, strict=True) if "putstatic" in each.code][:5]
    assert kept
    for expression, method in kept:
        for number in range(12_000):
            a, b = ARGUMENTS[number % len(ARGUMENTS)]
            assert int(method(a, b)) == expression.value(a, b), expression.code
