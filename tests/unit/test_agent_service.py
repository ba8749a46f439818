"""Around the agent: what the service manager, Prometheus, a hook program and the log are told."""

from __future__ import annotations

import ast
import io
import json
import os
import socket
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import opentsm_agent
from opentsm_agent.config import Hook, Metrics, example, load_config
from opentsm_agent.events import Events
from opentsm_agent.hooks import HookRunner
from opentsm_agent.logs import AREAS, EVENTS, Level
from opentsm_agent.metrics import MetricsServer
from opentsm_agent.supervision import Watchdog, notify
from opentsm_card.errors import ProtocolError, TransportError

ROOM = Path(opentsm_agent.__file__).parent


class Supervisor:
    """A service manager's socket."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = folder / "notify"
        self.socket.bind(str(self.path))
        self.socket.settimeout(10)

    def heard(self) -> str:
        return self.socket.recv(4096).decode()


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    made = Supervisor(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(made.path))
    return made


def emitted() -> set[object]:
    """Every event that the agent's sources emit."""
    names: set[object] = set()
    for source in ROOM.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "emit":
                first = node.args[0]
                assert isinstance(first, ast.Constant) or source.name == "events.py", ast.unparse(node)
                if isinstance(first, ast.Constant):
                    names.add(first.value)
    return names


def test_the_table_of_events_has_each_that_is_emitted_and_no_other() -> None:
    assert emitted() == set(EVENTS)


def test_an_event_that_matters_less_than_its_area_s_level_is_not_written() -> None:
    log = io.StringIO()
    events = Events(log, as_json=True, level=Level.WARNING, areas={"order": Level.INFO})
    told: list[str] = []
    events.listen(lambda event, _: told.append(event))
    for event in ("wake-up", "detached", "order"):
        events.emit(event)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(line["event"], line["area"], line["level"]) for line in lines] == [
        ("detached", "gateway", "warning"),
        ("order", "order", "info"),
    ]
    assert told == ["wake-up", "detached", "order"], "a listener chooses for itself"


def test_a_service_manager_is_told(supervisor: Supervisor) -> None:
    assert notify("READY=1")
    assert supervisor.heard() == "READY=1"


def test_without_a_service_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not notify("READY=1")


def test_the_watchdog_is_fed_while_the_agent_lives(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = [True]
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    watchdog = Watchdog(lambda: alive[0])
    assert supervisor.heard() == supervisor.heard() == "WATCHDOG=1"
    alive[0] = False
    supervisor.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        [supervisor.heard() for _ in range(3)]
    watchdog.stop()


def test_another_process_s_watchdog_is_not_fed(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    Watchdog(lambda: True)
    supervisor.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        supervisor.heard()


def test_figures_for_prometheus() -> None:
    events = Events(io.StringIO())
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = MetricsServer(Metrics(f"127.0.0.1:{port}"), events)
    try:
        with pytest.raises(TransportError, match="cannot listen"):
            MetricsServer(Metrics(f"127.0.0.1:{port}"), Events(io.StringIO()))
        events.emit("attached", gateway="g")
        events.emit("session-started", tsm="t")
        events.emit("order", status="PROCESSED", answered=7, in_doubt=False)
        events.emit("order", status="UNAVAILABLE_SE", answered=1, in_doubt=True)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        server.stop()
    for line in (
        "opentsm_agent_attached 1.0",
        "opentsm_agent_sessions 1.0",
        'opentsm_agent_orders_total{status="PROCESSED"} 1.0',
        "opentsm_agent_answered_total 8.0",
        "opentsm_agent_in_doubt_total 1.0",
        'opentsm_agent_events_total{event="order"} 2.0',
    ):
        assert line in text.splitlines()


def hook(tmp_path: Path, code: str, **more: object) -> tuple[Hook, Path]:
    written = tmp_path / "told"
    program = tmp_path / "hook.py"
    program.write_text(f"import os, sys, time\ntold = open({str(written)!r}, 'a')\n{code}\n")
    return Hook([sys.executable, str(program)], **more), written  # type: ignore[arg-type]


def test_a_program_is_run_at_its_events_with_their_details(tmp_path: Path) -> None:
    wanted, written = hook(
        tmp_path,
        "told.write(' '.join(f'{k}={v}' for k, v in sorted(os.environ.items()) if k.startswith('OPENTSM_')) + '\\n')",
        events=["order", "started"],
    )
    events = Events(io.StringIO())
    runner = HookRunner(wanted, events)
    events.emit("wake-up")
    events.emit("order", order=3, in_doubt=True, se="ese-1")
    events.emit("started", secure_elements=["a", "b"])
    runner.stop(10)
    assert written.read_text().replace("OPENTSM_", "").splitlines() == [
        "AREA=order EVENT=order IN_DOUBT=true LEVEL=info ORDER=3 SE=ese-1",
        "AREA=agent EVENT=started LEVEL=info SECURE_ELEMENTS=a b",
    ]


@pytest.mark.parametrize(
    ("code", "said"), [("sys.exit(3)", "exit code 3"), ("time.sleep(60)", "ended after 0.2 s"), (None, "No such file")]
)
def test_a_program_that_fails_is_told_of_and_stops_nothing(tmp_path: Path, code: str | None, said: str) -> None:
    wanted, _ = hook(tmp_path, code or "", timeout_s=0.2) if code != "sys.exit(3)" else hook(tmp_path, code)
    if code is None:
        wanted = Hook([str(tmp_path / "none")])
    log = io.StringIO()
    events = Events(log, as_json=True)
    runner = HookRunner(wanted, events)
    events.emit("attached")
    runner.stop(20)
    failed = [json.loads(line) for line in log.getvalue().splitlines() if "hook-failed" in line]
    assert [line["at_event"] for line in failed] == ["attached"]
    assert said in failed[0]["error"]


def test_a_slow_program_holds_nobody_up(tmp_path: Path) -> None:
    wanted, _ = hook(tmp_path, "time.sleep(60)", timeout_s=0.3)
    events = Events(io.StringIO())
    runner = HookRunner(wanted, events)
    began = time.monotonic()
    for _ in range(1000):
        events.emit("order")
    assert time.monotonic() - began < 5
    runner.stop(0.1)


def test_the_example_is_a_configuration_as_it_stands_and_with_everything_on(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(example())
    assert load_config(path).log.level is Level.INFO
    lines = [
        line[2:] if line.startswith("# ") and ("=" in line or line[2] == "[") else line
        for line in example().splitlines()[3:]
    ]
    path.write_text("\n".join(lines))
    config = load_config(path)
    assert config.policy == tmp_path / "policy.toml"
    assert config.metrics is not None
    assert config.trace == tmp_path / "apdus.pcapng"
    assert config.clock == tmp_path / "clock"
    assert config.local is not None
    assert config.local.socket == str(tmp_path / "apdu.sock")
    assert config.secure_elements[0].card == "cin:0102030405060708"
    assert set(config.log.areas) <= AREAS


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(
        example()
        .replace("https://tsm", "http://tsm")
        .replace('"eSE"', '"ese"')
        .replace("[journal]", "[jounal]")
        .replace("# [log]", '[log]\nlevel = "loud"')
    )
    with pytest.raises(ProtocolError) as caught:
        load_config(path)
    for said in ("$.se[0].type", "jounal", "journal", "$.log.level"):
        assert said in str(caught.value)
    path.write_text(
        example()
        .replace("https://tsm", "http://tsm")
        .replace("pcsc:", "psc:")
        .replace("# [log]", '[log]\nareas = {a = "info"}')
    )
    with pytest.raises(ProtocolError) as caught:
        load_config(path)
    for said in ("$.tsm.url", "$.se[0].link", "$.log.areas"):
        assert said in str(caught.value)
