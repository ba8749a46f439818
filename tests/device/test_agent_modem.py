"""The whole way through a modem: TLS server, agent process, pseudo-terminal, AT commands, virtual SE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_peers import SE_ID
from agent_rig import KEYS, AgentRig, answers, order
from opentsm_card.aid import Aid
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.install import InstallForInstall
from opentsm_card.registry import parse_get_status
from opentsm_card.scp03_script import read_answers
from opentsm_simulator import VirtualSe
from opentsm_simulator.modem import STANDARD, find_modem
from opentsm_simulator.modem_faults import ModemFaults
from opentsm_simulator.modem_front import ModemFront

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAYMENT = Aid.from_text("F06F70656E74736D0101")
MODULE = Aid.from_text("F06F70656E74736D010101")
INSTANCE = Aid.from_text("F06F70656E74736D0B000101")


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., tuple[AgentRig, VirtualSe]]]:
    closing: list[Callable[[], None]] = []

    def make(query: str, like: str | None = None, faults: str | None = None) -> tuple[AgentRig, VirtualSe]:
        se = VirtualSe.create("uicc", se_id=SE_ID)
        entry = find_modem(like) if like else STANDARD
        front = ModemFront(
            se, str(tmp_path / "modem"), entry=entry, faults=ModemFaults.parse(faults) if faults else None
        )
        front.start()
        rig = AgentRig(tmp_path, f"modem:{front.address}{query}")
        closing.extend((rig.peer.close, front.stop))
        return rig, se

    yield make
    for close in closing:
        close()


@pytest.mark.parametrize(
    ("query", "like"),
    [("?apdu=csim", None), ("?apdu=ccho", "MC7455"), ("?apdu=basic", None), ("", "chatty,echo-stays,no-ccho")],
    ids=["csim", "ccho", "basic", "noisy"],
)
def test_an_application_is_installed_and_read_back_under_response_mac(
    make_rig: Callable[..., tuple[AgentRig, VirtualSe]], query: str, like: str | None
) -> None:
    rig, se = make_rig(query, like)
    install, _ = order(1, 1, InstallForInstall(PAYMENT, MODULE, INSTANCE))
    listing, record = order(2, 2, GetStatus.everything(Scope.APPLICATIONS))
    installed, listed = rig.run(install, listing)
    assert installed["localAgentStatus"]["localAgentStatusEnum"] == "PROCESSED"
    assert installed["ramResponses"][0]["notSent"] == 0
    plain = read_answers(KEYS, record, answers(listed))
    entries, complete = parse_get_status(Scope.APPLICATIONS, [plain[-1]])
    assert complete
    assert INSTANCE in {entry.aid for entry in entries}
    assert [effect for effect in se.effects() if INSTANCE.hex().upper() in effect.upper()] == [
        f"install {INSTANCE.hex().upper()}"
    ]


def test_a_lost_answer_leaves_a_command_in_doubt_and_the_next_order_goes_on(
    make_rig: Callable[..., tuple[AgentRig, VirtualSe]],
) -> None:
    # Line 23 is a +CSIM of the first order; of its OK the agent hears, and not of what the card said.
    rig, se = make_rig("?apdu=csim", None, "drop@24")
    install, _ = order(1, 1, InstallForInstall(PAYMENT, MODULE, INSTANCE))
    again, _ = order(2, 2, GetStatus.everything(Scope.APPLICATIONS))
    lost, listed = rig.run(install, again)
    response = lost["ramResponses"][0]
    assert response["inDoubt"]
    assert response["answered"] + 1 + response["notSent"] == len(install["ramCommands"][0]["listOfCAPDU"])
    assert listed["localAgentStatus"]["localAgentStatusEnum"] == "PROCESSED"
    assert len([effect for effect in se.effects() if effect.startswith("install")]) <= 1
