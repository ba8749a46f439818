"""Intervals of the numbers that Java's 32-bit arithmetic can give.

A card without int computes in 16 bits. Whether that gives the same result depends on what the numbers can be, so every
number on the stack and in a local carries an interval. An interval that fits a short is exact in 16 bits; of a wider
one only the lower 16 bits are right.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BOOLEAN",
    "BYTE",
    "INT",
    "LENGTH",
    "SHORT",
    "Range",
    "arithmetic",
    "fits_byte",
    "fits_short",
    "join",
    "refine",
]

Range = tuple[int, int]

INT: Final[Range] = (-(1 << 31), (1 << 31) - 1)
SHORT: Final[Range] = (-0x8000, 0x7FFF)
BYTE: Final[Range] = (-0x80, 0x7F)
BOOLEAN: Final[Range] = (0, 1)
# An array's length on a card (JCVM 3.1, 2.2.4.2: at most 32767 elements).
LENGTH: Final[Range] = (0, 0x7FFF)

_LOWS: Final = (0, -1, -0x80, -0x8000, INT[0])
# 0x7FFE: the index of a loop over an array, inside the loop.
_HIGHS: Final = (0, 1, 0x7F, 0xFF, 0x7FFE, 0x7FFF, 0xFFFF, INT[1])


def fits_short(low: int, high: int) -> bool:
    """Tell whether all numbers of an interval are shorts."""
    return low >= -0x8000 and high <= 0x7FFF


def fits_byte(low: int, high: int) -> bool:
    """Tell whether all numbers of an interval are bytes."""
    return low >= -0x80 and high <= 0x7F


def join(first: Range, second: Range) -> Range:
    """Return an interval over both, widened to one of a few bounds, so that a loop's numbers settle soon."""
    low, high = min(first[0], second[0]), max(first[1], second[1])
    if low != first[0]:
        low = next(bound for bound in _LOWS if bound <= low)
    if high != first[1]:
        high = next(bound for bound in _HIGHS if bound >= high)
    return low, high


def _clip(low: int, high: int) -> Range:
    """Return the interval, or all ints when the operation may have wrapped around."""
    return INT if low < INT[0] or high > INT[1] else (low, high)


def _mask(number: int) -> int:
    """Return the smallest 2^n - 1 that is not below a number."""
    return (1 << number.bit_length()) - 1


def _bitwise(name: str, a: Range, b: Range) -> Range:
    if name == "iand":
        if a[0] >= 0 or b[0] >= 0:
            return 0, min(high for low, high in (a, b) if low >= 0)
    elif a[0] >= 0 and b[0] >= 0:
        return 0, _mask(max(a[1], b[1]))
    reach = _mask(max(*(number if number >= 0 else ~number for number in (*a, *b)), 0))
    return ~reach, reach


def _divided(name: str, a: Range, b: Range) -> Range:
    if name == "irem":
        reach = max(abs(b[0]), abs(b[1])) - 1
        return max(a[0], -reach) if a[0] < 0 else 0, min(a[1], reach) if a[1] > 0 else 0
    divisors = [number for number in (b[0], -1, 1, b[1]) if b[0] <= number <= b[1] and number]
    quotients = [int(abs(n) // abs(d)) * (1 if (n < 0) == (d < 0) else -1) for n in a for d in divisors] or [0]
    if a[0] <= 0 <= a[1]:
        quotients.append(0)
    return _clip(min(quotients), max(quotients))


def _shifted(name: str, a: Range, b: Range) -> Range:
    if b[0] != b[1]:
        if name == "ishl":
            return INT
        return (min(a[0], 0), max(a[1], 0)) if name == "ishr" or a[0] >= 0 else INT
    distance = b[0] & 0x1F
    if name == "ishl":
        return _clip(a[0] << distance, a[1] << distance)
    if name == "ishr" or a[0] >= 0:
        return a[0] >> distance, a[1] >> distance
    return (0, 0xFFFFFFFF >> distance) if distance else a


def arithmetic(name: str, a: Range, b: Range) -> Range:  # noqa: PLR0911 - one line for each operation
    """Return the interval of a JVM instruction's result.

    Args:
        name: `iadd`, `isub`, …, `ixor`; `ineg` with `b` unused.
        a: first operand.
        b: second operand, the stack's top.
    """
    if name == "iadd":
        return _clip(a[0] + b[0], a[1] + b[1])
    if name == "isub":
        return _clip(a[0] - b[1], a[1] - b[0])
    if name == "imul":
        products = [x * y for x in a for y in b]
        return _clip(min(products), max(products))
    if name == "ineg":
        return _clip(-a[1], -a[0])
    if name in ("iand", "ior", "ixor"):
        return _bitwise(name, a, b)
    if name in ("idiv", "irem"):
        return _divided(name, a, b)
    return _shifted(name, a, b)


def refine(condition: str, a: Range, b: Range) -> tuple[Range, Range]:
    """Return what two numbers can be where a comparison of them holds.

    Args:
        condition: `eq`, `ne`, `lt`, `ge`, `gt`, `le`: how `a` compares with `b`.
        a: first operand.
        b: second operand.
    """
    if condition == "gt":
        second, first = refine("lt", b, a)
        return first, second
    if condition == "le":
        second, first = refine("ge", b, a)
        return first, second
    if condition == "eq":
        first = second = (max(a[0], b[0]), min(a[1], b[1]))
    elif condition == "lt":
        first, second = (a[0], min(a[1], b[1] - 1)), (max(b[0], a[0] + 1), b[1])
    elif condition == "ge":
        first, second = (max(a[0], b[0]), a[1]), (b[0], min(b[1], a[1]))
    else:
        return a, b
    # Where it can't hold nothing is learned; that code is never run.
    return (first, second) if first[0] <= first[1] and second[0] <= second[1] else (a, b)
