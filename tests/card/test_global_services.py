"""Global services and cardholder verification methods (GP Card Specification 2.3.1, 8.1 and 8.2; GP Card API 1.7)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from opentsm_build.build import build_project
from opentsm_card.delete import DeleteObject
from opentsm_card.privileges import Privilege
from opentsm_card.set_status import SetStatus
from probe_card import CVM, GLOBAL_PIN, NONE, P1, P2, Probe, ProbeCard
from sd_host import Host

if TYPE_CHECKING:
    from opentsm_build.cap import CapFile

SOURCES: Final = Path(__file__).resolve().parents[2] / "applets" / "cardholder-verification"
SERVICE: Final = 0x8805
PIN: Final = b"\x12\x34"
ASCII, BCD, HEX = 1, 2, 3


@pytest.fixture(scope="module")
def pin_cap(tmp_path_factory: pytest.TempPathFactory) -> CapFile:
    """The cardholder verification package as a CAP file, built by the project's own toolchain."""
    return build_project(SOURCES, tmp_path_factory.mktemp("cvm")).conversion.cap


@pytest.fixture
def card() -> ProbeCard:
    return ProbeCard()


class TestGlobalService:
    """Privilege 15, clauses 6.6.2.7, 8.1; GP Card API, GPRegistryEntry.registerService and GPSystem.getService."""

    NAME = SERVICE.to_bytes(2, "big")

    def test_with_it_a_service_is_registered_and_found_by_all(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.GLOBAL_SERVICE, services=self.NAME)
        card.install(P2)
        assert card.probe(P2).service(SERVICE) is None  # not registered yet
        assert card.probe(P2).service(SERVICE, P1) == (P1, P2)  # but recorded, and named
        assert card.probe(P1).register(SERVICE)
        assert card.probe(P2).service(SERVICE) == (P1, P2)
        assert card.probe(P2).service(SERVICE & 0xFF00) == (P1, P2)  # any of the family
        assert card.probe(P1).deregister(SERVICE)
        assert card.probe(P2).service(SERVICE) is None

    def test_without_it_nothing_is_registered_or_found(self, card: ProbeCard) -> None:
        card.install(P1, services=self.NAME)
        card.install(P2)
        assert not card.probe(P1).register(SERVICE)
        assert card.probe(P2).service(SERVICE, P1) is None

    def test_what_is_not_recorded_is_not_registered(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.GLOBAL_SERVICE, services=self.NAME)
        card.install(P2, Privilege.GLOBAL_SERVICE)
        assert not card.probe(P1).register(SERVICE + 1)
        assert not card.probe(P1).register(SERVICE & 0xFF00)
        assert not card.probe(P2).register(SERVICE)

    def test_a_recorded_family_covers_its_services(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.GLOBAL_SERVICE, services=b"\x88\x00")
        card.install(P2)
        assert card.probe(P1).register(SERVICE)
        assert card.probe(P2).service(SERVICE) == (P1, P2)

    def test_a_name_is_one_application_s(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.GLOBAL_SERVICE, services=b"\x88\x00")
        card.install(P2, Privilege.GLOBAL_SERVICE, services=b"\x88\x00" + self.NAME)
        assert card.probe(P1).register(SERVICE)
        assert not card.probe(P1).register(SERVICE)
        for name in (SERVICE, 0x8800):
            assert not card.probe(P2).register(name)
        assert not card.probe(P2).deregister(SERVICE)
        assert card.probe(P2).register(SERVICE + 1)
        assert card.delete(P1) == 0x9000  # its names go with it
        assert card.probe(P2).register(SERVICE)

    def test_one_that_is_locked_or_lost_its_privilege_serves_no_more(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.GLOBAL_SERVICE, services=self.NAME)
        card.install(P2)
        assert card.probe(P1).register(SERVICE)
        card.sw(SetStatus.lock(P1))
        assert card.probe(P2).service(SERVICE) is None
        card.sw(SetStatus.unlock(P1))
        assert card.probe(P2).service(SERVICE) is not None
        card.update(P1, NONE)
        assert card.probe(P2).service(SERVICE) is None

    def test_the_global_pin_is_a_service(self, card: ProbeCard) -> None:
        card.install(P2)
        assert not card.probe(P2).has_pin()
        assert card.pin() == 0x9000
        assert card.probe(P2).has_pin()
        assert card.delete(CVM) == 0x9000
        assert not card.probe(P2).has_pin()

    def test_an_application_that_can_not_register_is_not_installed(self, card: ProbeCard) -> None:
        card.install(P1, Privilege.GLOBAL_SERVICE, services=GLOBAL_PIN.to_bytes(2, "big"))
        assert card.probe(P1).register(GLOBAL_PIN)
        assert card.pin() == 0x6985
        assert card.issuer().entry(CVM) is None


class TestCvmManagement:
    """Privilege 6, clauses 6.6.2.6, 8.2."""

    @pytest.fixture(params=["built in", "loaded as a CAP file"])
    def pin(self, request: pytest.FixtureRequest, pin_cap: CapFile) -> ProbeCard:
        """Return a card with a global PIN, a manager P1 and a user P2."""
        card = ProbeCard(pin_cap=pin_cap if request.param.startswith("loaded") else None)
        assert card.pin() == 0x9000
        card.install(P1, Privilege.CVM_MANAGEMENT)
        card.install(P2)
        return card

    def test_its_holder_manages_the_pin_and_all_verify_it(self, pin: ProbeCard) -> None:
        manager = pin.probe(P1)
        assert manager.pin_state() == (set(), 0)
        assert manager.pin(2, 3)
        assert manager.pin(1, BCD, PIN)
        assert manager.pin_state() == ({"active"}, 3)
        user = pin.probe(P2)
        assert not user.pin(0, BCD, b"\x12\x35")
        assert user.pin_state() == ({"active", "submitted"}, 2)
        assert user.pin(0, BCD, PIN)
        assert user.pin_state() == ({"active", "submitted", "verified"}, 3)

    def test_without_it_nothing_of_the_pin_is_changed(self, pin: ProbeCard) -> None:
        manager = pin.probe(P1)
        assert manager.pin(2, 3)
        assert manager.pin(1, BCD, PIN)
        user = pin.probe(P2)
        for what, value, data in ((1, BCD, b"\x99\x99"), (2, 9, b""), (4, 0, b""), (5, 0, b"")):
            assert not user.pin(what, value, data)
        assert user.pin(0, BCD, PIN)
        assert user.pin(3)  # resetting the state is anyone's
        assert user.pin_state() == ({"active"}, 3)

    def test_a_manager_that_lost_it_manages_no_more(self, pin: ProbeCard) -> None:
        assert pin.probe(P1).pin(2, 3)
        pin.update(P1, NONE)
        assert not pin.probe(P1).pin(2, 4)

    def test_a_client_that_was_deleted_disturbs_no_other(self, pin: ProbeCard) -> None:
        assert pin.host.select(CVM).sw == 0x9000
        probe = Probe(Host(pin.se.link()))
        assert probe.host.select(P2).sw == 0x9000
        assert not probe.pin(2, 3)
        pin.issuer().done(DeleteObject(P2))
        probe = Probe(pin.host)
        assert probe.host.select(P1).sw == 0x9000
        assert probe.pin(2, 3)

    def test_tries_end_and_the_manager_unblocks(self, pin: ProbeCard) -> None:
        manager = pin.probe(P1)
        assert manager.pin(2, 2)
        assert manager.pin(1, HEX, b"\xaa\xbb")
        for _ in range(2):
            assert not manager.pin(0, HEX, b"\xaa\xbc")
        assert manager.pin_state() == ({"active", "blocked"}, 0)
        assert not manager.pin(0, HEX, b"\xaa\xbb")
        assert not manager.pin(3)
        manager.host.link.reset()
        manager = pin.probe(P1)
        assert manager.pin_state() == ({"active", "blocked"}, 0)
        assert manager.pin(5)
        assert manager.pin_state() == ({"active"}, 2)
        assert manager.pin(0, HEX, b"\xaa\xbb")
        assert manager.pin(4)
        assert manager.pin_state()[0] == {"active", "blocked"}

    def test_what_was_verified_is_forgotten_at_a_reset_and_tries_are_not(self, pin: ProbeCard) -> None:
        manager = pin.probe(P1)
        assert manager.pin(2, 5)
        assert manager.pin(1, ASCII, b"1234")
        assert manager.pin(0, ASCII, b"1234")
        assert not manager.pin(0, ASCII, b"1235")
        assert pin.probe(P1).pin_state() == ({"active"}, 4)

    @pytest.mark.parametrize(
        ("stored", "presented", "equal"),
        [
            ((BCD, "1234"), (ASCII, b"1234".hex()), True),
            ((BCD, "123F"), (ASCII, b"123".hex()), True),
            ((BCD, "123F"), (BCD, "123F"), True),
            ((BCD, "123F"), (ASCII, b"1234".hex()), False),
            ((ASCII, b"1234".hex()), (BCD, "1234"), True),
            ((ASCII, b"12345".hex()), (BCD, "12345F"), True),
            ((ASCII, b"12a4".hex()), (BCD, "1234"), False),
            ((BCD, "1234"), (ASCII, b"12a4".hex()), False),
            ((BCD, "1234"), (HEX, "1234"), False),
            ((HEX, "1234"), (BCD, "1234"), False),
            ((HEX, "1234"), (HEX, "1234"), True),
            ((HEX, "1234"), (HEX, "123400"), False),
        ],
    )
    def test_formats(self, pin: ProbeCard, stored: tuple[int, str], presented: tuple[int, str], *, equal: bool) -> None:
        """GP Card API 1.7, CVM.verify: digits are compared across ASCII and BCD, HEX with HEX alone."""
        manager = pin.probe(P1)
        assert manager.pin(2, 3)
        assert manager.pin(1, stored[0], bytes.fromhex(stored[1]))
        assert manager.pin(0, presented[0], bytes.fromhex(presented[1])) == equal

    def test_values_that_are_none(self, pin: ProbeCard) -> None:
        manager = pin.probe(P1)
        for form, value in ((BCD, "1A"), (BCD, "F1"), (4, "12"), (HEX, "00" * 17)):
            assert not manager.pin(1, form, bytes.fromhex(value))
        assert not manager.pin(2, 0)

    def test_a_transaction_takes_no_try_back(self, pin: ProbeCard) -> None:
        manager = pin.probe(P1)
        assert manager.pin(2, 3)
        assert manager.pin(1, HEX, PIN)
        assert not manager.pin(6, HEX, PIN)  # nothing is verified within one
        assert manager.pin_state() == ({"active"}, 3)


def test_aborting_a_transaction_gives_an_application_s_own_pin_no_try_back(card: ProbeCard) -> None:
    """JC API 3.0.5, OwnerPIN.check: the try counter is no part of a transaction."""
    card.install(P1)
    probe = card.probe(P1)
    assert [probe.call(0x20, data=bytes(4)) for _ in range(4)] == [b"\x02", b"\x01", b"\x00", b"\x00"]
