"""The corpus on the virtual SE answers random commands as its original classes do in plain jCardSim."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from corpus_driver import Driver, PlainCard, driver_project, methods_of
from opentsm_build.build import convert_project
from opentsm_build.classfile import parse_class
from opentsm_build.project import Project
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.load import load_blocks, load_file
from opentsm_card.select import Select
from opentsm_simulator import VirtualSe
from sd_host import ISD, ISD_KEYS, Host

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS = Path(__file__).parents[1] / "corpus"
# These have applets of their own, which are asked as they are.
WITH_APPLETS = {"heir", "several"}
DRIVEN = sorted(path.parent.name for path in CORPUS.glob("*/applet.toml") if path.parent.name not in WITH_APPLETS)
HEIR = Aid.from_text("F000006F0201")
COUNTER, READER = Aid.from_text("F000006F1901"), Aid.from_text("F000006F1902")


def load(host: Host, folder: Path, *, descriptor: bool) -> tuple[Aid, Path]:
    """Convert and load a package; return its AID and the folder of its classes."""
    conversion, classes = convert_project(Project.load(folder))
    cap = conversion.cap
    host.done(InstallForLoad(cap.package_aid))
    host.done(*load_blocks(load_file(cap.load_file_data_block(descriptor=descriptor)), 200))
    return cap.package_aid, classes


def compare(host: Host, plain: PlainCard, rng: random.Random, aids: list[Aid], make: Callable[[], CommandApdu]) -> int:
    """Send the same to both, with selections and resets in between; return how many commands were refused."""
    refused = 0
    for aid in aids:
        assert host.raw(Select(aid).apdu().encode()).sw == 0x9000
    select = Select(aids[0]).apdu().encode()
    host.link.reset()
    plain.reset()
    for aid in aids:
        assert host.link.transmit(Select(aid).apdu().encode()) == plain.transmit(Select(aid).apdu().encode())
    for number in range(COMMANDS):
        chance = rng.random()
        if chance < 0.02:
            host.link.reset()
            plain.reset()
        if chance < 0.1:
            select = Select(rng.choice(aids)).apdu().encode()
        command = select if chance < 0.1 else make().encode()
        ours, theirs = host.link.transmit(command), plain.transmit(command)
        assert ours.hex() == theirs.hex(), (number, command.hex())
        refused += ours[-2:] != b"\x90\x00"
    return refused


COMMANDS = 300


@pytest.fixture(params=[False, True], ids=["without descriptor", "with descriptor"])
def descriptor(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def driven(name: str, folder: Path) -> Driver:
    """Make the package with its driver; what there is to call is read from the original class files."""
    _, classes = convert_project(Project.load(CORPUS / name))
    files = [parse_class(path.read_bytes(), path.name) for path in sorted(classes.rglob("*.class"))]
    return driver_project(CORPUS / name, folder, methods_of(files))


def run_driven(name: str, tmp_path: Path, seed: str, *, descriptor: bool) -> int:
    host = Host(VirtualSe.create("embedded").link()).into(ISD, ISD_KEYS)
    driver = driven(name, tmp_path / name)
    package, classes = load(host, tmp_path / name, descriptor=descriptor)
    host.done(InstallForInstall(package, driver.aid, driver.aid))
    plain = PlainCard([classes], tmp_path)
    plain.install(f"{driver.package}.Driver", driver.aid)
    rng = random.Random(seed)
    return compare(host, plain, rng, [driver.aid], lambda: driver.random_command(rng))


@pytest.mark.parametrize("name", DRIVEN)
def test_methods_answer_as_the_original_classes(name: str, tmp_path: Path, descriptor: bool) -> None:  # noqa: FBT001
    refused = run_driven(name, tmp_path, name, descriptor=descriptor)
    assert 0 < refused < COMMANDS * 0.7  # there are answers of both kinds


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("name", DRIVEN)
def test_methods_answer_as_the_original_classes_for_long(name: str, tmp_path: Path, seed: int) -> None:
    run_driven(name, tmp_path, f"{name}{seed}", descriptor=bool(seed % 2))


def test_an_heir_of_another_package_answers_as_the_original(isd: Host, tmp_path: Path, descriptor: bool) -> None:  # noqa: FBT001
    _, library = load(isd, CORPUS / "library", descriptor=True)
    aid, classes = load(isd, CORPUS / "heir", descriptor=descriptor)
    isd.done(InstallForInstall(aid, HEIR, HEIR))
    plain = PlainCard([classes, library], tmp_path)
    plain.install("corpus.heir.Heir", HEIR)
    rng = random.Random("heir")
    compare(isd, plain, rng, [HEIR], lambda: CommandApdu(0x80, 0, rng.randrange(12), 0, b"", 256))


def test_applets_that_share_answer_as_the_originals(isd: Host, tmp_path: Path, descriptor: bool) -> None:  # noqa: FBT001
    aid, classes = load(isd, CORPUS / "several", descriptor=descriptor)
    plain = PlainCard([classes], tmp_path)
    for applet, name in ((COUNTER, "Counter"), (READER, "Reader")):
        isd.done(InstallForInstall(aid, applet, applet))
        plain.install(f"corpus.several.{name}", applet)
    rng = random.Random("several")

    def make() -> CommandApdu:
        ins = rng.choice((0x00, 0x10, 0x12, 0x12, 0x13))
        return CommandApdu(rng.choice((0x80, 0x80, 0x80, 0x90)), ins, rng.choice((0, 1, 3, 0x7F, 0xFF)), 0, b"", 256)

    assert compare(isd, plain, rng, [COUNTER, READER], make) > 0
