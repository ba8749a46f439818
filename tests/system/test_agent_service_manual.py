"""The manual's "Running the agent", followed by its own words: from pip to a supervised agent that serves a session."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent_peers import (
    ENROLMENT_SECRET,
    SE_ID,
    Authority,
    CountingCard,
    EnrolmentDesk,
    Peer,
    se_order,
    stop_order,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "agent-service.md").read_text()
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUNNER = ROOT / "tests" / "support" / "unit_runner.py"
# What root does there, done here without being it.
STAND_INS = """
systemctl() {
  case "$1" in
    daemon-reload) test -f ROOT/etc/systemd/system/opentsm-agent@.service ;;
    enable) unit=ROOT/etc/systemd/system/opentsm-agent@.service
            PYTHON RUNNER $unit "${3#opentsm-agent@}" ROOT > ROOT/unit.log 2>&1 &
            echo $! > ROOT/unit.pid ;;
    *) return 9 ;;
  esac
}
systemd-sysusers() { grep -q '^u opentsm-agent ' ROOT/etc/sysusers.d/opentsm-agent.conf; }
systemd-tmpfiles() { mkdir -p ROOT/etc/opentsm/agent ROOT/var/lib/opentsm-agent; }
install() { mkdir -p -m 0700 "${@: -1}"; }
runuser() { shift 3; "$@"; }
"""


class Supervised:
    """The files and processes of a device on which the manual was followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "unit.log"

    def said(self, line: str, times: int = 1, timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while self.log.read_text().count(line) < times:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def kill_agent(self) -> None:
        started = re.findall(r"^unit: starting (\d+)$", self.log.read_text(), re.MULTILINE)
        os.kill(int(started[-1]), signal.SIGKILL)

    def stop(self) -> None:
        pid = self.folder / "unit.pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)
            self.said("unit: stopped 0")


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Supervised]:
    made = Supervised(tmp_path)
    yield made
    made.stop()


def wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def script(folder: Path, peer: Peer, authority: Authority, card: CountingCard) -> str:
    """Return the manual's blocks as a script, in a folder in place of `/`, with what a reader changes changed."""
    blocks = BLOCK.findall(PAGE)
    assert len(blocks) == 6, "the page has another block: look at this test"
    install, *rest = blocks
    assert "pip install 'opentsm[" in install
    # The package from this checkout; its dependencies from this environment.
    install = "\n".join(
        (
            f"{sys.executable} -m venv --without-pip {folder}/opt/opentsm",
            f"{sys.executable} -m pip --python {folder}/opt/opentsm/bin/python install -q --no-deps {wheel(folder)}",
            f"cd {folder}/opt/opentsm/lib/python3*/site-packages",
            f"echo '{next(path for path in sys.path if path.endswith('site-packages'))}' > dependencies.pth",
            f"cd {folder}",
        )
    )
    edits = "\n".join(
        (
            "config=/etc/opentsm/agent/ese.toml",
            f"sed -i 's#https://tsm.example:8443#{peer.url}#; s#https://gateway.example:9443#{peer.url}#' \"$config\"",
            f"sed -i 's#pcsc:My Reader 00 00#{card.uri}#; s#8900101201234[0-9]*#{SE_ID}#' \"$config\"",
        )
    )
    text = "\n".join((STAND_INS, *rest[:2], edits, *rest[2:]))
    text = text.replace("system-files\n", "system-files --root ROOT\n").replace("ROOT", str(folder))
    for place in ("/opt/opentsm", "/etc/opentsm", "/var/lib/opentsm-agent"):
        text = text.replace(f"{folder}{place}", place).replace(place, f"{folder}{place}")
    text = text.replace("PYTHON", sys.executable).replace("RUNNER", str(RUNNER))
    return f"set -eu\nCODE={ENROLMENT_SECRET}.{authority.digest.hex()}\n{install}\n{text}"


def test_from_pip_to_a_supervised_agent_that_survives_a_kill(device: Supervised, tmp_path: Path) -> None:
    authority = Authority()
    with Peer(tmp_path, authority) as peer, CountingCard() as card:
        peer.enrol = EnrolmentDesk(authority)
        followed = subprocess.run(
            ["bash", "-c", script(tmp_path, peer, authority, card)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert followed.returncode == 0, followed.stdout + followed.stderr
        assert "no such file; to get it: opentsm agent enrol" in followed.stderr, "check, before the enrolment"
        assert f"Enrolled for {SE_ID}" in followed.stdout
        device.said("unit: READY=1")
        device.said("attached")
        device.kill_agent()
        device.said("unit: READY=1", 2)
        peer.orders = [se_order(1, ["00A4040007A0000001515350"]), stop_order(2)]
        peer.wakeups.append("a-session")
        peer.wait_until(lambda: len(peer.reports()) >= 2)
        assert len(card.run) == 1
        device.said("session-ended")


def test_a_wrong_configuration_ends_the_unit_for_good(tmp_path: Path) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("opentsm"), "agent", "system-files", "--root", str(tmp_path)], check=True
    )
    config = tmp_path / "etc" / "opentsm" / "agent" / "ese.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[tsm]\n")
    unit = tmp_path / "etc" / "systemd" / "system" / "opentsm-agent@.service"
    command = [sys.executable, str(RUNNER), str(unit), "ese", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 4
    assert ended.stdout.count("unit: starting") == 1
    assert "missing required field `url`" in ended.stderr
    assert "missing required field `journal`" in ended.stderr
