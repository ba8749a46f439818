"""What the translator finds out about references and loops of a package, from its code alone."""

from __future__ import annotations

import re

import pytest

from cap_assembler import OBJECT, Assembler
from opentsm_build.cap.constant_pool import ConstantPoolEntry, ConstantPoolTag
from opentsm_build.cap.static_fields import ArrayInitInfo, StaticFieldComponent
from opentsm_simulator.translate import translate
from opentsm_simulator.translate.analysis import Analysis
from opentsm_simulator.translate.calls import Calls
from opentsm_simulator.translate.classes import OwnClasses
from opentsm_simulator.translate.linkage import Linkage
from opentsm_simulator.translate.loops import Count, counts
from opentsm_simulator.translate.package import PackageTranslator


def translator(package: Assembler, *, exported: tuple[str, ...] = ()) -> PackageTranslator:
    cap = package.build(exported=exported)
    return PackageTranslator(cap, Linkage(cap.imports, ()))


def descriptor(package: Assembler, name: str, *, exported: tuple[str, ...] = ("run",)) -> str:
    """Return the JVM descriptor of a method's translation."""
    translated = translator(package, exported=exported)
    return translated.method(package.offset(name))[1]


def calling(arguments: list[str], callee: str) -> Assembler:
    """Return a package whose `run` calls a method once with each argument."""
    package = Assembler()
    package.method("called", 1, callee)
    index = package.reference(ConstantPoolEntry.of_static(ConstantPoolTag.STATIC_METHODREF, package.offset("called")))
    package.reference(ConstantPoolEntry.of_class(OBJECT))
    package.method("run", 1, "".join(f"{argument}; invokestatic {index}; pop; " for argument in arguments) + "return")
    return package


@pytest.mark.parametrize(
    ("arguments", "type_"),
    [
        (["sconst_2; newarray 11"], "[B"),
        (["sconst_2; newarray 11", "aconst_null", "sconst_3; newarray 11"], "[B"),
        (["sconst_2; newarray 10", "sconst_2; newarray 11"], "Ljava/lang/Object;"),
        (["sconst_2; newarray 12"], "[S"),
        (["sconst_2; newarray 13"], "[I"),
        (["sconst_2; anewarray 1"], "[Ljava/lang/Object;"),
        (["sconst_2; anewarray 1", "sconst_2; newarray 12"], "Ljava/lang/Object;"),
        (["aconst_null"], "Ljava/lang/Object;"),
        (["aload_0"], "Ljava/lang/Object;"),  # what an exported method is called with, others say
        (["aload_0; checkcast 11 0"], "[B"),
    ],
)
def test_an_argument_is_what_all_calls_pass_and_a_result_what_is_returned(arguments: list[str], type_: str) -> None:
    assert descriptor(calling(arguments, "aload_0; areturn"), "called") == f"({type_}){type_}"


def test_a_static_field_is_what_its_image_and_all_stores_bring() -> None:
    package = Assembler()
    package.statics = StaticFieldComponent(6, 3, (ArrayInitInfo(3, bytes(4)), ArrayInitInfo(4, bytes(4))), 0, b"")
    fields = [
        package.reference(ConstantPoolEntry.of_static(ConstantPoolTag.STATIC_FIELDREF, offset)) for offset in (0, 2, 4)
    ]
    package.method("run", 0, f"sconst_2; newarray 11; putstatic_a {fields[1]}; return")
    for number, field in enumerate(fields):
        package.method(f"get{number}", 0, f"getstatic_a {field}; areturn")
    # The second: an array of shorts in its image, of bytes later. The third: null, always.
    found = [descriptor(package, name, exported=("run", "get0", "get1", "get2")) for name in ("get0", "get1", "get2")]
    assert found == ["()[B", "()Ljava/lang/Object;", "()Ljava/lang/Object;"]


def test_what_paths_bring_together_is_what_both_have_in_common() -> None:
    package = Assembler()
    package.method("same", 1, "sload_0; ifeq ->other; sconst_1; newarray 12; areturn; other: aconst_null; areturn")
    package.method(
        "local",
        1,
        "sconst_1; newarray 11; astore_1; sload_0; ifeq ->end; sconst_1; newarray 12; astore_1; end: aload_1; areturn",
    )
    assert descriptor(package, "same", exported=("same",)) == "(I)[S"
    assert descriptor(package, "local", exported=("local",)) == "(I)Ljava/lang/Object;"


def loop_counts(code: str) -> list[Count]:
    package = Assembler()
    package.method("run", 2, code)
    cap = package.build()
    analysis = Analysis(cap, OwnClasses(cap, Linkage(cap.imports, ()), "cap/"))
    return list(counts(analysis.bodies[package.offset("run")]).values())


@pytest.mark.parametrize(
    "code",
    [
        # As javac compiles a for loop, and as the Eclipse compiler does; up, down, and to a bound that changes.
        "top: sload_0; bspush 64; if_scmpge ->end; sinc 0 1; goto ->top; end: return",
        "goto ->test; top: nop; sinc 0 1; test: sload_0; sload_1; if_scmplt ->top; return",
        "goto ->test; top: sinc 1 5; sinc 0 1; test: sload_0; sload_1; if_scmplt_w ->top; return",
        "top: sload_0; iflt ->end; sinc 0 -1; goto ->top; end: return",
        "top: sload_0; sload_1; sneg; if_scmpge ->end; sload_1; ifeq ->on; on: sinc 0 1; goto ->top; end: return",
    ],
)
def test_a_loop_that_counts_to_its_end_is_not_counted(code: str) -> None:
    assert loop_counts(code) == [Count.NOT]


@pytest.mark.parametrize(
    "code",
    [
        "top: goto ->top",
        "top: sinc 0 1; goto ->top",
        "top: sload_0; sload_1; if_scmpgt ->end; sinc 0 1; goto ->top; end: return",  # <= 32767 never ends
        "top: sload_0; sload_1; if_scmpge ->end; sinc 0 2; goto ->top; end: return",  # 32766 + 2 is less than 32767
        "top: sload_0; sload_1; if_scmpge ->end; sinc 0 -1; goto ->top; end: return",
        "top: sload_0; sload_1; if_scmpge ->end; sinc 0 1; sconst_0; sstore_0; goto ->top; end: return",
        "top: sload_0; sload_1; if_scmpge ->end; sinc 0 1; sinc 0 -1; goto ->top; end: return",
        "top: sload_1; sload_0; if_scmpge ->end; sinc 0 1; goto ->top; end: return",
        # The counting, and the comparing, is jumped over.
        "top: sload_0; sload_1; if_scmpge ->end; sload_1; ifeq ->on; sinc 0 1; on: goto ->top; end: return",
        "top: sload_1; ifeq ->on; sload_0; sload_1; if_scmpge ->end; on: sinc 0 1; goto ->top; end: return",
        # What is compared is the counter on one path only.
        "top: sload_1; ifeq ->a; sload_0; goto ->b; a: sload_1; b: iflt ->end; sinc 0 -1; goto ->top; end: return",
    ],
)
def test_a_loop_that_may_go_on_for_ever_is_counted(code: str) -> None:
    assert loop_counts(code) == [Count.TURN]


def test_a_loop_with_a_handler_inside_ends_by_itself_too() -> None:
    """As a turn without an exception does; each handler begins with a step besides."""
    code = (
        "goto ->test; top: invokestatic 0; goto ->on; caught: pop; on: sinc 0 1; "
        "test: sload_0; sload_1; if_scmplt ->top; return"
    )
    package = Assembler()
    package.handlers.append((0, 0, False, 0, 0))
    package.method("called", 0, "return")
    package.reference(ConstantPoolEntry.of_static(ConstantPoolTag.STATIC_METHODREF, package.offset("called")))
    package.method("run", 2, code)
    begin = package.offset("run") + package.methods["run"].header_bytes
    package.handlers[0] = (begin + 2, 3, True, begin + 7, 0)
    cap = package.build()
    analysis = Analysis(cap, OwnClasses(cap, Linkage(cap.imports, ()), "cap/"))
    body = analysis.bodies[package.offset("run")]
    assert body.handlers
    assert list(counts(body).values()) == [Count.NOT]


def counted_calls(methods: dict[str, str]) -> dict[str, bool]:
    """Tell of methods whether they count when they are called; `call NAME` in their code calls one."""
    offsets: dict[str, int] = {}
    for _ in range(2):  # once to learn where they are
        package = Assembler()
        for name, code in methods.items():
            for called in re.findall(r"call (\w+)", code):
                entry = ConstantPoolEntry.of_static(ConstantPoolTag.STATIC_METHODREF, offsets.get(called, 1))
                code = code.replace(f"call {called}", f"invokestatic {package.reference(entry)}", 1)  # noqa: PLW2901
            package.method(name, 0, code)
        offsets = {name: package.offset(name) for name in methods}
    cap = package.build(exported=tuple(methods))
    analysis = Analysis(cap, OwnClasses(cap, Linkage(cap.imports, ()), "cap/"))
    calls = Calls(analysis)
    return {name: calls.is_counted(analysis.bodies[package.offset(name)]) for name in methods}


def test_a_method_that_calls_few_others_counts_nothing() -> None:
    found = counted_calls({"leaf": "return", "few": "call leaf; " * 4 + "return", "most": "call few; " * 3 + "return"})
    assert found == {"leaf": False, "few": False, "most": False}


@pytest.mark.parametrize(
    "methods",
    [
        {"run": "call run; return"},
        {"run": "call other; return", "other": "call run; return"},
        {"run": "call more; call more; return", "more": "call leaf; " * 8 + "return", "leaf": "return"},
        {"run": "call loops; return", "loops": "top: goto ->top"},
        {"run": "top: goto ->top"},
    ],
    ids=["itself", "each other", "too many", "one that loops", "loop"],
)
def test_a_method_that_may_run_for_long_counts_its_calls(methods: dict[str, str]) -> None:
    assert counted_calls(methods)["run"]


def test_what_is_around_a_loop_that_is_not_counted_counts_each_turn() -> None:
    code = (
        "outer: sconst_0; sstore_0; top: sload_0; bspush 64; if_scmpge ->end; sinc 0 1; goto ->top; end: sload_1; "
        "ifeq ->outer; return"
    )
    assert loop_counts(code) == [Count.NOT, Count.STEP]


@pytest.mark.parametrize(("firewall", "transactions"), [(False, False), (True, False), (False, True), (True, True)])
def test_what_an_access_does_besides_is_there_only_where_it_is_asked_for(firewall: bool, transactions: bool) -> None:  # noqa: FBT001
    package = Assembler()
    package.method("run", 0, "sconst_2; newarray 11; dup; sconst_0; sconst_1; bastore; sconst_0; baload; sreturn")
    translated = translate(package.build(), firewall=firewall, transactions=transactions)
    (code,) = (data for name, data in translated.classes.items() if name.endswith("/Code"))
    assert (b"opentsm/runtime/Firewall" in code) == firewall
    assert (b"watched" in code) == transactions
    assert (b"bastore" in code) == (firewall or transactions)
