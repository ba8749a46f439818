from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from opentsm_card.errors import ProtocolError
from opentsm_tsm import operations, pki
from opentsm_tsm.cli import tsm
from opentsm_tsm.config import load
from opentsm_tsm.messages import BeginConversation
from opentsm_tsm.problems import failed
from opentsm_tsm.setup import CentralTsm
from opentsm_tsm.store import Store

MNO = '[[mno]]\nid = "north"\ngateway = "https://127.0.0.1:1"\nca = "ca.pem"\n'
SES = [{"id": "ese-1", "type": "eSE", "configuration": "embedded", "mno": "north", "msisdn": "+491701"}]


def run(*arguments: str, **options: Any) -> Result:
    """Run `opentsm tsm …`, errors of ours raised."""
    return CliRunner().invoke(tsm, list(arguments), catch_exceptions=False, **options)


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> str:
    assert run("init", str(tmp_path / "tsm")).exit_code == 0
    config = tmp_path / "tsm" / "tsm.toml"
    config.write_text(config.read_text() + MNO)
    assert "1 added, 0 known" in run("se", "add", "--config", str(config), input=json.dumps(SES)).output
    return str(config)


def test_init_makes_a_folder_that_opens_and_overwrites_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "tsm"
    assert run("init", str(folder), "--host", "tsm.example").exit_code == 0
    for name in ("keystore.json", "passphrase", "server.key", "operator.key"):
        assert (folder / name).stat().st_mode & 0o077 == 0, name
    central = CentralTsm.open(folder / "tsm.toml")
    operator = pki.load_certificate((folder / "operator.pem").read_bytes())
    operator.verify_directly_issued_by(central.authority.certificate)
    assert central.keystore.names() == ("ca-key", "central-master")
    central.close()
    with pytest.raises(ProtocolError, match="exists already"):
        run("init", str(folder))


def test_a_master_key_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "master").write_text("00112233445566778899aabbccddeeff\n")
    assert run("init", str(tmp_path / "tsm"), "--master-file", str(tmp_path / "master")).exit_code == 0
    central = CentralTsm.open(tmp_path / "tsm" / "tsm.toml")
    assert central.keystore.get("central-master").hex() == "00112233445566778899aabbccddeeff"
    central.close()
    (tmp_path / "master").write_text("xyz")
    with pytest.raises(ProtocolError, match="not hexadecimal"):
        run("init", str(tmp_path / "other"), "--master-file", str(tmp_path / "master"))


def test_the_inventory_is_added_to_and_listed(config: str) -> None:
    again = run("se", "add", "--config", config, input=json.dumps(SES))
    assert "0 added, 1 known" in again.output
    listed = json.loads(run("se", "list", "--config", config, "--json").output)
    assert listed[0] == {
        "id": "ese-1",
        "type": "eSE",
        "configuration": "embedded",
        "mno": "north",
        "status": "ok",
        "life_cycle": "unknown",
    }
    assert "ese-1" in run("se", "list", "--config", config).output
    with pytest.raises(ProtocolError, match="no mno 'south'"):
        run("se", "add", "--config", config, input=json.dumps([{**SES[0], "id": "x", "mno": "south"}]))
    with pytest.raises(ProtocolError, match=r"\$\[0\]"):
        run("se", "add", "--config", config, input='[{"id": "x"}]')
    with pytest.raises(ProtocolError, match="no SE"):
        run("se", "trust-keys", "--config", config, "--id", "ese-1")


def test_an_enrolment_code_pins_the_ca(config: str) -> None:
    made = json.loads(run("enrol-code", "--config", config, "--se", "ese-1", "--json").output)
    code = pki.EnrolmentCode.parse(made["code"])
    settings = load(Path(config))
    assert code.ca_fingerprint == pki.fingerprint(pki.load_certificate(settings.path("ca.pem").read_bytes()))
    with pytest.raises(ProtocolError, match="no SE 'nowhere'"):
        run("enrol-code", "--config", config, "--se", "nowhere")


def test_certificates_are_issued_and_revoked(config: str, tmp_path: Path) -> None:
    out = tmp_path / "bank"
    run("issue-cert", "--config", config, "--role", "sp", "--id", "bank", "--out", str(out))
    certificate = pki.load_certificate((tmp_path / "bank.pem").read_bytes())
    assert pki.identity(certificate).names == (("sp", "bank"),)
    with pytest.raises(ProtocolError, match="exists already"):
        run("issue-cert", "--config", config, "--role", "sp", "--id", "bank", "--out", str(out))
    with pytest.raises(ProtocolError, match="0 certificates"):
        run("revoke", "--config", config, "--fingerprint", "00")
    revoked = run("revoke", "--config", config, "--fingerprint", pki.fingerprint(certificate).hex())
    assert "sp:bank" in revoked.output


def test_operations_in_doubt_are_shown_and_resolved(config: str) -> None:
    settings = load(Path(config))
    with Store(settings.path(settings.database)) as store, store.transaction():
        params = BeginConversation(se_id="ese-1", operation_id="mine")
        row = operations.add(store, "sp:bank", "ese-1", "BeginConversation", params, "wake")
        row.doubt(store, failed("test", "A test."))
    listed = json.loads(run("operations", "--config", config, "--in-doubt", "--json").output)
    assert [operation["operation"] for operation in listed] == ["mine"]
    assert "sp:bank" in run("operations", "--config", config).output
    with pytest.raises(ProtocolError, match="has no operation"):
        run("resolve", "--config", config, "--caller", "sp:transit", "mine", "accept")
    assert "done" in run("resolve", "--config", config, "--caller", "sp:bank", "mine", "accept").output
    assert json.loads(run("operations", "--config", config, "--in-doubt", "--json").output) == []
    records = json.loads(run("audit", "--config", config, "--json").output)
    assert [record["event"] for record in records][-2:] == ["BeginConversation", "resolve"]
    assert "resolve" in run("audit", "--config", config, "--after", "1").output


def test_the_key_store_is_looked_after(config: str) -> None:
    run("key", "add", "--config", config, "--name", "spare", "--file", "-", input="00" * 16)
    assert run("key", "list", "--config", config).output.split() == ["ca-key", "central-master", "spare"]
    assert "00" * 16 not in run("key", "list", "--config", config).output
    run("key", "remove", "--config", config, "--name", "spare", "--yes")
    assert "spare" not in run("key", "list", "--config", config).output
    with pytest.raises(ProtocolError, match="not hexadecimal"):
        run("key", "add", "--config", config, "--name", "bad", "--file", "-", input="xyz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("listen = 'nowhere'", "HOST:PORT"),
        ("unheard_of = 1", "unheard_of"),
        ("poll_s = -1", "poll_s"),
        ("[[se]]\nid='x'\ntype='eSE'\nconfiguration='embedded'\nmno='none'", "no mno 'none'"),
        ("[[sp]]\nid='x'\nmnos=['none']\nencryption_key='k'", "no mno 'none'"),
        ("= = =", "tsm.toml"),
    ],
)
def test_a_bad_configuration_names_the_entry(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tsm.toml"
    path.write_text(text)
    with pytest.raises(ProtocolError, match=message):
        load(path)
    with pytest.raises(ProtocolError, match="No such file"):
        load(tmp_path / "nowhere.toml")


def test_help_teaches() -> None:
    shown = run("--help").output
    assert "opentsm tsm init DIR" in shown
    for command in ("init", "serve", "se", "enrol-code", "issue-cert", "operations", "resolve", "audit", "revoke"):
        assert run(command, "--help").exit_code == 0
        assert command in shown
