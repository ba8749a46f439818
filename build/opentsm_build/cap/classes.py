"""The Class component: what running the package's classes and interfaces takes.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, ClassVar, Final, Self

from opentsm_build.cap.codec import CapReader, FormatVersion, encode_component, u1, u2
from opentsm_build.cap.tags_tables import ComponentTag
from opentsm_build.cap.types import NO_CLASS, ClassRef, TypeDescriptor

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ClassComponent",
    "ClassFlag",
    "ClassInfo",
    "ImplementedInterfaceInfo",
    "InterfaceInfo",
    "RemoteInterfaceInfo",
    "RemoteMethodInfo",
]

_WITH_POOL: Final = (2, 2)
_WITH_MAPPING: Final = (2, 3)


class ClassFlag(IntFlag):
    """Flags of class_info and interface_info. Spec: JCVM 3.1, table 6-16."""

    INTERFACE = 0x8
    SHAREABLE = 0x4
    REMOTE = 0x2


def _refs(refs: Iterable[ClassRef]) -> bytes:
    return b"".join(u2(ref) for ref in refs)


def _read_refs(reader: CapReader, count: int) -> tuple[ClassRef, ...]:
    return tuple(ClassRef(value) for value in reader.u2s(count))


def _string(value: bytes) -> bytes:
    return u1(len(value)) + value


@dataclass(frozen=True, slots=True)
class InterfaceInfo:
    """An interface. Spec: JCVM 3.1, 6.9.2.2.

    Args:
        flags: INTERFACE, and what else it is.
        superinterfaces: all of them, direct and indirect; 14 at most.
        interface_name: of a remote interface.
    """

    flags: ClassFlag
    superinterfaces: tuple[ClassRef, ...] = ()
    interface_name: bytes | None = None

    @classmethod
    def read(cls, reader: CapReader) -> Self:
        """Read an interface_info."""
        bits = reader.u1()
        flags = ClassFlag(bits >> 4)
        supers = _read_refs(reader, bits & 0xF)
        return cls(flags, supers, reader.take(reader.u1()) if ClassFlag.REMOTE in flags else None)

    def encode(self, format_version: FormatVersion) -> bytes:
        """Return the interface_info."""
        del format_version
        name = b"" if self.interface_name is None else _string(self.interface_name)
        return u1(self.flags << 4 | len(self.superinterfaces)) + _refs(self.superinterfaces) + name


@dataclass(frozen=True, slots=True)
class ImplementedInterfaceInfo:
    """How a class implements an interface.

    Args:
        interface: which.
        index: for each method of the interface, by its token there, the token of the virtual method that implements it.
    """

    interface: ClassRef
    index: tuple[int, ...]

    @classmethod
    def read(cls, reader: CapReader) -> Self:
        """Read an implemented_interface_info."""
        return cls(ClassRef(reader.u2()), tuple(reader.take(reader.u1())))

    def encode(self) -> bytes:
        """Return the implemented_interface_info."""
        return u2(self.interface) + u1(len(self.index)) + b"".join(map(u1, self.index))


@dataclass(frozen=True, slots=True)
class RemoteMethodInfo:
    """A method of a remote class: hash of its signature, where that is in the signature pool, and its token."""

    remote_method_hash: int
    signature_offset: int
    virtual_method_token: int


@dataclass(frozen=True, slots=True)
class RemoteInterfaceInfo:
    """What a remote class says of itself. Spec: JCVM 2.2.2, 6.8.2.4."""

    remote_methods: tuple[RemoteMethodInfo, ...]
    hash_modifier: bytes
    class_name: bytes
    remote_interfaces: tuple[ClassRef, ...]

    @classmethod
    def read(cls, reader: CapReader) -> Self:
        """Read a remote_interface_info."""
        methods = tuple(RemoteMethodInfo(reader.u2(), reader.u2(), reader.u1()) for _ in range(reader.u1()))
        modifier, name = reader.take(reader.u1()), reader.take(reader.u1())
        return cls(methods, modifier, name, _read_refs(reader, reader.u1()))

    def encode(self) -> bytes:
        """Return the remote_interface_info."""
        parts = [u1(len(self.remote_methods))]
        for method in self.remote_methods:
            parts += [u2(method.remote_method_hash, method.signature_offset), u1(method.virtual_method_token)]
        parts += [_string(self.hash_modifier), _string(self.class_name)]
        return b"".join([*parts, u1(len(self.remote_interfaces)), _refs(self.remote_interfaces)])


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """A class. Spec: JCVM 3.1, 6.9.2.3.

    Args:
        flags: what it is.
        super_class_ref: its superclass; `NO_CLASS` for java.lang.Object.
        declared_instance_size: 16-bit cells of the instance fields it declares.
        first_reference_token: token of its first field of a reference type; 0xFF without any.
        reference_count: fields of a reference type.
        public_method_table_base: token of the first entry of the public table.
        public_virtual_method_table: offsets into the Method component's info item, by token; 0xFFFF for a method that
            an imported superclass implements.
        package_method_table_base: token (without bit 0x80) of the first entry of the package table.
        package_virtual_method_table: the same for package-visible methods.
        interfaces: the interfaces it implements, those of its superclasses too.
        remote_interfaces: of a remote class, from format 2.2 on.
        public_virtual_method_token_mapping: from format 2.3 on: tokens under format 2.2, by token.
        cap22_inheritable_public_method_token_count: from format 2.3 on.
    """

    flags: ClassFlag
    super_class_ref: ClassRef
    declared_instance_size: int = 0
    first_reference_token: int = 0xFF
    reference_count: int = 0
    public_method_table_base: int = 0
    public_virtual_method_table: tuple[int, ...] = ()
    package_method_table_base: int = 0
    package_virtual_method_table: tuple[int, ...] = ()
    interfaces: tuple[ImplementedInterfaceInfo, ...] = ()
    remote_interfaces: RemoteInterfaceInfo | None = None
    public_virtual_method_token_mapping: tuple[int, ...] = ()
    cap22_inheritable_public_method_token_count: int = 0

    @property
    def has_superclass(self) -> bool:
        """False for java.lang.Object only."""
        return self.super_class_ref != NO_CLASS

    @classmethod
    def read(cls, reader: CapReader, format_version: FormatVersion) -> Self:
        """Read a class_info."""
        bits = reader.u1()
        flags = ClassFlag(bits >> 4)
        superclass = ClassRef(reader.u2())
        size, first, references = reader.u1(), reader.u1(), reader.u1()
        public_base, public_count, package_base, package_count = reader.take(4)
        public, package = reader.u2s(public_count), reader.u2s(package_count)
        interfaces = tuple(ImplementedInterfaceInfo.read(reader) for _ in range(bits & 0xF))
        remote = None
        if ClassFlag.REMOTE in flags and format_version >= _WITH_POOL:
            remote = RemoteInterfaceInfo.read(reader)
        mapping: tuple[int, ...] = ()
        inheritable = 0
        if format_version >= _WITH_MAPPING:
            mapping, inheritable = tuple(reader.take(public_base + public_count)), reader.u1()
        return cls(
            flags, superclass, size, first, references, public_base, public, package_base, package, interfaces, remote,
            mapping, inheritable,
        )  # fmt: skip

    def encode(self, format_version: FormatVersion) -> bytes:
        """Return the class_info."""
        parts = [
            u1(self.flags << 4 | len(self.interfaces)),
            u2(self.super_class_ref),
            u1(self.declared_instance_size),
            u1(self.first_reference_token),
            u1(self.reference_count),
            u1(self.public_method_table_base),
            u1(len(self.public_virtual_method_table)),
            u1(self.package_method_table_base),
            u1(len(self.package_virtual_method_table)),
            u2(*self.public_virtual_method_table),
            u2(*self.package_virtual_method_table),
            *(interface.encode() for interface in self.interfaces),
        ]
        if self.remote_interfaces is not None:
            parts.append(self.remote_interfaces.encode())
        if format_version >= _WITH_MAPPING:
            parts += map(u1, self.public_virtual_method_token_mapping)
            parts.append(u1(self.cap22_inheritable_public_method_token_count))
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class ClassComponent:
    """The package's interfaces, then its classes, supertypes first.

    Args:
        entries: interfaces and classes, in the component's order.
        signature_pool: of remote methods, from format 2.2 on.
    """

    TAG: ClassVar = ComponentTag.CLASS

    entries: tuple[InterfaceInfo | ClassInfo, ...]
    signature_pool: tuple[TypeDescriptor, ...] = ()

    @classmethod
    def parse(cls, component: bytes, format_version: FormatVersion) -> Self:
        """Parse the whole component.

        Raises:
            CapError: malformed.
        """
        reader = CapReader.of_component(component, cls.TAG)
        pool = _read_pool(reader) if format_version >= _WITH_POOL else ()
        entries: list[InterfaceInfo | ClassInfo] = []
        while reader.remaining:
            is_interface = component[reader.offset + 3] & ClassFlag.INTERFACE << 4
            entries.append(InterfaceInfo.read(reader) if is_interface else ClassInfo.read(reader, format_version))
        return cls(tuple(entries), pool)

    def offsets(self, format_version: FormatVersion) -> tuple[int, ...]:
        """Return where each entry begins in the info item: what an internal `ClassRef` holds."""
        at = len(self._pool(format_version))
        offsets = []
        for entry in self.entries:
            offsets.append(at)
            at += len(entry.encode(format_version))
        return tuple(offsets)

    def encode(self, format_version: FormatVersion) -> bytes:
        """Return the whole component."""
        entries = (entry.encode(format_version) for entry in self.entries)
        return encode_component(self.TAG, [self._pool(format_version), *entries])

    def _pool(self, format_version: FormatVersion) -> bytes:
        if format_version < _WITH_POOL:
            return b""
        pool = b"".join(descriptor.encode() for descriptor in self.signature_pool)
        return u2(len(pool)) + pool


def _read_pool(reader: CapReader) -> tuple[TypeDescriptor, ...]:
    end = reader.u2() + reader.offset
    pool = []
    while reader.offset < end:
        pool.append(TypeDescriptor.read(reader))
    if reader.offset != end:
        raise reader.fail("the signature pool ends inside a descriptor")
    return tuple(pool)
