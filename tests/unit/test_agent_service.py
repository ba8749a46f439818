"""Around the agent: what the service manager, Prometheus, a hook program and the log are told."""

from __future__ import annotations

import ast
import errno
import io
import json
import os
import socket
import sys
import time
import tomllib
import urllib.request
from pathlib import Path
from typing import get_args, get_origin

import msgspec
import pytest
from click.testing import CliRunner

import opentsm_agent
from agent_peers import Authority, write_config
from opentsm_agent.checks import check, exposed_key
from opentsm_agent.cli import agent
from opentsm_agent.config import Document, Hook, Metrics, example, load_config
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


def everything() -> str:
    """The example with everything on."""
    return "\n".join(
        line[2:] if line.startswith("# ") and ("=" in line or line[2] == "[") else line
        for line in example().splitlines()[3:]
    )


def test_the_example_is_a_configuration_as_it_stands_and_with_everything_on(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(example())
    assert load_config(path).log.level is Level.INFO
    path.write_text(everything())
    config = load_config(path)
    assert config.policy == tmp_path / "policy.toml"
    assert config.metrics is not None
    assert config.trace == tmp_path / "apdus.pcapng"
    assert config.clock == tmp_path / "clock"
    assert config.local is not None
    assert config.local.socket == str(tmp_path / "apdu.sock")
    assert config.secure_elements[0].card == "cin:0102030405060708"
    assert set(config.log.areas) <= AREAS


def schema(kind: object, place: str = "$") -> set[str]:
    """The places of a structure's type, and of the types in it."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return set().union(*(schema(each.type, f"{place}.{each.encode_name}") for each in msgspec.structs.fields(kind)))
    structures = [each for each in get_args(kind) if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    inside = [each for each in get_args(kind) if get_origin(each) is list]
    return set().union(*(schema(each, place) for each in [*structures, *inside])) or {place}


def test_the_example_has_every_entry_that_there_is() -> None:
    places: set[str] = set()

    def note(tree: object, place: str) -> None:
        places.add(place)
        for each in tree if isinstance(tree, list) else ():
            note(each, place)
        for name, each in tree.items() if isinstance(tree, dict) else ():
            note(each, f"{place}.{name}")

    note(tomllib.loads(everything()), "$")
    assert schema(Document) - places == set()
    areas = next(line for line in example().splitlines() if line.startswith("# areas"))
    assert {area for area in AREAS if area in areas.partition("by area:")[2]} == AREAS


def test_all_that_is_wrong_is_said_at_once_and_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(
        """\
colour = "red"
[tsm]
url = "http://tsm.test"
[network]
gateway = 5
ca = "gateway-ca.pem"
[identity]
certificate = "device.pem"
kye = "device.key"
ca = "ca.pem"
[journal]
path = "journal"
[[se]]
id = "8900"
type = "ese"
link = "psc:Reader"
[[se]]
id = "8900"
type = "eSE"
link = 5
card = "cin:XY"
[log]
level = "loud"
areas = { order = "loud", orders = "info" }
[metrics]
listen = "9472"
[hook]
command = ["./on-event"]
events = ["order", 5, "orders"]
[wake.mqtt]
broker = "mqtt://broker.test"
version = "4"
[wake.sms]
port = ""
senders = ["+49 170 0000000", "+491700000000", "OpenTSM"]
[trace]
path = "./journal"
[clock]
[control]
socket = "agent.sock"
group = "no-such-group"
mode = "888"
[policy]
path = "policy.toml"
"""
    )
    (tmp_path / "policy.toml").write_text("card_wide = 5\nselect = ['A0', 5]\n")
    with pytest.raises(ProtocolError) as caught:
        check(path)
    said = str(caught.value)
    for part in (
        "`colour` - at `$`",
        "at `$.tsm.url`",
        "at `$.network.gateway`",
        "field `kye` - at `$.identity`",
        "field `key` - at `$.identity`",
        "at `$.se[0].type`",
        "'psc:Reader'",
        "at `$.se[1].link`",
        "at `$.se[1].card`",
        "the same id",
        "at `$.log.level`",
        "at `$.log.areas.order`",
        "no area 'orders'",
        "at `$.metrics.listen`",
        "on-event: no such program",
        "at `$.hook.events[1]`",
        "no event 'orders'",
        "at `$.wake.mqtt.broker`",
        "at `$.wake.mqtt.version`",
        "at `$.wake.sms.port`",
        "at `$.wake.sms.senders[0]`",
        "`$.journal.path` already - at `$.trace.path`",
        "field `floor` - at `$.clock`",
        "no group 'no-such-group'",
        "at `$.control.mode`",
        "gateway-ca.pem: No such file",
        "device.pem: no such file; to get it",
        "at `$.card_wide`",
        "at `$.select[0]`",
        "at `$.select[1]`",
    ):
        assert said.count(part) == 1, f"{part}: {said}"
    # With the line of the file, and the policy's own two.
    assert len(said.splitlines()) == 1 + 28 + 3, said


def test_a_value_of_another_type_hides_nothing_either(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('tsm = 1\nnetwork = []\nse = 3\nwake = "x"\nlog = 1\nhook = 1\n[identity]\n[journal]\npath = ""\n')
    with pytest.raises(ProtocolError) as caught:
        check(path)
    said = str(caught.value)
    for place in ("tsm", "network", "se", "wake", "log", "hook", "journal.path"):
        assert said.count(f"$.{place}`") == 1, said
    assert said.count("$.identity`") == 3, said
    assert len(said.splitlines()) == 11, said


class Enrolled:
    """A device with all that an agent needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        url = "https://tsm.test"
        self.path = write_config(folder, Authority(), url, url, "tcp:127.0.0.1:1")
        (folder / "device.key").chmod(0o600)

    def wrong(self, more: str) -> str:
        """What is said where so much is added to its configuration; "" for nothing."""
        text = self.path.read_text()
        self.path.write_text(text + more)
        try:
            check(self.path)
        except ProtocolError as error:
            return str(error)
        finally:
            self.path.write_text(text)
        return ""


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Enrolled:
    return Enrolled(tmp_path_factory.mktemp("enrolled"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[metrics]\nlisten = "127.0.0.1:0"', "HOST:PORT with a port from 1 to 65535 - at `$.metrics.listen`"),
        ('[wake.sms]\nport = "/dev/ttyUSB3"\nsenders = ["0170/123"]', "'0170/123': want a number"),
        ('[wake.sms]\nport = "/dev/ttyUSB3"\nsenders = ["a name of twelve"]', "want a number"),
        ('[hook]\ncommand = ["none"]', "none: no such program"),
        ('[hook]\ncommand = ["./ca.pem"]', "ca.pem: no such program, or none that may be run - at `$.hook.command`"),
        ('[wake.mqtt]\nbroker = "mqtts://b"\nca = "none.pem"', "none.pem: No such file"),
        ('[control]\nsocket = "{long}"', "longer than the 107 bytes that a socket's may have - at `$.control.socket`"),
        ('[control]\nsocket = "s"\ngroup = "no-such-group"', "no group 'no-such-group' - at `$.control.group`"),
        ('[local]\nsocket = "{long}"\n[local.users]', "at `$.local.socket`"),
        ('[clock]\nfloor = "ca.pem"', "want a time in seconds"),
        ('[trace]\npath = "no/folder/apdus.pcapng"', "no/folder is no folder"),
        ('[trace]\npath = "."', "Is a directory"),
        ('[trace]\npath = "ca.pem/apdus.pcapng"', "ca.pem is no folder"),
        ('[metrics]\nlisten = "a..b:9472"', "a part that is empty or too long - at `$.metrics.listen`"),
        ('[policy]\npath = "none.toml"', "none.toml: No such file"),
        ('[clock]\nfloor = "journal"', "`$.journal.path` already - at `$.clock.floor`"),
    ],
)
def test_a_check_says_what_a_start_would_stop_at(enrolled: Enrolled, more: str, said: str) -> None:
    assert enrolled.wrong("") == ""
    assert said in enrolled.wrong(more.replace("{long}", "s" * 108))


@pytest.mark.parametrize(
    "more",
    [
        '[wake.sms]\nport = "/dev/ttyUSB3"\nsenders = ["+491700000000", "22000", "*100#", "OpenTSM", "My Bank 24"]',
        '[metrics]\nlisten = "[::1]:9472"',
        '[hook]\ncommand = ["sh", "-c", "true"]',
        '[hook]\ncommand = ["./on-event", "./as it is"]',
        '[clock]\nfloor = "clock"',
    ],
)
def test_a_check_passes_what_is_right(enrolled: Enrolled, more: str) -> None:
    program = enrolled.folder / "on-event"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert enrolled.wrong(more) == ""


def test_a_damaged_journal_and_one_in_a_file_s_place_are_found(enrolled: Enrolled, tmp_path: Path) -> None:
    text = enrolled.path.read_text()
    damaged = tmp_path / "journal"
    damaged.write_bytes(b"none of ours" * 10)
    for path, said in ((damaged, "journal"), (tmp_path, "Is a directory"), (damaged / "journal", "Not a directory")):
        enrolled.path.write_text(text.replace('path = "journal"', f'path = "{path}"'))
        try:
            with pytest.raises(ProtocolError, match=said) as caught:
                check(enrolled.path)
        finally:
            enrolled.path.write_text(text)
        assert str(path) in str(caught.value)


def test_a_folder_that_may_not_be_looked_into_hides_nothing(
    enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = enrolled.folder / "closed"
    look = Path.stat

    def stat(path: Path, **how: bool) -> os.stat_result:
        if closed in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path, **how)

    monkeypatch.setattr(Path, "stat", stat)
    text = enrolled.path.read_text()
    enrolled.path.write_text(text.replace('"device.pem"', '"closed/device.pem"'))
    try:
        said = enrolled.wrong('[trace]\npath = "closed/apdus.pcapng"\n[metrics]\nlisten = "x"')
    finally:
        enrolled.path.write_text(text)
    for part in ("device.pem: Permission denied", "trace ", "$.metrics.listen"):
        assert part in said


def test_a_key_that_every_user_can_read_is_warned_of(enrolled: Enrolled) -> None:
    key = enrolled.folder / "device.key"
    config = check(enrolled.path)
    assert exposed_key(config) is None
    try:
        for mode, warned in ((0o640, False), (0o604, True), (0o602, True)):
            key.chmod(mode)
            assert (exposed_key(config) is not None) == warned
        done = CliRunner().invoke(agent, ["check", "--config", str(enrolled.path)])
        assert done.exit_code == 0
        assert "warning: " in done.stderr
        assert "(mode 0602)" in done.stderr
        done = CliRunner().invoke(agent, ["check", "--json", "--config", str(enrolled.path)])
        assert len(json.loads(done.stdout)["warnings"]) == 1
    finally:
        key.chmod(0o600)


def test_a_program_beside_the_configuration_is_found_from_anywhere(enrolled: Enrolled) -> None:
    text = enrolled.path.read_text()
    enrolled.path.write_text(text + '[hook]\ncommand = ["bin/on-event", "bin/as-it-is"]')
    try:
        config = load_config(enrolled.path)
    finally:
        enrolled.path.write_text(text)
    assert config.hook is not None
    assert config.hook.command == [str(enrolled.folder / "bin" / "on-event"), "bin/as-it-is"]
