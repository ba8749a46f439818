"""A service manager in small: starts what a systemd unit says, watches it, and starts it again when it dies.

    python unit_runner.py UNIT INSTANCE ROOT    serve until SIGTERM; a line for each state

Of the unit's [Service] section it takes Type, ExecStart, WorkingDirectory, StateDirectory, Environment, Restart,
RestartPreventExitStatus and WatchdogSec; anything else is the box around it. Paths of the system are below ROOT.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RESTART_S = 0.2


def read_unit(unit: Path, instance: str, root: Path) -> dict[str, list[str]]:
    """Return the entries of [Service], with %i and %S replaced."""
    entries: dict[str, list[str]] = {}
    section = ""
    for raw in unit.read_text().splitlines():
        line = raw.strip()
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            value = value.replace("%i", instance).replace("%S", f"{root}/var/lib")
            entries.setdefault(name, []).append(value)
    return entries


class Unit:
    """A unit being run."""

    def __init__(self, entries: dict[str, list[str]], root: Path) -> None:
        assert entries["Type"] == ["notify"]
        self.command = [part.replace("/etc/", f"{root}/etc/", 1) for part in shlex.split(entries["ExecStart"][0])]
        self.final = {int(code) for code in entries["RestartPreventExitStatus"][0].split()}
        self.watchdog_s = float(entries["WatchdogSec"][0])
        self.folder = Path(entries["WorkingDirectory"][0])
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = root / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path.unlink(missing_ok=True)
        self.socket.bind(str(self.path))
        self.process: subprocess.Popen[Any] | None = None

    def start(self) -> None:
        environment = os.environ | {
            "NOTIFY_SOCKET": str(self.path),
            "WATCHDOG_USEC": str(int(self.watchdog_s * 1e6)),
        }
        self.process = subprocess.Popen(self.command, cwd=self.folder, env=environment)
        say(f"starting {self.process.pid}")

    def watch(self) -> int | None:
        """Watch until it ends; return its exit code when that is final."""
        assert self.process is not None
        last = time.monotonic()
        self.socket.settimeout(0.1)
        while self.process.poll() is None:
            try:
                state = self.socket.recv(4096).decode()
            except TimeoutError:
                assert time.monotonic() - last < self.watchdog_s, "it does not live"
                continue
            last = time.monotonic()
            say(state)
        code = self.process.returncode
        say(f"ended {code}")
        return code if code in self.final or code == 0 else None


def say(line: str) -> None:
    sys.stdout.write(f"unit: {line}\n")
    sys.stdout.flush()


def main() -> None:
    unit, instance, root = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    running = Unit(read_unit(unit, instance, root), root)

    def stop(*_: object) -> None:
        if running.process is not None and running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(60)
            say(f"stopped {running.process.returncode}")
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    while True:
        running.start()
        code = running.watch()
        if code is not None:
            sys.exit(code)
        time.sleep(RESTART_S)


if __name__ == "__main__":
    main()
