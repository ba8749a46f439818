"""Which cards an authentication has failed with: remembered across runs, so that no script fails a card to death.

One small file a card, below $XDG_STATE_HOME/opentsm/card-failures (~/.local/state by default).
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from opentsm_card.errors import StorageError

__all__ = ["Failure", "forget", "recall", "recall_all", "remember"]


@dataclass(frozen=True, slots=True)
class Failure:
    """What is remembered of a card.

    Args:
        card: its identifier.
        when: seconds since 1970.
        key_version: of the key set that was tried.
        scp: protocol and parameter.
        reason: what failed.
        count: how often since the last success.
    """

    card: str
    when: float
    key_version: int
    scp: str
    reason: str
    count: int = 1

    def describe(self) -> str:
        """Say it to people."""
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.when))
        times = "" if self.count == 1 else f", {self.count} times in all"
        return f"key version {self.key_version:#04x}, {self.scp}, {at}{times}: {self.reason}"


def _folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "opentsm" / "card-failures"


def _path(card: str) -> Path:
    return _folder() / f"{card}.json"


def _read(path: Path) -> Failure | None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    import json  # noqa: PLC0415 - most cards have no record

    try:
        return Failure(**json.loads(text))
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        # Half a record is still a record: the card stays protected.
        raise StorageError(f"{path}: damaged; a failure with this card was recorded here. Remove the file") from error


def recall(card: str) -> Failure | None:
    """Return what is remembered of a card, or None.

    Raises:
        StorageError: there is a record that can't be read.
    """
    return _read(_path(card))


def recall_all() -> tuple[Failure, ...]:
    """Return all records, by card.

    Raises:
        StorageError: one can't be read.
    """
    folder = _folder()
    found = [_read(path) for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []
    return tuple(failure for failure in found if failure is not None)


def remember(card: str, *, key_version: int, scp: str, reason: str) -> None:
    """Record that an authentication failed, synced to disk.

    Raises:
        StorageError: it can't be written.
    """
    import json  # noqa: PLC0415 - as above

    path = _path(card)
    count = 0
    # A record that can't be read is replaced by one that can.
    with contextlib.suppress(StorageError):
        before = _read(path)
        count = before.count if before is not None else 0
    record = Failure(card, time.time(), key_version, scp, reason, count + 1)
    new = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with new.open("w", encoding="utf-8") as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}: the failure with card {card} can't be remembered") from error


def forget(card: str) -> bool:
    """Forget what is remembered of a card; False when there was nothing.

    Raises:
        StorageError: the record can't be removed.
    """
    path = _path(card)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    return True
