"""Malformed values on the command line, servers that are not there, and signals: one line, the right code, no trace."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from door import door, refused

if TYPE_CHECKING:
    from pathlib import Path

SD = "F06F70656E74736D0A0001"
TSM = "https://127.0.0.1:1"


def spoken(*arguments: str) -> str:
    answer = door(*arguments)
    assert answer.code == 0
    return answer.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tsm", "init", "{}/new", "--host", "a b"), "host 'a b'"),
        (("tsm", "init", "{}/new", "--host", "bücher.example"), "host 'bücher.example'"),
        (("tsm", "init", "{}/file/new"), "Not a directory"),
        (("mno", "init", "--dir", "{}/new", "--id", "a b"), "--id 'a b'"),
        (("mno", "init", "--dir", "{}/new", "--id", 'a"b'), "--id"),
        (("mno", "init", "--dir", "{}/new", "--id", "n", "--listen", "nowhere"), "'nowhere' is not HOST:PORT"),
        (("mno", "init", "--dir", "{}/new", "--id", "n", "--host", "bücher"), "host 'bücher'"),
        (("mno", "init", "--dir", "{}/file", "--id", "n"), "File exists"),
        (("sp", "init", "--dir", "{}/new", "--id", "bank", "--sd", "zz", "--tsm", TSM), "'zz' is not hex"),
        (("sp", "init", "--dir", "{}/new", "--id", "bank", "--sd", "00", "--tsm", TSM), "5 to 16 bytes"),
        (("sp", "init", "--dir", "{}/new", "--id", "bank", "--sd", SD, "--tsm", "http://x"), "want https://"),
        (("sp", "init", "--dir", "{}/new", "--id", 'a"b', "--sd", SD, "--tsm", TSM), "name"),
        (("sp", "init", "--dir", "{}/new", "--id", "", "--sd", SD, "--tsm", TSM), "name ''"),
    ],
)
def test_a_folder_is_made_of_sound_values_or_not_at_all(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    (tmp_path / "file").write_text("mine")
    assert says in refused(4, *(argument.replace("{}", str(tmp_path)) for argument in arguments))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("length", [0, 5, 17])
def test_a_master_key_has_a_key_s_length(tmp_path: Path, length: int) -> None:
    (tmp_path / "master").write_text("00" * length)
    refused(4, "tsm", "init", tmp_path / "new", "--master-file", tmp_path / "master")
    assert not (tmp_path / "new").exists()


@pytest.fixture(name="sp")
def _sp(tmp_path: Path) -> Path:
    """Make an SP TSM with a certificate, at a central TSM that is not there."""
    assert door("tsm", "init", tmp_path / "tsm").code == 0
    folder = tmp_path / "sp"
    assert door("sp", "init", "--dir", folder, "--id", "bank", "--sd", SD, "--tsm", TSM).code == 0
    request = ("--csr", folder / "client.csr.pem", "--out", folder / "client")
    config = ("--config", tmp_path / "tsm" / "tsm.toml")
    assert door("tsm", "issue-cert", "--role", "sp", "--id", "bank", *request, *config).code == 0
    (folder / "tsm-ca.pem").write_bytes((tmp_path / "tsm" / "ca.pem").read_bytes())
    path = folder / "sp.toml"
    path.write_text(path.read_text().replace("[tsm]", "[tsm]\npatience_s = 0.0"))
    return path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("eligibility", "not-a-number"), "$.msi"),
        (("begin", "--se", "a b"), "$.seId"),
        (("end", "--se", "e", "a b"), "$.conversationId"),
        (("delete-instance", "--se", "e", "zz"), "'zz' is not hexadecimal"),
        (("delete-instance", "--se", "e", "00"), "5 to 16 bytes"),
        (("resolve", "nope", "--accept"), "no operation 'nope'"),
    ],
)
def test_a_malformed_request_is_neither_kept_nor_sent(sp: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in refused(4, "sp", arguments[0], "--config", str(sp), *arguments[1:])
    assert door("sp", "operations", "--config", sp).out == ""


def test_an_unreachable_tsm_is_a_link_error_and_the_operation_waits_to_be_resumed(sp: Path) -> None:
    assert TSM in refused(3, "sp", "begin", "--config", sp, "--se", "e")
    assert "running" in door("sp", "operations", "--config", sp).out
    assert TSM in refused(3, "sp", "resume", "--config", sp)


def test_what_is_waited_for_is_told_meanwhile(sp: Path) -> None:
    sp.write_text(sp.read_text().replace("patience_s = 0.0", "patience_s = 0.2"))
    answer = door("sp", "eligibility", "--config", sp, "+491700000001")
    assert answer.code == 3
    assert answer.out == ""
    first, last = answer.err.splitlines()
    assert "trying again, up to 0.2 s" in first
    assert last.startswith("opentsm: central TSM at")


@pytest.mark.parametrize("code", ["", "x", "AA.00", "A" * 26 + "." + "zz" * 32, "ü.ü"])
def test_a_malformed_enrolment_code_asks_nobody(tmp_path: Path, code: str) -> None:
    (tmp_path / "agent.toml").write_text(
        f'[tsm]\nurl = "{TSM}"\n[network]\ngateway = "{TSM}"\n[identity]\ncertificate = "d.pem"\nkey = "d.key"\n'
        'ca = "ca.pem"\n[journal]\npath = "journal"\n[[se]]\nid = "x"\ntype = "eSE"\nlink = "tcp:127.0.0.1:1"\n'
    )
    assert "enrolment code" in refused(4, "agent", "enrol", "--config", tmp_path / "agent.toml", "--code", code)
    assert [path.name for path in tmp_path.iterdir()] == ["agent.toml"]


@pytest.mark.parametrize("table", ["", 'tcp = "nowhere"', 'tcp = "127.0.0.1:99999"'])
def test_a_virtual_se_has_a_place_where_it_is_reached(tmp_path: Path, table: str) -> None:
    (tmp_path / "se.toml").write_text(f'[[se]]\nid = "a"\nprofile = "embedded"\n{table}\n')
    assert "se.toml: se 'a'" in refused(4, "se", "run", "--config", tmp_path / "se.toml")


def test_the_key_store_keeps_its_own_keys(tmp_path: Path) -> None:
    assert door("tsm", "init", tmp_path / "tsm").code == 0
    config = ("--config", tmp_path / "tsm" / "tsm.toml")
    for name in ("sealing-key", "nope"):
        assert name in refused(4, "tsm", "key", "remove", *config, "--name", name, "--yes")
    (tmp_path / "none").write_text("\n")
    assert "none: empty" in refused(4, "tsm", "key", "add", *config, "--name", "a", "--file", tmp_path / "none")


def test_an_argument_of_other_bytes_is_a_usage_error(tmp_path: Path) -> None:
    assert door("tsm", "init", tmp_path / "tsm").code == 0
    config = ("--config", tmp_path / "tsm" / "tsm.toml")
    assert "UTF-8" in refused(2, "tsm", "enrol-code", *config, "--se", "a\udc80")
    assert door("tsm", "audit", *config, "--after", "9" * 30).code == 2


@pytest.mark.parametrize("arguments", [("frobnicate",), ("tsm", "frobnicate"), ("se", "run"), ("sp", "lock")])
def test_a_command_that_is_not_one_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    answer = door(*arguments)
    assert answer.code == 2
    assert "Usage: opentsm" in answer.err


@pytest.mark.parametrize("name", ["", "agent", "mno", "se", "sp", "tsm"])
def test_the_examples_of_help_stand_one_on_a_line(name: str) -> None:
    shown = spoken(*name.split(), "--help")
    assert "\\b" not in shown
    assert "\b" not in shown
    examples = [line for line in shown.splitlines() if "opentsm " in line and not line.startswith("Usage")]
    assert len(examples) >= 2
    assert all(line.count("opentsm ") == 1 or "," in line for line in examples), shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("server", ["tsm", "mno"])
def test_a_server_ends_cleanly_on_a_signal(tmp_path: Path, server: str, number: signal.Signals) -> None:
    folder = tmp_path / server
    if server == "tsm":
        assert door("tsm", "init", folder).code == 0
    else:
        assert door("mno", "init", "--dir", folder, "--id", "north").code == 0
    config = folder / f"{server}.toml"
    text = config.read_text()
    config.write_text(text.replace("127.0.0.1:7443", "127.0.0.1:0").replace("127.0.0.1:8450", "127.0.0.1:0"))
    command = [sys.executable, "-m", "opentsm_tools.main", server, "serve", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert '"ready": true' in process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    # Closed, not killed: the write-ahead log is folded into the database.
    assert [path.name for path in folder.glob("*-wal")] == []


def test_a_wait_that_is_interrupted_says_so(sp: Path) -> None:
    sp.write_text(sp.read_text().replace("patience_s = 0.0", "patience_s = 600.0"))
    command = [sys.executable, "-m", "opentsm_tools.main", "sp", "eligibility", "--config", str(sp), "+491700000001"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "trying again" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert errors.strip() == "opentsm: interrupted"
