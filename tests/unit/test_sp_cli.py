"""`opentsm sp` and `opentsm mno`: what they make, what they refuse, and what they show."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from opentsm_card.errors import ProtocolError
from opentsm_tools.main import cli
from opentsm_tsm import pki
from opentsm_tsm.keystore import KeyStore, read_passphrase
from opentsm_tsm.mno.config import load_config as load_mno_config
from opentsm_tsm.sp.config import load_config as load_sp_config
from opentsm_tsm.sp.setup import add_service
from opentsm_tsm.sp.store import SpStore
from opentsm_tsm.sp.tsm import PRIVATE_KEY

if TYPE_CHECKING:
    from pathlib import Path

SD = "F06F70656E74736D0A0001"
INSTANCE = bytes.fromhex("F06F70656E74736D0B000101")


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bank"
    invoke("sp", "init", "--dir", str(folder), "--id", "bank", "--sd", SD, "--tsm", "https://127.0.0.1:1")
    return folder


def with_certificate(folder: Path) -> None:
    authority = pki.CertificateAuthority.create("test")
    request = (folder / "client.csr.pem").read_bytes()
    certificate = authority.issue(pki.load_request(request), [("sp", "bank")])
    (folder / "client.pem").write_bytes(pki.certificate_pem(certificate))
    (folder / "tsm-ca.pem").write_bytes(pki.certificate_pem(authority.certificate))


def test_init_makes_a_folder_whose_secrets_are_the_owners(folder: Path) -> None:
    config = load_sp_config(folder / "sp.toml")
    assert (config.sp.id, config.sp.sd, config.service) == ("bank", SD, ())
    for name in ("passphrase", "client.key", "sp.keys"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    keys = KeyStore.open(folder / "sp.keys", read_passphrase(folder / "passphrase"))
    assert b"PRIVATE KEY" in keys.get(PRIVATE_KEY)
    assert b"PUBLIC KEY" in (folder / "transport.pub.pem").read_bytes()
    assert b"PRIVATE" not in (folder / "sp.keys").read_bytes()


def test_init_overwrites_nothing(folder: Path) -> None:
    before = (folder / "passphrase").read_bytes()
    with pytest.raises(ProtocolError, match="not empty"):
        invoke("sp", "init", "--dir", str(folder), "--id", "x", "--sd", SD, "--tsm", "https://127.0.0.1:1")
    assert (folder / "passphrase").read_bytes() == before


def test_operations_are_listed_and_a_doubt_needs_its_operation(folder: Path) -> None:
    with_certificate(folder)
    keys = KeyStore.open(folder / "sp.keys", read_passphrase(folder / "passphrase"))
    store = SpStore(folder / "sp.sqlite", keys)
    store.add_operation("ab" * 16, "rotate", "se-1", b"{}")
    store.set_operation("ab" * 16, "failed", "the card refused")
    store.close()
    config = str(folder / "sp.toml")
    assert "failed" in invoke("sp", "operations", "--config", config)
    assert '"error": "the card refused"' in invoke("sp", "operations", "--config", config, "--json")
    with pytest.raises(ProtocolError, match="in doubt"):
        invoke("sp", "resolve", "--config", config, "ab" * 16, "--accept")
    assert invoke("sp", "resume", "--config", config) == ""


def test_service_and_qualifier_go_together(folder: Path) -> None:
    result = CliRunner().invoke(
        cli, ["sp", "lock", "--config", str(folder / "sp.toml"), "--se", "se-1", "--service", "payment"]
    )
    assert result.exit_code == 2
    assert "--qualifier" in result.output


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('id = "bank"', "id = 1", "sp.id"),
        ("[tsm]", "[centre]", "centre"),
        (SD, "xyz", "sp.sd"),
        (SD, "F06F70", "sp.sd"),
        ("[sp]", "[sp", "toml"),
    ],
)
def test_a_bad_sp_configuration_is_named(folder: Path, old: str, new: str, named: str) -> None:
    path = folder / "sp.toml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ProtocolError, match=named):
        load_sp_config(path)


def test_services_are_added_and_found(folder: Path) -> None:
    add_service(folder, "payment", INSTANCE, "Bank", 1)
    config = load_sp_config(folder / "sp.toml")
    assert config.find_service("payment").instance == INSTANCE.hex().upper()
    with pytest.raises(ProtocolError, match="ticket"):
        config.find_service("ticket")


def test_the_networks_folder_is_made_and_prints_fingerprints(tmp_path: Path) -> None:
    folder = tmp_path / "north"
    invoke("mno", "init", "--dir", str(folder), "--id", "north")
    config = load_mno_config(folder / "mno.toml")
    assert config.mno.id == "north"
    shown = invoke("mno", "fingerprint", str(folder / "operator.pem")).strip()
    assert config.peers.operator == (shown,)
    keys = KeyStore.open(folder / "mno.keys", read_passphrase(folder / "passphrase"))
    assert len(keys.get("isd-master")) in {16, 24, 32}
    with pytest.raises(ProtocolError, match="not empty"):
        invoke("mno", "init", "--dir", str(folder), "--id", "north")


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ('[[uicc]]\nse = "u"\ndiversification_data = "0g"\n', "diversification_data"),
        ('[[uicc]]\nse = "u"\ndiversification_data = "0011"\n', "want 10 bytes"),
        ('[[uicc]]\nse = "u"\ndiversification_data = "00"\nallow = ["erase"]\n', "allow"),
        ('[[device]]\nmsisdn = "1"\n', "se"),
    ],
)
def test_a_bad_network_configuration_is_named(tmp_path: Path, table: str, named: str) -> None:
    folder = tmp_path / "north"
    invoke("mno", "init", "--dir", str(folder), "--id", "north")
    path = folder / "mno.toml"
    path.write_text(path.read_text() + table)
    with pytest.raises(ProtocolError, match=named):
        load_mno_config(path)
