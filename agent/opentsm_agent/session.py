"""A SERAM session: handshake, then report and order in turn until the Remote Agent stops it.

Every report goes out the same, byte for byte, until it is acknowledged: after a network error, and after a
restart of the agent, which goes on with the sessions of its journal. An order whose number is in the journal is
never run; its report is repeated.

Spec: GP SERAM 2.0.0, /handshake and /remoteManagement.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from opentsm_agent.journal import boot_id
from opentsm_agent.orders import OrderRunner, recovered_report
from opentsm_agent.seram import (
    LocalAgentStatus,
    Order,
    Step,
    encode_handshake,
    encode_polling,
    encode_report,
    order_number,
    parse_handshake_response,
    parse_order,
)
from opentsm_card.errors import ProtocolError, TransportError

if TYPE_CHECKING:
    from opentsm_agent.events import Events
    from opentsm_agent.http import HttpsClient
    from opentsm_agent.journal import Journal
    from opentsm_agent.journal_records import Orphan, SessionState
    from opentsm_agent.secure_elements import SecureElements

__all__ = ["Device", "Session"]

_BASE: Final = "/gp/seram"
_FIRST_BACKOFF_S: Final = 0.2
_MAX_BACKOFF_S: Final = 30.0
_ANSWER_TIMEOUT_S: Final = 60.0
_TRY_AGAIN: Final = frozenset({408, 425, 429})
_MAX_MALFORMED: Final = 5


class _StoppedError(Exception):
    """The agent is stopping; the journal has what is needed to go on."""


class _DroppedError(Exception):
    """The TSM does not have this session, or refuses it."""


@dataclass(frozen=True, slots=True)
class Device:
    """What all sessions of an agent share."""

    tsm_url: str
    elements: SecureElements
    journal: Journal
    events: Events


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
        self._last_report = b""
        self._malformed = 0
        self._repeated = 0

    def run(self) -> None:
        """Hold the session until it is stopped, by either side, or dropped.

        Raises:
            JournalWriteError: the journal can't be written; nothing was sent to a secure element since.
        """
        events = self._device.events
        try:
            state = self._open()
            runner = OrderRunner(
                self._session, self._device.elements, self._device.journal, events, extended=state.opened.extended
            )
            try:
                self._converse(state, runner)
            finally:
                runner.close()
            events.emit("session-ended", reason="stopped by the TSM")
        except _DroppedError as error:
            if self._session in self._device.journal.state.sessions:
                self._device.journal.end_session(self._session, keep=True)
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

    def _open(self) -> SessionState:
        journal = self._device.journal
        known = journal.state.sessions.get(self._session)
        if known is not None:
            self._device.events.emit("session-resumed", last_order=known.last_order)
            return known
        answer = self._post("/handshake", encode_handshake(self._device.elements.elements))
        try:
            extended = parse_handshake_response(answer)
        except ProtocolError as error:
            raise _DroppedError(str(error)) from error
        self._device.events.emit("session-started", tsm=self._client.name, extended=extended)
        return journal.open_session(self._session, self._device.tsm_url, extended=extended)

    def _converse(self, state: SessionState, runner: OrderRunner) -> None:
        orphans = self._orphans() if state.opened.extended and not state.last_order else ()
        self._last_report = self._first_report(state, orphans)
        while True:
            document = self._post("/remoteManagement", self._last_report)
            if orphans:
                self._device.journal.orphans_told([orphan.session for orphan in orphans])
                self._last_report, orphans = encode_polling(None), ()
            delay_ms = self._obey(state, runner, document)
            if delay_ms is None:
                return
            if delay_ms:
                self._wait(delay_ms / 1000)

    def _orphans(self) -> tuple[Orphan, ...]:
        orphans = self._device.journal.state.orphans.values()
        return tuple(orphan for orphan in orphans if orphan.tsm == self._device.tsm_url)

    def _first_report(self, state: SessionState, orphans: tuple[Orphan, ...]) -> bytes:
        extended = state.opened.extended
        order = state.current
        if order is None:
            return encode_polling(state.last_order or None if extended else None, orphans)
        if order.report is None:
            self._device.journal.report_made(self._session, recovered_report(order, boot_id(), extended=extended))
        assert order.report is not None
        return order.report

    def _obey(self, state: SessionState, runner: OrderRunner, document: bytes) -> int | None:
        """Do what an order says, and set the next report; return the delay before it in ms, None at the end."""
        try:
            order = parse_order(document)
            number = self._number(order, state)
        except ProtocolError as error:
            return self._refuse(state, runner, document, error)
        self._malformed = 0
        if number is None:
            return self._repeat(order)
        self._repeated = 0
        if Step.STOP in order.commands:
            self._stop_session(runner, order, number, document)
            return None
        if order.commands:
            self._last_report, _ = runner.run(order, number, document)
        else:
            self._device.journal.note_order(self._session, number)
            self._last_report = encode_polling(number if state.opened.extended else None)
        return order.delay_ms

    def _number(self, order: Order, state: SessionState) -> int | None:
        """Return the number of a new order, None where there is nothing new.

        Raises:
            ProtocolError: commands without a number, from a peer that numbers its orders.
        """
        if not state.opened.extended:
            return state.last_order + 1
        if order.commands == (Step.STOP,):
            return state.last_order + 1  # it ends the session whenever it comes
        if order.number is None and order.commands:
            raise ProtocolError("order: commands without a number - at `$.opentsm.order`")
        if order.number is None or order.number <= state.last_order:
            return None
        return order.number

    def _repeat(self, order: Order) -> int:
        """Leave the last report as it is, to be sent again; return the delay before that in ms.

        An order that has run and still comes back means that the TSM does not take our report: no hurry then.
        """
        if not order.commands:
            return order.delay_ms
        self._repeated += 1
        return max(order.delay_ms, min(100 << self._repeated, int(1000 * _MAX_BACKOFF_S)))

    def _refuse(self, state: SessionState, runner: OrderRunner, document: bytes, error: ProtocolError) -> int:
        self._malformed += 1
        if self._malformed > _MAX_MALFORMED:
            raise _DroppedError(f"{_MAX_MALFORMED} malformed orders in a row, the last: {error}")
        number = order_number(document) if state.opened.extended else state.last_order + 1
        if number is not None and number > state.last_order:
            self._last_report = runner.refuse(number, document, error)
        elif number is None:
            self._device.events.emit("malformed-order", error=str(error))
            self._last_report = encode_report(LocalAgentStatus.UNKNOWN_FAILURE, [], error=str(error))
        return 1000 * self._malformed

    def _stop_session(self, runner: OrderRunner, order: Order, number: int, document: bytes) -> None:
        """Run what stands before the stop command, and end the session.

        SERAM has the responses discarded; where not every C-APDU was answered the report is kept for a later session.
        """
        complete = True
        if order.se_commands:
            _, complete = runner.run(order, number, document)
        self._device.journal.end_session(self._session, keep=not complete)

    def _post(self, path: str, body: bytes) -> bytes:
        """Post until there is an answer, the same bytes each time.

        Raises:
            _DroppedError: the TSM does not have this session, or refuses it.
            _StoppedError: the agent is stopping.
        """
        backoff_s = _FIRST_BACKOFF_S
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
                    return response.body
                if response.status < 500 and response.status not in _TRY_AGAIN:
                    reason = "unknown to the TSM" if response.status == 404 else f"refused with {response.status}"
                    raise _DroppedError(reason)
                problem = f"the TSM answers {response.status}"
            self._check_stopping()
            self._device.events.emit("network-error", error=problem, retry_in_s=backoff_s)
            self._wait(backoff_s)
            backoff_s = min(2 * backoff_s, _MAX_BACKOFF_S)

    def _wait(self, seconds: float) -> None:
        self._kicked.wait(seconds)
        self._kicked.clear()
        self._check_stopping()

    def _check_stopping(self) -> None:
        if self._stopping:
            raise _StoppedError
