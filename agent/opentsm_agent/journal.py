"""The agent's journal: what makes a report repeatable, an order never run twice, and a doubt explicit.

An order is recorded and synced to the disk before its first C-APDU; each C-APDU's position and digest before it
is given to the card; each R-APDU as it comes; the report, synced, before it is sent. After a SIGKILL nothing is
lost. After a power loss what was written behind the last sync may be, so everything behind the last R-APDU
found is in doubt.

R-APDUs are erased once their report was acknowledged: the file is written anew without them, and renamed into place.

One process at a time holds a journal (a lock beside it); in it, any thread may write.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from opentsm_agent.journal_frames import JournalDamagedError, encode_frame, parse_frames
from opentsm_agent.journal_records import (
    CommandAnswered,
    CommandSent,
    CookiesKept,
    JournalState,
    OrderNoted,
    OrderStarted,
    OrphanTold,
    Record,
    ReportMade,
    SessionEnded,
    SessionOpened,
    SessionState,
)
from opentsm_card.errors import ProtocolError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Journal", "JournalWriteError", "boot_id", "read_journal"]

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_MAX_GARBAGE: Final = 64
_encoder: Final = msgspec.msgpack.Encoder()


@functools.cache
def _decoder() -> msgspec.msgpack.Decoder[Record]:
    """Return what decodes records, made at the first: most starts meet an empty journal."""
    return msgspec.msgpack.Decoder(Record)


class JournalWriteError(StorageError):
    """The journal can't be written (disk full, rights); without it the agent must not run anything."""


def boot_id() -> str:
    """Return what identifies this run of the operating system; "" where it has no such thing.

    Two equal, non-empty values mean that no power was lost in between: what was written is there, synced or not.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def read_journal(path: Path) -> JournalState:
    """Read a journal without holding it; a missing one is empty.

    Raises:
        JournalDamagedError: it is damaged, or no journal.
        StorageError: it can't be read.
    """
    try:
        return _load(path)[0]
    except OSError as error:
        raise StorageError(f"journal {path}: {error.strerror}") from error


class Journal:
    """An open journal.

    Args:
        path: of the file; it is created where missing, with rights for its owner only.

    Raises:
        JournalDamagedError: the file is damaged, or no journal.
        JournalWriteError: another process holds it, or it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._fd = self._lock_fd = -1
        self._durable = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_fd = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.state, self._count, self._length = _load(path)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            # The torn end goes now: a new record behind it would look like damage.
            os.ftruncate(self._fd, self._length)
            self._sync()
            _sync_directory(path.parent)
        except BlockingIOError as error:
            self.close()
            raise JournalWriteError(f"journal {path}: another agent runs with this journal") from error
        except OSError as error:
            self.close()
            raise JournalWriteError(f"journal {path}: {error.strerror}") from error
        except JournalDamagedError:
            self.close()
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[JournalState]:
        """Keep the state as it is while a thread looks at it."""
        with self._lock:
            yield self.state

    def append(self, record: Record, *, sync: bool = False) -> None:
        """Add one record: the one way anything gets into the journal.

        Args:
            record: what happened.
            sync: return only when this record, and all before it, are on the disk.

        Raises:
            JournalWriteError: it could not be written.
        """
        with self._lock:
            self.state.apply(record)
            frame = encode_frame(self._count, self._durable, _encoder.encode(record))
            try:
                _write(self._fd, frame)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, self._length)
                raise JournalWriteError(f"journal {self._path}: {error.strerror}") from error
            self._count += 1
            self._length += len(frame)
            if sync:
                self._sync()

    def open_session(self, session: str, tsm: str, *, extended: bool) -> SessionState:
        """Record a session that was agreed with the TSM at this URL."""
        with self._lock:
            self.append(SessionOpened(session, tsm, extended))
            return self.state.sessions[session]

    def start_order(self, session: str, order: int, document: bytes, se: str, sizes: Sequence[int]) -> None:
        """Record, and sync, that an order is about to run, and erase the answers whose report it acknowledges.

        Args:
            session: the session's id.
            order: its number, higher than any before it in this session.
            document: the order as received.
            se: identifier of the secure element that it concerns; "" when it has no C-APDU.
            sizes: the number of C-APDUs of each SE RAM command.
        """
        digest = hashlib.sha256(document).digest()
        with self._lock:
            # What is written anew is synced as a whole: then the record needs no sync of its own.
            sync = any(sizes) and not self.state.erases_with(session)
            self.append(OrderStarted(session, order, digest, se, tuple(sizes), boot_id()), sync=sync)
            self._compact()

    def command_sent(self, session: str, command: int, position: int, c_apdu: bytes) -> None:
        """Record that a C-APDU is about to be given to the card."""
        self.append(CommandSent(session, command, position, hashlib.sha256(c_apdu).digest()))

    def command_answered(self, session: str, command: int, position: int, r_apdu: bytes) -> None:
        """Record an R-APDU."""
        self.append(CommandAnswered(session, command, position, r_apdu))

    def report_made(self, session: str, report: bytes) -> None:
        """Record, and sync, the report of the started order."""
        self.append(ReportMade(session, report), sync=True)

    def note_order(self, session: str, order: int, document: bytes) -> None:
        """Record an order without commands, and erase the answers whose report it acknowledges.

        Args:
            session: the session's id.
            order: its number.
            document: the order as received.
        """
        with self._lock:
            self.append(OrderNoted(session, order, hashlib.sha256(document).digest()))
            self._compact()

    def keep_cookies(self, session: str, cookies: Mapping[str, str]) -> None:
        """Record what the cookie jar of a session holds; the next sync takes it along."""
        with self._lock:
            self.append(CookiesKept(session, dict(cookies)))
            if self.state.garbage > _MAX_GARBAGE:
                self._compact()

    def end_session(self, session: str, *, keep: bool) -> None:
        """Record a session's end; `keep` its unacknowledged report, to be told in a later session."""
        with self._lock:
            self.append(SessionEnded(session, keep), sync=keep)
            self._compact()

    def orphans_told(self, sessions: Sequence[str]) -> None:
        """Record that the TSM now has the reports of these dropped sessions, and erase them."""
        with self._lock:
            for session in sessions:
                self.append(OrphanTold(session))
            self._compact()

    def close(self) -> None:
        """Release the journal; safe to call twice."""
        with self._lock:
            if self._lock_fd >= 0:
                # Closing alone would leave it to a copy: a program that is being started has one until it runs.
                fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
            for fd in (self._fd, self._lock_fd):
                if fd >= 0:
                    os.close(fd)
            self._fd = self._lock_fd = -1

    def __enter__(self) -> Self:
        """Return the journal itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Release the journal."""
        self.close()

    def _sync(self) -> None:
        os.fsync(self._fd)
        self._durable = self._count

    def _compact(self) -> None:
        """Write the file anew without what was acknowledged, when there is any of it."""
        if not self.state.garbage:
            return
        payloads = [_encoder.encode(record) for record in self.state.records()]
        content = b"".join(encode_frame(number, len(payloads), payload) for number, payload in enumerate(payloads))
        new = self._path.with_name(self._path.name + ".new")
        try:
            fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                _write(fd, content)
                os.fsync(fd)
                new.rename(self._path)
            except OSError:
                os.close(fd)
                raise
            _sync_directory(self._path.parent)
        except OSError as error:
            raise JournalWriteError(f"journal {self._path}: {error.strerror}") from error
        os.close(self._fd)
        self._fd, self._count, self._length = fd, len(payloads), len(content)
        self._durable = self._count
        self.state.garbage = 0


def _load(path: Path) -> tuple[JournalState, int, int]:
    """Return the state, the number of records and the length of the sound part."""
    state = JournalState()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return state, 0, 0
    try:
        frames = parse_frames(content)
        for number, payload in enumerate(frames.payloads):
            try:
                state.apply(_decoder().decode(payload))
            except msgspec.MsgspecError as error:
                raise JournalDamagedError(f"record {number} is none that this agent knows: {error}") from error
    except ProtocolError as error:
        raise JournalDamagedError(f"journal {path}: {error}") from error
    return state, len(frames.payloads), frames.length


def _write(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
