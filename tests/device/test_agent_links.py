"""The whole way down each link: TLS server, agent process, reader, serial port or modem, virtual SE."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from agent_peers import SE_ID
from agent_rig import KEYS, AgentRig, answers, order
from modem_manager import MODEM, ModemManager, PrivateBus
from opentsm_card.aid import Aid
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.install import InstallForInstall
from opentsm_card.registry import parse_get_status
from opentsm_card.scp03_script import read_answers
from opentsm_simulator import VirtualSe
from opentsm_simulator.front import DialFront
from opentsm_simulator.modem import STANDARD, VirtualModem, find_modem
from opentsm_simulator.modem_faults import ModemFaults
from opentsm_simulator.modem_front import ModemFront
from opentsm_simulator.uart import UartFront
from opentsm_simulator.uart_faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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


class Rigs:
    """Makes agents with a virtual SE behind each kind of link; `close` takes them away."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self._folder = folder
        self._request = request
        self._closing: list[Callable[[], None]] = []

    def close(self) -> None:
        for close in self._closing:
            close()

    def uart(self, profile: str, query: str = "", faults: str | None = None) -> tuple[AgentRig, VirtualSe]:
        se = VirtualSe.create(profile, se_id=SE_ID)
        front = UartFront(se, str(self._folder / "se"), faults=Faults.parse(faults) if faults else None)
        return self._behind(front, f"uart:{front.address}{query}"), se

    def modem(self, query: str, like: str | None = None, faults: str | None = None) -> tuple[AgentRig, VirtualSe]:
        se = VirtualSe.create("uicc", se_id=SE_ID)
        entry = find_modem(like) if like else STANDARD
        lines = ModemFaults.parse(faults) if faults else None
        front = ModemFront(se, str(self._folder / "modem"), entry=entry, faults=lines)
        return self._behind(front, f"modem:{front.address}{query}"), se

    def modem_manager(self) -> tuple[AgentRig, VirtualSe]:
        bus = PrivateBus(self._folder)
        self._closing.append(bus.close)
        se = VirtualSe.create("uicc", se_id=SE_ID)
        self._request.getfixturevalue("monkeypatch").setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        manager = ModemManager({MODEM: VirtualModem(se.link(), se.atr)})
        rig = AgentRig(self._folder, f"modemmanager:{MODEM}")
        self._closing[:0] = [rig.peer.close, manager.close]
        return rig, se

    def dialled(self) -> tuple[AgentRig, VirtualSe]:
        se = VirtualSe.create("embedded", se_id=SE_ID)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return self._behind(DialFront(se, "127.0.0.1", port), f"tcp:127.0.0.1:{port}?listen"), se

    def pcsc(self) -> tuple[AgentRig, VirtualSe]:
        pcscd: Pcscd = self._request.getfixturevalue("pcscd")
        slot: Slot = self._request.getfixturevalue("slot")
        se = VirtualSe.create("embedded", se_id=SE_ID)
        slot.card = Inserted(se)
        rig = AgentRig(self._folder, f"pcsc:{slot.reader}", pcscd.environment)
        self._closing.append(rig.peer.close)
        return rig, se

    def _behind(self, front: UartFront | ModemFront | DialFront, uri: str) -> AgentRig:
        front.start()
        rig = AgentRig(self._folder, uri)
        self._closing.extend((rig.peer.close, front.stop))
        return rig


@pytest.fixture
def rigs(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rigs]:
    made = Rigs(tmp_path, request)
    yield made
    made.close()


@pytest.mark.parametrize(
    "make",
    [
        # T=1 and T=0, by their ATR; and T=1 over a line that spoils a block now and then.
        pytest.param(lambda rigs: rigs.uart("embedded"), id="uart-t1"),
        pytest.param(lambda rigs: rigs.uart("uicc", "?protocol=t0&echo=yes&reset=open"), id="uart-t0"),
        pytest.param(
            lambda rigs: rigs.uart("embedded", "?protocol=t1", "corrupt@100,drop@300,corrupt@500=03,corrupt@700"),
            id="uart-t1-noise",
        ),
        pytest.param(lambda rigs: rigs.modem("?apdu=csim"), id="modem-csim"),
        pytest.param(lambda rigs: rigs.modem("?apdu=ccho", "MC7455"), id="modem-ccho"),
        pytest.param(lambda rigs: rigs.modem("?apdu=basic"), id="modem-basic"),
        pytest.param(lambda rigs: rigs.modem("", "chatty,echo-stays,no-ccho"), id="modem-noisy"),
        pytest.param(lambda rigs: rigs.modem_manager(), id="modemmanager"),
        pytest.param(lambda rigs: rigs.dialled(), id="tcp-listen"),
        pytest.param(lambda rigs: rigs.pcsc(), id="pcsc"),
    ],
)
def test_an_application_is_installed_and_read_back_under_response_mac(
    rigs: Rigs, make: Callable[[Rigs], tuple[AgentRig, VirtualSe]]
) -> None:
    rig, se = make(rigs)
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


@pytest.mark.parametrize(
    "make",
    [
        # The card falls silent in the first order.
        pytest.param(lambda rigs: rigs.uart("uicc", "?protocol=t0", "stick@240"), id="uart"),
        # Line 26 is a +CSIM of the first order; of its OK the agent hears, and not of what the card said.
        pytest.param(lambda rigs: rigs.modem("?apdu=csim", None, "drop@26"), id="modem"),
    ],
)
def test_a_lost_answer_leaves_a_command_in_doubt_and_the_next_order_goes_on(
    rigs: Rigs, make: Callable[[Rigs], tuple[AgentRig, VirtualSe]]
) -> None:
    rig, se = make(rigs)
    install, _ = order(1, 1, InstallForInstall(PAYMENT, MODULE, INSTANCE))
    again, _ = order(2, 2, GetStatus.everything(Scope.APPLICATIONS))
    lost, listed = rig.run(install, again)
    response = lost["ramResponses"][0]
    assert response["inDoubt"]
    assert response["answered"] + 1 + response["notSent"] == len(install["ramCommands"][0]["listOfCAPDU"])
    assert listed["localAgentStatus"]["localAgentStatusEnum"] == "PROCESSED"
    assert len([effect for effect in se.effects() if effect.startswith("install")]) <= 1


def test_a_stale_counter_stops_before_anything_with_an_effect(rigs: Rigs) -> None:
    rig, se = rigs.pcsc()
    before = se.effects()
    stale, _ = order(1, 9, InstallForInstall(PAYMENT, MODULE, INSTANCE))
    (report,) = rig.run(stale)
    response = report["ramResponses"][0]
    assert (response["answered"], response["inDoubt"], response["notSent"]) == (2, False, 2)
    assert se.effects() == before
    assert json.dumps(report).count("9000") == 2
