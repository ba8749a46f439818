"""SERAM sessions: which agent speaks for which SE, and the one order that is under way.

A session is *offered* (its id was pushed to the device), then *open* (an agent shook hands; it is bound to that
agent's certificate), and ends *closed* (it was stopped), *gone* (given up, or its agent began another one) or, as long
as an order of it is without a report, *lost*. Session ids are random and are written to no log.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import sqlite3

    from opentsm_tsm.store import Store

__all__ = ["Session", "create", "find", "live", "lost", "others"]

_LIVE: Final = "('offered', 'open')"


@dataclass(slots=True)
class Session:
    """One session, to be changed and saved inside one transaction.

    Args:
        id: 128 random bits, in hexadecimal.
        se: the SE it is for.
        state: "offered", "open", "closed", "lost" or "gone".
        device: SHA-256 of the public key of the agent's certificate, once it shook hands.
        sent: number of the last order that was sent, 0 before the first.
        answered: number of the last order whose report was taken.
        body: the last order, byte for byte.
        operation: row number of the operation that it serves; None for an order without commands.
        context: what is needed to take its report; no secrets.
        again: True when the agent shook hands again after an order was sent.
        extended: True when the agent knows our own members.
        created, seen: when it was offered, and when the agent last shook hands (seconds since 1970).
    """

    id: str
    se: str
    state: str
    device: bytes | None
    sent: int
    answered: int
    body: bytes | None
    operation: int | None
    context: dict[str, Any]
    again: bool
    extended: bool
    created: float
    seen: float

    def __repr__(self) -> str:
        """Keep the id out of logs."""
        return f"Session(se={self.se}, state={self.state}, sent={self.sent}, answered={self.answered})"

    @property
    def outstanding(self) -> bool:
        """True when an order with commands is without a report."""
        return self.sent > self.answered and self.operation is not None

    def save(self, store: Store) -> None:
        """Write everything that may change, inside the transaction under way."""
        store.run(
            "UPDATE session SET state = ?, device = ?, sent = ?, answered = ?, body = ?, operation = ?,"
            " context = ?, again = ?, extended = ?, seen = ? WHERE id = ?",
            self.state,
            self.device,
            self.sent,
            self.answered,
            self.body,
            self.operation,
            json.dumps(self.context),
            self.again,
            self.extended,
            self.seen,
            self.id,
        )


def _session(row: sqlite3.Row) -> Session:
    plain = {name: row[name] for name in Session.__dataclass_fields__ if name not in {"context", "again", "extended"}}
    context = json.loads(row["context"]) if row["context"] else {}
    return Session(**plain, context=context, again=bool(row["again"]), extended=bool(row["extended"]))


def create(store: Store, se: str) -> Session:
    """Offer a new session for an SE, inside the transaction under way."""
    now = time.time()
    name = secrets.token_hex(16)
    store.insert("session", id=name, se=se, state="offered", created=now, seen=now)
    session = find(store, name)
    assert session is not None
    return session


def find(store: Store, name: str) -> Session | None:
    """Return a session by its id, or None."""
    row = store.row("SELECT * FROM session WHERE id = ?", name)
    return None if row is None else _session(row)


def live(store: Store, se: str) -> Session | None:
    """Return the offered or open session of an SE, or None."""
    row = store.row(f"SELECT * FROM session WHERE se = ? AND state IN {_LIVE} ORDER BY created DESC", se)  # noqa: S608 - a constant
    return None if row is None else _session(row)


def others(store: Store, session: Session) -> tuple[Session, ...]:
    """Return the other live sessions of a session's SE."""
    rows = store.rows(f"SELECT * FROM session WHERE se = ? AND id <> ? AND state IN {_LIVE}", session.se, session.id)  # noqa: S608 - a constant
    return tuple(_session(row) for row in rows)


def lost(store: Store, se: str) -> tuple[Session, ...]:
    """Return the sessions of an SE that were given up with an order under way."""
    return tuple(_session(row) for row in store.rows("SELECT * FROM session WHERE se = ? AND state = 'lost'", se))
