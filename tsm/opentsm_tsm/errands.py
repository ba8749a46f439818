"""What runs beside the requests: waking devices over their own networks, and asking MNOs for their issuers' scripts.

Nothing here is remembered but in the database: after a restart the same look at it finds the same errands.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import httpx

from opentsm_card.errors import ProtocolError, TransportError
from opentsm_tsm import conversations, operations, sessions, tls
from opentsm_tsm.engine import operation_signal, se_signal
from opentsm_tsm.gateway_messages import PushRequest
from opentsm_tsm.signals import WORK_SIGNAL
from opentsm_tsm.wire import encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from opentsm_tsm.centre import Centre
    from opentsm_tsm.engine import Engine
    from opentsm_tsm.operations import OperationRow
    from opentsm_tsm.sessions import Session
    from opentsm_tsm.wire import Message

__all__ = ["Errands", "Gateways", "IssuerSteps"]

_log = logging.getLogger(__name__)

# A look at the database, in case the command line changed it.
_TICK_S: Final = 1.0
_FIRST_RETRY_S: Final = 0.5
_LONGEST_RETRY_S: Final = 8.0
_TIMEOUT_S: Final = 10.0
_ACCEPTED: Final = 202
# An agent that was woken and has been silent for so many times `silence_s` has lost its session, or its certificate.
_GONE: Final = 4
_SERVER_ERROR: Final = 500

T = TypeVar("T")


class IssuerSteps(Protocol):
    """The steps of operations that an MNO takes, because it holds the issuer's keys."""

    @property
    def phases(self) -> frozenset[str]:
        """The phases in which an operation waits for its MNO."""

    def question(self, operation: OperationRow) -> tuple[str, Message]:
        """Return what to ask the MNO, and under which path below `/se/{id}/`."""

    def answer(self, centre: Centre, operation: OperationRow, status: int, body: bytes) -> None:
        """Take the MNO's answer, inside a transaction."""


class Gateways:
    """The MNOs' gateways: an HTTPS client for each, which believes that MNO's CA only."""

    def __init__(self, centre: Centre) -> None:
        self._config = centre.config
        self._clients: dict[str, httpx.AsyncClient] = {}

    def _client(self, mno: str) -> httpx.AsyncClient:
        if mno not in self._clients:
            found = self._config.find_mno(mno)
            if found is None:
                raise ProtocolError(f"there is no mno {mno!r} in the configuration")
            config = self._config
            context = tls.client_context(
                config.path(config.certificate), config.path(config.key), [config.path(found.ca)]
            )
            self._clients[mno] = httpx.AsyncClient(base_url=found.gateway, verify=context, timeout=_TIMEOUT_S)
        return self._clients[mno]

    async def post(self, mno: str, path: str, message: object) -> httpx.Response:
        """Send a message to an MNO's gateway.

        Raises:
            TransportError: it can't be reached.
        """
        client = self._client(mno)
        try:
            return await client.post(path, content=encode(message), headers={"content-type": "application/json"})
        except httpx.HTTPError as error:
            # A TLS 1.3 refusal of our certificate shows up as an empty ReadError.
            raise TransportError(f"mno {mno}: {type(error).__name__} {error}".rstrip()) from error

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()


class Errands:
    """The loop that looks for errands and runs each as a task of its own, so that a slow network delays no other.

    Args:
        centre: database, keys, configuration.
        engine: knows when agents spoke last.
        issuer: takes what MNOs answer.
    """

    def __init__(self, centre: Centre, engine: Engine, issuer: IssuerSteps) -> None:
        self._centre = centre
        self._store = centre.store
        self._engine = engine
        self._issuer = issuer
        self._gateways = Gateways(centre)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}
        self._tries: dict[str, int] = {}

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            while True:
                for se in operations.ses_with_work(self._store):
                    self._look_at(se)
                conversations.end_idle(self._centre)
                self._centre.leave_no_trace()
                await self._centre.signals.wait(WORK_SIGNAL, self._pause_s())
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            await self._gateways.close()

    def _pause_s(self) -> float:
        due = (at - time.monotonic() for at in self._not_before.values())
        return min([_TICK_S, *(pause for pause in due if pause > 0)])

    def _look_at(self, se: str) -> None:
        """Start what is due for one SE."""
        waiting = (row for row in operations.open_of_se(self._store, se) if row.state != "in-doubt")
        operation = next(waiting, None)
        if operation is not None and operation.phase in self._issuer.phases:
            self._start(f"issuer {operation.number}", self._ask_issuer, operation)
        session = sessions.live(self._store, se)
        silence_s = self._centre.config.silence_s
        if session is not None and session.state == "open" and self._engine.silent_for(session) > _GONE * silence_s:
            self._engine.give_up(session.id)
            session = None
        if session is None:
            with self._store.transaction():
                session = sessions.create(self._store, se)
            self._tries.pop(f"push {se}", None)
            self._not_before.pop(f"push {se}", None)
        if session.state == "offered" or self._engine.silent_for(session) > silence_s:
            self._start(f"push {se}", self._push, session)

    def _start(self, name: str, errand: Callable[[T], Awaitable[bool]], subject: T) -> None:
        if name not in self._running and self._not_before.get(name, 0.0) <= time.monotonic():
            self._running[name] = asyncio.ensure_future(self._run(name, errand, subject))

    async def _run(self, name: str, errand: Callable[[T], Awaitable[bool]], subject: T) -> None:
        """Run one errand; one that is not done for good is due again after a while, and a longer one each time."""
        done = False
        try:
            done = await errand(subject)
        except (TransportError, ProtocolError) as error:
            _log.warning("%s: %s", name, error)
        finally:
            del self._running[name]
            if done:
                self._tries.pop(name, None)
                self._not_before.pop(name, None)
            else:
                tries = self._tries.get(name, 0)
                self._tries[name] = tries + 1
                self._not_before[name] = time.monotonic() + min(_FIRST_RETRY_S * 2.0**tries, _LONGEST_RETRY_S)
        self._centre.signals.notify(WORK_SIGNAL)

    async def _push(self, session: Session) -> bool:
        """Wake a device; it is woken again until it speaks, or has nothing to do any more."""
        se = self._centre.se(session.se)
        reply = await self._gateways.post(se.mno, "/push", PushRequest(se=se.id, session=session.id))
        if reply.status_code != _ACCEPTED:
            _log.warning("push to %s over %s: status %d", se.id, se.mno, reply.status_code)
        return False

    async def _ask_issuer(self, operation: OperationRow) -> bool:
        """Carry an operation through a step that is its MNO's."""
        se = self._centre.se(operation.se)
        path, message = self._issuer.question(operation)
        reply = await self._gateways.post(se.mno, f"/se/{se.id}/{path}", message)
        if reply.status_code >= _SERVER_ERROR:
            raise TransportError(f"mno {se.mno}: status {reply.status_code}")
        with self._store.transaction():
            current = operations.get(self._store, operation.number)
            if not current.final and current.phase == operation.phase:
                self._issuer.answer(self._centre, current, reply.status_code, reply.content)
        self._centre.signals.notify(operation_signal(operation))
        self._centre.signals.notify(se_signal(se.id))
        return True
