"""Packages built from Java sources by our toolchain, loaded through GlobalPlatform LOAD, run as on a card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from opentsm_build.build import build_project
from opentsm_card.aid import Aid
from opentsm_card.errors import LinkTimeoutError
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.load import load_blocks, load_file
from opentsm_simulator import VirtualSe
from opentsm_simulator.profile import load_profile
from sd_host import CARD_1, CARD_2, ISD, ISD_KEYS, Host

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile

PACKAGES = Path(__file__).parent / "packages"
LEDGER = Aid.from_text("F06F70656E74736D0E01")
COUNTER = Aid.from_text("F06F70656E74736D0E02")
MODULE = Aid.from_text("F06F70656E74736D0E0201")


@pytest.fixture(scope="module")
def caps(tmp_path_factory: pytest.TempPathFactory) -> dict[Aid, CapFile]:
    out = tmp_path_factory.mktemp("caps")
    built = [build_project(PACKAGES / name, out).conversion.cap for name in ("ledger", "counter")]
    return {cap.package_aid: cap for cap in built}


def load(host: Host, cap: CapFile, *, descriptor: bool = False) -> int:
    block = cap.load_file_data_block(descriptor=descriptor)
    host.done(InstallForLoad(cap.package_aid))
    return [host.sw(command) for command in load_blocks(load_file(block), 200)][-1]


def call(host: Host, ins: int, p1p2: int = 0, data: bytes = b"") -> int:
    """Send a command and return the number in its answer."""
    body = bytes((len(data),)) + data if data else b""
    answer = host.raw(bytes((0x80, ins)) + p1p2.to_bytes(2, "big") + body + b"\x00")
    return int.from_bytes(answer.require("command"), "big")


@pytest.fixture(params=[False, True], ids=["without descriptor", "with descriptor"])
def loaded(request: pytest.FixtureRequest, isd: Host, caps: dict[Aid, CapFile]) -> Host:
    for aid in (LEDGER, COUNTER):
        assert load(isd, caps[aid], descriptor=request.param) == 0x9000
    isd.done(InstallForInstall(COUNTER, MODULE, CARD_1))
    return isd


def test_code_of_two_packages_runs_together(loaded: Host) -> None:
    """An abstract method of the library is the applet's anonymous class's, with what that one holds."""
    loaded.select(CARD_1)
    assert [call(loaded, 0x01, amount) for amount in (5, 101, 1)] == [10, 111, 113]
    assert call(loaded, 0x02) == 1
    assert call(loaded, 0x03) == 5
    assert loaded.raw(bytes.fromhex("80990000")).sw == 0x6D00


def test_instances_share_statics_and_nothing_else(loaded: Host) -> None:
    parameters = InstallParameters(application=b"\x07").encode()
    loaded.done(InstallForInstall(COUNTER, MODULE, CARD_2, parameters=parameters))
    loaded.select(CARD_1)
    assert call(loaded, 0x01, 1) == 2
    loaded.select(CARD_2)
    assert call(loaded, 0x01, 1) == 7
    assert call(loaded, 0x02) == 2
    assert call(loaded, 0x03) == 4


def test_statics_are_per_card_and_begin_anew_with_the_package(
    se: VirtualSe, loaded: Host, caps: dict[Aid, CapFile]
) -> None:
    loaded.select(CARD_1)
    assert call(loaded, 0x03) == 1
    other = Host(type(se).create("embedded").link()).into(ISD, ISD_KEYS)
    for aid in (LEDGER, COUNTER):
        assert load(other, caps[aid]) == 0x9000
    other.done(InstallForInstall(COUNTER, MODULE, CARD_1))
    other.select(CARD_1)
    assert call(other, 0x03) == 1
    loaded.into(ISD, ISD_KEYS)
    assert loaded.delete(LEDGER) == 0x6985  # the other package is linked to it
    assert loaded.delete(COUNTER, related=True) == 0x9000
    assert load(loaded, caps[COUNTER]) == 0x9000
    loaded.done(InstallForInstall(COUNTER, MODULE, CARD_1))
    loaded.select(CARD_1)
    assert call(loaded, 0x03) == 1
    assert call(loaded, 0x02) == 2  # the library stayed, with what it counted


def test_a_transaction_takes_fields_statics_and_arrays_back(loaded: Host) -> None:
    loaded.select(CARD_1)
    assert call(loaded, 0x05, 0x0100) == 20
    assert call(loaded, 0x05, 0x0101) == 21
    assert call(loaded, 0x03) == 503
    assert call(loaded, 0x01, 0) == 1000


def test_a_try_of_a_pin_counts_whatever_else_happens(loaded: Host) -> None:
    loaded.select(CARD_1)
    assert call(loaded, 0x04, data=bytes((1, 2, 3, 5))) == 0x0200
    assert call(loaded, 0x04, data=bytes((1, 2, 3, 4))) == 0x0301
    assert [call(loaded, 0x04, data=bytes(4)) for _ in range(4)] == [0x0200, 0x0100, 0x0000, 0x0000]
    assert call(loaded, 0x04, data=bytes((1, 2, 3, 4))) == 0x0000


def test_exceptions_handlers_and_transient_memory(loaded: Host) -> None:
    loaded.select(CARD_1)
    assert call(loaded, 0x06, 0x0700) == 14
    assert loaded.raw(bytes.fromhex("8006000000")).sw == 0x6F42
    assert call(loaded, 0x07) == 2
    loaded.select(CARD_1)
    assert call(loaded, 0x07) == 0


@pytest.mark.parametrize("way", [0, 1, 2], ids=["loop", "recursion", "branching recursion"])
def test_an_applet_that_runs_away_makes_the_card_mute(caps: dict[Aid, CapFile], way: int) -> None:
    """Until a reset, and the card only: its host and other cards live on, and what was before is there."""
    profile = msgspec.structs.replace(load_profile("embedded"), most_steps=2_000)
    host = Host(VirtualSe.create(profile).link()).into(ISD, ISD_KEYS)
    for aid in (LEDGER, COUNTER):
        assert load(host, caps[aid]) == 0x9000
    host.done(InstallForInstall(COUNTER, MODULE, CARD_1))
    host.select(CARD_1)
    assert call(host, 0x01, 5) == 10
    for _ in range(2):
        with pytest.raises(LinkTimeoutError, match="mute"):
            host.raw(bytes((0x80, 0x08, way, 0)))
    host.link.reset()
    host.select(CARD_1)
    assert call(host, 0x01, 5) == 20
    assert call(host, 0x06, 0x0700) == 14


def test_what_the_verifier_refuses_is_not_loaded(isd: Host, caps: dict[Aid, CapFile]) -> None:
    assert load(isd, caps[COUNTER]) == 0x6A80  # the library is missing
    block = caps[LEDGER].load_file_data_block(descriptor=True)
    isd.done(InstallForLoad(LEDGER))
    changed = block.replace(b"\x03\x00\xff", b"\x03\x00\xfe", 1) if b"\x03\x00\xff" in block else block[:-1] + b"\x00"
    assert [isd.sw(command) for command in load_blocks(load_file(changed), 200)][-1] == 0x6A80
    assert isd.entry(LEDGER) is None
