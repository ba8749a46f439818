"""The off-card verifier on code made by hand: what is right passes, and each rule that is broken is named."""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

import pytest

from cap_craft import APPLET_AID, PACKAGE, Code, craft
from cap_mutator import mutate, pack
from opentsm_build.cap import CapFile, ComponentTag
from opentsm_build.cap.classes import ClassInfo
from opentsm_build.cap.descriptor import AccessFlag
from opentsm_build.cap.header import AppletComponent, AppletInfo, ImportComponent, PackageInfo
from opentsm_build.cap.methods import MethodFlag
from opentsm_build.verify import Verified, verify
from opentsm_card.aid import Aid
from opentsm_card.errors import CapError
from verify_tables import RIGHT, WRONG


@pytest.mark.parametrize("code", RIGHT.values(), ids=RIGHT.keys())
def test_right_code_passes(code: Code) -> None:
    assert verify(craft(code)).whole


@pytest.mark.parametrize(("code", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong_code_is_named(code: Code, said: str) -> None:
    with pytest.raises(CapError) as caught:
        verify(craft(code))
    assert said in str(caught.value)
    assert str(caught.value).startswith(("Method component, offset 0x", "Method component: "))


CONSTRUCTORS = {
    "no constructor of the superclass": ("return", "no constructor of its superclass has run"),
    "on one path only": (
        "sconst_0; ifeq a; aload_0; invokespecial framework.Applet.<init>; a: return",
        "no constructor of its superclass has run",
    ),
    "twice": (
        "aload_0; invokespecial framework.Applet.<init>; aload_0; invokespecial framework.Applet.<init>; return",
        "of class 0x0011",
    ),
    "used before": ("aload_0; invokevirtual register; return", "an uninitialized object"),
    "of another class": ("aload_0; invokespecial Base.<init>; return", "of an object of class 0x0011"),
}


@pytest.mark.parametrize(("text", "said"), CONSTRUCTORS.values(), ids=CONSTRUCTORS.keys())
def test_constructors(text: str, said: str) -> None:
    with pytest.raises(CapError, match=said):
        verify(craft(init=Code(text, access=AccessFlag.PRIVATE | AccessFlag.INIT)))


def test_a_constructor_may_set_its_own_fields_first() -> None:
    text = "sconst_1; putfield_s_this Applet.large; aload_0; invokespecial framework.Applet.<init>; return"
    assert verify(craft(init=Code(text, access=AccessFlag.PRIVATE | AccessFlag.INIT))).whole


def test_int_needs_its_flag() -> None:
    assert verify(craft(RIGHT["int"])).whole
    with pytest.raises(CapError, match="ACC_INT is not set"):
        verify(craft(RIGHT["int"], int_support=False))


def test_what_was_verified_is_counted() -> None:
    assert verify(craft()) == Verified(classes=3, methods=6, instructions=18, whole=True)
    loaded = CapFile.parse_load_file(craft().load_file_data_block())
    assert verify(loaded) == Verified(classes=3, methods=0, instructions=0, whole=False)


def changed(tag: ComponentTag, data: bytes) -> CapFile:
    """Return the package with one component exchanged, and the Directory made to fit."""
    cap = craft()
    sizes = dict(cap.directory.component_sizes)
    if tag is not ComponentTag.DIRECTORY:
        sizes[tag] = len(data) - 3
    directory = dataclasses.replace(cap.directory, component_sizes=sizes)
    components = dict(cap.components) | {ComponentTag.DIRECTORY: directory.encode((2, 1))}
    return CapFile(components | {tag: data})


def test_imports() -> None:
    cap = craft()
    unknown = PackageInfo(Aid.from_text("F0000000FF"), (1, 0))
    for packages, said in [
        ((*cap.imports[:1], unknown), r"F0000000FF version 1\.0, is of no known API"),
        ((PackageInfo(cap.imports[0].aid, (1, 99)), cap.imports[1]), r"javacard\.framework .*1\.99"),
        ((cap.imports[0], cap.imports[0]), "is imported twice"),
        ((cap.imports[0], PACKAGE), "or is this one"),
        ((cap.imports[1], cap.imports[0]), "is no class"),
    ]:
        with pytest.raises(CapError, match=said):
            verify(changed(ComponentTag.IMPORT, ImportComponent(packages).encode()))


def test_applets() -> None:
    cap = craft()
    install = cap.applets[0].install_method_offset
    process = install + 9
    for aid, offset, said in [
        (APPLET_AID, 3, "no method is at"),
        (APPLET_AID, 0xFFF0, "outside the Method component"),
        (APPLET_AID, process, "is no install"),
        (Aid.from_text("F1000001020301"), install, "has another RID"),
    ]:
        with pytest.raises(CapError, match=said):
            verify(changed(ComponentTag.APPLET, AppletComponent((AppletInfo(aid, offset),)).encode()))


def described(**changes: Any) -> CapFile:
    """Return the package with the Descriptor of the class `Applet` changed."""
    descriptor = craft().descriptor
    assert descriptor is not None
    applet = dataclasses.replace(descriptor.classes[2], **changes)
    classes = (*descriptor.classes[:2], applet)
    return changed(ComponentTag.DESCRIPTOR, dataclasses.replace(descriptor, classes=classes).encode())


def test_descriptions() -> None:
    descriptor = craft().descriptor
    assert descriptor is not None
    applet = descriptor.classes[2]
    init, install, process, probe = applet.methods
    data = applet.fields[1]
    rest = applet.fields[2:]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"access_flags": 0x31}, "reserved access flags"),
        ({"access_flags": 0x91}, "abstract and final"),
        ({"token": 7}, "tokens of public classes"),
        ({"methods": applet.methods[:3]}, "leads nowhere"),
        ({"methods": (init, install, dataclasses.replace(process, token=1), probe)}, "is described as"),
        ({"methods": (init, install, dataclasses.replace(process, access_flags=0x04), probe)}, "less visible"),
        ({"methods": (init, install, dataclasses.replace(process, access_flags=0x05), probe)}, "more than one of"),
        ({"methods": (init, install, process, dataclasses.replace(probe, token=1))}, "is not seen outside"),
        ({"methods": (init, install, process, dataclasses.replace(probe, bytecode_count=2))}, "left"),
        ({"methods": (init, install, process, dataclasses.replace(probe, type_offset=3))}, "no type at offset"),
        ({"fields": (applet.fields[0], dataclasses.replace(data, token=2), *rest)}, "two tokens differ"),
        ({"fields": (applet.fields[0], dataclasses.replace(data, type=0x8005), *rest)}, "ConstantPool entry"),
        ({"fields": applet.fields[:4]}, "ConstantPool entry"),
    ]
    for changes, said in cases:
        with pytest.raises(CapError, match=said):
            verify(described(**changes))


def test_class_infos() -> None:
    cap = craft()
    base, applet = cap.classes.entries[1:]
    assert isinstance(base, ClassInfo)
    assert isinstance(applet, ClassInfo)
    for index, changes, said in [
        (2, {"declared_instance_size": 4}, "its fields take 3 words"),
        (2, {"reference_count": 3}, "its fields say otherwise"),
        (2, {"public_method_table_base": 6}, "ends at token"),
        (2, {"public_virtual_method_table": (base.public_virtual_method_table[0],)}, "method table has"),
        (2, {"super_class_ref": type(applet.super_class_ref)(0)}, "is no class"),
        (2, {"super_class_ref": type(applet.super_class_ref)(17)}, "does not come before"),
        (2, {"flags": type(applet.flags)(4)}, "ACC_SHAREABLE"),
        (2, {"flags": type(applet.flags)(1)}, "reserved flags"),
        (1, {"interfaces": (dataclasses.replace(base.interfaces[0], index=(0,)),)}, "does not implement"),
        (1, {"interfaces": ()}, "no class is at"),
    ]:
        entries = list(cap.classes.entries)
        entries[index] = dataclasses.replace(entries[index], **changes)  # type: ignore[arg-type] # fits, as above
        data = dataclasses.replace(cap.classes, entries=tuple(entries)).encode((2, 1))
        with pytest.raises(CapError, match=said):
            verify(changed(ComponentTag.CLASS, data))


def test_directory_and_static_fields() -> None:
    cap = craft()
    directory, static = cap.directory, cap.static_fields
    with pytest.raises(CapError, match="are announced"):
        verify(changed(ComponentTag.DIRECTORY, dataclasses.replace(directory, import_count=3).encode((2, 1))))
    for changes, said in [
        ({"image_size": 6}, "static_field_size differs"),
        ({"default_value_count": 0, "non_default_values": b"\0\1"}, None),
        ({"default_value_count": 1}, "its parts have"),
    ]:
        data = dataclasses.replace(static, **changes).encode()  # type: ignore[arg-type] # fits, as above
        if said is None:
            assert verify(changed(ComponentTag.STATIC_FIELD, data)).whole
            continue
        with pytest.raises(CapError, match=said):
            verify(changed(ComponentTag.STATIC_FIELD, data))


def test_reference_locations_are_those_of_the_code() -> None:
    old = craft().reference_location
    for two in (old.byte2_indices[1:], (*old.byte2_indices[:-1], old.byte2_indices[-1] + 1)):
        data = dataclasses.replace(old, byte2_indices=two).encode()
        with pytest.raises(CapError, match=r"ReferenceLocation|constant pool index"):
            verify(changed(ComponentTag.REFERENCE_LOCATION, data))


def test_without_a_descriptor_references_are_still_checked() -> None:
    cap = craft(RIGHT["handler"])
    loaded = CapFile.parse_load_file(cap.load_file_data_block())
    method = bytearray(cap.components[ComponentTag.METHOD])
    index_at = 3 + cap.reference_location.byte2_indices[-1]
    for position, value, said in [
        (index_at, 0x70, "constant pool index"),
        (3 + 1 + 7, 5, "which is no class"),  # catch_type_index of the exception handler
        (3 + 1 + 4, 0x7F, "what is no code"),  # its handler_offset
        (3 + 1 + 2, 0xFF, "what is no code"),  # its active_length
    ]:
        changed_bytes = bytearray(method)
        changed_bytes[position] = value
        with pytest.raises(CapError, match=said):
            verify(
                dataclasses.replace(loaded, components={**loaded.components, ComponentTag.METHOD: bytes(changed_bytes)})
            )


def test_method_headers() -> None:
    cap = craft()
    start = 3 + cap.methods.methods_offset
    method = bytearray(cap.components[ComponentTag.METHOD])
    for position, value, said in [
        (start, (MethodFlag.ABSTRACT << 4) | 6, "abstract with code"),
        (start, 0x26, "reserved flags"),
        (start + 1, 0x23, "nargs 2, its signature has 1"),
        (start, 0x00, "max_stack is 0"),
    ]:
        changed_bytes = bytearray(method)
        changed_bytes[position] = value
        with pytest.raises(CapError, match=said):
            verify(changed(ComponentTag.METHOD, bytes(changed_bytes)))


def test_paths_no_compiler_makes_end_in_an_error() -> None:
    # 2^30 ways through: each call doubles the chains of subroutines under way
    subroutines = [f"s{depth}: astore {depth}; jsr s{depth + 1}; jsr s{depth + 1}; ret {depth}" for depth in range(30)]
    text = ";".join(["jsr s0; return", *subroutines, "s30: astore 30; ret 30"])
    with pytest.raises(CapError, match="more paths"):
        verify(craft(Code(text, stack=20, locals=40)))


def test_mutations_are_rejected_or_harmless() -> None:
    cap = craft(RIGHT["finally"])
    rejected = 0
    for seed in range(400):
        _, components = mutate(cap, Random(seed))
        try:
            verify(CapFile.parse(pack(components)))
        except CapError:
            rejected += 1
    # what passes swaps like for like: sconst_1 for sconst_2, or a field of the same type
    assert 300 < rejected < 400
