"""What an SE must hold, against what was read: nothing more and nothing less passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from opentsm_card.aid import Aid
from opentsm_card.lifecycle import CardState, ContactlessState
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind, Registry, RegistryEntry
from opentsm_tools.demo.inspection import Snapshot
from opentsm_tools.demo.model import SeModel

ISD = Aid(bytes.fromhex("A000000151000000"))
SD = Aid(bytes.fromhex("F06F70656E74736D0A0001"))
APP = Aid(bytes.fromhex("F06F70656E74736D0B000101"))
ACCOUNTS = frozenset({("4111", "301231")})

ISSUER = RegistryEntry(ISD, CardState.SECURED, kind=Kind.ISSUER_SECURITY_DOMAIN)
DOMAIN = RegistryEntry(SD, 0x0F, Privilege.SECURITY_DOMAIN | Privilege.TRUSTED_PATH, ISD, kind=Kind.SECURITY_DOMAIN)
INSTANCE = RegistryEntry(APP, 0x07, associated_sd=SD, contactless=ContactlessState.ACTIVATED)


def snapshot(*entries: RegistryEntry, issuer: RegistryEntry = ISSUER, complete: bool = True) -> Snapshot:
    shown: dict[bytes, frozenset[tuple[str, str]]] = {APP: ACCOUNTS} if INSTANCE in entries else {}
    return Snapshot(
        terminated=False,
        registry=Registry(issuer, entries, (), complete),
        keys={SD: frozenset({1})} if DOMAIN in entries else {},
        directory=tuple(shown),
        reader=shown,
    )


@pytest.fixture
def model() -> SeModel:
    model = SeModel.of(Registry(ISSUER, (), (), complete=True))
    model.add_domain(SD, ISD, 1)
    model.add_instance(APP, SD)
    model.accounts[APP] = ACCOUNTS
    model.activate(APP)
    return model


def test_an_se_that_is_as_it_must_be_has_no_differences(model: SeModel) -> None:
    assert model.differences(snapshot(DOMAIN, INSTANCE)) == []


@pytest.mark.parametrize(
    ("read", "named"),
    [
        (snapshot(DOMAIN), "not on the SE"),
        (snapshot(DOMAIN, INSTANCE, RegistryEntry(Aid(b"other"), 0x07)), "must be nothing"),
        (snapshot(DOMAIN, replace(INSTANCE, state=0x87)), "state 87"),
        (snapshot(DOMAIN, replace(INSTANCE, associated_sd=ISD)), f"under {ISD}"),
        (snapshot(DOMAIN, replace(INSTANCE, contactless=ContactlessState.DEACTIVATED)), "not contactless"),
        (snapshot(DOMAIN, INSTANCE, issuer=replace(ISSUER, state=CardState.CARD_LOCKED)), "state 7F"),
        (snapshot(DOMAIN, INSTANCE, complete=False), "not complete"),
        (replace(snapshot(DOMAIN, INSTANCE), keys={SD: frozenset({1, 48})}), "key versions"),
        (replace(snapshot(DOMAIN, INSTANCE), reader={}), "payment reader"),
        (replace(snapshot(DOMAIN, INSTANCE), reader={APP: frozenset()}), "payment reader"),
        (replace(snapshot(DOMAIN, INSTANCE), terminated=True), "TERMINATED"),
    ],
)
def test_every_difference_is_named(model: SeModel, read: Snapshot, named: str) -> None:
    lines = model.differences(read)
    assert any(named in line for line in lines)
    assert not any("4111" in line for line in lines)


def test_a_locked_application_is_hidden_from_readers(model: SeModel) -> None:
    model.lock(APP)
    locked = replace(snapshot(DOMAIN, replace(INSTANCE, state=0x87)), reader={})
    assert model.differences(locked) == []
    assert model.differences(replace(locked, reader={APP: ACCOUNTS})) != []
    model.unlock(APP)
    assert model.differences(snapshot(DOMAIN, INSTANCE)) == []


def test_a_locked_card_shows_nothing_but_its_registry(model: SeModel) -> None:
    model.set_card(CardState.CARD_LOCKED)
    locked = snapshot(DOMAIN, INSTANCE, issuer=replace(ISSUER, state=CardState.CARD_LOCKED))
    assert model.differences(replace(locked, keys={}, reader={})) == []
    assert model.differences(locked) != []


def test_a_terminated_card_is_only_that(model: SeModel) -> None:
    dead = Snapshot(terminated=True, registry=Registry(None, (), (), complete=False))
    assert model.differences(dead) != []
    model.set_card(CardState.TERMINATED)
    assert model.differences(dead) == []
    assert model.differences(snapshot(DOMAIN, INSTANCE)) != []


def test_what_is_removed_takes_keys_and_accounts_along(model: SeModel) -> None:
    model.remove(APP, SD)
    assert model.differences(snapshot()) == []
    assert (model.keys, model.accounts) == ({}, {})
