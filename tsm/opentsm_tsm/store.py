"""The central TSM's memory: one SQLite database, one transaction for each step, one place that commits.

What is answered to the outside has been committed before: a process that is killed anywhere resumes from here. The
connection belongs to one thread at a time (the event loop's). Deleted rows are overwritten (`secure_delete`), because
sealed temporary keys are among them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final, Self

from opentsm_card.errors import ProtocolError
from opentsm_tsm import private_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Store"]

_VERSION: Final = 2
_BUSY_S: Final = 10.0

_SCHEMA: Final = """
CREATE TABLE se (
  id TEXT PRIMARY KEY,
  type TEXT NOT NULL,
  configuration TEXT NOT NULL,
  mno TEXT NOT NULL,
  imei TEXT,
  key_version INTEGER NOT NULL,
  diversification BLOB,
  scp03_i INTEGER NOT NULL DEFAULT 112,
  issuer BLOB NOT NULL,
  central BLOB NOT NULL,
  packages TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'ok',
  life_cycle TEXT NOT NULL DEFAULT 'unknown',
  registry TEXT,
  registry_at REAL,
  stale INTEGER NOT NULL DEFAULT 1,
  reset INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE subscription (
  msi TEXT NOT NULL,
  se TEXT NOT NULL REFERENCES se,
  PRIMARY KEY (msi, se)
) STRICT;
CREATE TABLE counter (
  se TEXT NOT NULL REFERENCES se,
  sd BLOB NOT NULL,
  version INTEGER NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (se, sd, version)
) STRICT;
CREATE TABLE domain (
  se TEXT NOT NULL REFERENCES se,
  aid BLOB NOT NULL,
  sp TEXT NOT NULL,
  state TEXT NOT NULL,
  version INTEGER,
  sealed BLOB,
  PRIMARY KEY (se, aid)
) STRICT;
CREATE TABLE service (
  sp TEXT NOT NULL,
  service TEXT NOT NULL,
  qualifier TEXT NOT NULL,
  se TEXT NOT NULL REFERENCES se,
  domain BLOB NOT NULL,
  state TEXT NOT NULL,
  version INTEGER NOT NULL,
  applications TEXT NOT NULL,
  PRIMARY KEY (sp, service, qualifier)
) STRICT;
CREATE TABLE conversation (
  id TEXT PRIMARY KEY,
  caller TEXT NOT NULL,
  se TEXT NOT NULL REFERENCES se,
  open INTEGER NOT NULL
) STRICT;
CREATE INDEX conversation_open ON conversation (se) WHERE open = 1;
CREATE TABLE operation (
  number INTEGER PRIMARY KEY,
  caller TEXT NOT NULL,
  id TEXT NOT NULL,
  se TEXT NOT NULL REFERENCES se,
  function TEXT NOT NULL,
  params BLOB NOT NULL,
  digest BLOB NOT NULL,
  state TEXT NOT NULL,
  phase TEXT NOT NULL,
  work TEXT NOT NULL DEFAULT '{}',
  steps TEXT NOT NULL DEFAULT '[]',
  result BLOB,
  problem BLOB,
  apdus INTEGER NOT NULL DEFAULT 0,
  round_trips INTEGER NOT NULL DEFAULT 0,
  created REAL NOT NULL,
  updated REAL NOT NULL,
  UNIQUE (caller, id)
) STRICT;
CREATE INDEX operation_open ON operation (se, number) WHERE state IN ('pending', 'running', 'in-doubt');
CREATE INDEX operation_updated ON operation (se, updated);
CREATE TABLE session (
  id TEXT PRIMARY KEY,
  se TEXT NOT NULL REFERENCES se,
  state TEXT NOT NULL,
  device BLOB,
  sent INTEGER NOT NULL DEFAULT 0,
  answered INTEGER NOT NULL DEFAULT 0,
  body BLOB,
  operation INTEGER REFERENCES operation,
  context TEXT,
  again INTEGER NOT NULL DEFAULT 0,
  extended INTEGER NOT NULL DEFAULT 0,
  created REAL NOT NULL,
  seen REAL NOT NULL
) STRICT;
CREATE INDEX session_live ON session (se) WHERE state IN ('offered', 'open', 'lost');
CREATE TABLE enrolment (
  digest BLOB PRIMARY KEY,
  ses TEXT NOT NULL,
  until REAL NOT NULL,
  key BLOB,
  certificate BLOB
) STRICT;
CREATE TABLE certificate (
  fingerprint BLOB PRIMARY KEY,
  role TEXT NOT NULL,
  names TEXT NOT NULL,
  issued REAL NOT NULL,
  revoked REAL
) STRICT;
CREATE TABLE audit (
  number INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  actor TEXT NOT NULL,
  event TEXT NOT NULL,
  outcome TEXT NOT NULL,
  se TEXT,
  operation TEXT,
  detail TEXT
) STRICT;
"""


class Store:
    """A connection to the database.

    Args:
        path: the database's file; it is made when it is not there.

    Raises:
        StorageError: the file can't be opened.
        ProtocolError: it is no database of this version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Used by one thread at a time; not always the one that opened it.
        self._db = private_database.connect(path, timeout_s=_BUSY_S, any_thread=True)
        self._db.row_factory = sqlite3.Row
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA secure_delete = ON")
            self._create()
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ProtocolError(f"{path}: not a database of this program ({error})") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _create(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in _SCHEMA.split(";\n"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")
        self.commit()
        if version not in {0, _VERSION}:
            raise sqlite3.DatabaseError(f"version {version}, not {_VERSION}")

    def commit(self) -> None:
        """Make the transaction last: every commit of this process is made here."""
        self._db.execute("COMMIT")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a block as one transaction: all of it lasts, or, when it raises, nothing of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.commit()
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def rows(self, statement: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        return self._db.execute(statement, values).fetchall()

    def row(self, statement: str, *values: object) -> sqlite3.Row | None:
        """Return the first row of a query, if any."""
        row: sqlite3.Row | None = self._db.execute(statement, values).fetchone()
        return row

    def run(self, statement: str, *values: object) -> int:
        """Run a statement inside the transaction under way and return how many rows it changed."""
        assert self._db.in_transaction, "a change outside of a transaction"
        return self._db.execute(statement, values).rowcount

    def insert(self, table: str, **columns: object) -> int:
        """Insert a row inside the transaction under way and return its row id."""
        assert self._db.in_transaction, "a change outside of a transaction"
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        # Table and columns are names in this program's text, never input.
        cursor = self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values()))  # noqa: S608
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def forget(self) -> bool:
        """Truncate the write-ahead log, so that overwritten rows are in no file; outside of a transaction.

        Returns:
            False when another process is reading: call again later.
        """
        busy: int = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return not busy

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
