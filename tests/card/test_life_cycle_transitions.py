"""Every transition of every life cycle, by each who may ask for it (GP Card Specification 2.3.1, 5.1 to 5.3, 11.10)."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest

from opentsm_card.apdu import CommandApdu
from opentsm_card.install import InstallForExtradition, InstallForInstall, InstallForMakeSelectable
from opentsm_card.lifecycle import CardState
from opentsm_card.privileges import Privilege
from opentsm_card.set_status import SetStatus, StatusType
from opentsm_simulator import VirtualSe
from opentsm_simulator.profile import load_profile
from probe_card import P1, PROBE_PACKAGE, PROFILE, SD, SD1, SD2, ProbeCard
from sd_host import ISD, ISD_KEYS, SD_MODULE, SD_PACKAGE, Host, keys

REFUSED: Final = 0x6985
OP_READY, INITIALIZED, SECURED = CardState.OP_READY, CardState.INITIALIZED, CardState.SECURED
LOCKED, TERMINATED = CardState.CARD_LOCKED, CardState.TERMINATED
# Figure 5-1: a sequence in which states may be skipped, and CARD_LOCKED turned back from.
CARD: Final = {
    OP_READY: {INITIALIZED, SECURED, TERMINATED},
    INITIALIZED: {SECURED, TERMINATED},
    SECURED: {LOCKED, TERMINATED},
    LOCKED: {SECURED, TERMINATED},
    TERMINATED: set[CardState](),
}


def card_in(state: CardState) -> Host:
    """Return a card in a state, its issuer's domain selected."""
    born = "SECURED" if state is TERMINATED else state.name
    se = VirtualSe.create(msgspec.structs.replace(load_profile(str(PROFILE)), card_state=born))
    host = Host(se.link())
    if state is TERMINATED:
        host.into(ISD, ISD_KEYS).done(SetStatus.card(TERMINATED))
    return host


class TestCard:
    @pytest.mark.parametrize("to", list(CardState), ids=lambda state: state.name)
    @pytest.mark.parametrize("start", [state for state in CardState if state is not TERMINATED], ids=lambda s: s.name)
    def test_each_transition(self, start: CardState, to: CardState) -> None:
        host = card_in(start).into(ISD, ISD_KEYS)
        assert host.state(ISD) == start
        allowed = to in CARD[start]
        assert host.sw(SetStatus.card(to)) == (0x9000 if allowed else REFUSED)
        if not (allowed and to is TERMINATED):
            assert host.into(ISD, ISD_KEYS).state(ISD) == (to if allowed else start)

    @pytest.mark.parametrize("state", [0x00, 0x03, 0x1F, 0x3F, 0x80, 0x8F, 0xFE])
    def test_states_that_are_none(self, state: int) -> None:
        host = card_in(SECURED).into(ISD, ISD_KEYS)
        assert host.sw(CommandApdu(0x80, 0xF0, 0x80, state)) == 0x6A80
        assert host.state(ISD) == SECURED

    @pytest.mark.parametrize("to", list(CardState), ids=lambda state: state.name)
    def test_a_supplementary_domain_does_what_its_privileges_say(self, to: CardState) -> None:
        card = ProbeCard()
        host = card.domain(SD1, Privilege.CARD_LOCK)
        assert host.sw(SetStatus.card(to)) == (0x9000 if to is LOCKED else REFUSED)

    def test_the_end_is_final(self) -> None:
        host = card_in(TERMINATED)
        for command in (
            "80F0800F",
            "80F0807F",
            "80500000080000000000000000",
            "00A4040000",
            "0070000001",
            "80F28002024F00",
        ):
            assert host.raw(bytes.fromhex(command)).sw in {REFUSED, 0x6A81}
        host.link.reset()
        assert host.raw(bytes.fromhex("80CA006600")).sw == 0x9000
        assert host.raw(bytes.fromhex("80CA9F7F00")).sw == 0x9000

    def test_what_a_locked_card_answers(self) -> None:
        host = card_in(LOCKED)
        assert host.select(ISD).sw == 0x6283
        assert host.raw(bytes.fromhex("80CA006600")).sw == 0x9000
        host.open(ISD_KEYS)
        assert host.registry().complete
        for command in (
            InstallForInstall(SD_PACKAGE, SD_MODULE, SD1, SD),
            CommandApdu(0x80, 0xE4, 0, 0, b"\x4f\x05" + PROBE_PACKAGE),
            CommandApdu(0x80, 0xD8, 0, 0x81, b"\x30", 256),
            CommandApdu(0x80, 0xE2, 0x80, 0, bytes.fromhex("420101")),
            SetStatus.lock(P1),
        ):
            assert host.sw(command) == REFUSED
        assert host.sw(SetStatus.card(SECURED)) == 0x9000


# Of an application (figure 5-2): state before, what SET STATUS (P1 40) asks for, state after or None where refused.
APPLICATION: Final = [
    (0x03, 0x80, 0x83),
    (0x03, 0x83, 0x83),
    (0x03, 0x07, None),  # only INSTALL makes selectable
    (0x03, 0x03, None),
    (0x03, 0x0F, None),
    (0x83, 0x00, 0x03),
    (0x83, 0x07, 0x03),  # b8 alone counts: the state before comes back
    (0x83, 0x83, None),
    (0x07, 0x80, 0x87),
    (0x07, 0xFF, 0x87),
    (0x07, 0x03, None),
    (0x07, 0x07, None),
    (0x07, 0x0F, None),  # its own states are its own to set
    (0x87, 0x00, 0x07),
    (0x87, 0x03, 0x07),
    (0x87, 0x80, None),
    (0x2F, 0x80, 0xAF),
    (0x2F, 0x07, None),
    (0xAF, 0x00, 0x2F),
    (0xAF, 0x07, 0x2F),
    (0xAF, 0xFF, None),
]


class TestApplication:
    @staticmethod
    def made(card: ProbeCard, state: int) -> None:
        """Make the application in a state."""
        assert card.install(P1, selectable=state & 0x7F != 0x03) == 0x9000
        if state & 0x7F not in {0x03, 0x07}:
            assert card.probe(P1).set_own_state(state & 0x7F)
        if state & 0x80:
            assert card.sw(SetStatus.lock(P1)) == 0x9000

    @pytest.mark.parametrize(("before", "asked", "after"), APPLICATION)
    def test_by_its_security_domain(self, before: int, asked: int, after: int | None) -> None:
        card = ProbeCard()
        self.made(card, before)
        host = card.issuer()
        assert host.state(P1) == before
        assert host.sw(SetStatus(StatusType.APPLICATION, asked, P1)) == (REFUSED if after is None else 0x9000)
        assert host.state(P1) == (before if after is None else after)

    @pytest.mark.parametrize("own", [0x07, 0x0F, 0x17, 0x47, 0x7F])
    def test_to_and_from_states_of_its_own(self, own: int) -> None:
        card = ProbeCard()
        self.made(card, 0x07)
        probe = card.probe(P1)
        assert probe.set_own_state(own) == (own != 0x07)
        assert probe.set_own_state(0x27)
        assert not any(probe.set_own_state(none) for none in (0x03, 0x01, 0x00, 0x0E, 0x27))
        assert probe.state() == 0x27

    @pytest.mark.parametrize("state", [0x07, 0x0F, 0x83, 0x87])
    def test_only_what_is_installed_becomes_selectable(self, state: int) -> None:
        card = ProbeCard()
        self.made(card, state)
        expected = 0x9000 if state == 0x83 else REFUSED
        assert card.sw(InstallForMakeSelectable(P1)) == expected
        assert card.issuer().state(P1) == (0x87 if state == 0x83 else state)  # it stays locked

    def test_who_locks_and_unlocks(self) -> None:
        """5.3.1.4, 9.6.2: its domain and those above it, whoever has Global Lock, and itself (not unlocking)."""
        card = ProbeCard()
        above = card.domain(SD1, Privilege.AUTHORIZED_MANAGEMENT)
        above.done(InstallForInstall(SD_PACKAGE, SD_MODULE, SD2, SD))
        above.into(SD2, keys(0x31, 1))
        above.put_keys(keys(0x32, 2)).require("PUT KEY")
        above.into(SD1, keys(0x31, 1))
        assert card.install(P1, host=above) == 0x9000
        above.done(InstallForExtradition(SD2, P1))
        for aid, key_set in ((SD2, keys(0x32, 2)), (SD1, keys(0x31, 1)), (ISD, ISD_KEYS)):
            host = Host(card.se.link()).into(aid, key_set)
            host.done(SetStatus.lock(P1), SetStatus.unlock(P1))
        assert card.probe(P1).set_own_state(0x80)
        below = Host(card.se.link()).into(SD2, keys(0x32, 2))
        below.done(SetStatus.unlock(P1))
        assert below.sw(SetStatus.lock(SD1)) == REFUSED  # nobody locks what is above it

    def test_a_deleted_application_has_no_state(self) -> None:
        card = ProbeCard()
        self.made(card, 0x07)
        assert card.delete(P1) == 0x9000
        assert card.sw(SetStatus.lock(P1)) == 0x6A88


class TestItself:
    """What an application does to its own state: clauses 5.3.1, 9.6; GP Card API, setCardContentState."""

    def test_states_of_its_own(self) -> None:
        card = ProbeCard()
        card.install(P1)
        probe = card.probe(P1)
        assert all(probe.set_own_state(state) for state in (0x0F, 0x47, 0x7F, 0x07))
        assert not any(probe.set_own_state(state) for state in (0x03, 0x00, 0x08, 0x06, 0x07))
        assert probe.state() == 0x07

    def test_it_locks_itself_and_others_unlock_it(self) -> None:
        card = ProbeCard()
        card.install(P1)
        probe = card.probe(P1)
        probe.set_own_state(0x2F)
        assert probe.set_own_state(0x80)
        assert probe.call(0x11) == 0x6985  # its selection ended
        host = card.issuer()
        assert host.state(P1) == 0xAF
        host.done(SetStatus.unlock(P1))
        assert host.state(P1) == 0x2F

    def test_through_its_registry_entry(self) -> None:
        card = ProbeCard()
        card.install(P1)
        probe = card.probe(P1)
        assert probe.set_state(P1, 0x0F)
        assert probe.set_state(P1, 0x03) is False
        assert probe.set_state(P1, 0x80)
        assert card.issuer().state(P1) == 0x8F


# Of a supplementary security domain (figure 5-3): before, asked for by the domain above, after.
DOMAIN: Final = [
    (0x03, 0x80, 0x83),
    (0x03, 0x07, None),
    (0x03, 0x0F, None),
    (0x83, 0x00, 0x03),
    (0x07, 0x80, 0x87),
    (0x07, 0x0F, None),  # it is PERSONALIZED when it has keys, and not before
    (0x07, 0x03, None),
    (0x87, 0x00, 0x07),
    (0x0F, 0x80, 0x8F),
    (0x0F, 0x8F, 0x8F),
    (0x0F, 0x07, None),
    (0x0F, 0x0F, None),
    (0x8F, 0x00, 0x0F),
    (0x8F, 0x07, 0x0F),
    (0x8F, 0x80, None),
]


class TestSecurityDomain:
    @pytest.mark.parametrize(("before", "asked", "after"), DOMAIN)
    @pytest.mark.parametrize("kind", [StatusType.APPLICATION, StatusType.SECURITY_DOMAIN_AND_APPLICATIONS])
    def test_by_the_domain_above(self, kind: StatusType, before: int, asked: int, after: int | None) -> None:
        card = ProbeCard()
        if before & 0x7F == 0x0F:
            card.domain(SD1)
        else:
            card.sw(InstallForInstall(SD_PACKAGE, SD_MODULE, SD1, SD, make_selectable=before & 0x7F != 0x03))
        host = card.issuer()
        if before & 0x80:
            host.done(SetStatus(kind, 0x80, SD1))
        assert host.state(SD1) == before
        assert host.sw(SetStatus(kind, asked, SD1)) == (REFUSED if after is None else 0x9000)
        assert host.state(SD1) == (before if after is None else after)

    def test_it_becomes_personalized_with_its_first_keys(self) -> None:
        card = ProbeCard()
        card.sw(InstallForInstall(SD_PACKAGE, SD_MODULE, SD1, SD, make_selectable=False))
        assert card.host.select(SD1).sw == 0x6A82
        card.sw(InstallForMakeSelectable(SD1))
        assert card.issuer().state(SD1) == 0x07
        card.host.into(SD1, ISD_KEYS)
        card.host.put_keys(keys(0x31, 1)).require("PUT KEY")
        assert card.issuer().state(SD1) == 0x0F

    def test_the_issuer_s_has_the_card_s(self) -> None:
        host = ProbeCard().issuer()
        for kind in (StatusType.APPLICATION, StatusType.SECURITY_DOMAIN_AND_APPLICATIONS):
            for state in (0x80, 0x00, 0x07, 0x0F):
                assert host.sw(SetStatus(kind, state, ISD)) in {REFUSED, 0x6A88}
        assert host.state(ISD) == SECURED


class TestLoadFile:
    def test_it_is_loaded_until_it_is_deleted(self) -> None:
        """5.2: LOADED is its only state, and SET STATUS knows none of it."""
        card = ProbeCard()
        host = card.issuer()
        assert host.state(PROBE_PACKAGE) == 0x01
        for state in (0x80, 0x00, 0x01):
            assert host.sw(SetStatus(StatusType.APPLICATION, state, PROBE_PACKAGE)) in {REFUSED, 0x6A88}
        assert host.delete(PROBE_PACKAGE) == 0x9000
        assert host.entry(PROBE_PACKAGE) is None


@pytest.mark.parametrize(("p1", "sw"), [(0x00, 0x6A86), (0x20, 0x6A86), (0x10, 0x6A86), (0xC0, 0x6A86), (0x41, 0x6A86)])
def test_what_set_status_does_not_know(p1: int, sw: int) -> None:
    """Table 11-86."""
    host = ProbeCard().issuer()
    assert host.sw(CommandApdu(0x80, 0xF0, p1, 0x80, bytes(ISD))) == sw
