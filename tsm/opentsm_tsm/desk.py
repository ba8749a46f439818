"""The front desk: takes requests of the messaging API, and answers or refuses them; no HTTP here.

A refusal is audited with its true reason; the caller reads less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentsm_tsm import audit, inventory, operations, se_status
from opentsm_tsm.engine import operation_signal, se_signal
from opentsm_tsm.messages import (
    FUNCTIONS,
    Accepted,
    GetApplicationOrELFStatus,
    HandleSEStatusChangeNotification,
    Operation,
    OperationPage,
)
from opentsm_tsm.problems import RefusalError, bad_request, conflict, forbidden, unknown
from opentsm_tsm.queries import QUERIES
from opentsm_tsm.signals import WORK_SIGNAL
from opentsm_tsm.wire import WireError, decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentsm_tsm.centre import Caller, Centre, Handler
    from opentsm_tsm.messages import Function, ResolveOperation
    from opentsm_tsm.operations import OperationRow
    from opentsm_tsm.wire import Message, Request

__all__ = ["Desk", "Reply"]

# These are done when they are accepted: they need nothing of the SE.
_AT_ONCE = frozenset({"EndConversation"})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: HTTP status and document."""

    status: int
    document: Message


class Desk:
    """The functions of the messaging API for callers whose certificates have been checked.

    Args:
        centre: database, keys, configuration.
        handlers: the functions that become operations.
    """

    def __init__(self, centre: Centre, handlers: Mapping[str, Handler]) -> None:
        self._centre = centre
        self._store = centre.store
        self._handlers = handlers

    def call(self, caller: Caller, name: str, body: bytes) -> Reply:
        """Call a function.

        Raises:
            RefusalError: it is refused; that is in the audit log.
        """
        function = FUNCTIONS.get(name)
        try:
            if function is None:
                raise unknown("no such function")
            if caller.role not in function.roles:
                raise forbidden(f"not a function for the role {caller.role}")
            try:
                params = decode(body, function.request)
            except WireError as error:
                raise bad_request(error.path, error.reason) from None
            return self._dispatch(caller, name, function, params)
        except RefusalError as refusal:
            self.refused(caller, name, refusal)
            raise

    def refused(self, caller: Caller | None, event: str, refusal: RefusalError) -> None:
        """Write a refusal to the audit log, once."""
        if refusal.audited:
            return
        refusal.audited = True
        with self._store.transaction():
            audit.record(self._store, str(caller or "nobody"), event[:64], "refused", detail=refusal.reason)

    def _dispatch(self, caller: Caller, name: str, function: Function, params: Request) -> Reply:
        refreshing = isinstance(params, GetApplicationOrELFStatus) and params.refresh
        if not function.operation and not refreshing:
            with self._store.transaction():
                reply = QUERIES[name](self._centre, caller, params)
            self._centre.leave_no_trace()
            return Reply(200, reply)
        with self._store.transaction():
            operation = self._accept(caller, name, params)
        self._centre.signals.notify(WORK_SIGNAL)
        self._centre.signals.notify(se_signal(operation.se))
        return Reply(202, Accepted(operation=operation.id, state=operation.state))

    def _accept(self, caller: Caller, name: str, params: Request) -> OperationRow:
        chosen = getattr(params, "operation_id", None)
        if chosen is not None:
            known = operations.find(self._store, str(caller), chosen)
            if known is not None:
                if not operations.same_request(self._store, known, name, params):
                    raise conflict("operation-id-taken", "This operation id stands for another request.")
                return known
        handler = self._handlers[name]
        se, phase = handler.admit(self._centre, caller, params)
        operation = operations.add(self._store, str(caller), se, name, params, phase)
        if name in _AT_ONCE:
            while not operation.final:
                handler.step(self._centre, operation)
        return operation

    def operation(self, caller: Caller, name: str) -> Operation:
        """Return a caller's operation.

        Raises:
            RefusalError: it has none of this id.
        """
        return operations.view(self._own(caller, name))

    def signal(self, caller: Caller, name: str) -> str:
        """Return the signal that a caller's operation has changed.

        Raises:
            RefusalError: it has none of this id.
        """
        return operation_signal(self._own(caller, name))

    def operations(self, caller: Caller) -> OperationPage:
        """Return a caller's newest operations; everyone's for the operator."""
        everyone = caller.role == "operator"
        rows = operations.of_caller(self._store, None if everyone else str(caller))
        return OperationPage(operations=tuple(operations.view(row) for row in rows))

    def resolve(self, caller: Caller, name: str, decision: ResolveOperation) -> Operation:
        """Settle a caller's operation that is in doubt.

        Raises:
            RefusalError: it has none of this id, or it is not in doubt.
        """
        with self._store.transaction():
            operation = self._own(caller, name)
            settle(self._centre, operation, decision, str(caller))
        self._centre.signals.notify(operation_signal(operation))
        self._centre.signals.notify(se_signal(operation.se))
        return operations.view(operation)

    def _own(self, caller: Caller, name: str) -> OperationRow:
        found = operations.find(self._store, str(caller), name)
        if found is None:
            raise unknown("no such operation")
        return found


def settle(centre: Centre, operation: OperationRow, decision: ResolveOperation, actor: str) -> None:
    """Settle an operation in doubt as its owner says, inside the transaction under way.

    Raises:
        RefusalError: it is not in doubt.
    """
    if operation.state != "in-doubt":
        raise conflict("not-in-doubt", "The operation is not in doubt.", f"It is {operation.state}.")
    if decision.decision == "accept":
        operation.state, operation.problem = "done", None
        operation.enter("accepted")
        if isinstance(operation.params, HandleSEStatusChangeNotification):
            se_status.believe(centre, operation)
            inventory.update(centre.store, operation.se, stale=1)
    else:
        operation.state = "failed"
        operation.enter("reset")
    audit.record(centre.store, actor, "resolve", decision.decision, se=operation.se, operation=operation.id)
    operation.save(centre.store)
