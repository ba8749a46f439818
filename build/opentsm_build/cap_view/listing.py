"""Lists of classes and members, and code with what it refers to in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentsm_build.cap.constant_pool import ConstantPoolTag
from opentsm_build.cap.descriptor import NO_TOKEN, AccessFlag
from opentsm_build.cap_view.memory import object_bytes
from opentsm_build.opcode_tables import Flow
from opentsm_build.verify.types import ClassNode, Field, Method

if TYPE_CHECKING:
    from opentsm_build.cap_view.package import Resolved
    from opentsm_build.instructions import Instruction
    from opentsm_build.verify.code import Body
    from opentsm_build.verify.world import World

__all__ = ["class_list", "code_lines", "dump", "list_lines"]

_ARRAY_TYPES: Final = {10: "boolean[]", 11: "byte[]", 12: "short[]", 13: "int[]"}
_MEMBER_FLAGS: Final = ("PUBLIC", "PRIVATE", "PROTECTED", "STATIC", "FINAL", "ABSTRACT")


def class_list(resolved: Resolved) -> list[dict[str, Any]]:
    """Return classes with their members as plain values."""
    listed = []
    for each in resolved.world.classes:
        node = each.node
        listed.append(
            {
                "name": node.name,
                "kind": "interface" if node.is_interface else "class",
                "flags": _class_flags(node),
                "token": _token(each.descriptor.token),
                "offset": node.offset,
                "superclass": node.superclass.name if node.superclass else None,
                "interfaces": sorted(interface.name for interface in node.interfaces),
                "instance_bytes": object_bytes(node),
                "fields": [_field(field) for field in each.fields],
                "methods": [_method(resolved, method) for method in each.methods],
            }
        )
    return listed


def _token(token: int) -> int | None:
    return None if token == NO_TOKEN else token


def _class_flags(node: ClassNode) -> list[str]:
    flags = [("public", AccessFlag.PUBLIC), ("final", AccessFlag.FINAL), ("abstract", AccessFlag.ABSTRACT_CLASS)]
    named = [name for name, flag in flags if flag in node.access]
    return [*named, "shareable"] if node.shareable else named


def _flags(access: AccessFlag) -> list[str]:
    return [name.lower() for name in _MEMBER_FLAGS if AccessFlag[name] in access]


def _field(field: Field) -> dict[str, Any]:
    place = {"token": field.token} if field.offset is None else {"offset": field.offset}
    return {"name": field.name or None, "type": str(field.type), "flags": _flags(field.access), **place}


def _method(resolved: Resolved, method: Method) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "name": method.name or ("<init>" if method.is_constructor else None),
        "signature": str(method.signature),
        "flags": _flags(method.access),
        "token": _token(method.token),
    }
    body = resolved.bodies.get(method.offset or 0)
    if body is not None:
        info = body.info
        listed |= {
            "offset": method.offset,
            "code_bytes": len(info.bytecodes),
            "max_stack": info.max_stack,
            "nargs": info.nargs,
            "max_locals": info.max_locals,
        }
    return listed


def list_lines(listed: list[dict[str, Any]]) -> list[str]:
    """Return classes and members as lines for people."""
    lines = []
    for each in listed:
        extends = f" extends {each['superclass']}" if each["superclass"] else ""
        implements = f" implements {', '.join(each['interfaces'])}" if each["interfaces"] else ""
        token = "" if each["token"] is None else f"  token {each['token']}"
        flags = " ".join(flag for flag in each["flags"] if not (each["kind"] == "interface" and flag == "abstract"))
        lines.append(f"{flags} {each['kind']} {each['name']}{extends}{implements}{token}".strip())
        lines += [f"    {_member(field, field['type'])}{_place(field)}" for field in each["fields"]]
        for method in each["methods"]:
            size = f"  {method['code_bytes']} bytes" if "code_bytes" in method else ""
            lines.append(f"    {_member(method, method['signature'])}{_place(method)}{size}")
    return lines


def _member(member: dict[str, Any], kind: str) -> str:
    name = member["name"] or "?"
    text = f"{name}{kind}" if kind.startswith("(") else f"{kind} {name}"
    return " ".join([*member["flags"], text])


def _place(member: dict[str, Any]) -> str:
    return "" if member.get("token") is None else f"  token {member['token']}"


# --- code ---


def dump(resolved: Resolved) -> list[dict[str, Any]]:
    """Return every method with its annotated code as plain values, in the order of the Method component."""
    dumped = []
    for offset, body in resolved.bodies.items():
        dumped.append(
            {
                "class": body.method.owner.name,
                **_method(resolved, body.method),
                "offset": offset,
                "code": [
                    {
                        "pc": each.pc,
                        "op": each.name,
                        "operands": list(each.operands),
                        "refers_to": refers_to(resolved.world, body, each),
                    }
                    for each in body.instructions.values()
                ],
                "handlers": [
                    {
                        "start": each.start_pc,
                        "end": each.end_pc,
                        "at": each.handler_pc,
                        "catch": each.catch.name if each.catch else None,
                    }
                    for each in body.handlers
                ],
            }
        )
    return dumped


def refers_to(world: World, body: Body, instruction: Instruction) -> str | None:
    """Say what an instruction's operands mean; None where they speak for themselves."""
    item = body.items.get(instruction.pc)
    name = instruction.name
    if name == "invokeinterface" and isinstance(item, ClassNode):
        method = item.virtuals.get(instruction.operands[2])
        return f"{item.name} method {instruction.operands[2]}" if method is None else str(method)
    if isinstance(item, ClassNode):
        array = name == "anewarray" or (name in {"checkcast", "instanceof"} and instruction.operands[0] == 14)
        return f"{item.name}[]" if array else item.name
    if isinstance(item, Field):
        return f"{item} {item.type}"
    if isinstance(item, Method):
        index = instruction.constant_pool_index
        entry = None if index is None else world.cap.constant_pool.entry(index)
        above = entry is not None and entry.tag is ConstantPoolTag.SUPER_METHODREF
        return f"super: {item}" if above else str(item)
    if name in {"newarray", "checkcast", "instanceof"}:
        return _ARRAY_TYPES.get(instruction.operands[0])
    return None


def code_lines(resolved: Resolved, body: Body, *, positions: bool = True) -> list[str]:
    """Return a method's code as lines for people.

    Args:
        resolved: its package.
        body: the method.
        positions: show offsets and indices; without, only what stays when they move (for comparing).
    """
    info = body.info
    at = f"  at {body.method.offset:#06x}" if positions else ""
    lines = [f"{body.method}  stack {info.max_stack}, arguments {info.nargs}, locals {info.max_locals}{at}"]
    targets = sorted({target for each in body.instructions.values() for target in each.targets})
    labels = {target: f"L{number}" for number, target in enumerate(targets, 1)}
    source = dict(resolved.world.names.lines.get(body.method.offset or 0, ())) if positions else {}
    for each in body.instructions.values():
        if each.pc in source:
            lines.append(f"      // line {source[each.pc]}")
        label = f"{labels[each.pc]}:" if each.pc in labels else ""
        operands = _operands(each, labels)
        refers = refers_to(resolved.world, body, each)
        comment = f"  {'; ' if positions else ''}{refers}" if refers else ""
        place = f"{each.pc:>5} " if positions else ""
        lines.append(f"{label:<5} {place}{each.name} {operands}{comment}".rstrip())
    for handler in body.handlers:
        caught = handler.catch.name if handler.catch else "all"
        bounds = f"{handler.start_pc} to {handler.end_pc} at {handler.handler_pc}" if positions else ""
        lines.append(f"      catch {caught} {bounds}".rstrip())
    return lines


def _operands(instruction: Instruction, labels: dict[int, str]) -> str:
    flow = instruction.opcode.flow
    if flow is Flow.SWITCH:
        table = instruction.opcode.operands[0].startswith("table")
        keys = instruction.operands[1:3] if table else instruction.operands[2::2]
        targets = [labels[target] for target in instruction.targets]
        return f"default {targets[0]}; {', '.join(map(str, keys))}: {', '.join(targets[1:])}"
    if instruction.targets:
        return labels[instruction.targets[0]]
    shown = [
        f"#{value}" if kind in {"cp1", "cp2"} else str(value)
        for kind, value in zip(instruction.opcode.operands, instruction.operands, strict=True)
    ]
    return " ".join(shown)
