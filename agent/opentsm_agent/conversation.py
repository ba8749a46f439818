"""Report and order in turn, until the Remote Agent stops the session.

A report goes out the same, byte for byte, until it is acknowledged, after a restart of the agent too. An order whose
number is in the journal is never run: its report is repeated when it is the same order, by its digest, and refused
when another one has taken its number.

Spec: GP SERAM 2.0.0, /remoteManagement.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from opentsm_agent.journal import boot_id
from opentsm_agent.orders import OrderRunner, recovered_report
from opentsm_agent.seram import (
    LocalAgentStatus,
    Order,
    Step,
    encode_polling,
    encode_report,
    order_number,
    parse_order,
)
from opentsm_agent.session import MAX_BACKOFF_S, SessionDroppedError
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_agent.journal_records import Orphan, SessionState
    from opentsm_agent.session import Device

__all__ = ["Conversation"]

_MAX_MALFORMED: Final = 5


class Conversation:
    """What follows the handshake.

    Args:
        device: what it shares with other sessions.
        state: of the session, in the journal.
        post: posts a report, and returns the order that answers it.
        wait: waits for so many seconds, or until something happens.
    """

    def __init__(
        self, device: Device, state: SessionState, post: Callable[[bytes], bytes], wait: Callable[[float], None]
    ) -> None:
        self._device = device
        self._state = state
        self._session = state.opened.session
        self._extended = state.opened.extended
        self._post = post
        self._wait = wait
        self._runner = OrderRunner(
            self._session, device.elements, device.journal, device.events, extended=self._extended
        )
        self._last_report = b""
        self._malformed = 0
        self._repeated = 0
        self._refused = b""

    def run(self) -> None:
        """Report and obey until the Remote Agent stops the session.

        Raises:
            SessionDroppedError: what comes are no orders.
            JournalWriteError: the journal can't be written; nothing was sent to a secure element since.
        """
        try:
            self._converse()
        finally:
            self._runner.close()

    def _converse(self) -> None:
        own = self._device.journal.state.orphans.get(self._session) if self._extended else None
        orphans: tuple[Orphan, ...] = ()
        if own is not None:
            # The session was given up here with a report that nobody had taken, and goes on now.
            self._last_report = own.report
        else:
            orphans = self._orphans() if self._extended and not self._state.last_order else ()
            self._last_report = self._first_report(orphans)
        while True:
            document = self._post(self._last_report)
            if own is not None:
                self._device.journal.orphans_told([own.session])
                own = None
            if orphans:
                self._device.journal.orphans_told([orphan.session for orphan in orphans])
                self._last_report, orphans = encode_polling(None), ()
            delay_ms = self._obey(document)
            if delay_ms is None:
                return
            if delay_ms:
                self._wait(delay_ms / 1000)

    def _orphans(self) -> tuple[Orphan, ...]:
        orphans = self._device.journal.state.orphans.values()
        return tuple(orphan for orphan in orphans if orphan.tsm == self._device.tsm_url)

    def _first_report(self, orphans: tuple[Orphan, ...]) -> bytes:
        order = self._state.current
        if order is None:
            return encode_polling(self._state.last_order or None if self._extended else None, orphans)
        if order.report is None:
            self._device.journal.report_made(self._session, recovered_report(order, boot_id(), extended=self._extended))
        assert order.report is not None
        return order.report

    def _obey(self, document: bytes) -> int | None:
        """Do what an order says, and set the next report; return the delay before it in ms, None at the end."""
        try:
            order = parse_order(document)
            number = self._number(order)
        except ProtocolError as error:
            return self._refuse(document, error)
        self._malformed = 0
        if number is None:
            if self._is_another(order, document):
                return self._refuse_another(order, document)
            return self._repeat(order)
        self._repeated = 0
        if Step.STOP in order.commands:
            self._stop_session(order, number, document)
            return None
        if order.commands:
            self._last_report, _ = self._runner.run(order, number, document)
        else:
            self._device.journal.note_order(self._session, number, document)
            self._last_report = encode_polling(number if self._extended else None)
        return order.delay_ms

    def _number(self, order: Order) -> int | None:
        """Return the number of a new order, None where there is nothing new.

        Raises:
            ProtocolError: commands without a number, from a peer that numbers its orders.
        """
        if not self._extended:
            return self._state.last_order + 1
        if order.commands == (Step.STOP,):
            return self._state.last_order + 1  # it ends the session whenever it comes
        if order.number is None and order.commands:
            raise ProtocolError("order: commands without a number - at `$.opentsm.order`")
        if order.number is None or order.number <= self._state.last_order:
            return None
        return order.number

    def _is_another(self, order: Order, document: bytes) -> bool:
        """Tell whether an order with commands has the number of the last one, and is another."""
        state = self._state
        same_number = self._extended and order.number == state.last_order and bool(order.commands)
        return same_number and hashlib.sha256(document).digest() not in (state.last_digest, self._refused)

    def _refuse_another(self, order: Order, document: bytes) -> int:
        """Refuse an order that has another one's number: nothing of it is run, and the report says so."""
        self._refused = hashlib.sha256(document).digest()
        error = ProtocolError(f"order: number {order.number} was another order's, and is not run again")
        sizes = [len(command.script) for command in order.se_commands]
        self._last_report = self._runner.refuse_another(self._state.last_order, sizes, error)
        self._device.events.emit("malformed-order", error=str(error))
        return order.delay_ms

    def _repeat(self, order: Order) -> int:
        """Leave the last report as it is, to be sent again; return the delay before that in ms.

        An order that has run and still comes back means that the TSM does not take our report: no hurry then.
        """
        if not order.commands:
            return order.delay_ms
        current = self._state.current
        if current is not None and current.report is not None:
            # Not what was said since of an answer that made no sense.
            self._last_report = current.report
        self._repeated += 1
        return max(order.delay_ms, min(100 << self._repeated, int(1000 * MAX_BACKOFF_S)))

    def _refuse(self, document: bytes, error: ProtocolError) -> int:
        self._malformed += 1
        if self._malformed > _MAX_MALFORMED:
            raise SessionDroppedError(f"{_MAX_MALFORMED} malformed orders in a row, the last: {error}")
        number = order_number(document) if self._extended else self._state.last_order + 1
        if number is not None and number > self._state.last_order:
            self._last_report = self._runner.refuse(number, document, error)
        elif number is None:
            self._device.events.emit("malformed-order", error=str(error))
            self._last_report = encode_report(LocalAgentStatus.UNKNOWN_FAILURE, [], error=str(error))
        return 1000 * self._malformed

    def _stop_session(self, order: Order, number: int, document: bytes) -> None:
        """Run what stands before the stop command, and end the session.

        SERAM has the responses discarded; where not every C-APDU was answered the report is kept for a later session.
        """
        complete = True
        if order.se_commands:
            _, complete = self._runner.run(order, number, document)
        self._device.journal.end_session(self._session, keep=not complete)
