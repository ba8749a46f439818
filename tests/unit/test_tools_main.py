from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from opentsm_card.errors import (
    CardError,
    CardRemovedError,
    LinkTimeoutError,
    OpenTsmError,
    ProtocolError,
    ScriptError,
    SecureChannelError,
    TransportError,
)
from opentsm_tools.main import cli, exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CardError(0x6985, "DELETE"), 1),
        (SecureChannelError("card cryptogram"), 1),
        (ScriptError(3, "SELECT in an SP's script"), 1),
        (TransportError("refused"), 3),
        (CardRemovedError("gone"), 3),
        (LinkTimeoutError("silent"), 3),
        (ProtocolError("agent.toml: no key 'tsm'"), 4),
        (OpenTsmError("refused"), 1),
    ],
)
def test_an_error_has_the_exit_code_of_its_kind(error: OpenTsmError, code: int) -> None:
    assert exit_code(error) == code


def test_help_lists_every_command_without_importing_the_rooms() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from opentsm_tools.main import cli;"
        "r = CliRunner().invoke(cli, ['--help']); print(r.output);"
        "rooms = ('jpype', 'starlette', 'httpx', 'rich', 'opentsm_tsm', 'opentsm_simulator');"
        "bad = [m for m in rooms if m in sys.modules];"
        "sys.exit(','.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("agent", "card", "demo", "doctor", "mno", "se", "sp", "tsm"):
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize("name", ["agent", "card", "demo", "doctor", "mno", "se", "sp", "tsm"])
def test_every_command_teaches(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output
    assert len(result.output) > 200


def test_lists_of_subcommands_are_not_cut_off() -> None:
    for name in ("agent", "cap", "mno", "new", "se", "sp", "tsm"):
        assert "..." not in CliRunner().invoke(cli, [name, "--help"]).output.partition("Commands:")[2], name


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(cli, ["frobnicate"]).exit_code == 2


def test_doctor_names_what_each_room_has_as_json() -> None:
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    checks = json.loads(result.stdout)
    assert {check["room"] for check in checks} == {"card", "agent", "build", "simulator", "tsm"}
    assert all(check["mend"] for check in checks if not check["ok"])
    lacking = [check["name"] for check in checks if not check["ok"] and not check["optional"]]
    assert result.exit_code == (1 if lacking else 0)
    python = next(check for check in checks if check["name"].startswith("Python"))
    assert python["ok"]
    assert python["detail"] == ".".join(map(str, sys.version_info[:3]))
