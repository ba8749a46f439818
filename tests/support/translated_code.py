"""Translated packages whose methods are called one by one: static methods of one class."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import jpype

from opentsm_simulator import VirtualSe
from opentsm_simulator import runtime as simulator_runtime
from opentsm_simulator.translate import translate

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile
    from opentsm_simulator.translate import TranslatedPackage


def define(cap: CapFile, *, counted: bool = False) -> tuple[TranslatedPackage, Any]:
    """Translate a package and define its classes; return it, and the class with its methods."""
    translated = translate(cap, counted=counted)
    card = _se()._card
    found = _made("LoadedPackage", card)
    for name, data in translated.classes.items():
        found.addClass(jpype.JString(name.replace("/", ".")), jpype.JArray(jpype.JByte)(data))
    aid, version = map(jpype.JArray(jpype.JByte), (bytes(cap.package_aid), bytes(2)))
    loader = _made("PackageClassLoader", card, found, jpype.JClass("java.util.ArrayList")())
    owner = loader.getClass().getDeclaredField("loadFile")
    owner.setAccessible(True)
    owner.set(loader, _made("LoadFileEntry", aid, version, None))
    name = next(name for name in translated.classes if name.endswith("/Code"))
    _se().link().reset()  # what the code asks of a card, it asks of the one that the thread runs
    code = jpype.JClass(name.replace("/", "."), loader=loader)
    if counted:
        field = code.class_.getField("counts")
        field.set(None, jpype.JArray(jpype.JLong)(len(translated.runs)))
    return translated, code


@functools.cache
def _runtime() -> Any:
    return simulator_runtime._card_runtime()[2]


@functools.cache
def _se() -> VirtualSe:
    return VirtualSe.create("embedded")


def _made(name: str, *arguments: Any) -> Any:
    """Make an object of a class of the card runtime that only the runtime makes."""
    constructor = jpype.JClass(f"opentsm.runtime.{name}", loader=_runtime()).class_.getDeclaredConstructors()[0]
    constructor.setAccessible(True)
    return constructor.newInstance(*arguments)
