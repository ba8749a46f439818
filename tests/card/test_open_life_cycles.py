"""Life cycles and locks: of applications, of a domain with all under it, of the card."""

from __future__ import annotations

import pytest

from open_card import A1, A102, D1, DOMAIN, ISD, MANAGER, MANAGING_DOMAIN, OpenCard

X1 = bytes.fromhex("F0000000C1")
X2 = bytes.fromhex("F0000000C2")
SD1 = bytes.fromhex("F0000000D501")
SD2 = bytes.fromhex("F0000000D502")


@pytest.fixture
def card() -> OpenCard:
    return OpenCard()


@pytest.fixture
def tree(card: OpenCard) -> OpenCard:
    """Return a card on which SD1 has SD2 under it, which has X1, while X2 is SD1's own."""
    card.install(SD1, MANAGING_DOMAIN, module=MANAGER)
    card.install(X1)
    card.select(SD1)
    card.install(SD2, DOMAIN, module=MANAGER)
    card.install(X2)
    card.select(ISD)
    assert card.extradite(X1, SD2) == 0x9000
    return card


def test_a_locked_application_is_passed_over(card: OpenCard) -> None:
    assert card.set_state(A1, 0x80) == 0x9000
    assert card.state(A1) == 0x87
    assert card.select(A102) == 0x9000
    assert card.select(A1) == 0x9000  # the next one whose name begins so
    assert card.selected() == A102
    card.select(ISD)
    assert card.set_state(A1, 0x07) == 0x9000
    assert card.state(A1) == 0x07
    card.select(A1)
    assert card.selected() == A1
    assert card.se.effects() == ["set-state F0000000A1 87", "set-state F0000000A1 07"]


def test_a_lock_keeps_the_state_it_hides(card: OpenCard) -> None:
    card.select(A1)
    assert card.send("80062F00")[1] == 0x9000
    card.select(ISD)
    card.set_state(A1, 0xFF)
    assert card.state(A1) == 0xAF
    card.set_state(A1, 0x00)
    assert card.state(A1) == 0x2F


def test_a_request_for_the_state_it_is_in_is_refused(card: OpenCard) -> None:
    assert card.set_state(A1, 0x07) == 0x6985
    card.set_state(A1, 0x80)
    assert card.set_state(A1, 0x80) == 0x6985


@pytest.mark.parametrize("state", [0x03, 0x00, 0x08, 0x0E, 0x70])
def test_states_that_no_application_has(card: OpenCard, state: int) -> None:
    card.select(A1)
    assert card.send(f"8006{state:02X}00")[1] == 0x6985
    card.select(ISD)
    assert card.set_state(A1, state) == 0x6985
    assert card.state(A1) == 0x07


def test_an_application_locks_itself_and_cannot_unlock_itself(card: OpenCard) -> None:
    card.select(A1)
    assert card.send("80068000")[1] == 0x9000
    assert card.send("80060700")[1] == 0x6985  # its selection has ended
    card.select(ISD)
    assert card.state(A1) == 0x87


def test_a_domain_is_personalized_once(card: OpenCard) -> None:
    card.select(D1)
    assert card.send("80201700")[1] == 0x6985
    assert card.send("80200F00")[1] == 0x9000
    assert card.send("80200F00")[1] == 0x6985
    card.select(ISD)
    assert card.state(D1) == 0x0F
    assert card.set_state(D1, 0x07) == 0x6985


def test_locking_ends_what_is_selected(card: OpenCard) -> None:
    card.send("0070000001")
    card.select(A1, channel=1)
    assert card.set_state(A1, 0x80) == 0x9000
    assert card.send("81000000") == (b"", 0x6985)
    assert card.select(ISD, channel=1) == 0x9000


class TestAllUnderADomain:
    def test_all_is_locked_and_what_was_locked_alone_stays_locked(self, tree: OpenCard) -> None:
        tree.set_state(X2, 0x80)
        assert tree.set_state_of_all(SD1, 0x80) == 0x9000
        assert {aid: tree.state(aid) for aid in (SD1, SD2, X1, X2, A1)} == {
            SD1: 0x87,
            SD2: 0x87,
            X1: 0x87,
            X2: 0x87,
            A1: 0x07,
        }
        assert [tree.select(aid) for aid in (SD1, SD2, X1, X2)] == [0x6A82] * 4
        assert tree.set_state_of_all(SD1, 0x00) == 0x9000
        assert [tree.state(aid) for aid in (SD1, SD2, X1, X2)] == [0x07, 0x07, 0x07, 0x87]

    def test_one_cannot_be_freed_from_a_lock_of_all(self, tree: OpenCard) -> None:
        tree.set_state_of_all(SD1, 0x80)
        assert tree.set_state(X1, 0x07) == 0x6985
        assert tree.set_state(X2, 0x80) == 0x9000
        assert tree.set_state_of_all(SD1, 0x80) == 0x6985
        tree.set_state_of_all(SD1, 0x00)
        assert tree.state(X2) == 0x87

    def test_locks_of_all_nest(self, tree: OpenCard) -> None:
        tree.set_state_of_all(SD2, 0x80)
        tree.set_state_of_all(SD1, 0x80)
        tree.set_state_of_all(SD1, 0x00)
        assert [tree.state(aid) for aid in (SD1, SD2, X1)] == [0x07, 0x87, 0x87]

    def test_only_domains_have_all_under_them(self, tree: OpenCard) -> None:
        assert tree.set_state_of_all(A1, 0x80) == 0x6A80
        assert tree.set_state_of_all(ISD, 0x80) == 0x6985

    def test_a_domain_locks_itself_with_all_and_is_deselected(self, tree: OpenCard) -> None:
        tree.select(SD1)
        assert tree.set_state_of_all(SD1, 0x80) == 0x9000
        assert tree.send("80210000") == (b"", 0x6985)
        tree.select(ISD)
        assert tree.set_state_of_all(SD1, 0x07) == 0x9000
        assert tree.select(SD1) == 0x9000

    def test_moving_out_of_a_locked_domain_ends_the_lock(self, tree: OpenCard) -> None:
        tree.set_state_of_all(SD2, 0x80)
        assert tree.extradite(X1, SD1) == 0x9000
        assert tree.state(X1) == 0x07


class TestTheCard:
    def test_a_locked_card_answers_its_management_alone(self, card: OpenCard) -> None:
        card.send("0070000001")
        card.select(A1, channel=1)
        other = OpenCard(card.se, "contactless")
        other.select(A1)
        assert card.set_card_state(0x7F) == 0x9000
        assert card.send("81000000") == (b"", 0x6881)
        assert card.select(A1) == 0x6A81
        assert other.send("80210000")[1] == 0x9000
        assert other.select(A1) == 0x6A81
        assert card.send("0070000001") == (b"", 0x6A81)
        assert card.select(ISD) == 0x6283
        assert card.send("80CA0000") == (b"\x7f", 0x9000)
        assert card.install(X1) == 0x6985
        assert card.delete(A1) == 0x6985
        assert card.set_card_state(0x0F) == 0x9000
        assert card.select(ISD) == 0x9000
        assert card.select(A1) == 0x9000
        assert card.se.effects() == ["card-state 7F", "card-state 0F"]

    def test_a_locked_card_stays_locked_over_a_reset(self, card: OpenCard) -> None:
        card.set_card_state(0x7F)
        card.link.reset()
        assert card.send("80CA0000") == (b"\x7f", 0x9000)
        assert card.select(A1) == 0x6A81

    def test_locks_of_applications_outlive_that_of_the_card(self, card: OpenCard) -> None:
        card.set_state(A1, 0x80)
        card.set_card_state(0x7F)
        card.set_card_state(0x0F)
        assert card.state(A1) == 0x87

    def test_a_terminated_card_answers_get_data_alone(self, card: OpenCard) -> None:
        before = card.send("80220000")[0][:4]
        assert card.set_card_state(0xFF) == 0x9000
        assert card.send("80CA0000") == (b"\xff", 0x9000)
        assert card.send("80210000") == (b"", 0x6985)
        assert card.select(ISD) == 0x6A81
        assert card.select(A1) == 0x6A81
        assert card.send("0070000001") == (b"", 0x6A81)
        assert card.set_card_state(0x0F) == 0x6985
        card.link.reset()
        assert card.send("80CA0000") == (b"\xff", 0x9000)
        assert before

    @pytest.mark.parametrize("state", [0x01, 0x07, 0x0F, 0x00, 0x80])
    def test_transitions_that_there_are_not(self, card: OpenCard, state: int) -> None:
        assert card.set_card_state(state) == 0x6985

    def test_only_who_has_the_privilege_locks_or_terminates(self, card: OpenCard) -> None:
        card.select(D1)
        assert card.set_card_state(0x7F) == 0x6985
        assert card.set_card_state(0xFF) == 0x6985

    def test_global_lock_reaches_what_its_holder_does_not_manage(self, card: OpenCard) -> None:
        card.install(SD1, bytes.fromhex("800800"), module=MANAGER)
        card.select(SD1)
        assert card.set_state(A1, 0x80) == 0x9000
        card.select(D1)
        assert card.set_state(A1, 0x07) == 0x6985


class TestContactless:
    def test_only_a_selectable_application_is_activated(self, card: OpenCard) -> None:
        card.set_state(A102, 0x80)
        assert card.set_contactless(A102, 1) == 0x6985
        assert card.set_contactless(D1, 1) == 0x6985
        assert card.set_contactless(A1, 2) == 0x6A80
        assert card.set_contactless(A1, 0) == 0x9000
        assert card.describe(A1)["contactless"] == 0
        assert card.se.effects()[-1] == "contactless F0000000A1 00"

    def test_the_first_state_comes_with_the_parameters(self, card: OpenCard) -> None:
        card.install(X1, parameters=bytes.fromhex("EF05A003810101"))
        assert card.describe(X1)["contactless"] == 0x01
        # Non-activatable is what an application makes itself, nobody else (GP Amendment C clause 3.11.4.2.2).
        assert card.install(X2, parameters=bytes.fromhex("EF05A003810180")) == 0x6A80
