"""The typed model of every component: what is parsed is written back byte for byte, and nothing cut short is taken."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from opentsm_build.cap.classes import (
    ClassComponent,
    ClassFlag,
    ClassInfo,
    ImplementedInterfaceInfo,
    InterfaceInfo,
    RemoteInterfaceInfo,
    RemoteMethodInfo,
)
from opentsm_build.cap.constant_pool import ConstantPoolComponent, ConstantPoolEntry, ConstantPoolTag
from opentsm_build.cap.descriptor import (
    NO_TOKEN,
    AccessFlag,
    ClassDescriptorInfo,
    DescriptorComponent,
    FieldDescriptorInfo,
    MethodDescriptorInfo,
    TypeDescriptorInfo,
    field_type,
    primitive_type,
)
from opentsm_build.cap.exports import ClassExportInfo, ExportComponent
from opentsm_build.cap.methods import ExceptionHandlerInfo, MethodComponent, MethodInfo
from opentsm_build.cap.reference_location import ReferenceLocationComponent
from opentsm_build.cap.static_fields import ArrayInitInfo, StaticFieldComponent
from opentsm_build.cap.types import NO_CLASS, ClassRef, JcType, TypeDescriptor, TypeNibble
from opentsm_build.instructions import decode, encode
from opentsm_build.opcode_tables import BY_NAME, OPCODES
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Callable

APPLET = ClassRef.external(0, 3)
BYTES = TypeDescriptor.of([JcType(TypeNibble.BYTE_ARRAY), JcType(TypeNibble.SHORT), JcType(TypeNibble.VOID)])
OBJECT = TypeDescriptor.of([JcType(TypeNibble.REFERENCE, APPLET)])
REMOTE = RemoteInterfaceInfo((RemoteMethodInfo(0x1234, 2, 5),), b"mod", b"com/example/A", (ClassRef(0),))
CLASSES = ClassComponent(
    (
        InterfaceInfo(ClassFlag.INTERFACE | ClassFlag.SHAREABLE, (ClassRef.external(1, 4),)),
        InterfaceInfo(ClassFlag.INTERFACE | ClassFlag.REMOTE, (), b"com/example/R"),
        ClassInfo(ClassFlag(0), NO_CLASS),
        ClassInfo(
            ClassFlag.SHAREABLE, APPLET, 3, 1, 2, 7, (0x10, 0xFFFF), 1, (0x20,),
            (ImplementedInterfaceInfo(ClassRef(0), (7, 8)),),
        ),
    )
)  # fmt: skip
HANDLERS = (ExceptionHandlerInfo(9, 4, True, 14, 3), ExceptionHandlerInfo(9, 8, False, 20, 0))
METHODS = MethodComponent(
    HANDLERS, MethodInfo.of(2, 1, 0, b"\x00\x7a").encode() + MethodInfo.of(16, 1, 0, b"").encode()
)
POOL = ConstantPoolComponent(
    (
        ConstantPoolEntry.of_class(APPLET),
        ConstantPoolEntry.of_member(ConstantPoolTag.INSTANCE_FIELDREF, ClassRef(6), 2),
        ConstantPoolEntry.of_static(ConstantPoolTag.STATIC_METHODREF, 0x1234),
        ConstantPoolEntry.of_imported_static(ConstantPoolTag.STATIC_METHODREF, ClassRef.external(0, 9), 1),
    )
)
DESCRIPTOR = DescriptorComponent(
    (
        ClassDescriptorInfo(
            0, AccessFlag.PUBLIC, ClassRef(6), (ClassRef(0),),
            (FieldDescriptorInfo(0, AccessFlag.PRIVATE, b"\0\6\0", primitive_type(TypeNibble.BYTE)),
             FieldDescriptorInfo(NO_TOKEN, AccessFlag.STATIC, b"\0\0\2", 18)),
            (MethodDescriptorInfo(7, AccessFlag.PUBLIC, 17, 12, 2, 1, 0),),
        ),
    ),
    TypeDescriptorInfo((0xFFFF, 12, 12, 12), (BYTES, OBJECT)),
)  # fmt: skip
STATIC = StaticFieldComponent(11, 2, (ArrayInitInfo(3, b"abc"), ArrayInitInfo(5, bytes(8))), 3, b"\1\2\3\4")
FAR = ReferenceLocationComponent((3, 258, 513, 1024), (0, 7, 262))
EXPORT = ExportComponent((ClassExportInfo(6, (2, 4), (17,)), ClassExportInfo(0)))

COMPONENTS: list[tuple[Callable[[bytes], object], bytes, object]] = [
    (ConstantPoolComponent.parse, POOL.encode(), POOL),
    (lambda data: ClassComponent.parse(data, (2, 1)), CLASSES.encode((2, 1)), CLASSES),
    (MethodComponent.parse, METHODS.encode(), METHODS),
    (StaticFieldComponent.parse, STATIC.encode(), STATIC),
    (ReferenceLocationComponent.parse, FAR.encode(), FAR),
    (ExportComponent.parse, EXPORT.encode(), EXPORT),
    (DescriptorComponent.parse, DESCRIPTOR.encode(), DESCRIPTOR),
]


@pytest.mark.parametrize(("parse", "encoded", "component"), COMPONENTS)
def test_what_is_written_is_read(parse: Callable[[bytes], object], encoded: bytes, component: object) -> None:
    assert parse(encoded) == component


# Where a component's last part runs to its end, some cuts leave one that is well formed.
MAY_SHRINK = (MethodComponent, ClassComponent, DescriptorComponent)


@pytest.mark.parametrize(("parse", "encoded", "component"), COMPONENTS)
def test_what_is_cut_is_not_taken(parse: Callable[[bytes], object], encoded: bytes, component: object) -> None:
    for length in range(len(encoded) - 3):
        cut = encoded[:1] + length.to_bytes(2, "big") + encoded[3 : 3 + length]
        if not isinstance(component, MAY_SHRINK):
            with pytest.raises(CapError, match=r"component, offset|component: "):
                parse(cut)
            continue
        with contextlib.suppress(CapError):
            assert parse(cut) != component


def test_classes_of_later_formats() -> None:
    remote = ClassInfo(ClassFlag.REMOTE, APPLET, remote_interfaces=REMOTE, public_virtual_method_table=(1,))
    pool = ClassComponent((*CLASSES.entries, remote), (BYTES, OBJECT))
    assert ClassComponent.parse(pool.encode((2, 2)), (2, 2)) == pool
    mapped = ClassInfo(
        ClassFlag(0), APPLET, public_method_table_base=1, public_virtual_method_table=(9,),
        public_virtual_method_token_mapping=(0, 1), cap22_inheritable_public_method_token_count=1,
    )  # fmt: skip
    assert ClassComponent.parse(ClassComponent((mapped,)).encode((2, 3)), (2, 3)).entries == (mapped,)


def test_class_offsets_are_those_of_the_bytes() -> None:
    for version in ((2, 1), (2, 2)):
        encoded = CLASSES.encode(version)[3:]
        for offset, entry in zip(CLASSES.offsets(version), CLASSES.entries, strict=True):
            assert encoded[offset:].startswith(entry.encode(version))


def test_methods_are_read_at_their_offsets() -> None:
    first = METHODS.methods_offset
    assert METHODS.method(first, 2) == MethodInfo.of(2, 1, 0, b"\x00\x7a")
    assert METHODS.method(first + 4, 0) == MethodInfo.of(16, 1, 0, b"")
    for offset, count in ((first - 1, 0), (first + 8, 0), (first, 100)):
        with pytest.raises(CapError, match="Method component, offset"):
            METHODS.method(offset, count)


def test_references_tell_what_they_refer_to() -> None:
    entries = POOL.constant_pool
    assert (entries[0].class_ref, entries[0].is_external) == (APPLET, True)
    assert (entries[1].class_ref, entries[1].token) == (ClassRef(6), 2)
    assert (entries[2].is_external, entries[2].offset) == (False, 0x1234)
    assert (entries[3].is_external, entries[3].class_ref.class_token, entries[3].token) == (True, 9, 1)
    with pytest.raises(CapError, match="split the package"):
        ClassRef.internal(0x8000)


def test_types_of_fields() -> None:
    types = DESCRIPTOR.types.by_offset()
    assert list(types) == [10, 13]
    assert field_type(13, types) == JcType(TypeNibble.REFERENCE, APPLET)
    assert field_type(primitive_type(TypeNibble.INT), types) == JcType(TypeNibble.INT)
    for wrong in (0x8006, 0x8001, 11, 10):
        with pytest.raises(CapError, match="Descriptor"):
            field_type(wrong, types)


def test_reference_steps() -> None:
    assert ReferenceLocationComponent((255,), (509, 510)).encode()[3:] == bytes.fromhex("0002ff00 0003 fffe01")
    with pytest.raises(CapError, match="leads nowhere"):
        ReferenceLocationComponent.parse(bytes.fromhex("090005 0001ff 0000"))


def test_instructions_have_the_numbers_of_the_specification() -> None:
    known = {
        "nop": 0, "bspush": 16, "iipush": 20, "aload": 21, "iload_3": 35, "aaload": 36, "astore": 40, "iastore": 58,
        "dup_x": 63, "swap_x": 64, "sadd": 65, "iushr": 82, "ixor": 88, "sinc": 89, "icmp": 95, "if_scmple": 111,
        "jsr": 113, "ilookupswitch": 118, "return": 122, "getstatic_a": 123, "putfield_i": 138, "invokeinterface": 142,
        "new": 143, "instanceof": 149, "iinc_w": 151, "goto_w": 168, "getfield_i_this": 176, "putfield_i_this": 184,
        "impdep1": 254, "impdep2": 255,
    }  # fmt: skip
    assert {name: BY_NAME[name].value for name in known} == known
    assert len(BY_NAME) == 187
    assert [value for value, opcode in enumerate(OPCODES) if opcode is None] == list(range(185, 254))


def test_instructions_of_every_shape_are_read_as_written() -> None:
    switches: dict[str, tuple[int, ...]] = {
        "stableswitch": (-5, -1, 1, 10, 20, 30), "itableswitch": (7, 65536, 65536, 8),
        "slookupswitch": (4, 2, -9, 5, 9, 6), "ilookupswitch": (4, 1, -70000, 9),
    }  # fmt: skip
    code, written = b"", []
    for name, opcode in BY_NAME.items():
        operands = switches.get(name, tuple(range(1, len(opcode.operands) + 1)))
        written.append((name, operands))
        code += encode(opcode, operands)
    instructions = decode(code)
    assert [(each.name, each.operands) for each in instructions] == written
    assert b"".join(each.encode() for each in instructions) == code
    for length in range(1, len(code)):
        at = max(each.pc for each in instructions if each.pc <= length)
        if at != length:
            with pytest.raises(CapError, match=f"pc {at}"):
                decode(code[:length])


def test_targets() -> None:
    table, lookup = BY_NAME["stableswitch"], BY_NAME["slookupswitch"]
    code = encode(BY_NAME["goto"], (4,)) + encode(table, (9, 0, 1, 1, -2)) + encode(lookup, (0, 1, 5, -1))
    goto, first, second = decode(code)
    assert goto.targets == (4,)
    assert first.targets == (11, 3, 0)
    assert second.targets == (second.pc, second.pc - 1)
