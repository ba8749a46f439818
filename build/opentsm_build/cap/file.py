"""CAP files: the components of one converted package, from a ZIP or as a load file brings them.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

from opentsm_build.cap.archive import MAX_ARCHIVE_BYTES, read_archive, write_archive
from opentsm_build.cap.classes import ClassComponent
from opentsm_build.cap.codec import HEAD_BYTES
from opentsm_build.cap.constant_pool import ConstantPoolComponent
from opentsm_build.cap.descriptor import DescriptorComponent
from opentsm_build.cap.exports import ExportComponent
from opentsm_build.cap.header import AppletComponent, DirectoryComponent, HeaderComponent, ImportComponent
from opentsm_build.cap.methods import MethodComponent
from opentsm_build.cap.reference_location import ReferenceLocationComponent
from opentsm_build.cap.static_fields import StaticFieldComponent
from opentsm_build.cap.tags_tables import FIRST_CUSTOM_TAG, KNOWN_TAGS, LOAD_ORDER, ComponentTag, HeaderFlag
from opentsm_card.errors import CapError, StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from opentsm_build.cap.codec import FormatVersion
    from opentsm_build.cap.debug import DebugComponent
    from opentsm_build.cap.header import AppletInfo, PackageInfo
    from opentsm_card.aid import Aid

__all__ = ["CapFile"]

_REQUIRED: Final = (
    ComponentTag.HEADER,
    ComponentTag.DIRECTORY,
    ComponentTag.IMPORT,
    ComponentTag.CLASS,
    ComponentTag.METHOD,
    ComponentTag.STATIC_FIELD,
    ComponentTag.CONSTANT_POOL,
    ComponentTag.REFERENCE_LOCATION,
)


@dataclass(frozen=True)
class CapFile:
    """A CAP file.

    Header, Directory, Applet and Import are parsed when it is made, so that what they say is there without an error;
    each other component is parsed when it is asked for.

    Args:
        components: whole components, with tag and size, by tag.
        custom_components: components of tags from 128 on.
        others: entries of the archive that are no components, such as `META-INF/MANIFEST.MF`.
        folder_name: the package's name, dotted, as the archive's folder has it.

    Raises:
        CapError: a component is missing, or one of the four is malformed.
    """

    components: Mapping[ComponentTag, bytes]
    custom_components: Mapping[int, bytes] = field(default_factory=dict)
    others: Mapping[str, bytes] = field(default_factory=dict)
    folder_name: str | None = None

    def __post_init__(self) -> None:
        for tag in _REQUIRED:
            if tag not in self.components:
                raise CapError("missing", component=tag.title)
        _ = self.header, self.directory, self.imports, self.applets

    # --- reading ---

    @classmethod
    def parse(cls, archive: bytes) -> Self:
        """Parse a CAP file as it lies on disk, a ZIP.

        Raises:
            CapError: not a CAP file; the message says what is wrong.
        """
        content = read_archive(archive)
        known = {ComponentTag(tag): data for tag, data in content.components.items() if tag in KNOWN_TAGS}
        custom = {tag: data for tag, data in content.components.items() if tag >= FIRST_CUSTOM_TAG}
        return cls(known, custom, content.others, content.package_name)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a CAP file.

        Raises:
            StorageError: the file can't be read.
            CapError: not a CAP file.
        """
        try:
            with path.open("rb") as file:
                archive = file.read(MAX_ARCHIVE_BYTES + 1)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror or error}") from error
        return cls.parse(archive)

    @classmethod
    def parse_load_file(cls, data: bytes) -> Self:
        """Parse components one behind the other, as LOAD brings them to a card (the value of C4).

        Args:
            data: the load file data block; Descriptor and Debug may be missing.

        Raises:
            CapError: not components of a CAP file.

        Spec: GP Card Specification 2.3.1, 11.6.2.3.
        """
        known: dict[ComponentTag, bytes] = {}
        custom: dict[int, bytes] = {}
        offset = 0
        while offset < len(data):
            end = offset + HEAD_BYTES + int.from_bytes(data[offset + 1 : offset + HEAD_BYTES], "big")
            if offset + HEAD_BYTES > len(data) or end > len(data):
                raise CapError("a component is cut short", component="load file", offset_bytes=offset)
            tag, component = data[offset], data[offset:end]
            if tag in known or tag in custom:
                raise CapError(f"a second component with tag {tag}", component="load file", offset_bytes=offset)
            if tag in KNOWN_TAGS:
                known[ComponentTag(tag)] = component
            elif tag >= FIRST_CUSTOM_TAG:
                custom[tag] = component
            else:
                raise CapError(f"{tag} is no component's tag", component="load file", offset_bytes=offset)
            offset = end
        return cls(known, custom)

    # --- what the first components say ---

    @cached_property
    def header(self) -> HeaderComponent:
        """The Header component."""
        return HeaderComponent.parse(self.components[ComponentTag.HEADER])

    @cached_property
    def directory(self) -> DirectoryComponent:
        """The Directory component."""
        return DirectoryComponent.parse(self.components[ComponentTag.DIRECTORY], self.format_version)

    @cached_property
    def imports(self) -> tuple[PackageInfo, ...]:
        """The imported packages; an index into them is a package token."""
        return ImportComponent.parse(self.components[ComponentTag.IMPORT]).packages

    @cached_property
    def applets(self) -> tuple[AppletInfo, ...]:
        """The applets, none for a library."""
        component = self.components.get(ComponentTag.APPLET)
        return () if component is None else AppletComponent.parse(component).applets

    @property
    def package_aid(self) -> Aid:
        """The package's AID."""
        return self.header.package.aid

    @property
    def package_version(self) -> tuple[int, int]:
        """(major, minor) of the package."""
        return self.header.package.version

    @property
    def package_name(self) -> str | None:
        """The package's dotted name, from the Header (format 2.2 on) or the archive's folder; None when untold."""
        name = self.header.package_name
        return name.decode("utf-8", "replace").replace("/", ".") if name else self.folder_name

    @property
    def format_version(self) -> FormatVersion:
        """(major, minor) of the CAP format."""
        return self.header.format_version

    @property
    def has_int(self) -> bool:
        """True when the package uses the type int."""
        return HeaderFlag.INT in self.header.flags

    # --- the other components ---

    @cached_property
    def constant_pool(self) -> ConstantPoolComponent:
        """The ConstantPool component; raises `CapError` when malformed, as do the next ones."""
        return ConstantPoolComponent.parse(self.components[ComponentTag.CONSTANT_POOL])

    @cached_property
    def classes(self) -> ClassComponent:
        """The Class component."""
        return ClassComponent.parse(self.components[ComponentTag.CLASS], self.format_version)

    @cached_property
    def methods(self) -> MethodComponent:
        """The Method component."""
        return MethodComponent.parse(self.components[ComponentTag.METHOD])

    @cached_property
    def static_fields(self) -> StaticFieldComponent:
        """The StaticField component."""
        return StaticFieldComponent.parse(self.components[ComponentTag.STATIC_FIELD])

    @cached_property
    def reference_location(self) -> ReferenceLocationComponent:
        """The ReferenceLocation component."""
        return ReferenceLocationComponent.parse(self.components[ComponentTag.REFERENCE_LOCATION])

    @cached_property
    def exports(self) -> ExportComponent | None:
        """The Export component; None where nothing is exported."""
        component = self.components.get(ComponentTag.EXPORT)
        return None if component is None else ExportComponent.parse(component)

    @cached_property
    def descriptor(self) -> DescriptorComponent | None:
        """The Descriptor component; None where it was left out, as when loading."""
        component = self.components.get(ComponentTag.DESCRIPTOR)
        return None if component is None else DescriptorComponent.parse(component)

    @cached_property
    def debug(self) -> DebugComponent | None:
        """The Debug component; None where there is none."""
        from opentsm_build.cap.debug import DebugComponent  # noqa: PLC0415 - few files have it, and it takes a while

        component = self.components.get(ComponentTag.DEBUG)
        return None if component is None else DebugComponent.parse(component)

    # --- writing ---

    def load_file_data_block(self, *, descriptor: bool = False, debug: bool = False) -> bytes:
        """Return the components as a card loads them, in load order.

        Args:
            descriptor: include the Descriptor component (few cards want it).
            debug: include the Debug component.

        Spec: JCVM 3.1, 6.3.
        """
        left_out = {
            *([] if descriptor else [ComponentTag.DESCRIPTOR]),
            *([] if debug else [ComponentTag.DEBUG]),
        }
        known = [self.components[tag] for tag in LOAD_ORDER if tag in self.components and tag not in left_out]
        return b"".join([*known, *(self.custom_components[tag] for tag in sorted(self.custom_components))])

    def encode(self) -> bytes:
        """Return the file as it lies on disk: a ZIP, the same for the same components."""
        merged = {int(tag): data for tag, data in self.components.items()}
        return write_archive(merged | dict(self.custom_components), self.package_name, self.others)
