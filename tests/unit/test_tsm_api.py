"""The API over TLS: certificates, problem documents, SERAM's routes, enrolment."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from opentsm_card.errors import ProtocolError
from opentsm_tsm import enrolment, pki, sessions, tls
from opentsm_tsm.setup import CentralTsm
from opentsm_tsm.store import Store
from tsm_peers import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE = "/gp/messaging/v2"
HANDSHAKE = {"secureElements": [{"seType": "eSE", "seId": "ese-1"}], "opentsm": {"version": 1}}
POLL = {"localAgentStatus": {"localAgentStatusEnum": "POLLING", "executedSeRamCommands": 0}}


class Server:
    """A central TSM on a thread, and clients with certificates for it."""

    def __init__(self, central: CentralTsm, folder: Path, port: int) -> None:
        self.central = central
        self.folder = folder
        self.url = f"https://127.0.0.1:{port}"
        # A connection of the test's own: the central's belongs to the thread that serves.
        self.store = Store(central.config.path(central.config.database))
        self._stack = contextlib.ExitStack()
        self._names = 0

    def certificate(
        self,
        names: list[tuple[str, str]],
        *,
        authority: pki.CertificateAuthority | None = None,
        valid: dt.timedelta = dt.timedelta(days=1),
    ) -> tuple[Path, Path]:
        """Issue a certificate, and return the paths of it and its key."""
        self._names += 1
        stem = self.folder / f"client-{self._names}"
        key = pki.create_key()
        certificate = (authority or self.central.authority).issue(key.public_key(), names, valid=valid)
        pki.write_private(stem.with_suffix(".key"), pki.key_pem(key))
        stem.with_suffix(".pem").write_bytes(pki.certificate_pem(certificate))
        return stem.with_suffix(".pem"), stem.with_suffix(".key")

    def client(self, *names: tuple[str, str], **options: Any) -> httpx.Client:
        """Return a client with a certificate for these names; without names, one without a certificate."""
        if names:
            certificate, key = self.certificate(list(names), **options)
            context = tls.client_context(certificate, key, [self.folder / "tsm" / "ca.pem"])
        else:
            context = ssl.create_default_context(cafile=str(self.folder / "tsm" / "ca.pem"))
        return self._stack.enter_context(httpx.Client(base_url=self.url, verify=context, timeout=30))

    def close(self) -> None:
        """Close all clients."""
        self._stack.close()
        self.store.close()


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[Server]:
    config = make_folder(tmp_path / "tsm")
    config.write_text("poll_s = 0.6\nlinger_s = 0.2\n" + config.read_text())
    central = CentralTsm.open(config)
    with tls.serving(central.app, central.context) as port:
        server = Server(central, tmp_path, port)
        yield server
        server.close()
    central.close()


def offered(server: Server) -> str:
    """Wait until the errands have offered a session for the SE, and return it."""
    for _ in range(200):
        session = sessions.live(server.store, "ese-1")
        if session is not None:
            return session.id
        threading.Event().wait(0.02)
    raise AssertionError("no session was offered")


def test_without_a_certificate_there_is_nothing_but_enrolment_and_the_description(server: Server) -> None:
    bare = server.client()
    assert bare.get("/ca").text == pki.certificate_pem(server.central.authority.certificate).decode()
    assert bare.get(f"{BASE}/openapi.json").json()["openapi"] == "3.1.0"
    assert "CheckGlobalEligibility" in bare.get(f"{BASE}/docs").text
    for method, path in (
        ("POST", f"{BASE}/CheckGlobalEligibility"),
        ("GET", f"{BASE}/operations"),
        ("GET", f"{BASE}/operations/x"),
        ("POST", f"{BASE}/operations/x/resolve"),
        ("GET", f"{BASE}/audit"),
        ("GET", f"{BASE}/ses/ese-1"),
        ("POST", f"{BASE}/enrolment-codes"),
    ):
        reply = bare.request(method, path, json={"msi": "491700000001"} if method == "POST" else None)
        assert reply.status_code == 403, path
        assert reply.headers["content-type"] == "application/problem+json"
    assert bare.post("/gp/seram/handshake?sessionId=x", json=HANDSHAKE).status_code == 404
    assert bare.post("/gp/seram/remoteManagement?sessionId=x", json=POLL).status_code == 404


def test_wrong_expired_and_revoked_certificates_do_not_get_in(server: Server) -> None:
    stranger = pki.CertificateAuthority.create("another CA")
    for options in ({"authority": stranger}, {"valid": dt.timedelta(days=-1)}):
        client = server.client(("sp", "bank"), **options)
        with pytest.raises(httpx.TransportError):
            client.get(f"{BASE}/operations").raise_for_status()
    certificate, key = server.certificate([("sp", "bank")])
    context = tls.client_context(certificate, key, [server.folder / "tsm" / "ca.pem"])
    store = server.store
    with httpx.Client(base_url=server.url, verify=context) as client:
        assert client.get(f"{BASE}/operations").status_code == 200
        with store.transaction():
            parsed = pki.load_certificate(certificate.read_bytes())
            enrolment.record_certificate(store, parsed, "sp", "test")
            store.run("UPDATE certificate SET revoked = 1")
        assert client.get(f"{BASE}/operations").status_code == 403
    # Roles that are no callers, and two identities at once.
    assert server.client(("se", "ese-1")).get(f"{BASE}/operations").status_code == 403
    assert server.client(("sp", "bank"), ("sp", "transit")).get(f"{BASE}/operations").status_code == 403


def test_tls_below_1_3_is_refused(server: Server) -> None:
    context = ssl.create_default_context(cafile=str(server.folder / "tsm" / "ca.pem"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with httpx.Client(verify=context) as client, pytest.raises(httpx.TransportError):
        client.get(f"{server.url}/ca")


def test_queries_refusals_and_operations_over_http(server: Server) -> None:
    bank = server.client(("sp", "bank"))
    reply = bank.post(f"{BASE}/CheckGlobalEligibility", json={"msi": "+491700000001"})
    assert reply.status_code == 200
    assert reply.json()["seId"] == "ese-1"
    refused = bank.post(f"{BASE}/CheckGlobalEligibility", json={"msi": "12345"})
    assert refused.status_code == 404
    assert refused.headers["content-type"] == "application/problem+json"
    bad = bank.post(f"{BASE}/CheckGlobalEligibility", content=b'{"msi": ')
    assert (bad.status_code, bad.json()["path"]) == (400, "$")
    huge = bank.post(f"{BASE}/CheckGlobalEligibility", content=b" " * (2 << 20))
    assert huge.status_code == 400
    accepted = bank.post(f"{BASE}/BeginConversation", json={"seId": "ese-1", "operationId": "begin"})
    assert accepted.status_code == 202
    assert accepted.json() == {"operation": "begin", "state": "pending"}
    assert bank.get(f"{BASE}/operations/begin").json()["state"] == "pending"
    assert [row["operation"] for row in bank.get(f"{BASE}/operations").json()["operations"]] == ["begin"]
    assert server.client(("sp", "transit")).get(f"{BASE}/operations/begin").status_code == 404
    assert bank.get(f"{BASE}/operations/begin?wait=x").status_code == 400
    assert bank.get(f"{BASE}/audit").status_code == 403
    operator = server.client(("operator", "operator"))
    events = [record["event"] for record in operator.get(f"{BASE}/audit").json()["records"]]
    assert "CheckGlobalEligibility" in events
    assert operator.get(f"{BASE}/ses/ese-1").json()["seId"] == "ese-1"
    assert operator.get(f"{BASE}/ses/nowhere").status_code == 404


def test_an_agent_gets_its_order_as_soon_as_there_is_work(server: Server) -> None:
    bank, agent = server.client(("sp", "bank")), server.client(("se", "ese-1"))
    bank.post(f"{BASE}/BeginConversation", json={"seId": "ese-1", "operationId": "begin"})
    session = offered(server)
    shaken = agent.post(f"/gp/seram/handshake?sessionId={session}", json=HANDSHAKE)
    assert shaken.json()["opentsm"] == {"version": 1}
    assert agent.post(f"/gp/seram/handshake?sessionId={session}", json=HANDSHAKE).content == shaken.content
    # There is a conversation and nothing to do: an empty order without a number, after the poll's time.
    assert agent.post(f"/gp/seram/remoteManagement?sessionId={session}", json=POLL).json() == {"delay": 0}
    done = bank.get(f"{BASE}/operations/begin?wait=5").json()
    assert done["state"] == "done"

    timer = threading.Timer(0.2, lambda: _refresh(bank))
    timer.start()
    order = agent.post(f"/gp/seram/remoteManagement?sessionId={session}", json=POLL)
    timer.join()
    assert order.json()["opentsm"] == {"order": 1}
    assert order.json()["ramCommands"][0] == {"ramCommandType": "ramStartCommand"}
    # The same report again, and again: the same bytes.
    assert agent.post(f"/gp/seram/remoteManagement?sessionId={session}", json=POLL).content == order.content

    assert agent.cookies.get("opentsm-order") == "1"

    strangers = (server.client(("se", "ese-2")), server.client(("se", "ese-1")), server.client(("sp", "bank")))
    for stranger in strangers:
        assert stranger.post(f"/gp/seram/remoteManagement?sessionId={session}", json=POLL).status_code == 404
        assert stranger.post(f"/gp/seram/handshake?sessionId={session}", json=HANDSHAKE).status_code == 404
    ahead = {**POLL, "opentsm": {"order": 7}}
    assert agent.post(f"/gp/seram/remoteManagement?sessionId={session}", json=ahead).status_code == 400
    assert agent.post(f"/gp/seram/remoteManagement?sessionId={session}", content=b"{").status_code == 400
    assert agent.post("/gp/seram/remoteManagement", json=POLL).status_code == 404


def _refresh(bank: httpx.Client) -> None:
    """Ask for something that needs the SE: a deployment, whose first order asks for diversification data."""
    body = {"seId": "ese-1", "service": "card", "qualifier": "1", "sd": "F06F70656E74736D0A0001"}
    assert bank.post(f"{BASE}/DeployService", json=body).status_code == 202


def test_reports_of_sessions_at_an_end_are_taken_from_agents_only(server: Server) -> None:
    report = {"session": "x", "order": 1, "localAgentStatus": {"localAgentStatusEnum": "PROCESSED"}}
    body = {"recovered": [report]}
    for client, status in (
        (server.client(("se", "ese-1")), 204),
        (server.client(("sp", "bank")), 404),
        (server.client(), 404),
    ):
        assert client.post("/opentsm/recovered-reports", json=body).status_code == status
    assert server.client(("se", "ese-1")).post("/opentsm/recovered-reports", json={}).status_code == 400


def test_a_session_that_nobody_needs_is_stopped(server: Server) -> None:
    bank, agent = server.client(("sp", "bank")), server.client(("se", "ese-1"))
    bank.post(f"{BASE}/BeginConversation", json={"seId": "ese-1", "operationId": "begin"})
    session = offered(server)
    agent.post(f"/gp/seram/handshake?sessionId={session}", json=HANDSHAKE)
    agent.post(f"/gp/seram/remoteManagement?sessionId={session}", json=POLL)
    conversation = bank.get(f"{BASE}/operations/begin?wait=5").json()["result"]["conversationId"]
    ended = bank.post(f"{BASE}/EndConversation", json={"conversationId": conversation})
    assert ended.json()["state"] == "done"
    stop = agent.post(f"/gp/seram/remoteManagement?sessionId={session}", json=POLL)
    assert stop.json()["ramCommands"] == [{"ramCommandType": "ramStopCommand"}]
    assert agent.post(f"/gp/seram/remoteManagement?sessionId={session}", json=POLL).content == stop.content
    assert agent.post(f"/gp/seram/handshake?sessionId={session}", json=HANDSHAKE).status_code == 404


def test_a_binding_that_is_not_spoken_here_is_not_acceptable(server: Server) -> None:
    agent = server.client(("se", "ese-1"))
    for other in (
        {**HANDSHAKE, "supportedVersions": ["3.0.0"]},
        {**HANDSHAKE, "supportedTransportProtocols": ["MQTT"]},
        {**HANDSHAKE, "supportedDataFormats": ["application/cbor"]},
    ):
        assert agent.post("/gp/seram/handshake?sessionId=x", json=other).status_code == 406
    assert agent.post("/gp/seram/handshake?sessionId=x", json=HANDSHAKE).status_code == 404


def test_enrolment_over_http(server: Server) -> None:
    operator = server.client(("operator", "operator"))
    made = operator.post(f"{BASE}/enrolment-codes", json={"ses": ["ese-1"]})
    assert made.status_code == 201
    code = pki.EnrolmentCode.parse(made.json()["code"])
    bare = server.client()
    ca = bare.get("/ca").content
    assert pki.fingerprint(pki.load_certificate(ca)) == code.ca_fingerprint
    key = pki.create_key()
    request = {"code": code.first, "csr": pki.create_request(key, "agent").decode()}
    reply = bare.post("/enrol", json=request).json()
    assert reply["ses"] == ["ese-1"]
    assert pki.identity(pki.load_certificate(reply["certificate"].encode())).ids("se") == ("ese-1",)
    other = {**request, "csr": pki.create_request(pki.create_key(), "agent").decode()}
    assert bare.post("/enrol", json=other).status_code == 404
    assert server.client(("sp", "bank")).post(f"{BASE}/enrolment-codes", json={"ses": ["ese-1"]}).status_code == 403
    log = operator.get(f"{BASE}/audit").text
    assert "used up" in log
    assert code.first not in log


def test_a_certificate_is_renewed_under_itself(server: Server) -> None:
    key = pki.create_key()
    wanted = {"csr": pki.create_request(key, "agent").decode()}
    reply = server.client(("se", "ese-1")).post("/renew", json=wanted).json()
    renewed = pki.load_certificate(reply["certificate"].encode())
    assert pki.identity(renewed).names == (("se", "ese-1"),)
    assert renewed.public_key() == key.public_key()
    assert any(fingerprint == pki.fingerprint(renewed) for (fingerprint,) in _fingerprints(server)), "it can be revoked"


@pytest.mark.parametrize("names", [[], [("sp", "bank")], [("operator", "operator")], [("se", "unknown")]])
def test_nobody_else_s_certificate_is(server: Server, names: list[tuple[str, str]]) -> None:
    wanted = {"csr": pki.create_request(pki.create_key(), "agent").decode()}
    assert server.client(*names).post("/renew", json=wanted).status_code == 403


def test_a_revoked_certificate_is_not_renewed_nor_one_for_half_a_request(server: Server) -> None:
    certificate, key = server.certificate([("se", "ese-1")])
    context = tls.client_context(certificate, key, [server.folder / "tsm" / "ca.pem"])
    with httpx.Client(base_url=server.url, verify=context) as client:
        assert client.post("/renew", json={"csr": "-----BEGIN"}).status_code == 400
        with server.store.transaction():
            issued = pki.read_certificate(certificate)
            enrolment.record_certificate(server.store, issued, "se", "test")
            server.store.run("UPDATE certificate SET revoked = 1 WHERE fingerprint = ?", pki.fingerprint(issued))
        wanted = {"csr": pki.create_request(pki.create_key(), "agent").decode()}
        assert client.post("/renew", json=wanted).status_code == 403


def _fingerprints(server: Server) -> list[tuple[bytes]]:
    return [tuple(row) for row in server.store.rows("SELECT fingerprint FROM certificate")]


def test_the_server_sends_its_chain_to_be_pinned(server: Server) -> None:
    chain = pki.load_certificate((server.folder / "tsm" / "server.pem").read_bytes())
    chain.verify_directly_issued_by(server.central.authority.certificate)
    port = int(server.url.rpartition(":")[2])
    seen = ssl.get_server_certificate(("127.0.0.1", port), ca_certs=str(server.folder / "tsm" / "ca.pem"))
    assert pki.load_certificate(seen.encode()) == chain


def test_nothing_is_logged_that_opens_a_session(
    server: Server, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    bank = server.client(("sp", "bank"))
    bank.post(f"{BASE}/BeginConversation", json={"seId": "ese-1", "operationId": "begin"})
    session = offered(server)
    agent = server.client(("se", "ese-1"))
    agent.post(f"/gp/seram/handshake?sessionId={session}", json=HANDSHAKE)
    agent.post(f"/gp/seram/remoteManagement?sessionId={session}", content=b"{")
    shown = "".join(capfd.readouterr())
    ours = "".join(record.getMessage() for record in caplog.records if record.name.startswith(("opentsm", "uvicorn")))
    assert session not in shown + ours
    rows = json.dumps([tuple(row) for row in server.store.rows("SELECT * FROM audit")])
    assert session not in rows


def test_helpers_refuse_what_is_no_certificate(tmp_path: Path) -> None:
    missing, text = tmp_path / "nowhere", tmp_path / "text"
    with pytest.raises(ProtocolError, match="no such file"):
        tls.client_context(missing, missing, [missing])
    text.write_text("text")
    with pytest.raises(ProtocolError, match="not a certificate"):
        tls.client_context(text, text, [text])


@pytest.mark.parametrize(
    "beginning", [b"", b"POST /enrol HTTP/1.1\r\n", b"POST /enrol HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{"]
)
def test_a_client_that_does_not_finish_its_request_is_hung_up_on(
    server: Server, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(tls, "_REQUEST_S", 0.1)
    context = ssl.create_default_context(cafile=str(server.folder / "tsm" / "ca.pem"))
    port = int(server.url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        if beginning:
            client.sendall(beginning)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            assert client.recv(1) == b""


def test_an_answer_waits_for_no_acknowledgement() -> None:
    with tls.listen("127.0.0.1", 0) as sock, socket.create_connection(sock.getsockname()) as client:
        accepted, _ = sock.accept()
        with accepted:
            assert client.getpeername() == accepted.getsockname()
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
