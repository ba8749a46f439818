"""What an SP TSM must not forget, in one sqlite file: operations and each of their steps, key sets, counters.

Everything is written before it is sent, so an SP TSM killed at any point goes on from here. Values that may hold a
secret (key sets, scripts, account data) are sealed by the key store and bound to their row, so that a copy of the
file tells nothing and no row can stand in for another.
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

    from opentsm_tsm.keystore import KeyStore

__all__ = ["OperationRow", "SpStore"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS operation (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, se TEXT NOT NULL, params BLOB NOT NULL, state TEXT NOT NULL,
  error TEXT, central TEXT, created REAL NOT NULL, updated REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS step (
  operation TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (operation, name)) STRICT;
CREATE TABLE IF NOT EXISTS key_set (
  se TEXT NOT NULL, sd BLOB NOT NULL, version INTEGER NOT NULL, temporary INTEGER NOT NULL, value BLOB NOT NULL,
  counter INTEGER, PRIMARY KEY (se, sd, version)) STRICT;
CREATE TABLE IF NOT EXISTS element (
  se TEXT PRIMARY KEY, diversification_data BLOB NOT NULL, i INTEGER NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True)
class OperationRow:
    """An operation of this SP TSM.

    Args:
        operation_id: 32 hexadecimal digits.
        kind: what it does.
        se: the SE it concerns.
        state: running, done, failed or in-doubt.
        error: why it failed or is in doubt.
        central: the central TSM's operation that is in doubt.
        created: seconds since 1970.
        updated: seconds since 1970.
    """

    operation_id: str
    kind: str
    se: str
    state: str
    error: str | None
    central: str | None
    created: float
    updated: float


class SpStore:
    """The sqlite file of an SP TSM.

    Args:
        path: the file; made when it is not there.
        keys: the key store that seals what may hold a secret.

    Raises:
        StorageError: the file can't be opened, or is another program's.
    """

    def __init__(self, path: Path, keys: KeyStore) -> None:
        self._keys = keys
        self._db = private_database.connect(path)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._db.close()
            raise StorageError(f"{path}: not a database of this program ({error})") from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write what the block writes together, or nothing of it."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _seal(self, value: bytes, place: str) -> bytes:
        return self._keys.seal(value, place.encode())

    def _unseal(self, sealed: bytes, place: str) -> bytes:
        return self._keys.unseal(sealed, place.encode())

    # ---- operations

    def add_operation(self, operation_id: str, kind: str, se: str, params: bytes) -> None:
        """Keep a new operation, running."""
        now = time.time()
        sealed = self._seal(params, f"operation {operation_id}")
        with self.transaction():
            self._db.execute(
                "INSERT INTO operation VALUES (?, ?, ?, ?, 'running', NULL, NULL, ?, ?)",
                (operation_id, kind, se, sealed, now, now),
            )

    def set_operation(
        self, operation_id: str, state: str, error: str | None = None, *, central: str | None = None
    ) -> None:
        """Keep an operation's state."""
        with self.transaction():
            self._db.execute(
                "UPDATE operation SET state = ?, error = ?, central = ?, updated = ? WHERE id = ?",
                (state, error, central, time.time(), operation_id),
            )

    def operation(self, operation_id: str) -> OperationRow | None:
        """Return an operation by its id."""
        row = self._db.execute(
            "SELECT id, kind, se, state, error, central, created, updated FROM operation WHERE id = ?", (operation_id,)
        ).fetchone()
        return OperationRow(*row) if row else None

    def operations(self, state: str | None = None) -> list[OperationRow]:
        """Return the operations, the oldest first."""
        rows = self._db.execute(
            "SELECT id, kind, se, state, error, central, created, updated FROM operation WHERE ? IS NULL OR state = ?"
            " ORDER BY created, rowid",
            (state, state),
        )
        return [OperationRow(*row) for row in rows]

    def params(self, operation_id: str) -> bytes:
        """Return the parameters an operation was started with."""
        row = self._db.execute("SELECT params FROM operation WHERE id = ?", (operation_id,)).fetchone()
        return self._unseal(row[0], f"operation {operation_id}")

    # ---- steps

    def step(self, operation_id: str, name: str) -> bytes | None:
        """Return what a step of an operation kept, or None when it has not come to that."""
        row = self._db.execute(
            "SELECT value FROM step WHERE operation = ? AND name = ?", (operation_id, name)
        ).fetchone()
        return self._unseal(row[0], f"step {operation_id} {name}") if row else None

    def keep_step(self, operation_id: str, name: str, value: bytes) -> None:
        """Keep what a step gave; a step is kept once."""
        sealed = self._seal(value, f"step {operation_id} {name}")
        with self.transaction():
            self._db.execute("INSERT INTO step VALUES (?, ?, ?)", (operation_id, name, sealed))

    def forget_steps(self, operation_id: str) -> None:
        """Delete an operation's steps, once it has ended: they hold scripts and account data."""
        with self.transaction():
            self._db.execute("DELETE FROM step WHERE operation = ?", (operation_id,))
            sealed = self._seal(b"{}", f"operation {operation_id}")
            self._db.execute("UPDATE operation SET params = ? WHERE id = ?", (sealed, operation_id))

    # ---- key sets

    def key_set(self, se: str, sd: bytes, version: int) -> bytes | None:
        """Return the keys (enc, mac, dek one behind the other) of a key version of a security domain."""
        row = self._db.execute(
            "SELECT value FROM key_set WHERE se = ? AND sd = ? AND version = ?", (se, sd, version)
        ).fetchone()
        return self._unseal(row[0], f"key set {se} {sd.hex()} {version}") if row else None

    def versions(self, se: str, sd: bytes) -> list[tuple[int, bool]]:
        """Return the key versions held for a security domain, the oldest first, each with whether it is temporary."""
        rows = self._db.execute(
            "SELECT version, temporary FROM key_set WHERE se = ? AND sd = ? ORDER BY rowid", (se, sd)
        )
        return [(int(version), bool(temporary)) for version, temporary in rows]

    def keep_key_set(self, se: str, sd: bytes, version: int, value: bytes, *, temporary: bool) -> None:
        """Keep the keys of a version, in place of those it had; its counter starts anew."""
        sealed = self._seal(value, f"key set {se} {sd.hex()} {version}")
        with self.transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO key_set VALUES (?, ?, ?, ?, ?, NULL)", (se, sd, version, temporary, sealed)
            )

    def forget_key_set(self, se: str, sd: bytes, version: int) -> None:
        """Delete the keys of a version."""
        with self.transaction():
            self._db.execute("DELETE FROM key_set WHERE se = ? AND sd = ? AND version = ?", (se, sd, version))

    def counter(self, se: str, sd: bytes, version: int) -> int | None:
        """Return the sequence counter that the card had in its last known session with a key version."""
        row = self._db.execute(
            "SELECT counter FROM key_set WHERE se = ? AND sd = ? AND version = ?", (se, sd, version)
        ).fetchone()
        return row[0] if row else None

    def keep_counter(self, se: str, sd: bytes, version: int, counter: int) -> None:
        """Keep the card's sequence counter; it never goes back."""
        with self.transaction():
            self._db.execute(
                "UPDATE key_set SET counter = max(coalesce(counter, 0), ?) WHERE se = ? AND sd = ? AND version = ?",
                (counter, se, sd, version),
            )

    # ---- secure elements

    def element(self, se: str) -> tuple[bytes, int] | None:
        """Return an SE's diversification data (10 bytes) and SCP03 parameter i, once known."""
        row = self._db.execute("SELECT diversification_data, i FROM element WHERE se = ?", (se,)).fetchone()
        return (bytes(row[0]), int(row[1])) if row else None

    def keep_element(self, se: str, diversification_data: bytes, i: int) -> None:
        """Keep what an SE's INITIALIZE UPDATE answers begin with."""
        with self.transaction():
            self._db.execute("INSERT OR REPLACE INTO element VALUES (?, ?, ?)", (se, diversification_data, i))
