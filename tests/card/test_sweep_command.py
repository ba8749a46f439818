"""`opentsm se sweep`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from opentsm_card.errors import OpenTsmError, ProtocolError
from opentsm_simulator.cli import se
from opentsm_tools.main import exit_code
from tearing_card import cap

if TYPE_CHECKING:
    from pathlib import Path

SELECT = "00A404000B F06F70656E74736D0E0301 9000".replace("000B F0", "000BF0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tearing.cap").write_bytes(cap().encode())
    return tmp_path


def run(folder: Path, script: str, *options: str) -> Result:
    path = folder / "script.apdu"
    path.write_text(script)
    package = () if "--secure" in options else ("--cap", str(folder / "tearing.cap"))
    return CliRunner().invoke(se, ["sweep", "embedded", "--script", str(path), *package, *options])


def test_a_sweep_says_what_each_cut_left(folder: Path) -> None:
    result = run(folder, f"{SELECT}\n80120305 9000\n80010005 9000\n", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert [step["writes"] for step in found["steps"]] == [0, 3, 1]
    assert (found["writes"], found["cuts"], found["before"], found["between"]) == (4, 4, 4, [])
    assert found["cuts_a_minute"] > 0


def test_what_is_between_is_named_and_refused(folder: Path) -> None:
    result = run(folder, f"{SELECT}\n80120005 9000\n")
    assert result.exit_code == 1
    assert "between: script.apdu, line 2: 80120005, write 2: contents F06F70656E74736D0E0301" in result.output


def test_answers_are_the_state_where_a_check_is_given(folder: Path) -> None:
    (folder / "check.apdu").write_text(f"{SELECT}\n8020000001 9000\n")
    assert run(folder, f"{SELECT}\n80120005 9000\n", "--check", str(folder / "check.apdu")).exit_code == 1
    (folder / "check.apdu").write_text(f"{SELECT}\n")
    assert run(folder, f"{SELECT}\n80120005 9000\n", "--check", str(folder / "check.apdu")).exit_code == 0


def test_a_script_goes_through_a_secure_channel(folder: Path) -> None:
    """What the domain answers of itself is the state: its counter of sessions goes on."""
    (folder / "check.apdu").write_text("00A4040000 9000\n80CA00E000 9000\n")
    script = "80F24002024F00 9000\n"
    result = run(folder, script, "--secure", "--json", "--check", str(folder / "check.apdu"))
    assert result.exit_code == 0, result.output or result.exception
    assert json.loads(result.output)["steps"][0]["step"] == "open a secure channel"


@pytest.mark.parametrize("script", ["", "\n# nothing yet\n", "reset\n"])
def test_a_script_without_commands_is_refused(folder: Path, script: str) -> None:
    result = run(folder, script)
    assert isinstance(result.exception, ProtocolError)
    assert exit_code(result.exception) == 4
    assert "script.apdu: there is no command in it" in str(result.exception)


def test_what_fails_without_a_cut_is_told(folder: Path) -> None:
    result = run(folder, "8099000000 9000\n")
    assert isinstance(result.exception, OpenTsmError)
    assert "line 1" in str(result.exception)
    missing = CliRunner().invoke(se, ["sweep", "embedded", "--script", str(folder / "none")])
    assert isinstance(missing.exception, ProtocolError)
