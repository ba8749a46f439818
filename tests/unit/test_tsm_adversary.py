"""What a service provider, an agent or a break must not be able to do to others: proved on virtual SEs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from opentsm_card.errors import ProtocolError
from opentsm_tsm import audit, conversations, holdings, sessions
from opentsm_tsm.mno.store import MnoStore
from opentsm_tsm.problems import RefusalError
from opentsm_tsm.scripts import SendScriptHandler
from opentsm_tsm.sp.store import SpStore
from opentsm_tsm.store import Store
from tsm_peers import (
    BANK,
    BANK_APP,
    BANK_SD,
    OPERATOR,
    PAYMENT,
    PAYMENT_MODULE,
    PREFIX,
    TRANSIT,
    TRANSIT_APP,
    TRANSIT_SD,
    World,
    make_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    world = World(make_folder(tmp_path / "tsm"))
    world.add("ese-1")
    yield world
    world.close()


def forget(world: World) -> None:
    """Make what is on the SEs somebody else's: the central TSM knows nothing of it any more."""
    world.central.close()
    for path in world.config.parent.glob("tsm.sqlite*"):
        path.unlink()
    for agent in world.agents.values():
        agent.session = None
    world.central = type(world.central).open(world.config)


def application(instance: str, package: str = PAYMENT) -> dict[str, str]:
    """Return an application of a service."""
    return {"package": package, "module": PAYMENT_MODULE, "instance": instance}


@pytest.mark.parametrize("package", [PAYMENT, f"{PREFIX}0199"])
def test_asking_for_someone_elses_domain_gives_no_hold_on_it(world: World, package: str) -> None:
    assert world.deploy(BANK).state == "done"
    forget(world)
    effects = world.ses["ese-1"].effects()
    attempt = world.deploy(TRANSIT, sd=BANK_SD, applications=[application(TRANSIT_APP, package)])
    assert attempt.state == "failed"
    for function, body in (
        ("TerminateService", {"scope": "sp"}),
        ("TerminateService", {"scope": "service", "service": "card", "qualifier": "1"}),
        ("SuspendOrResumeService", {"scope": "sp", "action": "lock"}),
        ("SendScript", {"target": BANK_SD, "script": [{"apdu": "80CA00CF00"}]}),
    ):
        try:
            world.do(TRANSIT, function, seId="ese-1", **body)
        except RefusalError:
            continue
    assert world.ses["ese-1"].effects() == effects


def test_asking_for_someone_elses_application_gives_no_hold_on_it(world: World) -> None:
    assert world.deploy(BANK).state == "done"
    forget(world)
    effects = world.ses["ese-1"].effects()
    attempt = world.deploy(TRANSIT, applications=[application(BANK_APP)])
    assert attempt.state == "failed"
    for function, body in (
        ("TerminateService", {"scope": "instance", "aid": BANK_APP}),
        ("TerminateService", {"scope": "service", "service": "card", "qualifier": "1"}),
        ("UpgradeService", {"service": "card", "qualifier": "1"}),
        ("SuspendOrResumeService", {"scope": "application", "action": "lock", "aid": BANK_APP}),
        ("SendScript", {"target": BANK_APP, "script": [{"apdu": "80CADF0100"}]}),
    ):
        try:
            world.do(TRANSIT, function, seId="ese-1", **body)
        except RefusalError:
            continue
    assert [effect for effect in world.ses["ese-1"].effects()[len(effects) :] if BANK_APP in effect] == []


def test_a_qualifier_whose_deployment_was_refused_is_free_again(world: World) -> None:
    assert world.deploy(BANK).state == "done"
    forget(world)
    assert world.deploy(TRANSIT, applications=[application(BANK_APP)]).state == "failed"
    again = world.deploy(TRANSIT, sd=TRANSIT_SD, applications=[application(TRANSIT_APP)])
    assert again.state == "done", again


HARMLESS = [{"apdu": "80CA00CF00"}]


@pytest.mark.parametrize(
    ("function", "body"),
    [
        ("SendScript", {"target": BANK_SD, "script": HARMLESS}),
        ("TerminateService", {"scope": "sp"}),
        ("UpgradeService", {"service": "card", "qualifier": "1"}),
        ("SuspendOrResumeService", {"scope": "sp", "action": "lock"}),
        ("DeployService", {"service": "other", "qualifier": "1", "sd": BANK_SD}),
    ],
)
def test_what_waits_behind_a_script_is_not_run_when_that_ends_in_doubt(
    world: World, function: str, body: dict[str, object]
) -> None:
    assert world.deploy().state == "done"
    effects = world.ses["ese-1"].effects()
    first = world.start(BANK, "SendScript", seId="ese-1", target=BANK_SD, script=HARMLESS)
    behind = world.start(BANK, function, seId="ese-1", **body)
    agent = world.agents["ese-1"]
    agent.cut = dict.fromkeys(range(1, agent.done + 2), 1)
    world.run()
    assert world.central.desk.operation(BANK, first).state == "in-doubt"
    ended = world.central.desk.operation(BANK, behind)
    assert ended.state == "failed"
    assert ended.problem is not None
    assert ended.problem.operation == first
    assert world.ses["ese-1"].effects() == effects


def test_a_report_that_a_function_can_not_take_does_not_hold_the_se(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.deploy().state == "done"

    def reported(*_args: object) -> None:
        raise ProtocolError("the temporary keys are destroyed")

    monkeypatch.setattr(SendScriptHandler, "reported", reported)
    assert world.do(BANK, "SendScript", seId="ese-1", target=BANK_SD, script=HARMLESS).state == "failed"
    monkeypatch.undo()
    assert world.do(BANK, "SendScript", seId="ese-1", target=BANK_SD, script=HARMLESS).state == "done"


def test_keys_that_were_not_handed_over_are_not_rotated(world: World) -> None:
    world.start(BANK, "DeployService", seId="ese-1", service="card", qualifier="1", sd=BANK_SD)
    agent, store = world.agents["ese-1"], world.central.store
    with store.transaction():
        session = sessions.create(store, "ese-1")
    agent.poll(world.central, session.id)
    while True:
        held = holdings.domain(store, "ese-1", bytes.fromhex(BANK_SD))
        assert held is not None
        if held.sealed is not None:
            break
        assert agent.turn(world.central)
    # PUT KEY is on its way.
    with pytest.raises(RefusalError):
        world.query(BANK, "HandleActionDoneOnServiceNotification", seId="ese-1", sd=BANK_SD, action="key-rotation")
    world.run()
    held = holdings.domain(store, "ese-1", bytes.fromhex(BANK_SD))
    assert held is not None
    assert held.state == "temporary"
    assert held.sealed is not None


def test_a_terminated_ses_temporary_keys_are_destroyed(world: World) -> None:
    assert world.deploy().state == "done"
    ended = world.do(OPERATOR, "HandleSEStatusChangeNotification", seId="ese-1", action="terminate")
    assert ended.state == "done"
    assert [held.sealed for held in holdings.domains(world.central.store, "ese-1")] == [None]


def test_a_conversation_in_which_nothing_is_asked_is_ended(world: World) -> None:
    begun = world.do(BANK, "BeginConversation", seId="ese-1")
    assert begun.result is not None
    name = begun.result["conversationId"]
    conversations.end_idle(world.central.centre)
    assert (
        world.do(BANK, "DeployService", seId="ese-1", conversationId=name, service="s", qualifier="1", sd=BANK_SD).state
        == "done"
    )
    store = world.central.store
    with store.transaction():
        store.run("UPDATE operation SET updated = updated - 1000")
    conversations.end_idle(world.central.centre)
    with pytest.raises(RefusalError):
        world.start(BANK, "SendScript", conversationId=name, target=BANK_SD, script=HARMLESS)
    assert not world.central.engine.wanted("ese-1")
    assert [(r.actor, r.event, r.outcome) for r in audit.read(store)][-2:-1] == [("sp:bank", "conversation", "ended")]


def test_databases_are_for_their_owner_only_from_the_first_byte(world: World, tmp_path: Path) -> None:
    keys, folder = world.central.keystore, tmp_path / "databases"
    folder.mkdir()
    umask = os.umask(0o022)
    try:
        stores = Store(folder / "tsm.sqlite"), MnoStore(folder / "mno.sqlite"), SpStore(folder / "sp.sqlite", keys)
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}
        for store in stores:
            store.close()
    finally:
        os.umask(umask)
    assert "tsm.sqlite-wal" in modes
    assert set(modes.values()) == {"0o600"}, modes
