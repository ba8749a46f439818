"""Methods as instructions, and the rules about them that hold whatever the types: bounds, operands, handlers.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.10, 6.12, 7.5.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_build import instructions
from opentsm_build.cap.constant_pool import ConstantPoolTag
from opentsm_build.cap.descriptor import AccessFlag
from opentsm_build.cap.methods import MethodFlag
from opentsm_build.cap.types import TypeNibble
from opentsm_build.verify.types import ClassNode, Field, Method
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentsm_build.cap.descriptor import DescriptorComponent, MethodDescriptorInfo
    from opentsm_build.cap.methods import ExceptionHandlerInfo, MethodInfo
    from opentsm_build.instructions import Instruction
    from opentsm_build.verify.world import PoolItem, World

__all__ = ["Body", "Handler", "read_bodies"]

_MAX_NARGS: Final = 127
_THROWABLE: Final = "java/lang/Throwable"
_NO_CLASS: Final = 0
_REFERENCE_ARRAY: Final = 14
_PRIMITIVE_ARRAYS: Final = frozenset({10, 11, 12, 13})
_INT_ARRAY: Final = 13
_CLASSREF: Final = frozenset({ConstantPoolTag.CLASSREF})
_POOL_TAGS: Final = {
    "getstatic": frozenset({ConstantPoolTag.STATIC_FIELDREF}),
    "putstatic": frozenset({ConstantPoolTag.STATIC_FIELDREF}),
    "getfield": frozenset({ConstantPoolTag.INSTANCE_FIELDREF}),
    "putfield": frozenset({ConstantPoolTag.INSTANCE_FIELDREF}),
    "invokevirtual": frozenset({ConstantPoolTag.VIRTUAL_METHODREF}),
    "invokespecial": frozenset({ConstantPoolTag.STATIC_METHODREF, ConstantPoolTag.SUPER_METHODREF}),
    "invokestatic": frozenset({ConstantPoolTag.STATIC_METHODREF}),
    "invokeinterface": _CLASSREF,
    "new": _CLASSREF,
    "anewarray": _CLASSREF,
    "checkcast": _CLASSREF,
    "instanceof": _CLASSREF,
}
_FIELD_KINDS: Final = {
    "b": frozenset({TypeNibble.BOOLEAN, TypeNibble.BYTE}),
    "s": frozenset({TypeNibble.SHORT}),
    "i": frozenset({TypeNibble.INT}),
}


@dataclass(frozen=True, slots=True)
class Handler:
    """An exception handler of a method; offsets into its bytecodes. `catch` is None for all."""

    start_pc: int
    end_pc: int
    handler_pc: int
    catch: ClassNode | None


@dataclass(frozen=True, slots=True)
class Body:
    """A method with its code.

    Args:
        method: which.
        info: header and bytes.
        instructions: by pc.
        items: what each instruction's constant pool index refers to, by pc.
        handlers: in the order in which they are tried.
        code_offset: of the first instruction in the Method component's info item.
        uses_int: an instruction, or a type, is of int.
    """

    method: Method
    info: MethodInfo
    instructions: Mapping[int, Instruction]
    items: Mapping[int, PoolItem]
    handlers: tuple[Handler, ...]
    code_offset: int
    uses_int: bool


def read_bodies(world: World, descriptor: DescriptorComponent) -> list[Body]:
    """Read and check every method; they fill the Method component without gaps.

    Raises:
        CapError: the first rule that is broken.
    """
    described = sorted(
        (
            (each, method)
            for declared, of in zip(descriptor.classes, world.classes, strict=True)
            if not declared.is_interface
            for each, method in zip(declared.methods, of.methods, strict=True)
        ),
        key=lambda pair: pair[0].method_offset,
    )
    component = world.cap.methods
    at, handler_index = component.methods_offset, 0
    bodies = []
    for each, method in described:
        if each.method_offset != at:
            raise CapError(f"the next method begins at {each.method_offset:#06x}", component="Method", offset_bytes=at)
        if each.exception_handler_count:
            if each.exception_handler_index != handler_index:
                raise CapError(
                    f"{method}: its exception handlers begin at {each.exception_handler_index}, not {handler_index}",
                    component="Descriptor",
                )
            handler_index += each.exception_handler_count
        elif each.exception_handler_index:
            raise CapError(f"{method} has no exception handlers, and an index of them", component="Descriptor")
        info = component.method(at, each.bytecode_count)
        bodies.append(_read_body(world, method, info, each))
        at += info.length_bytes
    if at != component.info_bytes:
        raise CapError(f"{component.info_bytes - at} bytes behind the last method", component="Method", offset_bytes=at)
    if handler_index != len(component.exception_handlers):
        raise CapError(f"exception handler {handler_index} is of no method", component="Method")
    _check_locations(world, bodies)
    return bodies


def _read_body(world: World, method: Method, info: MethodInfo, each: MethodDescriptorInfo) -> Body:
    offset = each.method_offset
    _check_head(method, info, offset)
    code_offset = offset + info.header_bytes
    items: dict[int, PoolItem] = {}
    try:
        found = {instruction.pc: instruction for instruction in instructions.decode(info.bytecodes)}
        uses_int = method.signature.uses_int
        for instruction in found.values():
            item = _check_instruction(world, info, instruction, found)
            if item is not None:
                items[instruction.pc] = item
            uses_int = uses_int or _uses_int(instruction)
        handlers = tuple(
            _handler(world, handler, code_offset, found, len(info.bytecodes)) for handler in _handlers(world, each)
        )
    except CapError as error:
        raise CapError(error.reason, component="Method", offset_bytes=offset, where=str(method), pc=error.pc) from error
    return Body(method, info, found, items, handlers, code_offset, uses_int)


def _check_head(method: Method, info: MethodInfo, offset: int) -> None:
    where = str(method)
    if info.flags & ~(MethodFlag.EXTENDED | MethodFlag.ABSTRACT) or info.padding:
        raise CapError("reserved flags are set", component="Method", offset_bytes=offset, where=where)
    abstract = MethodFlag.ABSTRACT in info.flags
    if abstract != (AccessFlag.ABSTRACT in method.access) or abstract == bool(info.bytecodes):
        raise CapError(
            "abstract with code, or not abstract without", component="Method", offset_bytes=offset, where=where
        )
    nargs = method.signature.parameter_words + (not method.is_static)
    if info.nargs != nargs and not (abstract and info.nargs == 0):
        raise CapError(
            f"nargs {info.nargs}, its signature has {nargs}", component="Method", offset_bytes=offset, where=where
        )
    if info.nargs > _MAX_NARGS or info.nargs + info.max_locals > 255:
        raise CapError(
            "more than 255 words of locals, or 127 of arguments", component="Method", offset_bytes=offset, where=where
        )


# --- instructions ---


def _check_instruction(
    world: World, info: MethodInfo, instruction: Instruction, found: Mapping[int, Instruction]
) -> PoolItem | None:
    """Check one instruction's operands and return what it refers to."""
    pc, name = instruction.pc, instruction.name
    for target in instruction.targets:
        if target not in found:
            raise CapError(f"{name} jumps to {target}, where no instruction begins", pc=pc)
    if name.startswith("impdep"):
        raise CapError(f"{name} may not be in a CAP file", pc=pc)
    _check_locals(info, instruction)
    if name in {"dup_x", "swap_x"}:
        _check_words(name, instruction.operands[0], pc)
    if name == "newarray" and instruction.operands[0] not in _PRIMITIVE_ARRAYS:
        raise CapError(f"newarray of type {instruction.operands[0]}, which is none", pc=pc)
    if name in {"slookupswitch", "ilookupswitch"}:
        keys = instruction.operands[2::2]
        if any(one >= other for one, other in itertools.pairwise(keys)):
            raise CapError(f"{name}: its keys do not ascend", pc=pc)
    if name in {"checkcast", "instanceof"} and not _refers_to_class(instruction):
        return None
    index = instruction.constant_pool_index
    return None if index is None else _check_reference(world, name, index, pc)


def _refers_to_class(instruction: Instruction) -> bool:
    kind, index = instruction.operands
    if kind in _PRIMITIVE_ARRAYS:
        if index:
            raise CapError(f"{instruction.name} of a primitive array with index {index}, not 0", pc=instruction.pc)
        return False
    if kind not in {_NO_CLASS, _REFERENCE_ARRAY}:
        raise CapError(f"{instruction.name} of type {kind}, which is none", pc=instruction.pc)
    return True


def _check_locals(info: MethodInfo, instruction: Instruction) -> None:
    name = instruction.name
    if "local" in instruction.opcode.operands:
        index = instruction.operands[0]
    elif name[-2:] in {"_0", "_1", "_2", "_3"} and ("load" in name or "store" in name):
        index = int(name[-1])
    else:
        return
    if index + (name[0] == "i") >= info.nargs + info.max_locals:
        raise CapError(f"{name}: no local {index}, there are {info.nargs + info.max_locals}", pc=instruction.pc)


def _check_words(name: str, operand: int, pc: int) -> None:
    moved, depth = operand >> 4, operand & 0xF
    if name == "dup_x":
        right = 1 <= moved <= 4 and (depth == 0 or moved <= depth <= moved + 4)
    else:
        right = moved in {1, 2} and depth in {1, 2}
    if not right:
        raise CapError(f"{name} of {moved} and {depth} words", pc=pc)


def _check_reference(world: World, name: str, index: int, pc: int) -> PoolItem:
    base = name.split("_", maxsplit=1)[0]
    tag = world.cap.constant_pool.entry(index).tag
    if tag not in _POOL_TAGS[base]:
        raise CapError(f"{name} with entry {index}, a {tag.title}", pc=pc)
    try:
        item = world.pool(index)
    except CapError as error:
        raise CapError(str(error), pc=pc) from error
    if isinstance(item, Field):
        kind = name.split("_")[1]
        wanted = _FIELD_KINDS.get(kind)
        if (item.type.nibble not in wanted) if wanted else not item.type.nibble.is_reference:
            raise CapError(f"{name} of {item}, which is of type {item.type}", pc=pc)
    elif isinstance(item, Method):
        _check_invocation(name, item, pc)
    elif name == "new" and item.access & (AccessFlag.INTERFACE | AccessFlag.ABSTRACT_CLASS):
        raise CapError(f"new of {item.name}, which is abstract", pc=pc)
    elif name == "invokeinterface" and not item.is_interface:
        raise CapError(f"invokeinterface of {item.name}, which is no interface", pc=pc)
    return item


def _check_invocation(name: str, method: Method, pc: int) -> None:
    if (name == "invokestatic") != method.is_static:
        raise CapError(f"{name} of {method}", pc=pc)
    if name == "invokespecial" and AccessFlag.ABSTRACT in method.access:
        raise CapError(f"{name} of {method}, which is abstract", pc=pc)


_INT_NAMES: Final = frozenset({"s2i", "i2b", "i2s", "bipush", "sipush", "iipush"})


def _uses_int(instruction: Instruction) -> bool:
    opcode = instruction.opcode
    if opcode.name in {"newarray", "checkcast", "instanceof"}:
        return instruction.operands[0] == _INT_ARRAY
    return "i" in opcode.pops + opcode.pushes or opcode.name.startswith("iinc")


# --- exception handlers ---


def _handlers(world: World, each: MethodDescriptorInfo) -> tuple[ExceptionHandlerInfo, ...]:
    table = world.cap.methods.exception_handlers
    first, count = each.exception_handler_index, each.exception_handler_count
    if count and first + count > len(table):
        raise CapError(f"exception handlers {first} to {first + count - 1}, there are {len(table)}")
    return table[first : first + count]


def _handler(
    world: World, handler: ExceptionHandlerInfo, code_offset: int, found: Mapping[int, Instruction], length: int
) -> Handler:
    start, end = handler.start_offset - code_offset, handler.end_offset - code_offset
    at = handler.handler_offset - code_offset
    if start not in found or not (end in found or end == length) or end <= start:
        raise CapError(f"an exception handler guards {start} to {end}, no instructions' bounds")
    if at not in found:
        raise CapError(f"an exception handler is at {at}, where no instruction begins")
    catch = None
    if handler.catch_type_index:
        tag = world.cap.constant_pool.entry(handler.catch_type_index).tag
        item = world.pool(handler.catch_type_index)
        if not isinstance(item, ClassNode):
            raise CapError(f"an exception handler catches a {tag.title}")
        if not any(above.name == _THROWABLE for above in item.ancestors):
            raise CapError(f"an exception handler catches {item.name}, which is no Throwable")
        catch = item
    return Handler(start, end, at, catch)


def _check_order(handlers: tuple[ExceptionHandlerInfo, ...]) -> None:
    """Check the order of all handlers, and their stop bits."""
    for index, handler in enumerate(handlers):
        later = handlers[index + 1 :]
        if later and later[0].handler_offset < handler.handler_offset:
            raise CapError(f"exception handlers {index} and {index + 1} are not in ascending order", component="Method")
        # A range that meets none of a later handler ends the search; nested and equal ranges go on.
        met = any(
            other.start_offset < handler.end_offset and handler.start_offset < other.end_offset for other in later
        )
        if met == handler.stop_bit:
            raise CapError(f"exception handler {index}: its stop bit is wrong", component="Method")


def _check_locations(world: World, bodies: list[Body]) -> None:
    """Check that the ReferenceLocation component names the constant pool indices, all of them and nothing else."""
    one, two = [], []
    _check_order(world.cap.methods.exception_handlers)
    for index, handler in enumerate(world.cap.methods.exception_handlers):
        if handler.catch_type_index:
            two.append(1 + 8 * index + 6)
    for body in bodies:
        for instruction in body.instructions.values():
            at = body.code_offset + instruction.pc + 1
            for kind in instruction.opcode.operands:
                if kind == "cp1":
                    one.append(at)
                elif kind == "cp2" and (instruction.pc in body.items):
                    two.append(at)
                at += instructions.OPERAND_BYTES.get(kind, 0)
    locations = world.cap.reference_location
    for name, wanted, told in (("one", one, locations.byte_indices), ("two", two, locations.byte2_indices)):
        if list(told) != wanted:
            differing = sorted(set(told) ^ set(wanted))
            place = f": {differing[0]:#06x}" if differing else ""
            raise CapError(
                f"the offsets of {name}-byte indices are not those of the code{place}", component="ReferenceLocation"
            )
