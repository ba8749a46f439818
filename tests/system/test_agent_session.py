"""The agent against a TLS server and a card behind TCP: sessions, faults of network and card, restarts."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from agent_peers import SE_ID, Authority, CountingCard, Peer, se_order, stop_order, write_config
from opentsm_agent.agent import Agent
from opentsm_agent.config import load_config
from opentsm_agent.events import Events
from opentsm_agent.journal import read_journal
from opentsm_agent.timers import SYSTEM, FastTimers, Timers
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SESSION = "0f96af97-f879-45a2-a011-ee7439df3804"
SELECT = "00A4040007A0000001515350"
INSTALL = "80E60C0003AABBCC"
REFUSED = "8010000000"
OK = "9000"
INSTALLED = "AABBCC9000"


class Rig:
    """One agent with everything around it; `agent` runs only while a test has it run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.peer = Peer(folder, self.authority, client_ca=self.authority)
        self.card = CountingCard()
        self.config = write_config(folder, self.authority, self.peer.url, self.peer.url, self.card.uri)
        self.log = io.StringIO()
        self.agent: Agent | None = None

    def start(self, timers: Timers = SYSTEM) -> Agent:
        self.agent = Agent(load_config(self.config), Events(self.log, as_json=True), timers=timers)
        self.agent.start()
        return self.agent

    def stop(self) -> None:
        if self.agent is not None:
            self.agent.stop()
            self.agent = None

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def run_session(self, *orders: dict[str, Any]) -> list[dict[str, Any]]:
        """Wake the agent, have it run orders until it is stopped, and return its reports."""
        self.peer.orders = [*orders, stop_order(len(orders) + 1)] if self.peer.extended else list(orders)
        self.peer.wakeups.append(SESSION)
        agent = self.start()
        self.wait_for_end(agent)
        self.stop()
        return self.peer.reports()

    def wait_for_end(self, agent: Agent) -> None:
        self.peer.wait_until(lambda: any(path.startswith("/gp/seram") for _, path, _ in self.peer.requests))
        for _, thread in list(agent._sessions.values()):
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    built = Rig(tmp_path)
    try:
        yield built
    finally:
        built.peer.close()
        built.stop()
        built.card.close()


def outcome(report: dict[str, Any]) -> tuple[list[str], int, bool, int]:
    (response,) = report["ramResponses"]
    return response["listOfRAPDU"], response["answered"], response["inDoubt"], response["notSent"]


def status(report: dict[str, Any]) -> str:
    return str(report["localAgentStatus"]["localAgentStatusEnum"])


class TestSession:
    def test_a_wake_up_leads_to_handshake_orders_and_stop(self, rig: Rig) -> None:
        start = {"delay": 0, "ramCommands": [{"ramCommandType": "ramStartCommand"}], "opentsm": {"order": 1}}
        reports = rig.run_session(start, se_order(2, [SELECT, INSTALL]), se_order(3, [INSTALL]))
        paths = [path for _, path, _ in rig.peer.requests if path != "/attach"]
        assert paths == ["/gp/seram/handshake"] + ["/gp/seram/remoteManagement"] * 4
        assert [status(report) for report in reports] == ["POLLING", "PROCESSED", "PROCESSED", "PROCESSED"]
        assert "ramResponses" not in reports[1]
        assert outcome(reports[2]) == (["A000009000", INSTALLED], 2, False, 0)
        assert outcome(reports[3]) == ([INSTALLED], 1, False, 0)
        assert [report.get("opentsm") for report in reports] == [None, {"order": 1}, {"order": 2}, {"order": 3}]
        assert [c_apdu.hex().upper() for c_apdu in rig.card.run] == [SELECT, INSTALL, INSTALL]
        assert rig.card.resets == 1, "a session keeps its link from order to order"

    def test_the_handshake_offers_the_devices_secure_elements_and_our_members(self, rig: Rig) -> None:
        rig.run_session()
        handshake = next(json.loads(body) for _, path, body in rig.peer.requests if path == "/gp/seram/handshake")
        assert handshake["secureElements"] == [{"seType": "eSE", "seId": SE_ID}]
        assert handshake["opentsm"] == {"version": 1}

    def test_a_peer_without_our_members_is_served_by_the_book(self, rig: Rig) -> None:
        rig.peer.extended = False
        command = {"ramCommandType": "seRamCommand", "listOfCAPDU": [REFUSED, INSTALL]}
        order = {"delay": 0, "ramCommands": [{"ramCommandType": "startCommand"}, command, command]}
        reports = rig.run_session(order, {"delay": 1})
        assert reports[1] == {
            "localAgentStatus": {"localAgentStatusEnum": "PROCESSED", "executedSeRamCommands": 2},
            "ramResponses": [{"ramResponseType": "seRamResponse", "listOfRAPDU": ["6985", INSTALLED]}] * 2,
        }
        assert status(reports[2]) == "POLLING"

    def test_a_cookie_of_the_server_comes_back(self, rig: Rig) -> None:
        rig.run_session(se_order(1, [SELECT]))
        cookies = [
            cookie
            for cookie, (_, path, _) in zip(rig.peer.cookies, rig.peer.requests, strict=True)
            if path.startswith("/gp")
        ]
        assert cookies == ["", "route=a", "route=a"]

    def test_a_restarted_agent_brings_the_cookie_back(self, rig: Rig) -> None:
        rig.peer.orders = [se_order(1, [SELECT])]
        rig.peer.wakeups.append(SESSION)
        rig.start()
        rig.peer.wait_until(lambda: len(rig.peer.reports()) >= 2)
        rig.stop()
        before = len(rig.peer.requests)
        rig.peer.orders.append(stop_order(2))
        rig.wait_for_end(rig.start())
        rig.peer.wait_until(lambda: any("/gp/" in path for _, path, _ in rig.peer.requests[before:]))
        later = zip(rig.peer.cookies[before:], rig.peer.requests[before:], strict=False)
        assert next(cookie for cookie, (_, path, _) in later if path.startswith("/gp")) == "route=a"

    def test_an_unknown_session_is_dropped(self, rig: Rig) -> None:
        rig.peer.sessions = set()
        rig.run_session()
        assert rig.events()[-2]["reason"] == "unknown to the TSM"
        assert read_journal(rig.folder / "journal").sessions == {}

    def test_neither_session_id_nor_apdu_data_gets_into_the_events(self, rig: Rig) -> None:
        rig.peer.faults += ["drop", 500, "lose"]
        rig.run_session(se_order(1, [SELECT, INSTALL]), se_order(2, [SELECT], opaqueFrom=0))
        log = rig.log.getvalue()
        assert '"network-error"' in log
        assert '"order":2' in log
        assert SESSION not in log
        for secret in ("AABBCC", "A0000001515350"):
            assert secret not in log.upper()

    def test_a_reset_is_done_before_the_command_that_asks_for_it(self, rig: Rig) -> None:
        rig.run_session(se_order(1, [SELECT], reset=True), se_order(2, [SELECT]), se_order(3, [SELECT], reset=True))
        assert rig.card.resets == 2, "opening is a reset already"

    def test_an_unmet_expectation_ends_the_script_and_the_order(self, rig: Rig) -> None:
        order = se_order(1, [SELECT, REFUSED, INSTALL])
        order["ramCommands"].append(order["ramCommands"][0])
        reports = rig.run_session(order)
        assert status(reports[1]) == "PROCESSED"
        assert reports[1]["localAgentStatus"]["executedSeRamCommands"] == 0
        first, second = reports[1]["ramResponses"]
        assert (first["answered"], first["inDoubt"], first["notSent"]) == (2, False, 1)
        assert (second["answered"], second["inDoubt"], second["notSent"]) == (0, False, 3)
        assert len(rig.card.run) == 2

    def test_a_notification_is_told_to_the_operator(self, rig: Rig) -> None:
        note = {"ramCommandType": "notificationCommand", "deviceAppNotification": "step1/OK"}
        rig.run_session({"delay": 0, "ramCommands": [note], "opentsm": {"order": 1}})
        assert [event["text"] for event in rig.events() if event["event"] == "notification"] == ["step1/OK"]


class TestBadOrders:
    @pytest.mark.parametrize(
        ("order", "place"),
        [
            (se_order(1, [SELECT, INSTALL, SELECT], opaqueFrom=1), "C-APDU 2: SELECT"),
            (se_order(1, [SELECT, "01700000 01".replace(" ", "")], opaqueFrom=1), "C-APDU 1: MANAGE CHANNEL"),
            (se_order(1, [SELECT, "80E6"]), "C-APDU 1"),
            (se_order(1, [SELECT, "80E6000"]), r"listOfCAPDU[1]"),
            (se_order(1, [SELECT], expect=[]), r"ramCommands[0].expect"),
            (se_order(1, [SELECT]) | {"delay": "x"}, "$.delay"),
        ],
    )
    def test_nothing_of_a_malformed_order_is_sent(self, rig: Rig, order: dict[str, Any], place: str) -> None:
        reports = rig.run_session(order)
        assert rig.card.run == []
        assert status(reports[1]) == "UNKNOWN_FAILURE"
        assert place in reports[1]["localAgentStatus"]["errorMsg"]
        assert reports[1]["opentsm"] == {"order": 1}
        for response in reports[1].get("ramResponses", []):
            assert (response["answered"], response["inDoubt"]) == (0, False)

    def test_a_bad_command_keeps_its_good_neighbour_from_being_sent(self, rig: Rig) -> None:
        order = se_order(1, [SELECT])
        order["ramCommands"] += se_order(1, [SELECT, SELECT], opaqueFrom=1)["ramCommands"]
        reports = rig.run_session(order)
        assert rig.card.run == []
        assert "ramCommands[1]" in reports[1]["localAgentStatus"]["errorMsg"]

    def test_what_is_no_json_is_reported_and_survived(self, rig: Rig) -> None:
        rig.peer.raw_answers.append(b"<html>")
        reports = rig.run_session(se_order(1, [SELECT]))
        assert [status(report) for report in reports] == ["POLLING", "UNKNOWN_FAILURE", "PROCESSED"]

    def test_an_unknown_secure_element_is_unavailable(self, rig: Rig) -> None:
        order = se_order(1, [SELECT]) | {"chosenSecureElement": {"seType": "eSE", "seId": "other"}}
        reports = rig.run_session(order)
        assert status(reports[1]) == "UNAVAILABLE_SE"
        assert outcome(reports[1]) == ([""], 0, False, 1)


class TestCardFailures:
    def test_a_card_that_is_not_there_is_unavailable_and_nothing_is_in_doubt(self, rig: Rig) -> None:
        rig.card.close()
        reports = rig.run_session(se_order(1, [SELECT, INSTALL]))
        assert status(reports[1]) == "UNAVAILABLE_SE"
        assert outcome(reports[1]) == (["", ""], 0, False, 2)

    @pytest.mark.parametrize("position", range(3))
    def test_a_card_that_leaves_puts_one_c_apdu_in_doubt_and_is_opened_anew(self, rig: Rig, position: int) -> None:
        def leave(number: int, _c_apdu: bytes) -> bytes | None:
            if number == position:
                rig.card.hook = lambda _number, _c_apdu: None
                raise ConnectionAbortedError
            return None

        rig.card.hook = leave
        reports = rig.run_session(se_order(1, [SELECT, INSTALL, INSTALL]), se_order(2, [SELECT], reset=True))
        assert status(reports[1]) == "UNAVAILABLE_SE"
        answers, answered, in_doubt, not_sent = outcome(reports[1])
        assert (answered, in_doubt, not_sent) == (position, True, 2 - position)
        assert answers[position:] == [""] * (3 - position)
        assert status(reports[2]) == "PROCESSED"
        assert len(rig.card.run) == position + 1
        assert rig.card.resets == 2

    def test_answers_that_are_too_long_together_end_the_script_and_are_told_as_far_as_they_came(self, rig: Rig) -> None:
        rig.card.hook = lambda _number, _c_apdu: bytes(60_000) + b"\x90\x00"
        reports = rig.run_session(se_order(1, [SELECT] * 9), se_order(2, [SELECT]))
        assert status(reports[1]) == "UNKNOWN_FAILURE"
        answers, answered, in_doubt, not_sent = outcome(reports[1])
        assert (answered, in_doubt, not_sent) == (5, False, 4)
        assert len(answers[0]) == 2 * 60_002
        assert outcome(reports[2])[1:] == (1, False, 0)


class TestNetworkFailures:
    @pytest.mark.parametrize("fault", ["drop", "lose", "truncate", 500, 503, 429])
    @pytest.mark.parametrize("request_number", range(4))
    def test_the_same_bytes_are_sent_again_and_nothing_runs_twice(
        self, rig: Rig, fault: str | int, request_number: int
    ) -> None:
        rig.peer.faults += [200] * request_number + [fault]
        reports = rig.run_session(se_order(1, [SELECT, INSTALL]), se_order(2, [INSTALL]))
        assert [c_apdu.hex().upper() for c_apdu in rig.card.run] == [SELECT, INSTALL, INSTALL]
        sent = [(path, body) for _, path, body in rig.peer.requests if path != "/attach"]
        assert len(sent) == 5
        assert sent[request_number] == sent[request_number + 1]
        assert outcome(reports[-1])[1] == 1

    def test_an_order_that_comes_again_is_not_run_again(self, rig: Rig) -> None:
        again = json.dumps(se_order(1, [INSTALL])).encode()
        rig.peer.raw_answers += [again, again, again]
        rig.run_session(se_order(1, [INSTALL]))
        assert len(rig.card.run) == 1
        bodies = [body for _, path, body in rig.peer.requests if path == "/gp/seram/remoteManagement"]
        assert bodies[1] == bodies[2] == bodies[3]

    def test_an_order_under_the_number_of_another_one_is_refused(self, rig: Rig) -> None:
        again = json.dumps(se_order(1, [INSTALL])).encode()
        other = json.dumps(se_order(1, [SELECT, INSTALL])).encode()
        rig.peer.raw_answers += [again, other, other]
        reports = rig.run_session(se_order(1, [INSTALL]))
        assert len(rig.card.run) == 1
        assert outcome(reports[1]) == ([INSTALLED], 1, False, 0)
        for report in reports[2:4]:
            assert status(report) == "UNKNOWN_FAILURE"
            assert "number 1" in report["localAgentStatus"]["errorMsg"]
            assert outcome(report) == (["", ""], 0, False, 2)
            assert report["opentsm"] == {"order": 1}

    def test_a_refusal_outlives_a_restart(self, rig: Rig) -> None:
        rig.peer.raw_answers += [json.dumps(se_order(1, commands)).encode() for commands in ([INSTALL], [SELECT])]
        rig.peer.wakeups.append(SESSION)
        rig.start()
        rig.peer.wait_until(lambda: "was another order's" in str(rig.peer.reports()))
        rig.stop()
        rig.peer.orders = [stop_order(2)]
        before = len(rig.peer.reports())
        rig.wait_for_end(rig.start())
        rig.peer.wait_until(lambda: len(rig.peer.reports()) > before)
        assert outcome(rig.peer.reports()[before]) == ([""], 0, False, 1)
        assert rig.card.run == [bytes.fromhex(INSTALL)]

    def test_a_server_of_another_ca_is_told_nothing(self, rig: Rig, tmp_path: Path) -> None:
        folder = tmp_path / "stranger"
        folder.mkdir()
        with Peer(folder, Authority(), client_ca=rig.authority) as stranger:
            text = rig.config.read_text()
            rig.config.write_text(text.replace(f'gateway = "{rig.peer.url}"', f'gateway = "{stranger.url}"'))
            agent = rig.start()
            wait_for_event(rig, "detached")
            rig.stop()
            assert stranger.requests == []
        assert "does not verify" in next(event["error"] for event in rig.events() if event["event"] == "detached")
        assert agent.failure is None

    def test_a_device_certificate_of_another_ca_is_refused_with_a_hint(self, rig: Rig) -> None:
        Authority("other").write(rig.folder, "device", "device")
        rig.start()
        wait_for_event(rig, "detached")
        rig.stop()
        assert "TLS" in next(event["error"] for event in rig.events() if event["event"] == "detached")
        assert rig.peer.requests == []

    def test_missing_identity_files_are_named(self, rig: Rig) -> None:
        (rig.folder / "device.key").unlink()
        with pytest.raises(ProtocolError, match=r"device\.key"):
            rig.start()


class TestFiveMinutes:
    """SERAM's five minutes, a thousand times as fast."""

    def give_up(self, rig: Rig) -> Agent:
        """Run an order, lose the network, and wait until the session is given up."""
        rig.peer.orders = [se_order(1, [SELECT, INSTALL])]
        rig.peer.wakeups.append(SESSION)
        rig.peer.faults += [200, 200] + ["drop"] * 10_000
        agent = rig.start(FastTimers(200))
        wait_for_event(rig, "session-ended")
        return agent

    def test_a_session_that_can_not_be_resumed_in_time_ends_and_its_report_is_told_outside_of_it(
        self, rig: Rig
    ) -> None:
        rig.peer.takes_recovered = True
        agent = self.give_up(rig)
        (ended,) = [event for event in rig.events() if event["event"] == "session-ended"]
        assert "5 minutes" in ended["reason"]
        pauses = [event["retry_in_s"] for event in rig.events() if event["event"] == "network-error"]
        assert 10 <= len(pauses) <= 40, pauses
        assert max(pauses) <= 30
        rig.peer.faults.clear()
        agent.hurry()
        wait_for_event(rig, "reports-recovered")
        (recovered,) = rig.peer.recovered
        assert (recovered["session"], recovered["order"]) == (SESSION, 1)
        assert outcome(recovered) == (["A000009000", INSTALLED], 2, False, 0)
        assert rig.card.run == [bytes.fromhex(SELECT), bytes.fromhex(INSTALL)]
        rig.stop()
        assert read_journal(rig.folder / "journal").orphans == {}

    def test_a_session_that_was_given_up_and_is_asked_for_again_goes_on_with_its_report(self, rig: Rig) -> None:
        agent = self.give_up(rig)
        rig.peer.faults.clear()
        rig.peer.orders.append(stop_order(2))
        before = len(rig.peer.reports())
        rig.peer.wakeups.append(SESSION)
        rig.peer.wait_until(lambda: len(rig.peer.reports()) > before)
        rig.wait_for_end(agent)
        assert outcome(rig.peer.reports()[before]) == (["A000009000", INSTALLED], 2, False, 0)
        assert rig.peer.reports()[before]["opentsm"] == {"order": 1}
        assert len(rig.card.run) == 2
        rig.stop()
        assert read_journal(rig.folder / "journal").orphans == {}


def wait_for_event(rig: Rig, name: str) -> None:
    waiting = threading.Event()
    for _ in range(500):
        if any(event["event"] == name for event in rig.events()):
            return
        waiting.wait(0.02)
    pytest.fail(f"no event {name}: {rig.log.getvalue()}")


KILLER = """\
import os, signal, sys
from opentsm_agent.journal import Journal
from opentsm_tools.main import main
real, left = Journal.append, int(sys.argv.pop(1))
def append(self, record, *, sync=False):
    global left
    left -= 1
    if left == 0 and {before}:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, record, sync=sync)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
Journal.append = append
main()
"""

FULL_DISK = """\
import resource, signal
from opentsm_tools.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))
main()
"""


class Process:
    """`opentsm agent run` as a process; killed at its n-th append to the journal, if n > 0."""

    def __init__(self, rig: Rig, kill_at: int, *, before: bool = False) -> None:
        command = [sys.executable, "-c", KILLER.format(before=before), str(kill_at)]
        self.process = subprocess.Popen(
            [*command, "agent", "run", "--json", "--config", str(rig.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, how: signal.Signals | None = None) -> tuple[int, str, str]:
        if how is not None:
            self.process.send_signal(how)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


class TestProcess:
    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_cleanly_in_the_middle_of_a_session(self, rig: Rig, how: signal.Signals) -> None:
        rig.peer.orders = [se_order(1, [SELECT])]
        rig.peer.wakeups.append(SESSION)
        process = Process(rig, 0)
        rig.peer.wait_until(lambda: len(rig.peer.reports()) >= 2)
        code, out, err = process.end(how)
        assert (code, err) == (0, "")
        events = [json.loads(line)["event"] for line in out.splitlines()]
        assert events[0] == "started"
        assert events[-2:] == ["session-suspended", "stopped"]
        assert SESSION not in out

    def test_a_suspended_session_is_resumed_with_its_report_byte_for_byte(self, rig: Rig) -> None:
        rig.peer.orders = [se_order(1, [SELECT])]
        rig.peer.wakeups.append(SESSION)
        process = Process(rig, 0)
        rig.peer.wait_until(lambda: len(rig.peer.reports()) >= 2)
        process.end(signal.SIGTERM)
        before = len(rig.peer.requests)
        rig.peer.orders.append(stop_order(2))
        agent = rig.start()
        rig.peer.wait_until(lambda: any("remoteManagement" in path for _, path, _ in rig.peer.requests[before:]))
        rig.wait_for_end(agent)
        bodies = [body for _, path, body in rig.peer.requests if "remoteManagement" in path]
        assert bodies[-1] == bodies[-2]
        assert not any("handshake" in path for _, path, _ in rig.peer.requests[before:])
        assert len(rig.card.run) == 1

    @pytest.mark.parametrize("before", [True, False])
    def test_killed_at_any_append_no_command_runs_twice_and_every_answer_or_doubt_is_told(
        self,
        rig: Rig,
        before: bool,  # noqa: FBT001 - a parameter of the test
    ) -> None:
        orders = [se_order(1, [SELECT, INSTALL]), se_order(2, ["80E60C0003000002"])]
        kill_at = 0
        while True:
            kill_at += 1
            session = f"{SESSION}-{kill_at}-{before}"
            rig.card.run.clear()
            rig.peer.requests.clear()
            rig.peer.orders = [*orders, stop_order(3)]
            rig.peer.wakeups.append(session)
            process = Process(rig, kill_at, before=before)
            ended = wait_for_exit_or_end(rig, process)
            if not ended:
                if not read_journal(rig.folder / "journal").sessions:
                    # What the TSM does when an agent stays silent; one with a session in its journal goes on with that.
                    rig.peer.wakeups.append(session)
                process = Process(rig, 0)
                assert wait_for_exit_or_end(rig, process)
            process.end(signal.SIGTERM)
            runs = [c_apdu.hex().upper() for c_apdu in rig.card.run]
            told = {order["opentsm"]["order"]: 0 for order in orders}
            for report in rig.peer.reports():
                number = report.get("opentsm", {}).get("order", 0)
                if number and status(report) != "POLLING":
                    _, answered, in_doubt, not_sent = outcome(report)
                    size = len(orders[number - 1]["ramCommands"][0]["listOfCAPDU"])
                    assert answered + in_doubt + not_sent == size
                    told[number] = answered + in_doubt
            assert len(runs) == len(set(runs)), "nothing ran twice"
            assert sum(told.values()) - 1 <= len(runs) <= sum(told.values()), (
                "what ran was told as answered or in doubt"
            )
            if ended:
                break
        assert kill_at > 10, "the sweep must reach the end of the session"
        assert told == {1: 2, 2: 1}

    def test_a_report_that_its_session_never_took_is_told_in_the_next(self, rig: Rig) -> None:
        rig.peer.orders = [se_order(1, [SELECT, INSTALL])]
        rig.peer.wakeups.append(SESSION)
        process = Process(rig, 6)  # open, cookies, start, sent, answer, sent: the second C-APDU is in doubt
        assert process.end()[0] == -signal.SIGKILL
        rig.peer.sessions = {"next-session"}
        rig.peer.orders = [stop_order(1)]
        before = len(rig.peer.requests)
        agent = rig.start()
        rig.peer.wait_until(lambda: any("remoteManagement" in path for _, path, _ in rig.peer.requests[before:]))
        rig.wait_for_end(agent)
        rig.peer.wakeups.append("next-session")
        rig.peer.wait_until(lambda: "recovered" in str(rig.peer.reports()[-1]))
        rig.wait_for_end(agent)
        (recovered,) = rig.peer.reports()[-1]["opentsm"]["recovered"]
        assert (recovered["session"], recovered["order"]) == (SESSION, 1)
        assert outcome(recovered) == (["A000009000", ""], 1, True, 0)
        rig.stop()
        assert read_journal(rig.folder / "journal").orphans == {}

    def test_after_a_power_loss_everything_behind_the_last_answer_is_in_doubt(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rig.peer.orders = [se_order(1, [SELECT, INSTALL, INSTALL, INSTALL])]
        rig.peer.wakeups.append(SESSION)
        process = Process(rig, 5)  # open, cookies, start, sent, answer
        assert process.end()[0] == -signal.SIGKILL
        monkeypatch.setattr("opentsm_agent.conversation.boot_id", lambda: "another boot")
        rig.peer.orders.append(stop_order(2))
        agent = rig.start()
        rig.peer.wait_until(lambda: len(rig.peer.reports()) == 2)
        rig.wait_for_end(agent)
        report = rig.peer.reports()[-1]
        assert outcome(report) == (["A000009000", "", "", ""], 1, True, 0)
        assert "power" in report["localAgentStatus"]["errorMsg"]

    def test_a_damaged_journal_ends_it_with_exit_code_4(self, rig: Rig) -> None:
        (rig.folder / "journal").write_bytes(b"not a journal")
        code, _, err = Process(rig, 0).end()
        assert code == 4
        assert "journal" in err

    def test_a_journal_that_cannot_be_written_ends_it_before_anything_is_sent(self, rig: Rig) -> None:
        rig.peer.orders = [se_order(1, [SELECT, INSTALL])]
        rig.peer.wakeups.append(SESSION)
        limited = [sys.executable, "-c", FULL_DISK, "agent", "run", "--json", "--config", str(rig.config)]
        done = subprocess.run(limited, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 4
        assert "journal" in done.stderr
        assert "File too large" in done.stderr
        assert SESSION not in done.stderr
        assert rig.card.run == []

    def test_it_imports_nothing_that_a_device_has_no_use_for(self) -> None:
        modules = "opentsm_tools.main, opentsm_agent.cli, opentsm_agent.agent, opentsm_agent.links.tcp, sys"
        heavy = "{'asyncio', 'httpx', 'rich', 'cryptography', 'jpype', 'sqlite3', 'starlette', 'unittest', 'ctypes'}"
        program = f"import {modules}; print(sorted({heavy} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
        assert done.stdout.strip() == "[]"

    def test_a_second_agent_on_one_journal_ends_at_once(self, rig: Rig) -> None:
        rig.start()
        code, _, err = Process(rig, 0).end()
        assert code == 4
        assert "another agent runs with this journal" in err

    def test_the_journal_tells_of_the_other_agent_before_its_port_does(self, rig: Rig) -> None:
        rig.start()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            with rig.config.open("a") as file:
                file.write(f'[metrics]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\n')
            code, _, err = Process(rig, 0).end()
        assert code == 4
        assert "another agent runs with this journal" in err

    def test_its_log_tells_of_a_folder_that_it_makes_and_of_an_open_key(self, rig: Rig) -> None:
        rig.config.write_text(rig.config.read_text().replace('"journal"', '"state/ese/journal"'))
        key = rig.folder / "device.key"
        key.chmod(0o644)
        process = Process(rig, 0)
        rig.peer.wait_until(lambda: bool(rig.peer.requests))
        _, out, _ = process.end(signal.SIGTERM)
        told = {line["event"]: line for line in map(json.loads, out.splitlines())}
        assert told["journal-folder-made"]["folder"] == str(rig.folder / "state" / "ese")
        assert told["journal-folder-made"]["level"] == "info"
        assert told["key-exposed"]["level"] == "warning"
        assert str(key) in told["key-exposed"]["warning"]
        key.chmod(0o640)
        process = Process(rig, 0)
        count = len(rig.peer.requests)
        rig.peer.wait_until(lambda: len(rig.peer.requests) > count)
        _, out, _ = process.end(signal.SIGTERM)
        assert not {"journal-folder-made", "key-exposed"} & {json.loads(line)["event"] for line in out.splitlines()}

    def test_status_tells_what_the_journal_holds_while_the_agent_runs(self, rig: Rig) -> None:
        rig.peer.orders = [se_order(1, [SELECT])]
        rig.peer.wakeups.append(SESSION)
        rig.start()
        rig.peer.wait_until(lambda: len(rig.peer.reports()) >= 2)
        command = [sys.executable, "-m", "opentsm_tools.main", "agent", "status", "--json", "--config"]
        done = subprocess.run([*command, str(rig.config)], capture_output=True, text=True, check=True, timeout=30)
        facts = json.loads(done.stdout)
        assert facts["open_sessions"] == 1
        assert facts["enrolled"] is True
        assert SESSION not in done.stdout


def wait_for_exit_or_end(rig: Rig, process: Process) -> bool:
    """Wait until the agent has been told to stop its session (True), or was killed (False)."""
    while process.process.poll() is None:
        reports = rig.peer.reports()
        if reports and reports[-1].get("opentsm", {}).get("order") == 2 and ended(rig):
            return True
        threading.Event().wait(0.01)
    assert process.process.returncode == -signal.SIGKILL, process.end()
    return False


def ended(rig: Rig) -> bool:
    state = read_journal(rig.folder / "journal")
    return not state.sessions and os.path.exists(rig.folder / "journal")  # noqa: PTH110 - a plain question
