"""What a package is linked to when it is loaded: versions, formats, other packages. JCVM 3.1, 4.5.2; GP 2.3.1, 9.5."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opentsm_build.build import convert_project
from opentsm_build.project import Project
from opentsm_card.aid import Aid
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.load import load_blocks, load_file
from small_cap import JAVA_LANG, JAVACARD_FRAMEWORK, LIBRARY, PACKAGE, small_cap

if TYPE_CHECKING:
    from sd_host import Host

CORPUS = Path(__file__).parents[1] / "corpus"
COUNTER = Aid.from_text("F000006F1901")


def load(host: Host, aid: bytes, block: bytes) -> int:
    host.done(InstallForLoad(Aid(aid)))
    return [host.sw(command) for command in load_blocks(load_file(block), 200)][-1]


@pytest.mark.parametrize(
    ("wanted", "sw"),
    [((1, 3), 0x9000), ((1, 0), 0x9000), ((1, 4), 0x6A80), ((2, 0), 0x6A80), ((2, 3), 0x6A80), ((0, 3), 0x6A80)],
)
def test_the_same_major_version_and_at_least_the_minor_one(isd: Host, wanted: tuple[int, int], sw: int) -> None:
    """JCVM 3.1, 4.5.2."""
    assert load(isd, LIBRARY, small_cap(LIBRARY, version=(1, 3), modules=(), imports=(JAVA_LANG,))) == 0x9000
    imports = (JAVACARD_FRAMEWORK, JAVA_LANG, (LIBRARY, *wanted))
    assert load(isd, PACKAGE, small_cap(imports=imports)) == sw
    assert (isd.entry(PACKAGE) is not None) == (sw == 0x9000)


@pytest.mark.parametrize(("version", "sw"), [((1, 0), 0x9000), ((1, 9), 0x9000), ((1, 10), 0x6A80), ((2, 0), 0x6A80)])
def test_the_same_holds_for_the_platform(isd: Host, version: tuple[int, int], sw: int) -> None:
    imports = ((JAVACARD_FRAMEWORK[0], *version), JAVA_LANG)
    assert load(isd, PACKAGE, small_cap(imports=imports)) == sw


def test_what_is_imported_is_not_deleted_and_can_be_afterwards(isd: Host) -> None:
    """GP 2.3.1, 9.5.2: 6985 while another load file refers to it, whatever is to go with it."""
    library = small_cap(LIBRARY, modules=(), imports=(JAVA_LANG,))
    user = small_cap(imports=(JAVACARD_FRAMEWORK, JAVA_LANG, (LIBRARY, 1, 0)))
    assert load(isd, PACKAGE, user) == 0x6A80  # not there yet
    assert load(isd, LIBRARY, library) == 0x9000
    assert load(isd, PACKAGE, user) == 0x9000
    assert isd.delete(Aid(LIBRARY)) == 0x6985
    assert isd.delete(Aid(LIBRARY), related=True) == 0x6985
    assert isd.delete(Aid(PACKAGE)) == 0x9000
    assert isd.delete(Aid(LIBRARY)) == 0x9000
    assert load(isd, PACKAGE, user) == 0x6A80  # not there any more


@pytest.mark.parametrize(
    ("target", "debug", "version"),
    [("2.2.2", False, (2, 1)), ("3.0.4", True, (2, 2)), ("3.1.0", False, (2, 3)), ("3.2.0", True, (2, 3))],
)
def test_every_format_is_taken(isd: Host, target: str, debug: bool, version: tuple[int, int]) -> None:  # noqa: FBT001
    """JCVM 3.1, 6.1: 2.1 to 2.3, with Descriptor and Debug or without."""
    project = dataclasses.replace(Project.load(CORPUS / "several"), target=target, debug=debug)
    cap = convert_project(project)[0].cap
    assert cap.format_version == version
    for descriptor in (True, False):
        assert load(isd, bytes(cap.package_aid), cap.load_file_data_block(descriptor=descriptor)) == 0x9000
        isd.done(InstallForInstall(cap.package_aid, COUNTER, COUNTER))
        assert isd.delete(cap.package_aid, related=True) == 0x9000


def test_the_extended_format_is_refused_by_its_name(isd: Host, caplog: pytest.LogCaptureFixture) -> None:
    """JCVM 3.1, 6.4: ACC_EXTENDED."""
    cap = convert_project(dataclasses.replace(Project.load(CORPUS / "several"), target="3.1.0"))[0].cap
    block = cap.load_file_data_block()
    # Header: tag, size, magic, minor and major version, flags.
    extended = block[:9] + bytes((block[9] | 0x08,)) + block[10:]
    assert load(isd, bytes(cap.package_aid), extended) == 0x6A80
    assert "the extended CAP format is not supported" in caplog.text
