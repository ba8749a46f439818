"""The central TSM as an ASGI application: messaging for SP TSMs, SERAM for agents, enrolment, on one port.

| request | who |
| --- | --- |
| POST /gp/messaging/v2/{Function} | SP, MNO, operator, as `messages.FUNCTIONS` says |
| GET /gp/messaging/v2/operations, /operations/{id}?wait=20 | the operation's caller |
| POST /gp/messaging/v2/operations/{id}/resolve | the operation's caller |
| GET /gp/messaging/v2/audit?after=n, /ses/{id}; POST /enrolment-codes | operator |
| GET /gp/messaging/v2/openapi.json, /docs | anyone |
| POST /gp/seram/handshake, /gp/seram/remoteManagement; POST /renew | agents |
| POST /opentsm/recovered-reports | agents, for sessions that could not be resumed in time |
| POST /enrol, GET /ca | anyone |

Every route but the last two lines' needs a client certificate. Session ids are in query strings, so there is no
access log.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final, TypeVar

from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from opentsm_card.errors import ProtocolError
from opentsm_tsm import access, audit, enrolment, openapi, pki, queries, seram
from opentsm_tsm.engine import se_signal
from opentsm_tsm.messages import BASE, ResolveOperation
from opentsm_tsm.operator_messages import (
    AuditPage,
    CreateEnrolmentCode,
    EnrolmentCodeReply,
    EnrolRequest,
    RenewRequest,
)
from opentsm_tsm.problems import RefusalError, bad_request, forbidden
from opentsm_tsm.routing import application
from opentsm_tsm.tls import peer
from opentsm_tsm.wire import WireError, decode, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.applications import Starlette
    from starlette.requests import Request

    from opentsm_tsm.centre import Caller, Centre
    from opentsm_tsm.desk import Desk
    from opentsm_tsm.engine import Engine
    from opentsm_tsm.errands import Errands
    from opentsm_tsm.pki import CertificateAuthority, Identity
    from opentsm_tsm.wire import Message

__all__ = ["Front", "create_app"]

_MAX_BODY_BYTES: Final = 1 << 20
_MAX_WAIT_S: Final = 60.0
_MAX_DIGITS: Final = 18
_PROBLEM: Final = "application/problem+json"
_JSON: Final = "application/json"
_NOT_FOUND: Final = 404
_ORDER_COOKIE: Final = "opentsm-order"


def _document(message: Message, status: int = 200) -> Response:
    return Response(encode(message), status, media_type=_JSON)


def _problem(refusal: RefusalError) -> Response:
    return Response(encode(refusal.problem), refusal.problem.status, media_type=_PROBLEM)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise bad_request("$", "the body is too long")
    return bytes(body)


def _wait_s(request: Request) -> float:
    try:
        wait_s = float(request.query_params.get("wait", "0"))
    except ValueError:
        wait_s = -1.0
    if not 0.0 <= wait_s <= _MAX_WAIT_S:
        raise bad_request("wait", f"a number of seconds from 0 to {_MAX_WAIT_S:g}")
    return wait_s


class Front:
    """The handlers of all routes, and what they share.

    Args:
        centre: database, keys, configuration.
        desk: the messaging API.
        engine: the agents' side.
        authority: issues agents' certificates.
    """

    def __init__(self, centre: Centre, desk: Desk, engine: Engine, authority: CertificateAuthority) -> None:
        self._centre = centre
        self._desk = desk
        self._engine = engine
        self._authority = authority

    # ---- messaging -------------------------------------------------------------------------------------------

    def _caller(self, request: Request) -> Caller:
        """Return who calls.

        Raises:
            RefusalError: the certificate is missing, revoked, or for none of the roles.
        """
        identity = peer(request.scope)
        caller = access.caller_of(identity) if identity is not None else None
        if identity is None or caller is None:
            raise forbidden("no certificate of a caller")
        if enrolment.revoked(self._centre.store, identity.fingerprint):
            raise forbidden(f"revoked certificate of {caller}")
        return caller

    def _operator(self, request: Request) -> Caller:
        caller = self._caller(request)
        if caller.role != "operator":
            raise forbidden(f"{caller} is not the operator")
        return caller

    async def function(self, request: Request) -> Response:
        """Call a function."""
        caller = self._caller(request)
        reply = self._desk.call(caller, request.path_params["function"], await _body(request))
        return _document(reply.document, reply.status)

    async def operation(self, request: Request) -> Response:
        """Show an operation, after a wait for its end."""
        caller, name = self._caller(request), request.path_params["operation"]
        deadline = time.monotonic() + _wait_s(request)
        signal = self._desk.signal(caller, name)
        while True:
            found = self._desk.operation(caller, name)
            remaining_s = deadline - time.monotonic()
            if found.state in {"done", "failed", "in-doubt"} or remaining_s <= 0:
                return _document(found)
            await self._centre.signals.wait(signal, remaining_s)

    async def operations(self, request: Request) -> Response:
        """Show the caller's operations."""
        return _document(self._desk.operations(self._caller(request)))

    async def resolve(self, request: Request) -> Response:
        """Settle an operation in doubt."""
        caller = self._caller(request)
        decision = _decode(await _body(request), ResolveOperation)
        return _document(self._desk.resolve(caller, request.path_params["operation"], decision))

    async def audit(self, request: Request) -> Response:
        """Show the audit log."""
        self._operator(request)
        after = request.query_params.get("after", "0")
        if not after.isdecimal() or len(after) > _MAX_DIGITS:
            raise bad_request("after", "the number of an audit record")
        return _document(AuditPage(records=audit.read(self._centre.store, int(after))))

    async def se(self, request: Request) -> Response:
        """Show all that is believed of an SE."""
        return _document(queries.belief(self._centre, self._operator(request), request.path_params["se"]))

    async def enrolment_code(self, request: Request) -> Response:
        """Make an enrolment code."""
        caller = self._operator(request)
        wanted = _decode(await _body(request), CreateEnrolmentCode)
        certificate, valid_s = self._authority.certificate, self._centre.config.enrolment_s
        code, until = enrolment.create_code(self._centre.store, certificate, wanted.ses, valid_s, str(caller))
        return _document(EnrolmentCodeReply(code=code.encode(), until=until), 201)

    async def openapi(self, _request: Request) -> Response:
        """Show the API's description."""
        return Response(openapi.document(), media_type=_JSON)

    async def docs(self, _request: Request) -> Response:
        """Show the API to people."""
        return HTMLResponse(openapi.page())

    # ---- enrolment -------------------------------------------------------------------------------------------

    async def ca(self, _request: Request) -> Response:
        """Show the CA's certificate; an agent pins it by the fingerprint in its code."""
        return PlainTextResponse(pki.certificate_pem(self._authority.certificate))

    async def enrol(self, request: Request) -> Response:
        """Exchange a code for a certificate."""
        return _document(
            enrolment.enrol(self._centre.store, self._authority, _decode(await _body(request), EnrolRequest))
        )

    async def renew(self, request: Request) -> Response:
        """Exchange an agent's certificate for its next one."""
        identity = peer(request.scope)
        if identity is None:
            raise forbidden("no certificate of an agent")
        wanted = _decode(await _body(request), RenewRequest)
        return _document(enrolment.renew(self._centre.store, self._authority, identity, wanted))

    # ---- SERAM -----------------------------------------------------------------------------------------------

    def _agent(self, request: Request) -> tuple[str, Identity] | None:
        """Return the session that an agent names and its certificate; None when it has no usable one."""
        identity = peer(request.scope)
        session = request.query_params.get("sessionId", "")
        if identity is None or not identity.ids("se") or not session:
            return None
        return None if enrolment.revoked(self._centre.store, identity.fingerprint) else (session, identity)

    async def handshake(self, request: Request) -> Response:
        """SERAM: negotiate."""
        agent = self._agent(request)
        message = _decode(await _body(request), seram.Handshake)
        if agent is None:
            return Response(status_code=_NOT_FOUND)
        if not message.acceptable or not message.extended:
            return Response(status_code=406)
        reply = self._engine.handshake(*agent, message)
        return Response(status_code=_NOT_FOUND) if reply is None else Response(reply, media_type=_JSON)

    async def remote_management(self, request: Request) -> Response:
        """SERAM: take a report, and answer with the next order as soon as there is one, or with an empty one."""
        agent = self._agent(request)
        report = _decode(await _body(request), seram.Report)
        if agent is None:
            return Response(status_code=_NOT_FOUND)
        cookie = request.cookies.get(_ORDER_COOKIE, "")
        received = int(cookie) if cookie.isdecimal() and len(cookie) <= _MAX_DIGITS else None
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            body = self._engine.take(*agent, report, received)
            if body is None:
                body = await self._next_order(agent, gone)
        except LookupError:
            return Response(status_code=_NOT_FOUND)
        except ProtocolError as error:
            raise bad_request("$.opentsm.order", str(error)) from None
        finally:
            gone.cancel()
        response = Response(body, media_type=_JSON)
        if sent := self._engine.answered(*agent):
            # The agent keeps it in a jar of the session's own: whose report comes next, whatever the report says.
            response.set_cookie(
                _ORDER_COOKIE, str(sent), path=seram.BASE, secure=True, httponly=True, samesite="strict"
            )
        return response

    async def recovered(self, request: Request) -> Response:
        """Take reports of sessions that could not be resumed in time; what is not ours to settle is let go too."""
        identity = peer(request.scope)
        message = _decode(await _body(request), seram.RecoveredReports)
        if identity is None or not identity.ids("se") or enrolment.revoked(self._centre.store, identity.fingerprint):
            return Response(status_code=_NOT_FOUND)
        self._engine.recover(identity, message.recovered)
        return Response(status_code=204)

    async def _next_order(self, agent: tuple[str, Identity], gone: asyncio.Future[None]) -> bytes:
        """Wait for an order; without one, end the session when nobody needs it, or send the agent round again."""
        engine, config = self._engine, self._centre.config
        answered = engine.answered(*agent)
        started = time.monotonic()
        while not gone.done():
            body = engine.next_order(*agent, answered)
            if body is not None:
                return body
            se = engine.se_of(*agent)
            waited_s = time.monotonic() - started
            if not engine.wanted(se) and waited_s >= config.linger_s:
                body = engine.stop(*agent)
                if body is not None:
                    return body
            if waited_s >= config.poll_s:
                break
            limit_s = config.poll_s if engine.wanted(se) else config.linger_s
            pause_s = min(max(limit_s - waited_s, 0.01), engine.held_for(se) or config.poll_s, 1.0)
            await self._centre.signals.wait(se_signal(se), pause_s)
        return seram.empty_order()


T = TypeVar("T")


def _decode(document: bytes, kind: type[T]) -> T:
    try:
        return decode(document, kind)
    except WireError as error:
        raise bad_request(error.path, error.reason) from None


async def _disconnected(request: Request) -> None:
    """Return when the client hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def create_app(front: Front, desk: Desk, errands: Errands | None = None) -> Starlette:
    """Return the application.

    Args:
        front: its handlers.
        desk: where refusals are audited.
        errands: what runs beside the requests (wake-ups, the MNOs' scripts), while the application runs.
    """

    def guarded(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guard(request: Request) -> Response:
            try:
                return await handler(request)
            except RefusalError as refusal:
                identity = peer(request.scope)
                caller = access.caller_of(identity) if identity is not None else None
                if identity is not None or request.url.path == "/enrol":
                    # Someone without a certificate is refused without a write.
                    desk.refused(caller, request.url.path.rpartition("/")[2], refusal)
                return _problem(refusal)

        return guard

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        running = asyncio.ensure_future(errands.run()) if errands is not None else None
        try:
            yield
        finally:
            if running is not None:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running

    table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
        ("GET", f"{BASE}/operations", front.operations),
        ("GET", f"{BASE}/operations/{{operation}}", front.operation),
        ("POST", f"{BASE}/operations/{{operation}}/resolve", front.resolve),
        ("GET", f"{BASE}/audit", front.audit),
        ("GET", f"{BASE}/ses/{{se}}", front.se),
        ("POST", f"{BASE}/enrolment-codes", front.enrolment_code),
        ("GET", f"{BASE}/openapi.json", front.openapi),
        ("GET", f"{BASE}/docs", front.docs),
        ("POST", f"{BASE}/{{function}}", front.function),
        ("POST", f"{seram.BASE}/handshake", front.handshake),
        ("POST", f"{seram.BASE}/remoteManagement", front.remote_management),
        ("POST", seram.RECOVERED, front.recovered),
        ("GET", "/ca", front.ca),
        ("POST", "/enrol", front.enrol),
        ("POST", "/renew", front.renew),
    ]
    routes = [Route(path, guarded(handler), methods=[method]) for method, path, handler in table]
    return application(routes, lifespan)
