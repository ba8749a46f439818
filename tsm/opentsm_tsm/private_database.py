"""Open a database that nobody but its owner can read, from the first byte on."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from opentsm_card.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["connect"]


def connect(path: Path, *, timeout_s: float = 5.0, any_thread: bool = False) -> sqlite3.Connection:
    """Return a connection without implicit transactions.

    SQLite gives its write-ahead log the rights that the database has when that is first opened, so they are set before.

    Args:
        path: the database's file; it is made when it is not there.
        timeout_s: how long to wait for a lock.
        any_thread: one thread uses it at a time, but not always the one that opened it.

    Raises:
        StorageError: the file can't be opened.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        return sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=not any_thread)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}") from None
