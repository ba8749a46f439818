"""The journal: what it keeps over every way of being cut off, and what it refuses to go on from."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from opentsm_agent.journal import Journal, JournalWriteError, boot_id, read_journal
from opentsm_agent.journal_frames import FRAME_OVERHEAD_BYTES, JournalDamagedError, encode_frame, parse_frames
from opentsm_agent.journal_records import (
    CommandAnswered,
    CommandSent,
    JournalState,
    OrderNoted,
    OrderStarted,
    ReportMade,
    SessionEnded,
    SessionOpened,
)

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_agent.journal_records import Record

TSM = "https://tsm.test"
SECRET_ANSWER = bytes.fromhex("C0FFEE42C0FFEE429000")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def run_order(journal: Journal, order: int, answers: int, of: int = 3) -> None:
    """Start an order of `of` C-APDUs, and have `answers` of them answered."""
    journal.start_order("s", order, b"{}", "se", [of])
    for position in range(answers):
        journal.command_sent("s", 0, position, b"\x00\xa4\x04\x00")
        journal.command_answered("s", 0, position, SECRET_ANSWER)


class TestFrames:
    PAYLOADS = (b"first", b"", b"\x00" * 9, b"oTJ\x01 looks like the start of a frame")

    def content(self, durable: int = 0) -> bytes:
        return b"".join(encode_frame(number, durable, payload) for number, payload in enumerate(self.PAYLOADS))

    def test_frames_come_back(self) -> None:
        frames = parse_frames(self.content())
        assert frames.payloads == self.PAYLOADS
        assert frames.length == len(self.content())

    def test_cut_off_anywhere_the_whole_frames_are_left(self) -> None:
        content = self.content()
        ends = [0]
        for payload in self.PAYLOADS:
            ends.append(ends[-1] + FRAME_OVERHEAD_BYTES + len(payload))
        for cut in range(len(content) + 1):
            whole = sum(end <= cut for end in ends) - 1
            frames = parse_frames(content[:cut])
            assert frames.payloads == self.PAYLOADS[:whole]
            assert frames.length == ends[whole]

    def test_a_torn_end_of_zeros_or_with_a_hole_is_cut_off(self) -> None:
        content = self.content()
        first = len(encode_frame(0, 0, self.PAYLOADS[0]))
        assert parse_frames(content[:first] + bytes(500)).payloads == self.PAYLOADS[:1]
        hole = content[:first] + bytes(10) + content[first + 10 :]
        assert parse_frames(hole).payloads == self.PAYLOADS[:1]
        assert parse_frames(bytes(4096)).payloads == ()

    def test_a_flipped_bit_in_what_was_durable_is_damage_wherever_it_is(self) -> None:
        content = self.content(durable=1) + encode_frame(len(self.PAYLOADS), len(self.PAYLOADS), b"last")
        last = len(encode_frame(0, 0, b"last"))
        for index in range(len(content) - last):
            damaged = bytearray(content)
            damaged[index] ^= 0x10
            with pytest.raises(JournalDamagedError):
                parse_frames(bytes(damaged))

    def test_what_is_cut_off_from_a_compacted_file_is_damage(self) -> None:
        # It was on the disk as a whole before it got its name.
        content = self.content(durable=len(self.PAYLOADS))
        for cut in range(len(encode_frame(0, 0, self.PAYLOADS[0])), len(content)):
            with pytest.raises(JournalDamagedError, match="damaged at byte"):
                parse_frames(content[:cut])

    def test_another_file_is_not_taken_for_a_torn_journal(self) -> None:
        with pytest.raises(JournalDamagedError, match="no journal"):
            parse_frames(b"-----BEGIN PRIVATE KEY-----")


class TestState:
    OPEN = SessionOpened("s", TSM, extended=True)
    START = OrderStarted("s", 1, b"", "se", (2,), "boot")

    @pytest.mark.parametrize(
        "records",
        [
            [START],
            [OPEN, CommandSent("s", 0, 0, b"")],
            [OPEN, START, START],
            [OPEN, START, OrderNoted("s", 0)],
            [OPEN, START, CommandSent("s", 1, 0, b"")],
            [OPEN, START, CommandSent("s", 0, 1, b"")],
            [OPEN, START, CommandAnswered("s", 0, 1, b"")],
            [OPEN, START, CommandAnswered("s", 0, 0, b""), CommandAnswered("s", 0, 0, b"")],
            [OPEN, ReportMade("s", b"{}")],
            [OrderNoted("t", 1)],
        ],
    )
    def test_records_that_cannot_follow_one_another_are_damage(self, records: list[Record]) -> None:
        state = JournalState()
        for record in records[:-1]:
            state.apply(record)
        with pytest.raises(JournalDamagedError):
            state.apply(records[-1])

    def test_the_shortest_list_of_records_adds_up_to_the_same(self) -> None:
        state = JournalState()
        history: list[Record] = [
            self.OPEN,
            self.START,
            CommandSent("s", 0, 0, b"d"),
            CommandAnswered("s", 0, 0, SECRET_ANSWER),
            CommandSent("s", 0, 1, b"d"),
            SessionOpened("t", TSM, extended=False),
            OrderNoted("t", 7),
            SessionOpened("u", TSM, extended=True),
            OrderStarted("u", 3, b"", "se", (1,), "boot"),
            ReportMade("u", b"{}"),
            SessionEnded("u", keep=True),
            SessionOpened("v", TSM, extended=True),
            OrderStarted("v", 3, b"", "se", (1,), "boot"),
            CommandAnswered("v", 0, 0, b""),
            ReportMade("v", b"{}"),
        ]
        for record in history:
            state.apply(record)
        again = JournalState()
        for record in state.records():
            again.apply(record)
        assert (again.orphans, again.ended) == (state.orphans, state.ended)
        assert again.sessions["s"].current == state.sessions["s"].current
        assert again.sessions["t"].last_order == 7
        assert again.sessions["v"].last_order == 3
        assert "u" not in again.sessions

    def test_ended_sessions_and_kept_reports_are_bounded(self) -> None:
        state = JournalState()
        for number in range(500):
            session = f"s{number}"
            state.apply(SessionOpened(session, TSM, extended=True))
            state.apply(OrderStarted(session, 1, b"", "se", (1,), ""))
            state.apply(ReportMade(session, b"{}"))
            state.apply(SessionEnded(session, keep=True))
        assert "s499" in state.orphans
        assert len(state.orphans) == 16
        assert len(state.ended) == 64


class TestJournal:
    def test_what_was_written_is_there_after_a_kill(self, path: Path) -> None:
        with Journal(path) as journal:
            journal.open_session("s", TSM, extended=True)
            run_order(journal, 1, answers=2)
            journal.command_sent("s", 0, 2, b"\x00\xa4\x04\x00")
        with Journal(path) as journal:
            order = journal.state.sessions["s"].current
            assert order is not None
            assert order.answers == [[SECRET_ANSWER, SECRET_ANSWER]]
            assert [len(digests) for digests in order.digests] == [3]
            assert order.started.boot == boot_id()

    def test_the_file_is_for_its_owner_only(self, path: Path) -> None:
        with Journal(path) as journal:
            journal.open_session("s", TSM, extended=True)
            run_order(journal, 1, answers=1)
            run_order(journal, 2, answers=1)  # which has compacted
            assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_answers_are_erased_from_the_disk_once_acknowledged(self, path: Path) -> None:
        with Journal(path) as journal:
            journal.open_session("s", TSM, extended=True)
            run_order(journal, 1, answers=3)
            journal.report_made("s", b'{"R":"' + SECRET_ANSWER.hex().encode() + b'"}')
            assert SECRET_ANSWER in path.read_bytes()
            journal.start_order("s", 2, b"{}", "se", [1])
            left = path.read_bytes()
            assert SECRET_ANSWER not in left
            assert SECRET_ANSWER.hex().encode() not in left
            assert sorted(entry.name for entry in path.parent.iterdir()) == ["journal", "journal.lock"]
        state = read_journal(path)
        assert state.sessions["s"].last_order == 2

    def test_an_ended_session_leaves_nothing_but_its_last_order(self, path: Path) -> None:
        with Journal(path) as journal:
            journal.open_session("the-session-id", TSM, extended=True)
            journal.start_order("the-session-id", 4, b"{}", "se", [1])
            journal.end_session("the-session-id", keep=False)
            assert b"the-session-id" not in path.read_bytes()
            assert journal.open_session("the-session-id", TSM, extended=True).last_order == 4

    def test_an_order_is_on_the_disk_before_its_first_c_apdu_and_its_report_before_it_is_sent(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[int] = []
        real = os.fsync
        with Journal(path) as journal:
            journal.open_session("s", TSM, extended=True)

            def fsync(fd: int) -> None:
                real(fd)
                synced.append(path.stat().st_size)

            monkeypatch.setattr(os, "fsync", fsync)
            journal.start_order("s", 1, b"{}", "se", [1])
            assert synced == [path.stat().st_size]
            journal.command_sent("s", 0, 0, b"")
            journal.command_answered("s", 0, 0, b"\x90\x00")
            assert len(synced) == 1
            journal.report_made("s", b"{}")
            assert synced[1:] == [path.stat().st_size]

    def test_two_agents_cannot_hold_one_journal(self, path: Path) -> None:
        with Journal(path), pytest.raises(JournalWriteError, match="another agent"):
            Journal(path)
        Journal(path).close()

    def test_a_full_disk_is_an_error_and_leaves_a_sound_journal(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Journal(path) as journal:
            journal.open_session("s", TSM, extended=True)
            before = path.read_bytes()
            real = os.write

            def half(fd: int, data: bytes) -> int:
                if len(data) < 30:
                    raise OSError(28, "No space left on device")
                return real(fd, data[: len(data) // 2])

            monkeypatch.setattr(os, "write", half)
            with pytest.raises(JournalWriteError, match="No space"):
                journal.start_order("s", 1, b"{}", "se", [1])
            monkeypatch.undo()
            assert path.read_bytes() == before

    def test_damage_and_foreign_files_name_the_journal(self, path: Path) -> None:
        path.write_bytes(b"something else")
        with pytest.raises(JournalDamagedError, match=str(path)):
            Journal(path)
        assert path.read_bytes() == b"something else"
        path.write_bytes(encode_frame(0, 0, b"\xc1"))
        with pytest.raises(JournalDamagedError, match="record 0"):
            Journal(path)

    def test_a_directory_in_its_place_is_a_clear_error(self, path: Path) -> None:
        path.mkdir()
        with pytest.raises(JournalWriteError, match="journal"):
            Journal(path)


def test_a_closed_journal_is_free_though_a_program_is_just_being_started(path: Path) -> None:
    journal = Journal(path)
    copy = os.dup(journal._lock_fd)
    journal.close()
    Journal(path).close()
    os.close(copy)


class TestPowerLoss:
    def test_cut_at_every_byte_behind_the_last_sync_it_reads_as_a_prefix(self, path: Path, tmp_path: Path) -> None:
        with Journal(path) as journal:
            journal.open_session("s", TSM, extended=True)
            journal.start_order("s", 1, b"{}", "se", [3])
            durable = path.stat().st_size
            for position in range(3):
                journal.command_sent("s", 0, position, b"\x00\xa4\x04\x00")
                journal.command_answered("s", 0, position, SECRET_ANSWER)
        content = path.read_bytes()
        answers_seen = set()
        for cut in range(durable, len(content) + 1):
            lost = tmp_path / "lost"
            lost.write_bytes(content[:cut])
            with Journal(lost) as journal:
                session = journal.state.sessions["s"]
                assert session.last_order == 1
                assert session.current is not None
                answers_seen.add(len(session.current.answers[0]))
                with pytest.raises(JournalDamagedError):
                    journal.start_order("s", 1, b"{}", "se", [3])
                journal.start_order("s", 2, b"{}", "se", [1])
            assert read_journal(lost).sessions["s"].last_order == 2
            lost.unlink()
        assert answers_seen == {0, 1, 2, 3}

    def test_cut_where_it_was_synced_it_reads_as_a_prefix_or_says_that_it_is_damaged(
        self, path: Path, tmp_path: Path
    ) -> None:
        with Journal(path) as journal:
            journal.open_session("s", TSM, extended=True)
            run_order(journal, 1, answers=3)
            journal.report_made("s", b"{}")
            run_order(journal, 2, answers=1)
            whole = list(journal.state.records())
        content = path.read_bytes()
        for cut in range(len(content)):
            lost = tmp_path / "lost"
            lost.write_bytes(content[:cut])
            try:
                state = read_journal(lost)
            except JournalDamagedError:
                continue
            left = list(state.records())
            assert left == whole[: len(left)] or not left or state.sessions["s"].last_order == 2

    def test_a_compaction_that_was_cut_off_leaves_the_old_journal(self, path: Path) -> None:
        with Journal(path) as journal:
            journal.open_session("s", TSM, extended=True)
            run_order(journal, 1, answers=1)
        kept = path.with_name("kept")
        shutil.copy(path, kept)
        path.with_name("journal.new").write_bytes(kept.read_bytes()[:10])
        with Journal(path) as journal:
            assert journal.state.sessions["s"].last_order == 1
            journal.start_order("s", 2, b"{}", "se", [1])
        assert read_journal(path).sessions["s"].last_order == 2
