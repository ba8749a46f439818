"""What only real processes can show of the central TSM's recovery: an agent that comes back with nothing, or renamed.

The rest of it is in the kill sweep (`test_kill_sweep`) and in `tests/unit/test_tsm_doubt.py`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mortal import Mortal
from opentsm_agent import enrol
from opentsm_agent.config import load_config
from opentsm_tools.demo.cast import BANK, DEVICES
from opentsm_tools.demo.world import World
from opentsm_tsm.messages import BASE
from opentsm_tsm.operator_messages import CreateEnrolmentCode, EnrolmentCodeReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PHONE = DEVICES[0]
CUSTOMER = PHONE.customer
WAIT_S = 60.0


@pytest.fixture(name="mortal", scope="module")
def _mortal(tmp_path_factory: pytest.TempPathFactory) -> Mortal:
    return Mortal(tmp_path_factory.mktemp("mortal"), "agent")


@pytest.fixture(name="world", scope="module")
def _world(mortal: Mortal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("recovery") / "world"
    with World(root, lambda _: None, devices=(PHONE,), launch={PHONE.name: mortal.command}) as world:
        # Half a minute of silence is too long for a test.
        world.kill_tsm()
        config = root / "tsm" / "tsm.toml"
        config.write_text("silence_s = 1.0\n" + config.read_text())
        world.restart_tsm()
        yield world


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited in vain: {what}")
        time.sleep(0.01)


def effects(world: World) -> list[str]:
    """Return what was done to the SE."""
    path = world.folders.effects_file(PHONE)
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("point", [3, 6, 9, 14])
def test_an_agent_that_lost_its_journal_repeats_nothing(world: World, mortal: Mortal, point: int) -> None:
    sp = world.sps[BANK.name]
    before = effects(world)
    journal = load_config(world._agent_configs[PHONE.se]).journal
    mortal.arm(point)

    def lose_the_journal() -> None:
        until(lambda: not world.agent_process(PHONE).alive, "the agent's death")
        mortal.disarm()
        journal.unlink()
        world.restart_agent(PHONE)

    thread = threading.Thread(target=lose_the_journal)
    thread.start()
    sp.deploy(PHONE.se, BANK.service, CUSTOMER)
    thread.join()
    new = effects(world)[len(before) :]
    assert len(new) == len(set(new)), "something was done twice"
    assert f"install {BANK.instance.hex().upper()}" in new
    sp.terminate(PHONE.se)


def sessions_of(world: World) -> int:
    """Return how many sessions the central TSM has offered so far."""
    with contextlib.closing(
        sqlite3.connect(f"file:{world.folders.root / 'tsm' / 'tsm.sqlite'}?mode=ro", uri=True)
    ) as db:
        return int(db.execute("SELECT count(*) FROM session").fetchone()[0])


def test_an_agent_whose_certificate_was_renewed_goes_on_where_it_was(world: World, mortal: Mortal) -> None:
    sp = world.sps[BANK.name]
    before = effects(world)
    conversation = sp.begin(PHONE.se)
    assert conversation
    offered = sessions_of(world)
    # It dies with an order under way, whose report its journal has.
    mortal.arm(6)

    def renew() -> None:
        until(lambda: not world.agent_process(PHONE).alive, "the agent's death")
        mortal.disarm()
        config = load_config(world._agent_configs[PHONE.se])
        old = config.identity.certificate.read_bytes()
        enrol.renew(config.tsm_url, config.identity)
        assert config.identity.certificate.read_bytes() != old
        world.restart_agent(PHONE)

    thread = threading.Thread(target=renew)
    thread.start()
    sp.deploy(PHONE.se, BANK.service, CUSTOMER)
    thread.join()
    new = effects(world)[len(before) :]
    assert len(new) == len(set(new)), "something was done twice"
    # The session went on: another would mean that the TSM did not know its agent any more.
    assert sessions_of(world) == offered
    sp.end(PHONE.se, conversation)
    sp.terminate(PHONE.se)


def test_an_agent_with_a_new_certificate_takes_the_work_over(world: World) -> None:
    sp = world.sps[BANK.name]
    conversation = sp.begin(PHONE.se)
    assert conversation
    # The session is bound to the key that the agent had; it is enrolled again, and comes back as another.
    world.kill_agent(PHONE)
    config = load_config(world._agent_configs[PHONE.se])
    code = world.operator.ask(
        "POST", f"{BASE}/enrolment-codes", EnrolmentCodeReply, CreateEnrolmentCode(ses=(PHONE.se,))
    ).code
    for path in (config.identity.certificate, config.identity.key, config.identity.ca):
        Path(path).unlink(missing_ok=True)
    enrol.enrol(world.tsm_url, enrol.parse_code(code), config.identity)
    world.restart_agent(PHONE)
    deployed = sp.deploy(PHONE.se, BANK.service, CUSTOMER)
    assert deployed.sd == BANK.sd
    sp.end(PHONE.se, conversation)
    sp.terminate(PHONE.se)
