"""SET STATUS: locks one by one and of all, the card's life cycle, and contactless activation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.install import InstallForInstall, InstallForPersonalization
from opentsm_card.lifecycle import CardState, ContactlessState
from opentsm_card.privileges import Privilege
from opentsm_card.scp03 import Scp03Session
from opentsm_card.set_status import SetStatus, StatusType
from opentsm_card.store_data import StoreData
from opentsm_simulator import VirtualSe
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    CENTRAL,
    ISD,
    ISD_KEYS,
    OWN,
    PAYMENT_MODULE,
    PAYMENT_PACKAGE,
    PPSE,
    TRANSIT,
    Host,
    keys,
    service_provider,
)

if TYPE_CHECKING:
    from collections.abc import Callable

BANK_KEYS = keys(0x31, 1)
UNKNOWN = Aid(OWN + b"\x0f\x0f\x0f")


@pytest.fixture
def bank(se: VirtualSe) -> Host:
    """The issuer's session; the bank's domain has two applications, both active."""
    host = service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    for aid in (CARD_1, CARD_2):
        host.new_payment(aid)
        assert host.extradite(aid, BANK) == 0x9000
        assert host.activate(aid) == 0x9000
    return host


def selectable(host: Host, aid: bytes) -> bool:
    return Host(host.link).select(aid).sw == 0x9000


@pytest.mark.parametrize(("lock", "unlock"), [(0x80, 0x00), (0x83, 0x07), (0x87, 0x07), (0x80, 0x0F)])
def test_lock_and_unlock_one_application(se: VirtualSe, bank: Host, lock: int, unlock: int) -> None:
    reader = Host(se.link("contactless"))
    assert bank.sw(SetStatus(StatusType.APPLICATION, lock, CARD_1)) == 0x9000
    assert bank.state(CARD_1) == 0x87
    assert bank.state(CARD_2) == 0x07
    assert not selectable(reader, CARD_1)
    assert selectable(reader, CARD_2)
    assert bank.sw(SetStatus.lock(CARD_1)) == 0x6985
    assert bank.sw(SetStatus(StatusType.APPLICATION, unlock, CARD_1)) == 0x9000
    assert bank.state(CARD_1) == 0x07
    assert selectable(reader, CARD_1)
    assert bank.sw(SetStatus.unlock(CARD_1)) == 0x6985


def test_an_application_s_state_is_not_set_from_outside(bank: Host) -> None:
    assert bank.sw(SetStatus(StatusType.APPLICATION, 0x0F, CARD_1)) == 0x6985
    assert bank.sw(SetStatus(StatusType.APPLICATION, 0x03, CARD_1)) == 0x6985
    assert bank.state(CARD_1) == 0x07


def test_locked_application_is_not_personalized_and_stays_in_the_list(bank: Host) -> None:
    bank.done(SetStatus.lock(CARD_1))
    bank.into(BANK, BANK_KEYS)
    assert bank.sw(InstallForPersonalization(CARD_1)) == 0x6985
    assert bank.state(CARD_1) == 0x87


def test_unlocking_all_restores_what_was_locked_one_by_one(se: VirtualSe, bank: Host) -> None:
    reader = Host(se.link("contactless"))
    bank.done(SetStatus.lock(CARD_1), SetStatus.lock_all(BANK))
    assert [bank.state(aid) for aid in (BANK, CARD_1, CARD_2)] == [0x8F, 0x87, 0x87]
    assert not any(selectable(reader, aid) for aid in (BANK, CARD_1, CARD_2))
    assert selectable(reader, PPSE)
    bank.done(SetStatus.unlock_all(BANK))
    assert [bank.state(aid) for aid in (BANK, CARD_1, CARD_2)] == [0x0F, 0x87, 0x07]
    assert selectable(reader, CARD_2)
    assert not selectable(reader, CARD_1)
    bank.into(BANK, BANK_KEYS)  # the domain's keys are still its own
    bank.into(ISD, ISD_KEYS)
    bank.done(SetStatus.unlock(CARD_1))
    assert selectable(reader, CARD_1)


def test_lock_ends_a_selection_that_is_under_way(se: VirtualSe, bank: Host) -> None:
    reader = Host(se.link("contactless"))
    reader.select(CARD_1).require("SELECT")
    sp = Host(reader.link)
    bank.done(SetStatus.lock(CARD_1))
    assert sp.raw(bytes.fromhex("80CADF0100")).sw != 0x9000


def test_a_domain_locks_its_own_applications(bank: Host) -> None:
    bank.into(BANK, BANK_KEYS)
    bank.done(SetStatus.lock(CARD_1))
    assert bank.state(CARD_1) == 0x87
    assert bank.sw(SetStatus.lock(PPSE)) == 0x6985
    assert bank.sw(SetStatus.lock(ISD)) == 0x6985
    assert bank.sw(SetStatus.lock(UNKNOWN)) == 0x6A88
    bank.done(SetStatus.unlock(CARD_1))


@pytest.mark.parametrize(
    ("scope", "undo"), [(SetStatus.lock, SetStatus.unlock), (SetStatus.lock_all, SetStatus.unlock_all)]
)
def test_a_domain_locks_itself_and_who_is_above_unlocks_it(
    bank: Host, scope: Callable[[Aid], SetStatus], undo: Callable[[Aid], SetStatus]
) -> None:
    bank.into(BANK, BANK_KEYS)
    assert bank.sw(undo(BANK)) == 0x6985
    assert bank.sw(scope(BANK)) == 0x9000
    assert bank.select(BANK).sw == 0x6A82
    bank.into(ISD, ISD_KEYS)
    assert bank.state(BANK) == 0x8F
    bank.done(undo(BANK))
    bank.into(BANK, BANK_KEYS)


def test_the_issuer_domain_is_not_locked_as_an_application(isd: Host) -> None:
    assert isd.sw(SetStatus.lock(ISD)) == 0x6985
    assert isd.sw(SetStatus.lock_all(ISD)) == 0x6985
    assert isd.sw(SetStatus.lock_all(PPSE)) != 0x9000


def test_domain_without_keys_locks_nothing(isd: Host) -> None:
    isd.new_domain(TRANSIT)
    isd.into(TRANSIT, ISD_KEYS)
    assert isd.sw(SetStatus.lock(PPSE)) == 0x6985
    assert isd.activate(PPSE) == 0x6985


def test_global_lock_reaches_what_is_not_under_the_domain(isd: Host) -> None:
    isd.new_domain(TRANSIT, Privilege.SECURITY_DOMAIN | Privilege.GLOBAL_LOCK)
    isd.into(TRANSIT, ISD_KEYS)
    isd.put_keys(BANK_KEYS).require("PUT KEY")
    isd.into(TRANSIT, BANK_KEYS)
    isd.done(SetStatus.lock(PPSE))
    assert not selectable(isd, PPSE)


@pytest.mark.parametrize("data", [b"", bytes(ISD)])
def test_locked_card_answers_its_management_only(se: VirtualSe, bank: Host, data: bytes) -> None:
    assert bank.sw(CommandApdu(0x80, 0xF0, 0x80, 0x7F, data)) == 0x9000
    host = Host(se.link())
    reader = Host(se.link("contactless"))
    for aid in (CARD_1, PPSE, BANK):
        assert not selectable(host, aid)
        assert not selectable(reader, aid)
    select = host.select(ISD)
    assert select.sw == 0x6283
    assert select.data.startswith(b"\x6f")
    assert host.plain(CommandApdu(0x80, 0xCA, 0x00, 0x66, ne=256)).sw == 0x9000
    host.open(ISD_KEYS)
    assert host.registry().isd is not None
    assert host.state(ISD) == 0x7F
    before = se.effects()
    for command in (
        InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, Aid(OWN + b"\x0b\x09")),
        SetStatus.lock(CARD_1),
        SetStatus.contactless(CARD_1, activated=False),
        StoreData(0, bytes.fromhex("420101"), last=True),
        SetStatus.card(CardState.CARD_LOCKED),
        SetStatus.card(CardState.INITIALIZED),
    ):
        assert host.sw(command) == 0x6985, command
    assert host.put_keys(keys(0x33, 1)).sw == 0x6985
    assert host.delete(CARD_1) == 0x6985
    assert se.effects() == before
    assert host.sw(CommandApdu(0x80, 0xF0, 0x80, 0x0F, data)) == 0x9000
    assert selectable(reader, CARD_1)
    assert host.state(BANK) == 0x0F


def test_terminated_card_is_read_only(se: VirtualSe, isd: Host) -> None:
    isd.done(SetStatus.card(CardState.TERMINATED))
    host = Host(se.link())
    assert host.raw(bytes.fromhex("80CA006600")).sw == 0x9000
    assert host.plain(Scp03Session.initialize_update(0x30, bytes(8))).sw == 0x6985
    for aid in (PPSE, ISD):
        assert host.select(aid).sw != 0x9000


def test_card_states_that_are_none(isd: Host) -> None:
    assert isd.sw(CommandApdu(0x80, 0xF0, 0x80, 0x33)) == 0x6A80
    assert isd.sw(SetStatus.card(CardState.OP_READY)) == 0x6985
    assert isd.sw(SetStatus.card(CardState.SECURED)) == 0x6985
    assert isd.sw(CommandApdu(0x80, 0xF0, 0x20, 0x80, bytes(PPSE))) == 0x6A86
    assert isd.state(ISD) == 0x0F


def test_the_central_domain_of_a_uicc_leaves_the_card_alone() -> None:
    host = Host(VirtualSe.create("uicc").link()).into(CENTRAL, ISD_KEYS)
    for state in (CardState.CARD_LOCKED, CardState.TERMINATED):
        assert host.sw(SetStatus.card(state)) == 0x6985
    host.into(ISD, ISD_KEYS)
    host.done(SetStatus.card(CardState.CARD_LOCKED))
    assert host.select(CENTRAL).sw != 0x9000


def test_contactless_activation(se: VirtualSe, isd: Host) -> None:
    isd.new_payment(CARD_1)
    reader = Host(se.link("contactless"))
    assert not selectable(reader, CARD_1)
    assert selectable(isd, CARD_1)  # on the contact interface it is selectable as it is
    isd.into(ISD, ISD_KEYS)
    isd.done(SetStatus.contactless(CARD_1, activated=True))
    entry = isd.entry(CARD_1)
    assert entry is not None
    assert entry.contactless is ContactlessState.ACTIVATED
    assert selectable(reader, CARD_1)
    isd.done(SetStatus.contactless(CARD_1, activated=False))
    assert not selectable(reader, CARD_1)


def test_contactless_activation_is_refused_where_it_makes_no_sense(isd: Host) -> None:
    isd.new_domain(BANK)
    isd.done(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_2, make_selectable=False))
    assert isd.activate(BANK) == 0x6985
    assert isd.activate(CARD_2) == 0x6985
    assert isd.activate(UNKNOWN) == 0x6A88
    assert isd.sw(CommandApdu(0x80, 0xF0, 0x01, 0x02, b"\x4f\x0e" + PPSE)) == 0x6A86
    assert isd.sw(CommandApdu(0x80, 0xF0, 0x01, 0x01, bytes(PPSE))) == 0x6A80


def test_locked_application_is_not_activated(bank: Host) -> None:
    bank.done(SetStatus.contactless(CARD_1, activated=False), SetStatus.lock(CARD_1))
    assert bank.activate(CARD_1) == 0x6985
    bank.done(SetStatus.unlock(CARD_1))
    assert bank.activate(CARD_1) == 0x9000


def test_a_locked_domain_serves_no_application(bank: Host) -> None:
    bank.done(SetStatus.lock(BANK))
    assert bank.select(CARD_1).sw == 0x9000  # only the domain is locked
    assert bank.plain(Scp03Session.initialize_update(BANK_KEYS.version, bytes(8))).sw == 0x6985
    bank.into(ISD, ISD_KEYS)
    bank.done(SetStatus.unlock(BANK))
    bank.into(CARD_1, BANK_KEYS)


def test_status_of_a_locked_tree_is_read_by_its_manager_only(bank: Host) -> None:
    bank.done(SetStatus.lock_all(BANK))
    assert bank.select(BANK).sw == 0x6A82
    bank.into(ISD, ISD_KEYS)
    assert bank.sw(GetStatus(Scope.APPLICATIONS)) in {0x9000, 0x6310}
