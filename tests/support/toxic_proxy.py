"""A proxy between the agent and its TSM that ends TLS on both sides, and cuts the network at a byte of a message.

It has the TSM's certificate and key towards the agent and the agent's towards the TSM, so it sees each HTTP message
whole, and keeps them. `cut` says where the next cut falls; it falls once.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import parse_qs, urlsplit

from loopback_server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["PLACES", "Cut", "Exchange", "ToxicProxy"]

Direction = Literal["request", "response"]
# Where in a message the network ends: how many of its bytes pass.
PLACES: Final[dict[str, Callable[[bytes], int]]] = {
    "before": lambda _message: 0,
    "first byte": lambda _message: 1,
    "within the headers": lambda message: message.index(b"\r\n\r\n") // 2,
    "behind the headers": lambda message: message.index(b"\r\n\r\n") + 4,
    "within the body": lambda message: (message.index(b"\r\n\r\n") + 4 + len(message)) // 2,
    "but for the last byte": lambda message: len(message) - 1,
    "behind": len,
}
_CONNECT_S: Final = 10.0


@dataclass(frozen=True)
class Cut:
    """One cut of the network.

    Args:
        exchange: which request from now on, from 0; one that is under way already is the first.
        direction: in the request or in its response.
        place: of `PLACES`.
        reset: end the connections by RST, or else by FIN.
    """

    exchange: int
    direction: Direction
    place: str
    reset: bool


@dataclass(frozen=True)
class Exchange:
    """One request and its response, as far as they came; bodies only. `at` is when, by the rig's count."""

    at: int
    path: str
    session: str
    request: bytes
    response: bytes


class ToxicProxy:
    """A listening proxy.

    Args:
        upstream: host and port of the TSM.
        server: PEM files that the TSM shows: certificate and key.
        client: PEM files that the agent shows: certificate and key; read for each connection.
        ca: PEM file of the CA of both.
        now: the rig's count.
    """

    def __init__(
        self,
        upstream: tuple[str, int],
        server: tuple[Path, Path],
        client: tuple[Path, Path],
        ca: Path,
        now: Callable[[], int],
    ) -> None:
        self._now = now
        self._upstream = upstream
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.load_cert_chain(*server)
        self._server.num_tickets = 0
        self._client = ssl.create_default_context(cafile=str(ca))
        self._client.load_cert_chain(*client)
        self._client.check_hostname = False
        self._lock = threading.Lock()
        self._cut: Cut | None = None
        self._count = self._first = self._under_way = 0
        self.fired = threading.Event()
        self.exchanges: list[Exchange] = []
        self._listener = LoopbackServer(self._serve)

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"https://127.0.0.1:{self._listener.port}"

    def cut(self, cut: Cut) -> None:
        """Have the network cut once."""
        with self._lock:
            self._cut, self._first = cut, self._count - self._under_way
            self.fired.clear()

    def mend(self) -> None:
        """Cut nothing any more."""
        with self._lock:
            self._cut = None

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _serve(self, agent: socket.socket) -> None:
        agent.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError, EOFError), agent:
            outside = self._server.wrap_socket(agent, server_side=True)
            with outside, socket.create_connection(self._upstream, _CONNECT_S) as plain:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                plain.settimeout(None)
                with self._client.wrap_socket(plain) as inside:
                    while self._pass_one(outside, inside):
                        pass

    def _pass_one(self, outside: ssl.SSLSocket, inside: ssl.SSLSocket) -> bool:
        """Pass one exchange on; False when the network was cut."""
        head = _read_head(outside)
        with self._lock:
            number = self._count
            self._count += 1
            self._under_way += 1
        try:
            request = head + _read_body(outside, head)
            if not self._forward(request, inside, self._falls(number, "request"), (outside, inside)):
                self._keep(request, b"")
                return False
            response = _read_head(inside)
            response += _read_body(inside, response)
            self._keep(request, response)
        finally:
            with self._lock:
                self._under_way -= 1
        return self._forward(response, outside, self._falls(number, "response"), (outside, inside))

    def _falls(self, number: int, direction: Direction) -> Cut | None:
        """Return the cut that falls into this message, once."""
        with self._lock:
            cut = self._cut
            if cut is None or cut.direction != direction or self._first + cut.exchange != number:
                return None
            self._cut = None
            return cut

    def _forward(
        self,
        message: bytes,
        to: ssl.SSLSocket,
        cut: Cut | None,
        both: tuple[ssl.SSLSocket, ssl.SSLSocket],
    ) -> bool:
        if cut is None:
            to.sendall(message)
            return True
        to.sendall(message[: PLACES[cut.place](message)])
        for end in both:
            if cut.reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
        self.fired.set()
        return False

    def _keep(self, request: bytes, response: bytes) -> None:
        line, _, _ = request.partition(b"\r\n")
        target = urlsplit(line.split(b" ")[1].decode())
        session = parse_qs(target.query).get("sessionId", [""])[0]
        with self._lock:
            self.exchanges.append(Exchange(self._now(), target.path, session, _body(request), _body(response)))


def _body(message: bytes) -> bytes:
    return message.partition(b"\r\n\r\n")[2]


def _read_head(end: ssl.SSLSocket) -> bytes:
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        # One byte at a time, out of what TLS has decrypted: nothing of the body may be taken.
        part = end.recv(1)
        if not part:
            raise EOFError
        received += part
    return received


def _read_body(end: ssl.SSLSocket, head: bytes) -> bytes:
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    received = b""
    while len(received) < length:
        part = end.recv(length - len(received))
        if not part:
            raise EOFError
        received += part
    return received
