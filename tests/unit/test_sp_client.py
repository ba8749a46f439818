"""The SP TSM's client over real TLS: refusals, patience, and certificates that are not accepted."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from opentsm_card.errors import ProtocolError, TransportError
from opentsm_tsm import pki, tls
from opentsm_tsm.messages import CheckGlobalEligibility, Operation, ResolveOperation, SeData
from opentsm_tsm.sp.client import RefusedError, TsmClient, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.requests import Request

    Make = Callable[..., TsmClient]

BASE = "/gp/messaging/v2"
PROBLEM = {"type": "about:blank", "title": "unknown", "status": 404, "detail": "nothing there"}
SE_DATA = {
    "seId": "se-1",
    "seType": "eSE",
    "configuration": "embedded",
    "status": "ok",
    "lifeCycle": "SECURED",
    "mno": "north",
    "aMemberOfLater": 1,
}


class Peer:
    """A server that gives prepared answers and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.answers: list[tuple[int, object]] = []

    async def handle(self, request: Request) -> Response:
        self.asked.append((request.url.path, await request.body()))
        status, document = self.answers.pop(0)
        return Response(document if isinstance(document, bytes) else json.dumps(document), status)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sp-client")
    for name in ("ours", "theirs"):
        authority = pki.CertificateAuthority.create(name)
        (folder / f"{name}-ca.pem").write_bytes(pki.certificate_pem(authority.certificate))
        for stem, names, hosts in (("server", [("tsm", "t")], ["127.0.0.1"]), ("client", [("sp", "bank")], [])):
            key = pki.create_key()
            certificate = authority.issue(key.public_key(), names, hosts=hosts)
            (folder / f"{name}-{stem}.pem").write_bytes(pki.certificate_pem(certificate))
            pki.write_private(folder / f"{name}-{stem}.key", pki.key_pem(key))
    return folder


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def port(peer: Peer, folder: Path) -> Iterator[int]:
    app = Starlette(routes=[Route("/{rest:path}", peer.handle, methods=["GET", "POST"])])
    context = tls.server_context(folder / "ours-server.pem", folder / "ours-server.key", [folder / "ours-ca.pem"])
    with tls.serving(app, context) as port:
        yield port


@pytest.fixture
def client_of(port: int, folder: Path) -> Iterator[Callable[..., TsmClient]]:
    """Return what makes clients of the server, each closed before the server is."""
    with contextlib.ExitStack() as stack:

        def made(who: str = "ours", ca: str = "ours", patience_s: float = 0) -> TsmClient:
            certificate, key = folder / f"{who}-client.pem", folder / f"{who}-client.key"
            url = f"https://127.0.0.1:{port}"
            client = TsmClient(url, certificate, key, folder / f"{ca}-ca.pem", patience_s=patience_s)
            return stack.enter_context(contextlib.closing(client))

        yield made


def test_a_query_is_a_post_to_its_function(peer: Peer, client_of: Make) -> None:
    peer.answers = [(200, SE_DATA)]
    data = client_of().query(CheckGlobalEligibility(msi="+491700000001"), SeData)
    assert (data.se_id, data.mno) == ("se-1", "north")
    assert peer.asked == [(f"{BASE}/CheckGlobalEligibility", b'{"msi":"+491700000001"}')]


def test_a_refusal_carries_its_problem(peer: Peer, client_of: Make) -> None:
    peer.answers = [(404, PROBLEM), (500, b"<html>")]
    client = client_of(patience_s=5)
    with pytest.raises(RefusedError, match="unknown: nothing there") as caught:
        client.query(CheckGlobalEligibility(msi="+491700000001"), SeData)
    assert caught.value.problem.status == 404
    with pytest.raises(RefusedError, match="HTTP 500"):
        client.resolve("op", ResolveOperation(decision="accept"))
    assert len(peer.asked) == 2


def test_a_server_that_is_starting_is_waited_for(peer: Peer, client_of: Make) -> None:
    peer.answers = [(503, PROBLEM), (502, PROBLEM), (200, SE_DATA)]
    client_of(patience_s=30).query(CheckGlobalEligibility(msi="+491700000001"), SeData)
    assert len(peer.asked) == 3


def test_patience_ends(folder: Path) -> None:
    with tls.listen("127.0.0.1", 0) as held:
        port = int(held.getsockname()[1])
    certificate, key = folder / "ours-client.pem", folder / "ours-client.key"
    client = TsmClient(f"https://127.0.0.1:{port}", certificate, key, folder / "ours-ca.pem", patience_s=0)
    with contextlib.closing(client), pytest.raises(TransportError, match="central TSM"):
        client.query(CheckGlobalEligibility(msi="+491700000001"), SeData)


@pytest.mark.parametrize(
    ("who", "ca", "patience_s", "says"),
    [
        ("theirs", "ours", 0, "is this client certificate accepted there"),
        # Not waited for: it would be the same certificate.
        ("ours", "theirs", 3600, "not from the CA in .*theirs-ca.pem"),
    ],
)
def test_a_wrong_certificate_on_either_side_is_told(
    peer: Peer, client_of: Make, who: str, ca: str, patience_s: float, says: str
) -> None:
    with pytest.raises(TransportError, match=says):
        client_of(who, ca, patience_s).query(CheckGlobalEligibility(msi="+491700000001"), SeData)
    assert peer.asked == []


def test_a_reply_that_is_not_what_the_api_says_is_named(peer: Peer, client_of: Make) -> None:
    peer.answers = [(200, {**SE_DATA, "seType": "toaster"})]
    with pytest.raises(ProtocolError, match="seType"):
        client_of().query(CheckGlobalEligibility(msi="+491700000001"), SeData)


def test_a_failed_operation_has_no_result() -> None:
    failed = Operation(
        operation="1", function="DeployService", se_id="se-1", state="failed", phase="failed", created=0, updated=0
    )
    with pytest.raises(RefusedError, match="DeployService failed"):
        result_of(failed, SeData)
