"""An agent process with one secure element, and a peer that gives it orders with secure channels computed ahead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from agent_peers import SE_ID, Authority, Peer, stop_order, write_config
from opentsm_card.keys import KeySet
from opentsm_card.scp03 import predict
from opentsm_card.scp03_script import ScriptRecord, precompute
from opentsm_simulator.provisioning import diversification_data

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from opentsm_card.apdu import Command

__all__ = ["ISD", "KEYS", "AgentRig", "answers", "order"]

ISD = bytes.fromhex("A000000151000000")
_TEST_KEY = bytes(range(0x40, 0x50))
KEYS = KeySet(0x30, _TEST_KEY, _TEST_KEY, _TEST_KEY)


class AgentRig:
    """An agent that reaches its secure element, named SE_ID, by the link `uri`.

    Args:
        folder: for its configuration and journal.
        uri: of the link.
        environment: of its process, in addition.
    """

    def __init__(self, folder: Path, uri: str, environment: Mapping[str, str] | None = None) -> None:
        authority = Authority()
        self.peer = Peer(folder, authority, client_ca=authority)
        config = write_config(folder, authority, self.peer.url, self.peer.url, uri)
        self._command = [sys.executable, "-m", "opentsm_tools.main", "agent", "run", "--json", "--config", str(config)]
        self.peer.wakeups.append("a-session-over-a-link")
        self._environment = os.environ | dict(environment or {})

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
