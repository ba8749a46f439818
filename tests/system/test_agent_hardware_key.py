"""A device key in a PKCS#11 token or a TPM: enrolment, sessions and renewal, and it never leaves where it is."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import socket
import subprocess
import sys
import time
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


class Token:
    """SoftHSM with a key; commands run in processes of their own, as it wants it."""

    def __init__(self, folder: Path) -> None:
        self.hsm = SoftHsm(folder, "device")
        self.environment = self.hsm.environment
        generate = ["pkcs11-tool", "--module", self.hsm.library, "--token-label", "device", "--login", "--pin", PIN]
        generate += ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "agent", "--id", "01"]
        subprocess.run(generate, check=True, capture_output=True, env=os.environ | self.environment)
        self.without_pin = f"pkcs11:token=device;object=agent;type=private?module-path={self.hsm.library}"
        self.uri = f"{self.without_pin}&pin-source=file:{self.hsm.pin}"

    def close(self) -> None:
        pass


class Tpm:
    """A software TPM with a persistent key."""

    uri = "handle:0x81000001"

    def __init__(self, folder: Path) -> None:
        (folder / "tpm").mkdir()
        port = free_port_pair()
        channels = [f"type=tcp,bindaddr=127.0.0.1,port={port}", f"type=tcp,bindaddr=127.0.0.1,port={port + 1}"]
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder / 'tpm'}", "--server", channels[0]]
        command += ["--ctrl", channels[1], "--flags", "not-need-init,startup-clear"]
        self.process = subprocess.Popen(command)
        address = f"swtpm:host=127.0.0.1,port={port}"
        self.environment = {"TPM2TOOLS_TCTI": address, "TPM2OPENSSL_TCTI": address}
        for number, step in enumerate(self.steps()):
            for _ in range(100 if number == 0 else 1):
                made = subprocess.run(
                    step, cwd=folder, capture_output=True, env=os.environ | self.environment, check=False
                )
                if made.returncode == 0:
                    break
                time.sleep(0.05)
            assert made.returncode == 0, made.stderr

    @staticmethod
    def steps() -> list[list[str]]:
        attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|noda"
        create = ["tpm2_create", "-C", "first.ctx", "-G", "ecc256:ecdsa-sha256", "-u", "public", "-r", "private"]
        return [
            ["tpm2_createprimary", "-C", "o", "-G", "ecc256", "-c", "first.ctx"],
            [*create, "-a", attributes],
            ["tpm2_flushcontext", "-t"],
            ["tpm2_load", "-C", "first.ctx", "-u", "public", "-r", "private", "-c", "key.ctx"],
            ["tpm2_evictcontrol", "-C", "o", "-c", "key.ctx", "0x81000001"],
            ["tpm2_flushcontext", "-t"],
        ]

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def free_port_pair() -> int:
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            with contextlib.suppress(OSError, OverflowError):
                two.bind(("127.0.0.1", port + 1))
                return port


class Rig:
    """A device whose key is in hardware."""

    def __init__(self, folder: Path, kind: type[Token | Tpm]) -> None:
        self.hardware = kind(folder)
        self.environment = os.environ | self.hardware.environment
        self.authority = Authority()
        self.peer = Peer(folder, self.authority, client_ca=None)
        self.peer.enrol = EnrolmentDesk(self.authority)
        self.card = CountingCard()
        self.config = write_config(folder, self.authority, self.peer.url, self.peer.url, self.card.uri)
        for path in folder.glob("**/device.*"):
            path.unlink()
        self.write_key(self.hardware.uri)

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


@contextlib.contextmanager
def running(folder: Path, kind: type[Token | Tpm]) -> Iterator[Rig]:
    made = Rig(folder, kind)
    try:
        yield made
    finally:
        made.peer.close()
        made.card.close()
        made.hardware.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path, Token) as made:
        yield made


@pytest.mark.parametrize("kind", [Token, Tpm])
def test_a_key_that_never_leaves_enrols_serves_and_renews(kind: type[Token | Tpm], tmp_path: Path) -> None:
    with running(tmp_path, kind) as rig:
        enrol_serve_and_renew(rig)


def enrol_serve_and_renew(rig: Rig) -> None:
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
    assert not list(rig.config.parent.glob("**/device.key"))


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
        ("pkcs11:token=device;object=nobody?module-path={library}&pin-value={pin}", "is the key there?"),
        ("{uri}&pin-source=file:/nowhere/pin", "pin-source can't be read"),
        ("handle:0x81000009", "is tpm2-openssl installed"),
    ],
)
def test_a_key_that_can_t_be_used_is_a_clear_error_without_its_pin(rig: Rig, uri: str, said: str) -> None:
    assert isinstance(rig.hardware, Token)
    rig.write_key(uri.format(uri=rig.hardware.without_pin, library=rig.hardware.hsm.library, pin=PIN))
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
