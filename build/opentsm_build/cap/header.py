"""The components that say what a CAP file is: Header, Directory, Applet, Import.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.4 to 6.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Self

from opentsm_build.cap.codec import CapReader, FormatVersion, encode_component, u1, u2, u4
from opentsm_build.cap.tags_tables import FIRST_CUSTOM_TAG, ComponentTag, HeaderFlag

if TYPE_CHECKING:
    from opentsm_card.aid import Aid

__all__ = [
    "AppletComponent",
    "AppletInfo",
    "CustomComponentInfo",
    "DirectoryComponent",
    "HeaderComponent",
    "ImportComponent",
    "PackageInfo",
    "StaticFieldSizeInfo",
]

MAGIC: Final = 0xDECAFFED
SUPPORTED_FORMATS: Final = ((2, 1), (2, 2), (2, 3))
_WITH_NAMES: Final = (2, 2)
_WITH_RESOURCES: Final = (2, 3)
_MAX_PACKAGES: Final = 128


@dataclass(frozen=True, slots=True)
class PackageInfo:
    """A package: its AID and its version.

    Args:
        aid: the package's AID.
        version: (major, minor).
    """

    aid: Aid
    version: tuple[int, int]

    @classmethod
    def read(cls, reader: CapReader) -> Self:
        """Read a package_info structure."""
        minor, major = reader.u1(), reader.u1()
        return cls(reader.aid(), (major, minor))

    def encode(self) -> bytes:
        """Return the package_info structure."""
        major, minor = self.version
        return u1(minor) + u1(major) + u1(len(self.aid)) + self.aid


@dataclass(frozen=True, slots=True)
class HeaderComponent:
    """What the file is. Spec: JCVM 3.1, 6.4.

    Args:
        format_version: (major, minor) of the CAP format.
        flags: int support, presence of Export and Applet.
        package: the package it defines.
        package_name: its name in internal form (`com/example`), from format 2.2 on; empty where not told.
    """

    TAG: ClassVar = ComponentTag.HEADER

    format_version: FormatVersion
    flags: HeaderFlag
    package: PackageInfo
    package_name: bytes | None = None

    @classmethod
    def parse(cls, component: bytes) -> Self:
        """Parse the whole component.

        Raises:
            CapError: malformed, or of a format that is not 2.1, 2.2 or 2.3 (compact).
        """
        reader = CapReader.of_component(component, cls.TAG)
        if (magic := reader.u4()) != MAGIC:
            raise reader.fail(f"magic {magic:08X}, not {MAGIC:08X}: no CAP file", 0)
        minor, major = reader.u1(), reader.u1()
        if (major, minor) not in SUPPORTED_FORMATS:
            raise reader.fail(f"CAP format {major}.{minor}; 2.1, 2.2 and 2.3 are known", 4)
        flags = reader.u1()
        if flags & ~0x0F or (flags & HeaderFlag.EXTENDED and (major, minor) < _WITH_RESOURCES):
            raise reader.fail(f"reserved flags are set: {flags:02X}", 6)
        if flags & HeaderFlag.EXTENDED:
            raise reader.fail("the extended CAP format is not supported; convert to the compact format", 6)
        package = PackageInfo.read(reader)
        name = reader.take(reader.u1()) if (major, minor) >= _WITH_NAMES else None
        reader.end()
        return cls((major, minor), HeaderFlag(flags), package, name)

    def encode(self) -> bytes:
        """Return the whole component."""
        major, minor = self.format_version
        parts = [u4(MAGIC), u1(minor), u1(major), u1(self.flags), self.package.encode()]
        if self.format_version >= _WITH_NAMES:
            name = self.package_name or b""
            parts += [u1(len(name)), name]
        return encode_component(self.TAG, parts)


@dataclass(frozen=True, slots=True)
class StaticFieldSizeInfo:
    """Sizes of the static field image and of the arrays initialized in it, in bytes and numbers."""

    image_size: int
    array_init_count: int
    array_init_size: int


@dataclass(frozen=True, slots=True)
class CustomComponentInfo:
    """A component of a tag from 128 on."""

    component_tag: int
    size: int
    aid: Aid


@dataclass(frozen=True, slots=True)
class DirectoryComponent:
    """Sizes of the other components' info items. Spec: JCVM 3.1, 6.5.

    Args:
        component_sizes: by tag; 0 for a component that is not there.
        static_field_size: see `StaticFieldSizeInfo`.
        import_count: imported packages.
        applet_count: applets.
        custom_components: others.
    """

    TAG: ClassVar = ComponentTag.DIRECTORY

    component_sizes: dict[ComponentTag, int]
    static_field_size: StaticFieldSizeInfo
    import_count: int
    applet_count: int
    custom_components: tuple[CustomComponentInfo, ...] = ()

    @classmethod
    def parse(cls, component: bytes, format_version: FormatVersion) -> Self:
        """Parse the whole component.

        Raises:
            CapError: malformed.
        """
        reader = CapReader.of_component(component, cls.TAG)
        sizes = {tag: reader.u2() for tag in _listed(format_version)}
        if format_version >= _WITH_RESOURCES:
            sizes[ComponentTag.STATIC_RESOURCES] = reader.u4()
        static = StaticFieldSizeInfo(reader.u2(), reader.u2(), reader.u2())
        imports, applets, count = reader.u1(), reader.u1(), reader.u1()
        custom = []
        for _ in range(count):
            tag = reader.u1()
            if tag < FIRST_CUSTOM_TAG:
                raise reader.fail(f"custom component with tag {tag}, below {FIRST_CUSTOM_TAG}", reader.offset - 1)
            custom.append(CustomComponentInfo(tag, reader.u2(), reader.aid()))
        reader.end()
        return cls(sizes, static, imports, applets, tuple(custom))

    def encode(self, format_version: FormatVersion) -> bytes:
        """Return the whole component."""
        static = self.static_field_size
        parts = [u2(self.component_sizes.get(tag, 0)) for tag in _listed(format_version)]
        if format_version >= _WITH_RESOURCES:
            parts.append(u4(self.component_sizes.get(ComponentTag.STATIC_RESOURCES, 0)))
        parts += [u2(static.image_size, static.array_init_count, static.array_init_size)]
        parts += [u1(self.import_count), u1(self.applet_count), u1(len(self.custom_components))]
        for custom in self.custom_components:
            parts += [u1(custom.component_tag), u2(custom.size), u1(len(custom.aid)), custom.aid]
        return encode_component(self.TAG, parts)


def _listed(format_version: FormatVersion) -> tuple[ComponentTag, ...]:
    """Return the components whose sizes a Directory of this format lists; Debug came with format 2.2."""
    last = ComponentTag.DEBUG if format_version >= _WITH_NAMES else ComponentTag.DESCRIPTOR
    return tuple(tag for tag in ComponentTag if tag <= last)


@dataclass(frozen=True, slots=True)
class AppletInfo:
    """An applet that can be instantiated.

    Args:
        aid: of the module.
        install_method_offset: of its `install` method, into the Method component's info item.
    """

    aid: Aid
    install_method_offset: int


@dataclass(frozen=True, slots=True)
class AppletComponent:
    """The package's applets. Spec: JCVM 3.1, 6.6."""

    TAG: ClassVar = ComponentTag.APPLET

    applets: tuple[AppletInfo, ...]

    @classmethod
    def parse(cls, component: bytes) -> Self:
        """Parse the whole component.

        Raises:
            CapError: malformed, or without an applet.
        """
        reader = CapReader.of_component(component, cls.TAG)
        count = reader.u1()
        if count == 0:
            raise reader.fail("an Applet component without applets", 0)
        applets = tuple(AppletInfo(reader.aid(), reader.u2()) for _ in range(count))
        reader.end()
        return cls(applets)

    def encode(self) -> bytes:
        """Return the whole component."""
        parts = [u1(len(self.applets))]
        for applet in self.applets:
            parts += [u1(len(applet.aid)), applet.aid, u2(applet.install_method_offset)]
        return encode_component(self.TAG, parts)


@dataclass(frozen=True, slots=True)
class ImportComponent:
    """The packages this one needs; an index into them is a package token. Spec: JCVM 3.1, 6.7."""

    TAG: ClassVar = ComponentTag.IMPORT

    packages: tuple[PackageInfo, ...]

    @classmethod
    def parse(cls, component: bytes) -> Self:
        """Parse the whole component.

        Raises:
            CapError: malformed.
        """
        reader = CapReader.of_component(component, cls.TAG)
        count = reader.u1()
        if count > _MAX_PACKAGES:
            raise reader.fail(f"{count} imported packages, {_MAX_PACKAGES} at most", 0)
        packages = tuple(PackageInfo.read(reader) for _ in range(count))
        reader.end()
        return cls(packages)

    def encode(self) -> bytes:
        """Return the whole component."""
        return encode_component(self.TAG, [u1(len(self.packages)), *(package.encode() for package in self.packages)])
