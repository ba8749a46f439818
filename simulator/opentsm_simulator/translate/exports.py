"""What a translated package offers to others: its exported classes by token.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.13 (Export component).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card.errors import CapError
from opentsm_simulator.translate.classes import OwnClass, OwnInterface
from opentsm_simulator.translate.linkage import KnownClass, KnownPackage
from opentsm_simulator.translate.signature import Member, Signature
from opentsm_simulator.translate.targets import FieldTarget, StaticFieldTarget

if TYPE_CHECKING:
    from opentsm_build.cap.exports import ClassExportInfo
    from opentsm_simulator.translate.package import PackageTranslator

__all__ = ["exported"]

_NO_SIGNATURE: Final = Signature("", "V")
_REFERENCE_BYTES: Final = 2


def exported(package: PackageTranslator) -> KnownPackage:
    """Return what other packages link to.

    Raises:
        CapError: the Export component names what is not there.
    """
    component = package.cap.exports
    found = {}
    for token, info in enumerate(component.class_exports if component is not None else ()):
        entry = package.classes.by_offset.get(info.class_offset)
        if entry is None:
            raise CapError("no class begins here", component="Export", offset_bytes=info.class_offset)
        found[token] = _interface(package, entry) if isinstance(entry, OwnInterface) else _class(package, entry, info)
    return KnownPackage(package.cap.package_aid, package.cap.package_version, found, package.shares_statics)


def _interface(package: PackageTranslator, interface: OwnInterface) -> KnownClass:
    methods = {}
    for slot, variable in package.analysis.slots.items():
        if slot.interface and slot.root == interface.offset and variable.result is not None:
            name, descriptor, signature = package.family(interface, slot)
            methods[slot.token] = Member(interface.name, name, descriptor, signature)
    return KnownClass(
        interface.name,
        None,
        is_interface=True,
        virtual=methods,
        static={},
        is_api=False,
        is_shareable=interface.is_shareable,
    )


def _view(package: PackageTranslator, cls: OwnClass) -> KnownClass:
    """Return a class as its subclasses elsewhere see it, with no static members."""
    superclass = cls.superclass
    above = superclass if isinstance(superclass, KnownClass) else _view(package, superclass)
    virtual = dict(above.virtual)
    for token, _ in cls.declared():
        # What nothing here implements or calls is whatever a subclass elsewhere makes of it.
        known = cls.member(token) is not None or package.analysis.slots[cls.slot(token)].result is not None
        if token < 0x80 and known:
            name, descriptor, signature = package.family(cls, cls.slot(token))
            virtual[token] = Member(cls.name, name, descriptor, signature)
    return KnownClass(
        cls.name, above, is_interface=False, virtual=virtual, static={}, fields=_fields(package, cls), is_api=False
    )


def _fields(package: PackageTranslator, cls: OwnClass) -> dict[int, Member]:
    """Return the fields by token; one that nothing here uses is a reference or a short by its place."""
    info = cls.info
    references = range(info.first_reference_token, info.first_reference_token + info.reference_count)
    fields = {}
    for token in range(info.declared_instance_size):
        kind = package.field_kind(cls.name, token) or ("a" if token in references else "s")
        name, descriptor = package.field(FieldTarget(cls.name, token), kind)
        fields[token] = Member(cls.name, name, descriptor, _NO_SIGNATURE)
    return fields


def _class(package: PackageTranslator, cls: OwnClass, info: ClassExportInfo) -> KnownClass:
    view = _view(package, cls)
    code = package.code_class.name
    static = {}
    for token, offset in enumerate(info.static_method_offsets):
        name, descriptor = package.method(offset)
        static[token] = Member(code, name, descriptor, package.analysis.bodies[offset].signature.settle())
    static_fields = {}
    for token, offset in enumerate(info.static_field_offsets):
        reference = offset < package.cap.static_fields.reference_count * _REFERENCE_BYTES
        kind = package.static_kind(offset) or ("a" if reference else "s")
        owner, name, descriptor = package.static_field(StaticFieldTarget(offset), kind)
        static_fields[token] = Member(owner, name, descriptor, _NO_SIGNATURE)
    return KnownClass(
        view.name,
        view.superclass,
        is_interface=False,
        virtual=view.virtual,
        static=static,
        static_fields=static_fields,
        fields=view.fields,
        is_api=False,
    )
