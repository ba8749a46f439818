"""Checks of classes and members: what the Class, Export and Descriptor components say of each other.

Spec: Java Card VM Specification 3.1, Classic Edition, 4.3.7 (tokens), 6.9, 6.13, 6.14.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.cap.classes import ClassFlag, ClassInfo
from opentsm_build.cap.descriptor import NO_TOKEN, AccessFlag
from opentsm_build.cap.types import TypeNibble
from opentsm_build.verify.types import VISIBILITY
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentsm_build.cap.classes import ImplementedInterfaceInfo
    from opentsm_build.verify.types import ClassNode, Field, Method
    from opentsm_build.verify.world import Declared, World

__all__ = ["check_classes"]

_SHAREABLE: Final = "javacard/framework/Shareable"
_APPLET: Final = "javacard/framework/Applet"
_SHOWN: Final = AccessFlag.PUBLIC | AccessFlag.PROTECTED
_WITH_MAPPING: Final = (2, 3)
_UNRESOLVED: Final = 0xFFFF
_PACKAGE_VISIBLE: Final = 0x80
_CLASS_FLAGS: Final = AccessFlag.PUBLIC | AccessFlag.FINAL | AccessFlag.INTERFACE | AccessFlag.ABSTRACT_CLASS
_FIELD_FLAGS: Final = VISIBILITY | AccessFlag.STATIC | AccessFlag.FINAL
_METHOD_FLAGS: Final = _FIELD_FLAGS | AccessFlag.ABSTRACT | AccessFlag.INIT
# Bytes of a static field by kind.
_STATIC_BYTES: Final = {TypeNibble.BOOLEAN: 1, TypeNibble.BYTE: 1, TypeNibble.INT: 4}


def check_classes(world: World) -> None:
    """Check every class with its members, the applets' install methods, and what is exported.

    Raises:
        CapError: the first rule that is broken.
    """
    for each in world.classes:
        _check_access(each)
        if isinstance(each.info, ClassInfo):
            _check_class(world, each, each.info)
        else:
            _check_interface(each)
        _check_shareable(each)
        _check_tokens(each)
        for method in each.methods:
            _check_method(method)
    _check_class_tokens(world)
    _check_static_image(world)
    _check_exports(world)
    _check_applets(world)


def _fail(reason: str, node: ClassNode, component: str = "Class") -> CapError:
    return CapError(
        reason, component=component, offset_bytes=node.offset if component == "Class" else None, where=node.name
    )


def _check_access(each: Declared) -> None:
    access = each.node.access
    if access & ~_CLASS_FLAGS:
        raise _fail(f"reserved access flags are set: {access & ~_CLASS_FLAGS:#04x}", each.node, "Descriptor")
    final_and_abstract = AccessFlag.FINAL in access and access & (AccessFlag.ABSTRACT_CLASS | AccessFlag.INTERFACE)
    if final_and_abstract or (each.node.is_interface and AccessFlag.ABSTRACT_CLASS not in access):
        raise _fail("abstract and final at once, or an interface that is not abstract", each.node, "Descriptor")
    members: tuple[Method | Field, ...] = (*each.methods, *each.fields)
    for member in members:
        if (member.access & VISIBILITY).bit_count() > 1:
            raise _fail(f"{member}: more than one of public, protected and private", each.node, "Descriptor")
    for field in each.fields:
        if field.access & ~_FIELD_FLAGS or field.type.nibble is TypeNibble.VOID:
            raise _fail(f"{field}: reserved flags, or of type void", each.node, "Descriptor")


def _check_interface(each: Declared) -> None:
    if each.fields and any(field.offset is None for field in each.fields):
        raise _fail("an interface with instance fields", each.node, "Descriptor")
    supers = each.node.interfaces
    missing = frozenset().union(*(above.interfaces for above in supers)) - supers if supers else frozenset()
    if missing:
        raise _fail(f"superinterface {next(iter(missing)).name} is missing", each.node)
    own = each.node.virtuals
    if sorted(own) != list(range(len(own))):
        raise _fail("tokens of its methods are not 0, 1, 2, …", each.node, "Descriptor")
    for described in each.descriptor.methods:
        numbers = (described.method_offset, described.bytecode_count)
        if any(numbers) or described.exception_handler_count or described.exception_handler_index:
            raise _fail("a method of an interface with an offset, code or exception handlers", each.node, "Descriptor")
    for method in each.methods:
        if method.access != AccessFlag.PUBLIC | AccessFlag.ABSTRACT:
            raise _fail(f"{method} is not public and abstract", each.node, "Descriptor")
    signatures = {method.signature for method in own.values()}
    for above in supers:
        for method in above.virtuals.values():
            if method.signature not in signatures:
                raise _fail(f"it lacks {method}, which it inherits", each.node, "Descriptor")


def _check_class(world: World, each: Declared, info: ClassInfo) -> None:
    node = each.node
    if node.superclass is None:
        raise _fail("it has no superclass, as only java.lang.Object may", node)
    if AccessFlag.FINAL in node.superclass.access:
        raise _fail(f"its superclass {node.superclass.name} is final", node)
    if not node.superclass.is_internal and AccessFlag.PUBLIC not in node.superclass.access:
        raise _fail(f"its superclass {node.superclass.name} is not public", node)
    _check_instance_fields(each, info)
    declared = {method.token: method for method in each.methods if method.is_virtual}
    for method in declared.values():
        _check_override(node, method)
    _check_table(node, info.public_method_table_base, info.public_virtual_method_table, package=False)
    _check_table(node, info.package_method_table_base, info.package_virtual_method_table, package=True)
    if world.cap.format_version >= _WITH_MAPPING:
        _check_token_mapping(node, info)
    _check_implemented(world, each, info)
    if AccessFlag.ABSTRACT_CLASS not in node.access:
        for method in node.virtuals.values():
            if AccessFlag.ABSTRACT in method.access:
                raise _fail(f"it is not abstract, but {method} is", node, "Descriptor")


def _check_instance_fields(each: Declared, info: ClassInfo) -> None:
    fields = [field for field in each.fields if field.offset is None]
    for described in each.descriptor.fields:
        if not described.is_static and described.class_ref != each.descriptor.this_class_ref:
            raise _fail("an instance field of another class", each.node, "Descriptor")
    by_token = sorted(fields, key=lambda field: field.token)
    expected = 0
    for field in by_token:
        if field.token != expected:
            raise _fail(f"{field} has token {field.token} where {expected} is next", each.node, "Descriptor")
        # An int takes two words, and two tokens.
        expected += field.type.words
    # JCVM 3.1, 4.3.7.5: fields seen outside first, primitives before references; then the others, references first.
    order = [
        (0, reference) if field.access & _SHOWN else (1, not reference)
        for field in by_token
        for reference in (field.type.nibble.is_reference,)
    ]
    if order != sorted(order):
        raise _fail("its fields do not have tokens in the order of their visibility and kind", each.node, "Descriptor")
    words = sum(field.type.words for field in fields)
    references = [field.token for field in by_token if field.type.nibble.is_reference]
    if words != info.declared_instance_size:
        raise _fail(f"declared_instance_size {info.declared_instance_size}, its fields take {words} words", each.node)
    first = references[0] if references else NO_TOKEN
    if info.reference_count != len(references) or info.first_reference_token != first:
        raise _fail(
            f"{info.reference_count} references from token {info.first_reference_token} on, its fields say otherwise",
            each.node,
        )
    if references and references != list(range(first, first + len(references))):
        raise _fail("its fields of reference types do not have tokens one behind the other", each.node)


def _check_override(node: ClassNode, method: Method) -> None:
    above = node.superclass.virtuals.get(method.token) if node.superclass is not None else None
    package_visible = bool(method.token & _PACKAGE_VISIBLE)
    shown = bool(method.access & _SHOWN)
    if package_visible == shown:
        raise _fail(f"{method} has a token of the wrong kind for its visibility", node, "Descriptor")
    if above is None or (package_visible and not above.owner.is_internal):
        return
    if above.signature != method.signature:
        raise _fail(f"{method} has the token of {above}", node, "Descriptor")
    if AccessFlag.FINAL in above.access:
        raise _fail(f"{method} overrides {above}, which is final", node, "Descriptor")
    if AccessFlag.PUBLIC in above.access and AccessFlag.PUBLIC not in method.access:
        raise _fail(f"{method} is less visible than {above}, which it overrides", node, "Descriptor")


def _check_table(node: ClassNode, base: int, table: tuple[int, ...], *, package: bool) -> None:
    """Check a table of virtual methods against the methods that the Descriptor component knows."""
    kind = "package" if package else "public"
    high = _PACKAGE_VISIBLE if package else 0
    tokens = [token & ~_PACKAGE_VISIBLE for token in node.virtuals if bool(token & _PACKAGE_VISIBLE) == package]
    if sorted(tokens) != list(range(len(tokens))):
        raise _fail(f"tokens of its {kind} methods are not 0, 1, 2, …", node, "Descriptor")
    above = 0
    if node.superclass is not None and (node.superclass.is_internal or not package):
        above = sum(bool(token & _PACKAGE_VISIBLE) == package for token in node.superclass.virtuals)
    if base + len(table) != len(tokens):
        raise _fail(f"its {kind} method table ends at token {base + len(table)}, there are {len(tokens)} methods", node)
    if base > above:
        raise _fail(f"its {kind} method table begins at token {base}, its superclass has {above} methods", node)
    for token, offset in enumerate(table, base):
        method = node.virtuals[token | high]
        if offset != (_UNRESOLVED if method.offset is None else method.offset):
            raise _fail(f"its {kind} method table has {offset:#06x} for {method}", node)
    overridden = [
        token & ~_PACKAGE_VISIBLE
        for token, method in node.virtuals.items()
        if method.owner is node and bool(token & _PACKAGE_VISIBLE) == package
    ]
    if overridden and min(overridden) < base:
        raise _fail(
            f"its {kind} method table begins at token {base}, behind {min(overridden)}, which it overrides", node
        )


def _check_token_mapping(node: ClassNode, info: ClassInfo) -> None:
    """Check the tokens that methods have in the superclass: their own, and none for those that the class adds."""
    assert node.superclass is not None
    own, above = (
        sum(not token & _PACKAGE_VISIBLE for token in virtuals)
        for virtuals in (node.virtuals, node.superclass.virtuals)
    )
    if info.public_virtual_method_token_mapping != (*range(above), *[NO_TOKEN] * (own - above)):
        raise _fail(f"its token mapping is not 0 to {above - 1} and then FF: methods may not change their tokens", node)
    if info.cap22_inheritable_public_method_token_count > own:
        count = info.cap22_inheritable_public_method_token_count
        raise _fail(f"CAP22_inheritable_public_method_token_count {count}, it has {own} public methods", node)


def _check_implemented(world: World, each: Declared, info: ClassInfo) -> None:
    node = each.node
    listed = {}
    for implemented in info.interfaces:
        interface = world.node(implemented.interface, "Class", node.offset)
        if interface in listed:
            raise _fail(f"{interface.name} is implemented twice", node)
        listed[interface] = implemented
        _check_mapping(node, interface, implemented)
    wanted = frozenset(listed)
    for interface in listed:
        wanted |= interface.interfaces
    if wanted - set(listed):
        raise _fail(f"superinterface {next(iter(wanted - set(listed))).name} is not among those it implements", node)
    described = {world.node(ref, "Descriptor") for ref in each.descriptor.interfaces}
    for interface in described:
        if interface not in node.interfaces:
            raise _fail(f"{interface.name} is not among the interfaces of its class_info", node, "Descriptor")


def _check_mapping(node: ClassNode, interface: ClassNode, implemented: ImplementedInterfaceInfo) -> None:
    if len(implemented.index) != len(interface.virtuals):
        raise _fail(f"{len(implemented.index)} methods for {interface.name}, which has {len(interface.virtuals)}", node)
    for token, virtual in enumerate(implemented.index):
        wanted, found = interface.virtuals[token], node.virtuals.get(virtual)
        if found is None or found.signature != wanted.signature:
            raise _fail(f"token {virtual} does not implement {wanted}", node)
        if AccessFlag.PUBLIC not in found.access:
            raise _fail(f"{found} implements {wanted} and is not public", node)


def _check_shareable(each: Declared) -> None:
    shareable = any(above.name == _SHAREABLE for above in each.node.interfaces)
    if shareable != (ClassFlag.SHAREABLE in each.info.flags):
        raise _fail("flag ACC_SHAREABLE differs from what its interfaces say", each.node)


def _check_method(method: Method) -> None:
    node, access = method.owner, method.access
    if access & ~_METHOD_FLAGS:
        raise _fail(f"{method}: reserved flags are set", node, "Descriptor")
    never_abstract = AccessFlag.FINAL | AccessFlag.STATIC | AccessFlag.PRIVATE | AccessFlag.INIT
    if AccessFlag.ABSTRACT in access and access & never_abstract:
        raise _fail(f"{method} is abstract, and final, static, private or a constructor", node, "Descriptor")
    if AccessFlag.INIT in access and (
        access & (AccessFlag.STATIC | AccessFlag.FINAL) or method.signature.result.nibble is not TypeNibble.VOID
    ):
        raise _fail(f"{method} is a constructor, and static, final or with a result", node, "Descriptor")


def _check_class_tokens(world: World) -> None:
    """Check that public classes have the tokens 0, 1, 2, …, and others none."""
    tokens = []
    for each in world.classes:
        if AccessFlag.PUBLIC in each.node.access:
            tokens.append(each.descriptor.token)
        elif each.descriptor.token != NO_TOKEN:
            raise _fail(f"token {each.descriptor.token} of a class that is not public", each.node, "Descriptor")
    if sorted(tokens) != list(range(len(tokens))):
        raise CapError("tokens of public classes are not 0, 1, 2, …", component="Descriptor")


def _check_tokens(each: Declared) -> None:
    """Check the tokens of fields, static methods and constructors: 0, 1, 2, … for those that are seen outside."""
    methods = []
    for method in each.methods:
        if method.is_virtual:
            continue
        if method.access & _SHOWN:
            methods.append(method.token)
        elif method.token != NO_TOKEN:
            raise _fail(f"{method} has token {method.token} and is not seen outside", each.node, "Descriptor")
    for kind, tokens in (("static fields", _field_tokens(each)), ("static methods and constructors", methods)):
        if sorted(tokens) != list(range(len(tokens))):
            raise _fail(f"tokens of its {kind} are not 0, 1, 2, …", each.node, "Descriptor")


def _field_tokens(each: Declared) -> list[int]:
    """Return the tokens of static fields that are seen outside; check those of all other fields."""
    tokens = []
    for field, described in zip(each.fields, each.descriptor.fields, strict=True):
        if not described.is_static:
            if described.token != described.instance_token:
                raise _fail(f"{field}: its two tokens differ", each.node, "Descriptor")
        elif described.field_ref[0]:
            raise _fail(f"{field}: the first byte of its reference is not 0", each.node, "Descriptor")
        elif field.access & _SHOWN:
            tokens.append(described.token)
        elif described.token != NO_TOKEN:
            raise _fail(f"{field} has token {described.token} and is seen in its package only", each.node, "Descriptor")
    return tokens


def _check_static_image(world: World) -> None:
    """Check that static fields lie where their kind belongs, and do not overlap."""
    static = world.cap.static_fields
    references_end = 2 * static.reference_count
    taken: dict[int, Field] = {}
    for each in world.classes:
        for field in each.fields:
            if field.offset is None:
                continue
            reference = field.type.nibble.is_reference
            size = _STATIC_BYTES.get(field.type.nibble, 2)
            fits = field.offset + size <= (references_end if reference else static.image_size)
            if not fits or (not reference and field.offset < references_end) or (reference and field.offset % 2):
                raise _fail(f"{field} does not lie in the image's part for its kind", each.node, "Descriptor")
            for at in range(field.offset, field.offset + size):
                if taken.setdefault(at, field) is not field:
                    raise _fail(f"{field} overlaps {taken[at]}", each.node, "Descriptor")
    for index, array in enumerate(static.array_init):
        owner = taken.get(2 * index)
        if owner is not None and owner.type.nibble != array.type + 8:
            raise CapError(
                f"array {index} is of type {array.type}, {owner} of type {owner.type}", component="StaticField"
            )
    for offset in range(static.image_size):
        if offset not in taken:
            raise CapError(f"no field is at offset {offset} of the image", component="StaticField")


def _check_exports(world: World) -> None:
    exports = world.cap.exports
    tokens: Mapping[int, int] = {}
    if exports is not None:
        tokens = {export.class_offset: token for token, export in enumerate(exports.class_exports)}
    for each in world.classes:
        token = tokens.get(each.node.offset or 0)
        if token is not None and AccessFlag.PUBLIC not in each.node.access:
            raise _fail("it is exported, and not public", each.node, "Export")
        told = each.descriptor.token if each.descriptor.token != NO_TOKEN else None
        # Public classes of an applet package have tokens, but only its shareable interfaces are exported (6.13).
        if token is None and world.cap.applets:
            continue
        if exports is not None and told != token:
            raise _fail(f"token {each.descriptor.token} is not that of the Export component", each.node, "Descriptor")
        if exports is None or token is None:
            continue
        export = exports.class_exports[token]
        fields = {
            field.token: field.static_offset
            for field in each.descriptor.fields
            if field.is_static and field.token != NO_TOKEN
        }
        methods = {
            method.token: method.offset for method in each.methods if not method.is_virtual and method.token != NO_TOKEN
        }
        if dict(enumerate(export.static_field_offsets)) != fields:
            raise _fail("exported static fields are not those with tokens", each.node, "Export")
        if dict(enumerate(export.static_method_offsets)) != methods:
            raise _fail("exported static methods are not those with tokens", each.node, "Export")


def _check_applets(world: World) -> None:
    for applet in world.cap.applets:
        method = world.methods_at.get(applet.install_method_offset)
        if method is None:
            raise CapError(
                f"applet {applet.aid}: no method is at {applet.install_method_offset:#06x}", component="Applet"
            )
        kinds = tuple(each.nibble for each in (*method.signature.parameters, method.signature.result))
        if kinds != (TypeNibble.BYTE_ARRAY, TypeNibble.SHORT, TypeNibble.BYTE, TypeNibble.VOID):
            raise CapError(f"applet {applet.aid}: {method} is no install(byte[], short, byte)", component="Applet")
        if not method.is_static or AccessFlag.PUBLIC not in method.access:
            raise CapError(f"applet {applet.aid}: {method} is not public and static", component="Applet")
        if not any(above.name == _APPLET for above in method.owner.ancestors):
            raise CapError(
                f"applet {applet.aid}: {method.owner.name} is no javacard.framework.Applet", component="Applet"
            )
