"""Refusals: what a caller may not know it does not learn from the answer; bad input names its place; all is audited."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from opentsm_tsm import audit, inventory, operations
from opentsm_tsm.centre import Caller
from opentsm_tsm.config import SeSeed
from opentsm_tsm.problems import RefusalError
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

    from opentsm_tsm.operator_messages import AuditRecord


@pytest.fixture(name="world", scope="module")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(make_folder(tmp_path_factory.mktemp("refusals") / "tsm"))
    world.add("ese-1")
    with world.central.store.transaction():
        seed = SeSeed(id="ese-2", type="eSE", configuration="embedded", mno="south", msisdn="+49180")
        inventory.add(world.central.store, seed, 48)
    assert world.deploy(BANK).state == "done"
    assert world.deploy(TRANSIT).state == "done"
    yield world
    world.close()


def refused(world: World, caller: Caller, function: str, **body: Any) -> RefusalError:
    """Call a function that must be refused; nothing must have changed but the audit log."""
    before = world.central.store.rows("SELECT * FROM operation"), world.central.store.rows("SELECT * FROM service")
    with pytest.raises(RefusalError) as caught:
        world.central.desk.call(caller, function, json.dumps(body).encode())
    after = world.central.store.rows("SELECT * FROM operation"), world.central.store.rows("SELECT * FROM service")
    assert [[tuple(row) for row in table] for table in before] == [[tuple(row) for row in table] for table in after]
    return caught.value


def test_every_reason_for_not_knowing_reads_the_same(world: World) -> None:
    name = world.start(BANK, "BeginConversation", seId="ese-1", operationId="banks")
    assert world.central.desk.operation(BANK, name).state == "pending"
    attempts: list[tuple[Caller, str, dict[str, Any]]] = [
        (TRANSIT, "CheckGlobalEligibility", {"msi": "00000000"}),
        # An SE of a network with which this SP has no contract.
        (TRANSIT, "CheckGlobalEligibility", {"msi": "49180"}),
        (TRANSIT, "GetMobileSubscriptionSEIdentifiers", {"msi": "00000000"}),
        (TRANSIT, "BeginConversation", {"seId": "ese-2"}),
        (TRANSIT, "BeginConversation", {"seId": "nowhere"}),
        # Another SP's service, application, domain, conversation; and none at all.
        (TRANSIT, "GetServiceState", {"seId": "ese-1", "service": "card", "qualifier": "2"}),
        (TRANSIT, "GetApplicationOrELFStatus", {"seId": "ese-1", "aid": BANK_APP}),
        (TRANSIT, "GetApplicationOrELFStatus", {"seId": "ese-1", "aid": f"{PREFIX}7777"}),
        (TRANSIT, "SendScript", {"seId": "ese-1", "target": BANK_SD, "script": [{"apdu": "80CA00CF00"}]}),
        (TRANSIT, "SendScript", {"seId": "ese-1", "target": BANK_APP, "script": [{"apdu": "80CA00CF00"}]}),
        (TRANSIT, "SendScript", {"seId": "ese-1", "target": "A000000151000000", "script": [{"apdu": "80CA00CF00"}]}),
        (TRANSIT, "SuspendOrResumeService", {"seId": "ese-1", "action": "lock", "aid": BANK_APP}),
        (TRANSIT, "TerminateService", {"seId": "ese-1", "scope": "instance", "aid": BANK_APP}),
        (TRANSIT, "UpgradeService", {"service": "card", "qualifier": "2"}),
        (TRANSIT, "EndConversation", {"conversationId": "banks"}),
        (
            TRANSIT,
            "HandleActionDoneOnServiceNotification",
            {"seId": "ese-1", "sd": BANK_SD, "action": "key-rotation"},
        ),
        # AIDs outside of the caller's prefixes, and AIDs that are taken.
        (BANK, "DeployService", {"seId": "ese-1", "service": "x", "qualifier": "9", "sd": TRANSIT_SD}),
        (TRANSIT, "DeployService", {"seId": "ese-1", "service": "x", "qualifier": "9", "sd": BANK_SD}),
        (TRANSIT, "DeployService", {"seId": "ese-1", "service": "x", "qualifier": "9", "sd": "A000000151000000"}),
        # Not configured at all; no such function.
        (Caller("sp", "stranger"), "CheckGlobalEligibility", {"msi": "491700000001"}),
        (TRANSIT, "NoSuchFunction", {}),
    ]
    problems = {str(refused(world, caller, function, **body).problem) for caller, function, body in attempts}
    assert len(problems) == 1
    assert "404" in problems.pop()
    with pytest.raises(RefusalError) as caught:
        world.central.desk.operation(TRANSIT, "banks")
    assert caught.value.problem.status == 404
    world.run()


def test_refusals_are_audited_with_their_reason(world: World) -> None:
    refused(world, TRANSIT, "CheckGlobalEligibility", msi="49180")
    record = _last(world)
    assert (record.actor, record.event, record.outcome) == ("sp:transit", "CheckGlobalEligibility", "refused")
    assert "no contract" in (record.detail or "")


def test_functions_are_for_their_roles(world: World) -> None:
    assert refused(world, OPERATOR, "DeployService").problem.status == 403
    assert refused(world, BANK, "HandleSEStatusChangeNotification").problem.status == 403
    # An MNO locks its own SEs only.
    body = {"seId": "ese-1", "action": "lock"}
    assert refused(world, Caller("mno", "south"), "HandleSEStatusChangeNotification", **body).problem.status == 404


@pytest.mark.parametrize(
    ("function", "body", "path"),
    [
        ("CheckGlobalEligibility", {}, "$"),
        ("CheckGlobalEligibility", {"msi": 5}, "$.msi"),
        ("SendScript", {"seId": "ese-1", "target": "xyz", "script": [{"apdu": "00"}]}, "$.target"),
        ("SendScript", {"target": BANK_SD, "script": [{"apdu": "80CA00CF00"}]}, "$.seId"),
        ("SuspendOrResumeService", {"seId": "ese-1", "action": "lock"}, "$.aid"),
        ("SuspendOrResumeService", {"seId": "ese-1", "action": "activate", "scope": "sp"}, "$.scope"),
        ("TerminateService", {"seId": "ese-1", "scope": "account"}, "$.service"),
        ("TerminateService", {"seId": "ese-1", "scope": "service"}, "$.service"),
        ("TerminateService", {"seId": "ese-1", "scope": "instance"}, "$.aid"),
        ("DeployService", {"seId": "ese-1", "service": "x", "qualifier": "9", "sd": "A0"}, "$.sd"),
        (
            "DeployService",
            {
                "seId": "ese-1",
                "service": "x",
                "qualifier": "9",
                "sd": BANK_SD,
                "applications": [{"package": PAYMENT, "module": "00", "instance": BANK_APP}],
            },
            "$.applications[0].module",
        ),
        (
            "DeployService",
            {
                "seId": "ese-1",
                "service": "x",
                "qualifier": "9",
                "sd": BANK_SD,
                "applications": [
                    {"package": PAYMENT, "module": PAYMENT_MODULE, "instance": BANK_APP, "privileges": "0000"}
                ],
            },
            "$.applications[0].privileges",
        ),
    ],
)
def test_bad_input_names_its_place(world: World, function: str, body: dict[str, Any], path: str) -> None:
    problem = refused(world, BANK, function, **body).problem
    assert (problem.status, problem.path) == (400, path)


@pytest.mark.parametrize(
    "apdu",
    [
        "00A4040005A000000001",  # SELECT
        "01A4040005A000000001",  # SELECT on channel 1
        "0CA4040005A000000001",  # SELECT that says secure messaging
        "10A4040005A000000001",  # SELECT, chained
        "40A4040005A000000001",  # SELECT on channel 4
        "0070000001",  # MANAGE CHANNEL
        "8170000001",
        "81CA00CF00",  # another channel
        "C0CA00CF00",
        "FFCA00CF00",
        "80CA00",  # no C-APDU
        "80E2000005AA",  # Lc does not fit
        "",
    ],
)
def test_a_script_with_a_select_or_a_channel_is_refused_at_its_position(world: World, apdu: str) -> None:
    script = [{"apdu": "80CA00CF00"}, {"apdu": apdu}]
    problem = refused(world, BANK, "SendScript", seId="ese-1", target=BANK_SD, script=script).problem
    assert (problem.status, problem.position, problem.path) == (400, 1, "$.script[1].apdu")
    account = {"service": "card", "qualifier": "1", "accounts": ["00" * 16], "target": BANK_APP}
    problem = refused(world, BANK, "TerminateService", seId="ese-1", scope="account", script=script, **account).problem
    assert (problem.status, problem.position) == (400, 1)


def test_the_same_operation_id_is_the_same_operation(world: World) -> None:
    first = world.start(BANK, "BeginConversation", seId="ese-1", operationId="once")
    assert world.start(BANK, "BeginConversation", seId="ese-1", operationId="once") == first
    assert len([row for row in operations.of_caller(world.central.store, str(BANK)) if row.id == "once"]) == 1
    problem = refused(world, BANK, "EndConversation", conversationId="x", operationId="once").problem
    assert problem.type.endswith(":operation-id-taken")
    # Another caller's id of the same name is its own.
    assert world.start(TRANSIT, "BeginConversation", seId="ese-1", operationId="once") == "once"
    world.run()
    assert world.central.desk.operation(TRANSIT, "once").state == "done"


def test_a_qualifier_stands_for_one_service(world: World) -> None:
    body = {"seId": "ese-1", "service": "card", "qualifier": "1"}
    problem = refused(world, BANK, "DeployService", **body, sd=f"{BANK_SD}01").problem
    assert problem.type.endswith(":qualifier-taken")
    problem = refused(world, BANK, "DeployService", **body, sd=BANK_SD).problem
    assert problem.type.endswith(":service-exists")


def test_the_temporary_version_is_no_rotation(world: World) -> None:
    body = {"seId": "ese-1", "sd": BANK_SD, "action": "key-rotation", "keyVersion": 0x30}
    problem = refused(world, BANK, "HandleActionDoneOnServiceNotification", **body).problem
    assert problem.type.endswith(":not-rotated")


def test_an_sp_sees_its_own_services_only(world: World) -> None:
    view = world.query(TRANSIT, "CheckGlobalEligibility", msi="+491700000001")
    assert [bytes(instance.aid).hex().upper() for service in view.services for instance in service.instances] == [
        TRANSIT_APP
    ]
    assert BANK_SD not in {bytes(keys.sd).hex().upper() for keys in view.key_sets}
    assert world.query(OPERATOR, "CheckGlobalEligibility", msi="+491700000001").services == ()


def test_no_key_reaches_the_audit_log_or_the_operations_rows(world: World) -> None:
    keys = world.temporary_keys(world.deploy(BANK))
    texts = [str(record) for record in audit.read(world.central.store)]
    texts += [str(tuple(row)) for row in world.central.store.rows("SELECT * FROM operation")]
    texts += [str(tuple(row)) for row in world.central.store.rows("SELECT * FROM domain")]
    for secret in (keys.enc, keys.mac, keys.dek):
        assert not any(secret.hex() in text.lower() or str(secret)[2:-1] in text for text in texts)


def _last(world: World) -> AuditRecord:
    records = audit.read(world.central.store)
    while len(page := audit.read(world.central.store, records[-1].number)):
        records = page
    return records[-1]
