"""What breaks leave behind: lost answers, lost journals, lost sessions; and that nothing with an effect runs twice."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from opentsm_card.errors import ProtocolError
from opentsm_tsm import inventory, pki, seram, sessions, wire
from opentsm_tsm.messages import ResolveOperation
from opentsm_tsm.problems import RefusalError
from tsm_peers import BANK, BANK_APP, BANK_SD, OPERATOR, TRANSIT, World, make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEPLOYED = [
    f"install {BANK_SD}",
    f"set-state {BANK_SD} 0F",
    f"put-key {BANK_SD} 30",
    f"install {BANK_APP}",
    f"extradite {BANK_APP} {BANK_SD}",
]
# GET DATA of the diversification data: runs without a secure channel, has no effect.
HARMLESS = [{"apdu": "80CA00CF00"}]


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    world = World(make_folder(tmp_path / "tsm"))
    world.add("ese-1")
    yield world
    world.close()


def renewed(identity: pki.Identity) -> pki.Identity:
    """Return a device's identity with its next certificate: the key is the same, the fingerprint another."""
    return dataclasses.replace(identity, fingerprint=b"renewed" + bytes(25))


def orders_of(world: World) -> list[dict[str, Any]]:
    """Return the orders with commands that the agent was sent, each once."""
    seen: dict[int, dict[str, Any]] = {}
    for body in world.agents["ese-1"].orders:
        order = json.loads(body)
        seen[order["opentsm"]["order"]] = order
    return list(seen.values())


def test_an_answer_lost_anywhere_is_settled_by_reading(tmp_path: Path) -> None:
    reference = World(make_folder(tmp_path / "reference"))
    reference.add("ese-1")
    assert reference.deploy().state == "done"
    answered = reference.agents["ese-1"].answered
    places = [(number, position) for number, count in answered.items() for position in range(count)]
    reference.close()
    assert len(places) > 15
    world = World(reference.config)
    for number, position in places:
        # A new SE each time, and a memory that knows nothing of it.
        world.close()
        for path in reference.config.parent.glob("tsm.sqlite*"):
            path.unlink()
        world = World(reference.config)
        se = world.add("ese-1")
        world.agents["ese-1"].cut = {number: position}
        operation = world.deploy()
        assert operation.state == "done", (number, position, operation)
        assert se.effects() == DEPLOYED, (number, position)
        assert world.temporary_keys(operation).version == 0x30
        after = [order for order in orders_of(world) if order["opentsm"]["order"] == number + 1]
        assert any(command.get("reset") for command in after[0]["ramCommands"]), "the link was not reset"
    world.close()


def test_an_agent_without_its_journal_is_not_given_the_order_again(world: World) -> None:
    world.start(BANK, "DeployService", **_deployment())
    agent = world.agents["ese-1"]
    with world.central.store.transaction():
        session = sessions.create(world.central.store, "ese-1")
    agent.poll(world.central, session.id)
    while f"install {BANK_SD}" not in world.ses["ese-1"].effects():
        agent.turn(world.central)
    # The agent forgets everything, and shakes hands again in the same session.
    agent.poll(world.central, session.id)
    world.run()
    assert world.ses["ese-1"].effects() == DEPLOYED


@pytest.mark.parametrize("renews", [False, True])
def test_a_lost_sessions_report_from_the_journal_counts(world: World, *, renews: bool) -> None:
    name = world.start(BANK, "SendScript", **_script_after_deploy(world))
    agent = world.agents["ese-1"]
    first = _run_without_reporting(world)
    kept = dict(agent.report)
    with world.central.store.transaction():
        second = sessions.create(world.central.store, "ese-1")
    if renews:
        agent.identity = renewed(agent.identity)
    agent.poll(world.central, second.id)
    agent.report["opentsm"] = {
        "recovered": [
            {
                "session": first,
                "order": kept["opentsm"]["order"],
                "localAgentStatus": kept["localAgentStatus"],
                "ramResponses": kept["ramResponses"],
            }
        ]
    }
    world.run()
    operation = world.central.desk.operation(BANK, name)
    assert operation.state == "done"
    assert operation.round_trips == 1


def _recovered(session: str, report: dict[str, Any]) -> seram.RecoveredReports:
    entry = {
        "session": session,
        "order": report["opentsm"]["order"],
        "localAgentStatus": report["localAgentStatus"],
        "ramResponses": report["ramResponses"],
    }
    return wire.decode(json.dumps({"recovered": [entry]}).encode(), seram.RecoveredReports)


@pytest.mark.parametrize("given_up", [False, True])
def test_a_report_told_outside_of_its_session_settles_its_order_once(world: World, given_up: bool) -> None:  # noqa: FBT001
    name = world.start(BANK, "SendScript", **_script_after_deploy(world))
    agent = world.agents["ese-1"]
    session = _run_without_reporting(world)
    told = _recovered(session, agent.report)
    engine = world.central.engine
    if given_up:
        engine.give_up(session)
    stranger = pki.Identity(b"stranger" * 4, b"stranger" * 4, agent.identity.names, 4e9)
    engine.recover(stranger, told.recovered)
    assert world.central.desk.operation(BANK, name).state == "running"
    # Also after the agent's certificate was renewed: its key is the same.
    for identity in (renewed(agent.identity), agent.identity, renewed(agent.identity)):
        engine.recover(identity, told.recovered)
        operation = world.central.desk.operation(BANK, name)
        assert (operation.state, operation.round_trips) == ("done", 1)
    if given_up:
        return
    # The session lives on: its agent, woken again, shakes hands again and goes on behind that order.
    agent.poll(world.central, session)
    agent.report["opentsm"] = {"order": told.recovered[0].order}
    agent.done = told.recovered[0].order
    assert world.do(BANK, "SendScript", seId="ese-1", target=BANK_SD, script=HARMLESS).state == "done"


def test_the_order_that_a_nameless_report_is_of_is_known_from_the_cookie(world: World) -> None:
    name = world.start(BANK, "SendScript", **_script_after_deploy(world))
    agent = world.agents["ese-1"]
    agent.session = session = _run_without_reporting(world)
    number = agent.report["opentsm"]["order"]
    nameless = {name: value for name, value in agent.report.items() if name != "opentsm"}
    report = wire.decode(json.dumps(nameless).encode(), seram.Report)
    engine = world.central.engine
    outstanding = sessions.find(world.central.store, session)
    assert outstanding is not None
    assert engine.take(session, agent.identity, report, number - 1) == outstanding.body, "a repeat of the one before"
    assert world.central.desk.operation(BANK, name).state == "running"
    with pytest.raises(ProtocolError):
        engine.take(session, agent.identity, report, number + 1)
    engine.take(session, agent.identity, report, number)
    assert world.central.desk.operation(BANK, name).state == "done"


def test_a_lost_session_without_a_report_leaves_an_sps_script_in_doubt(world: World) -> None:
    name = world.start(BANK, "SendScript", **_script_after_deploy(world))
    _run_without_reporting(world)
    agent = world.agents["ese-1"]
    with world.central.store.transaction():
        second = sessions.create(world.central.store, "ese-1")
    agent.poll(world.central, second.id)
    world.run()
    operation = world.central.desk.operation(BANK, name)
    assert operation.state == "in-doubt"
    assert operation.result == {"answers": [], "inDoubt": True}


def test_a_doubt_blocks_its_domain_and_nothing_else_until_its_owner_settles_it(world: World) -> None:
    body = _script_after_deploy(world)
    world.deploy(TRANSIT)
    agent = world.agents["ese-1"]
    agent.cut = {agent.done + 1: 1}
    doubtful = world.do(BANK, "SendScript", **body)
    assert doubtful.state == "in-doubt"
    assert doubtful.result == {"answers": [], "inDoubt": True}
    for function, params in (
        ("SendScript", body),
        ("DeployService", _deployment()),
        ("UpgradeService", {"service": "card", "qualifier": "1"}),
        ("SuspendOrResumeService", {"seId": "ese-1", "action": "lock", "scope": "sp"}),
        ("TerminateService", {"seId": "ese-1", "scope": "sp"}),
    ):
        with pytest.raises(RefusalError) as refused:
            world.start(BANK, function, **params)
        assert refused.value.problem.type.endswith(":in-doubt")
        assert refused.value.problem.operation == doubtful.operation
    # The other SP goes on; so does the owner's probe, and that alone.
    other = world.do(TRANSIT, "SuspendOrResumeService", seId="ese-1", action="lock", scope="sp")
    assert other.state == "done"
    assert world.do(BANK, "SendScript", **body, probe=doubtful.operation).state == "done"
    with pytest.raises(RefusalError):
        world.start(BANK, "SendScript", **body, probe="another")
    settled = world.central.desk.resolve(BANK, doubtful.operation, ResolveOperation(decision="accept"))
    assert settled.state == "done"
    assert world.do(BANK, "SendScript", **body).state == "done"
    with pytest.raises(RefusalError) as refused:
        world.central.desk.resolve(BANK, doubtful.operation, ResolveOperation(decision="reset"))
    assert refused.value.problem.type.endswith(":not-in-doubt")


def test_a_reset_operation_is_failed_and_frees_its_domain(world: World) -> None:
    body = _script_after_deploy(world)
    agent = world.agents["ese-1"]
    agent.cut = {agent.done + 1: 1}
    doubtful = world.do(BANK, "SendScript", **body)
    settled = world.central.desk.resolve(BANK, doubtful.operation, ResolveOperation(decision="reset"))
    assert settled.state == "failed"
    assert world.do(BANK, "SendScript", **body).state == "done"


def test_a_doubt_about_our_own_select_is_no_doubt(world: World) -> None:
    body = _script_after_deploy(world)
    agent = world.agents["ese-1"]
    agent.cut = {agent.done + 1: 0}
    operation = world.do(BANK, "SendScript", **body)
    assert operation.state == "done"
    assert operation.round_trips == 2


def test_a_termination_in_doubt_goes_back_to_its_owner(world: World) -> None:
    world.deploy()
    world.agents["ese-1"].cut = {1: 3}
    operation = world.do(OPERATOR, "HandleSEStatusChangeNotification", seId="ese-1", action="terminate")
    assert operation.state == "in-doubt"
    assert world.ses["ese-1"].effects()[-1] == "card-state FF"
    # Its owner has looked, and says so.
    world.central.desk.resolve(OPERATOR, operation.operation, ResolveOperation(decision="accept"))
    assert world.query(BANK, "CheckGlobalEligibility", msi="491700000001").status == "terminated"


def test_repeated_reports_get_the_stored_order_byte_for_byte(world: World) -> None:
    world.start(BANK, "DeployService", **_deployment())
    agent = world.agents["ese-1"]
    with world.central.store.transaction():
        session = sessions.create(world.central.store, "ese-1")
    agent.poll(world.central, session.id)
    while agent.talking():
        before = dict(agent.report)
        agent.turn(world.central)
        first = agent.orders[-1]
        after, agent.report = agent.report, before
        world.reopen()
        # The answer was lost, the central TSM was restarted: the report comes again.
        if not agent.talking():
            agent.session = session.id
            agent.turn(world.central)
            agent.session = None
        else:
            agent.turn(world.central)
        assert agent.orders[-1] == first
        agent.report = after
    assert world.ses["ese-1"].effects() == DEPLOYED


def test_a_session_is_bound_to_one_device(world: World) -> None:
    world.start(BANK, "BeginConversation", seId="ese-1")
    with world.central.store.transaction():
        session = sessions.create(world.central.store, "ese-1")
    agent = world.agents["ese-1"]
    right = agent.identity
    stranger = pki.Identity(b"stranger" * 4, b"stranger" * 4, (("se", "ese-2"),), 4e9)
    agent.identity = stranger
    with pytest.raises(AssertionError):
        agent.poll(world.central, session.id)
    agent.identity = right
    agent.poll(world.central, session.id)
    # A certificate for the same SE with another key is a stranger too, once the session is bound.
    agent.identity = pki.Identity(b"stranger" * 4, b"stranger" * 4, right.names, 4e9)
    with pytest.raises(LookupError):
        agent.turn(world.central)
    with pytest.raises(AssertionError):
        agent.poll(world.central, session.id)
    # So is the device with its SE taken from it.
    agent.identity = dataclasses.replace(right, names=(("se", "ese-2"),))
    with pytest.raises(LookupError):
        agent.turn(world.central)
    agent.identity = renewed(right)
    assert not agent.turn(world.central)


def test_an_se_that_can_not_be_reached_fails_the_operation_after_a_few_tries(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opentsm_tsm.engine._UNAVAILABLE_DELAY_S", 0.0)
    agent = world.agents["ese-1"]

    def unavailable(number: int, command: dict[str, Any]) -> dict[str, Any]:
        length = len(command["listOfCAPDU"])
        response = {"ramResponseType": "seRamResponse", "listOfRAPDU": [""] * length, "answered": 0, "notSent": length}
        return {
            "localAgentStatus": {"localAgentStatusEnum": "UNAVAILABLE_SE", "errorMsg": "no card"},
            "ramResponses": [response],
            "opentsm": {"order": number},
        }

    monkeypatch.setattr(agent, "_run", unavailable)
    operation = world.deploy()
    assert operation.state == "failed"
    assert operation.problem is not None
    assert operation.problem.type.endswith(":se-unavailable")
    assert operation.round_trips == 5
    se = inventory.find(world.central.store, "ese-1")
    assert se is not None
    assert not se.reset


def _deployment() -> dict[str, Any]:
    application = {
        "package": "F06F70656E74736D0101",
        "module": "F06F70656E74736D010101",
        "instance": BANK_APP,
    }
    return {"seId": "ese-1", "service": "card", "qualifier": "1", "sd": BANK_SD, "applications": [application]}


def _script_after_deploy(world: World) -> dict[str, Any]:
    """Deploy, and return a harmless script's request; the session stays open."""
    world.do(BANK, "BeginConversation", seId="ese-1")
    assert world.deploy().state == "done"
    return {"seId": "ese-1", "target": BANK_SD, "script": HARMLESS}


def _run_without_reporting(world: World) -> str:
    """Let the agent run the next order and die before it reports; return its session."""
    agent = world.agents["ese-1"]
    session = agent.session
    assert session is not None
    count = len(agent.orders)
    while len(agent.orders) == count:
        agent.turn(world.central)
    agent.session = None
    return session


def test_a_session_that_is_given_up_is_no_session_any_more(world: World) -> None:
    name = world.start(BANK, "SendScript", **_script_after_deploy(world))
    agent = world.agents["ese-1"]
    first = _run_without_reporting(world)
    world.central.engine.give_up(first)
    assert sessions.live(world.central.store, "ese-1") is None
    agent.session = first
    with pytest.raises(LookupError):
        agent.turn(world.central)
    agent.session = None
    world.run()
    assert world.central.desk.operation(BANK, name).state == "in-doubt"


def test_a_script_is_kept_no_longer_than_it_is_needed(world: World, tmp_path: Path) -> None:
    body = _script_after_deploy(world)
    # A GET DATA nobody else sends.
    marker = "80CA5A5A00"
    body["script"] = [{"apdu": marker}]
    operation = world.do(BANK, "SendScript", **body, operationId="once")
    assert operation.state == "done"
    conversations = world.central.store.rows("SELECT id FROM conversation")
    world.do(BANK, "EndConversation", conversationId=conversations[0]["id"])
    world.run()
    world.central.store.forget()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert marker.encode() not in path.read_bytes(), path
    # It is still the same request, and no other one.
    assert world.start(BANK, "SendScript", **body, operationId="once") == "once"
    body["script"] = [{"apdu": "80CA5A5B00"}]
    with pytest.raises(RefusalError):
        world.start(BANK, "SendScript", **body, operationId="once")
