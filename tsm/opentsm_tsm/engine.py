"""The engine: carries operations forward, one report and one order at a time.

It is driven by the agents' requests. In one transaction a report is stored, its operation is carried forward and the
next order is stored; only then the order is answered. A report that comes again gets the stored order, byte for byte.
So a process that is killed anywhere goes on from the database. One order is under way for an SE at a time, and
operations of an SE run in the order in which they came; one in doubt stands aside and blocks its own domain only.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import OpenTsmError, ProtocolError
from opentsm_card.script import ScriptOutcome
from opentsm_tsm import inventory, operations, seram, sessions
from opentsm_tsm.centre import Send, Wait
from opentsm_tsm.problems import RefusalError, failed
from opentsm_tsm.signals import WORK_SIGNAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentsm_tsm.centre import Centre, Handler
    from opentsm_tsm.operations import OperationRow
    from opentsm_tsm.pki import Identity
    from opentsm_tsm.seram import Handshake, RecoveredReport, Report
    from opentsm_tsm.sessions import Session

__all__ = ["Engine", "operation_signal", "se_signal"]

_log = logging.getLogger(__name__)

# Turns of one operation without an order: more is a fault of ours, and must not become an endless loop.
_MAX_TURNS: Final = 64
_MAX_UNAVAILABLE: Final = 5
_UNAVAILABLE_DELAY_S: Final = 1.0


class Engine:
    """Operations on one side, agents' sessions on the other.

    Args:
        centre: database, keys, configuration.
        handlers: the function behind each name.
    """

    def __init__(self, centre: Centre, handlers: Mapping[str, Handler]) -> None:
        self._centre = centre
        self._store = centre.store
        self._handlers = handlers
        # When an agent last spoke, and until when an SE is left alone: only for this process's timers.
        self._seen: dict[str, float] = {}
        self._held_until: dict[str, float] = {}
        self._started = time.time()

    # ---- the agent's side ------------------------------------------------------------------------------------

    def handshake(self, name: str, identity: Identity, handshake: Handshake) -> bytes | None:
        """Bind an offered session to the agent that asks for it, and return the answer; None: no such session.

        An agent may ask again (its answer was lost); only the device of the first time is let in.
        """
        session = sessions.find(self._store, name)
        if session is None or session.state not in {"offered", "open"} or not _may_speak(session, identity):
            return None
        if session.se not in {element.se_id for element in handshake.secure_elements}:
            return None
        with self._store.transaction():
            # Read again: the state may have changed before the transaction began.
            session = sessions.find(self._store, name)
            if session is None or session.state not in {"offered", "open"}:
                return None
            for other in sessions.others(self._store, session):
                other.state = "lost" if other.outstanding else "gone"
                other.save(self._store)
            session.again = session.sent > 0
            session.state, session.device = "open", identity.key
            session.extended = handshake.extended
            session.seen = time.time()
            session.save(self._store)
        self._saw(session)
        return seram.handshake_reply(handshake)

    def take(self, name: str, identity: Identity, report: Report, cookie: int | None = None) -> bytes | None:
        """Take a report, and return the next order if there is one to send.

        Args:
            name: the session.
            identity: of the agent's certificate.
            report: the report.
            cookie: number of the last order that the agent has received, which its cookie brought back: whose report
                this is, where it does not say so itself.

        Raises:
            LookupError: no such session for this agent.
            ProtocolError: it reports an order that was never sent.
        """
        session = self._bound(name, identity)
        self._saw(session)
        if session.state == "closed":
            return session.body
        order = report.order
        if order is None and not report.polling:
            order = cookie
        if order is not None and order > session.sent:
            raise ProtocolError("the report is of an order that was not sent")
        if order is not None and 0 < order < session.sent:
            return session.body
        repeated_poll = report.polling and not order and session.outstanding
        if repeated_poll and not session.again:
            return session.body
        with self._store.transaction():
            if report.polling and not order:
                self._recover(session, report)
            if session.outstanding:
                outcome = None if repeated_poll else self._outcome(session, report)
                self._settle(session, report, outcome)
            body = self._produce(session)
        self._centre.leave_no_trace()
        self._centre.signals.notify(se_signal(session.se))
        return body

    def recover(self, identity: Identity, entries: Sequence[RecoveredReport]) -> None:
        """Take reports of sessions that could not be resumed in time, told outside of any session.

        Each settles the order that is under way in its session, given up or not, where it is that agent's and that
        order's. What was settled already stays as it is: a repeat changes nothing.
        """
        with self._store.transaction():
            for entry in entries:
                session = sessions.find(self._store, entry.session)
                if session is None or not _is_its(session, identity):
                    continue
                if not session.outstanding or entry.order != session.sent or session.state not in {"open", "lost"}:
                    continue
                self._settle(session, entry, self._outcome(session, entry))
                if session.state == "lost":
                    session.state = "gone"
                session.save(self._store)
                self._centre.signals.notify(se_signal(session.se))
        self._centre.leave_no_trace()

    def next_order(self, name: str, identity: Identity, answered: int) -> bytes | None:
        """Return the order that follows number `answered`, if there is one by now.

        Raises:
            LookupError: no such session for this agent.
        """
        session = self._bound(name, identity)
        # Its agent holds a request open: it is not silent.
        self._saw(session)
        if session.sent > answered or session.state == "closed":
            return session.body
        if self._idle(session.se) or self.held_for(session.se) > 0:
            return None
        with self._store.transaction():
            body = self._produce(session)
        self._centre.leave_no_trace()
        return body

    def stop(self, name: str, identity: Identity) -> bytes | None:
        """End a session that nobody needs any more, and return the order that says so; None when somebody does."""
        session = self._bound(name, identity)
        if session.state == "closed":
            return session.body
        if self.wanted(session.se) or session.outstanding:
            return None
        with self._store.transaction():
            session.sent += 1
            session.operation, session.context = None, {}
            session.state, session.body = "closed", seram.stop_order(session.sent)
            session.save(self._store)
        self._seen.pop(session.id, None)
        return session.body

    def answered(self, name: str, identity: Identity) -> int:
        """Return the number of the last order sent in a session: what a wait for the next one starts from."""
        return self._bound(name, identity).sent

    def se_of(self, name: str, identity: Identity) -> str:
        """Return the SE of a session."""
        return self._bound(name, identity).se

    def held_for(self, se: str) -> float:
        """Return for how many seconds an SE that could not be reached is left alone; 0 when it is not."""
        return max(0.0, self._held_until.get(se, 0.0) - time.monotonic())

    def give_up(self, name: str) -> None:
        """Give up a session whose agent is gone: another one is offered, and what it was doing is in doubt.

        Its agent, should it come back, is told that there is no such session, and brings its report to the next one.
        """
        with self._store.transaction():
            session = sessions.find(self._store, name)
            if session is not None and session.state in {"offered", "open"}:
                session.state = "lost" if session.outstanding else "gone"
                session.save(self._store)
        self._seen.pop(name, None)

    def wanted(self, se: str) -> bool:
        """Tell whether an SE's session has a reason to stay: an open conversation, or work."""
        talking = self._store.row("SELECT 1 FROM conversation WHERE se = ? AND open = 1", se)
        return talking is not None or not self._idle(se)

    def silent_for(self, session: Session) -> float:
        """Return for how many seconds the agent of a session has said nothing."""
        return time.time() - max(self._seen.get(session.id, 0.0), session.seen, self._started)

    def _idle(self, se: str) -> bool:
        return self._store.row("SELECT 1 FROM operation WHERE se = ? AND state IN ('pending', 'running')", se) is None

    def _saw(self, session: Session) -> None:
        self._seen[session.id] = time.time()

    def _bound(self, name: str, identity: Identity) -> Session:
        session = sessions.find(self._store, name)
        if session is None or session.state not in {"open", "closed"} or not _is_its(session, identity):
            raise LookupError
        return session

    # ---- reports ---------------------------------------------------------------------------------------------

    def _recover(self, session: Session, report: Report) -> None:
        """Settle the orders of the SE's lost sessions: by a report from the agent's journal, or as in doubt."""
        entries: dict[str, RecoveredReport] = {}
        if report.opentsm is not None:
            entries = {entry.session: entry for entry in report.opentsm.recovered}
        for lost in sessions.lost(self._store, session.se):
            entry = entries.get(lost.id)
            outcome = None
            if entry is not None and entry.order == lost.sent and lost.device == session.device:
                outcome = seram.outcome(entry, lost.context["length"], extended=lost.extended)
            self._settle(lost, entry, outcome)
            lost.state = "gone"
            lost.save(self._store)

    def _outcome(self, session: Session, report: Report | RecoveredReport) -> ScriptOutcome:
        return seram.outcome(report, session.context["length"], extended=session.extended)

    def _settle(self, session: Session, report: Report | RecoveredReport | None, outcome: ScriptOutcome | None) -> None:
        """Hand an order's outcome to its operation; None when nothing is known of it: all of it is in doubt."""
        assert session.operation is not None
        if outcome is None:
            outcome = ScriptOutcome((), in_doubt=True, not_sent=0)
        operation = operations.get(self._store, session.operation)
        operation.round_trips += 1
        operation.apdus += len(outcome.answers)
        context = session.context
        session.answered, session.again, session.operation, session.context = session.sent, False, None, {}
        session.save(self._store)
        if outcome.in_doubt:
            # Before a doubt is settled the link is reset and an authenticated session opened; then the SE is read.
            inventory.update(self._store, session.se, reset=1, stale=1)
        elif outcome.answers and context.get("reset"):
            inventory.update(self._store, session.se, reset=0)
        if operation.final:
            operation.save(self._store)
        elif not outcome.answers and not outcome.in_doubt:
            self._unavailable(session.se, operation, report)
        else:
            operation.work.pop("unavailable", None)
            try:
                self._handlers[operation.function].reported(self._centre, operation, context, outcome)
            except OpenTsmError as error:
                # The report is taken all the same: one that never is would hold the SE for ever.
                _log.warning("%s %s: %s", operation.function, operation.id, error)
                inventory.update(self._store, session.se, stale=1)
                operation.fail(self._store, failed("centre", "The central TSM can't do it.", str(error)))
            operation.save(self._store)
        self._centre.signals.notify(operation_signal(operation))
        self._centre.signals.notify(WORK_SIGNAL)

    def _unavailable(self, se: str, operation: OperationRow, report: Report | RecoveredReport | None) -> None:
        """Try again later when nothing of a script reached the SE, a few times; but not what the agent refused."""
        status = report.local_agent_status if report is not None else None
        tries = operation.work.get("unavailable", 0) + 1
        operation.work["unavailable"] = tries
        refused = status is None or status.local_agent_status_enum != "UNAVAILABLE_SE"
        if refused or tries >= _MAX_UNAVAILABLE:
            detail = f"{status.local_agent_status_enum}: {status.error_msg or ''}" if status is not None else None
            operation.fail(self._store, failed("se-unavailable", "The agent did not run the script.", detail))
        else:
            operation.save(self._store)
            # The first time at once: an agent that was only restarted has its SE again.
            self._held_until[se] = time.monotonic() + _UNAVAILABLE_DELAY_S * (tries - 1)

    # ---- orders ----------------------------------------------------------------------------------------------

    def _produce(self, session: Session) -> bytes | None:
        """Carry the SE's operations forward until one has an order, store it and return it."""
        if session.outstanding:
            return session.body
        if self.held_for(session.se) > 0:
            return None
        for operation in operations.open_of_se(self._store, session.se):
            if operation.state == "in-doubt":
                continue
            action = self._advance(operation)
            if isinstance(action, Send):
                return self._send(session, operation, action)
            if isinstance(action, Wait):
                return None
        return None

    def _advance(self, operation: OperationRow) -> Send | Wait | None:
        """Carry one operation forward until it has something to send, waits, or has ended (None)."""
        handler = self._handlers[operation.function]
        for _ in range(_MAX_TURNS):
            try:
                if operation.state == "pending":
                    handler.begin(self._centre, operation)
                action = handler.step(self._centre, operation)
            except RefusalError as refusal:
                # What was there when it was admitted may be gone since.
                operation.fail(self._store, refusal.problem)
                action = None
            except OpenTsmError as error:
                _log.warning("%s %s: %s", operation.function, operation.id, error)
                operation.fail(self._store, failed("centre", "The central TSM can't do it.", str(error)))
                action = None
            if action is not None:
                return action
            if operation.final:
                self._centre.signals.notify(operation_signal(operation))
                return None
        raise AssertionError(f"{operation.function} does not come forward from phase {operation.phase}")

    def _send(self, session: Session, operation: OperationRow, action: Send) -> bytes:
        se = self._centre.se(session.se)
        session.sent += 1
        session.operation = operation.number
        session.context = {**action.context, "length": len(action.script), "reset": se.reset}
        session.body = seram.script_order(
            session.sent, (se.type, se.id), action.script, reset=se.reset, opaque_from=action.opaque_from
        )
        session.save(self._store)
        if operation.state == "pending":
            operation.state = "running"
        operation.save(self._store)
        return session.body


def _may_speak(session: Session, identity: Identity) -> bool:
    """Tell whether a device may take, or has taken, a session."""
    return session.se in identity.ids("se") and session.device in {None, identity.key}


def _is_its(session: Session, identity: Identity) -> bool:
    """Tell whether a device has taken a session.

    It is known by its key: a certificate that was renewed meanwhile is for the same one, and what an agent has left to
    report from before is still its own.
    """
    return session.device is not None and _may_speak(session, identity)


def operation_signal(operation: OperationRow) -> str:
    """Return the signal that an operation has changed."""
    return f"operation {operation.caller} {operation.id}"


def se_signal(se: str) -> str:
    """Return the signal that there is something new for an SE's session."""
    return f"se {se}"
