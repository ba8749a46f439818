"""Operations: the rows that an SP TSM asks for by id, and that the engine carries forward.

A row has a `state` for its caller (pending, running, done, failed, in-doubt), a `phase` that says what comes next, and
`work`, the engine's own notes for the phase. The caller may choose the id: asking again with the same id and the same
request is the same operation.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from opentsm_tsm import audit
from opentsm_tsm.messages import (
    FUNCTIONS,
    Operation,
    OperationState,
    Problem,
    ScriptEntry,
    SendScript,
    Step,
    TerminateService,
)
from opentsm_tsm.wire import Hex, decode, encode

if TYPE_CHECKING:
    import sqlite3

    from opentsm_tsm.store import Store
    from opentsm_tsm.wire import Message, Request

__all__ = [
    "FINAL_STATES",
    "OperationRow",
    "add",
    "find",
    "get",
    "of_caller",
    "open_of_se",
    "same_request",
    "ses_with_work",
    "view",
]

FINAL_STATES: Final = frozenset({"done", "failed", "in-doubt"})
_PAGE: Final = 200


@dataclass(slots=True)
class OperationRow:
    """An operation, to be changed and saved inside one transaction.

    Args:
        number: row number; operations of one SE run in its order.
        caller: `role:id` of who asked.
        id: the caller's name for it.
        se: the SE it concerns.
        function: name of the messaging function.
        params: the request.
        state: for the caller.
        phase: what comes next, for people too.
        work: notes of the phase, JSON values only and no secrets.
        steps: the phases that ended, and when.
        result: what `FUNCTIONS[function].reply` says, encoded.
        problem: why it failed or is in doubt.
        apdus: C-APDUs that were answered.
        round_trips: orders that were reported.
    """

    number: int
    caller: str
    id: str
    se: str
    function: str
    params: Request
    state: OperationState
    phase: str
    created: float
    updated: float
    work: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    result: bytes | None = None
    problem: Problem | None = None
    apdus: int = 0
    round_trips: int = 0

    @property
    def final(self) -> bool:
        """True when nothing more is done without its owner's word."""
        return self.state in FINAL_STATES

    @property
    def caller_id(self) -> str:
        """The caller's id, without its role."""
        return self.caller.partition(":")[2]

    def enter(self, phase: str) -> None:
        """End the phase under way and begin another."""
        self.steps.append(Step(name=self.phase, at=time.time()))
        self.phase = phase

    def save(self, store: Store) -> None:
        """Write everything that may change, inside the transaction under way."""
        self.updated = time.time()
        store.run(
            "UPDATE operation SET state = ?, phase = ?, work = ?, steps = ?, result = ?, problem = ?, apdus = ?,"
            " round_trips = ?, updated = ? WHERE number = ?",
            self.state,
            self.phase,
            json.dumps(self.work),
            encode(self.steps).decode(),
            self.result,
            encode(self.problem) if self.problem is not None else None,
            self.apdus,
            self.round_trips,
            self.updated,
            self.number,
        )

    def finish(self, store: Store, result: Message) -> None:
        """End it well."""
        self.state, self.result = "done", encode(result)
        self.enter("done")
        self._end(store, None)

    def fail(self, store: Store, problem: Problem) -> None:
        """End it badly."""
        self.state, self.problem = "failed", problem
        self.enter("failed")
        self._end(store, problem.detail or problem.title)

    def doubt(self, store: Store, problem: Problem, result: Message | None = None) -> None:
        """Give it back to its owner, who settles what can't be read from the SE."""
        self.state, self.problem = "in-doubt", problem
        if result is not None:
            self.result = encode(result)
        self._end(store, problem.detail or problem.title)

    def _end(self, store: Store, detail: str | None) -> None:
        audit.record(store, self.caller, self.function, self.state, se=self.se, operation=self.id, detail=detail)
        self.params = _without_script(self.params)
        store.run("UPDATE operation SET params = ? WHERE number = ?", encode(self.params), self.number)
        self.save(store)


def _operation(row: sqlite3.Row) -> OperationRow:
    return OperationRow(
        number=row["number"],
        caller=row["caller"],
        id=row["id"],
        se=row["se"],
        function=row["function"],
        params=decode(row["params"], FUNCTIONS[row["function"]].request),
        state=row["state"],
        phase=row["phase"],
        created=row["created"],
        updated=row["updated"],
        work=json.loads(row["work"]),
        steps=list(decode(row["steps"].encode(), tuple[Step, ...])),
        result=row["result"],
        problem=decode(row["problem"], Problem) if row["problem"] is not None else None,
        apdus=row["apdus"],
        round_trips=row["round_trips"],
    )


def digest(params: Request) -> bytes:
    """Return what a request is recognized by when it comes again, once its script is no longer kept."""
    return hashlib.sha256(encode(params)).digest()


def same_request(store: Store, operation: OperationRow, function: str, params: Request) -> bool:
    """Tell whether an operation stands for this very request."""
    row = store.row("SELECT digest FROM operation WHERE number = ?", operation.number)
    assert row is not None
    return operation.function == function and hmac.compare_digest(row["digest"], digest(params))


def _without_script(params: Request) -> Request:
    """Return a request without the service provider's script, which is kept no longer than it is needed."""
    if isinstance(params, SendScript | TerminateService) and params.script:
        return msgspec.structs.replace(params, script=(ScriptEntry(apdu=Hex(b"")),))
    return params


def add(store: Store, caller: str, se: str, function: str, params: Request, phase: str) -> OperationRow:
    """Store a new operation, inside the transaction under way."""
    name = getattr(params, "operation_id", None) or secrets.token_hex(16)
    now = time.time()
    number = store.insert(
        "operation",
        caller=caller,
        id=name,
        se=se,
        function=function,
        params=encode(params),
        digest=digest(params),
        state="pending",
        phase=phase,
        created=now,
        updated=now,
    )
    audit.record(store, caller, function, "accepted", se=se, operation=name)
    return OperationRow(number, caller, name, se, function, params, "pending", phase, now, now)


def find(store: Store, caller: str, name: str) -> OperationRow | None:
    """Return a caller's operation by its id, or None."""
    row = store.row("SELECT * FROM operation WHERE caller = ? AND id = ?", caller, name)
    return None if row is None else _operation(row)


def get(store: Store, number: int) -> OperationRow:
    """Return an operation by its row number."""
    row = store.row("SELECT * FROM operation WHERE number = ?", number)
    assert row is not None, "a session names an operation that is not there"
    return _operation(row)


def of_caller(store: Store, caller: str | None) -> tuple[OperationRow, ...]:
    """Return a caller's newest operations (everyone's for None), the newest first."""
    rows = store.rows(
        "SELECT * FROM operation WHERE ?1 IS NULL OR caller = ?1 ORDER BY number DESC LIMIT ?2", caller, _PAGE
    )
    return tuple(_operation(row) for row in rows)


def open_of_se(store: Store, se: str) -> tuple[OperationRow, ...]:
    """Return the operations of an SE that are pending, running or in doubt, in their order."""
    rows = store.rows(
        "SELECT * FROM operation WHERE se = ? AND state IN ('pending', 'running', 'in-doubt') ORDER BY number", se
    )
    return tuple(_operation(row) for row in rows)


def ses_with_work(store: Store) -> tuple[str, ...]:
    """Return the SEs that have operations to be carried forward."""
    rows = store.rows("SELECT DISTINCT se FROM operation WHERE state IN ('pending', 'running')")
    return tuple(row["se"] for row in rows)


def view(operation: OperationRow) -> Operation:
    """Return an operation as its caller sees it."""
    return Operation(
        operation=operation.id,
        function=operation.function,
        se_id=operation.se,
        state=operation.state,
        phase=operation.phase,
        created=operation.created,
        updated=operation.updated,
        apdus=operation.apdus,
        round_trips=operation.round_trips,
        steps=tuple(operation.steps),
        result=json.loads(operation.result) if operation.result is not None else None,
        problem=operation.problem,
    )
