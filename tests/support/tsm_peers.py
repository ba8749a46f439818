"""What the central TSM talks to, small but real: an agent in process that runs orders on a link, and a whole folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from joserfc import jwe
from joserfc.jwk import ECKey

from opentsm_card.diversification import diversify
from opentsm_card.keys import KeySet
from opentsm_simulator import VirtualSe
from opentsm_simulator.provisioning import diversification_data
from opentsm_tsm import pki, seram, sessions, setup, wire
from opentsm_tsm.centre import Caller
from opentsm_tsm.messages import KeySetDocument, Operation
from opentsm_tsm.operations import ses_with_work
from opentsm_tsm.setup import CentralTsm

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_card.link import Link

MASTER = bytes(range(16))
BANK, TRANSIT = Caller("sp", "bank"), Caller("sp", "transit")
OPERATOR, NORTH = Caller("operator", "operator"), Caller("mno", "north")

PREFIX = "F06F70656E74736D"
PAYMENT, PAYMENT_MODULE = f"{PREFIX}0101", f"{PREFIX}010101"
BANK_SD, BANK_APP = f"{PREFIX}0A0001", f"{PREFIX}0B000101"
TRANSIT_SD, TRANSIT_APP = f"{PREFIX}0A0002", f"{PREFIX}0B000201"
# Label "card", priority 1, up to 4 accounts.
PARAMETERS = "5004" + b"card".hex() + "870101" + "C20104"

_CONFIG = """\
id = "central"
listen = "127.0.0.1:0"
[central_keys]
master = "central-master"
[[mno]]
id = "north"
gateway = "https://127.0.0.1:1"
ca = "ca.pem"
[[mno]]
id = "south"
gateway = "https://127.0.0.1:1"
ca = "ca.pem"
[[sp]]
id = "bank"
mnos = ["north", "south"]
encryption_key = "bank.pub.pem"
aid_prefixes = ["F06F70656E74736D0A0001", "F06F70656E74736D0B0001"]
[[sp]]
id = "transit"
mnos = ["north"]
encryption_key = "bank.pub.pem"
[[se]]
id = "ese-1"
type = "eSE"
configuration = "embedded"
mno = "north"
msisdn = "+491700000001"
imsi = "262010000000001"
[[se]]
id = "uicc-1"
type = "uicc"
configuration = "uicc"
mno = "south"
msisdn = "+491700000002"
"""


class CrashError(Exception):
    """The process is killed here, as far as a test in one process can."""


def central_keys(se_id: str) -> KeySet:
    """Return the central SD's keys of an SE."""
    return diversify(MASTER, "kdf3", diversification_data(se_id), version=48)


def virtual_se(se_id: str, profile: str = "embedded") -> VirtualSe:
    """Make an SE as the test's inventory knows it."""
    name = "isd" if profile.startswith("embedded") else "central"
    return VirtualSe.create(profile, se_id=se_id, keys={name: central_keys(se_id)})


def make_folder(folder: Path) -> Path:
    """Set a central TSM up."""
    path = setup.init(folder, b"test", master=MASTER)
    path.write_text(_CONFIG)
    key = ECKey.generate_key("P-256", private=True)
    (folder / "bank.pub.pem").write_bytes(key.as_pem(private=False))
    (folder / "bank.key.pem").write_bytes(key.as_pem(private=True))
    return path


@dataclass
class FakeAgent:
    """An agent on a link: runs each order once, keeps its report until the next order, repeats it when asked to."""

    se_id: str
    link: Link
    identity: pki.Identity
    report: dict[str, Any] = field(default_factory=dict)
    session: str | None = None
    done: int = 0
    orders: list[bytes] = field(default_factory=list)
    # Set by a test: cut the script of the order of this number off behind so many answers, and say so or not.
    cut: dict[int, int] = field(default_factory=dict)
    # How many C-APDUs of each order were answered.
    answered: dict[int, int] = field(default_factory=dict)

    def talking(self) -> bool:
        """Tell whether it has a session."""
        return self.session is not None

    def poll(self, central: CentralTsm, session: str) -> None:
        """Shake hands."""
        handshake = wire.decode(
            json.dumps({"secureElements": [{"seType": "eSE", "seId": self.se_id}], "opentsm": {"version": 1}}).encode(),
            seram.Handshake,
        )
        assert central.engine.handshake(session, self.identity, handshake) is not None
        self.session, self.done = session, 0
        self.report = {"localAgentStatus": {"localAgentStatusEnum": "POLLING", "executedSeRamCommands": 0}}

    def turn(self, central: CentralTsm) -> bool:
        """Send the report, run the order that comes back; False when there is none (or the session has ended)."""
        assert self.session is not None
        report = wire.decode(json.dumps(self.report).encode(), seram.Report)
        body = central.engine.take(self.session, self.identity, report)
        if body is None:
            answered = central.engine.answered(self.session, self.identity)
            body = central.engine.next_order(self.session, self.identity, answered)
        if body is None:
            body = central.engine.stop(self.session, self.identity)
        if body is None:
            return False
        order = json.loads(body)
        number = order["opentsm"]["order"]
        self.orders.append(body)
        if number > self.done:
            self.done = number
            if not self._obey(order):
                self.session = None
                return False
        return True

    def _obey(self, order: dict[str, Any]) -> bool:
        number = order["opentsm"]["order"]
        for command in order["ramCommands"]:
            if command["ramCommandType"] == "ramStopCommand":
                return False
            if command["ramCommandType"] == "seRamCommand":
                self.report = self._run(number, command)
        return True

    def _run(self, number: int, command: dict[str, Any]) -> dict[str, Any]:
        answers: list[str] = []
        in_doubt = False
        length = len(command["listOfCAPDU"])
        if command.get("reset"):
            self.link.reset()
        for apdu, expect in zip(command["listOfCAPDU"], command["expect"], strict=True):
            answer = self.link.transmit(bytes.fromhex(apdu))
            if self.cut.get(number) == len(answers):
                in_doubt = True
                break
            answers.append(answer.hex().upper())
            data = expect.get("data")
            if answer[-2:].hex().upper() not in expect["sw"] or (
                data is not None and answer[:-2].hex().upper() != data
            ):
                break
        self.answered[number] = len(answers)
        padded = answers + [""] * (length - len(answers))
        return {
            "localAgentStatus": {"localAgentStatusEnum": "PROCESSED", "executedSeRamCommands": 1},
            "ramResponses": [
                {
                    "ramResponseType": "seRamResponse",
                    "listOfRAPDU": padded,
                    "answered": len(answers),
                    "inDoubt": in_doubt,
                    "notSent": length - len(answers) - in_doubt,
                }
            ],
            "opentsm": {"order": number},
        }


class World:
    """A central TSM, its SEs and their agents, all in process."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.central = CentralTsm.open(config)
        self.ses: dict[str, VirtualSe] = {}
        self.agents: dict[str, FakeAgent] = {}

    def add(self, se_id: str, profile: str = "embedded") -> VirtualSe:
        """Make an SE with an agent."""
        se = virtual_se(se_id, profile)
        self.ses[se_id] = se
        named = se_id.encode().ljust(32)
        identity = pki.Identity(named, named, (("se", se_id),), 4e9)
        self.agents[se_id] = FakeAgent(se_id, se.link(), identity)
        return se

    def reopen(self) -> None:
        """Start the central TSM again, from its files."""
        self.central.close()
        self.central = CentralTsm.open(self.config)

    def close(self) -> None:
        """Close everything."""
        self.central.close()
        for agent in self.agents.values():
            agent.link.close()

    def query(self, caller: Caller, function: str, **body: Any) -> Any:
        """Call a function that answers at once."""
        reply = self.central.desk.call(caller, function, json.dumps(body).encode())
        assert reply.status == 200
        return reply.document

    def start(self, caller: Caller, function: str, **body: Any) -> str:
        """Ask for an operation and return its id."""
        reply = self.central.desk.call(caller, function, json.dumps(body).encode())
        assert reply.status == 202
        document: Any = reply.document
        name: str = document.operation
        return name

    def run(self) -> None:
        """Wake the SEs that have work, as the errands do, and let their agents work until there is none left."""
        store = self.central.store
        for se in ses_with_work(store):
            agent = self.agents[se]
            session = sessions.live(store, se)
            if session is None:
                with store.transaction():
                    session = sessions.create(store, se)
            if agent.session != session.id:
                agent.poll(self.central, session.id)
        for agent in self.agents.values():
            while agent.session is not None and agent.turn(self.central):
                pass

    def do(self, caller: Caller, function: str, **body: Any) -> Operation:
        """Ask for an operation, run it, and return it."""
        name = self.start(caller, function, **body)
        self.run()
        return self.central.desk.operation(caller, name)

    def deploy(self, caller: Caller = BANK, se_id: str = "ese-1", **changes: Any) -> Operation:
        """Pre-personalize the caller's service."""
        sd, app = (BANK_SD, BANK_APP) if caller == BANK else (TRANSIT_SD, TRANSIT_APP)
        application = {
            "package": PAYMENT,
            "module": PAYMENT_MODULE,
            "instance": app,
            "parameters": PARAMETERS,
        }
        body = {"seId": se_id, "service": "card", "qualifier": "1", "sd": sd, "applications": [application]}
        return self.do(caller, "DeployService", **{**body, **changes})

    def temporary_keys(self, operation: Operation) -> KeySet:
        """Open the keys of a deployment, as the SP does."""
        assert operation.result is not None
        private = ECKey.import_key((self.config.parent / "bank.key.pem").read_bytes())
        opened = jwe.decrypt_compact(operation.result["keys"], private, algorithms=["ECDH-ES+A256KW", "A256GCM"])
        assert opened.plaintext is not None
        document = wire.decode(opened.plaintext, KeySetDocument)
        return KeySet(document.version, bytes(document.enc), bytes(document.mac), bytes(document.dek))
