"""One class twice: the original on the Java virtual machine, and what we converted it to on our Java Card one.

Both are called with the same arguments; what comes back, what is thrown and what became of the arrays must be the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jpype

from card_vm import Array, CardVm, ThrownError, byte, short
from opentsm_build import api, artifacts, java, stubs
from opentsm_build.classfile import parse_class
from opentsm_build.classfile.access_tables import Acc
from opentsm_build.compiler import compile_sources
from opentsm_build.convert import Conversion, Options, Package, convert
from opentsm_build.convert.universe import parse_method_descriptor
from opentsm_card.aid import Aid

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from opentsm_build.classfile import ClassFile

AID: Final = Aid.from_text("F000006F00")
_INTERESTING: Final = (0, 1, -1, 2, 3, 5, 7, 8, 15, 16, 31, 127, -128, 128, 255, 256, 0x7FFF, -0x8000, 0x1234, -300)
_ARRAY_LENGTH: Final = 5


def compile_classes(folder: Path) -> tuple[Path, list[ClassFile]]:
    """Compile sources against the API's stubs; return the folder of classes, and them."""
    boot = stubs.archive(api.java_card().values())
    classes = compile_sources([folder], boot=boot)
    return classes, [parse_class(path.read_bytes(), path.name) for path in sorted(classes.rglob("*.class"))]


def convert_classes(classes: list[ClassFile], *, allow_int: bool = False) -> Conversion:
    package = Package(classes[0].package, AID, (1, 0))
    return convert(package, classes, api.java_card(), Options(allow_int=allow_int))


@dataclass
class Outcome:
    """What a call did: its result or what it threw, and the arrays it was given."""

    result: object
    arrays: list[list[int]]


class Twins:
    """The two of one package."""

    def __init__(self, classes: Path, files: list[ClassFile], conversion: Conversion) -> None:
        self.files = {cls.name: cls for cls in files}
        self.conversion = conversion
        self.names = {offset: name for name, offset in conversion.classes.items()}
        self.loader = java.class_loader([classes, artifacts.resolve(artifacts.JCARDSIM)])
        self.vm = CardVm(conversion.cap)

    def calls(self) -> list[tuple[str, str, str]]:
        """Return class, name and descriptor of every public static method of numbers and arrays."""
        return [
            (cls.name, method.name, method.descriptor)
            for cls in self.files.values()
            for method in cls.methods
            if method.access & Acc.PUBLIC
            and method.is_static
            and cls.access & Acc.PUBLIC
            and "L" not in method.descriptor
            and method.name != "install"
        ]

    def card(self, cls: str, name: str, descriptor: str, arguments: list[Any]) -> Outcome:
        words: list[Any] = []
        arrays = []
        for kind, value in zip(parse_method_descriptor(descriptor)[0], arguments, strict=True):
            if kind[0] == "[":
                arrays.append(Array(kind[1], list(value)))
                words.append(arrays[-1])
            elif kind == "I":
                words += [short(value >> 16), short(value)]
            else:
                words.append(int(value))
        try:
            result: object = self.vm.call(self.conversion.methods[cls, name + descriptor], words)
        except ThrownError as thrown:
            known = thrown.what.cls
            result = (known if isinstance(known, str) else self.names[known], thrown.what.reason)
        else:
            assert isinstance(result, list)
            result = result[0] << 16 | result[1] & 0xFFFF if len(result) == 2 else (result[0] if result else None)
            if isinstance(result, Array):
                result = result.values
        return Outcome(result, [array.values for array in arrays])

    def jvm(self, cls: str, name: str, descriptor: str, arguments: list[Any]) -> Outcome:
        kinds = {"B": jpype.JByte, "S": jpype.JShort, "Z": jpype.JBoolean, "I": jpype.JInt}
        made: list[Any] = []
        arrays = []
        for kind, value in zip(parse_method_descriptor(descriptor)[0], arguments, strict=True):
            if kind[0] == "[":
                arrays.append(jpype.JArray(kinds[kind[1]])(list(value)))
                made.append(arrays[-1])
            else:
                made.append(kinds[kind](value))
        target = getattr(jpype.JClass(cls.replace("/", "."), loader=self.loader), name)
        try:
            result = target(*made)
        except jpype.JException as error:
            reason = int(error.getReason()) if hasattr(error, "getReason") else 0
            return Outcome((str(error.getClass().getName()).replace(".", "/"), reason), _values(arrays))
        if result is not None:
            result = [int(each) for each in result] if descriptor.partition(")")[2][0] == "[" else int(result)
        return Outcome(result, _values(arrays))


def _values(arrays: list[Any]) -> list[list[int]]:
    return [[int(value) for value in array] for array in arrays]


def random_arguments(rng: random.Random, descriptor: str) -> list[Any]:
    return [_random(rng, kind) for kind in parse_method_descriptor(descriptor)[0]]


def _random(rng: random.Random, kind: str) -> Any:
    if kind[0] == "[":
        return [_random(rng, kind[1:]) for _ in range(_ARRAY_LENGTH)]
    if kind == "Z":
        return bool(rng.getrandbits(1))
    number = rng.choice(_INTERESTING) if rng.random() < 0.6 else rng.getrandbits(32) - (1 << 31)
    return byte(number) if kind == "B" else short(number) if kind == "S" else number
