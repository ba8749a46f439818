"""Memory of the virtual card: what it has, what is taken of it, who may have how much. Clauses are in the names."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from opentsm_build.build import build_project
from opentsm_card.aid import Aid
from opentsm_card.delete import DeleteObject
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.load import load_blocks, load_file
from opentsm_simulator import VirtualSe
from opentsm_simulator.profile import MemoryTable, load_profile
from sd_host import CARD_1, CARD_2, ISD, ISD_KEYS, Host

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile

PACKAGE = Aid.from_text("F06F70656E74736D0E08")
MODULE = Aid.from_text("F06F70656E74736D0E0801")
PERSISTENT, RESET, DESELECT = 0, 1, 2
# What the applet answers a SystemException with: its reason.
NO_RESOURCE, ILLEGAL_VALUE = 0x6B05, 0x6B01
NOT_ENOUGH_MEMORY = 0x6A84
HEADER = 8
SOURCES = Path(__file__).parent / "packages" / "hoard"


@cache
def cap() -> CapFile:
    with tempfile.TemporaryDirectory() as out:
        return build_project(SOURCES, Path(out)).conversion.cap


def quotas(**bytes_: int) -> bytes:
    """Return install parameters with system parameters (EF) such as C8=100, each of 2 bytes."""
    values = b"".join(bytes.fromhex(tag) + b"\2" + amount.to_bytes(2, "big") for tag, amount in bytes_.items())
    return b"\xef" + bytes((len(values),)) + values + b"\xc9\0"


class Card:
    """A card with the applet's package loaded."""

    def __init__(self, *, load: bool = True, **memory: int) -> None:
        profile = msgspec.structs.replace(load_profile("embedded"), memory=MemoryTable(**memory))
        self.se = VirtualSe.create(profile, se_id="se-1")
        self.host = Host(self.se.link()).into(ISD, ISD_KEYS)
        if load:
            assert self.load() == 0x9000

    def load(self, parameters: bytes = b"") -> int:
        sw = self.host.sw(InstallForLoad(PACKAGE, parameters=parameters))
        for command in load_blocks(load_file(cap().load_file_data_block()), 200):
            if sw != 0x9000:
                break
            sw = self.host.sw(command)
        return sw

    def install(self, aid: Aid = CARD_1, parameters: bytes = b"") -> int:
        self.host.into(ISD, ISD_KEYS)
        return self.host.sw(InstallForInstall(PACKAGE, MODULE, aid, parameters=parameters))

    def ask(self, ins: int, amount: int = 0) -> Any:
        """Return the number that the applet answers, or its status word as text."""
        answer = self.host.raw(bytes((0x80, ins, amount >> 8, amount & 0xFF, 0)))
        return int.from_bytes(answer.data, "big") if answer.sw == 0x9000 else f"{answer.sw:04X}"

    def free(self, kind: int = PERSISTENT) -> int:
        return int(self.ask(0x08, kind))


@pytest.fixture
def card() -> Card:
    made = Card()
    assert made.install() == 0x9000
    made.host.select(bytes(CARD_1))
    return made


@pytest.mark.parametrize(("ins", "kind"), [(0x01, PERSISTENT), (0x02, RESET), (0x03, DESELECT)])
def test_jc_api_get_available_memory_says_what_is_left(card: Card, ins: int, kind: int) -> None:
    others = {other: card.free(other) for other in (PERSISTENT, RESET, DESELECT) if other != kind}
    before = card.free(kind)
    assert card.ask(ins, 100) == 1 << 16 | 0 or card.ask(ins, 0) is not None
    assert before - card.free(kind) >= 100 + HEADER
    assert {other: card.free(other) for other in others} == others


def test_jc_api_the_short_form_says_at_most_32767(card: Card) -> None:
    assert card.free() > 32767
    assert card.ask(0x06, PERSISTENT) == 32767


def test_jc_api_get_available_memory_refuses_other_kinds(card: Card) -> None:
    assert card.ask(0x08, 9) == f"{ILLEGAL_VALUE:04X}"


@pytest.mark.parametrize(("ins", "kind"), [(0x01, PERSISTENT), (0x02, RESET), (0x03, DESELECT)])
def test_jc_api_no_resource_where_the_card_has_no_more(ins: int, kind: int) -> None:
    sizes = Card(load=False).se.figures()
    used = sizes[2] - sizes[3]
    made = Card(non_volatile=used + len(cap().load_file_data_block()) + 2000, reset=5000, deselect=8000)
    assert made.install() == 0x9000
    made.host.select(bytes(CARD_1))
    left = made.free(kind)
    assert made.ask(ins, left - HEADER + 1) == f"{NO_RESOURCE:04X}"
    assert made.free(kind) == left, "what was refused has taken nothing"
    assert made.ask(ins, left - HEADER) != f"{NO_RESOURCE:04X}"
    assert made.free(kind) == 0


def test_jcre_11_3_what_nothing_reaches_is_deleted_when_an_applet_asks(card: Card) -> None:
    assert card.ask(0x07) >> 16 == 1, "JCSystem.isObjectDeletionSupported"
    before = [card.free(kind) for kind in (PERSISTENT, RESET, DESELECT)]
    for ins in (0x01, 0x02, 0x03):
        card.ask(ins, 50)
    card.ask(0x04)
    assert card.free() < before[0], "dropped, and still there"
    card.ask(0x05)
    assert [card.free(kind) for kind in (PERSISTENT, RESET, DESELECT)] == before


def test_jcre_11_3_what_is_reached_stays(card: Card) -> None:
    card.ask(0x01, 50)
    taken = card.free()
    card.ask(0x05)
    assert card.free() == taken
    assert card.ask(0x09) >> 24 == 5, "and works"


def test_what_object_deletion_leaves_works_as_before(card: Card) -> None:
    """All of the card's own applications are still there, with all they hold."""
    before = card.se.contents()
    card.ask(0x05)
    assert {name: held for name, held in card.se.contents().items() if name != str(CARD_1)} == {
        name: held for name, held in before.items() if name != str(CARD_1)
    }
    card.host.into(ISD, ISD_KEYS)
    assert card.host.entry(CARD_1) is not None


class TestGpClause9x7:
    """GP Card 2.3.1, 9.7: quotas and reservations of the system parameters (table 11-49)."""

    def test_an_instance_takes_no_more_than_its_quota(self) -> None:
        card = Card()
        assert card.install(parameters=quotas(C8=600, C7=100)) == 0x9000
        card.host.select(bytes(CARD_1))
        left = card.free()
        assert 0 < left < 600
        assert card.ask(0x01, left - HEADER + 1) == f"{NO_RESOURCE:04X}"
        assert card.ask(0x01, left - HEADER) != f"{NO_RESOURCE:04X}"
        assert card.free(RESET) == card.free(DESELECT) == 100
        card.ask(0x02, 42)
        assert card.free(RESET) == card.free(DESELECT) == 50, "volatile memory is one"

    def test_an_installation_beyond_its_quota_is_refused_and_leaves_nothing(self) -> None:
        card = Card()
        before = card.se.figures()
        assert card.install(parameters=quotas(C8=60)) == NOT_ENOUGH_MEMORY
        card.host.into(ISD, ISD_KEYS)
        assert card.host.entry(CARD_1) is None
        assert card.se.figures() == before

    def test_what_is_reserved_for_one_nobody_else_has(self) -> None:
        card = Card()
        assert card.install(CARD_2) == 0x9000
        card.host.select(bytes(CARD_2))
        before = card.free(), card.free(RESET)
        assert card.install(CARD_1, quotas(D8=10000, D7=1000)) == 0x9000
        card.host.select(bytes(CARD_2))
        assert before[0] - card.free() == 10000
        assert before[1] - card.free(RESET) == 1000
        card.host.into(ISD, ISD_KEYS)
        card.host.done(DeleteObject(CARD_1))
        card.host.select(bytes(CARD_2))
        assert (card.free(), card.free(RESET)) == before

    @pytest.mark.parametrize("tag", ["D7", "D8"])
    def test_more_than_there_is_can_t_be_reserved(self, tag: str) -> None:
        figures = Card(load=False).se.figures()
        used = figures[2] - figures[3]
        card = Card(non_volatile=used + len(cap().load_file_data_block()) + 3000, reset=6000, deselect=8000)
        assert card.install(parameters=quotas(**{tag: 9000})) == NOT_ENOUGH_MEMORY
        assert card.install() == 0x9000

    @pytest.mark.parametrize("tag", ["C6", "C7", "C8"])
    def test_a_load_file_that_needs_more_than_there_is_is_refused(self, tag: str) -> None:
        figures = Card(load=False).se.figures()
        used = figures[2] - figures[3]
        card = Card(load=False, non_volatile=used + len(cap().load_file_data_block()) + 3000, reset=6000, deselect=8000)
        values = bytes.fromhex(tag) + b"\2" + (20000).to_bytes(2, "big")
        assert card.load(b"\xef" + bytes((len(values),)) + values) == NOT_ENOUGH_MEMORY
        assert card.load() == 0x9000

    def test_code_that_does_not_fit_is_refused(self) -> None:
        figures = Card(load=False).se.figures()
        card = Card(load=False, non_volatile=figures[2] - figures[3] + 100)
        assert card.load() == NOT_ENOUGH_MEMORY


def test_an_applet_that_wants_too_much_at_once_is_not_installed() -> None:
    """GP Card 2.3.1, 11.5.3.2: 6A84."""
    figures = Card(load=False).se.figures()
    card = Card(non_volatile=figures[2] - figures[3] + len(cap().load_file_data_block()) + 2000)
    parameters = InstallParameters(application=(3000).to_bytes(2, "big")).encode()
    assert card.install(parameters=parameters) == NOT_ENOUGH_MEMORY
    assert card.install(parameters=InstallParameters(application=(100).to_bytes(2, "big")).encode()) == 0x9000


def test_deletion_gives_everything_back(card: Card) -> None:
    card.host.into(ISD, ISD_KEYS)
    card.host.done(DeleteObject(CARD_1), DeleteObject(PACKAGE))
    assert card.se.figures() == Card(load=False).se.figures()


def test_a_profile_says_what_objects_take() -> None:
    plain, padded = (Card(object_header=0, array_header=header, boundary=each) for header, each in ((0, 1), (12, 16)))
    taken = []
    for card in (plain, padded):
        assert card.install() == 0x9000
        card.host.select(bytes(CARD_1))
        before = card.free()
        card.ask(0x01, 33)
        taken.append(before - card.free())
    assert taken == [33, 48]
