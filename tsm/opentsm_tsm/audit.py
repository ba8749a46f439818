"""The audit log: who asked for what, and how it ended; written in the transaction of what it records.

It holds no key, no account data, no session identifier and no command data.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentsm_tsm.operator_messages import AuditRecord

if TYPE_CHECKING:
    from opentsm_tsm.store import Store

__all__ = ["read", "record"]

_PAGE = 1000


def record(
    store: Store,
    actor: str,
    event: str,
    outcome: str,
    *,
    se: str | None = None,
    operation: str | None = None,
    detail: str | None = None,
) -> None:
    """Add a record, inside the transaction under way.

    Args:
        store: the database.
        actor: `role:id` of who asked, or "tsm".
        event: the function or event.
        outcome: "accepted", "done", "failed", "refused", ….
        se: the SE concerned.
        operation: the operation's id.
        detail: a reason for people.
    """
    store.insert(
        "audit",
        at=time.time(),
        actor=actor,
        event=event,
        outcome=outcome,
        se=se,
        operation=operation,
        detail=detail,
    )


def read(store: Store, after: int = 0) -> tuple[AuditRecord, ...]:
    """Return up to 1000 records with numbers above `after`, the oldest first."""
    rows = store.rows("SELECT * FROM audit WHERE number > ? ORDER BY number LIMIT ?", after, _PAGE)
    return tuple(
        AuditRecord(
            number=row["number"],
            at=row["at"],
            actor=row["actor"],
            event=row["event"],
            outcome=row["outcome"],
            se_id=row["se"],
            operation=row["operation"],
            detail=row["detail"],
        )
        for row in rows
    )
