"""Answers to reset put together from their interface bytes."""

from __future__ import annotations

from functools import reduce
from operator import xor

__all__ = ["make_atr"]


def make_atr(*groups: str, historical: bytes = b"", inverse: bool = False) -> bytes:
    """Return an ATR.

    Args:
        groups: interface bytes of each group, such as `A94 C02 D0`; what follows TD is added, and TCK where it is due.
        historical: the historical bytes.
        inverse: whether it is in inverse convention.
    """
    body = b""
    follow = 0
    protocols = set()
    for group in reversed(groups):
        values = {part[0]: int(part[1:], 16) for part in group.split()}
        if "D" in values:
            protocols.add(values["D"])
            values["D"] |= follow
        follow = sum(0x10 << "ABCD".index(letter) for letter in values)
        body = bytes(values[letter] for letter in sorted(values)) + body
    body = bytes((follow | len(historical),)) + body + historical
    check = bytes((reduce(xor, body),)) if protocols - {0} else b""
    return (b"\x3f" if inverse else b"\x3b") + body + check
