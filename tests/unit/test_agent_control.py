"""The agent's local socket and the commands that use it; what the journal shows of itself."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest

from agent_peers import SE_ID, Authority, CountingCard, Peer, se_order, stop_order, write_config
from door import door, refused
from opentsm_agent.agent import Agent
from opentsm_agent.config import Control, load_config
from opentsm_agent.control import ControlServer, ask
from opentsm_agent.events import Events
from opentsm_agent.journal import Journal
from opentsm_card.errors import ProtocolError, StorageError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SESSION = "0f96af97-f879-45a2-a011-ee7439df3804"
SELECT, INSTALL = "00A4040007A0000001515350", "80E60C0003AABBCC"


class Rig:
    """A running agent with a socket."""

    def __init__(self, folder: Path) -> None:
        authority = Authority()
        self.peer = Peer(folder, authority, client_ca=authority)
        self.card = CountingCard()
        self.path = write_config(folder, authority, self.peer.url, self.peer.url, self.card.uri)
        self.path.write_text(self.path.read_text() + '[control]\nsocket = "agent.sock"\n')
        config = load_config(self.path)
        assert config.control is not None
        self.control = config.control
        with (folder / "log").open("w") as log:
            self.agent = Agent(config, Events(log))
        self.server = ControlServer(self.control, self.agent)
        self.agent.start()

    def close(self) -> None:
        self.peer.close()
        self.server.stop()
        self.agent.stop()
        self.card.close()


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def told(*arguments: str | Path) -> Any:
    answer = door("agent", *arguments, "--json")
    assert answer.code == 0, answer
    return json.loads(answer.out)


def hold(rig: Rig) -> None:
    """Have a session that has run an order and waits for the next."""
    rig.peer.orders = [se_order(1, [SELECT, INSTALL])]
    rig.peer.wakeups.append(SESSION)
    rig.peer.wait_until(lambda: len(rig.peer.reports()) >= 2)


def test_status_and_sessions_tell_of_the_running_agent(rig: Rig) -> None:
    hold(rig)
    status = told("status", "--config", rig.path)
    assert status["running"] is True
    assert list(status["wake_up"].values()) == [True]
    (session,) = status["sessions"]
    assert (session["state"], session["last_order"], session["se"]) == ("open", 1, SE_ID)
    assert told("sessions", "--config", rig.path)["session"] == session["session"]
    shown = door("agent", "sessions", "--config", rig.path).out + door("agent", "status", "--config", rig.path).out
    assert "open, for" in shown
    assert SESSION not in shown + json.dumps(status)
    assert len(session["session"]) == 8


def test_without_an_agent_status_reads_the_files_and_sessions_says_so(rig: Rig) -> None:
    hold(rig)
    rig.server.stop()
    status = told("status", "--config", rig.path)
    assert (status["running"], status["open_sessions"]) == (False, 1)
    assert "no agent is running" in refused(3, "agent", "sessions", "--config", rig.path)


def test_without_a_socket_in_the_configuration_the_error_names_it(tmp_path: Path) -> None:
    authority = Authority()
    path = write_config(tmp_path, authority, "https://tsm.test", "https://gateway.test", "tcp:127.0.0.1:1")
    assert "[control]" in refused(3, "agent", "wake", "--config", path)


def test_wake_opens_a_session_and_hurries_up_one_that_waits(rig: Rig) -> None:
    rig.peer.orders = [se_order(1, [SELECT]) | {"delay": 60_000}, stop_order(2)]
    assert told("wake", "--session", SESSION, "--config", rig.path) == {"woken": True}
    rig.peer.wait_until(lambda: len(rig.peer.reports()) >= 1)
    ended = threading.Event()
    for _ in range(100):
        # Its order asks for a minute's delay: without the hurry there would be no second report.
        told("wake", "--config", rig.path)
        if len(rig.peer.reports()) >= 2:
            break
        ended.wait(0.02)
    rig.peer.wait_until(lambda: len(rig.peer.reports()) >= 2, 5)


def test_the_journal_shows_positions_digests_and_status_words_only(rig: Rig, tmp_path: Path) -> None:
    hold(rig)
    facts = told("journal", "--config", rig.path)
    (session,) = facts["sessions"]
    assert session["unacknowledged"]["state"] == "to be reported"
    assert session["unacknowledged"]["commands"] == [{"c_apdus": 2, "answered": 2, "in_doubt": False, "not_sent": 0}]
    rig.close()
    assert told("journal", "--config", rig.path) == facts, "read from the file"
    with Journal(tmp_path / "journal") as journal:
        journal.open_session("other", "https://tsm.test", extended=True)
        journal.start_order("other", 7, b"an order", SE_ID, [3])
        journal.command_sent("other", 0, 0, bytes.fromhex(INSTALL))
        journal.command_answered("other", 0, 0, bytes.fromhex("AABBCC9000"))
        journal.command_sent("other", 0, 1, bytes.fromhex(INSTALL))
    text = door("agent", "journal", "--config", rig.path).out
    assert "order 7, started" in text
    assert "9000, 5 bytes" in text
    assert "in doubt" in text
    document = (tmp_path / "journal").read_bytes()
    for secret in (INSTALL, SESSION, "other"):
        assert secret not in text
    assert bytes.fromhex(INSTALL) not in document


def test_the_socket_is_open_to_those_that_the_configuration_names_and_to_no_one_else(tmp_path: Path) -> None:
    agent: Any = None
    for mode in ("600", "660", "0620"):
        server = ControlServer(Control(str(tmp_path / "s"), mode), agent)
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == int(mode, 8)
        server.stop()
        assert not (tmp_path / "s").exists()
    with pytest.raises(StorageError, match="no group"):
        ControlServer(Control(str(tmp_path / "s"), group="no such group"), agent)
    (tmp_path / "file").write_text("not a socket")
    with pytest.raises(StorageError):
        ControlServer(Control(str(tmp_path / "file")), agent)
    assert (tmp_path / "file").read_text() == "not a socket"
    with pytest.raises(StorageError, match="107 bytes"):
        ControlServer(Control(str(tmp_path / ("x" * 120))), agent)


def test_a_socket_left_by_a_killed_agent_is_replaced(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "s"))
    left.close()
    agent: Any = None
    server = ControlServer(Control(str(tmp_path / "s")), agent)
    with pytest.raises(ProtocolError, match="the agent"):
        ask(Control(str(tmp_path / "s")), {"ask": "dance"})
    server.stop()
    with pytest.raises(TransportError, match="no agent is running"):
        ask(Control(str(tmp_path / "s")), {"ask": "status"})


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"{}\n", b'{"ask":1}\n', b"\xff\n", b"[" * 5000, b'{"ask":"wake","session":"a b"}\n']
)
def test_what_is_no_request_is_answered_by_an_error_and_survived(tmp_path: Path, line: bytes) -> None:
    agent: Any = None
    server = ControlServer(Control(str(tmp_path / "s")), agent)
    try:
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "s"))
                client.sendall(line)
                client.shutdown(socket.SHUT_WR)
                assert "error" in json.loads(client.recv(65536))
    finally:
        server.stop()
    assert not os.listdir(tmp_path)  # noqa: PTH208 - a plain question
