"""The archive a CAP file is kept in: a ZIP whose entries are the components, read without trust and written stably.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.2 (containment in a JAR file).
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

from opentsm_build.cap.tags_tables import COMPONENT_FILES, FIRST_CUSTOM_TAG, KNOWN_TAGS, LOAD_ORDER, ComponentTag
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_ARCHIVE_BYTES", "CapArchive", "read_archive", "write_archive"]

# The largest known CAP files (with all debug information) stay below 1 MiB.
MAX_ARCHIVE_BYTES: Final = 8 << 20
_MAX_ENTRIES: Final = 512
_MAX_COMPONENT_BYTES: Final = 3 + 0xFFFF
_MAX_OTHER_BYTES: Final = 1 << 20
_MAX_TOTAL_BYTES: Final = 4 << 20
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_FOLDER: Final = "javacard"
_MANIFEST: Final = "META-INF/MANIFEST.MF"
_TAGS: Final = {file: tag for tag, file in COMPONENT_FILES.items()}
# What zipfile and zlib raise on archives that are broken or made to break them.
_BROKEN: Final = (
    zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, OverflowError, IndexError,
    struct.error, zlib.error,
)  # fmt: skip


class CapArchive:
    """What an archive holds.

    Args:
        components: whole components by tag (a `ComponentTag`, or a number from 128 on).
        package_name: the package's name in dotted form, from its folder; None at the archive's root.
        others: entries that are no components, by name.
    """

    __slots__ = ("components", "others", "package_name")

    def __init__(self, components: dict[int, bytes], package_name: str | None, others: dict[str, bytes]) -> None:
        self.components = components
        self.package_name = package_name
        self.others = others


def read_archive(data: bytes) -> CapArchive:
    """Read a ZIP of components.

    Raises:
        CapError: no ZIP, too large, encrypted, with two components of one kind, or of more than one package.
    """
    if len(data) > MAX_ARCHIVE_BYTES:
        raise CapError(f"a CAP file of {len(data)} bytes; {MAX_ARCHIVE_BYTES} at most")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read(archive)
    except _BROKEN as error:
        raise CapError(f"not a readable ZIP archive: {error}") from error


def _read(archive: zipfile.ZipFile) -> CapArchive:
    entries = archive.infolist()
    if len(entries) > _MAX_ENTRIES:
        raise CapError(f"{len(entries)} entries in the archive, {_MAX_ENTRIES} at most")
    components: dict[int, bytes] = {}
    others: dict[str, bytes] = {}
    folders: set[str] = set()
    left = _MAX_TOTAL_BYTES
    for entry in entries:
        if entry.is_dir():
            continue
        folder, _, file = entry.filename.rpartition("/")
        is_component = file.lower().endswith((".cap", ".capx"))
        content = _inflate(archive, entry, min(left, _MAX_COMPONENT_BYTES if is_component else _MAX_OTHER_BYTES))
        left -= len(content)
        if not is_component:
            if others.setdefault(entry.filename, content) is not content:
                raise CapError("the archive has this entry twice", component=entry.filename)
            continue
        tag = _tag_of(entry.filename, file, content)
        if tag in components:
            raise CapError("a second component of this kind in the archive", component=entry.filename)
        components[tag] = content
        folders.add(folder)
    if len(folders) > 1:
        raise CapError(f"components of more than one package: {', '.join(sorted(folders)[:4])}")
    return CapArchive(components, _package_of(folders.pop() if folders else ""), others)


def _tag_of(name: str, file: str, content: bytes) -> int:
    """Return a component's tag, from its first byte, which must be what its name says."""
    if not content:
        raise CapError("an empty component", component=name)
    tag = content[0]
    named = _TAGS.get(file)
    if named is None and tag < FIRST_CUSTOM_TAG:
        known = ComponentTag(tag).title if tag in KNOWN_TAGS else "no known component"
        raise CapError(f"tag {tag} ({known}) under a name that is no component's", component=name)
    if named is not None and named != tag:
        raise CapError(f"tag {tag} where {int(named)} belongs", component=name)
    return tag


def _inflate(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit_bytes: int) -> bytes:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 0x01:
        raise CapError("encrypted, or compressed in a way other than deflate", component=entry.filename)
    with archive.open(entry) as stream:
        content = stream.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise CapError(f"unpacks to more than {limit_bytes} bytes", component=entry.filename)
    return content


def _package_of(folder: str) -> str | None:
    parts = folder.split("/")
    if parts[-1] == _FOLDER:
        parts.pop()
    return ".".join(parts) or None


def write_archive(components: Mapping[int, bytes], package_name: str | None, others: Mapping[str, bytes]) -> bytes:
    """Write a ZIP of components: the same input gives the same bytes, on every machine.

    Entries are stored, not deflated: what deflate makes differs from one zlib to another.
    """
    folder = [*package_name.split("."), _FOLDER] if package_name else [_FOLDER]
    names = {tag: COMPONENT_FILES[tag] for tag in LOAD_ORDER}
    order = [*(tag for tag in LOAD_ORDER if tag in components), *sorted(set(components) - set(LOAD_ORDER))]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(others, key=lambda name: (name != _MANIFEST, name)):
            _store(archive, name, others[name])
        for tag in order:
            file = names[ComponentTag(tag)] if tag in KNOWN_TAGS else f"Custom{tag:02X}.cap"
            _store(archive, "/".join([*folder, file]), components[tag])
    return buffer.getvalue()


def _store(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)
