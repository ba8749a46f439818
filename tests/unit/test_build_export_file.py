"""Export files, and finding packages of known APIs by AID and version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentsm_build import api
from opentsm_build.api.export_file import MAX_EXPORT_BYTES, ExportFile, read_export_file
from opentsm_card.aid import Aid
from opentsm_card.errors import CapError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

FRAMEWORK = Aid.from_text("A0000000620101")
LANG = Aid.from_text("A0000000620001")
UNKNOWN = Aid.from_text("F000000001")

# The export file of a package `a` with one interface, as the specification lays it out (JCVM 2.2.2, 5.5 to 5.7).
SMALL = bytes.fromhex(
    "00FACADE 01 02 000A"
    "01 0003 612F49"  # 0: a/I
    "07 0000"  # 1: class a/I
    "01 0001 6D"  # 2: m
    "01 0003 282956"  # 3: ()V
    "01 0001 43"  # 4: C
    "01 0001 53"  # 5: S
    "01 000D 436F6E7374616E7456616C7565"  # 6: ConstantValue
    "03 FFFFFFFE"  # 7: -2
    "01 0001 61"  # 8: a
    "0D 00 0008 02 01 05 F000000001"  # 9: package a 1.2
    "0009 01"
    "00 0601 0001 0000 00"
    "0001 FF 0019 0004 0005 0001 0006 00000002 0007"
    "0001 00 0401 0002 0003"
)


def test_an_export_file_says_what_a_package_offers() -> None:
    parsed = ExportFile.parse(SMALL)
    assert parsed.encode() == SMALL
    assert not parsed.is_library
    package = parsed.package
    assert (package.name, package.aid, package.version) == ("a", UNKNOWN, (1, 2))
    interface = package.classes["a/I"]
    assert interface.is_interface
    assert interface.methods["m()V"].token == 0
    assert interface.fields["CS"].constant == -2


def test_every_length_but_the_whole_is_refused() -> None:
    for length in range(len(SMALL)):
        with pytest.raises(CapError, match="export file"):
            ExportFile.parse(SMALL[:length])


def test_a_byte_changed_gives_an_error_or_another_file() -> None:
    for position in range(len(SMALL)):
        changed = bytearray(SMALL)
        changed[position] ^= 0x55
        try:
            parsed = ExportFile.parse(bytes(changed))
        except CapError:
            continue
        assert parsed.encode() == changed


@pytest.mark.parametrize("format_version", [(2, 1), (2, 2), (2, 3)])
@pytest.mark.parametrize("release", ["2.1.1", "3.2.0"])
def test_known_packages_become_export_files_and_come_back(release: str, format_version: tuple[int, int]) -> None:
    for package in api.java_card(release).values():
        written = ExportFile.of(package, library=True, format_version=format_version).encode()
        parsed = ExportFile.parse(written)
        assert parsed.package == package
        assert parsed.is_library
        assert parsed.encode() == written


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.exp"):
        read_export_file(tmp_path / "none.exp")
    large = tmp_path / "large.exp"
    large.write_bytes(bytes(MAX_EXPORT_BYTES + 1))
    with pytest.raises(CapError, match="at most"):
        read_export_file(large)
    small = tmp_path / "small.exp"
    small.write_bytes(SMALL)
    assert read_export_file(small).name == "a"


def test_packages_are_found_by_aid_and_version() -> None:
    found = api.find_package(FRAMEWORK, (1, 3))
    assert found is not None
    assert found.version == (1, 3)
    assert "getIncomingLength()S" in found.classes["javacard/framework/APDU"].methods
    older = api.find_package(FRAMEWORK, (1, 2))
    assert older is not None
    assert "getIncomingLength()S" not in older.classes["javacard/framework/APDU"].methods
    # there was no 1.7: the next one has all that a 1.7 could have
    between = api.find_package(FRAMEWORK, (1, 7))
    assert between is not None
    assert between.version == (1, 8)
    assert api.find_package(FRAMEWORK, (1, 99)) is None
    assert api.find_package(FRAMEWORK, (2, 0)) is None
    assert api.find_package(UNKNOWN, (1, 0)) is None
    assert api.package_name(FRAMEWORK) == "javacard/framework"
    assert api.package_name(Aid.from_text("A00000015100")) == "org/globalplatform"


def test_the_oldest_release_that_has_the_imports() -> None:
    assert api.oldest_release([(FRAMEWORK, (1, 0)), (LANG, (1, 0))]) == "2.1.1"
    assert api.oldest_release([(FRAMEWORK, (1, 3)), (UNKNOWN, (9, 9))]) == "2.2.2"
    assert api.oldest_release([(FRAMEWORK, (1, 0)), (Aid.from_text("A0000000620003"), (1, 0))]) == "2.2.1"
    assert api.oldest_release([(FRAMEWORK, (1, 99))]) is None
    assert api.oldest_release([]) == "2.1.1"


@pytest.mark.parametrize("descriptor", [b"()\0", b"(V)", b"()LV", b"([)", b"(L;V"])
def test_descriptors_are_checked(descriptor: bytes) -> None:
    changed = SMALL.replace(b"\1\0\3()V", b"\1" + len(descriptor).to_bytes(2, "big") + descriptor)
    assert changed != SMALL
    with pytest.raises(CapError, match="is no descriptor"):
        ExportFile.parse(changed)
