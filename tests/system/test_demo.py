"""The demo, as a user starts it: every sequence verified on the SEs themselves, and a lie found out."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import demo_meddler
from opentsm_tools.demo.cast import DEVICES, TRANSIT

OPENTSM = [sys.executable, "-m", "opentsm_tools.main"]

# As the issue of the demo lists them.
SEQUENCES = [
    "request-to-se",
    "conversation",
    "pre-personalization",
    "key-rotation",
    "personalization",
    "activation",
    "reader-sees",
    "lock-application",
    "lock-sp",
    "lock-se",
    "delete-account",
    "delete-instance",
    "renew-agent-killed",
    "renew-tsm-killed",
    "delete-all",
    "terminate",
]


def run(folder: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    command = [*OPENTSM, "demo", "--json", "--work-dir", str(folder), *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ended.stdout.count("\n") == 1, ended.stderr
    return ended, json.loads(ended.stdout)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("demo") / "work"
    ended, told = run(folder)
    assert ended.returncode == 0, ended.stderr
    return folder, told


def test_every_sequence_is_verified_on_the_ses(good: tuple[Path, dict[str, Any]]) -> None:
    _, told = good
    assert [sequence["name"] for sequence in told["sequences"]] == SEQUENCES
    assert all(sequence["verified"] is True for sequence in told["sequences"])
    assert all(set(s) == {"name", "verified", "apdus", "round_trips", "seconds"} for s in told["sequences"])
    assert (told["ok"], told["differences"]) == (True, [])
    costs = {sequence["name"]: (sequence["apdus"], sequence["round_trips"]) for sequence in told["sequences"]}
    assert all(apdus > 0 for name, (apdus, _) in costs.items() if name != "conversation")
    assert all(trips > 0 for name, (_, trips) in costs.items() if name not in {"conversation", "reader-sees"})


def test_the_renewals_were_cut_off_and_ran_each_effect_once(good: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = good
    for name in ("tsm", "phone-2"):
        starts = (folder / "logs" / f"{name}.log").read_text().splitlines()
        assert sum('"ready"' in line or '"started"' in line for line in starts) == 2, name
    effects = (folder / "se" / f"{DEVICES[1].se}.effects").read_text().splitlines()
    aid = TRANSIT.instance.hex().upper()
    assert effects.count(f"install {aid}") == 2  # deployed, renewed
    assert effects.count(f"delete {aid}") == 2  # renewed, deleted with all


def test_no_session_id_and_no_account_is_in_a_log(good: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = good
    logs = b"".join(path.read_bytes() for path in (folder / "logs").iterdir())
    pans = [account.pan for device in DEVICES for account in TRANSIT.accounts(device.customer, 1)]
    assert not any(pan.encode() in logs for pan in pans)
    assert b"sessionId" not in logs


def test_a_change_behind_the_centres_back_is_named(tmp_path: Path) -> None:
    se, aid = DEVICES[0].se, TRANSIT.instance.hex().upper()
    hook = shlex.join([sys.executable, str(Path(demo_meddler.__file__)), se, aid])
    ended, told = run(tmp_path / "work", "--before-check", hook)
    assert ended.returncode == 1, ended.stderr
    assert told["ok"] is False
    assert all(sequence["verified"] for sequence in told["sequences"])
    (difference,) = told["differences"]
    assert se in difference
    assert aid in difference
    assert "state 87" in difference


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    ended = subprocess.run(
        [*OPENTSM, "demo", "--work-dir", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 4
    assert "not empty" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
