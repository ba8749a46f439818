"""The SP TSM's side of the messaging API: one request, one answer, and an operation waited for to its end.

Every request may be repeated: queries change nothing, and an operation carries an id chosen here, under which the
central TSM does it once. So a central TSM that dies and comes back is waited for, up to the configured patience.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, TypeVar

import httpx

from opentsm_card.errors import OpenTsmError, TransportError
from opentsm_tsm import tls
from opentsm_tsm.messages import BASE, FUNCTIONS, Accepted, Operation, OperationPage, Problem, ResolveOperation
from opentsm_tsm.wire import Message, Request, WireError, decode, encode

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_tsm.messages import OperationState

__all__ = ["RefusedError", "TsmClient"]

_log: Final = logging.getLogger(__name__)

_WAIT_S: Final = 20
_TIMEOUT_S: Final = 30.0
_FIRST_PAUSE_S: Final = 0.05
_LAST_PAUSE_S: Final = 1.0
_FINAL: Final[frozenset[OperationState]] = frozenset({"done", "failed", "in-doubt"})

M = TypeVar("M", bound=Message)


class RefusedError(OpenTsmError):
    """The central TSM refused a request, or an operation failed there.

    Args:
        problem: its problem document. Spec: RFC 9457.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        text = problem.title if problem.detail is None else f"{problem.title}: {problem.detail}"
        super().__init__(f"the central TSM refused: {text}")


class TsmClient:
    """A connection to the central TSM with this SP's client certificate.

    Args:
        url: https://HOST:PORT.
        certificate: PEM file of the client certificate; `key` of its key.
        key: PEM file.
        ca: PEM file of the authority of the central TSM's certificate.
        patience_s: how long a request is repeated while the central TSM can't be reached.
    """

    def __init__(self, url: str, certificate: Path, key: Path, ca: Path, *, patience_s: float = 60.0) -> None:
        self._patience_s = patience_s
        self._ca = ca
        self._http = httpx.Client(
            base_url=url,
            verify=tls.client_context(certificate, key, [ca]),
            timeout=_TIMEOUT_S,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send a request until it is answered or patience ends; return the body of a 2xx answer.

        Raises:
            RefusedError: the central TSM answered with a problem.
            TransportError: it could not be reached.
        """
        end = time.monotonic() + self._patience_s
        pause_s = _FIRST_PAUSE_S
        headers = {"content-type": "application/json"} if body is not None else {}
        told = False
        while True:
            try:
                response = self._http.request(method, path, content=body, headers=headers)
            except httpx.HTTPError as error:
                reason = _reason(error)
                if "CERTIFICATE_VERIFY_FAILED" in reason:
                    # Another try meets the same certificate.
                    raise TransportError(
                        f"central TSM at {self._http.base_url}: its certificate is not from the CA in {self._ca}"
                    ) from error
                if time.monotonic() + pause_s > end:
                    raise TransportError(f"central TSM at {self._http.base_url}: {reason}") from error
                if not told:
                    _log.info(
                        "central TSM at %s: %s; trying again, up to %g s", self._http.base_url, reason, self._patience_s
                    )
                    told = True
            else:
                if response.status_code < 300:
                    return response.content
                if response.status_code not in {502, 503} or time.monotonic() + pause_s > end:
                    raise RefusedError(_problem(response))
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, _LAST_PAUSE_S)

    def query(self, request: Request, reply: type[M]) -> M:
        """Ask, and return the reply.

        Raises:
            RefusedError: refused.
            TransportError: no answer.
            ProtocolError: the request or the reply is not what the API says.
        """
        document = encode(request)
        # What the API can't take is found here.
        decode(document, type(request))
        return decode(self._send("POST", f"{BASE}/{type(request).__name__}", document), reply)

    def start(self, function: str, body: bytes) -> Accepted:
        """Send an operation's request, byte for byte; the central TSM does it once, however often it is sent."""
        return decode(self._send("POST", f"{BASE}/{function}", body), Accepted)

    def wait(self, operation_id: str) -> Operation:
        """Return an operation once it is done, failed or in doubt."""
        while True:
            operation = self.operation(operation_id, wait_s=_WAIT_S)
            if operation.state in _FINAL:
                return operation
            _log.info("%s is %s (%s): waiting for the SE", operation.function, operation.state, operation.phase)

    def operation(self, operation_id: str, *, wait_s: int = 0) -> Operation:
        """Return an operation as it stands, or when it ends within `wait_s`."""
        return decode(self._send("GET", f"{BASE}/operations/{operation_id}?wait={wait_s}"), Operation)

    def operations(self) -> tuple[Operation, ...]:
        """Return this SP's operations at the central TSM."""
        return decode(self._send("GET", f"{BASE}/operations"), OperationPage).operations

    def resolve(self, operation_id: str, message: ResolveOperation) -> None:
        """Settle an operation in doubt at the central TSM."""
        self._send("POST", f"{BASE}/operations/{operation_id}/resolve", encode(message))


def result_of(operation: Operation, kind: type[M]) -> M:
    """Return the result of an operation that is done.

    Raises:
        RefusedError: it failed.
        ProtocolError: its result is not of the kind.
    """
    if operation.state != "done" or operation.result is None:
        problem = operation.problem or Problem(type="about:blank", title=f"{operation.function} failed", status=500)
        raise RefusedError(problem)
    return decode(encode(operation.result), kind)


def reply_type(function: str) -> type[Message]:
    """Return the type of a function's reply or result."""
    return FUNCTIONS[function].reply


def _reason(error: httpx.HTTPError) -> str:
    """Say why no answer came: a TLS 1.3 refusal of our certificate looks like a hang-up, or like nothing at all."""
    if isinstance(error, (httpx.RemoteProtocolError, httpx.ReadError)):
        return f"{str(error).rstrip('.') or 'hung up'} (is this client certificate accepted there?)"
    return str(error) or type(error).__name__


def _problem(response: httpx.Response) -> Problem:
    try:
        return decode(response.content, Problem)
    except WireError:
        return Problem(type="about:blank", title=f"HTTP {response.status_code}", status=response.status_code)
