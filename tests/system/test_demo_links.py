"""Every sequence of the mission over every link: the agents of the demo reach their SEs by it, and the SEs are read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from opentsm_tools.demo.cli import LINKS
from opentsm_tools.demo.ends import KINDS
from opentsm_tools.demo.sequences import SEQUENCES

SCHEMES = {
    "tcp-listen": ("tcp:", "?listen"),
    "stdio": ("stdio:", " stdio"),
    "uart-t0": ("uart:", ""),
    "uart-t1": ("uart:", ""),
    "modem-csim": ("modem:", "?apdu=csim"),
    "modem-ccho": ("modem:", "?apdu=ccho"),
    "pcsc": ("pcsc:", " 00 00"),
}


def test_each_kind_is_offered_and_tried() -> None:
    assert LINKS == KINDS
    # The demo's own test runs over tcp.
    assert set(SCHEMES) | {"tcp"} == set(KINDS)


@pytest.mark.parametrize("kind", SCHEMES)
def test_every_sequence_runs_over_a_link(tmp_path: Path, kind: str) -> None:
    told = play(tmp_path, kind)
    assert [(sequence["name"], sequence["verified"]) for sequence in told["sequences"]] == [
        (step.name, True) for step in SEQUENCES
    ]
    assert (told["ok"], told["differences"]) == (True, [])
    begin, end = SCHEMES[kind]
    for name in ("phone-1", "phone-2", "phone-3"):
        link = (tmp_path / "work" / name / "agent.toml").read_text().rpartition("link = ")[2].strip().strip('"')
        assert link.startswith(begin)
        assert link.endswith(end)


def play(folder: Path, kind: str) -> dict[str, Any]:
    opentsm = [sys.executable, "-m", "opentsm_tools.main", "demo", "--json"]
    command = [*opentsm, "--work-dir", str(folder / "work"), "--link", kind]
    if kind == "pcsc":
        # Its pcscd has the one socket of its machine: here, of a mount namespace.
        (folder / "run").mkdir()
        Path("/run/pcscd").mkdir(exist_ok=True)
        mount = f'mount --bind "{folder / "run"}" /run/pcscd && exec "$0" "$@"'
        command = ["unshare", "--mount", "sh", "-c", mount, *command]
    # Other tests of this process may have named their pcscd's socket.
    environment = {name: value for name, value in os.environ.items() if name != "PCSCLITE_CSOCK_NAME"}
    environment["TMPDIR"] = str(folder)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env=environment)
    assert ended.stdout.count("\n") == 1, ended.stderr
    return dict(json.loads(ended.stdout))
