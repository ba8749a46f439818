"""The whole way down: TLS server, agent process, pcscd, vpcd, virtual SE, with secure channels computed ahead."""

from __future__ import annotations

import json
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

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pcsc_rig import Pcscd, Slot

PAYMENT = Aid.from_text("F06F70656E74736D0101")
MODULE = Aid.from_text("F06F70656E74736D010101")
INSTANCE = Aid.from_text("F06F70656E74736D0B000101")


class Inserted:
    """A virtual SE as the card in a slot."""

    def __init__(self, se: VirtualSe) -> None:
        self.atr = se.atr
        self._link = se.link()

    def transmit(self, command: bytes) -> bytes:
        return self._link.transmit(command)

    def reset(self) -> bytes:
        return self._link.reset()


class Rig(AgentRig):
    def __init__(self, folder: Path, slot: Slot, pcscd: Pcscd) -> None:
        self.se = VirtualSe.create("embedded", se_id=SE_ID)
        slot.card = Inserted(self.se)
        super().__init__(folder, f"pcsc:{slot.reader}", pcscd.environment)


@pytest.fixture
def rig(tmp_path: Path, slot: Slot, pcscd: Pcscd) -> Iterator[Rig]:
    built = Rig(tmp_path, slot, pcscd)
    yield built
    built.peer.close()


def test_an_application_is_installed_and_read_back_under_response_mac(rig: Rig) -> None:
    install, _ = order(1, 1, InstallForInstall(PAYMENT, MODULE, INSTANCE))
    listing, record = order(2, 2, GetStatus.everything(Scope.APPLICATIONS))
    installed, listed = rig.run(install, listing)
    assert installed["localAgentStatus"]["localAgentStatusEnum"] == "PROCESSED"
    assert installed["ramResponses"][0]["notSent"] == 0
    plain = read_answers(KEYS, record, answers(listed))
    entries, complete = parse_get_status(Scope.APPLICATIONS, [plain[-1]])
    assert complete
    assert INSTANCE in {entry.aid for entry in entries}
    assert [effect for effect in rig.se.effects() if INSTANCE.hex().upper() in effect.upper()] == [
        f"install {INSTANCE.hex().upper()}"
    ]


def test_a_stale_counter_stops_before_anything_with_an_effect(rig: Rig) -> None:
    before = rig.se.effects()
    stale, _ = order(1, 9, InstallForInstall(PAYMENT, MODULE, INSTANCE))
    (report,) = rig.run(stale)
    response = report["ramResponses"][0]
    assert (response["answered"], response["inDoubt"], response["notSent"]) == (2, False, 2)
    assert rig.se.effects() == before
    assert json.dumps(report).count("9000") == 2
