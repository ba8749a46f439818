"""What the instructions of a package refer to, resolved from its constant pool.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.8 (ConstantPool component).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentsm_build.cap.constant_pool import ConstantPoolTag
from opentsm_card.errors import CapError
from opentsm_simulator.translate.classes import OwnClass, OwnInterface, Slot
from opentsm_simulator.translate.linkage import KnownClass

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile
    from opentsm_build.cap.constant_pool import ConstantPoolEntry
    from opentsm_simulator.translate.classes import OwnClasses
    from opentsm_simulator.translate.signature import Member

__all__ = [
    "FieldTarget",
    "KnownTarget",
    "OwnTarget",
    "StaticFieldTarget",
    "SuperTarget",
    "Target",
    "Targets",
    "VirtualTarget",
]


@dataclass(frozen=True, slots=True)
class OwnTarget:
    """A static method, constructor or private method of the package, by its offset in the Method component."""

    offset: int


@dataclass(frozen=True, slots=True)
class KnownTarget:
    """A method that exists outside of the package: static, a constructor, virtual, or an interface's.

    Args:
        member: the method.
        owner: the class or interface that the reference names.
        how: the JVM instruction that calls it.
    """

    member: Member
    owner: KnownClass
    how: str


@dataclass(frozen=True, slots=True)
class VirtualTarget:
    """A virtual method, or an interface's, of the package."""

    slot: Slot
    owner: OwnClass | OwnInterface


@dataclass(frozen=True, slots=True)
class SuperTarget:
    """A method of a known superclass, called by `super`.

    Args:
        member: the method.
        caller: the class whose code calls it.
        token: the method's token.
    """

    member: Member
    caller: OwnClass
    token: int


Target = OwnTarget | KnownTarget | VirtualTarget | SuperTarget


@dataclass(frozen=True, slots=True)
class FieldTarget:
    """An instance field: of a class of the package, or a member that exists."""

    owner: str
    token: int
    member: Member | None = None


@dataclass(frozen=True, slots=True)
class StaticFieldTarget:
    """A static field: of the package by its offset in the image, or a member that exists."""

    offset: int
    member: Member | None = None


class Targets:
    """Resolves a package's constant pool.

    Args:
        cap: the package.
        classes: its classes.
    """

    def __init__(self, cap: CapFile, classes: OwnClasses) -> None:
        self._pool = cap.constant_pool
        self._classes = classes
        self._methods: dict[int, Target] = {}
        self._fields: dict[int, FieldTarget] = {}

    def _entry(self, index: int, *tags: ConstantPoolTag) -> ConstantPoolEntry:
        entry = self._pool.entry(index)
        if entry.tag not in tags:
            wanted = " or ".join(tag.title for tag in tags)
            raise CapError(f"entry {index} is {entry.tag.title}, {wanted} wanted", component="ConstantPool")
        return entry

    def class_(self, index: int) -> OwnClass | OwnInterface | KnownClass:
        """Return the class of a CONSTANT_Classref."""
        return self._classes.find(self._entry(index, ConstantPoolTag.CLASSREF).class_ref)

    def field(self, index: int) -> FieldTarget:
        """Return an instance field."""
        if index not in self._fields:
            self._fields[index] = self._field(index)
        return self._fields[index]

    def _field(self, index: int) -> FieldTarget:
        entry = self._entry(index, ConstantPoolTag.INSTANCE_FIELDREF)
        owner = self._classes.find(entry.class_ref)
        if isinstance(owner, OwnClass):
            return FieldTarget(owner.name, entry.token)
        member = owner.fields.get(entry.token) if isinstance(owner, KnownClass) else None
        if member is None:
            raise CapError(f"entry {index}: {owner.name} has no field {entry.token}", component="ConstantPool")
        return FieldTarget(member.owner, entry.token, member)

    def static_field(self, index: int) -> StaticFieldTarget:
        """Return a static field."""
        entry = self._entry(index, ConstantPoolTag.STATIC_FIELDREF)
        if not entry.is_external:
            return StaticFieldTarget(entry.offset)
        owner = self._classes.find(entry.class_ref)
        member = owner.static_fields.get(entry.token) if isinstance(owner, KnownClass) else None
        if member is None:
            raise CapError(f"entry {index}: {owner.name} has no static field {entry.token}", component="ConstantPool")
        return StaticFieldTarget(-1, member)

    def method(self, index: int) -> Target:
        """Return what invokevirtual, invokespecial or invokestatic calls."""
        if index not in self._methods:
            self._methods[index] = self._method(index)
        return self._methods[index]

    def _method(self, index: int) -> Target:
        entry = self._entry(
            index, ConstantPoolTag.STATIC_METHODREF, ConstantPoolTag.VIRTUAL_METHODREF, ConstantPoolTag.SUPER_METHODREF
        )
        if entry.tag is ConstantPoolTag.STATIC_METHODREF:
            return self._static(index, entry)
        owner = self._classes.find(entry.class_ref)
        if isinstance(owner, KnownClass):
            return KnownTarget(self._known(index, owner, entry.token), owner, "invokevirtual")
        if isinstance(owner, OwnInterface):
            raise CapError(f"entry {index} names a method of an interface", component="ConstantPool")
        if entry.tag is ConstantPoolTag.SUPER_METHODREF:
            return self._super(index, owner, entry.token)
        member = owner.member(entry.token)
        if member is not None and not owner.has(entry.token):
            return KnownTarget(member, owner.known_superclass, "invokevirtual")
        return VirtualTarget(owner.slot(entry.token), owner)

    def _static(self, index: int, entry: ConstantPoolEntry) -> Target:
        if not entry.is_external:
            return OwnTarget(entry.offset)
        owner = self._classes.find(entry.class_ref)
        member = owner.static.get(entry.token) if isinstance(owner, KnownClass) else None
        if member is None or not isinstance(owner, KnownClass):
            raise CapError(f"entry {index}: {owner.name} has no static method {entry.token}", component="ConstantPool")
        return KnownTarget(member, owner, "invokespecial" if member.name == "<init>" else "invokestatic")

    def _super(self, index: int, caller: OwnClass, token: int) -> Target:
        above = caller.superclass
        if isinstance(above, OwnClass):
            offset = above.implementation(token)
            if offset is not None:
                return OwnTarget(offset)
        return SuperTarget(self._known(index, caller.known_superclass, token), caller, token)

    def _known(self, index: int, owner: KnownClass, token: int) -> Member:
        member = owner.virtual.get(token)
        if member is None:
            why = (
                "" if owner.is_api else ", or nothing in its package tells what that takes: load it with its Descriptor"
            )
            raise CapError(f"entry {index}: {owner.name} has no method {token}{why}", component="ConstantPool")
        return member

    def interface_method(self, index: int, token: int) -> Target:
        """Return what invokeinterface calls."""
        owner = self.class_(index)
        if isinstance(owner, OwnInterface):
            return VirtualTarget(Slot(owner.offset, token, interface=True), owner)
        if not isinstance(owner, KnownClass) or not owner.is_interface:
            raise CapError(f"entry {index}: {owner.name} is no interface", component="ConstantPool")
        return KnownTarget(self._known(index, owner, token), owner, "invokeinterface")
