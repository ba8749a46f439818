"""A UICC's life cycle: the centre relays the MNO's scripts, and the MNO alone says what the answers prove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from opentsm_card.diversification import diversify
from opentsm_simulator import VirtualSe
from opentsm_simulator.provisioning import diversification_data
from opentsm_tsm import operations, wire
from opentsm_tsm.gateway_messages import IssuerAnswers, IssuerOutcome, IssuerRequest, IssuerScript
from opentsm_tsm.handlers import SE_STATUS
from opentsm_tsm.messages import Operation, ResolveOperation, ScriptEntry
from opentsm_tsm.mno.config import Uicc
from opentsm_tsm.mno.issuer import Issuer
from opentsm_tsm.mno.store import MnoStore
from opentsm_tsm.wire import Hex
from tsm_peers import BANK, OPERATOR, World, central_keys, make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ISSUER_MASTER = bytes(range(100, 116))
SE = "uicc-1"


class Mno:
    """The MNO's side of the questions that a central TSM asks, without the network between."""

    def __init__(self, path: Path) -> None:
        self.store = MnoStore(path)
        data = diversification_data(SE).hex()
        uicc = Uicc(se=SE, diversification_data=data, allow=("lock", "unlock", "terminate", "status"))
        self.issuer = Issuer(ISSUER_MASTER, [uicc], self.store)
        self.asked: list[str] = []
        self.status = 200

    def answer(self, path: str, message: object) -> bytes:
        """Answer a question."""
        if path == "issuer-script":
            assert isinstance(message, IssuerRequest)
            self.asked.append(message.action)
            made = self.issuer.script(SE, message.action, message.counter)
            return wire.encode(IssuerScript(target=made.target, script=made.entries))
        assert isinstance(message, IssuerAnswers)
        proved = self.issuer.verify(SE, tuple(bytes(answer) for answer in message.answers))
        return wire.encode(IssuerOutcome(verified=proved.verified, state=proved.state, retry=proved.retry))


class Rig:
    """A world with one UICC and its MNO."""

    def __init__(self, folder: Path) -> None:
        self.world = World(make_folder(folder / "tsm"))
        agent = self.world.add(SE, "uicc")
        del agent
        issuer = diversify(ISSUER_MASTER, "kdf3", diversification_data(SE), version=48)
        self.se = VirtualSe.create("uicc", se_id=SE, keys={"isd": issuer, "central": central_keys(SE)})
        self.agent = self.world.agents[SE]
        self.agent.link = self.se.link()
        self.mno = Mno(folder / "mno.sqlite")

    def change(self, action: str) -> Operation:
        """Ask for a change of the life cycle, and play agent and MNO until it has ended."""
        name = self.world.start(OPERATOR, "HandleSEStatusChangeNotification", seId=SE, action=action)
        for _ in range(20):
            self.world.run()
            operation = operations.find(self.world.central.store, str(OPERATOR), name)
            assert operation is not None
            if operation.final:
                break
            assert operation.phase in SE_STATUS.phases
            body = self.mno.answer(*SE_STATUS.question(operation))
            with self.world.central.store.transaction():
                SE_STATUS.answer(self.world.central.centre, operation, self.mno.status, body)
        return self.world.central.desk.operation(OPERATOR, name)


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.world.close()
    rig.mno.store.close()


def status(rig: Rig) -> Any:
    """Return what the centre believes of the UICC."""
    return rig.world.query(BANK, "CheckGlobalEligibility", msi="491700000002")


def test_a_uicc_is_locked_unlocked_and_terminated_by_its_mnos_scripts(rig: Rig) -> None:
    assert rig.change("lock").result == {"seId": SE, "lifeCycle": "CARD_LOCKED"}
    assert (status(rig).status, status(rig).life_cycle) == ("locked", "CARD_LOCKED")
    assert rig.change("unlock").state == "done"
    assert rig.world.deploy(BANK, SE).state == "done"
    assert rig.change("terminate").state == "done"
    assert status(rig).status == "terminated"
    assert [effect for effect in rig.se.effects() if effect.startswith("card-state")] == [
        "card-state 7F",
        "card-state 0F",
        "card-state FF",
    ]


def test_another_counter_costs_a_script_and_changes_nothing(rig: Rig) -> None:
    link = rig.se.link("contactless")
    for _ in range(3):
        link.transmit(bytes.fromhex("00A4040008A00000015100000000"))
        link.transmit(bytes.fromhex("8050300008010203040506070800"))
    link.close()
    assert rig.change("lock").state == "done"
    assert rig.mno.asked == ["lock", "lock"]
    assert rig.se.effects() == ["card-state 7F"]


@pytest.mark.parametrize(
    ("position", "asked"),
    [
        # Our SELECT, INITIALIZE UPDATE, EXTERNAL AUTHENTICATE: nothing was changed, and the MNO can tell.
        (0, ["lock"]),
        # SET STATUS and the GET STATUS behind it: the state is asked for first.
        (3, ["lock", "status"]),
        (4, ["lock", "status"]),
    ],
)
def test_a_lock_in_doubt_is_settled_through_the_mno(rig: Rig, position: int, asked: list[str]) -> None:
    rig.agent.cut = {1: position}
    operation = rig.change("lock")
    assert operation.state == "done"
    assert rig.mno.asked == asked
    assert rig.se.effects() == ["card-state 7F"]


def test_a_lock_that_was_cut_off_before_its_effect_is_asked_for_again(rig: Rig) -> None:
    # EXTERNAL AUTHENTICATE is in doubt; the state that is read shows that nothing was done.
    rig.agent.cut = {1: 2}
    operation = rig.change("lock")
    assert operation.state == "done"
    assert rig.mno.asked[0] == rig.mno.asked[-1] == "lock"
    assert rig.se.effects() == ["card-state 7F"]


def test_an_mno_that_refuses_ends_the_operation(rig: Rig) -> None:
    rig.mno.status = 403
    operation = rig.change("lock")
    assert operation.state == "failed"
    assert operation.problem is not None
    assert operation.problem.type.endswith(":mno-refused")
    assert rig.se.effects() == []


@pytest.mark.parametrize(
    ("target", "apdu"),
    [("F06F70656E74736D0001", "80CA00CF00"), ("A000000151000000", "00A4040005A000000001"), ("A0000001", "")],
)
def test_an_mnos_script_stays_in_its_own_domain(rig: Rig, target: str, apdu: str) -> None:
    def answer(path: str, message: object) -> bytes:
        del path, message
        entries = (ScriptEntry(apdu=Hex(bytes.fromhex(apdu))),)
        return wire.encode(IssuerScript(target=Hex(bytes.fromhex(target)), script=entries))

    rig.mno.answer = answer  # type: ignore[method-assign] # an MNO that answers wrongly
    operation = rig.change("lock")
    assert operation.state == "failed"
    assert operation.apdus == 0


def test_an_mno_that_can_not_tell_what_its_script_did_leaves_a_doubt(rig: Rig) -> None:
    told = rig.mno.answer

    def answer(path: str, message: object) -> bytes:
        rig.mno.status = 200 if path == "issuer-script" else 409
        return told(path, message)

    rig.mno.answer = answer  # type: ignore[method-assign] # a gateway that lost its database in between
    ended = rig.change("lock")
    assert "card-state 7F" in rig.se.effects()
    assert ended.state == "in-doubt"
    desk = rig.world.central.desk
    assert desk.resolve(OPERATOR, ended.operation, ResolveOperation(decision="accept")).state == "done"
    assert status(rig).status == "locked"
