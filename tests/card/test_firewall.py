"""The applet firewall, rule by rule: two loaded packages and a library, each access tried across contexts.

`packages/vault` shares itself; `packages/guest` tries (its INS, P1 pairs are here by name); `packages/treaty` is what
both import. Spec: Java Card RE 3.0.5, 6; the clauses are in the tests' names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from opentsm_build.build import build_project
from opentsm_card.aid import Aid
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.load import load_blocks, load_file
from opentsm_simulator import VirtualSe
from opentsm_simulator.profile import load_profile
from sd_host import ISD, ISD_KEYS, Host

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile

PACKAGES: Final = Path(__file__).parent / "packages"
VAULT: Final = Aid.from_text("F06F70656E74736D0E0401")
CLERK: Final = Aid.from_text("F06F70656E74736D0E0402")
GUEST: Final = Aid.from_text("F06F70656E74736D0E0501")
ALLOWED: Final = b"\x00"
REFUSED: Final = b"\x53"


@pytest.fixture(scope="module")
def caps(tmp_path_factory: pytest.TempPathFactory) -> tuple[CapFile, ...]:
    out = tmp_path_factory.mktemp("caps")
    return tuple(build_project(PACKAGES / name, out).conversion.cap for name in ("treaty", "vault", "guest"))


def card(caps: tuple[CapFile, ...], *, firewall: bool = True, descriptor: bool = False) -> Host:
    """Make a card with the packages and their applets; the guest is selected."""
    profile = msgspec.structs.replace(load_profile("embedded"), firewall=firewall)
    host = Host(VirtualSe.create(profile).link()).into(ISD, ISD_KEYS)
    for cap in caps:
        host.done(InstallForLoad(cap.package_aid))
        # Nothing in the library uses its interface: what that takes, its Descriptor alone tells.
        block = cap.load_file_data_block(descriptor=descriptor or not cap.applets)
        host.done(*load_blocks(load_file(block), 200))
    for cap in caps[1:]:
        for applet in cap.applets:
            host.done(InstallForInstall(cap.package_aid, applet.aid, applet.aid))
    host.select(VAULT)  # it leaves an object of its own in the library's static field
    host.select(GUEST)
    return host


@pytest.fixture(scope="module", params=[False, True], ids=["without descriptor", "with descriptor"])
def guest(request: pytest.FixtureRequest, caps: tuple[CapFile, ...]) -> Host:
    return card(caps, descriptor=request.param)


def tries(host: Host, ins: int, what: int = 0, channel: int = 0) -> bytes:
    """Send a command to the guest and return its answer."""
    return host.raw(bytes((0x80 | channel, ins, what, 0, 0))).require("try")


RULES: Final = {
    "6.2.8.1 putstatic of an object of its own": (0x01, 0, ALLOWED),
    "6.2.8.1 putstatic of a global array": (0x01, 1, REFUSED),
    "6.2.8.1 putstatic of a temporary entry point": (0x01, 2, REFUSED),
    "6.2.8.1 getstatic and putstatic of a foreign object": (0x01, 3, ALLOWED),
    "6.2.8.1 putstatic of a global array in a library": (0x01, 4, REFUSED),
    "6.2.8.1 putstatic of a permanent entry point": (0x01, 5, ALLOWED),
    "6.2.8.2 elements of its own array and of a global one": (0x02, 0, ALLOWED),
    "6.2.8.2 baload of a foreign array": (0x02, 1, REFUSED),
    "6.2.8.2 bastore into a foreign array": (0x02, 2, REFUSED),
    "6.2.8.2 arraylength of a foreign array": (0x02, 3, REFUSED),
    "6.2.8.2 bastore into a foreign array of booleans": (0x02, 4, REFUSED),
    "6.2.8.2 saload and sastore of a foreign array": (0x02, 5, REFUSED),
    "6.2.8.2 aaload of a foreign array": (0x02, 6, REFUSED),
    "6.2.8.2 aastore into a foreign array": (0x02, 7, REFUSED),
    "6.2.8.2 aastore of a global array": (0x02, 8, REFUSED),
    "6.2.8.2 aastore of a temporary entry point": (0x02, 9, REFUSED),
    "6.2.8.2 aastore of its own object and of a permanent entry point": (0x02, 10, ALLOWED),
    "6.2.8.2 checkcast of a foreign array": (0x02, 11, REFUSED),
    "6.2.8.2 instanceof of a foreign array": (0x02, 12, REFUSED),
    "6.2.8.2 arraylength of a global array": (0x02, 13, ALLOWED),
    "6.2.8.3 fields of its own object": (0x03, 0, ALLOWED),
    "6.2.8.3 getfield of a foreign object": (0x03, 1, REFUSED),
    "6.2.8.3 putfield of a foreign object": (0x03, 2, REFUSED),
    "6.2.8.3 putfield of a reference in a foreign object": (0x03, 3, REFUSED),
    "6.2.8.3 putfield of a global array": (0x03, 4, REFUSED),
    "6.2.8.3 putfield of a temporary entry point": (0x03, 5, REFUSED),
    "6.2.8.3 putfield of a global array in a library's class": (0x03, 6, REFUSED),
    "6.2.8.3 putfield of a foreign object in its own": (0x03, 7, ALLOWED),
    "6.2.8.3 putfield of an exception of the runtime": (0x03, 8, REFUSED),
    "6.2.8.3 putfield of a permanent entry point": (0x03, 9, ALLOWED),
    "6.2.8.4 invokevirtual on its own object": (0x04, 0, ALLOWED),
    "6.2.8.4 invokevirtual on a foreign object": (0x04, 1, REFUSED),
    "6.2.8.4 invokevirtual on entry points": (0x04, 2, ALLOWED),
    "6.2.8.4 invokevirtual of a method of Object on a foreign object": (0x04, 3, REFUSED),
    "6.2.8.5 invokeinterface on its own object": (0x05, 0, ALLOWED),
    "6.2.8.5 invokeinterface on a foreign object": (0x05, 1, REFUSED),
    "6.2.8.6 invokeinterface on a shareable interface object": (0x06, 0, ALLOWED),
    "6.2.8.6 the server does not read an array of the client": (0x06, 1, REFUSED),
    "6.2.8.6 the server reads a global array": (0x06, 2, ALLOWED),
    "6.2.8.6 the server does not read an object of the client": (0x06, 3, REFUSED),
    "6.2.8.6 the server gives no array of the client to an API": (0x06, 4, REFUSED),
    "6.2.8.6 the server gives a global array to an API": (0x06, 5, ALLOWED),
    "6.1.5 the server's CLEAR_ON_DESELECT array while another is selected": (0x06, 6, REFUSED),
    "6.2.8.6 the server reads its own array that comes back": (0x06, 7, ALLOWED),
    "6.2.8.7 athrow of its own exception": (0x07, 0, ALLOWED),
    "6.2.8.7 athrow of a foreign exception": (0x07, 1, REFUSED),
    "6.2.8.7 athrow of the runtime's exception": (0x07, 2, ALLOWED),
    "6.2.8.7 the runtime's exception out of a server": (0x07, 3, ALLOWED),
    "6.2.8.4 invokevirtual on a server's exception": (0x07, 4, REFUSED),
    "6.2.8.8 instanceof of a foreign object and a class": (0x08, 0, REFUSED),
    "6.2.8.8 checkcast of a foreign object to a class": (0x08, 1, REFUSED),
    "6.2.8.8 instanceof of its own object and a class": (0x08, 8, ALLOWED),
    "6.2.8.8 checkcast of its own object to a class": (0x08, 9, ALLOWED),
    "6.2.8.8 instanceof of an entry point": (0x08, 7, ALLOWED),
    "6.2.8.9 instanceof of a foreign object and an interface": (0x08, 2, REFUSED),
    "6.2.8.9 checkcast of a foreign object to an interface": (0x08, 3, REFUSED),
    "6.2.8.9 instanceof of its own object and an interface": (0x08, 10, ALLOWED),
    "6.2.8.10 instanceof of a foreign object that is not shareable": (0x08, 4, REFUSED),
    "6.2.8.10 instanceof of a shareable interface object": (0x08, 5, ALLOWED),
    "6.2.8.10 checkcast of a shareable interface object": (0x08, 6, ALLOWED),
    "6.2.8.11 a method of its own array": (0x0B, 0, ALLOWED),
    "6.2.8.11 a method of a global array": (0x0B, 1, ALLOWED),
    "6.2.8.11 a method of a foreign array": (0x0B, 2, REFUSED),
    "API, Util.arrayCopy of its own and a global array": (0x0C, 0, ALLOWED),
    "API, Util.arrayCopy from a foreign array": (0x0C, 1, REFUSED),
    "API, Util.arrayCopyNonAtomic to a foreign array": (0x0C, 2, REFUSED),
    "API, Util.arrayCompare with a foreign array": (0x0C, 3, REFUSED),
    "API, Util.getShort of a foreign array": (0x0C, 4, REFUSED),
    "API, OwnerPIN.check of a foreign array": (0x0C, 5, REFUSED),
    "API, JCSystem.lookupAID of a foreign array": (0x0C, 6, REFUSED),
    "API, OwnerPIN.check of a global array and its own": (0x0C, 7, ALLOWED),
    "API, AID.equals with a foreign array": (0x0C, 8, REFUSED),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_rule(guest: Host, rule: str) -> None:
    ins, what, expected = RULES[rule]
    assert tries(guest, ins, what) == expected


@pytest.mark.parametrize("rule", [name for name, (_, _, expected) in RULES.items() if expected == REFUSED])
def test_without_a_firewall_every_access_is_let_through(open_guest: Host, rule: str) -> None:
    ins, what, _ = RULES[rule]
    assert tries(open_guest, ins, what) == ALLOWED


@pytest.fixture(scope="module")
def open_guest(caps: tuple[CapFile, ...]) -> Host:
    return card(caps, firewall=False)


def test_10_2_an_access_that_is_refused_and_not_caught_ends_the_command(guest: Host) -> None:
    assert guest.raw(bytes.fromhex("8082010000")).sw == 0x6F00


def test_6_2_2_the_array_that_install_is_given_can_not_be_stored(guest: Host) -> None:
    assert tries(guest, 0x61) == b"\x01\x01"


def test_6_1_2_a_shareable_method_runs_in_its_owners_context(guest: Host) -> None:
    own, other = (bytes((len(aid),)) + aid for aid in (GUEST, VAULT))
    assert tries(guest, 0x60) == own + other


@pytest.mark.parametrize(("own", "seen"), [(0, 0x42), (1, 1)], ids=["of the runtime", "of the server"])
def test_6_1_2_2_an_exception_restores_the_clients_context(guest: Host, own: int, seen: int) -> None:
    answer = tries(guest, 0x62, own)
    # Its AID and no previous one, and its own array can be read again.
    assert answer == bytes((len(GUEST),)) + GUEST + bytes((seen, 0, 45))


def test_6_1_5_nothing_that_is_cleared_on_deselect_is_made_while_another_is_selected(guest: Host) -> None:
    assert tries(guest, 0x63, 4) == (3).to_bytes(2, "big")  # SystemException.ILLEGAL_TRANSIENT


def test_6_2_7_a_server_is_told_who_asks_and_what_for_and_may_refuse(caps: tuple[CapFile, ...]) -> None:
    host = card(caps)
    assert tries(host, 0x70, 1) == b"\x01"
    assert tries(host, 0x70, 2) == b"\x00"
    host.select(VAULT)
    assert host.raw(bytes.fromhex("8000000000")).require("asked")[:-1] == GUEST + b"\x02"


def test_6_2_7_2_a_server_that_is_active_on_another_channel_shares_nothing(caps: tuple[CapFile, ...]) -> None:
    """It can be selected once only: neither asked for a shareable object nor called through one (6.2.8.6)."""
    host = card(caps)
    assert tries(host, 0x06, 0) == ALLOWED
    host.raw(bytes.fromhex("0070000001")).require("open channel 1")
    host.raw(bytes.fromhex("01A40400") + bytes((len(VAULT),)) + VAULT).require("select on channel 1")
    assert host.raw(bytes.fromhex("8070010000")).sw == 0x6F00
    assert tries(host, 0x06, 0) == REFUSED
    host.raw(bytes.fromhex("00708001")).require("close channel 1")
    assert tries(host, 0x06, 0) == ALLOWED


def test_6_1_1_applets_of_one_package_share_a_context(caps: tuple[CapFile, ...]) -> None:
    """No context is switched between them: the caller stays current, and there is no previous one."""
    host = card(caps)
    host.select(CLERK)
    answer = host.raw(bytes.fromhex("8000000000")).require("share")
    assert answer == b"\x00" + bytes((len(CLERK),)) + CLERK + (7).to_bytes(2, "big") + b"\x2a"


def test_5_1_memory_is_cleared_once_no_applet_of_its_package_is_active(caps: tuple[CapFile, ...]) -> None:
    host = card(caps)
    host.select(VAULT)
    assert [host.raw(bytes.fromhex("8000000000")).require("count")[-1] for _ in range(2)] == [1, 2]
    host.select(GUEST)
    host.select(VAULT)
    assert host.raw(bytes.fromhex("8000000000")).require("count")[-1] == 1


def test_6_1_3_what_library_code_makes_is_its_callers(guest: Host) -> None:
    """The guest's box was made by a method of the library: its own (6.2.8.3), not the vault's (6.2.8.6)."""
    assert tries(guest, 0x03, 0) == ALLOWED
    assert tries(guest, 0x06, 3) == REFUSED
