"""An applet that never ends, wherever the runtime calls it, makes the card mute and nothing else; a reset helps.

Errors of the JVM that its code provokes stay inside.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from cap_assembler import Assembler
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

FOLDER = Path(__file__).parent / "packages" / "runaway"
MODULE = Aid.from_text("F06F70656E74736D0E0501")
CONSTRUCTOR, INSTALL, SELECT, DESELECT, UNINSTALL, SHARING = range(1, 7)


@pytest.fixture(scope="module")
def cap(tmp_path_factory: pytest.TempPathFactory) -> CapFile:
    return build_project(FOLDER, tmp_path_factory.mktemp("caps")).conversion.cap


@pytest.fixture
def host(cap: CapFile) -> Host:
    """A host of a card with the package, on which little time is enough."""
    profile = msgspec.structs.replace(load_profile("embedded"), most_steps=20_000)
    host = Host(VirtualSe.create(profile).link()).into(ISD, ISD_KEYS)
    host.done(InstallForLoad(cap.package_aid))
    host.done(*load_blocks(load_file(cap.load_file_data_block()), 200))
    return host


def install(host: Host, cap: CapFile, aid: Aid, where: int = 0) -> None:
    parameters = InstallParameters(application=bytes((where,)) if where else b"").encode()
    host.done(InstallForInstall(cap.package_aid, MODULE, aid, parameters=parameters))


def is_whole(host: Host, cap: CapFile) -> None:
    """A reset helps: the card answers, and an applet of the package runs."""
    host.link.reset()
    host.into(ISD, ISD_KEYS)
    if host.entry(CARD_2) is None:
        install(host, cap, CARD_2)
    host.select(CARD_2).require("SELECT")
    assert host.raw(bytes.fromhex("8000000000")).sw == 0x9000


@pytest.mark.parametrize("where", [CONSTRUCTOR, INSTALL])
def test_while_it_is_installed(host: Host, cap: CapFile, where: int) -> None:
    with pytest.raises(LinkTimeoutError, match="mute"):
        install(host, cap, CARD_1, where)
    host.link.reset()
    assert host.into(ISD, ISD_KEYS).entry(CARD_1) is None
    is_whole(host, cap)


def test_while_it_is_selected(host: Host, cap: CapFile) -> None:
    install(host, cap, CARD_1, SELECT)
    with pytest.raises(LinkTimeoutError, match="mute"):
        host.select(CARD_1)
    is_whole(host, cap)


def test_a_mute_card_tells_once_why(host: Host, cap: CapFile, caplog: pytest.LogCaptureFixture) -> None:
    install(host, cap, CARD_1, SELECT)
    for _ in range(2):
        caplog.clear()
        for _ in range(3):
            with pytest.raises(LinkTimeoutError, match="an applet runs without end"):
                host.select(CARD_1)
        assert len([record for record in caplog.records if "an applet ended with" in record.getMessage()]) == 1
        host.link.reset()


def test_while_it_is_deselected(host: Host, cap: CapFile) -> None:
    install(host, cap, CARD_1, DESELECT)
    host.select(CARD_1).require("SELECT")
    with pytest.raises(LinkTimeoutError, match="mute"):
        host.select(ISD)
    is_whole(host, cap)


def test_while_it_is_deleted(host: Host, cap: CapFile) -> None:
    install(host, cap, CARD_1, UNINSTALL)
    with pytest.raises(LinkTimeoutError, match="mute"):
        host.delete(CARD_1)
    is_whole(host, cap)


@pytest.mark.parametrize("where", [0, SHARING], ids=["in its method", "in handing it out"])
def test_in_a_shared_interface(host: Host, cap: CapFile, where: int) -> None:
    install(host, cap, CARD_1, where)
    install(host, cap, CARD_2)
    host.select(CARD_2).require("SELECT")
    with pytest.raises(LinkTimeoutError, match="mute"):
        host.raw(b"\x80\x04\x00\x00" + bytes((len(CARD_1),)) + bytes(CARD_1))
    is_whole(host, cap)


@pytest.mark.parametrize("ins", [1, 2, 5], ids=["handler", "handlers within", "finally"])
def test_whatever_it_catches(host: Host, cap: CapFile, ins: int) -> None:
    """No handler of the applet's takes what ends it: neither the runtime's nor the JVM's own errors."""
    install(host, cap, CARD_1)
    host.select(CARD_1).require("SELECT")
    with pytest.raises(LinkTimeoutError, match="mute"):
        host.raw(bytes((0x80, ins, 0, 0)))
    is_whole(host, cap)


def test_what_takes_memory_without_end_gets_none(host: Host, cap: CapFile) -> None:
    """JC API 3.0.5, SystemException.NO_RESOURCE; the memory is there again once the applet is deleted."""
    install(host, cap, CARD_2)
    for _ in range(3):
        install(host, cap, CARD_1)
        host.select(CARD_1).require("SELECT")
        assert host.raw(bytes.fromhex("80030000")).sw == 0x6F00
        host.into(ISD, ISD_KEYS)
        assert host.delete(CARD_1) == 0x9000
    is_whole(host, cap)


def test_a_method_that_no_jvm_takes_is_refused_at_its_load(isd: Host) -> None:
    """A card method may have 32,767 bytes; what becomes of it may be more than the JVM's 65,535."""
    package = Assembler()
    package.method("long", 1, "; ".join(["aload_0; sconst_0; sconst_1; bastore"] * 8_000) + "; return")
    cap = package.build()
    isd.done(InstallForLoad(cap.package_aid))
    block = load_file(cap.load_file_data_block())
    answers = [isd.sw(command) for command in load_blocks(block, 200)]
    assert answers[-1] in {0x9000, 0x6A80}
    assert (isd.entry(cap.package_aid) is not None) == (answers[-1] == 0x9000)
