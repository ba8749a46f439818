"""CAP files as archives and as load files: what is kept, what is refused, and that writing is stable."""

from __future__ import annotations

import io
import zipfile

import pytest

from opentsm_build.cap import CapFile, ComponentTag
from opentsm_build.cap.header import (
    AppletComponent,
    AppletInfo,
    DirectoryComponent,
    HeaderComponent,
    ImportComponent,
    PackageInfo,
    StaticFieldSizeInfo,
)
from opentsm_build.cap.tags_tables import HeaderFlag
from opentsm_card.aid import Aid
from opentsm_card.errors import CapError

PACKAGE = PackageInfo(Aid.from_text("F000000001"), (1, 2))
APPLET = AppletInfo(Aid.from_text("F00000000101"), 0x1234)
FRAMEWORK = PackageInfo(Aid.from_text("A0000000620101"), (1, 3))


def opaque(tag: ComponentTag, info: bytes = b"\0") -> bytes:
    return bytes((tag,)) + len(info).to_bytes(2, "big") + info


def components(format_version: tuple[int, int] = (2, 1)) -> dict[ComponentTag, bytes]:
    header = HeaderComponent(format_version, HeaderFlag.APPLET | HeaderFlag.INT, PACKAGE)
    made = {
        ComponentTag.HEADER: header.encode(),
        ComponentTag.APPLET: AppletComponent((APPLET,)).encode(),
        ComponentTag.IMPORT: ImportComponent((FRAMEWORK,)).encode(),
        ComponentTag.CONSTANT_POOL: opaque(ComponentTag.CONSTANT_POOL),
        ComponentTag.CLASS: opaque(ComponentTag.CLASS),
        ComponentTag.METHOD: opaque(ComponentTag.METHOD, b"\0\1\2\3"),
        ComponentTag.STATIC_FIELD: opaque(ComponentTag.STATIC_FIELD),
        ComponentTag.REFERENCE_LOCATION: opaque(ComponentTag.REFERENCE_LOCATION),
        ComponentTag.DESCRIPTOR: opaque(ComponentTag.DESCRIPTOR),
    }
    directory = DirectoryComponent(dict.fromkeys(ComponentTag, 1), StaticFieldSizeInfo(0, 0, 0), 1, 1)
    return made | {ComponentTag.DIRECTORY: directory.encode(format_version)}


def archive(entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as written:
        for name, content in entries.items():
            written.writestr(name, content)
    return buffer.getvalue()


def test_a_file_says_what_it_is() -> None:
    cap = CapFile.parse(CapFile(components(), folder_name="com.example").encode())
    assert (cap.package_aid, cap.package_version, cap.package_name) == (PACKAGE.aid, (1, 2), "com.example")
    assert (cap.applets, cap.imports, cap.format_version, cap.has_int) == ((APPLET,), (FRAMEWORK,), (2, 1), True)


def test_writing_is_stable_and_keeps_everything() -> None:
    custom, others = {0x81: opaque(ComponentTag.HEADER).replace(b"\x01", b"\x81", 1)}, {"META-INF/MANIFEST.MF": b"x"}
    cap = CapFile(components((2, 2)), custom, others, "com.example")
    written = cap.encode()
    assert CapFile.parse(written) == cap
    assert CapFile.parse(written).encode() == written


def test_load_order_and_what_a_card_does_not_need() -> None:
    cap = CapFile(components())
    loaded = CapFile.parse_load_file(cap.load_file_data_block())
    assert [int(tag) for tag in loaded.components] == [1, 2, 4, 3, 6, 7, 8, 5, 9]
    assert CapFile.parse_load_file(cap.load_file_data_block(descriptor=True)).components == cap.components


def test_a_component_too_many_or_too_few() -> None:
    data = CapFile(components()).load_file_data_block()
    with pytest.raises(CapError, match="second component with tag 1"):
        CapFile.parse_load_file(data + data)
    for tag in (ComponentTag.HEADER, ComponentTag.METHOD, ComponentTag.REFERENCE_LOCATION):
        with pytest.raises(CapError, match=f"{tag.title} component: missing"):
            CapFile({key: value for key, value in components().items() if key != tag})


def test_a_load_file_cut_anywhere() -> None:
    data = CapFile(components()).load_file_data_block()
    for length in range(len(data)):
        with pytest.raises(CapError):
            CapFile.parse_load_file(data[:length])


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"a/javacard/Header.cap": b"\2\0\0"}, "tag 2 where 1 belongs"),
        ({"a/javacard/Strange.cap": b"\2\0\0"}, "under a name that is no component's"),
        ({"a/javacard/Header.cap": b""}, "an empty component"),
        ({"a/javacard/Method.cap": b"\7" + bytes(70_000)}, "unpacks to more than"),
        ({"notes": bytes(2 << 20)}, "unpacks to more than"),
        ({"a/javacard/Header.cap": b"\1\0\0", "b/javacard/Class.cap": b"\6\0\0"}, "more than one package"),
        ({"a/javacard/Header.cap": b"\1\0\0", "a/javacard/header.cap": b"\1\0\0"}, "under a name"),
        ({f"{number}": bytes(1 << 20) for number in range(5)}, "unpacks to more than"),
        ({f"{number}": b"" for number in range(600)}, "600 entries"),
        ({}, "missing"),
    ],
)
def test_archives_that_are_refused(entries: dict[str, bytes], said: str) -> None:
    with pytest.raises(CapError, match=said):
        CapFile.parse(archive(entries))


def test_what_is_no_archive() -> None:
    whole = CapFile(components()).encode()
    for data in (b"", b"PK", whole[:-30], bytes(100)):
        with pytest.raises(CapError, match="not a readable ZIP"):
            CapFile.parse(data)
    with pytest.raises(CapError, match="compressed in a way"):
        CapFile.parse(archive({"a/javacard/Header.cap": b"\1"}, zipfile.ZIP_BZIP2))


@pytest.mark.parametrize("format_version", [(2, 1), (2, 2), (2, 3)])
def test_first_components_cut_anywhere(format_version: tuple[int, int]) -> None:
    made = components(format_version)
    for tag in (ComponentTag.HEADER, ComponentTag.DIRECTORY, ComponentTag.APPLET, ComponentTag.IMPORT):
        info = made[tag][3:]
        for length in range(len(info)):
            with pytest.raises(CapError, match=tag.title):
                CapFile(made | {tag: opaque(tag, info[:length])})


def test_headers_that_are_refused() -> None:
    header = components()[ComponentTag.HEADER]
    for offset, value, said in [(3, 0, "magic"), (7, 9, "format 2.9"), (8, 3, "format 3.1"), (9, 0x14, "reserved")]:
        changed = header[:offset] + bytes((value,)) + header[offset + 1 :]
        with pytest.raises(CapError, match=said):
            CapFile(components() | {ComponentTag.HEADER: changed})
