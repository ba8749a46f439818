"""What a gateway must not forget: counters of its issuer security domains, scripts under way, the log of pushes.

One sqlite file in WAL mode with full syncs. The log has no session ids: who reads it can open no session with them.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import StorageError
from opentsm_tsm import private_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["IssuerScript", "MnoStore", "Push"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS counter (se TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS issuer_script (
  id TEXT PRIMARY KEY, se TEXT NOT NULL, action TEXT NOT NULL, counter INTEGER NOT NULL, host_challenge BLOB NOT NULL,
  created REAL NOT NULL, outcome TEXT) STRICT;
CREATE TABLE IF NOT EXISTS push (at REAL NOT NULL, se TEXT NOT NULL, outcome TEXT NOT NULL) STRICT;
"""

_MAX_PUSHES: Final = 100_000


@dataclass(frozen=True, slots=True)
class IssuerScript:
    """An issuer script that was handed out; its session keys are derived again from the counter and the challenge."""

    script_id: str
    se: str
    action: str
    counter: int
    host_challenge: bytes
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Push:
    """One line of the push log: seconds since the epoch, the SE, and delivered, offline or unknown."""

    at: float
    se: str
    outcome: str


class MnoStore:
    """The gateway's sqlite file.

    Args:
        path: the file; made when it is not there.

    Raises:
        StorageError: it can't be opened, or is another program's.
    """

    def __init__(self, path: Path) -> None:
        # Opened where the server is set up, used where its event loop runs: one thread after the other.
        self._db = private_database.connect(path, any_thread=True)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._db.close()
            raise StorageError(f"{path}: not a database of this program ({error})") from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def counter(self, se: str) -> int:
        """Return the sequence counter the card had in its last known session, 0 when none is known."""
        row = self._db.execute("SELECT value FROM counter WHERE se = ?", (se,)).fetchone()
        return int(row[0]) if row else 0

    def add_script(self, script: IssuerScript) -> None:
        """Keep an issuer script before it leaves."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO issuer_script VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (script.script_id, script.se, script.action, script.counter, script.host_challenge, time.time()),
            )

    def last_script(self, se: str) -> IssuerScript | None:
        """Return the script last made for an SE."""
        row = self._db.execute(
            "SELECT id, se, action, counter, host_challenge, outcome FROM issuer_script WHERE se = ?"
            " ORDER BY rowid DESC LIMIT 1",
            (se,),
        ).fetchone()
        return IssuerScript(*row) if row else None

    def finish_script(self, script_id: str, outcome: str, *, se: str, counter: int | None) -> None:
        """Keep what came of a script and, where it is proved, the card's counter (which never goes back)."""
        with self._transaction() as db:
            db.execute("UPDATE issuer_script SET outcome = ? WHERE id = ?", (outcome, script_id))
            if counter is not None:
                db.execute(
                    "INSERT INTO counter VALUES (?, ?)"
                    " ON CONFLICT (se) DO UPDATE SET value = max(value, excluded.value)",
                    (se, counter),
                )

    def log_push(self, se: str, outcome: str) -> None:
        """Add a line to the push log, which keeps the latest 100,000."""
        with self._transaction() as db:
            db.execute("INSERT INTO push VALUES (?, ?, ?)", (time.time(), se, outcome))
            db.execute("DELETE FROM push WHERE rowid <= (SELECT max(rowid) FROM push) - ?", (_MAX_PUSHES,))

    def pushes(self, limit: int = 1000) -> list[Push]:
        """Return the latest pushes, the newest last."""
        rows = self._db.execute("SELECT at, se, outcome FROM push ORDER BY rowid DESC LIMIT ?", (limit,))
        return [Push(*row) for row in rows][::-1]
