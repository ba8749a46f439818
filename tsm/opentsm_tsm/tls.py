"""TLS 1.3 with client certificates around starlette and uvicorn, and the client's side of it.

No ASGI server puts the client's certificate into a request's scope, so a small subclass of uvicorn's protocol does:
`scope["extensions"]["tls"]` is a dictionary with `client_cert_der` (DER, or None) beside the members of the ASGI TLS
extension. `peer(scope)` reads it. The chain has been verified by OpenSSL before any request is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from opentsm_card.errors import ProtocolError, TransportError
from opentsm_tsm import pki

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping
    from pathlib import Path
    from types import FrameType

    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["TlsProtocol", "client_context", "listen", "peer", "serve", "server_context", "serving"]

_BACKLOG: Final = 128
_GRACE_S: Final = 2
# How long a client may take for a whole request: nobody holds a connection with half of one.
_REQUEST_S: Final = 30.0


def server_context(
    certificate: Path, key: Path, client_cas: list[Path], *, client_certificate: bool = True
) -> ssl.SSLContext:
    """Return the context of a server.

    Args:
        certificate: PEM of the server's certificate, followed by its CA's, which is sent too.
        key: PEM of its key.
        client_cas: PEM files of the authorities whose client certificates are believed.
        client_certificate: False lets a client without a certificate in (for enrolment); routes must then refuse it.

    Raises:
        ProtocolError: a file is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context, certificate, key, client_cas)
    context.verify_mode = ssl.CERT_REQUIRED if client_certificate else ssl.CERT_OPTIONAL
    # A resumed session would carry the client's certificate past its end or its revocation.
    context.num_tickets = 0
    return context


def client_context(certificate: Path, key: Path, server_cas: list[Path]) -> ssl.SSLContext:
    """Return the context of a client that shows a certificate and believes servers of these authorities only.

    Raises:
        ProtocolError: a file is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context, certificate, key, server_cas)
    return context


def _harden(context: ssl.SSLContext, certificate: Path, key: Path, cas: list[Path]) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    for path in (certificate, key, *cas):
        if not path.is_file():
            raise ProtocolError(f"{path}: no such file")
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        why = "the key is another certificate's" if error.reason == "KEY_VALUES_MISMATCH" else "not PEM, or damaged"
        raise ProtocolError(f"{certificate}, {key}: not a certificate and its key ({why})") from None
    for path in cas:
        try:
            context.load_verify_locations(path)
        except ssl.SSLError:
            raise ProtocolError(f"{path}: not a CA certificate in PEM") from None


class TlsProtocol(H11Protocol):
    """uvicorn's h11 protocol, which also tells the application who the client is."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn's own
        """Wrap the application for this connection, so that every scope carries the TLS extension."""
        super().connection_made(transport)
        tls_object = transport.get_extra_info("ssl_object")
        der = tls_object.getpeercert(binary_form=True) if tls_object is not None else None
        extension = {
            "server_cert": None,
            "client_cert_chain": (ssl.DER_cert_to_PEM_cert(der),) if der else (),
            "client_cert_name": None,
            "client_cert_error": None,
            "tls_version": 0x0304 if tls_object is not None else None,
            "cipher_suite": None,
            "client_cert_der": der,
        }
        inner: ASGIApp = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})["tls"] = extension
            await inner(scope, receive, send)

        self.app = app
        self._limit()

    def data_received(self, data: bytes) -> None:
        """Take bytes; whoever has begun a request must end it in time, however slowly it drips."""
        super().data_received(data)
        if self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._unlimit()
        elif self._late is None:
            self._limit()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up."""
        self._unlimit()
        super().connection_lost(exc)

    def _limit(self) -> None:
        self._late = self.loop.call_later(_REQUEST_S, self.transport.abort)

    def _unlimit(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def peer(scope: MutableMapping[str, Any]) -> pki.Identity | None:
    """Return whom the client's certificate speaks for, or None without one."""
    der = scope.get("extensions", {}).get("tls", {}).get("client_cert_der")
    return pki.identity(der) if der else None


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 is any free one (`.getsockname()[1]` tells).

    Raises:
        TransportError: the address is not to be had.
    """
    try:
        sock = socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        # Its text repeats the address.
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror
        raise TransportError(f"cannot listen on {host}:{port}: {reason}") from error
    # Inherited by every connection. asyncio sets it only where the socket names its protocol, which this one does not;
    # without it each answer waits some 40 ms for the acknowledgement of its head.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it is ready."""

    on_ready: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.on_ready is not None:
            self.on_ready()


def _server(app: ASGIApp, context: ssl.SSLContext) -> _Server:
    config = uvicorn.Config(
        app,
        http=TlsProtocol,
        ws="none",
        loop="asyncio",
        ssl_context_factory=lambda _config, _default: context,
        log_config=None,
        # An access log would hold session ids: they are in the query string.
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_S,
        proxy_headers=False,
    )
    return _Server(config)


def serve(
    app: ASGIApp, context: ssl.SSLContext, sock: socket.socket, *, on_ready: Callable[[], None] | None = None
) -> None:
    """Serve an application on a listening socket until SIGTERM or SIGINT.

    Args:
        app: the application.
        context: from `server_context`.
        sock: from `listen`.
        on_ready: called once, when requests are served.
    """
    server = _server(app, context)
    server.on_ready = on_ready
    # uvicorn raises the signal that ended it once more; by default SIGTERM would then kill before anything is closed.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(server.serve(sockets=[sock]))
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def serving(app: ASGIApp, context: ssl.SSLContext, *, host: str = "127.0.0.1") -> Iterator[int]:
    """Serve an application on a thread and any free port while the `with` block runs; gives the port.

    Raises:
        TransportError: it did not start.
    """
    with listen(host, 0) as sock:
        server = _server(app, context)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])), daemon=True)
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise TransportError("the server did not start")
                thread.join(0.005)
            yield sock.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
