"""Whatever a CAP, export or load file holds: it is taken, or a `CapError` says what is wrong; anything else is a bug.

`pytest --hypothesis-profile=hunt tests/fuzz/test_fuzz_cap.py` tries 20,000 files in each test: 120,000 in all.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cap_craft import craft
from cap_mutator import mutate, pack
from opentsm_build.api import java_card
from opentsm_build.api.export_file import ExportFile
from opentsm_build.cap import CapFile, ComponentTag
from opentsm_build.cap_view import difference, info, listing
from opentsm_build.cap_view.package import resolve
from opentsm_build.instructions import decode
from opentsm_build.verify import verify
from opentsm_card.errors import CapError
from verify_tables import RIGHT

if TYPE_CHECKING:
    from collections.abc import Callable

BASES = [craft(code) for code in RIGHT.values()]
FRAMEWORK = ExportFile.of(java_card("3.0.4")["javacard/framework"], library=True).encode()

# Bytes that look like parts of components, between arbitrary ones.
PIECES = st.sampled_from(
    [b"\xde\xca\xff\xed\x01\x02", b"\x05\xa0\x00\x00\x00\x62", b"\xff\xff", b"\x00\x00", b"\x80\x03"]
)
NAMES = st.sampled_from(["a/javacard/Header.cap", "Method.cap", "x.cap", "a/", "META-INF/MANIFEST.MF"])
BYTES = st.binary(max_size=80) | st.lists(PIECES | st.binary(max_size=12), max_size=10).map(b"".join)


def look_at(cap: CapFile) -> None:
    """Do all that the toolchain does with a file."""
    views: list[Callable[[CapFile], object]] = [verify, info.describe, lambda cap: listing.dump(resolve(cap))]
    for view in views:
        with contextlib.suppress(CapError):
            view(cap)


@given(st.sampled_from([CapFile.parse, CapFile.parse_load_file, ExportFile.parse, decode]), BYTES)
def test_any_bytes(parse: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(CapError):
        parse(data)


@given(
    st.lists(
        NAMES | st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=9), max_size=6
    ),
    st.data(),
)
def test_any_archive(names: list[str], data: st.DataObject) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in dict.fromkeys(names):
            archive.writestr(name, data.draw(BYTES))
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CapError):
        CapFile.parse(bytes(content))


@given(st.sampled_from(BASES), st.dictionaries(st.sampled_from(list(ComponentTag)), BYTES, min_size=1, max_size=3))
def test_components_of_arbitrary_content(cap: CapFile, infos: dict[ComponentTag, bytes]) -> None:
    changed = {tag: bytes((tag,)) + len(content).to_bytes(2, "big") + content for tag, content in infos.items()}
    with contextlib.suppress(CapError):
        look_at(CapFile({**cap.components, **changed}))


@given(st.sampled_from(BASES), st.integers(0, 2**32), st.integers(1, 4))
def test_mutations(cap: CapFile, seed: int, times: int) -> None:
    random = Random(seed)
    with contextlib.suppress(CapError):
        for _ in range(times):
            cap = CapFile.parse(pack(mutate(cap, random)[1]))
            look_at(cap)
            difference.compare(resolve(cap), resolve(BASES[0]))


@given(st.integers(0, len(FRAMEWORK) - 1), st.integers(0, 255), st.integers(0, len(FRAMEWORK)))
def test_changed_export_files(position: int, value: int, length: int) -> None:
    changed = bytearray(FRAMEWORK)
    changed[position] = value
    with contextlib.suppress(CapError):
        ExportFile.parse(bytes(changed[: max(length, position + 1)]))
    with contextlib.suppress(CapError):
        package = ExportFile.parse(bytes(changed)).package
        verify(BASES[1], [package])


@given(st.sampled_from(BASES), st.integers(0, 2**16), st.integers(0, 255))
def test_load_files_with_a_byte_changed(base: CapFile, position: int, value: int) -> None:
    data = bytearray(base.load_file_data_block(descriptor=True))
    data[position % len(data)] = value
    try:
        cap = CapFile.parse_load_file(bytes(data))
    except CapError:
        return
    look_at(cap)
    assert CapFile.parse(cap.encode()).components == cap.components


@pytest.mark.parametrize("cap", BASES)
def test_what_passes_is_written_as_it_was(cap: CapFile) -> None:
    version = cap.format_version
    for component, again in (
        (ComponentTag.CLASS, cap.classes.encode(version)),
        (ComponentTag.METHOD, cap.methods.encode()),
        (ComponentTag.DIRECTORY, cap.directory.encode(version)),
    ):
        assert cap.components[component] == again
