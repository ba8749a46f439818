"""Content management by the OPEN: installation, extradition, registry update, deletion, and what is never allowed."""

from __future__ import annotations

import pytest

from open_card import (
    A1,
    A102,
    B1,
    D1,
    DOMAIN,
    ECHO,
    ISD,
    LOAD_FILE,
    LONE,
    LONE_FILE,
    MANAGER,
    MANAGING_DOMAIN,
    OpenCard,
)

X1 = bytes.fromhex("F0000000C1")
X2 = bytes.fromhex("F0000000C2")
SD1 = bytes.fromhex("F0000000D501")
SD2 = bytes.fromhex("F0000000D502")


@pytest.fixture
def card() -> OpenCard:
    return OpenCard()


def test_the_registry_lists_what_the_profile_says(card: OpenCard) -> None:
    assert card.list(0x80) == [ISD]
    assert card.list(0x40) == [A1, A102, B1, D1]
    assert card.list(0x20) == [LOAD_FILE, LONE_FILE]
    assert card.describe(A1) == {
        "kind": 3,
        "state": 0x07,
        "privileges": bytes(3),
        "contactless": 1,
        "domain": ISD,
        "load_file": LOAD_FILE,
        "version": bytes.fromhex("0207"),
    }
    assert card.describe(LONE_FILE)["state"] == 0x01
    assert card.describe(ISD)["domain"] == ISD
    assert card.describe(ISD)["state"] == 0x0F
    assert card.se.effects() == []


def test_an_installed_application_is_not_selectable_until_it_is_made_so(card: OpenCard) -> None:
    assert card.install(X1, selectable=False) == 0x9000
    assert card.state(X1) == 0x03
    assert card.select(X1) == 0x6A82
    assert card.make_selectable(X1) == 0x9000
    assert card.make_selectable(X1) == 0x6985
    assert card.select(X1) == 0x9000
    assert card.se.effects() == ["install F0000000C1", "make-selectable F0000000C1"]


def test_the_load_file_may_be_left_out(card: OpenCard) -> None:
    assert card.install(X1, load_file=b"") == 0x9000
    assert card.describe(X1)["load_file"] == LOAD_FILE


def test_installation_refuses_what_is_not_there(card: OpenCard) -> None:
    assert card.install(X1, load_file=X2) == 0x6A88
    assert card.install(X1, load_file=A1) == 0x6A88
    assert card.install(X1, module=LONE) == 0x6A88
    assert card.install(X1, module=LOAD_FILE) == 0x6A88


@pytest.mark.parametrize("aid", [A1, ISD, LOAD_FILE])
def test_installation_refuses_a_name_that_is_taken(card: OpenCard, aid: bytes) -> None:
    assert card.install(aid) == 0x6985


@pytest.mark.parametrize("aid", [b"", bytes(4), bytes(17)])
def test_installation_refuses_what_is_no_aid(card: OpenCard, aid: bytes) -> None:
    assert card.install(aid) == 0x6A80


@pytest.mark.parametrize(
    ("parameters", "sw"),
    [("C901FF", 0x6A84), ("C901FE", 0x6985), ("C902FF", 0x6A80), ("C9", 0x6A80), ("EF04CF0280", 0x6A80)],
)
def test_a_failed_installation_leaves_nothing(card: OpenCard, parameters: str, sw: int) -> None:
    assert card.install(X1, parameters=bytes.fromhex(parameters)) == sw
    assert card.describe(X1) == {"sw": 0x6A88}
    assert card.se.effects() == []
    assert card.install(X1) == 0x9000


def test_one_byte_of_privileges_stands_for_three(card: OpenCard) -> None:
    assert card.install(X1, b"\x02") == 0x9000
    assert card.describe(X1)["privileges"] == bytes.fromhex("020000")
    assert card.install(X2, b"\x02\x00") == 0x6A80
    assert card.install(X2, b"") == 0x6A80


@pytest.mark.parametrize(
    ("privileges", "sw"),
    [
        ("000001", 0x6A80),  # reserved
        ("004000", 0x6A80),  # Authorized Management without Security Domain
        ("A04000", 0x6A80),  # Delegated and Authorized Management
        ("400000", 0x6A80),  # DAP Verification without Security Domain
    ],
)
def test_privileges_that_contradict_themselves(card: OpenCard, privileges: str, sw: int) -> None:
    assert card.install(X1, bytes.fromhex(privileges), module=MANAGER) == sw


@pytest.mark.parametrize("privileges", ["804000", "A00000", "900000", "880000", "800800", "801000", "800400", "800020"])
def test_a_supplementary_domain_gives_nothing_away_that_is_the_issuers(card: OpenCard, privileges: str) -> None:
    card.select(D1)
    assert card.install(X1, bytes.fromhex(privileges), module=MANAGER) == 0x6985
    assert card.install(X1, DOMAIN, module=MANAGER) == 0x9000


def test_a_domain_without_management_manages_nothing(card: OpenCard) -> None:
    card.install(SD1, DOMAIN, module=MANAGER)
    card.install(X1)
    card.extradite(X1, SD1)
    card.select(SD1)
    assert card.install(X2) == 0x6985
    assert card.delete(X1) == 0x6985
    assert card.update(X1, bytes(3)) == 0x6985
    assert card.extradite(X1, SD1) == 0x6985


def test_an_application_reaches_none_of_the_domains_services(card: OpenCard) -> None:
    card.select(A1)
    assert card.send("80050000") == (b"", 0x6985)


def test_a_domain_manages_what_is_under_it_and_nothing_else(card: OpenCard) -> None:
    assert card.install(SD1, MANAGING_DOMAIN, module=MANAGER) == 0x9000
    assert card.install(SD2, MANAGING_DOMAIN, module=MANAGER) == 0x9000
    card.select(SD1)
    assert card.install(X1) == 0x9000
    assert card.describe(X1)["domain"] == SD1
    card.select(SD2)
    for refused in (
        card.delete(X1),
        card.update(X1, bytes(3)),
        card.extradite(X1, SD2),
        card.set_state(X1, 0x80),
        card.set_contactless(X1, 1),
        card.delete(A1),
        card.set_state(ISD, 0x80),
    ):
        assert refused == 0x6985
    card.select(ISD)
    assert card.update(X1, b"\x02") == 0x9000


def test_a_domain_uses_load_files_of_its_own_and_of_those_above(card: OpenCard) -> None:
    card.install(SD1, MANAGING_DOMAIN, module=MANAGER)
    card.install(SD2, MANAGING_DOMAIN, module=MANAGER)
    assert card.extradite(LONE_FILE, SD1) == 0x9000
    assert card.describe(LONE_FILE)["domain"] == SD1
    card.select(SD2)
    assert card.install(X1, module=LONE, load_file=LONE_FILE) == 0x6985
    card.select(SD1)
    assert card.install(X1, module=LONE, load_file=LONE_FILE) == 0x9000


def test_extradition_moves_an_application(card: OpenCard) -> None:
    card.install(SD1, DOMAIN, module=MANAGER)
    assert card.extradite(A1, SD1) == 0x9000
    assert card.describe(A1)["domain"] == SD1
    assert card.se.effects()[-1] == "extradite F0000000A1 F0000000D501"


def test_extradition_refuses_what_is_no_domain_or_not_ready(card: OpenCard) -> None:
    assert card.extradite(A1, A102) == 0x6985
    assert card.extradite(A1, X1) == 0x6A88
    card.install(SD1, DOMAIN, module=MANAGER, selectable=False)
    assert card.extradite(A1, SD1) == 0x6985
    card.make_selectable(SD1)
    card.set_state(SD1, 0x80)
    assert card.extradite(A1, SD1) == 0x6985


def test_no_domain_is_put_under_itself(card: OpenCard) -> None:
    card.install(SD1, MANAGING_DOMAIN, module=MANAGER)
    card.select(SD1)
    card.install(SD2, DOMAIN, module=MANAGER)
    card.select(ISD)
    assert card.extradite(SD1, SD2) == 0x6985
    assert card.extradite(ISD, SD1) == 0x6985
    assert card.extradite(SD1, SD1) == 0x9000
    assert card.describe(SD1)["domain"] == SD1
    assert card.update(SD1, DOMAIN) == 0x6985


def test_update_changes_privileges_but_not_what_a_thing_is(card: OpenCard) -> None:
    assert card.update(A1, bytes.fromhex("020000")) == 0x9000
    assert card.describe(A1)["privileges"] == bytes.fromhex("020000")
    assert card.update(A1, DOMAIN) == 0x6985
    assert card.update(D1, bytes(3)) == 0x6985
    assert card.update(A1) == 0x9000
    assert card.describe(A1)["privileges"] == bytes.fromhex("020000")


def test_deletion_forgets_an_application(card: OpenCard) -> None:
    assert card.delete(A1) == 0x9000
    assert card.describe(A1) == {"sw": 0x6A88}
    assert card.select(A1) == 0x9000
    assert card.selected() == A102
    card.select(ISD)
    assert card.delete(A1) == 0x6A88
    assert card.se.effects() == ["delete F0000000A1"]


def test_deletion_refuses_what_is_in_use(card: OpenCard) -> None:
    card.send("0070000001")
    card.select(A1, channel=1)
    assert card.delete(A1) == 0x6985
    card.install(SD1, MANAGING_DOMAIN, module=MANAGER)
    card.select(SD1)
    card.install(X1)
    assert card.delete(SD1) == 0x6985
    card.select(ISD)
    assert card.delete(SD1) == 0x6985
    assert card.delete(ISD) == 0x6985
    assert card.delete(ECHO) == 0x6A88


def test_a_load_file_goes_with_its_instances_when_asked(card: OpenCard) -> None:
    assert card.delete(LONE_FILE) == 0x6985
    assert card.delete(LONE_FILE, related=True) == 0x9000
    assert card.list(0x20) == [LOAD_FILE]
    assert B1 not in card.list(0x40)
    assert card.install(X1, module=LONE, load_file=LONE_FILE) == 0x6A88
    assert card.se.effects() == ["delete F0000000B1", "delete F000000002"]


def test_a_load_file_with_an_instance_in_use_stays_whole(card: OpenCard) -> None:
    before = card.list(0x40)
    assert card.delete(LOAD_FILE, related=True) == 0x6985
    assert card.list(0x40) == before


def test_global_delete_reaches_what_its_holder_does_not_manage(card: OpenCard) -> None:
    card.install(SD1, bytes.fromhex("801000"), module=MANAGER)
    card.select(SD1)
    assert card.delete(A1) == 0x9000


def test_each_card_has_statics_of_its_own(card: OpenCard) -> None:
    other = OpenCard()
    card.install(X1)
    card.select(A1)
    other.select(A1)
    assert card.send("80020000")[0][7] == 3
    assert other.send("80020000")[0][7] == 2
