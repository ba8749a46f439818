"""One persistent HTTPS connection to one server: TLS 1.3, the device's certificate, a pinned CA, nothing else trusted.

Standard library only: an HTTP client package would double the agent's memory. The connection is opened when it
is needed, and again after a failure; what is repeated after a failure, and when, is for the caller to say.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import msgspec

from opentsm_agent.clock import without_time
from opentsm_agent.timers import SYSTEM
from opentsm_card.errors import ProtocolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from opentsm_agent.clock import DeviceClock
    from opentsm_agent.timers import Timers

__all__ = ["HttpsClient", "Response", "client_context", "parse_base_url"]

_CONNECT_TIMEOUT_S: Final = 15.0
_MAX_BODY_BYTES: Final = 8 * 1024 * 1024
_MAX_COOKIES: Final = 16
_MAX_COOKIE_CHARACTERS: Final = 1024


class Response(msgspec.Struct, frozen=True):
    """An HTTP response: its status, 100..599, and its body."""

    status: int
    body: bytes


def parse_base_url(url: str) -> tuple[str, int, str]:
    """Parse `https://HOST[:PORT][/PATH]` into host, port and path without its last slash.

    Raises:
        ProtocolError: another scheme, no host, or a part that has no place here.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ProtocolError(f"URL {url!r}: a character that has no place in a URL")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        # What a socket does with the name.
        (host or "").encode("idna")
    except UnicodeError as error:
        raise ProtocolError(f"URL {url!r}: the host's name has a part that is empty or too long") from error
    except ValueError as error:
        raise ProtocolError(f"URL {url!r}: {error}") from error
    if parts.scheme != "https" or not host:
        raise ProtocolError(f"URL {url!r}: want https://HOST:PORT")
    if parts.query or parts.fragment or parts.username is not None:
        raise ProtocolError(f"URL {url!r}: no user, query or fragment belongs here")
    return host, port or 443, parts.path.rstrip("/")


def client_context(
    ca: Path, certificate: Path | None = None, key: Path | str | None = None, *, clock: DeviceClock | None = None
) -> ssl.SSLContext:
    """Make a TLS context that trusts one CA and shows one certificate.

    Args:
        ca: PEM file of the CA; nothing else is trusted.
        certificate: PEM file of the device's certificate, None to show none.
        key: PEM file of its private key, or the URI of one in a token or TPM.
        clock: tells the time in place of the system's clock; the clients with this context check times by it.

    Raises:
        ProtocolError: a file is missing or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cafile=str(ca))
    except OSError as error:  # ssl.SSLError is one
        raise ProtocolError(f"CA certificate {ca}: {_fault(error)}") from error
    if certificate is not None and isinstance(key, str):
        from opentsm_agent.hardware_keys import HardwareKey  # noqa: PLC0415 - few devices have one

        HardwareKey(key).use_in(context, certificate)
    elif certificate is not None:
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            raise ProtocolError(f"certificate {certificate} with key {key}: {_fault(error)}") from error
    return context if clock is None else without_time(context)


def _fault(error: OSError) -> str:
    """Say what is wrong with a PEM file."""
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    return "the key is another certificate's" if error.reason == "KEY_VALUES_MISMATCH" else "not PEM, or damaged"


class HttpsClient:
    """A connection to the server of a base URL; one thread asks, any thread may `interrupt`.

    Cookies that the server sets come back to it, and only over this client: each has a jar of its own.

    Args:
        base_url: `https://HOST:PORT`, with or without a path.
        context: from `client_context`.
        clock: the one that the context was made for, if any.
        teaches: the server is the TSM, whose time the clock takes over.
        timers: by which it waits.
    """

    def __init__(
        self,
        base_url: str,
        context: ssl.SSLContext,
        *,
        clock: DeviceClock | None = None,
        teaches: bool = False,
        timers: Timers = SYSTEM,
    ) -> None:
        self._host, self._port, self._base = parse_base_url(base_url)
        self._context = context
        self._clock = clock
        self._teaches = teaches
        self._timers = timers
        self._connection: http.client.HTTPSConnection | None = None
        self._cookies: dict[str, str] = {}
        self._lock = threading.Lock()
        self._interrupted = False

    @property
    def name(self) -> str:
        """Host and port, for people."""
        return f"{self._host}:{self._port}"

    @property
    def cookies(self) -> dict[str, str]:
        """A copy of the jar: values by name."""
        return dict(self._cookies)

    def fill_jar(self, cookies: Mapping[str, str]) -> None:
        """Put cookies of an earlier client of the same session into the jar."""
        self._cookies.update(cookies)

    @property
    def connected(self) -> bool:
        """True when a connection is open already, and so may have been closed by the server meanwhile."""
        return self._connection is not None

    def request(
        self, method: str, path: str, *, query: str = "", body: bytes | None = None, timeout_s: float = 60.0
    ) -> Response:
        """Ask once.

        Args:
            method: GET or POST.
            path: begins with a slash; follows the base URL's path.
            query: encoded query, without the question mark.
            body: a JSON document to post.
            timeout_s: how long to wait for an answer, in seconds.

        Raises:
            TransportError: no answer; whether the server has the request is unknown. The message holds no query.
        """
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        target = f"{self._base}{path}" + (f"?{query}" if query else "")
        try:
            connection = self._connect()
            if connection.sock is not None:
                connection.sock.settimeout(self._timers.real_s(timeout_s))
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            content = response.read(_MAX_BODY_BYTES + 1)
            if response.length and len(content) <= _MAX_BODY_BYTES:
                # A connection that was cut reads like one that was closed: what is missing tells.
                raise http.client.IncompleteRead(content, response.length)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise TransportError(f"{method} {self.name}{path}: {_reason(error)}") from error
        if len(content) > _MAX_BODY_BYTES:
            self.close()
            raise TransportError(f"{method} {self.name}{path}: an answer of more than {_MAX_BODY_BYTES} bytes")
        if self._clock is not None and self._teaches:
            self._clock.learn(response.headers["Date"])
        self._keep_cookies(response)
        if response.will_close:
            self.close()
        return Response(response.status, content)

    def interrupt(self) -> None:
        """End what is under way, and refuse what comes: a request in another thread raises `TransportError`."""
        with self._lock:
            self._interrupted = True
            connection = self._connection
        sock = connection.sock if connection is not None else None
        if sock is not None:
            try:
                # Not SSLSocket.shutdown, which drops the TLS state under the thread that is reading.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                return  # it is closed already

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the connection."""
        self.close()

    def _connect(self) -> http.client.HTTPSConnection:
        if self._connection is not None:
            return self._connection
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timers.real_s(_CONNECT_TIMEOUT_S), context=self._context
        )
        try:
            connection.connect()
            if self._clock is not None and isinstance(connection.sock, ssl.SSLSocket):
                der = connection.sock.getpeercert(binary_form=True)
                self._clock.check(der or b"", self.name)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._connection = connection
            interrupted = self._interrupted
        if interrupted:
            raise ConnectionAbortedError("the agent is stopping")
        return connection

    def _keep_cookies(self, response: http.client.HTTPResponse) -> None:
        for line in response.headers.get_all("Set-Cookie") or ():
            pair, *attributes = (part.strip() for part in line.split(";"))
            name, equals, value = pair.partition("=")
            if "max-age=0" in (attribute.lower() for attribute in attributes):
                self._cookies.pop(name, None)
            elif equals and len(pair) <= _MAX_COOKIE_CHARACTERS and self._has_room(name):
                self._cookies[name] = value

    def _has_room(self, name: str) -> bool:
        return name in self._cookies or len(self._cookies) < _MAX_COOKIES


def _reason(error: Exception) -> str:
    """Say what happened without the URL, which holds a session id."""
    match error:
        case TimeoutError():
            return "no answer in time"
        case ssl.SSLCertVerificationError():
            return f"its certificate does not verify: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS: {error.reason or 'failed'} (does the server accept this device's certificate?)"
        case ConnectionError() if error.strerror is None:
            return "the connection was closed"
        case OSError():
            return error.strerror or type(error).__name__
    return type(error).__name__
