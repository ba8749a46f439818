"""The records of the journal, and what they add up to.

`JournalState.apply` is the only place where a record changes what is known, at reading and at writing alike; so
what a restarted agent knows is what the old one knew. `records` gives the shortest list of records that adds up
to the same.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from opentsm_agent.journal_frames import JournalDamagedError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "MAX_SESSIONS",
    "CommandAnswered",
    "CommandSent",
    "CookiesKept",
    "JournalState",
    "OrderNoted",
    "OrderStarted",
    "OrderState",
    "Orphan",
    "OrphanTold",
    "Record",
    "ReportMade",
    "SessionEnded",
    "SessionForgotten",
    "SessionOpened",
    "SessionState",
    "session_digest",
    "session_mark",
]

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_MAX_ENDED: Final = 64
_MAX_ORPHANS: Final = 16

MAX_SESSIONS: Final = 64
"""How many sessions a journal holds open; one more ends the oldest, as if its TSM had dropped it."""


class SessionOpened(msgspec.Struct, frozen=True, array_like=True, tag="open"):
    """A session was agreed with a TSM at this URL; `extended` when the TSM knows our members."""

    session: str
    tsm: str
    extended: bool


class OrderStarted(msgspec.Struct, frozen=True, array_like=True, tag="start"):
    """An order is about to run; it acknowledges every earlier report of its session.

    `digest` is the SHA-256 of the order as received; `sizes` the number of C-APDUs of each of its SE RAM commands;
    `boot` identifies this run of the operating system.
    """

    session: str
    order: int
    digest: bytes
    se: str
    sizes: tuple[int, ...]
    boot: str


class CommandSent(msgspec.Struct, frozen=True, array_like=True, tag="sent"):
    """A C-APDU is about to be given to the card; `digest` is its SHA-256."""

    session: str
    command: int
    position: int
    digest: bytes


class CommandAnswered(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    """The card answered."""

    session: str
    command: int
    position: int
    r_apdu: bytes


class ReportMade(msgspec.Struct, frozen=True, array_like=True, tag="report"):
    """The report of the started order, as it will be sent, each time the same."""

    session: str
    report: bytes


class OrderNoted(msgspec.Struct, frozen=True, array_like=True, tag="noted"):
    """An order without commands came; it acknowledges every earlier report of its session.

    `digest` is the SHA-256 of the order as received, b"" where it is not known.
    """

    session: str
    order: int
    digest: bytes = b""


class CookiesKept(msgspec.Struct, frozen=True, array_like=True, tag="cookies"):
    """What the cookie jar of a session holds now."""

    session: str
    cookies: dict[str, str]


class SessionEnded(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """A session ended; `keep` when the TSM dropped it, so that a report it may not have is told in the next one."""

    session: str
    keep: bool


class SessionForgotten(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """A session that ended earlier: the digest of its id, and its last order, which stays never to be run again."""

    digest: bytes
    order: int


class Orphan(msgspec.Struct, frozen=True, array_like=True, tag="orphan"):
    """A report whose session was dropped before the report was acknowledged."""

    session: str
    tsm: str
    order: int
    report: bytes


class OrphanTold(msgspec.Struct, frozen=True, array_like=True, tag="told"):
    """The TSM has an orphan's report now."""

    session: str


Record = (
    SessionOpened
    | OrderStarted
    | CommandSent
    | CommandAnswered
    | ReportMade
    | OrderNoted
    | CookiesKept
    | SessionEnded
    | SessionForgotten
    | Orphan
    | OrphanTold
)


def session_digest(session: str) -> bytes:
    """Return what stands for an ended session's id."""
    return hashlib.sha256(session.encode()).digest()[:16]


def session_mark(session: str) -> str:
    """Return what stands for a session's id where people read: 8 digits that lead nobody to it."""
    return session_digest(session)[:4].hex()


class OrderState(msgspec.Struct):
    """An order that was started, and not acknowledged yet.

    `digests` has, for each SE RAM command, the SHA-256 of each C-APDU that was given to the card.
    """

    started: OrderStarted
    digests: list[list[bytes]]
    answers: list[list[bytes]]
    report: bytes | None = None


class SessionState(msgspec.Struct):
    """An open session."""

    opened: SessionOpened
    last_order: int = 0
    current: OrderState | None = None
    last_digest: bytes = b""
    cookies: dict[str, str] = {}


class JournalState(msgspec.Struct):
    """What the records of a journal add up to.

    `garbage` counts records whose effect later ones have undone: what a compaction would save.
    """

    sessions: dict[str, SessionState] = {}
    orphans: dict[str, Orphan] = {}
    ended: dict[bytes, int] = {}
    garbage: int = 0

    def apply(self, record: Record) -> None:
        """Add one record.

        Raises:
            JournalDamagedError: the record can't follow those before it.
        """
        match record:
            case SessionOpened():
                last = self.ended.get(session_digest(record.session), 0)
                self.sessions[record.session] = SessionState(record, last)
                while len(self.sessions) > MAX_SESSIONS:
                    self._end(SessionEnded(next(iter(self.sessions)), keep=True))
            case OrderStarted():
                self._start(record)
            case CommandSent() | CommandAnswered() | ReportMade():
                self._add_to_order(record)
            case OrderNoted():
                session = self._session(record.session)
                if record.order < session.last_order:
                    raise JournalDamagedError(f"journal: order {record.order} comes after {session.last_order}")
                self._acknowledge(session)
                session.last_order, session.last_digest = record.order, record.digest
            case CookiesKept():
                session = self._session(record.session)
                self.garbage += bool(session.cookies)
                session.cookies = record.cookies
            case SessionEnded():
                self._end(record)
            case SessionForgotten():
                self.ended[record.digest] = record.order
            case Orphan():
                self.orphans[record.session] = record
            case OrphanTold():
                self.orphans.pop(record.session, None)
                self.garbage += 2

    def erases_with(self, session: str) -> bool:
        """Tell whether an order of a session, when it starts, leaves something to be erased."""
        return bool(self.garbage) or self._session(session).current is not None

    def records(self) -> Iterator[Record]:
        """Give the records that add up to this state, and nothing that was acknowledged."""
        for digest, order in self.ended.items():
            yield SessionForgotten(digest, order)
        yield from self.orphans.values()
        for name, session in self.sessions.items():
            yield from _session_records(name, session)

    def _session(self, name: str) -> SessionState:
        session = self.sessions.get(name)
        if session is None:
            raise JournalDamagedError("journal: a record belongs to a session that is not open")
        return session

    def _acknowledge(self, session: SessionState) -> None:
        if session.current is not None:
            session.current = None
            self.garbage += 1

    def _start(self, record: OrderStarted) -> None:
        session = self._session(record.session)
        if record.order <= session.last_order:
            raise JournalDamagedError(f"journal: order {record.order} starts after order {session.last_order}")
        self._acknowledge(session)
        session.last_order, session.last_digest = record.order, record.digest
        session.current = OrderState(record, [[] for _ in record.sizes], [[] for _ in record.sizes])

    def _add_to_order(self, record: CommandSent | CommandAnswered | ReportMade) -> None:
        order = self._session(record.session).current
        if order is None:
            raise JournalDamagedError("journal: a record belongs to an order that was not started")
        if isinstance(record, ReportMade):
            order.report = record.report
            return
        if not 0 <= record.command < len(order.started.sizes):
            raise JournalDamagedError(f"journal: SE RAM command {record.command} is not in its order")
        answers = order.answers[record.command]
        if record.position != len(answers) or record.position >= order.started.sizes[record.command]:
            raise JournalDamagedError(f"journal: C-APDU {record.position} comes after {len(answers)} answers")
        if isinstance(record, CommandSent):
            del order.digests[record.command][record.position :]
            order.digests[record.command].append(record.digest)
        else:
            answers.append(record.r_apdu)

    def _end(self, record: SessionEnded) -> None:
        session = self.sessions.pop(record.session, None)
        if session is None:
            return
        order = session.current
        if record.keep and order is not None and order.report is not None and order.started.sizes:
            tsm = session.opened.tsm
            self.orphans[record.session] = Orphan(record.session, tsm, session.last_order, order.report)
        _drop_oldest(self.orphans, _MAX_ORPHANS)
        if session.last_order:
            digest = session_digest(record.session)
            self.ended.pop(digest, None)
            self.ended[digest] = session.last_order
        _drop_oldest(self.ended, _MAX_ENDED)
        self.garbage += 1


def _session_records(name: str, session: SessionState) -> Iterator[Record]:
    yield session.opened
    if session.cookies:
        yield CookiesKept(name, session.cookies)
    current = session.current
    if current is None:
        if session.last_order:
            yield OrderNoted(name, session.last_order, session.last_digest)
        return
    yield current.started
    if current.report is not None:
        yield ReportMade(name, current.report)
        return
    for command, answers in enumerate(current.answers):
        digests = current.digests[command]
        for position, r_apdu in enumerate(answers):
            if position < len(digests):
                yield CommandSent(name, command, position, digests[position])
            yield CommandAnswered(name, command, position, r_apdu)
        for position in range(len(answers), len(digests)):
            yield CommandSent(name, command, position, digests[position])


def _drop_oldest(entries: dict[_Key, _Value], most: int) -> None:
    while len(entries) > most:
        del entries[next(iter(entries))]
