"""What a package is made of, resolved: classes, methods and fields behind each reference.

The Class and Descriptor components are read into `ClassNode`s, supertypes first, so that no class is its own ancestor;
whatever refers to one that is not there, or to something of another kind, is an error here.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.8, 6.9, 6.14.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_build.cap.classes import ClassFlag, ClassInfo, InterfaceInfo
from opentsm_build.cap.constant_pool import ConstantPoolTag
from opentsm_build.cap.descriptor import NO_TOKEN, NO_TYPE, AccessFlag, field_type
from opentsm_build.cap.types import NO_CLASS, ClassRef, JcType, TypeNibble
from opentsm_build.verify.imported import ImportedClasses
from opentsm_build.verify.names import Names
from opentsm_build.verify.types import ClassNode, Field, Method, Signature, Type
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.api.model import ApiPackage
    from opentsm_build.cap.constant_pool import ConstantPoolEntry
    from opentsm_build.cap.descriptor import (
        ClassDescriptorInfo,
        DescriptorComponent,
        FieldDescriptorInfo,
        MethodDescriptorInfo,
    )
    from opentsm_build.cap.file import CapFile

__all__ = ["PoolItem", "World"]

_SHAREABLE: Final = "javacard/framework/Shareable"
_PACKAGE_VISIBLE: Final = 0x80

# What an entry of the constant pool is, resolved.
PoolItem = ClassNode | Field | Method


@dataclass(frozen=True, slots=True)
class Declared:
    """A class with what the two components say of it."""

    node: ClassNode
    info: ClassInfo | InterfaceInfo
    descriptor: ClassDescriptorInfo
    methods: tuple[Method, ...]
    fields: tuple[Field, ...]


class World:
    """The resolved package.

    Args:
        cap: a CAP file with a Descriptor component.
        descriptor: that component.
        given: packages from export files.

    Raises:
        CapError: a reference leads nowhere or to the wrong kind of thing.
    """

    def __init__(self, cap: CapFile, descriptor: DescriptorComponent, given: Iterable[ApiPackage]) -> None:
        self.cap = cap
        self.imported = ImportedClasses(cap.imports, given)
        self.types = descriptor.types.by_offset()
        self.pool_types = descriptor.types.constant_pool_types
        self.names = Names(cap)
        self._signatures: dict[int, Signature] = {}
        self.nodes: dict[int, ClassNode] = {}
        self.infos: dict[int, ClassInfo | InterfaceInfo] = {}
        self._make_nodes(descriptor)
        self.classes = tuple(self._declare(each) for each in descriptor.classes)
        self.methods_at = _by_offset(method for each in self.classes for method in each.methods)
        self.static_fields_at = {
            field.offset: field for each in self.classes for field in each.fields if field.offset is not None
        }
        self._pool: dict[int, PoolItem] = {}

    # --- classes ---

    def _make_nodes(self, descriptor: DescriptorComponent) -> None:
        version = self.cap.format_version
        described = {int(each.this_class_ref): each for each in descriptor.classes}
        if len(described) != len(descriptor.classes):
            raise CapError("two classes have one class_ref", component="Descriptor")
        component = self.cap.classes
        for offset, info in zip(component.offsets(version), component.entries, strict=True):
            described_here = described.pop(offset, None)
            if described_here is None:
                raise CapError(
                    "the Descriptor component does not describe this class", component="Class", offset_bytes=offset
                )
            self.nodes[offset] = self._make_node(offset, info, described_here)
            self.infos[offset] = info
        if described:
            raise CapError(f"no class is at {min(described):#06x}", component="Descriptor")

    def _make_node(self, offset: int, info: ClassInfo | InterfaceInfo, described: ClassDescriptorInfo) -> ClassNode:
        access = AccessFlag(described.access_flags)
        kind = "interface" if isinstance(info, InterfaceInfo) else "class"
        name = self.names.classes.get(offset, f"{kind} {offset:#06x}")
        if isinstance(info, InterfaceInfo) != described.is_interface:
            raise CapError(
                "class and interface differ from the Descriptor component", component="Class", offset_bytes=offset
            )
        if isinstance(info, InterfaceInfo):
            supers = frozenset(self._supertype(ref, offset, interface=True) for ref in info.superinterfaces)
            return ClassNode(name, access, None, supers, offset, _is_shareable(info))
        superclass = self._supertype(info.super_class_ref, offset, interface=False) if info.has_superclass else None
        interfaces = frozenset(self._supertype(each.interface, offset, interface=True) for each in info.interfaces)
        inherited = superclass.interfaces if superclass is not None else frozenset()
        return ClassNode(name, access, superclass, interfaces | inherited, offset, _is_shareable(info))

    def _supertype(self, ref: ClassRef, below: int, *, interface: bool) -> ClassNode:
        if not ref.is_external and ref >= below:
            raise CapError(f"supertype {ref!r} does not come before it", component="Class", offset_bytes=below)
        node = self.node(ref, "Class", below)
        if node.is_interface != interface:
            raise CapError(
                f"{node.name} is no {'interface' if interface else 'class'}", component="Class", offset_bytes=below
            )
        return node

    def node(self, ref: ClassRef, component: str, offset: int | None = None) -> ClassNode:
        """Return the class behind a reference.

        Raises:
            CapError: there is none.
        """
        node = self.imported.by_token(ref.package_token, ref.class_token) if ref.is_external else self.nodes.get(ref)
        if node is None or ref == NO_CLASS:
            raise CapError(f"{ref!r} is no class", component=component, offset_bytes=offset)
        return node

    # --- types ---

    def type_of(self, kind: JcType) -> Type:
        """Return a type with its class resolved."""
        if kind.class_ref is None:
            return Type(kind.nibble)
        return Type(kind.nibble, self.node(kind.class_ref, "Descriptor"))

    def signature(self, type_offset: int) -> Signature:
        """Return the signature at an offset of the type table.

        Raises:
            CapError: there is none, or it is no method's.
        """
        found = self._signatures.get(type_offset)
        if found is None:
            descriptor = self.types.get(type_offset)
            if descriptor is None:
                raise CapError(f"no type at offset {type_offset:#06x} of the type table", component="Descriptor")
            types = [self.type_of(each) for each in descriptor.types()]
            if not types or any(each.nibble is TypeNibble.VOID for each in types[:-1]):
                raise CapError(f"the type at offset {type_offset:#06x} is no method's", component="Descriptor")
            found = self._signatures[type_offset] = Signature(tuple(types[:-1]), types[-1])
        return found

    # --- members ---

    def _declare(self, described: ClassDescriptorInfo) -> Declared:
        node = self.nodes[int(described.this_class_ref)]
        info = self.infos[int(described.this_class_ref)]
        fields = tuple(self._field(node, each) for each in described.fields)
        methods = tuple(self._method(node, each) for each in described.methods)
        self._inherit(node, methods)
        for field in fields:
            if field.offset is None:
                if field.token in node.fields:
                    raise CapError(f"two fields of {node.name} have token {field.token}", component="Descriptor")
                node.fields[field.token] = field
        return Declared(node, info, described, methods, fields)

    def _field(self, node: ClassNode, each: FieldDescriptorInfo) -> Field:
        static = each.is_static
        number = each.static_offset if static else each.instance_token
        name = self.names.field(node.offset or 0, number, static=static)
        kind = self.type_of(field_type(each.type, self.types))
        return Field(node, number, AccessFlag(each.access_flags), kind, name, number if static else None)

    def _method(self, node: ClassNode, each: MethodDescriptorInfo) -> Method:
        offset = None if node.is_interface else each.method_offset
        access = AccessFlag(each.access_flags)
        name = self.names.methods.get(each.method_offset, "") if offset is not None else ""
        if not name and offset is not None and not access & (AccessFlag.STATIC | AccessFlag.PRIVATE | AccessFlag.INIT):
            overridden = node.superclass.virtuals.get(each.token) if node.superclass is not None else None
            name = overridden.name if overridden is not None else ""
        return Method(node, each.token, access, self.signature(each.type_offset), name, offset)

    def _inherit(self, node: ClassNode, methods: tuple[Method, ...]) -> None:
        """Collect what an object of the class answers to: what its superclass does, and its own on top."""
        if node.superclass is not None:
            node.virtuals.update(
                (token, method)
                for token, method in node.superclass.virtuals.items()
                if node.superclass.is_internal or not token & _PACKAGE_VISIBLE
            )
        seen = set()
        for method in methods:
            if not method.is_virtual:
                continue
            if method.token in seen or method.token == NO_TOKEN:
                raise CapError(f"{node.name}: token {method.token} twice, or none", component="Descriptor")
            seen.add(method.token)
            node.virtuals[method.token] = method

    # --- the constant pool ---

    def pool(self, index: int) -> PoolItem:
        """Return what an entry of the constant pool refers to.

        Raises:
            CapError: no such entry, or it leads nowhere, or its type is not what the Descriptor component says.
        """
        item = self._pool.get(index)
        if item is None:
            entry = self.cap.constant_pool.entry(index)
            item = self._resolve(index, entry)
            self._check_type(index, item)
            self._pool[index] = item
        return item

    def _resolve(self, index: int, entry: ConstantPoolEntry) -> PoolItem:
        tag = entry.tag
        item: PoolItem | None
        if tag is ConstantPoolTag.CLASSREF:
            return self.node(entry.class_ref, f"ConstantPool entry {index}")
        if tag is ConstantPoolTag.STATIC_FIELDREF and not entry.is_external:
            item = self.static_fields_at.get(entry.offset)
        elif tag is ConstantPoolTag.STATIC_METHODREF and not entry.is_external:
            item = self.methods_at.get(entry.offset)
            if item is not None and item.is_virtual:
                item = None
        else:
            node = self.node(entry.class_ref, f"ConstantPool entry {index}")
            item = self._member(node, entry)
        if item is None:
            raise CapError(f"{tag.title} leads nowhere ({entry.info.hex()})", component=f"ConstantPool entry {index}")
        return item

    def _member(self, node: ClassNode, entry: ConstantPoolEntry) -> PoolItem | None:
        match entry.tag:
            case ConstantPoolTag.INSTANCE_FIELDREF:
                return node.fields.get(entry.token)
            case ConstantPoolTag.VIRTUAL_METHODREF:
                return None if node.is_interface else node.virtuals.get(entry.token)
            case ConstantPoolTag.SUPER_METHODREF:
                # The class is the caller's own, the method that of its superclass.
                above = node.superclass if node.is_internal and not node.is_interface else None
                return None if above is None else above.virtuals.get(entry.token)
            case ConstantPoolTag.STATIC_FIELDREF:
                return node.static_fields.get(entry.token)
        return node.statics.get(entry.token)

    def _check_type(self, index: int, item: PoolItem) -> None:
        place = f"ConstantPool entry {index}"
        offset = self.pool_types[index] if index < len(self.pool_types) else None
        if isinstance(item, ClassNode):
            if offset != NO_TYPE:
                raise CapError("a class with a type in the Descriptor component", component=place)
            return
        if offset is None or offset == NO_TYPE:
            raise CapError("the Descriptor component has no type of it", component=place)
        told = self.signature(offset)
        if isinstance(item, Field):
            if told.parameters or told.result != item.type:
                raise CapError(f"{item} is of type {item.type}, the Descriptor component says {told}", component=place)
        elif told != item.signature:
            raise CapError(f"{item} is described as {told}", component=place)


def _is_shareable(info: ClassInfo | InterfaceInfo) -> bool:
    return ClassFlag.SHAREABLE in info.flags


def _by_offset(methods: Iterable[Method]) -> dict[int, Method]:
    found: dict[int, Method] = {}
    for method in methods:
        if method.offset is None:
            continue
        if method.offset in found:
            raise CapError("two methods are here", component="Method", offset_bytes=method.offset)
        found[method.offset] = method
    return found
