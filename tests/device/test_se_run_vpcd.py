"""`opentsm se run --vpcd`: a pcscd that it starts, with a reader for each SE; every PC/SC program sees a card.

pcscd has one socket on a machine, in /run/pcscd: here each run has a folder of its own under that name.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from opentsm_card.errors import TransportError
from opentsm_simulator import pcscd as ours
from pcsc_rig import Pcscd

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(sys.executable).parent / "opentsm"
RUN = Path("/run/pcscd")


class Run:
    """`opentsm se run …` with a /run/pcscd of its own."""

    def __init__(self, *words: str) -> None:
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
            pytest.fail("these tests need mount namespaces: run them as root, where `unshare --mount true` works")
        # A socket's path has at most 107 bytes, so this does not go below pytest's folder.
        self.folder = Path(tempfile.mkdtemp(prefix="run-"))
        RUN.mkdir(exist_ok=True)
        mount = f'mount --bind "{self.folder}" {RUN} && exec "$0" "$@"'
        self.environment = os.environ | {
            "OPENTSM_RUNTIME_DIR": str(self.folder / "control"),
            "PCSCLITE_CSOCK_NAME": str(self.folder / "pcscd.comm"),
            # What a run that is killed leaves goes with the folder.
            "TMPDIR": str(self.folder),
            "LC_ALL": "C",
        }
        command = ["unshare", "--mount", "sh", "-c", mount, str(PROGRAM), "se", "run", *words, "--json"]
        self.process = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        self.process.communicate(timeout=30)
        shutil.rmtree(self.folder)

    def ready(self) -> list[dict[str, Any]]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate(timeout=20)
        return list(json.loads(line)["ses"])

    def see(self, *command: str | Path) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pcscd(self) -> int:
        """Return the process id of the pcscd that it started."""
        return int((self.folder / "pcscd.pid").read_text().strip("\n\0"))


@pytest.fixture
def two() -> Iterator[Run]:
    with Run("--vpcd", "--count", "2", "--id", "ese") as run:
        yield run


def test_readers_for_each_se(two: Run) -> None:
    first, second = two.ready()
    names = [se[name] for se in (first, second) for name in ("reader", "contactless_reader")]
    assert names == ["opentsm ese-1 00 00", "opentsm ese-1 00 01", "opentsm ese-2 00 00", "opentsm ese-2 00 01"]
    assert re.findall(r"^\d+: (.+)$", two.see("pcsc_scan", "-r"), re.MULTILINE) == names
    assert two.see("opensc-tool", "--reader", "0", "--atr").strip() == "3b:80:01:81"
    selected = two.see("opensc-tool", "--reader", "2", "--send-apdu", "00A4040008A000000151000000")
    assert "SW1=0x90, SW2=0x00" in selected
    # What is done over the contacts is seen over the air: two readers, one SE.
    crs = "80F00101104F0E325041592E5359532E4444463031"
    off = crs.replace("80F00101", "80F00100")
    ppse = "00A404000E325041592E5359532E4444463031"
    assert "SW1=0x90" in two.see("opensc-tool", "--reader", "1", "--send-apdu", ppse)
    two.see("opensc-tool", "--reader", "0", "--send-apdu", "00A4040009A00000015143525300", "--send-apdu", off)
    assert "SW1=0x6A, SW2=0x82" in two.see("opensc-tool", "--reader", "1", "--send-apdu", ppse)
    assert "SW1=0x90" in two.see("opensc-tool", "--reader", "3", "--send-apdu", ppse)
    # Another shell looks after them; the readers stay.
    assert [se["id"] for se in json.loads(two.see(PROGRAM, "se", "list", "--json"))["ses"]] == ["ese-1", "ese-2"]
    two.see(PROGRAM, "se", "reset", "ese-1", "--new")
    assert "SW1=0x90" in two.see("opensc-tool", "--reader", "1", "--send-apdu", ppse)
    # Switched off, the contactless reader answers nothing but an error, and pcscd lives.
    switch = ("--send-apdu", "00A4040009A00000015143525300", "--send-apdu", "80F0040003800140")
    two.see("opensc-tool", "--reader", "0", *switch)
    assert "SW1=0x6F" in two.see("opensc-tool", "--reader", "1", "--send-apdu", ppse)
    assert two.see("opensc-tool", "--reader", "0", "--atr").strip() == "3b:80:01:81"


def test_from_an_empty_folder_to_an_applet_that_answers(tmp_path: Path) -> None:
    """Make a project, build it, install it through PC/SC, and select it with a program that others wrote."""
    with Run("--vpcd") as run:
        (se,) = run.ready()
        project = tmp_path / "wallet"
        subprocess.run([PROGRAM, "new", "applet", "wallet"], cwd=tmp_path, check=True, capture_output=True)
        run.see(PROGRAM, "build", project)
        key = ("--test-card", "--key", "404142434445464748494A4B4C4D4E4F")
        card = (PROGRAM, "card", "--link", f"pcsc:{se['reader']}", *key)
        run.see(*card, "install", project / "build" / "wallet.cap")
        found = re.search(r'^aid = "([0-9A-F]{16})"$', (project / "applet.toml").read_text(), re.MULTILINE)
        assert found is not None
        select = f"00A40400{len(found[1]) // 2:02X}{found[1]}"
        assert "SW1=0x90, SW2=0x00" in run.see("opensc-tool", "--reader", "0", "--send-apdu", select)
        assert f"{found[1]} SELECTABLE" in run.see(PROGRAM, "se", "show", "embedded")
        # It is not activated on the contactless interface, whose reader does not find it.
        assert "SW1=0x6A, SW2=0x82" in run.see("opensc-tool", "--reader", "1", "--send-apdu", select)


def test_nothing_listens_beyond_this_machine_and_nothing_is_left(two: Run) -> None:
    two.ready()
    pid = two.pcscd()
    inodes = {
        str(descriptor.readlink())
        for process in (pid, two.process.pid)
        for descriptor in Path(f"/proc/{process}/fd").iterdir()
    }
    listening = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = [row[1] for row in listening if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
    assert len(addresses) == 4
    assert all(address.startswith("0100007F:") for address in addresses)
    assert len(list(two.folder.glob("opentsm-pcscd-*"))) == 1
    two.process.send_signal(signal.SIGINT)
    assert two.process.wait(30) == 0
    assert not Path(f"/proc/{pid}").exists()
    assert list(two.folder.glob("opentsm-pcscd-*")) == []


def test_a_pcscd_that_dies_ends_it_with_a_reason(two: Run) -> None:
    two.ready()
    os.kill(two.pcscd(), signal.SIGKILL)
    _, error = two.process.communicate(timeout=30)
    assert two.process.returncode == 3
    assert error.startswith("opentsm: pcscd has ended")


def test_a_host_that_is_killed_takes_its_pcscd_along(two: Run) -> None:
    two.ready()
    pid = two.pcscd()
    os.kill(two.process.pid, signal.SIGKILL)
    # The driver can't be without its cards: pcscd ends with them.
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()


def test_beside_a_pcscd_without_a_reader_for_it() -> None:
    with Pcscd(entries=1) as running, Run("--vpcd") as run:
        # The running one, under the name that is everyone's.
        (run.folder / "pcscd.comm").symlink_to(running.environment["PCSCLITE_CSOCK_NAME"])
        _, error = run.process.communicate(timeout=30)
        assert run.process.returncode == 3
    for told in ("pcscd runs here already", "127.0.0.1:35963", "apt-get install", "systemctl stop"):
        assert told in error


# The reader of Debian's vsmartcard-vpcd, in a network of this shell's own: the driver listens on all of its interfaces.
STOCK = r"""
set -eu
mount --bind "$1" /run/pcscd
python3 - <<'END'
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14x", b"lo", 0x41))  # SIOCSIFFLAGS: up, running
END
mkdir "$1/readers"
cat > "$1/readers/vpcd" <<END
FRIENDLYNAME "Virtual PCD"
DEVICENAME /dev/null:0x8C7B
LIBPATH $2
CHANNELID 0x8C7B
END
pcscd --foreground --config "$1/readers" > "$1/log" 2>&1 &
daemon=$!
for _ in $(seq 100); do [ -S "$1/pcscd.comm" ] && break; sleep 0.1; done
"$3" se run --vpcd --json > "$1/said" &
host=$!
for _ in $(seq 300); do [ -s "$1/said" ] && break; sleep 0.1; done
cat "$1/said"
for _ in $(seq 50); do opensc-tool --list-readers | grep -q "0 *Yes" && break; sleep 0.2; done
opensc-tool --reader 0 --atr
opensc-tool --reader 0 --send-apdu 00A4040008A000000151000000
kill -INT $host; wait $host
kill $daemon; wait $daemon || true
"""


def test_as_the_card_in_the_reader_of_a_pcscd_that_runs() -> None:
    folder = Path(tempfile.mkdtemp(prefix="run-"))
    driver = next(path for path in ours._DRIVERS if path.exists())
    environment = os.environ | {
        "OPENTSM_RUNTIME_DIR": str(folder / "control"),
        "PCSCLITE_CSOCK_NAME": str(folder / "pcscd.comm"),
        "PATH": f"{os.environ['PATH']}:/usr/sbin",
    }
    RUN.mkdir(exist_ok=True)
    command = ["unshare", "--mount", "--net", "bash", "-c", STOCK, "stock", str(folder), str(driver), str(PROGRAM)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr
    ready, atr, *answer = done.stdout.splitlines()
    (se,) = json.loads(ready)["ses"]
    assert (se["id"], se["vpcd"], se["reader"]) == ("embedded", "127.0.0.1:35963", None)
    assert atr.strip() == "3b:80:01:81"
    assert "Received (SW1=0x90, SW2=0x00):" in answer


class TestWithoutStarting:
    """What is told where pcscd can't be started."""

    def test_not_as_root(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(TransportError, match="only root can start it"):
            ours.Pcscd([])

    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ours, "_DRIVERS", (Path("/none"),))
        with pytest.raises(TransportError, match="vpcd driver is not installed; as root: apt-get install pcscd"):
            ours.Pcscd([])
        monkeypatch.setattr(shutil, "which", lambda *_args, **_words: None)
        with pytest.raises(TransportError, match="pcscd is not installed"):
            ours.Pcscd([])

    def test_a_pcscd_that_refuses_its_readers(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(ours, "_SOCKET", tmp_path / "run" / "pcscd.comm")
        monkeypatch.setattr(shutil, "which", lambda *_args, **_words: "/bin/false")
        with pytest.raises(TransportError, match="pcscd does not start; it says: nothing"):
            ours.Pcscd([ours.Reader("x", 1)])

    def test_a_running_vpcd_is_dialled(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(ours, "_SOCKET", tmp_path / "pcscd.comm")
        assert ours.running_vpcd(0) is None
        with socket.socket(socket.AF_UNIX) as pcscd, socket.create_server(("127.0.0.1", 0)) as driver:
            pcscd.bind(str(tmp_path / "pcscd.comm"))
            pcscd.listen()
            monkeypatch.setattr(ours, "_STOCK_PORT", driver.getsockname()[1])
            assert ours.running_vpcd(0) == driver.getsockname()[:2]
            driver.close()
            with pytest.raises(TransportError, match="pcscd runs here already"):
                ours.running_vpcd(0)
