"""Enrolment against a TLS server: what pins the CA, what is refused, what is on the disk after."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent_peers import ENROLMENT_SECRET as SECRET
from agent_peers import SE_ID, Authority, EnrolmentDesk, Peer, write_config
from opentsm_agent.config import Identity
from opentsm_agent.enrol import EnrolmentRefusedError, enrol, parse_code
from opentsm_agent.http import client_context
from opentsm_card.errors import ProtocolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    folder = tmp_path / "identity"
    return Identity(folder / "device.pem", folder / "device.key", folder / "ca.pem")


@pytest.fixture
def peer(tmp_path: Path, authority: Authority) -> Iterator[Peer]:
    with Peer(tmp_path, authority) as running:
        running.enrol = EnrolmentDesk(authority)
        yield running


def code(authority: Authority, secret: str = SECRET) -> str:
    return f"{secret}.{authority.digest.hex()}"


def test_a_code_gets_a_certificate_for_a_key_that_never_left(
    peer: Peer, authority: Authority, identity: Identity
) -> None:
    assert enrol(peer.url, parse_code(code(authority)), identity) == [SE_ID]
    client_context(identity.ca, identity.certificate, identity.key)  # they fit together
    assert stat.S_IMODE(Path(identity.key).stat().st_mode) == 0o600
    key_lines = Path(identity.key).read_text().splitlines()[1:-1]
    assert not any(line.encode() in body for _, _, body in peer.requests for line in key_lines)
    assert sorted(path.name for path in Path(identity.key).parent.iterdir()) == ["ca.pem", "device.key", "device.pem"]


def test_a_code_in_lower_case_with_spaces_around_is_the_same_code(
    peer: Peer, authority: Authority, identity: Identity
) -> None:
    typed = f"  {SECRET.lower()}.{authority.digest.hex().upper()}\n"
    assert enrol(peer.url, parse_code(typed), identity) == [SE_ID]


def test_a_lost_answer_can_be_asked_for_again_with_the_same_key(
    peer: Peer, authority: Authority, identity: Identity
) -> None:
    peer.faults += [200, "lose"]
    with pytest.raises(TransportError):
        enrol(peer.url, parse_code(code(authority)), identity)
    assert not identity.certificate.exists()
    assert enrol(peer.url, parse_code(code(authority)), identity) == [SE_ID]


def test_a_used_code_is_refused_with_the_tsms_reason(peer: Peer, authority: Authority, identity: Identity) -> None:
    enrol(peer.url, parse_code(code(authority)), identity)
    for path in (identity.key, identity.certificate):
        Path(path).unlink()
    with pytest.raises(EnrolmentRefusedError, match="no such code"):
        enrol(peer.url, parse_code(code(authority)), identity)
    assert not identity.certificate.exists()


def test_a_tsm_with_another_ca_learns_nothing_of_the_code(peer: Peer, identity: Identity) -> None:
    with pytest.raises(EnrolmentRefusedError, match="not the one that the code names"):
        enrol(peer.url, parse_code(code(Authority("the real one"))), identity)
    assert [path for _, path, _ in peer.requests] == ["/ca"]
    assert not identity.ca.exists()


def test_somebody_who_shows_the_right_ca_without_its_certificate_learns_nothing(
    tmp_path: Path, authority: Authority, identity: Identity
) -> None:
    with Peer(tmp_path, Authority("in between")) as between:
        between.authority = authority  # /ca is public, so anyone can show it
        with pytest.raises(TransportError, match="does not verify"):
            enrol(between.url, parse_code(code(authority)), identity)
        assert [path for _, path, _ in between.requests] == ["/ca"]


@pytest.mark.parametrize("wrong", ["ca", "key"])
def test_a_certificate_that_is_not_ours_is_not_kept(
    peer: Peer, authority: Authority, identity: Identity, wrong: str
) -> None:
    def issue(request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        key = x509.load_pem_x509_csr(request["csr"].encode()).public_key()
        if wrong == "key":
            key = ec.generate_private_key(ec.SECP256R1()).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        issuer = Authority() if wrong == "ca" else authority
        return 200, {"certificate": issuer.issue(key, "device").decode(), "ca": authority.pem.decode(), "ses": []}

    peer.enrol = issue
    with pytest.raises(EnrolmentRefusedError):
        enrol(peer.url, parse_code(code(authority)), identity)
    assert not identity.certificate.exists()


@pytest.mark.parametrize(
    "text",
    ["", ".", SECRET, f"{SECRET}.", f".{'00' * 32}", f"{SECRET[:-2]}.{'00' * 32}", f"{SECRET}.{'00' * 31}", "1!.zz"],
)
def test_what_is_no_code_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ProtocolError, match="enrolment code") as caught:
        parse_code(text)
    assert SECRET not in str(caught.value)


def test_a_code_does_not_show_its_secret(authority: Authority) -> None:
    assert SECRET not in repr(parse_code(code(authority)))


class TestCommand:
    def run(self, config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "opentsm_tools.main", "agent", "enrol", "--config", str(config), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def config(self, tmp_path: Path, peer: Peer, authority: Authority) -> Path:
        path = write_config(tmp_path, authority, peer.url, peer.url, "tcp:127.0.0.1:1")
        for name in ("device.pem", "device.key", "ca.pem"):
            (tmp_path / name).unlink()
        return path

    def test_it_writes_the_files_of_the_configuration(self, tmp_path: Path, peer: Peer, authority: Authority) -> None:
        config = self.config(tmp_path, peer, authority)
        done = self.run(config, "--code", code(authority), "--tsm", peer.url, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout) == {"enrolled": True, "secure_elements": [SE_ID], "not_covered": []}
        assert (tmp_path / "device.pem").exists()
        again = self.run(config, "--code", code(authority))
        assert again.returncode == 2
        assert "--force" in again.stderr

    def test_a_refusal_is_exit_code_1_and_an_absent_tsm_3(
        self, tmp_path: Path, peer: Peer, authority: Authority
    ) -> None:
        config = self.config(tmp_path, peer, authority)
        wrong = base64.b32encode(bytes(16)).decode().rstrip("=")
        refused = self.run(config, "--code", code(authority, wrong))
        assert refused.returncode == 1
        assert "no such code (the code is unknown, used up or over" in refused.stderr
        peer.close()
        assert self.run(config, "--code", code(authority)).returncode == 3
