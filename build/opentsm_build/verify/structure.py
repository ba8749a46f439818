"""Checks of the components against each other, as far as they need no Descriptor component.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.3 to 6.13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.cap.classes import ClassFlag, ClassInfo
from opentsm_build.cap.constant_pool import ConstantPoolTag
from opentsm_build.cap.tags_tables import ComponentTag, HeaderFlag
from opentsm_build.cap.types import TypeNibble
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from opentsm_build.cap.constant_pool import ConstantPoolEntry
    from opentsm_build.cap.file import CapFile

__all__ = ["check_structure"]

_HEAD_BYTES: Final = 3
_ELEMENT_BYTES: Final = {TypeNibble.BOOLEAN: 1, TypeNibble.BYTE: 1, TypeNibble.SHORT: 2, TypeNibble.INT: 4}
_MAX_CLASSES: Final = 255
# A card's own packages are never in a CAP file; a reference's package token is below the number of imports.
_REFERENCE_BYTES: Final = 2
_RID_BYTES: Final = 5


def check_structure(cap: CapFile) -> None:
    """Check all components but Descriptor and Debug.

    Raises:
        CapError: the first rule that is broken.
    """
    _check_header(cap)
    _check_directory(cap)
    _check_imports(cap)
    _check_applets(cap)
    _check_static_fields(cap)
    _check_classes(cap)
    _check_constant_pool(cap)
    _check_exports(cap)
    _check_reference_locations(cap)


def _check_header(cap: CapFile) -> None:
    flags = cap.header.flags
    for flag, tag in ((HeaderFlag.APPLET, ComponentTag.APPLET), (HeaderFlag.EXPORT, ComponentTag.EXPORT)):
        if (flag in flags) != (tag in cap.components):
            said = "set, but there is no such component" if flag in flags else "not set, but there is the component"
            raise CapError(f"flag ACC_{flag.name} is {said}", component="Header", offset_bytes=6)


def _check_directory(cap: CapFile) -> None:
    directory = cap.directory
    for tag, size in directory.component_sizes.items():
        component = cap.components.get(tag)
        # LOAD leaves Descriptor and Debug out; what is there has the size that was announced.
        if component is None and tag in {ComponentTag.DESCRIPTOR, ComponentTag.DEBUG}:
            continue
        actual = 0 if component is None else len(component) - _HEAD_BYTES
        if actual != size:
            raise CapError(f"{tag.title} has {actual} bytes, {size} are announced", component="Directory")
    if ComponentTag.DEBUG in cap.components and ComponentTag.DEBUG not in directory.component_sizes:
        raise CapError("a Debug component needs CAP format 2.2", component="Directory")
    static = cap.static_fields
    told = directory.static_field_size
    array_bytes = sum(len(array.values) for array in static.array_init)
    if (told.image_size, told.array_init_count, told.array_init_size) != (
        static.image_size,
        len(static.array_init),
        array_bytes,
    ):
        raise CapError("static_field_size differs from the StaticField component", component="Directory")
    if directory.import_count != len(cap.imports) or directory.applet_count != len(cap.applets):
        raise CapError(
            f"{directory.import_count} imports and {directory.applet_count} applets are announced, "
            f"there are {len(cap.imports)} and {len(cap.applets)}",
            component="Directory",
        )
    announced = {custom.component_tag: custom.size for custom in directory.custom_components}
    present = {tag: len(component) - _HEAD_BYTES for tag, component in cap.custom_components.items()}
    if announced != present:
        raise CapError("custom components differ from those announced", component="Directory")


def _check_imports(cap: CapFile) -> None:
    seen = {bytes(cap.package_aid)}
    for index, package in enumerate(cap.imports):
        if bytes(package.aid) in seen:
            raise CapError(f"package {index} ({package.aid}) is imported twice, or is this one", component="Import")
        seen.add(bytes(package.aid))


def _check_applets(cap: CapFile) -> None:
    seen: set[bytes] = set()
    for applet in cap.applets:
        if bytes(applet.aid) in seen:
            raise CapError(f"applet {applet.aid} is there twice", component="Applet")
        if applet.aid[:_RID_BYTES] != cap.package_aid[:_RID_BYTES]:
            raise CapError(
                f"applet {applet.aid} has another RID than its package {cap.package_aid}", component="Applet"
            )
        seen.add(bytes(applet.aid))
        if not cap.methods.methods_offset <= applet.install_method_offset < cap.methods.info_bytes:
            raise CapError(
                f"install of applet {applet.aid} is outside the Method component ({applet.install_method_offset:#06x})",
                component="Applet",
            )


def _check_static_fields(cap: CapFile) -> None:
    static = cap.static_fields
    size = static.reference_count * _REFERENCE_BYTES + static.default_value_count + len(static.non_default_values)
    if static.image_size != size:
        raise CapError(f"image_size {static.image_size}, its parts have {size} bytes", component="StaticField")
    if len(static.array_init) > static.reference_count:
        raise CapError("more arrays than references", component="StaticField")
    if static.array_init and not cap.applets:
        raise CapError("a library has no initialized arrays", component="StaticField")
    for index, array in enumerate(static.array_init):
        element = _ELEMENT_BYTES.get(array.type)  # type: ignore[call-overload] # a number finds its nibble
        if element is None:
            raise CapError(f"array {index} is of type {array.type}, which is none", component="StaticField")
        if len(array.values) % element:
            raise CapError(f"array {index} has {len(array.values)} bytes, no whole elements", component="StaticField")
        if array.type == TypeNibble.INT and not cap.has_int:
            raise CapError(f"array {index} is of int, but flag ACC_INT is not set", component="StaticField")
        if array.type == TypeNibble.BOOLEAN and max(array.values, default=0) > 1:
            raise CapError(f"array {index} of booleans has a value above 1", component="StaticField")


def _check_classes(cap: CapFile) -> None:
    version = cap.format_version
    known = ClassFlag.INTERFACE | ClassFlag.SHAREABLE | (ClassFlag.REMOTE if version >= (2, 2) else 0)
    if len(cap.classes.entries) > _MAX_CLASSES:
        raise CapError(f"{len(cap.classes.entries)} classes, {_MAX_CLASSES} at most", component="Class")
    classes_began = False
    for offset, entry in zip(cap.classes.offsets(version), cap.classes.entries, strict=True):
        if entry.flags & ~known:
            raise CapError("reserved flags are set", component="Class", offset_bytes=offset)
        if isinstance(entry, ClassInfo):
            classes_began = True
            for method in (*entry.public_virtual_method_table, *entry.package_virtual_method_table):
                if method != 0xFFFF and not cap.methods.methods_offset <= method < cap.methods.info_bytes:
                    raise CapError(
                        f"a method at {method:#06x}, outside the Method component",
                        component="Class",
                        offset_bytes=offset,
                    )
        elif classes_began:
            raise CapError("an interface behind a class", component="Class", offset_bytes=offset)


def _check_constant_pool(cap: CapFile) -> None:
    starts = set(cap.classes.offsets(cap.format_version))
    for index, entry in enumerate(cap.constant_pool.constant_pool):
        if reason := _wrong_entry(cap, entry, starts):
            raise CapError(reason, component=f"ConstantPool entry {index}")


def _wrong_entry(cap: CapFile, entry: ConstantPoolEntry, starts: set[int]) -> str | None:
    """Say what is wrong with an entry of the constant pool, as far as it can be told without types."""
    if entry.tag is ConstantPoolTag.CLASSREF and entry.info[2]:
        return f"the padding of a CONSTANT_Classref is {entry.info[2]:#04x}, not 0"
    if entry.is_external:
        return _wrong_external(cap, entry)
    if not entry.is_static:
        return None if entry.class_ref in starts else f"no class is at {int(entry.class_ref):#06x}"
    if entry.info[0]:
        return f"the first byte of an internal reference is {entry.info[0]:#04x}, not 0"
    if entry.tag is ConstantPoolTag.STATIC_FIELDREF:
        outside = entry.offset >= cap.static_fields.image_size
    else:
        outside = not cap.methods.methods_offset <= entry.offset < cap.methods.info_bytes
    return f"a {entry.tag.title} to {entry.offset:#06x}, outside its component" if outside else None


def _wrong_external(cap: CapFile, entry: ConstantPoolEntry) -> str | None:
    if entry.class_ref.package_token >= len(cap.imports):
        return f"package token {entry.class_ref.package_token}, there are {len(cap.imports)} imports"
    if entry.tag is ConstantPoolTag.SUPER_METHODREF:
        return "the class of a CONSTANT_SuperMethodref is the caller's own, never imported"
    if entry.tag is ConstantPoolTag.VIRTUAL_METHODREF and entry.token & 0x80:
        return f"token {entry.token:#x} of an imported method: package-visible methods are not exported"
    return None


def _check_exports(cap: CapFile) -> None:
    if cap.exports is None:
        return
    entries = dict(zip(cap.classes.offsets(cap.format_version), cap.classes.entries, strict=True))
    seen: set[int] = set()
    for token, export in enumerate(cap.exports.class_exports):
        entry = entries.get(export.class_offset)
        if entry is None or export.class_offset in seen:
            raise CapError(
                f"class {token}: nothing, or no other class, is at {export.class_offset:#06x}", component="Export"
            )
        seen.add(export.class_offset)
        interface = not isinstance(entry, ClassInfo)
        if interface and export.static_method_offsets:
            raise CapError(f"class {token} is an interface with static methods", component="Export")
        if cap.applets and not (interface and ClassFlag.SHAREABLE in entry.flags):
            raise CapError(
                f"class {token}: a package with applets exports shareable interfaces only", component="Export"
            )
        if any(offset >= cap.static_fields.image_size for offset in export.static_field_offsets):
            raise CapError(f"class {token}: a static field outside the image", component="Export")


def _check_reference_locations(cap: CapFile) -> None:
    """Check that what is named as a constant pool index is one; with types or without, a card resolves it."""
    locations = cap.reference_location
    code = cap.components[ComponentTag.METHOD][_HEAD_BYTES:]
    entries = len(cap.constant_pool.constant_pool)
    for offsets, width in ((locations.byte_indices, 1), (locations.byte2_indices, 2)):
        for offset in offsets:
            if offset + width > len(code):
                raise CapError(f"offset {offset:#06x} is outside the Method component", component="ReferenceLocation")
            index = int.from_bytes(code[offset : offset + width], "big")
            if index >= entries:
                place = f"offset {offset:#06x} of the Method component"
                raise CapError(
                    f"{place} has constant pool index {index}, there are {entries} entries",
                    component="ReferenceLocation",
                )
    for index, handler in enumerate(cap.methods.exception_handlers):
        catch = handler.catch_type_index
        if handler.end_offset > len(code) or not cap.methods.methods_offset < handler.handler_offset < len(code):
            raise CapError(f"exception handler {index} is, or guards, what is no code", component="Method")
        if catch and (catch >= entries or cap.constant_pool.entry(catch).tag is not ConstantPoolTag.CLASSREF):
            raise CapError(f"exception handler {index} catches entry {catch}, which is no class", component="Method")
