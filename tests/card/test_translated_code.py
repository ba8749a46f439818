"""Translated bytecode computes what the Java Card VM specification says: each instruction against a model in Python."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import jpype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cap_assembler import OBJECT, Assembler
from opentsm_build.cap.constant_pool import ConstantPoolEntry, ConstantPoolTag
from opentsm_build.cap.static_fields import ArrayInitInfo, StaticFieldComponent
from opentsm_card.errors import CapError
from opentsm_simulator import VirtualSe
from opentsm_simulator.translate import translate
from translated_code import define

if TYPE_CHECKING:
    from collections.abc import Callable


def code_of(package: Assembler) -> Any:
    """Translate a package and define its classes; return the class with its methods."""
    return define(package.build())[1]


def method(package: Assembler, name: str) -> Callable[..., Any]:
    """Return a method of the translated class."""
    found: Callable[..., Any] = getattr(code_of(package), f"m{package.offset(name):04x}")
    return found


def short(value: int) -> int:
    return (value & 0xFFFF ^ 0x8000) - 0x8000


def int32(value: int) -> int:
    return (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000


def quotient(left: int, right: int) -> int:
    magnitude = abs(left) // abs(right)
    return magnitude if (left < 0) == (right < 0) else -magnitude


BINARY: Final[dict[str, Callable[[int, int], int]]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": quotient,
    "rem": lambda a, b: a - quotient(a, b) * b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << (b & 31),
    "shr": lambda a, b: a >> (b & 31),
    "ushr": lambda a, b: (a & 0xFFFFFFFF) >> (b & 31),
}
SHORTS: Final = st.integers(-0x8000, 0x7FFF) | st.sampled_from([-0x8000, -1, 0, 1, 0x7FFF])
INTS: Final = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([-(2**31), -1, 0, 1, 2**31 - 1])


@functools.cache
def arithmetic() -> Any:
    package = Assembler()
    for name in BINARY:
        package.method(f"s{name}", 2, f"sload_0; sload_1; s{name}; sreturn")
        package.method(f"i{name}", 4, f"iload_0; iload_2; i{name}; ireturn")
    for name in ("eq", "ne", "lt", "ge", "gt", "le"):
        package.method(
            f"s{name}", 2, f"sload_0; sload_1; if_scmp{name} ->yes; sconst_0; sreturn; yes: sconst_1; sreturn"
        )
    package.method("icmp", 4, "iload_0; iload_2; icmp; sreturn")
    package.method("sneg", 1, "sload_0; sneg; sreturn")
    package.method("s2b", 1, "sload_0; s2b; sreturn")
    package.method("i2b", 2, "iload_0; i2b; sreturn")
    package.method("i2s", 2, "iload_0; i2s; sreturn")
    package.method("sinc", 1, "sinc 0 -128; sload_0; sreturn")
    package.method("sinc_w", 1, "sinc_w 0 32767; sload_0; sreturn")
    package.method("iinc_w", 2, "iinc_w 0 -32768; iload_0; ireturn")
    code = code_of(package)
    return {name: getattr(code, f"m{package.offset(name):04x}") for name in package.methods if len(name) < 9}


@settings(max_examples=300)
@given(st.sampled_from(sorted(BINARY)), SHORTS, SHORTS)
def test_shorts(name: str, left: int, right: int) -> None:
    if name in {"div", "rem"} and right == 0:
        with pytest.raises(jpype.JException, match="by zero"):
            arithmetic()[f"s{name}"](left, right)
    else:
        assert arithmetic()[f"s{name}"](left, right) == short(BINARY[name](left, right))


@settings(max_examples=300)
@given(st.sampled_from(sorted(BINARY)), INTS, INTS)
def test_ints(name: str, left: int, right: int) -> None:
    if name in {"div", "rem"} and right == 0:
        return
    assert arithmetic()[f"i{name}"](left, right) == int32(BINARY[name](left, right))


@given(INTS, INTS, SHORTS)
def test_conversions_and_comparisons(left: int, right: int, value: int) -> None:
    methods = arithmetic()
    assert methods["icmp"](left, right) == (left > right) - (left < right)
    assert methods["i2s"](left) == short(left)
    assert methods["i2b"](left) == methods["s2b"](short(left)) == (left & 0xFF ^ 0x80) - 0x80
    assert methods["sneg"](value) == short(-value)
    assert methods["sinc"](value) == short(value - 128)
    assert methods["sinc_w"](value) == short(value + 32767)
    assert methods["iinc_w"](left) == int32(left - 32768)
    other = short(right)
    for name, holds in (("eq", value == other), ("lt", value < other), ("ge", value >= other), ("ne", value != other)):
        assert methods[f"s{name}"](value, other) == holds


def shuffled(name: str, top: int, depth: int, kinds: str) -> list[int]:
    """Run dup_x or swap_x on a stack of numbered shorts and ints; return what is on it then, from the bottom."""
    pushes = "; ".join(f"{'iipush' if kind == 'i' else 'sspush'} {number}" for number, kind in enumerate(kinds, 1))
    # Elements cut where the instruction's word counts cut them.
    order = list(enumerate(kinds, 1))

    def take(count: int) -> list[tuple[int, str]]:
        taken: list[tuple[int, str]] = []
        while count > 0:
            taken.insert(0, order.pop())
            count -= 2 if taken[0][1] == "i" else 1
        assert count == 0
        return taken

    upper = take(top)
    if name == "swap_x":
        lower = take(depth)
        expected = order + upper + lower
    else:
        between = take(depth - top) if depth else []
        expected = order + upper + between + upper
    package = Assembler()
    # The results leave through an array, the top first.
    stores = "".join(
        f"{'i2s; ' if kind == 'i' else ''}sstore 3; aload_0; sspush {at}; sload_3; sastore; "
        for at, (_, kind) in enumerate(reversed(expected))
    )
    package.method("run", 1, f"{pushes}; {name} {top << 4 | depth}; {stores}return")
    run = method(package, "run")
    array = jpype.JArray(jpype.JShort)(len(expected))
    run(array)
    assert [number for number, _ in expected] == list(reversed([int(value) for value in array]))
    return [number for number, _ in expected]


@pytest.mark.parametrize(
    ("name", "top", "depth", "kinds"),
    [
        ("dup_x", 1, 0, "ss"),
        ("dup_x", 1, 2, "sss"),
        ("dup_x", 1, 3, "sis"),
        ("dup_x", 1, 4, "ssss"),
        ("dup_x", 2, 0, "si"),
        ("dup_x", 2, 3, "ssi"),
        ("dup_x", 2, 4, "sii"),
        ("dup_x", 2, 6, "iiss"),
        ("dup_x", 3, 5, "sisi"),
        ("dup_x", 4, 8, "iiii"),
        ("dup_x", 4, 4, "sissi"),
        ("swap_x", 1, 1, "sss"),
        ("swap_x", 1, 2, "sis"),
        ("swap_x", 2, 1, "ssi"),
        ("swap_x", 2, 2, "sii"),
        ("swap_x", 2, 2, "ssss"),
    ],
)
def test_the_stack_is_shuffled_by_words(name: str, top: int, depth: int, kinds: str) -> None:
    assert shuffled(name, top, depth, kinds)


def test_arrays_of_every_type() -> None:
    package = Assembler()
    package.method("bytes", 1, "aload_0; sconst_1; sspush 200; bastore; aload_0; sconst_1; baload; sreturn")
    package.method("ints", 1, "aload_0; sconst_0; iipush 70000; iastore; aload_0; sconst_0; iaload; ireturn")
    package.method("objects", 1, "sconst_3; anewarray 0; sconst_1; aload_0; aastore; return")
    package.method("boolean", 0, "sconst_2; newarray 10; dup; sconst_1; sconst_1; bastore; sconst_1; baload; sreturn")
    package.method("length", 1, "aload_0; arraylength; sreturn")
    package.method("is_short", 1, "aload_0; instanceof 12 0; sreturn")
    package.reference(ConstantPoolEntry.of_class(OBJECT))
    code = code_of(package)

    def run(name: str, *arguments: object) -> Any:
        return getattr(code, f"m{package.offset(name):04x}")(*arguments)

    some_bytes = jpype.JArray(jpype.JByte)(3)
    assert run("bytes", some_bytes) == -56
    assert some_bytes[1] == -56
    assert run("ints", jpype.JArray(jpype.JInt)(1)) == 70000
    assert run("boolean") == 1
    assert run("length", jpype.JArray(jpype.JShort)(5)) == 5
    assert run("is_short", jpype.JArray(jpype.JShort)(5)) == 1
    assert run("is_short", some_bytes) == 0
    with pytest.raises(jpype.JException, match="out of bounds"):
        run("bytes", jpype.JArray(jpype.JByte)(1))
    with pytest.raises(jpype.JException, match="cast"):
        run("ints", some_bytes)
    with pytest.raises(jpype.JException):
        run("length", None)


def test_static_fields_begin_with_their_values() -> None:
    package = Assembler()
    arrays = (ArrayInitInfo(3, bytes(range(250, 256)) * 5000), ArrayInitInfo(5, (70000).to_bytes(4, "big")))
    # Two references to arrays, one to null; a byte and a short that are zero; an int, a byte and a short with values.
    values = (-5).to_bytes(4, "big", signed=True) + b"\x80" + (0x1234).to_bytes(2, "big")
    package.statics = StaticFieldComponent(6 + 3 + len(values), 3, arrays, 3, values)
    fields = {"a": (0, 2, 4), "b": (6, 13), "s": (7, 14), "i": (9,)}
    returns = {"a": "areturn", "b": "sreturn", "s": "sreturn", "i": "ireturn"}
    for kind, offsets in fields.items():
        for offset in offsets:
            index = package.reference(ConstantPoolEntry.of_static(ConstantPoolTag.STATIC_FIELDREF, offset))
            package.method(f"{kind}{offset}", 0, f"getstatic_{kind} {index}; {returns[kind]}")
    code = code_of(package)
    found = {name: getattr(code, f"m{package.offset(name):04x}")() for name in package.methods if name[1:].isdigit()}
    assert bytes(value & 0xFF for value in found["a0"]) == arrays[0].values
    assert list(found["a2"]) == [70000]
    assert found["a4"] is None
    assert (found["b6"], found["s7"], found["i9"], found["b13"], found["s14"]) == (0, 0, -5, -128, 0x1234)


def test_switches_subroutines_and_handlers() -> None:
    package = Assembler()
    package.method(
        "table",
        1,
        "sload_0; stableswitch 13 -1 1 18 21 24; nop; nop; bspush 9; sreturn; bspush 1; sreturn; bspush 2; sreturn; "
        "bspush 3; sreturn",
    )
    package.method("twice", 1, "jsr ->sub; jsr ->sub; sload_0; sreturn; sub: astore_1; sinc 0 5; ret 1")
    # A handler around a division: 1 for a division by zero.
    package.handlers.append((0, 0, True, 0, 0))
    package.method("guarded", 2, "sload_0; sload_1; sdiv; sreturn; pop; sconst_m1; sreturn")
    start = package.offset("guarded") + package.methods["guarded"].header_bytes
    package.handlers[0] = (start, 4, True, start + 4, 0)
    code = code_of(package)
    VirtualSe.create("embedded").link().reset()  # steps are counted by the card that the thread runs

    def run(name: str, *arguments: int) -> int:
        return int(getattr(code, f"m{package.offset(name):04x}")(*arguments))

    assert [run("table", value) for value in (-2, -1, 0, 1, 2)] == [9, 1, 2, 3, 9]
    assert run("twice", 1) == 11
    assert (run("guarded", 7, 2), run("guarded", 7, 0)) == (3, -1)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sadd; sreturn", "empty stack"),
        ("sconst_0; areturn", "finds S on the stack, wants A"),
        ("aconst_null; sload_0; sadd; sreturn", "finds A on the stack, wants S"),
        ("goto 100", "the code ends inside the method|no opcode|cut short"),
        ("sconst_0; again: dup; goto ->again", "different stacks meet"),
        ("getstatic_a 77; areturn", "no entry 77"),
        ("sload_0; aload_0; areturn", "used as S and as A"),
        ("impdep1; return", "can't be translated"),
    ],
)
def test_code_that_no_verifier_lets_pass_is_refused(code: str, said: str) -> None:
    package = Assembler()
    package.method("bad", 1, code)
    with pytest.raises(CapError, match=said):
        translate(package.build())
