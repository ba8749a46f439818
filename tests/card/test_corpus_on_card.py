"""Packages of the corpus that need a card around them: loaded through LOAD, and asked like any applet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jpype
import pytest

from opentsm_build import artifacts, java
from opentsm_build.build import convert_project
from opentsm_build.project import Project
from opentsm_card.aid import Aid
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.load import load_blocks, load_file

if TYPE_CHECKING:
    from sd_host import Host

CORPUS = Path(__file__).parents[1] / "corpus"
HEIR = Aid.from_text("F000006F0201")
COUNTER, READER = Aid.from_text("F000006F1901"), Aid.from_text("F000006F1902")


@pytest.fixture(params=[False, True], ids=["without descriptor", "with descriptor"])
def descriptor(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def load(host: Host, name: str, *, descriptor: bool) -> tuple[Aid, Path]:
    """Convert and load a package; return its AID and the folder of its classes."""
    conversion, classes = convert_project(Project.load(CORPUS / name))
    cap = conversion.cap
    host.done(InstallForLoad(cap.package_aid))
    host.done(*load_blocks(load_file(cap.load_file_data_block(descriptor=descriptor)), 200))
    return cap.package_aid, classes


def original(folders: list[Path], which: int) -> int:
    """Run `Heir.run` of the original classes."""
    loader = java.class_loader([*folders, artifacts.resolve(artifacts.JCARDSIM)])
    heir: Any = jpype.JClass("java.lang.Class").forName("corpus.heir.Heir", True, loader)
    method = heir.getDeclaredMethod("run", jpype.JClass("java.lang.Byte").TYPE)
    method.setAccessible(True)
    return int(method.invoke(None, jpype.JClass("java.lang.Byte")(jpype.JByte(which))).shortValue())


def test_a_package_inherits_from_another(isd: Host, descriptor: bool) -> None:  # noqa: FBT001 - a fixture
    """Public methods are overridden across packages, package-visible ones are not; fields and statics are shared.

    Nothing in the library uses one of its interfaces: what that takes, its Descriptor alone tells.
    """
    _, library = load(isd, "library", descriptor=True)
    aid, classes = load(isd, "heir", descriptor=descriptor)
    isd.done(InstallForInstall(aid, HEIR, HEIR))
    isd.select(HEIR)
    for which in (0, 1, 2, 3, 4, 5, 6, 8, 9):
        answer = isd.raw(bytes((0x80, 0, which, 0, 0))).require("run")
        assert int.from_bytes(answer, "big", signed=True) == original([classes, library], which), which
    # What 7 returns counts the objects made so far: the card's statics live on, the original's begin anew each time.
    made = [int.from_bytes(isd.raw(bytes.fromhex("8000070000")).require("run"), "big") for _ in range(2)]
    assert made[1] - made[0] == 1


@pytest.fixture
def several(isd: Host, descriptor: bool) -> Host:  # noqa: FBT001 - a fixture
    aid, _ = load(isd, "several", descriptor=descriptor)
    isd.done(InstallForInstall(aid, COUNTER, COUNTER), InstallForInstall(aid, READER, READER))
    return isd


def test_two_applets_of_one_package_share_through_an_interface(several: Host) -> None:
    several.select(COUNTER)
    assert several.raw(bytes.fromhex("8010050000")).sw == 0x9000
    assert several.raw(bytes.fromhex("8012000000")).data.hex() == "00020f"
    several.select(READER)
    assert several.raw(bytes.fromhex("8000030000")).data.hex() == "0005"
    several.select(COUNTER)
    assert several.raw(bytes.fromhex("8012000000")).data[:2].hex() == "0005"
    assert several.raw(bytes.fromhex("8099000000")).sw == 0x6D00
    assert several.raw(bytes.fromhex("9012000000")).sw == 0x6E00
