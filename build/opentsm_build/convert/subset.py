"""Check that classes keep to the Java Card subset of Java, before anything is converted.

Each violation names class, member and source line, and says what to do.

Spec: JCVM 3.1, 2.2 (Java Card Platform Language Subset), 2.2.4 (limits).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.classfile.access_tables import Acc
from opentsm_build.classfile.constants import CLASS, FLOAT, STRING
from opentsm_build.convert.universe import OBJECT, dotted, parse_method_descriptor
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentsm_build.classfile import ClassFile, Field, Method
    from opentsm_build.classfile.bytecode import Insn
    from opentsm_build.convert.package import Options
    from opentsm_build.convert.universe import Universe

__all__ = ["check_class", "unsupported"]

_NO_TYPES: Final = {"J": "long", "F": "float", "D": "double", "C": "char"}
_REMEDY: Final = {"J": "two ints or an array of shorts", "F": "short", "D": "short", "C": "short"}
_INSTRUCTIONS: Final = {
    "monitorenter": "a synchronized block: a card has one thread; remove it",
    "monitorexit": "a synchronized block: a card has one thread; remove it",
    "invokedynamic": "a lambda or method reference: use an anonymous class",
    "multianewarray": "an array of arrays: a card has arrays of one dimension",
}
_MAX_INTERFACES: Final = 15


def _type_problem(descriptor: str, options: Options) -> str | None:
    """Return what is wrong with a type, None when a card has it."""
    element = descriptor.lstrip("[")
    if descriptor.startswith("[["):
        return "an array of arrays: a card has arrays of one dimension"
    if element in _NO_TYPES:
        return f"the type {_NO_TYPES[element]}, which no card has: use {_REMEDY[element]}"
    if element == "I" and not options.allow_int:
        return "the type int: use short, or allow int (int = true) for cards that have it"
    return None


def check_class(cls: ClassFile, universe: Universe, options: Options) -> Iterator[CapError]:
    """Yield what a class does that no card can do."""
    if cls.access & Acc.ENUM or cls.super_name == "java/lang/Enum":
        yield CapError("an enum: use static final byte constants", where=cls.place())
        return
    if cls.access & Acc.ANNOTATION:
        return
    yield from _supertypes(cls, universe)
    for entry in cls.fields:
        yield from _field(cls, entry, options)
    for method in cls.methods:
        yield from _method(cls, method, options)


def _supertypes(cls: ClassFile, universe: Universe) -> Iterator[CapError]:
    for name in (cls.super_name or OBJECT, *cls.interfaces):
        if not universe.known(name):
            reason = (
                f"{dotted(name)} is in none of the imported packages: add it under imports, or choose another target"
            )
            yield CapError(reason, where=cls.place())
            return
    if len(universe.interfaces(cls.name)) > _MAX_INTERFACES:
        yield CapError(f"more than {_MAX_INTERFACES} interfaces", where=cls.place())


def _field(cls: ClassFile, entry: Field, options: Options) -> Iterator[CapError]:
    place = cls.place() + f", field {entry.name}"
    problem = _type_problem(entry.descriptor, options)
    # A constant that was inlined wherever it is used needs no place on the card, whatever its type is.
    if problem is not None and not (entry.access & Acc.FINAL and entry.constant is not None):
        yield CapError(f"has {problem}", where=place)
    if entry.access & (Acc.VOLATILE | Acc.TRANSIENT):
        word = "volatile" if entry.access & Acc.VOLATILE else "transient"
        remedy = (
            "remove the word"
            if word == "volatile"
            else "use JCSystem.makeTransientByteArray() for memory that is cleared"
        )
        yield CapError(f"is {word}, which no card knows: {remedy}", where=place)
    if cls.is_interface and entry.constant is None:
        yield CapError("is no compile-time constant: an interface's fields must be; move it into a class", where=place)


def _method(cls: ClassFile, method: Method, options: Options) -> Iterator[CapError]:
    line = method.code.lines[0][1] if method.code is not None and method.code.lines else None
    place = cls.place(method, line)
    for flag, word, remedy in (
        (Acc.NATIVE, "native", "cards run bytecodes only"),
        (Acc.SYNCHRONIZED, "synchronized", "a card has one thread; remove the word"),
    ):
        if method.access & flag:
            yield CapError(f"is {word}: {remedy}", where=place)
    if method.name == "finalize" and method.descriptor == "()V":
        yield CapError("is finalize(), which no card calls: remove it", where=place)
    parameters, result = parse_method_descriptor(method.descriptor)
    if method.access & Acc.SYNTHETIC and method.name.startswith("lambda$"):
        yield CapError("is the body of a lambda: use an anonymous class", where=place)
        return
    for descriptor in (*parameters, result):
        problem = _type_problem(descriptor, options)
        if problem is not None:
            yield CapError(f"has a parameter or result of {problem}", where=place)
            return
    if cls.is_interface and method.code is not None and method.name != "<clinit>":
        yield CapError("has a body in an interface: move it into a class", where=place)
    if method.code is not None and method.name != "<clinit>" and not method.access & Acc.SYNTHETIC:
        for variable in method.code.variables:
            problem = _type_problem(variable.descriptor, options)
            if problem is not None:
                spot = method.code.line_at(max(variable.start_pc - 1, 0))
                yield CapError(f"the variable {variable.name} has {problem}", where=cls.place(method, spot))


def unsupported(insn: Insn) -> str:
    """Return what to say of an instruction that no card has."""
    name = insn.name
    if name in _INSTRUCTIONS:
        return _INSTRUCTIONS[name]
    if name == "ldc":
        kind = {CLASS: "a class literal", STRING: "a String", FLOAT: "a float constant"}.get(
            insn.arg if isinstance(insn.arg, int) else 0, "a constant that no card has"
        )
        return f"{kind}: {'use a byte array' if kind == 'a String' else 'cards have none'}"
    letters = {"l": "J", "f": "F", "d": "D", "c": "C"}
    letter = letters.get(name[0]) or letters.get(name[-1], "")
    if letter:
        return f"the type {_NO_TYPES[letter]}, which no card has: use {_REMEDY[letter]}"
    return f"the instruction {name} has no counterpart on a card"
