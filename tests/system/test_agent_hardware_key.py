"""A device key in a PKCS#11 token: enrolment, sessions and renewal, and it never leaves the token."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from agent_peers import (
    ENROLMENT_SECRET,
    SE_ID,
    Authority,
    CountingCard,
    EnrolmentDesk,
    Peer,
    se_order,
    stop_order,
    write_config,
)
from softhsm import PIN, SoftHsm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Rig:
    """A device whose key is in a token; the commands run in processes of their own, as SoftHSM wants it."""

    def __init__(self, folder: Path) -> None:
        self.token = SoftHsm(folder, "device")
        generate = ["pkcs11-tool", "--module", self.token.library, "--token-label", "device", "--login", "--pin", PIN]
        generate += ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "agent", "--id", "01"]
        self.environment = os.environ | self.token.environment
        subprocess.run(generate, check=True, capture_output=True, env=self.environment)
        self.authority = Authority()
        self.peer = Peer(folder, self.authority, client_ca=None)
        self.peer.enrol = EnrolmentDesk(self.authority)
        self.card = CountingCard()
        self.config = write_config(folder, self.authority, self.peer.url, self.peer.url, self.card.uri)
        for path in folder.glob("**/device.*"):
            path.unlink()
        self.uri = f"pkcs11:token=device;object=agent;type=private?module-path={self.token.library}"
        self.write_key(f"{self.uri}&pin-source=file:{self.token.pin}")

    def write_key(self, uri: str) -> None:
        lines = [
            f'key = "{uri}"' if line.startswith("key = ") else line for line in self.config.read_text().splitlines()
        ]
        self.config.write_text("\n".join(lines))

    def opentsm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "opentsm_tools.main", "agent", *arguments, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)

    def enrol(self) -> subprocess.CompletedProcess[str]:
        return self.opentsm("enrol", "--code", f"{ENROLMENT_SECRET}.{self.authority.digest.hex()}")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.peer.close()
    made.card.close()


def test_a_key_in_a_token_enrols_serves_and_renews(rig: Rig) -> None:
    enrolled = rig.enrol()
    assert enrolled.returncode == 0, enrolled.stderr
    assert SE_ID in enrolled.stdout
    assert rig.opentsm("check").returncode == 0
    # From now on the server wants the certificate.
    rig.peer.close()
    rig.peer = Peer(rig.config.parent, rig.authority, client_ca=rig.authority)
    rig.config.write_text("\n".join(_moved(line, rig.peer.url) for line in rig.config.read_text().splitlines()))
    rig.peer.orders = [se_order(1, ["00A4040007A0000001515350"]), stop_order(2)]
    rig.peer.wakeups.append("a-session")
    command = [sys.executable, "-m", "opentsm_tools.main", "agent", "run", "--json", "--config", str(rig.config)]
    agent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=rig.environment)
    try:
        rig.peer.wait_until(lambda: len(rig.peer.reports()) >= 2)
        assert len(rig.card.run) == 1
    finally:
        agent.terminate()
        agent.communicate(timeout=30)
    rig.peer.enrol = lambda request: _renewed(rig.authority, request)
    renewed = rig.opentsm("renew", "--json")
    assert json.loads(renewed.stdout) == {"renewed": True, "secure_elements": [SE_ID]}, renewed.stderr
    assert not list(rig.config.parent.glob("**/*.key")) or "server.key" in {
        p.name for p in rig.config.parent.glob("**/*.key")
    }


def _moved(line: str, url: str) -> str:
    name = line.partition(" = ")[0]
    return f'{name} = "{url}"' if name in {"url", "gateway"} else line


def _renewed(authority: Authority, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    csr = x509.load_pem_x509_csr(request["csr"].encode())
    assert csr.is_signature_valid
    key = csr.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    certificate = authority.issue(key, "device", end=dt.timedelta(days=9)).decode()
    return 200, {"certificate": certificate, "ca": authority.pem.decode(), "ses": [SE_ID]}


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("{uri}&pin-value=9999", "is the key there?"),
        ("pkcs11:token=device;object=nobody?module-path={library}&pin-value=4321", "is the key there?"),
        ("{uri}&pin-source=file:/nowhere/pin", "pin-source can't be read"),
        ("handle:0x81000001", "is tpm2-openssl installed"),
    ],
)
def test_a_key_that_can_t_be_used_is_a_clear_error_without_its_pin(rig: Rig, uri: str, said: str) -> None:
    rig.write_key(uri.format(uri=rig.uri, library=rig.token.library))
    refused = rig.enrol()
    assert refused.returncode == 4
    assert said in refused.stderr
    assert "9999" not in refused.stderr
    assert PIN not in refused.stderr
    assert "Traceback" not in refused.stderr


def test_another_key_s_certificate_is_refused(rig: Rig) -> None:
    assert rig.enrol().returncode == 0
    made, _ = rig.authority.write(rig.config.parent, "other", "device")
    next(rig.config.parent.glob("**/device.pem")).write_bytes(made.read_bytes())
    refused = rig.opentsm("check")
    assert refused.returncode == 4
    assert "key values mismatch" in refused.stderr
