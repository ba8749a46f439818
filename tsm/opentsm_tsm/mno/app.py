"""The HTTPS side of a mobile network's gateway.

| request | who | answer |
| --- | --- | --- |
| GET /attach?wait=25 | a device of this network | 200 with its wake-ups, or 204 after the wait |
| POST /push | the central TSM | 202, 404 (no SE of this network), 504 (its device is offline) |
| POST /se/{id}/issuer-script | the central TSM | a script of the UICC's issuer security domain |
| POST /se/{id}/issuer-result | the central TSM | what its answers prove |
| GET /log | this network's operator | the pushes, without session identifiers |

Whoever is not let in gets the same 404 as for a path that is not there. Refusals are RFC 9457 problem documents.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import math
from typing import TYPE_CHECKING, Final

from starlette.responses import Response
from starlette.routing import Route

from opentsm_card.errors import OpenTsmError
from opentsm_tsm.gateway_messages import (
    IssuerAnswers,
    IssuerOutcome,
    IssuerRequest,
    IssuerScript,
    PushRequest,
    WakeUp,
    WakeUps,
)
from opentsm_tsm.messages import Problem
from opentsm_tsm.mno.messages import PushLog, PushRecord
from opentsm_tsm.routing import application
from opentsm_tsm.tls import peer
from opentsm_tsm.wire import WireError, decode, encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.applications import Starlette
    from starlette.requests import Request

    from opentsm_tsm.mno.broker import Broker
    from opentsm_tsm.mno.config import MnoConfig
    from opentsm_tsm.mno.hub import Hub
    from opentsm_tsm.mno.issuer import Issuer
    from opentsm_tsm.mno.store import MnoStore
    from opentsm_tsm.pki import Identity

__all__ = ["create_app"]

_MAX_WAIT_S: Final = 60.0
_MAX_BODY_BYTES: Final = 1 << 18
_JSON: Final = "application/json"


class _RefusalError(Exception):
    """A request ends here, with this problem."""

    def __init__(self, status: int, title: str, detail: str | None = None, path: str | None = None) -> None:
        self.problem = Problem(type="about:blank", title=title, status=status, detail=detail, path=path)
        super().__init__(title)


def _problem(problem: Problem) -> Response:
    return Response(encode(problem), problem.status, media_type="application/problem+json")


def _pinned(identity: Identity | None, pins: tuple[str, ...]) -> bool:
    if identity is None:
        return False
    shown = identity.fingerprint.hex()
    return any(hmac.compare_digest(shown, pin.lower().replace(":", "")) for pin in pins)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise _RefusalError(413, "The request is too long")
    return bytes(body)


def _wait_s(request: Request) -> float:
    try:
        wait_s = float(request.query_params.get("wait", "25"))
    except ValueError:
        wait_s = math.nan
    if math.isnan(wait_s):
        raise _RefusalError(400, "wait is no number of seconds", path="wait")
    return min(max(wait_s, 0.0), _MAX_WAIT_S)


class _Gateway:
    """The handlers of one gateway, and what they share."""

    def __init__(
        self, config: MnoConfig, hub: Hub, store: MnoStore, issuer: Issuer | None, broker: Broker | None
    ) -> None:
        self._broker = broker
        self._config = config
        self._hub = hub
        self._store = store
        self._issuer = issuer
        self._devices = {device.se: device for device in config.device}

    def _subscribed(self, identity: Identity | None) -> frozenset[str]:
        """Return the SEs of this network that a certificate speaks for."""
        if identity is None:
            return frozenset()
        known = (self._devices[se] for se in identity.ids("se") if se in self._devices)
        return frozenset(d.se for d in known if not d.certificate or _pinned(identity, (d.certificate,)))

    def _only(self, request: Request, pins: tuple[str, ...]) -> None:
        if not _pinned(peer(request.scope), pins):
            raise _RefusalError(404, "Not found")

    async def attach(self, request: Request) -> Response:
        """Hold a device's long poll until it is pushed, the wait is over, or it hangs up."""
        identity = peer(request.scope)
        ses = self._subscribed(identity)
        if identity is None or not ses:
            raise _RefusalError(404, "Not found")
        wait_s = _wait_s(request)
        device = identity.fingerprint.hex()
        waiting = asyncio.create_task(self._hub.wait(device, ses, wait_s))
        gone = asyncio.create_task(_disconnected(request))
        try:
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waiting
                self._hub.detach(device)
                return Response(status_code=204)
            sessions = waiting.result()
        finally:
            gone.cancel()
        if not sessions:
            return Response(status_code=204)
        return Response(encode(WakeUps(wakeups=tuple(WakeUp(session=s) for s in sessions))), media_type=_JSON)

    async def push(self, request: Request) -> Response:
        """Wake the device of an SE, and log that it was tried."""
        self._only(request, self._config.peers.tsm)
        message = decode(await _body(request), PushRequest)
        if message.se not in self._devices:
            self._store.log_push(message.se, "unknown")
            raise _RefusalError(404, "The SE is not of this network")
        delivered = self._hub.push(message.se, message.session)
        if not delivered and self._broker is not None:
            delivered = self._broker.publish(message.se, message.session)
        self._store.log_push(message.se, "delivered" if delivered else "offline")
        if not delivered:
            raise _RefusalError(504, "The device is offline")
        return Response(status_code=202)

    async def log(self, request: Request) -> Response:
        """Show the push log to the operator."""
        self._only(request, self._config.peers.operator)
        pushes = tuple(PushRecord(at=p.at, se=p.se, outcome=p.outcome) for p in self._store.pushes())
        online = tuple(sorted(self._hub.online()))
        return Response(encode(PushLog(mno=self._config.mno.id, online=online, pushes=pushes)), media_type=_JSON)

    def _issuer_of(self, request: Request) -> tuple[Issuer, str]:
        self._only(request, self._config.peers.tsm)
        se = request.path_params["se"]
        if self._issuer is None or not self._issuer.knows(se):
            raise _RefusalError(404, "The SE is not of this network")
        return self._issuer, se

    async def issuer_script(self, request: Request) -> Response:
        """Hand out a script of a UICC's issuer."""
        issuer, se = self._issuer_of(request)
        message = decode(await _body(request), IssuerRequest)
        if not issuer.allows(se, message.action):
            raise _RefusalError(403, "This network does not let the central TSM do that")
        script = issuer.script(se, message.action, message.counter)
        return Response(encode(IssuerScript(target=script.target, script=script.entries)), media_type=_JSON)

    async def issuer_result(self, request: Request) -> Response:
        """Verify the answers to the SE's last issuer script."""
        issuer, se = self._issuer_of(request)
        message = decode(await _body(request), IssuerAnswers)
        outcome = issuer.verify(se, tuple(bytes(answer) for answer in message.answers))
        reply = IssuerOutcome(verified=outcome.verified, state=outcome.state, retry=outcome.retry)
        return Response(encode(reply), media_type=_JSON)


async def _disconnected(request: Request) -> None:
    """Return when the client hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _guarded(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Turn refusals and bad input into problem documents."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except _RefusalError as refusal:
            return _problem(refusal.problem)
        except WireError as error:
            problem = Problem(type="about:blank", title="Bad request", status=400, detail=error.reason, path=error.path)
            return _problem(problem)
        except OpenTsmError as error:
            return _problem(Problem(type="about:blank", title="Refused", status=409, detail=str(error)))

    return guarded


def create_app(
    config: MnoConfig, hub: Hub, store: MnoStore, issuer: Issuer | None, broker: Broker | None = None
) -> Starlette:
    """Return the gateway as an ASGI application.

    Args:
        config: its mno.toml.
        hub: the attached devices.
        store: its sqlite file.
        issuer: the keys of its UICCs' issuer security domains, or None where it has none.
        broker: where devices that hold no request subscribe for wake-ups, or None.
    """
    gateway = _Gateway(config, hub, store, issuer, broker)
    routes = [
        Route("/attach", _guarded(gateway.attach), methods=["GET"]),
        Route("/push", _guarded(gateway.push), methods=["POST"]),
        Route("/log", _guarded(gateway.log), methods=["GET"]),
        Route("/se/{se}/issuer-script", _guarded(gateway.issuer_script), methods=["POST"]),
        Route("/se/{se}/issuer-result", _guarded(gateway.issuer_result), methods=["POST"]),
    ]
    return application(routes)
