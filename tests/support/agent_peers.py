"""What the agent talks to, small but real: a CA, a TLS server with SERAM and a gateway in it, and a card."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import http.server
import ipaddress
import json
import select
import socket
import ssl
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from loopback_server import LoopbackServer
from vpcd_framing import receive, send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SE_ID = "89001012012341234012345678901224"
ATR = bytes.fromhex("3B80800101")
ENROLMENT_SECRET = base64.b32encode(bytes(range(16))).decode().rstrip("=")


class Authority:
    """A CA that issues server and device certificates."""

    def __init__(self, name: str = "test CA") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self.name, self.key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate = builder.sign(self.key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        self.digest = hashlib.sha256(self.certificate.public_bytes(serialization.Encoding.DER)).digest()

    def issue(
        self,
        key: ec.EllipticCurvePublicKey,
        name: str = "127.0.0.1",
        *,
        begin: dt.timedelta = dt.timedelta(hours=-1),
        end: dt.timedelta = dt.timedelta(days=1),
    ) -> bytes:
        """Issue a certificate for a key, good for 127.0.0.1 or a device, as PEM; its life is counted from now."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"urn:opentsm:se:{SE_ID}")]
        if name == "127.0.0.1":
            names = [x509.IPAddress(ipaddress.ip_address(name))]
        builder = self._builder(subject, key, begin, end)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def write(self, folder: Path, stem: str, name: str, **life: dt.timedelta) -> tuple[Path, Path]:
        """Issue a certificate for a new key, and write both; arguments as `issue` has them."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, private = folder / f"{stem}.pem", folder / f"{stem}.key"
        certificate.write_bytes(self.issue(key.public_key(), name, **life))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, private

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        begin: dt.timedelta = dt.timedelta(hours=-1),
        end: dt.timedelta = dt.timedelta(days=1),
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begin)
            .not_valid_after(now + end)
        )


class EnrolmentDesk:
    """The TSM's enrolment desk: takes one code, once, and its repetition with the same key."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.used_by: bytes | None = None
        self.asked = 0

    def __call__(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked += 1
        csr = x509.load_pem_x509_csr(request["csr"].encode())
        assert csr.is_signature_valid
        key = csr.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        if request["code"] != ENROLMENT_SECRET or self.used_by not in {None, spki}:
            return 404, {"title": "unknown", "detail": "no such code"}
        self.used_by = spki
        certificate = self.authority.issue(key, "device").decode()
        return 200, {"certificate": certificate, "ca": self.authority.pem.decode(), "ses": [SE_ID]}


class Peer:
    """A TLS 1.3 server that plays the central TSM's SERAM side and the network's gateway.

    `orders` are given one after the other: each to the first report that acknowledges the one before. `faults` are
    taken one for each request: "drop" closes the connection unanswered, "lose" handles the request and closes before
    the answer, an int is answered as a status.
    """

    def __init__(
        self, folder: Path, authority: Authority, *, client_ca: Authority | None = None, **life: dt.timedelta
    ) -> None:
        self.authority = authority
        self.orders: list[dict[str, Any]] = []
        self.raw_answers: deque[bytes] = deque()
        self.faults: deque[str | int] = deque()
        self.wakeups: deque[str] = deque()
        self.requests: list[tuple[str, str, bytes]] = []
        self.cookies: list[str] = []
        self.extended = True
        self.orders_of: dict[str, list[dict[str, Any]]] = {}
        self.takes_recovered = False
        self.recovered: list[dict[str, Any]] = []
        self.sessions: set[str] | None = None
        self.enrol: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]] | None = None
        self.first_request_at: dict[str, float] = {}
        self.changed = threading.Condition()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(*authority.write(folder, "server", "127.0.0.1", **life))
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            (folder / "client-ca.pem").write_bytes(client_ca.pem)
            context.load_verify_locations(folder / "client-ca.pem")
        self._server = _Server(("127.0.0.1", 0), _handler(self), context)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving; held requests end."""
        self._server.stopping = True
        self._server.shutdown()
        self._server.server_close()
        with self.changed:
            self.changed.notify_all()

    def reports(self) -> list[dict[str, Any]]:
        """Every report received, parsed."""
        return [json.loads(body) for _, path, body in self.requests if path == "/gp/seram/remoteManagement"]

    def answer(self, path: str, query: str, body: bytes, connection: socket.socket) -> tuple[int, bytes]:
        """Handle one request."""
        with self.changed:
            self.first_request_at.setdefault(path, time.monotonic())
            self.requests.append((query, path, body))
            self.changed.notify_all()
        if path == "/attach":
            return self._attach(float(parse_qs(query)["wait"][0]), connection)
        if path == "/ca":
            return 200, self.authority.pem
        if path in {"/enrol", "/renew"} and self.enrol is not None:
            status, document = self.enrol(json.loads(body))
            return status, json.dumps(document).encode()
        if path == "/opentsm/recovered-reports":
            if not self.takes_recovered:
                return 404, b""
            self.recovered += json.loads(body)["recovered"]
            return 204, b""
        return self._seram(path, query, body)

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Wait until a condition on what was received holds."""
        with self.changed:
            assert self.changed.wait_for(condition, timeout_s), f"still not so; requests: {len(self.requests)}"

    def _attach(self, wait_s: float, connection: socket.socket) -> tuple[int, bytes]:
        # An agent that was killed must not swallow the wake-up of the one that comes after it.
        gone = select.poll()
        gone.register(connection, select.POLLRDHUP)
        deadline = time.monotonic() + wait_s
        with self.changed:
            while not gone.poll(0) and not self.wakeups and not self._server.stopping and time.monotonic() < deadline:
                self.changed.wait(0.05)
            if gone.poll(0):
                return 204, b""
            wakeups = [{"session": self.wakeups.popleft()} for _ in range(len(self.wakeups))]
        return (200, json.dumps({"wakeups": wakeups}).encode()) if wakeups else (204, b"")

    def _seram(self, path: str, query: str, body: bytes) -> tuple[int, bytes]:
        session = parse_qs(query)["sessionId"][0]
        if self.sessions is not None and session not in self.sessions:
            return 404, b""
        if path == "/gp/seram/handshake":
            answer: dict[str, Any] = {
                "chosenTransportProtocol": "HTTPS",
                "chosenDataFormat": "application/json",
                "chosenDataProtocol": "application/json",
                "chosenVersion": "2.0.0",
            }
            return 200, json.dumps(answer | ({"opentsm": {"version": 1}} if self.extended else {})).encode()
        if self.raw_answers:
            return 200, self.raw_answers.popleft()
        return 200, json.dumps(self._next_order(json.loads(body), session)).encode()

    def _next_order(self, report: dict[str, Any], session: str) -> dict[str, Any]:
        if not self.extended:
            return (
                self.orders.pop(0) if self.orders else {"delay": 0, "ramCommands": [{"ramCommandType": "stopCommand"}]}
            )
        done = report.get("opentsm", {}).get("order", 0)
        orders = self.orders_of.get(session, self.orders)
        later = [order for order in orders if order["opentsm"]["order"] > done]
        return later[0] if later else {"delay": 20}


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler], context: ssl.SSLContext
    ) -> None:
        self.context = context
        self.stopping = False
        super().__init__(address, handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)
        except OSError:
            return  # refused, or gone


def _handler(peer: Peer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._handle(b"")

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) == length:
                self._handle(body)
            else:
                self.close_connection = True  # the client is gone

        def log_message(self, *args: object) -> None:
            del args

        def _handle(self, body: bytes) -> None:
            parts = urlsplit(self.path)
            peer.cookies.append(self.headers.get("Cookie", ""))
            fault = peer.faults.popleft() if peer.faults and parts.path != "/attach" else None
            if fault == "drop":
                with peer.changed:
                    peer.requests.append((parts.query, parts.path, body))
                self.close_connection = True
                return
            status, answer = peer.answer(parts.path, parts.query, body, self.connection)
            if fault == "lose":
                self.close_connection = True
                return
            self.send_response(fault if isinstance(fault, int) else status)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("Set-Cookie", "route=a; Path=/gp; HttpOnly")
            self.end_headers()
            if fault == "truncate":
                self.wfile.write(answer[: len(answer) // 2])
                self.close_connection = True
                return
            self.wfile.write(answer)

    return Handler


class CountingCard:
    """A card behind TCP with vpcd's framing: counts what it runs, and keeps a log over resets and connections.

    It answers INS 10 with 6985, and SELECT and anything else with 9000. `hook(n, c_apdu)` is called before the n-th
    C-APDU (from 0) is run; what it returns is answered instead, and when it raises ConnectionAbortedError nothing is.
    """

    def __init__(self, atr: bytes = ATR, *, port: int = 0) -> None:
        self.run: list[bytes] = []
        self.atr = atr
        self.resets = 0
        self.hook: Callable[[int, bytes], bytes | None] = lambda _number, _c_apdu: None
        self._connections: list[socket.socket] = []
        self._server = LoopbackServer(self.serve, port)
        self.port = self._server.port

    @property
    def uri(self) -> str:
        return f"tcp:127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the card away."""
        self._server.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def serve(self, connection: socket.socket) -> None:
        """Be this card on a connected socket, until either side closes it."""
        self._connections.append(connection)
        serve_vpcd(connection, self.transmit, self.reset, lambda: self.atr)

    def reset(self) -> bytes:
        """Be reset."""
        self.resets += 1
        return self.atr

    def transmit(self, c_apdu: bytes) -> bytes:
        """Run one C-APDU."""
        instead = self.hook(len(self.run), c_apdu)
        if instead is not None:
            return instead
        self.run.append(c_apdu)
        return bytes.fromhex("6985") if c_apdu[1] == 0x10 else c_apdu[5:8] + bytes.fromhex("9000")


def serve_vpcd(
    connection: socket.socket, answer: Callable[[bytes], bytes], reset: Callable[[], object], atr: Callable[[], bytes]
) -> None:
    """Be a card on a connected socket, until it closes."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, contextlib.suppress(OSError, EOFError):
        while True:
            message = receive(connection)
            if message == b"\x04":
                response = atr()
            elif len(message) == 1:
                if message in {b"\x01", b"\x02"}:
                    reset()
                continue
            else:
                response = answer(message)
            send(connection, response)


def se_order(number: int, c_apdus: Iterable[str], **members: Any) -> dict[str, Any]:
    """Return an order of one SE RAM command, expecting 9000 throughout."""
    listed = list(c_apdus)
    command = {"ramCommandType": "seRamCommand", "listOfCAPDU": listed, "expect": [{"sw": ["9000"]}] * len(listed)}
    return {
        "delay": 0,
        "chosenSecureElement": {"seType": "eSE", "seId": SE_ID},
        "ramCommands": [command | members],
        "opentsm": {"order": number},
    }


def stop_order(number: int) -> dict[str, Any]:
    """Return the order that ends a session."""
    return {"delay": 0, "ramCommands": [{"ramCommandType": "ramStopCommand"}], "opentsm": {"order": number}}


def write_config(folder: Path, authority: Authority, tsm_url: str, gateway_url: str, link: str) -> Path:
    """Write agent.toml with the identity that the authority issues."""
    authority.write(folder, "device", "device")
    (folder / "ca.pem").write_bytes(authority.pem)
    path = folder / "agent.toml"
    path.write_text(
        f'[tsm]\nurl = "{tsm_url}"\n[network]\ngateway = "{gateway_url}"\n'
        '[identity]\ncertificate = "device.pem"\nkey = "device.key"\nca = "ca.pem"\n'
        '[journal]\npath = "journal"\n'
        f'[[se]]\nid = "{SE_ID}"\ntype = "eSE"\nlink = "{link}"\ntimeout_s = 5\n'
    )
    return path
