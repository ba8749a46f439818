"""What is wrong over HTTP, at the central TSM and at a gateway: a problem document, never a 500, nothing changed.

Bounded and repeatable: every route, each kind of junk, and requests whose members are taken at random from values that
are right elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec
import pytest

from opentsm_tsm import pki, tls
from opentsm_tsm.messages import BASE, FUNCTIONS
from opentsm_tsm.mno.app import create_app
from opentsm_tsm.mno.config import Device, Gateway, MnoConfig, Peers, TlsFiles, Uicc
from opentsm_tsm.mno.hub import Hub
from opentsm_tsm.mno.issuer import Issuer
from opentsm_tsm.mno.store import MnoStore
from opentsm_tsm.setup import CentralTsm
from opentsm_tsm.store import Store
from tsm_peers import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JUNK: Final = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"5",
    b'"x"',
    b"{}",
    b"NaN",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"seId":5}',
    b'{"seId":"\\ud800"}',
    b'{"\\u0000":1}',
    b'{"x":1e999}',
    b"1" * 5000,
    b'{"seId":"' + b"x" * (2 << 20) + b'"}',
]
VALUES: Final[list[Any]] = [
    None,
    True,
    0,
    -1,
    1 << 70,
    1.5,
    "",
    "x",
    "ü",
    "\0",
    "a" * 100,
    "00",
    "00" * 300,
    "ZZ",
    "ese-1",
    "card",
    "1",
    "+491700000001",
    "F06F70656E74736D0A0001",
    "F06F70656E74736D0B000101",
    "lock",
    "terminate",
    "key-rotation",
    "application",
    "account",
    "sp",
    "all",
    [],
    {},
    ["00"],
    [{"apdu": ""}],
    [{"apdu": "00A4040000"}],
    [{"apdu": "80CA006600", "expect": {"sw": [], "data": "00"}}],
    [{"package": "", "module": "", "instance": ""}],
]
METHODS: Final = ("GET", "POST", "PUT", "DELETE", "HEAD")
TSM_PATHS: Final = [
    *(f"{BASE}/{function}" for function in FUNCTIONS),
    f"{BASE}/nope",
    f"{BASE}/operations",
    f"{BASE}/operations/%00",
    f"{BASE}/operations/%ff",
    f"{BASE}/operations/x?wait=nan",
    f"{BASE}/operations/x/resolve",
    f"{BASE}/audit?after=x",
    f"{BASE}/audit?after=-1",
    f"{BASE}/audit?after=" + "9" * 40,
    f"{BASE}/ses/" + "a" * 3000,
    f"{BASE}/ses/%ff%00",
    f"{BASE}/enrolment-codes",
    "/gp/seram/handshake?sessionId=x",
    "/gp/seram/remoteManagement?sessionId=%ff%00",
    "/enrol",
    "/",
    "/nope",
]
MNO_PATHS: Final = [
    "/attach?wait=0",
    "/attach?wait=x",
    "/attach?wait=nan",
    "/attach?wait=-5",
    "/push",
    "/log",
    "/se/uicc-1/issuer-script",
    "/se/uicc-1/issuer-result",
    "/se/%ff%00/issuer-script",
    "/se/nope/issuer-result",
    "/",
    "/nope",
]
# SERAM's own refusals have no body: GP SERAM 2.0.0, and nothing is told to who has no session.
BARE: Final = {404, 406}


class _Patient(httpx.HTTPTransport):
    """A transport that asks again when the server had closed the connection already."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return super().handle_request(request)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return super().handle_request(request)


class Clients:
    """Clients of one server, each with a certificate for a name or, as "nobody", with none."""

    def __init__(self, folder: Path, ca: Path, authority: pki.CertificateAuthority) -> None:
        self._folder, self._ca, self._authority = folder, ca, authority
        self._made: dict[str, httpx.Client] = {}
        self.fingerprints: dict[str, str] = {}

    def certify(self, name: str) -> None:
        """Make the certificate of a name, such as sp:bank."""
        key = pki.create_key()
        role, _, id_ = name.partition(":")
        certificate = self._authority.issue(key.public_key(), [(role, id_)])
        stem = self._folder / f"{role}-{id_}"
        pki.write_private(stem.with_suffix(".key"), pki.key_pem(key))
        stem.with_suffix(".pem").write_bytes(pki.certificate_pem(certificate))
        self.fingerprints[name] = pki.fingerprint(certificate).hex()
        self._made[name] = self._client(
            tls.client_context(stem.with_suffix(".pem"), stem.with_suffix(".key"), [self._ca])
        )

    def nobody(self) -> None:
        """Make the client without a certificate."""
        self._made["nobody"] = self._client(ssl.create_default_context(cafile=str(self._ca)))

    @staticmethod
    def _client(context: ssl.SSLContext) -> httpx.Client:
        # What was refused before its body was read ends its connection, which httpx may take up once more.
        return httpx.Client(transport=_Patient(verify=context), timeout=60)

    def __iter__(self) -> Iterator[tuple[str, httpx.Client]]:
        """Go through names and clients."""
        return iter(self._made.items())

    def __getitem__(self, name: str) -> httpx.Client:
        """Return a name's client."""
        return self._made[name]

    def close(self) -> None:
        """Close them all."""
        for client in self._made.values():
            client.close()


def check(reply: httpx.Response) -> None:
    """Hold a reply to what a client may meet."""
    request = f"{reply.request.method} {reply.request.url.path} {reply.request.content[:200]!r}: {reply.text[:200]}"
    assert reply.status_code < 500, request
    seram = reply.request.url.path.startswith("/gp/seram") and reply.status_code in BARE
    if reply.status_code < 400 or seram or reply.request.method == "HEAD":
        return
    assert reply.headers["content-type"] == "application/problem+json", request
    problem = reply.json()
    assert problem["status"] == reply.status_code
    assert problem["title"]


@pytest.fixture(name="central")
def _central(tmp_path: Path) -> Iterator[tuple[CentralTsm, str, Clients]]:
    config = make_folder(tmp_path / "tsm")
    config.write_text("poll_s = 0.05\nlinger_s = 0.05\n" + config.read_text())
    central = CentralTsm.open(config)
    clients = Clients(tmp_path, tmp_path / "tsm" / "ca.pem", central.authority)
    for name in ("sp:bank", "sp:nobody-s", "mno:north", "operator:operator", "se:ese-1"):
        clients.certify(name)
    clients.nobody()
    with tls.serving(central.app, central.context) as port:
        yield central, f"https://127.0.0.1:{port}", clients
        clients.close()
    central.close()


@pytest.fixture(name="gateway")
def _gateway(tmp_path: Path) -> Iterator[tuple[MnoStore, str, Clients]]:
    authority = pki.CertificateAuthority.create("test")
    authority.save(tmp_path / "ca.pem", tmp_path / "ca.key")
    key = pki.create_key()
    pki.write_private(tmp_path / "server.key", pki.key_pem(key))
    server = authority.issue(key.public_key(), [("mno", "north")], hosts=["127.0.0.1"])
    (tmp_path / "server.pem").write_bytes(pki.certificate_pem(server) + pki.certificate_pem(authority.certificate))
    clients = Clients(tmp_path, tmp_path / "ca.pem", authority)
    for name in ("tsm:central", "operator:operator", "se:ese-1"):
        clients.certify(name)
    pins = {name: (clients.fingerprints[name],) for name in ("tsm:central", "operator:operator")}
    config = MnoConfig(
        mno=Gateway(id="north"),
        tls=TlsFiles(certificate="server.pem", key="server.key", client_cas=("ca.pem",)),
        peers=Peers(tsm=pins["tsm:central"], operator=pins["operator:operator"]),
        device=(Device(se="ese-1"),),
        uicc=(Uicc(se="uicc-1", diversification_data="00112233445566778899"),),
    )
    store = MnoStore(tmp_path / "mno.sqlite")
    app = create_app(config, Hub(0.1), store, Issuer(bytes(16), config.uicc, store))
    context = tls.server_context(tmp_path / "server.pem", tmp_path / "server.key", [tmp_path / "ca.pem"])
    with tls.serving(app, context) as port:
        yield store, f"https://127.0.0.1:{port}", clients
        clients.close()
    store.close()


def state(central: CentralTsm) -> dict[str, list[tuple[Any, ...]]]:
    """Return all that the central TSM knows, but for the audit log."""
    with Store(central.config.path(central.config.database)) as store:
        tables = [row["name"] for row in store.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        # The names come from the database itself.
        return {
            name: [tuple(row) for row in store.rows(f"SELECT * FROM {name}")]  # noqa: S608 - see above
            for name in tables
            if name not in {"audit", "sqlite_sequence"}
        }


def test_no_route_of_the_tsm_takes_junk_or_another_method(central: tuple[CentralTsm, str, Clients]) -> None:
    tsm, url, clients = central
    before = state(tsm)
    chosen = random.Random(1)
    for _, client in clients:
        for path in TSM_PATHS:
            for method in METHODS:
                body = chosen.choice(JUNK) if method in {"POST", "PUT"} else None
                check(client.request(method, url + path, content=body))
    for function in FUNCTIONS:
        for body in JUNK:
            reply = clients["sp:bank"].post(f"{url}{BASE}/{function}", content=body)
            check(reply)
            assert reply.status_code in {400, 403}
    assert state(tsm) == before


def test_members_from_elsewhere_are_refused_or_done_but_never_a_fault(
    central: tuple[CentralTsm, str, Clients],
) -> None:
    _, url, clients = central
    chosen = random.Random(2)
    for name in ("sp:bank", "mno:north", "operator:operator"):
        for function in FUNCTIONS:
            fields = msgspec.structs.fields(FUNCTIONS[function].request)
            for _ in range(25):
                body = {f.encode_name: chosen.choice(VALUES) for f in fields if f.required or chosen.random() < 0.4}
                check(clients[name].post(f"{url}{BASE}/{function}", content=json.dumps(body).encode()))


def test_a_client_that_hangs_up_or_speaks_no_http_leaves_no_traceback(
    central: tuple[CentralTsm, str, Clients], caplog: pytest.LogCaptureFixture
) -> None:
    tsm, url, clients = central
    context = ssl.create_default_context(cafile=str(tsm.config.path("ca.pem")))
    address = ("127.0.0.1", int(url.rpartition(":")[2]))
    with caplog.at_level(logging.ERROR):
        for sent in (
            b"junk\r\n\r\n",
            b"POST /enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\nabc",
            b"POST /enrol HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
            b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        ):
            sock = context.wrap_socket(socket.create_connection(address), server_hostname="127.0.0.1")
            with sock, contextlib.suppress(OSError):
                sock.sendall(sent)
        with socket.create_connection(address) as plain:
            plain.sendall(b"no TLS at all\r\n\r\n")
        # It answers on, and has by then seen the others go.
        for _ in range(3):
            assert clients["nobody"].get(f"{url}/ca").status_code == 200
    assert [record.getMessage() for record in caplog.records] == []


def test_no_route_of_a_gateway_takes_junk_or_another_method(gateway: tuple[MnoStore, str, Clients]) -> None:
    _, url, clients = gateway
    chosen = random.Random(3)
    for _, client in clients:
        for path in MNO_PATHS:
            for method in METHODS:
                body = chosen.choice(JUNK) if method in {"POST", "PUT"} else None
                check(client.request(method, url + path, content=body))
    for path in ("/push", "/se/uicc-1/issuer-script", "/se/uicc-1/issuer-result"):
        for body in JUNK:
            reply = clients["tsm:central"].post(url + path, content=body)
            check(reply)
            assert reply.status_code in {400, 413}
        for _ in range(30):
            names = ("se", "session", "action", "counter", "answers")
            members = {name: chosen.choice(VALUES) for name in names if chosen.random() < 0.5}
            check(clients["tsm:central"].post(url + path, content=json.dumps(members).encode()))
    assert clients["operator:operator"].get(f"{url}/log").json()["mno"] == "north"


def test_a_gateway_without_a_client_certificate_is_none(gateway: tuple[MnoStore, str, Clients], tmp_path: Path) -> None:
    _, url, _ = gateway
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with httpx.Client(verify=context) as client, pytest.raises(httpx.TransportError):
        client.get(f"{url}/log").raise_for_status()
