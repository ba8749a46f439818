"""An SP's own scripts cut off between the SE's executing a command and anyone's knowing: probed, settled, done once.

The tap in front of the SE loses the answer to one command; agent and central TSM report the doubt; the SP TSM reads
what became of it from the SE, under response MAC, tells the central TSM, and does what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentsm_card.errors import CardError
from opentsm_tools.demo.cast import BANK, DEVICES
from opentsm_tools.demo.world import World
from opentsm_tsm.sp.client import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PHONE = DEVICES[0]
ACCOUNTS = BANK.accounts(PHONE.customer, 2)
PUT_KEY, DELETE, STORE_DATA = 0xD8, 0xE4, 0xE2


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), lambda _text: None, devices=(PHONE,)) as world:
        yield world


@pytest.fixture
def effects(world: World) -> Callable[[], list[str]]:
    """Return what gives the effects on the SE since the test began."""
    path = world.folders.effects_file(PHONE)
    before = len(path.read_text().splitlines()) if path.exists() else 0
    return lambda: path.read_text().splitlines()[before:]


def lose_answer(world: World, ins: int, nth: int = 1) -> Callable[[], bool]:
    """Have the answer to the n-th command with this INS lost; return what tells whether it was."""
    seen = 0

    def trigger(command: bytes, answer: bytes) -> bool:
        nonlocal seen
        seen += command[1] == ins and answer[-2:] == b"\x90\x00"
        return seen == nth

    return world.ends[PHONE.se].tap.watch(trigger, cut=True).is_set


@pytest.mark.parametrize("ins", [PUT_KEY, DELETE])
def test_a_rotation_in_doubt_is_settled(world: World, effects: Callable[[], list[str]], ins: int) -> None:
    bank = world.sps["bank"]
    bank.deploy(PHONE.se, BANK.service, PHONE.customer)
    lost = lose_answer(world, ins)
    rotated = bank.rotate_keys(PHONE.se)
    assert lost()
    assert rotated.temporary_keys_destroyed
    assert world.inspectors[PHONE.se].read((BANK.sd,)).keys[BANK.sd] == {rotated.new_version}
    done = [line.split()[0] for line in effects() if "-key " in line]
    assert done == ["put-key", "put-key", "delete-key"]  # the temporary set came first, by the central TSM
    bank.terminate(PHONE.se)


@pytest.mark.parametrize("nth", [1, 2])
def test_a_personalization_in_doubt_is_settled(world: World, effects: Callable[[], list[str]], nth: int) -> None:
    bank = world.sps["bank"]
    bank.deploy(PHONE.se, BANK.service, PHONE.customer)
    bank.rotate_keys(PHONE.se)
    lost = lose_answer(world, STORE_DATA, nth)
    bank.personalize(PHONE.se, BANK.service, PHONE.customer, ACCOUNTS)
    assert lost()
    stored = [line for line in effects() if line.startswith("store-data")]
    assert len(stored) == len(set(stored)) == len(ACCOUNTS)
    listed = bank.accounts(PHONE.se, BANK.service).accounts
    assert [bytes(entry.uid) for entry in listed] == [account.uid for account in ACCOUNTS]
    bank.terminate(PHONE.se)


def test_a_deletion_of_an_account_in_doubt_is_settled(world: World, effects: Callable[[], list[str]]) -> None:
    bank = world.sps["bank"]
    bank.deploy(PHONE.se, BANK.service, PHONE.customer)
    bank.rotate_keys(PHONE.se)
    bank.personalize(PHONE.se, BANK.service, PHONE.customer, ACCOUNTS)
    lost = lose_answer(world, STORE_DATA)
    bank.delete_accounts(PHONE.se, BANK.service, PHONE.customer, [ACCOUNTS[0].uid])
    assert lost()
    assert sum(line.startswith("store-data") for line in effects()) == len(ACCOUNTS) + 1
    listed = bank.accounts(PHONE.se, BANK.service).accounts
    assert [bytes(entry.uid) for entry in listed] == [ACCOUNTS[1].uid]
    bank.terminate(PHONE.se)


def test_an_account_that_is_not_there_is_refused_by_the_card_and_blocks_nothing(world: World) -> None:
    bank = world.sps["bank"]
    bank.deploy(PHONE.se, BANK.service, PHONE.customer)
    bank.rotate_keys(PHONE.se)
    with pytest.raises(CardError, match="6A88"):
        bank.delete_accounts(PHONE.se, BANK.service, PHONE.customer, [bytes(16)])
    bank.personalize(PHONE.se, BANK.service, PHONE.customer, ACCOUNTS)
    with pytest.raises(RefusedError):
        bank.delete_instance(PHONE.se, bytes(8))
    bank.terminate(PHONE.se)
