"""Break CAP files in ways that mean something: bytes of each component, and types, depths, targets and references.

`mutate` changes one thing and leaves sizes as the Directory component has them, so that what is broken is what the
change says and not the frame around it. For tests that hold the parser and the verifier to their promises.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from opentsm_build import instructions
from opentsm_build.cap import CapFile, ComponentTag
from opentsm_build.cap.archive import write_archive
from opentsm_build.cap.classes import ClassInfo
from opentsm_build.cap.constant_pool import ConstantPoolEntry, ConstantPoolTag
from opentsm_build.opcode_tables import OPCODES
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from opentsm_build.cap.descriptor import DescriptorComponent

__all__ = ["mutate", "pack"]

Components = dict[ComponentTag, bytes]


def pack(components: Components, package_name: str = "mutated") -> bytes:
    """Return the archive of some components, whatever they hold."""
    return write_archive({int(tag): data for tag, data in components.items()}, package_name, {})


def mutate(cap: CapFile, random: Random) -> tuple[str, Components]:
    """Change one thing in a well-formed CAP file; return what was changed, and the components."""
    while True:
        kind = random.choice(_KINDS)
        components = dict(cap.components)
        try:
            what = kind(cap, random, components)
        except (CapError, IndexError, ValueError):
            continue  # this file has nothing of the kind, or the change does not fit its field
        if components != cap.components:
            return what, components


# --- bytes ---


def _flip_bit(cap: CapFile, random: Random, components: Components) -> str:
    tag = random.choice(list(cap.components))
    data = bytearray(components[tag])
    position = random.randrange(3, len(data))
    data[position] ^= 1 << random.randrange(8)
    components[tag] = bytes(data)
    return f"bit of {tag.title} at {position - 3:#06x}"


def _set_byte(cap: CapFile, random: Random, components: Components) -> str:
    tag = random.choice(list(cap.components))
    data = bytearray(components[tag])
    position = random.randrange(3, len(data))
    data[position] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
    components[tag] = bytes(data)
    return f"byte of {tag.title} at {position - 3:#06x}"


# --- code ---


def _descriptor(cap: CapFile) -> DescriptorComponent:
    if cap.descriptor is None:
        raise CapError("no Descriptor component")
    return cap.descriptor


def _pick_code(cap: CapFile, random: Random) -> tuple[int, tuple[instructions.Instruction, ...]]:
    """Pick a method; return where its code is in the Method component, and its instructions."""
    classes = [each for each in _descriptor(cap).classes if not each.is_interface]
    described = [method for each in classes for method in each.methods if method.bytecode_count]
    method = random.choice(described)
    info = cap.methods.method(method.method_offset, method.bytecode_count)
    return 3 + method.method_offset + info.header_bytes, instructions.decode(info.bytecodes)


def _write(components: Components, tag: ComponentTag, position: int, data: bytes) -> None:
    old = components[tag]
    components[tag] = old[:position] + data + old[position + len(data) :]


def _swap_opcode(cap: CapFile, random: Random, components: Components) -> str:
    start, code = _pick_code(cap, random)
    old = random.choice(code)
    others = [
        opcode for opcode in OPCODES if opcode and opcode.length_bytes == old.length_bytes and opcode != old.opcode
    ]
    new = random.choice(others)
    _write(components, ComponentTag.METHOD, start + old.pc, bytes((new.value,)))
    return f"{new.name} for {old.name}"


def _swap_kin(cap: CapFile, random: Random, components: Components) -> str:
    """Put an instruction of another type for one with the same operands: aload for sload, getfield_b for getfield_s."""
    start, code = _pick_code(cap, random)
    old = random.choice(code)
    others = [
        opcode
        for opcode in OPCODES
        if opcode and opcode != old.opcode and (opcode.name[1:] == old.name[1:] or opcode.name[:-1] == old.name[:-1])
    ]
    new = random.choice([opcode for opcode in others if opcode.length_bytes == old.length_bytes])
    _write(components, ComponentTag.METHOD, start + old.pc, bytes((new.value,)))
    return f"{new.name} for {old.name}"


def _nop_out(cap: CapFile, random: Random, components: Components) -> str:
    start, code = _pick_code(cap, random)
    old = random.choice(code)
    _write(components, ComponentTag.METHOD, start + old.pc, bytes(old.length_bytes))
    return f"nop for {old.name}"


def _swap_neighbours(cap: CapFile, random: Random, components: Components) -> str:
    start, code = _pick_code(cap, random)
    index = random.randrange(len(code) - 1)
    one, other = code[index : index + 2]
    data = components[ComponentTag.METHOD][start + one.pc : start + other.next_pc]
    _write(components, ComponentTag.METHOD, start + one.pc, data[one.length_bytes :] + data[: one.length_bytes])
    return f"{other.name} before {one.name}"


def _operand(cap: CapFile, random: Random, components: Components) -> str:
    start, code = _pick_code(cap, random)
    old = random.choice([each for each in code if each.operands])
    index = random.randrange(len(old.operands))
    value = old.operands[index]
    new = random.choice((value - 1, value + 1, value + random.randint(-9, 9), random.randrange(64), 0, 255, -1))
    operands = (*old.operands[:index], new, *old.operands[index + 1 :])
    data = instructions.encode(old.opcode, operands)
    if len(data) != old.length_bytes:
        raise ValueError
    _write(components, ComponentTag.METHOD, start + old.pc, data)
    return f"{old.name} {operands[:4]} for {old.operands[:4]}"


def _method_head(cap: CapFile, random: Random, components: Components) -> str:
    start, _ = _pick_code(cap, random)
    position = start - random.choice((1, 2))
    old = components[ComponentTag.METHOD][position]
    new = (old + random.choice((1, -1, 16, -16))) % 256
    _write(components, ComponentTag.METHOD, position, bytes((new,)))
    return f"method header {new:02x} for {old:02x}"


def _handler(cap: CapFile, random: Random, components: Components) -> str:
    index = random.randrange(len(cap.methods.exception_handlers))
    old = cap.methods.exception_handlers[index]
    field = random.choice(("start_offset", "active_length", "handler_offset", "catch_type_index", "stop_bit"))
    new = dataclasses.replace(old, **{field: _near(getattr(old, field), random)})
    _write(components, ComponentTag.METHOD, 4 + 8 * index, new.encode())
    return f"exception handler {index}: {field}"


# --- references, classes, descriptions ---


def _near(value: Any, random: Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return max(0, random.choice((value - 1, value + 1, value + random.randint(-20, 20), 0, value ^ 0x80)))
    raise ValueError


def _pool_entry(cap: CapFile, random: Random, components: Components) -> str:
    pool = cap.constant_pool.constant_pool
    index = random.randrange(len(pool))
    old = pool[index]
    other = random.choice(pool)
    new = random.choice(
        (
            other,
            ConstantPoolEntry(random.choice(list(ConstantPoolTag)), old.info),
            ConstantPoolEntry(old.tag, old.info[:2] + bytes(((old.info[2] + random.choice((1, -1, 128))) % 256,))),
            ConstantPoolEntry(old.tag, other.info[:2] + old.info[2:]),
        )
    )
    _write(components, ComponentTag.CONSTANT_POOL, 5 + 4 * index, new.encode())
    return f"entry {index}: {new.tag.name} {new.info.hex()} for {old.tag.name} {old.info.hex()}"


def _changed(item: Any, random: Random) -> tuple[str, Any]:
    """Return the name of a number in a dataclass, and the dataclass with it changed."""
    names = [field.name for field in dataclasses.fields(item) if isinstance(getattr(item, field.name), int)]
    name = random.choice(names)
    old = getattr(item, name)
    return name, dataclasses.replace(item, **{name: type(old)(_near(old, random))})


def _described(cap: CapFile, random: Random, components: Components) -> str:
    descriptor = _descriptor(cap)
    at = random.randrange(len(descriptor.classes))
    each = descriptor.classes[at]
    what = random.choice(("class", "field", "method"))
    if what == "class":
        name, new = _changed(each, random)
    elif what == "field":
        fields = list(each.fields)
        index = random.randrange(len(fields))
        name, fields[index] = _changed(fields[index], random)
        new = dataclasses.replace(each, fields=tuple(fields))
    else:
        methods = list(each.methods)
        index = random.randrange(len(methods))
        name, methods[index] = _changed(methods[index], random)
        new = dataclasses.replace(each, methods=tuple(methods))
    classes = (*descriptor.classes[:at], new, *descriptor.classes[at + 1 :])
    components[ComponentTag.DESCRIPTOR] = dataclasses.replace(descriptor, classes=classes).encode()
    return f"Descriptor: {name} of a {what}"


def _described_type(cap: CapFile, random: Random, components: Components) -> str:
    descriptor = _descriptor(cap)
    offsets = list(descriptor.types.by_offset())
    types = list(descriptor.types.constant_pool_types)
    index = random.randrange(len(types))
    types[index] = random.choice((*offsets, 0xFFFF))
    changed = dataclasses.replace(descriptor.types, constant_pool_types=tuple(types))
    components[ComponentTag.DESCRIPTOR] = dataclasses.replace(descriptor, types=changed).encode()
    return f"Descriptor: type of entry {index}"


def _class_info(cap: CapFile, random: Random, components: Components) -> str:
    entries = list(cap.classes.entries)
    at = random.randrange(len(entries))
    each = entries[at]
    name = "flags"
    if isinstance(each, ClassInfo) and each.public_virtual_method_table and random.random() < 0.5:
        table = list(each.public_virtual_method_table)
        table[random.randrange(len(table))] = random.choice((*table, 0xFFFF, 0, table[0] + 1))
        name, entries[at] = "table", dataclasses.replace(each, public_virtual_method_table=tuple(table))
    elif isinstance(each, ClassInfo) and each.interfaces and random.random() < 0.5:
        old = each.interfaces[0]
        index = list(old.index)
        index[random.randrange(len(index))] ^= 1
        name, entries[at] = (
            "interface",
            dataclasses.replace(each, interfaces=(dataclasses.replace(old, index=tuple(index)), *each.interfaces[1:])),
        )
    else:
        name, entries[at] = _changed(each, random)
    components[ComponentTag.CLASS] = dataclasses.replace(cap.classes, entries=tuple(entries)).encode(cap.format_version)
    return f"Class: {name} of entry {at}"


def _location(cap: CapFile, random: Random, components: Components) -> str:
    old = cap.reference_location
    two = list(old.byte2_indices)
    index = random.randrange(len(two))
    two[index] += random.choice((1, -1))
    components[ComponentTag.REFERENCE_LOCATION] = dataclasses.replace(old, byte2_indices=tuple(two)).encode()
    return f"ReferenceLocation: two-byte index {index}"


def _static(cap: CapFile, random: Random, components: Components) -> str:
    name, new = _changed(cap.static_fields, random)
    components[ComponentTag.STATIC_FIELD] = new.encode()
    return f"StaticField: {name}"


_KINDS: list[Callable[[CapFile, Random, Components], str]] = [
    *(_flip_bit, _flip_bit, _set_byte, _set_byte),
    *(_swap_opcode, _swap_kin, _swap_kin, _nop_out, _swap_neighbours, _operand, _operand, _method_head, _handler),
    *(_pool_entry, _pool_entry, _described, _described, _described_type, _class_info, _location, _static),
]
