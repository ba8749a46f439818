"""A SERAM session: the handshake, and the connection on which report and order then take turns.

What is posted is posted until there is an answer, the same bytes each time, with pauses that grow; after five minutes
without one the session is at an end, and a report that nobody has taken is told outside of it (`recovery`). A session
that the journal has is gone on with, without another handshake and with the cookies that it had.

Spec: GP SERAM 2.0.0, /handshake and /remoteManagement.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from opentsm_agent.handshake import encode_handshake, parse_handshake_response
from opentsm_agent.journal_records import session_mark
from opentsm_agent.timers import SYSTEM, Backoff, Timers
from opentsm_card.errors import OpenTsmError, ProtocolError, TransportError

if TYPE_CHECKING:
    from opentsm_agent.events import Events
    from opentsm_agent.http import HttpsClient
    from opentsm_agent.journal import Journal
    from opentsm_agent.journal_records import SessionState
    from opentsm_agent.secure_elements import SecureElements

__all__ = ["MAX_BACKOFF_S", "Device", "Session", "SessionDroppedError"]

MAX_BACKOFF_S: Final = 30.0
"""The longest wait before something is sent again, in seconds."""

RESUME_S: Final = 300.0
"""How long a failed exchange is tried again before its session is at an end: SERAM's five minutes, in seconds."""

_BASE: Final = "/gp/seram"
_ANSWER_TIMEOUT_S: Final = 60.0
_TRY_AGAIN: Final = frozenset({408, 425, 429})


class SessionDroppedError(OpenTsmError):
    """The TSM does not have this session, or refuses it, or speaks no SERAM."""


class _StoppedError(Exception):
    """The agent is stopping; the journal has what is needed to go on."""


class Device(msgspec.Struct, frozen=True):
    """What all sessions of an agent share."""

    tsm_url: str
    elements: SecureElements
    journal: Journal
    events: Events
    timers: Timers = SYSTEM


class Session:
    """One session; `run` in a thread of its own, `kick` and `stop` from any.

    Args:
        device: what it shares with other sessions.
        session: its id, which is a secret between the device and its TSM.
        client: a connection to the TSM that no other session uses.
    """

    def __init__(self, device: Device, session: str, client: HttpsClient) -> None:
        self._device = device
        self._session = session
        self._client = client
        self._query = f"sessionId={quote(session, safe='')}"
        self._kicked = threading.Event()
        self._stopping = False
        self._phase = "opening"
        self.since = device.timers.now()

    @property
    def facts(self) -> dict[str, object]:
        """What an operator may know of it: nothing that would let anyone take part in it."""
        state = self._device.journal.state.sessions.get(self._session)
        order = state.current if state is not None else None
        return {
            "session": session_mark(self._session),
            "state": self._phase,
            "for_s": round(self._device.timers.now() - self.since, 1),
            "last_order": state.last_order if state is not None else 0,
            "se": order.started.se if order is not None else None,
            "unreported": order is not None and order.report is None,
        }

    def run(self) -> None:
        """Hold the session until it is stopped, by either side, or dropped.

        Raises:
            JournalWriteError: the journal can't be written; nothing was sent to a secure element since.
        """
        device, events = self._device, self._device.events
        try:
            state = self._open()
            self._phase = "open"
            # The first handshake of a woken agent need not wait for what only orders need.
            from opentsm_agent.conversation import Conversation  # noqa: PLC0415 - as said above

            Conversation(device, state, self.report, self.wait).run()
            events.emit("session-ended", reason="stopped by the TSM")
        except SessionDroppedError as error:
            if self._session in device.journal.state.sessions:
                device.journal.end_session(self._session, keep=True)
            events.emit("session-ended", reason=str(error))
        except _StoppedError:
            events.emit("session-suspended")
        finally:
            self._client.close()

    def kick(self) -> None:
        """End a wait: the TSM asks for this session."""
        self._kicked.set()

    def stop(self) -> None:
        """Let `run` end soon: after the running script, if there is one; the session can be resumed."""
        self._stopping = True
        self._client.interrupt()
        self._kicked.set()

    def report(self, report: bytes) -> bytes:
        """Post a report, and return the order that answers it; for the session's own thread."""
        return self._post("/remoteManagement", report)

    def wait(self, seconds: float) -> None:
        """Wait, but no longer than until a kick or stop; for the session's own thread."""
        self._device.timers.wait(self._kicked, seconds)
        self._kicked.clear()
        self._check_stopping()

    def _open(self) -> SessionState:
        journal = self._device.journal
        known = journal.state.sessions.get(self._session)
        if known is not None:
            self._client.fill_jar(known.cookies)
            self._device.events.emit("session-resumed", last_order=known.last_order)
            return known
        answer = self._post("/handshake", encode_handshake(self._device.elements.elements))
        try:
            extended = parse_handshake_response(answer)
        except ProtocolError as error:
            raise SessionDroppedError(str(error)) from error
        self._device.events.emit("session-started", tsm=self._client.name, extended=extended)
        state = journal.open_session(self._session, self._device.tsm_url, extended=extended)
        self._keep_cookies()
        return state

    def _keep_cookies(self) -> None:
        """Keep what the TSM has put into the jar, so that a restarted agent brings it back."""
        state = self._device.journal.state.sessions.get(self._session)
        if state is not None and state.cookies != (cookies := self._client.cookies):
            self._device.journal.keep_cookies(self._session, cookies)

    def _post(self, path: str, body: bytes) -> bytes:
        """Post until there is an answer, the same bytes each time.

        Raises:
            SessionDroppedError: the TSM does not have this session, or refuses it, or can't be reached for too long.
            _StoppedError: the agent is stopping.
        """
        timers = self._device.timers
        backoff = Backoff(most_s=MAX_BACKOFF_S)
        failing_since: float | None = None
        while True:
            self._check_stopping()
            fresh = not self._client.connected
            try:
                response = self._client.request(
                    "POST", _BASE + path, query=self._query, body=body, timeout_s=_ANSWER_TIMEOUT_S
                )
            except TransportError as error:
                problem = str(error)
                if not fresh:
                    continue  # most likely an idle connection that the server had closed meanwhile
            else:
                if response.status == 200:
                    self._phase = "open"
                    self._keep_cookies()
                    return response.body
                if response.status < 500 and response.status not in _TRY_AGAIN:
                    reason = "unknown to the TSM" if response.status == 404 else f"refused with {response.status}"
                    raise SessionDroppedError(reason)
                problem = f"the TSM answers {response.status}"
            self._check_stopping()
            failing_since = timers.now() if failing_since is None else failing_since
            if timers.now() - failing_since >= RESUME_S:
                raise SessionDroppedError(f"nothing came through for {RESUME_S / 60:g} minutes")
            self._phase = "waiting for the network"
            pause_s = backoff.pause_s()
            self._device.events.emit("network-error", error=problem, retry_in_s=pause_s)
            self.wait(pause_s)

    def _check_stopping(self) -> None:
        if self._stopping:
            raise _StoppedError
