"""Every sequence of the messaging API on virtual SEs, with an agent in process."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.get_data import GetData
from opentsm_card.keys import KeySet
from opentsm_card.put_key import put_key_set
from opentsm_card.scp03 import SecurityLevel, predict
from opentsm_card.scp03_script import precompute, read_answers
from opentsm_card.select import Select
from opentsm_tsm import holdings, inventory, queries, registry_record
from opentsm_tsm.problems import RefusalError
from tsm_peers import (
    BANK,
    BANK_APP,
    BANK_SD,
    NORTH,
    OPERATOR,
    PAYMENT,
    PAYMENT_MODULE,
    TRANSIT,
    TRANSIT_APP,
    TRANSIT_SD,
    World,
    make_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentsm_card.apdu import Command
    from opentsm_card.scp03_script import ScriptRecord
    from opentsm_tsm.messages import Operation


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    world = World(make_folder(tmp_path / "tsm"))
    world.add("ese-1")
    yield world
    world.close()


def believed(world: World, se_id: str = "ese-1") -> dict[str, str]:
    """Return what the centre believes of the applications and domains of an SE."""
    se = inventory.find(world.central.store, se_id)
    assert se is not None
    assert se.registry is not None
    return {
        str(entry.aid): registry_record.state_word(entry) for entry in registry_record.load(se.registry).applications
    }


def sp_script(
    keys: KeySet, sd: str, counter: int, diversification: str, commands: list[Command]
) -> tuple[list[dict[str, object]], ScriptRecord]:
    """Wrap commands in the SP's own channel, and return the script and the record to read the answers with."""
    _answer, session = predict(
        keys,
        b"8 bytes!",
        sequence_counter=counter,
        aid=bytes.fromhex(sd),
        diversification_data=bytes.fromhex(diversification),
    )
    script, record = precompute(session, [command.apdu() for command in commands], SecurityLevel.ALL)
    entries: list[dict[str, object]] = []
    for command in script:
        expect: dict[str, object] = {"sw": [f"{sw:04X}" for sw in sorted(command.expect.sws)]}
        if command.expect.data is not None:
            expect["data"] = command.expect.data.hex()
        entries.append({"apdu": command.c_apdu.hex(), "expect": expect})
    return entries, record


def test_prepersonalization_ends_with_keys_only_the_sp_can_read(world: World) -> None:
    operation = world.deploy()
    assert operation.state == "done"
    assert operation.result is not None
    assert world.ses["ese-1"].effects() == [
        f"install {BANK_SD}",
        f"set-state {BANK_SD} 0F",
        f"put-key {BANK_SD} 30",
        f"install {BANK_APP}",
        f"extradite {BANK_APP} {BANK_SD}",
    ]
    assert believed(world)[BANK_SD] == "PERSONALIZED"
    keys = world.temporary_keys(operation)
    link = world.agents["ese-1"].link
    answer, _ = predict(
        keys,
        b"12345678",
        sequence_counter=1,
        aid=bytes.fromhex(BANK_SD),
        diversification_data=bytes.fromhex(operation.result["diversificationData"]),
    )
    link.transmit(Select(bytes.fromhex(BANK_SD)).apdu().encode())
    assert link.transmit(bytes.fromhex("8050300008") + b"12345678" + b"\x00") == answer.encode() + b"\x90\x00"


def test_deploying_again_does_nothing_and_gives_the_same_keys(world: World) -> None:
    first = world.deploy()
    effects = world.ses["ese-1"].effects()
    second = world.deploy()
    assert second.state == "done"
    assert world.ses["ese-1"].effects() == effects
    assert world.temporary_keys(first) == world.temporary_keys(second)


def test_the_sp_rotates_its_keys_and_the_temporary_ones_are_destroyed(world: World, tmp_path: Path) -> None:
    deployed = world.deploy()
    assert deployed.result is not None
    temporary = world.temporary_keys(deployed)
    own = KeySet(0x31, bytes(range(16, 32)), bytes(range(32, 48)), bytes(range(48, 64)))
    script, record = sp_script(
        temporary, BANK_SD, 1, deployed.result["diversificationData"], [put_key_set(own, temporary.dek)]
    )
    sent = world.do(BANK, "SendScript", seId="ese-1", target=BANK_SD, script=script)
    assert sent.state == "done"
    assert sent.result is not None
    assert "notSent" not in sent.result
    answers = read_answers(temporary, record, [bytes.fromhex(answer) for answer in sent.result["answers"]])
    assert answers[-1].sw == 0x9000
    held = holdings.domain(world.central.store, "ese-1", bytes.fromhex(BANK_SD))
    assert held is not None
    assert held.sealed is not None

    receipt = world.query(
        BANK,
        "HandleActionDoneOnServiceNotification",
        seId="ese-1",
        sd=BANK_SD,
        action="key-rotation",
        keyVersion=0x31,
    )
    assert receipt.destroyed
    assert not any(held.sealed in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    again = world.deploy()
    assert again.result is not None
    assert "keys" not in again.result


def test_two_sps_side_by_side_and_one_is_deleted(world: World) -> None:
    world.deploy(BANK)
    world.deploy(TRANSIT)
    deleted = world.do(BANK, "TerminateService", seId="ese-1", scope="sp")
    assert deleted.state == "done"
    assert deleted.result == {"deleted": [BANK_SD], "services": ["card/1"]}
    assert BANK_APP not in believed(world)
    assert believed(world)[TRANSIT_APP] == "SELECTABLE"
    assert world.agents["ese-1"].link.transmit(Select(bytes.fromhex(TRANSIT_APP)).apdu().encode())[-2:] == b"\x90\x00"
    assert holdings.domain(world.central.store, "ese-1", bytes.fromhex(BANK_SD)) is None


def test_locks_restore_what_was_locked_one_by_one(world: World) -> None:
    second = f"{BANK_APP[:-2]}02"
    applications = [{"package": PAYMENT, "module": PAYMENT_MODULE, "instance": aid} for aid in (BANK_APP, second)]
    world.deploy(BANK, applications=applications)

    def act(action: str, **what: str) -> Operation:
        return world.do(BANK, "SuspendOrResumeService", seId="ese-1", action=action, **what)

    assert act("lock", aid=second).state == "done"
    locked = act("lock", scope="sp")
    assert locked.result is not None
    assert {status["state"] for status in locked.result["applications"]} == {"LOCKED (SELECTABLE)"}
    assert world.query(BANK, "GetServiceState", seId="ese-1", service="card", qualifier="1").state == "locked"
    assert act("unlock", scope="sp").state == "done"
    assert (believed(world)[BANK_APP], believed(world)[second]) == ("SELECTABLE", "LOCKED (SELECTABLE)")
    assert act("unlock", aid=second).state == "done"
    assert believed(world)[second] == "SELECTABLE"


def test_a_renewal_installs_anew_and_activates(world: World) -> None:
    world.deploy()
    before = len(world.ses["ese-1"].effects())
    operation = world.do(BANK, "UpgradeService", service="card", qualifier="1")
    assert operation.state == "done"
    assert [step.name for step in operation.steps] == ["find", "delete", "install", "activate"]
    assert world.ses["ese-1"].effects()[before:] == [
        f"delete {BANK_APP}",
        f"install {BANK_APP}",
        f"extradite {BANK_APP} {BANK_SD}",
        f"contactless {BANK_APP} 01",
    ]
    view = world.query(BANK, "GetServiceState", seId="ese-1", service="card", qualifier="1")
    assert (view.state, view.version) == ("active", 2)


def test_an_embedded_se_is_locked_unlocked_terminated_by_the_centre(world: World) -> None:
    def change(action: str) -> Operation:
        return world.do(OPERATOR, "HandleSEStatusChangeNotification", seId="ese-1", action=action)

    assert change("lock").state == "done"
    assert world.query(BANK, "CheckGlobalEligibility", msi="491700000001").status == "locked"
    with pytest.raises(RefusalError) as refused:
        world.deploy()
    assert refused.value.problem.type.endswith(":se-locked")
    assert change("unlock").state == "done"
    assert world.deploy().state == "done"
    assert change("terminate").state == "done"
    assert world.ses["ese-1"].effects()[-1] == "card-state FF"
    with pytest.raises(RefusalError):
        change("unlock")


def test_the_operator_deletes_all_services_of_an_se(world: World) -> None:
    world.deploy(BANK)
    world.deploy(TRANSIT)
    with pytest.raises(RefusalError):
        world.do(BANK, "TerminateService", seId="ese-1", scope="all")
    assert world.do(NORTH, "TerminateService", seId="ese-1", scope="all").state == "done"
    assert not {BANK_SD, BANK_APP, TRANSIT_SD, TRANSIT_APP} & believed(world).keys()
    assert world.query(BANK, "CheckGlobalEligibility", msi="491700000001").services == ()


def test_a_uicc_is_worked_on_through_its_central_domain(world: World) -> None:
    world.add("uicc-1", "uicc")
    assert world.deploy(BANK, "uicc-1").state == "done"
    activated = world.do(
        BANK, "SuspendOrResumeService", seId="uicc-1", action="activate", service="card", qualifier="1"
    )
    assert activated.result is not None
    assert activated.result["applications"][0]["contactless"] is True
    deleted = world.do(BANK, "TerminateService", seId="uicc-1", scope="service", service="card", qualifier="1")
    assert deleted.state == "done"
    assert world.ses["uicc-1"].effects()[-1] == f"delete {BANK_APP}"


def test_a_conversation_keeps_the_session_and_its_end_stops_it(world: World) -> None:
    begun = world.do(BANK, "BeginConversation", seId="ese-1")
    assert begun.result is not None
    agent = world.agents["ese-1"]
    session = agent.session
    conversation = begun.result["conversationId"]
    assert world.deploy(conversationId=conversation).state == "done"
    assert agent.session == session is not None
    ended = world.do(BANK, "EndConversation", conversationId=conversation)
    assert ended.state == "done"
    world.run()
    assert not world.agents["ese-1"].session
    with pytest.raises(RefusalError):
        world.deploy(conversationId=conversation)


def test_another_hosts_sessions_move_the_counter_and_nothing_is_lost(world: World) -> None:
    world.deploy()
    link = world.ses["ese-1"].link("contactless")
    for _ in range(5):
        link.transmit(bytes.fromhex("00A4040008A00000015100000000"))
        link.transmit(bytes.fromhex("8050300008010203040506070800"))
    link.close()
    operation = world.do(BANK, "SuspendOrResumeService", seId="ese-1", action="activate", service="card", qualifier="1")
    assert operation.state == "done"
    # One order met another counter and had no effect; the next one met the right one.
    assert operation.round_trips == 2


def test_wrong_keys_are_tried_once(tmp_path: Path) -> None:
    world = World(make_folder(tmp_path / "tsm"))
    try:
        se = world.add("ese-1")
        world.central.keystore.remove("central-master")
        world.central.keystore.put("central-master", bytes(16))
        operation = world.deploy()
        assert operation.state == "failed"
        assert operation.problem is not None
        assert operation.problem.type.endswith(":keys-wrong")
        sent = b"".join(world.agents["ese-1"].orders)
        assert not re.search(rb'"8482', sent), "EXTERNAL AUTHENTICATE was sent to a card with other keys"
        with pytest.raises(RefusalError) as refused:
            world.deploy()
        assert refused.value.problem.type.endswith(":se-keys-wrong")
        assert se.effects() == []
    finally:
        world.close()


def test_a_change_behind_the_centres_back_is_met_by_reading(world: World) -> None:
    deployed = world.deploy()
    assert deployed.result is not None
    temporary = world.temporary_keys(deployed)
    # The SP locks its own application through its own domain: SET STATUS is in its script's headers.
    lock = CommandApdu(0x80, 0xF0, 0x40, 0x80, bytes.fromhex(BANK_APP))

    class Lock:
        def apdu(self) -> CommandApdu:
            return lock

    script, _record = sp_script(temporary, BANK_SD, 1, deployed.result["diversificationData"], [Lock()])
    assert world.do(BANK, "SendScript", seId="ese-1", target=BANK_SD, script=script).state == "done"
    status = world.do(BANK, "GetApplicationOrELFStatus", seId="ese-1", aid=BANK_APP, refresh=True)
    assert status.result is not None
    assert status.result["state"] == "LOCKED (SELECTABLE)"
    assert queries.belief(world.central.centre, OPERATOR, "ese-1").stale is False


def test_a_scripts_answers_go_back_as_they_are(world: World) -> None:
    world.deploy()
    script = [{"apdu": GetData(0x00CF).apdu().encode().hex()}, {"apdu": "80CA007F00"}, {"apdu": "80CA00CF00"}]
    operation = world.do(BANK, "SendScript", seId="ese-1", target=BANK_SD, script=script)
    assert operation.result is not None
    answers = [ResponseApdu.parse(bytes.fromhex(answer)) for answer in operation.result["answers"]]
    assert answers[0].sw == 0x9000
    assert answers[1].sw != 0x9000
    assert (len(answers), operation.result["notSent"]) == (2, 1)
