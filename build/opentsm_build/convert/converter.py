"""Class files to CAP file.

The steps: the subset is checked; tokens are assigned; static initializers are run; each method's data flow is found,
its numbers get their forms, its instructions are translated and made smaller; the constant pool is ordered; the code
gets its bytes; the components are linked. The same input gives the same bytes.

Spec: Java Card VM Specification 3.1, Classic Edition, 2, 4, 6, 7.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Final

from opentsm_build.classfile.access_tables import Acc
from opentsm_build.convert.accessors import narrow_accessors
from opentsm_build.convert.assemble import assemble
from opentsm_build.convert.exports import exported_package
from opentsm_build.convert.flow import MethodFlow
from opentsm_build.convert.forms import Forms
from opentsm_build.convert.link import Linker, argument_words
from opentsm_build.convert.listing import listing
from opentsm_build.convert.locals import local_of, number_locals
from opentsm_build.convert.optimize import optimize
from opentsm_build.convert.package import Conversion, Options
from opentsm_build.convert.pool import Pool
from opentsm_build.convert.prune import prune
from opentsm_build.convert.references import References
from opentsm_build.convert.select import select
from opentsm_build.convert.statics import StaticImage, Statics
from opentsm_build.convert.subset import check_class
from opentsm_build.convert.tokens import Tokens
from opentsm_build.convert.universe import OBJECT, Universe, dotted
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentsm_build.api import ApiPackage
    from opentsm_build.classfile import ClassFile
    from opentsm_build.classfile.bytecode import Insn
    from opentsm_build.convert.ops import Op
    from opentsm_build.convert.package import Package
    from opentsm_build.convert.select import Handlers

__all__ = ["convert"]

_APPLET: Final = "javacard/framework/Applet"
_INSTALL: Final = "install([BSB)V"


def convert(
    package: Package, classes: Sequence[ClassFile], imports: Mapping[str, ApiPackage], options: Options | None = None
) -> Conversion:
    """Convert a package.

    Args:
        package: its name, AID, version and applets.
        classes: all its class files.
        imports: the packages it may use, by name in internal form, in the versions it is to import.
        options: how to convert.

    Returns:
        The CAP file, what it exports, and a listing.

    Raises:
        CapError: the classes break a rule of Java Card; the message names class, method and source line.
    """
    options = options or Options()
    own = _own(package, classes)
    if not options.allow_int:
        own = narrow_accessors(own)
    universe = Universe(own, imports)
    for cls in own.values():
        for problem in check_class(cls, universe, options):
            raise problem
    _check_lines(own, universe)
    _check_applets(package, universe)
    decoded: dict[tuple[str, str], list[Insn]] = {}
    if options.prune:
        own, decoded = prune(package, universe)
        universe = Universe(own, imports)
    order = _order(own)
    tokens = Tokens(universe, order, exports=not package.applets)
    statics = StaticImage.lay_out(Statics(universe, order), order, library=not package.applets)
    references = References(universe, tokens)
    codes: dict[tuple[str, str], tuple[list[Op], Handlers, int]] = {}
    variables: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    for cls in order:
        for method in cls.methods:
            if method.code is not None and method.name != "<clinit>":
                flow = MethodFlow(cls, method, decoded.get((cls.name, method.key)))
                ops, handlers = select(flow, Forms(flow, allow_int=options.allow_int), references)
                ops = optimize(ops, handlers)
                max_locals = number_locals(ops, argument_words(method))
                codes[cls.name, method.key] = ops, handlers, max_locals
                if options.debug:
                    variables[cls.name, method.key] = _variables(ops, flow)
    caught = [h[3] for _, handlers, _ in codes.values() for h in handlers if h[3] is not None]
    pool = Pool((ops for ops, _, _ in codes.values()), caught)
    assembled = {}
    for (name, key), (ops, handlers, max_locals) in codes.items():
        try:
            assembled[name, key] = assemble(ops, handlers, pool, max_locals)
        except CapError as error:
            raise CapError(error.reason, where=_place(own[name], key)) from None
    if options.debug:
        format_at_least = max(options.format_version or (2, 2), (2, 2))
        options = dataclasses.replace(options, format_version=format_at_least)
    linker = Linker(package, options, universe, tokens, order, pool, assembled, statics)
    linker.locals = variables
    cap = linker.link()
    return Conversion(
        cap,
        exported_package(package, universe, tokens, order),
        is_library=not package.applets,
        write_listing=functools.partial(listing, linker),
        imports=tuple(imports[name] for name in linker.package_tokens),
        classes=linker.class_offsets,
        methods=linker.method_offsets,
    )


def _place(cls: ClassFile, key: str) -> str:
    method = next(method for method in cls.methods if method.key == key)
    return cls.place(method, None if method.code is None else method.code.line_at(0))


def _variables(ops: list[Op], flow: MethodFlow) -> list[tuple[int, int, int]]:
    """Return (JVM pc, JVM slot, local) of each instruction that names a local."""
    found = [] if flow.method.is_static else [(pc, 0, 0) for pc in (0, len(flow.code.code))]
    for op in ops:
        local = local_of(op)
        if local is not None and op.pc in flow.index:
            arg = flow.insns[flow.index[op.pc]].arg
            slot = arg[0] if isinstance(arg, tuple) else arg
            if isinstance(slot, int):
                found.append((op.pc, slot, local))
    return found


def _own(package: Package, classes: Sequence[ClassFile]) -> dict[str, ClassFile]:
    if not classes:
        raise CapError("there are no classes to convert")
    own: dict[str, ClassFile] = {}
    for cls in sorted(classes, key=lambda each: each.name):
        if cls.package != package.name:
            raise CapError(
                f"is in package {dotted(cls.package)}, not in {dotted(package.name)}: a CAP file holds one package",
                where=cls.place(),
            )
        # Annotation types leave nothing behind at run time.
        if not cls.access & Acc.ANNOTATION:
            own[cls.name] = cls
    return own


def _check_lines(own: Mapping[str, ClassFile], universe: Universe) -> None:
    """Check that no class is above itself; what walks up later is without a bound."""
    for name in own:
        list(universe.ancestors(name))
        universe.interfaces(name)


def _order(own: Mapping[str, ClassFile]) -> list[ClassFile]:
    """Return the classes, each behind its superclass and its interfaces, else by name."""
    done: dict[str, ClassFile] = {}

    def visit(name: str) -> None:
        cls = own.get(name)
        if cls is None or name in done:
            return
        for above in (*cls.interfaces, cls.super_name or OBJECT):
            visit(above)
        done[name] = cls

    for name in own:
        visit(name)
    return list(done.values())


def _check_applets(package: Package, universe: Universe) -> None:
    seen: dict[bytes, str] = {}
    for aid, name in package.applets:
        cls = universe.own.get(name)
        if cls is None:
            raise CapError(f"there is no class {dotted(name)}: name the applet's class as it is in the sources")
        if not universe.is_subclass(name, _APPLET):
            raise CapError(f"does not extend {dotted(_APPLET)}", where=cls.place())
        if cls.access & Acc.ABSTRACT:
            raise CapError("is abstract: an applet can't be", where=cls.place())
        install = universe.own_method(name, _INSTALL)
        if install is None or not install.is_static or not install.access & Acc.PUBLIC:
            raise CapError(
                "has no `public static void install(byte[] bArray, short bOffset, byte bLength)`", where=cls.place()
            )
        if aid[:5] != package.aid[:5]:
            raise CapError(
                f"AID {aid} has another RID (first 5 bytes) than the package's {package.aid}", where=cls.place()
            )
        if (other := seen.setdefault(bytes(aid), name)) != name:
            raise CapError(f"AID {aid} is also that of {dotted(other)}: each applet has its own", where=cls.place())
