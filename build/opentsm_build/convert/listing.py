"""The listing of a converted package: its instructions with the names and lines of the sources they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentsm_build.convert.universe import dotted
from opentsm_build.instructions import decode
from opentsm_build.opcode_tables import Flow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentsm_build.classfile import ClassFile, Method
    from opentsm_build.convert.assemble import Assembled
    from opentsm_build.convert.link import Linker
    from opentsm_build.convert.ops import Reference
    from opentsm_build.instructions import Instruction

__all__ = ["listing"]


def listing(linker: Linker) -> str:
    """Return the listing of a package that is linked."""
    major, minor = linker.package.version
    lines = [f"package {dotted(linker.package.name)} {linker.package.aid} {major}.{minor}"]
    for cls in linker.order:
        tokens = linker.tokens.classes[cls.name]
        kind = "interface" if cls.is_interface else "class"
        seen = "" if tokens.token == 0xFF else f", token {tokens.token}"
        size = "" if cls.is_interface else f", {2 * tokens.size_cells} bytes of fields"
        lines += ["", f"{kind} {dotted(cls.name)} at {linker.class_offsets[cls.name]:04X}{seen}{size}"]
        for method in linker.methods_of(cls):
            lines += _method(linker, cls, method)
    return "\n".join(lines) + "\n"


def _method(linker: Linker, cls: ClassFile, method: Method) -> Iterator[str]:
    key = (cls.name, method.key)
    yield ""
    head = f"  {method.name}{method.descriptor} at {linker.method_offsets[key]:04X}"
    code = linker.codes.get(key)
    if code is None:
        yield head + ", abstract"
        return
    info = linker.method_info(cls, method)
    yield (
        f"{head}, {len(code.code)} bytes, {info.nargs} words of arguments, {info.max_locals} of locals, "
        f"{info.max_stack} of stack"
    )
    yield from _code(linker, code, method)
    for handler in code.handlers:
        what = "any" if handler.catch is None else _name(linker, handler.catch)
        yield f"    {handler.start:04X}-{handler.end:04X} catch {what} at {handler.handler:04X}"


def _code(linker: Linker, code: Assembled, method: Method) -> Iterator[str]:
    assert method.code is not None
    origins = dict(code.pcs)
    line = None
    for instruction in decode(code.code):
        origin = origins.get(instruction.pc, -1)
        here = method.code.line_at(origin) if origin >= 0 else None
        mark = f"line {here}" if here is not None and here != line else ""
        line = here or line
        text = f"    {instruction.pc:04X} {_text(linker, instruction)}"
        yield f"{text:60} {mark}".rstrip()


def _text(linker: Linker, instruction: Instruction) -> str:
    if instruction.opcode.flow is Flow.SWITCH:
        targets = " ".join(f"{target:04X}" for target in instruction.targets)
        return f"{instruction.name} {targets}"
    parts = []
    for kind, value in zip(instruction.opcode.operands, instruction.operands, strict=True):
        if kind.startswith("branch"):
            parts.append(f"{instruction.pc + value:04X}")
        elif kind in ("cp1", "cp2"):
            # An array of a primitive type needs no class, and has index 0.
            plain = instruction.name in ("checkcast", "instanceof") and 10 <= instruction.operands[0] <= 13
            parts.append("" if plain else _name(linker, linker.pool.references[value]))
        else:
            parts.append(str(value))
    return " ".join([instruction.name, *filter(None, parts)])


def _name(linker: Linker, reference: Reference) -> str:
    _, owner, token, descriptor = reference
    if token is None:
        return dotted(owner)
    if isinstance(token, str):
        return f"{dotted(owner)}.{token}"
    return f"{dotted(owner)}.{_member(linker, owner, token, descriptor or '')}"


def _member(linker: Linker, owner: str, token: int, descriptor: str) -> str:
    """Return the name of a member that a reference names by its token."""
    own = linker.tokens.classes.get(owner)
    if own is not None:
        tables = (own.public, own.package) if descriptor.startswith("(") else (own.fields,)
        for key, known in (pair for table in tables for pair in table.items()):
            if known == token and key.endswith(descriptor):
                return key
    api = linker.universe.api_class(owner)
    members = [] if api is None else [*api.methods.items()] if descriptor.startswith("(") else [*api.fields.items()]
    for key, member in members:
        if member.token == token and member.descriptor == descriptor:
            return key
    return f"#{token}{descriptor}"
