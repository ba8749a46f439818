"""The whole way down: TLS server, agent process, pcscd, vpcd, virtual SE, with secure channels computed ahead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from agent_peers import SE_ID, Authority, Peer, stop_order, write_config
from opentsm_card.aid import Aid
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.install import InstallForInstall
from opentsm_card.keys import KeySet
from opentsm_card.registry import parse_get_status
from opentsm_card.scp03 import predict
from opentsm_card.scp03_script import ScriptRecord, precompute, read_answers
from opentsm_simulator import VirtualSe
from opentsm_simulator.virtual_se import diversification_data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentsm_card.apdu import Command
    from pcsc_rig import Pcscd, Slot

ISD = bytes.fromhex("A000000151000000")
PAYMENT = Aid.from_text("F06F70656E74736D0101")
MODULE = Aid.from_text("F06F70656E74736D010101")
INSTANCE = Aid.from_text("F06F70656E74736D0B000101")
TEST_KEY = bytes(range(0x40, 0x50))
KEYS = KeySet(0x30, TEST_KEY, TEST_KEY, TEST_KEY)


class Inserted:
    """A virtual SE as the card in a slot."""

    def __init__(self, se: VirtualSe) -> None:
        self.atr = se.atr
        self._link = se.link()

    def transmit(self, command: bytes) -> bytes:
        return self._link.transmit(command)

    def reset(self) -> bytes:
        return self._link.reset()


class Rig:
    def __init__(self, folder: Path, slot: Slot, pcscd: Pcscd) -> None:
        self.se = VirtualSe.create("embedded", se_id=SE_ID)
        slot.card = Inserted(self.se)
        authority = Authority()
        self.peer = Peer(folder, authority, client_ca=authority)
        config = write_config(folder, authority, self.peer.url, self.peer.url, f"pcsc:{slot.reader}")
        command = [sys.executable, "-m", "opentsm_tools.main", "agent", "run", "--json", "--config", str(config)]
        self.peer.wakeups.append("a-session-over-pcsc")
        self._command, self._environment = command, os.environ | pcscd.environment

    def run(self, *orders: dict[str, Any]) -> list[dict[str, Any]]:
        """Have an agent run these orders, and return its reports on them."""
        self.peer.orders = [*orders, stop_order(len(orders) + 1)]
        agent = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, env=self._environment)
        assert agent.stdout is not None
        lines: list[str] = []
        for line in agent.stdout:
            lines.append(line)
            if '"session-ended"' in line:
                break
        agent.send_signal(signal.SIGTERM)
        agent.stdout.close()
        assert agent.wait(30) == 0, lines
        return self.peer.reports()[1:]


@pytest.fixture
def rig(tmp_path: Path, slot: Slot, pcscd: Pcscd) -> Iterator[Rig]:
    built = Rig(tmp_path, slot, pcscd)
    yield built
    built.peer.close()


def order(number: int, counter: int, *commands: Command) -> tuple[dict[str, Any], ScriptRecord]:
    """Return an order with a session to the ISD computed ahead, and what reads its answers."""
    challenge = bytes([counter]) * 8
    _, session = predict(
        KEYS, challenge, sequence_counter=counter, aid=ISD, diversification_data=diversification_data(SE_ID)
    )
    script, record = precompute(session, commands, select=ISD)
    command = {
        "ramCommandType": "seRamCommand",
        "listOfCAPDU": [step.c_apdu.hex().upper() for step in script],
        "expect": [
            {"sw": [f"{sw:04X}" for sw in step.expect.sws]}
            | ({"data": step.expect.data.hex()} if step.expect.data is not None else {})
            for step in script
        ],
        "reset": True,
    }
    element = {"seType": "eSE", "seId": SE_ID}
    return {"delay": 0, "chosenSecureElement": element, "ramCommands": [command], "opentsm": {"order": number}}, record


def answers(report: dict[str, Any]) -> list[bytes]:
    return [bytes.fromhex(r_apdu) for r_apdu in report["ramResponses"][0]["listOfRAPDU"] if r_apdu]


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
