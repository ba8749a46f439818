"""The journal's bounds, the cookie jar in it, and what it keeps of C-APDUs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from opentsm_agent.journal import Journal, read_journal
from opentsm_agent.journal_records import MAX_SESSIONS

TSM = "https://tsm.test"
C_APDUS = tuple(bytes.fromhex("80E60C0003AABB") + bytes((number,)) for number in range(3))
SECRET_ANSWER = b"an answer that nobody needs any more\x90\x00"


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def digests() -> list[bytes]:
    return [hashlib.sha256(c_apdu).digest() for c_apdu in C_APDUS]


def test_a_session_s_cookies_outlive_the_agent_and_a_compaction(path: Path) -> None:
    with Journal(path) as journal:
        journal.open_session("one", TSM, extended=True)
        journal.keep_cookies("one", {"route": "a"})
        journal.keep_cookies("one", {"route": "b", "opentsm-order": "3"})
        journal.start_order("one", 1, b"order", "se", [1])
        assert journal.state.garbage == 0, "the start has compacted it"
    assert read_journal(path).sessions["one"].cookies == {"route": "b", "opentsm-order": "3"}
    assert b'"a"' not in path.read_bytes()


def test_a_jar_that_changes_with_every_answer_does_not_fill_the_disk(path: Path) -> None:
    with Journal(path) as journal:
        journal.open_session("one", TSM, extended=False)
        for number in range(1000):
            journal.keep_cookies("one", {"now": f"{number:0100}"})
            assert path.stat().st_size < 32 * 1024


def test_digests_and_positions_are_kept_through_a_compaction_and_no_c_apdu_is(path: Path) -> None:
    with Journal(path) as journal:
        journal.open_session("one", TSM, extended=True)
        journal.open_session("other", TSM, extended=True)
        journal.start_order("one", 1, b"order", "se", [3])
        for position, c_apdu in enumerate(C_APDUS):
            journal.command_sent("one", 0, position, c_apdu)
            if position < 2:
                journal.command_answered("one", 0, position, SECRET_ANSWER)
        journal.note_order("other", 1, b"nothing to do")
        journal.end_session("other", keep=False)
    order = read_journal(path).sessions["one"].current
    assert order is not None
    assert order.digests == [digests()]
    assert len(order.answers[0]) == 2
    content = path.read_bytes()
    assert not any(c_apdu in content for c_apdu in C_APDUS)
    assert SECRET_ANSWER in content


def test_answers_are_erased_once_they_are_acknowledged_and_the_order_s_digest_stays(path: Path) -> None:
    with Journal(path) as journal:
        journal.open_session("one", TSM, extended=True)
        journal.start_order("one", 1, b"first", "se", [1])
        journal.command_sent("one", 0, 0, C_APDUS[0])
        journal.command_answered("one", 0, 0, SECRET_ANSWER)
        journal.report_made("one", b"the report of the first")
        journal.note_order("one", 2, b"second")
        content = path.read_bytes()
        assert SECRET_ANSWER not in content
        assert b"the report of the first" not in content
    state = read_journal(path).sessions["one"]
    assert (state.last_order, state.last_digest) == (2, hashlib.sha256(b"second").digest())


def test_one_session_too_many_ends_the_oldest_and_keeps_its_report_and_last_order(path: Path) -> None:
    with Journal(path) as journal:
        journal.open_session("oldest", TSM, extended=True)
        journal.start_order("oldest", 4, b"order", "se", [1])
        journal.command_sent("oldest", 0, 0, C_APDUS[0])
        report = b'{"localAgentStatus":{"localAgentStatusEnum":"PROCESSED"}}'
        journal.report_made("oldest", report)
        for number in range(MAX_SESSIONS):
            journal.open_session(f"session-{number}", TSM, extended=True)
    for state in (read_journal(path), journal.state):
        assert len(state.sessions) == MAX_SESSIONS
        assert "oldest" not in state.sessions
        assert state.orphans["oldest"].report == report
    with Journal(path) as journal:
        assert journal.open_session("oldest", TSM, extended=True).last_order == 4, "it is never run again"


@pytest.mark.parametrize("acknowledges", [False, True])
def test_a_started_order_is_on_the_disk_before_anything_else(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    acknowledges: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    synced: list[bytes] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        real(fd)
        link = Path(f"/proc/self/fd/{fd}").readlink()
        synced.append(link.read_bytes() if link.is_file() else b"")

    with Journal(path) as journal:
        journal.open_session("one", TSM, extended=True)
        if acknowledges:
            journal.start_order("one", 1, b"first", "se", [1])
            journal.report_made("one", b"report")
        monkeypatch.setattr(os, "fsync", fsync)
        journal.start_order("one", 7, b"an order", "se", [1])
        monkeypatch.setattr(os, "fsync", real)
    assert any(hashlib.sha256(b"an order").digest() in content for content in synced)
    assert len(synced) == (2 if acknowledges else 1), "a file that is written anew and its folder; or the record"
