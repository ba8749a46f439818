"""The wheel holds every package, and installs into an empty venv where the command and the agent run."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("card", "agent", "build", "simulator", "tsm", "tools")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (built,) = out.glob("*.whl")
    return built


def test_wheel_holds_every_source_file_of_every_package(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        str(path.relative_to(ROOT / room))
        for room in PACKAGES
        for path in (ROOT / room / f"opentsm_{room}").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len(expected) > 50
    assert expected - names == set()
    assert all(f"opentsm_{room}/py.typed" in names for room in PACKAGES)


def test_wheel_holds_the_applets_as_cap_files(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    caps = {f"opentsm_simulator/caps/{folder.parent.name}.cap" for folder in (ROOT / "applets").glob("*/applet.toml")}
    assert len(caps) > 4
    assert caps - names == set()


def test_wheel_runs_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    # Not every python3 can put pip into an environment (Debian splits ensurepip off); ours installs from outside.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", str(wheel)], check=True, cwd=tmp_path)
    opentsm = environment / "bin" / "opentsm"

    version = subprocess.run([opentsm, "--version"], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert version.stdout.startswith("opentsm, version ")
    agent = subprocess.run(
        [opentsm, "agent", "run", "--help"], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert "--config" in agent.stdout
    missing = tmp_path / "absent.toml"
    refused = subprocess.run(
        [opentsm, "agent", "run", "--config", missing], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert refused.returncode == 4
    assert str(missing) in refused.stderr
    run = [str(opentsm), "se", "run", "--profile", "embedded"]
    simulator = subprocess.run(run, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert simulator.returncode == 2
    assert "opentsm[sim]" in simulator.stderr
