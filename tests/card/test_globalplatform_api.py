"""The card's org.globalplatform classes against the API's export files: every class, method and constant is there."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from opentsm_build import api
from opentsm_build.classfile.reader import parse_class
from opentsm_simulator.runtime import runtime_classes

if TYPE_CHECKING:
    from opentsm_build.classfile.model import ClassFile, Method

PACKAGES = [("org/globalplatform", "1.7"), ("org/globalplatform/contactless", "1.4")]
VISIBLE = 0x0001 | 0x0004  # public, protected


@cache
def compiled(package: str) -> dict[str, ClassFile]:
    folder = runtime_classes() / package
    return {f"{package}/{path.stem}": parse_class(path.read_bytes(), str(path)) for path in folder.glob("*.class")}


@pytest.mark.parametrize(("package", "version"), PACKAGES)
def test_the_classes_are_those_of_the_api(package: str, version: str) -> None:
    table = api.package(package, version)
    assert set(compiled(package)) == set(table.classes)
    for name, expected in table.classes.items():
        found = compiled(package)[name]
        assert found.is_interface == expected.is_interface, name
        assert found.super_name == expected.supers[-1], name
        assert set(found.interfaces) <= set(expected.interfaces), name


@pytest.mark.parametrize(("package", "version"), PACKAGES)
def test_methods_have_the_api_s_names_and_descriptors(package: str, version: str) -> None:
    for name, expected in api.package(package, version).classes.items():
        offered = {method.key for method in _line(package, name) if method.access & VISIBLE}
        wanted = set(expected.methods) - {"equals(Ljava/lang/Object;)Z"}  # Object's, of every class
        assert offered == wanted, name


@pytest.mark.parametrize(("package", "version"), PACKAGES)
def test_constants_have_the_api_s_values(package: str, version: str) -> None:
    for name, expected in api.package(package, version).classes.items():
        offered = {
            (field.name, field.descriptor, field.constant)
            for field in compiled(package)[name].fields
            if field.access & VISIBLE
        }
        wanted = {(field.name, field.descriptor, field.constant) for field in expected.fields.values()}
        assert offered == wanted, name


def _line(package: str, name: str) -> list[Method]:
    found = compiled(package)[name]
    methods = list(found.methods)
    for interface in found.interfaces:
        if interface.startswith("org/globalplatform/"):
            methods += _line(interface.rpartition("/")[0], interface)
    return methods
