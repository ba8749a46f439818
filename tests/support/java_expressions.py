"""Random Java methods over bytes, shorts and booleans (and ints): food for the narrowing rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random

__all__ = ["random_class"]

PARAMETERS: Final = "byte a, byte b, short s, short t, boolean z, byte[] d, short[] e"
_LITERALS: Final = ("0", "1", "-1", "2", "5", "7", "100", "127", "-128", "200", "0xFF", "0x7FFF", "-32768", "1000")
_WIDE_LITERALS: Final = ("0x8000", "0xFFFF", "40000", "70000", "-100000", "0x12345")
_BINARY: Final = ("+", "-", "*", "&", "|", "^", "/", "%", "<<", ">>", ">>>")
_COMPARE: Final = ("==", "!=", "<", ">=", ">", "<=")


class _Method:
    def __init__(self, rng: random.Random, *, ints: bool) -> None:
        self.rng, self.ints = rng, ints
        self.numbers = ["a", "b", "s", "t", *(["i", "j"] if ints else [])]
        self.fresh = 0

    def number(self, depth: int) -> str:
        """Return an expression of type int (or narrower)."""
        rng = self.rng
        if depth == 0 or rng.random() < 0.15:
            return self.leaf()
        roll = rng.random()
        if roll < 0.5:
            operator = rng.choice(_BINARY)
            first, second = self.number(depth - 1), self.number(depth - 1)
            if operator in {"/", "%"} and rng.random() < 0.7:
                second = rng.choice(("3", "7", "-2", "10", "256"))
            if operator in {"<<", ">>", ">>>"} and rng.random() < 0.7:
                second = rng.choice(("1", "2", "4", "7", "8", "15", "16"))
            return f"({first} {operator} {second})"
        if roll < 0.6:
            return f"({rng.choice('-~')} {self.number(depth - 1)})"
        if roll < 0.85:
            return f"(({rng.choice(('byte', 'short', 'short'))}) {self.number(depth - 1)})"
        if roll < 0.93:
            return f"({self.truth(depth - 1)} ? {self.number(depth - 1)} : {self.number(depth - 1)})"
        return f"{rng.choice('de')}[{self.index(depth - 1)}]"

    def index(self, depth: int) -> str:
        return f"(short) ({self.number(depth)} & 3)"

    def leaf(self) -> str:
        rng = self.rng
        roll = rng.random()
        if roll < 0.6:
            return rng.choice(self.numbers)
        if roll < 0.68:
            return f"{rng.choice('de')}[{rng.randrange(5)}]"
        return rng.choice(_WIDE_LITERALS if rng.random() < 0.1 else _LITERALS)

    def truth(self, depth: int) -> str:
        rng = self.rng
        roll = rng.random()
        if depth == 0 or roll < 0.1:
            return "z"
        if roll < 0.7:
            return f"({self.number(depth - 1)} {rng.choice(_COMPARE)} {self.number(depth - 1)})"
        if roll < 0.9:
            operator = rng.choice(("&&", "||", "&", "|", "^"))
            return f"({self.truth(depth - 1)} {operator} {self.truth(depth - 1)})"
        return f"(!{self.truth(depth - 1)})"

    def statement(self) -> str:
        rng = self.rng
        roll = rng.random()
        if roll < 0.3:
            kind = rng.choice(("byte", "short", *(["int"] if self.ints else [])))
            name = f"v{self.fresh}"
            self.fresh += 1
            text = f"{kind} {name} = ({kind}) ({self.number(3)});"
            self.numbers.append(name)
            return text
        if roll < 0.55:
            target = rng.choice(self.numbers)
            return f"{target} {rng.choice(('+', '-', '*', '&', '|', '^', '<<', '>>', '>>>'))}= {self.number(2)};"
        if roll < 0.7:
            array = rng.choice("de")
            return f"{array}[{self.index(1)}] {rng.choice(('+', '-', '*', '^', '|', '>>'))}= {self.number(2)};"
        if roll < 0.8:
            return f"{rng.choice(self.numbers)}{rng.choice(('++', '--'))};"
        if roll < 0.9:
            return f"if {self.parenthesized(2)} {{ {self.assignment()} }} else {{ {self.assignment()} }}"
        return f"switch ((short) ({self.number(2)} & 3)) {{ case 0: {self.assignment()} break; case 2: {self.assignment()} default: {self.assignment()} }}"  # noqa: E501

    def parenthesized(self, depth: int) -> str:
        return f"({self.truth(depth)})"

    def assignment(self) -> str:
        return f"{self.rng.choice(self.numbers)} ^= {self.number(2)};"


def random_class(rng: random.Random, package: str, name: str, *, ints: bool = False) -> str:
    """Return the source of a class with one public static method `f`."""
    method = _Method(rng, ints=ints)
    body = "\n        ".join(method.statement() for _ in range(rng.randrange(4)))
    parameters = PARAMETERS + (", int i, int j" if ints else "")
    kind = rng.choice(("short", "byte", "boolean", *(["int"] if ints else [])))
    value = method.truth(3) if kind == "boolean" else f"({kind}) ({method.number(4)})"
    return f"""package {package};

public class {name} {{
    public static {kind} f({parameters}) {{
        {body}
        return {value};
    }}
}}
"""
