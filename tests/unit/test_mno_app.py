"""The gateway over real TLS: who may attach, push and read the log, and what each learns."""

from __future__ import annotations

import asyncio
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

from opentsm_tsm import pki, tls
from opentsm_tsm.gateway_messages import PushRequest, WakeUps
from opentsm_tsm.mno.app import create_app
from opentsm_tsm.mno.config import Device, Gateway, MnoConfig, Peers, TlsFiles
from opentsm_tsm.mno.hub import Hub
from opentsm_tsm.mno.messages import PushLog
from opentsm_tsm.mno.store import MnoStore
from opentsm_tsm.wire import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Network:
    """A gateway that serves, its hub, and clients by name."""

    port: int
    hub: Hub
    folder: Path

    def client(self, name: str) -> httpx.Client:
        context = tls.client_context(self.folder / f"{name}.pem", self.folder / f"{name}.key", [self.folder / "ca.pem"])
        return httpx.Client(base_url=f"https://127.0.0.1:{self.port}", verify=context, trust_env=False)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("mno")
    authority = pki.CertificateAuthority.create("test")
    (folder / "ca.pem").write_bytes(pki.certificate_pem(authority.certificate))
    prints = {}
    people = {
        "server": [("mno", "north")],
        "tsm": [("tsm", "central")],
        "operator": [("operator", "north")],
        "device-1": [("se", "se-1"), ("se", "elsewhere")],
        "device-2": [("se", "se-2")],
        "other-device-2": [("se", "se-2")],
        "stranger": [("se", "se-9")],
        "bank": [("sp", "bank")],
    }
    for name, names in people.items():
        key = pki.create_key()
        certificate = authority.issue(key.public_key(), names, hosts=["127.0.0.1"] if name == "server" else [])
        (folder / f"{name}.pem").write_bytes(pki.certificate_pem(certificate))
        pki.write_private(folder / f"{name}.key", pki.key_pem(key))
        prints[name] = pki.fingerprint(certificate).hex()
    config = MnoConfig(
        mno=Gateway(id="north"),
        tls=TlsFiles(certificate="server.pem", key="server.key", client_cas=("ca.pem",)),
        peers=Peers(tsm=(prints["tsm"],), operator=(prints["operator"].upper(),)),
        device=(Device(se="se-1"), Device(se="se-2", certificate=prints["device-2"])),
    )
    hub = Hub(0.0)
    context = tls.server_context(folder / "server.pem", folder / "server.key", [folder / "ca.pem"])
    store = MnoStore(folder / "mno.sqlite")
    with tls.serving(create_app(config, hub, store, None), context) as port:
        yield Network(port, hub, folder)
    store.close()


def push(network: Network, who: str, se: str, session: str = "s1") -> httpx.Response:
    with network.client(who) as client:
        return client.post("/push", content=encode(PushRequest(se=se, session=session)))


def attached(network: Network, se: str) -> None:
    """Wait until a device holds a long poll."""
    while se not in network.hub.online():
        asyncio.run(asyncio.sleep(0.001))


def poll(network: Network, who: str, answers: list[httpx.Response], wait_s: float = 20) -> threading.Thread:
    def attach() -> None:
        with network.client(who) as client:
            answers.append(client.get(f"/attach?wait={wait_s}", timeout=30))

    thread = threading.Thread(target=attach)
    thread.start()
    return thread


def test_a_device_is_woken_by_the_central_tsm(network: Network) -> None:
    answers: list[httpx.Response] = []
    device = poll(network, "device-1", answers)
    attached(network, "se-1")
    assert push(network, "tsm", "se-1", "session-77").status_code == 202
    device.join()
    assert answers[0].status_code == 200
    assert [wakeup.session for wakeup in decode(answers[0].content, WakeUps).wakeups] == ["session-77"]


def test_the_log_shows_pushes_to_the_operator_and_no_session(network: Network) -> None:
    push(network, "tsm", "se-1", "session-secret")
    push(network, "tsm", "se-of-another-network")
    with network.client("operator") as client:
        answer = client.get("/log")
    log = decode(answer.content, PushLog)
    assert [(p.se, p.outcome) for p in log.pushes][-2:] == [("se-1", "offline"), ("se-of-another-network", "unknown")]
    assert b"session-" not in answer.content


def test_a_push_to_nobody_fails_at_once(network: Network) -> None:
    assert push(network, "tsm", "se-1").status_code == 504
    assert push(network, "tsm", "elsewhere").status_code == 404


@pytest.mark.parametrize("who", ["operator", "device-1", "bank"])
def test_only_the_central_tsm_pushes(network: Network, who: str) -> None:
    assert push(network, who, "se-1").status_code == 404


@pytest.mark.parametrize("who", ["tsm", "device-1", "bank"])
def test_only_the_operator_reads_the_log(network: Network, who: str) -> None:
    with network.client(who) as client:
        assert client.get("/log").status_code == 404


@pytest.mark.parametrize("who", ["stranger", "other-device-2", "bank", "tsm"])
def test_only_devices_of_this_network_attach(network: Network, who: str) -> None:
    with network.client(who) as client:
        assert client.get("/attach?wait=0").status_code == 404


def test_a_poll_ends_after_its_wait(network: Network) -> None:
    with network.client("device-2") as client:
        assert client.get("/attach?wait=0").status_code == 204
        assert client.get("/attach?wait=soon").status_code == 400


def test_a_device_whose_connection_broke_is_offline(network: Network) -> None:
    with network.client("device-2") as client, pytest.raises(httpx.ReadTimeout):
        client.get("/attach?wait=20", timeout=0.2)
    while "se-2" in network.hub.online():
        asyncio.run(asyncio.sleep(0.001))
    assert push(network, "tsm", "se-2").status_code == 504


def test_bad_requests_are_named_and_push_nothing(network: Network) -> None:
    with network.client("tsm") as client:
        answer = client.post("/push", content=b'{"se": 1, "session": "s"}')
        assert (answer.status_code, answer.json()["path"]) == (400, "$.se")
        assert answer.headers["content-type"] == "application/problem+json"
        assert client.post("/push", content=b"{").status_code == 400
        assert client.post("/push", content=b"x" * (1 << 19)).status_code == 413
        assert client.post("/se/se-1/issuer-script", content=b'{"action":"lock"}').status_code == 404


def test_a_client_without_certificate_is_not_let_in(network: Network) -> None:
    context = ssl.create_default_context(cafile=network.folder / "ca.pem")
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"https://127.0.0.1:{network.port}/log", verify=context, trust_env=False)
