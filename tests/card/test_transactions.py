"""Transactions of the virtual card: a test for each rule, its clause in the name (JCRE 3.0.5, JC API 3.0.5)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from opentsm_card.delete import DeleteObject
from opentsm_card.errors import LinkTimeoutError
from sd_host import CARD_2
from tearing_card import ABORT, BEGIN, COMMIT, FAIL, Report, TearingCard

if TYPE_CHECKING:
    from collections.abc import Mapping

# TransactionException.IN_PROGRESS, NOT_IN_PROGRESS, BUFFER_FULL.
IN_PROGRESS, NOT_IN_PROGRESS, BUFFER_FULL = 0x6A01, 0x6A02, 0x6A03

# What each way of writing changes, by INS.
CHANGES: Mapping[int, dict[str, Any]] = {
    0x01: {"number": 5},
    0x02: {"record": b"\5" * 16},
    0x03: {"shared": 5, "table": 5},
    0x04: {"record": b"\5" * 16},
    0x09: {"key": b"\5" * 16},
    0x0B: {"made": 5, "session": True},
    0x10: {"shorts": (5, 5)},
    0x11: {"record": b"\5\5" + bytes(14)},
    0x12: {"number": 5, "other": 5},
}


@pytest.fixture
def tearing() -> TearingCard:
    return TearingCard()


def after(**changes: Any) -> Report:
    """Return what the applet holds after a command that wrote 5s."""
    return dataclasses.replace(Report(scratch=5), **changes)


@pytest.mark.parametrize("ins", CHANGES)
def test_jcre_7_2_what_is_committed_stays(tearing: TearingCard, ins: int) -> None:
    assert tearing.write(ins, how=BEGIN | COMMIT).sw == 0x9000
    assert tearing.report() == after(**CHANGES[ins])


@pytest.mark.parametrize("ins", [ins for ins in CHANGES if ins != 0x0B])
def test_jcre_7_6_1_what_is_aborted_is_as_before(tearing: TearingCard, ins: int) -> None:
    assert tearing.write(ins, how=BEGIN | ABORT).sw == 0x9000
    assert tearing.report() == after()


@pytest.mark.parametrize("ins", CHANGES)
@pytest.mark.parametrize("how", [BEGIN, BEGIN | FAIL], ids=["returns", "throws"])
def test_jcre_7_6_2_a_transaction_left_open_by_process_is_aborted(tearing: TearingCard, ins: int, how: int) -> None:
    assert tearing.write(ins, how=how).sw == (0x6985 if how & FAIL else 0x9000)
    assert tearing.report() == after()


def test_jcre_7_6_2_a_transaction_left_open_by_select_is_aborted(tearing: TearingCard) -> None:
    tearing.write(0x13, 1)
    tearing.reset()
    assert tearing.report().number == 1


def test_jcre_7_6_2_a_transaction_left_open_by_deselect_is_aborted(tearing: TearingCard) -> None:
    tearing.write(0x13, 2)
    tearing.manage()
    tearing.select()
    assert tearing.report().number == 1
    tearing.write(0x13, 3)
    tearing.manage()
    tearing.select()
    assert tearing.report().number == 99  # deselect() does run


def test_jcre_3_6_a_reset_calls_no_deselect(tearing: TearingCard) -> None:
    tearing.write(0x13, 3)
    tearing.reset()
    assert tearing.report().number == 1


def test_jcre_7_1_writes_without_a_transaction_stay_when_the_command_fails(tearing: TearingCard) -> None:
    assert tearing.write(0x12, how=FAIL).sw == 0x6985
    assert tearing.report() == after(number=5, other=5)


def test_jcre_7_4_transactions_do_not_nest(tearing: TearingCard) -> None:
    assert tearing.write(0x0F, how=BEGIN).sw == IN_PROGRESS
    assert tearing.write(0x01, how=BEGIN | COMMIT).sw == 0x9000


def test_jcsystem_commit_and_abort_want_a_transaction(tearing: TearingCard) -> None:
    assert tearing.write(0x01, how=COMMIT).sw == NOT_IN_PROGRESS
    assert tearing.write(0x01, 6, how=ABORT).sw == NOT_IN_PROGRESS
    assert tearing.report().number == 6


def test_jcre_7_6_1_writes_behind_an_abort_are_no_part_of_it(tearing: TearingCard) -> None:
    assert tearing.write(0x16, how=BEGIN).sw == 0x9000
    assert tearing.report() == after(other=5)


def test_jcsystem_get_transaction_depth_and_commit_capacity() -> None:
    card = TearingCard(commit_bytes=100)

    def figures(how: int) -> tuple[int, int, int]:
        data = card.write(0x0D, how=how).data
        return data[0], int.from_bytes(data[1:3], "big"), int.from_bytes(data[3:5], "big")

    assert figures(0) == (0, 100, 100)
    # A short: 4 bytes that say where it is, and its 2.
    assert figures(BEGIN | COMMIT) == (1, 100, 94)


def test_jcre_7_8_more_than_the_commit_buffer_holds_is_refused() -> None:
    card = TearingCard(commit_bytes=100)
    assert card.write(0x0E, how=BEGIN).sw == BUFFER_FULL
    # Each element of the array takes 5 bytes: 16 of them go, and are committed.
    assert card.write(0x02, how=BEGIN | COMMIT).sw == 0x9000
    assert card.report().record == b"\5" * 16


def test_util_array_copy_is_refused_whole_when_the_commit_buffer_is_too_small() -> None:
    card = TearingCard(commit_bytes=50)
    assert card.write(0x04, how=BEGIN | COMMIT).sw == BUFFER_FULL
    assert card.report().record == bytes(16)
    assert card.write(0x04).sw == 0x9000  # without a transaction nothing is buffered


def test_a_place_is_buffered_once() -> None:
    """What the buffer keeps is what was there before: a second write to the same place takes nothing."""
    card = TearingCard(commit_bytes=8)
    assert card.write(0x01, how=BEGIN | COMMIT).sw == 0x9000
    assert card.write(0x12, how=BEGIN | COMMIT).sw == BUFFER_FULL


@pytest.mark.parametrize("ins", [0x05, 0x06])
def test_util_non_atomic_writes_are_no_part_of_a_transaction(tearing: TearingCard, ins: int) -> None:
    assert tearing.write(ins, how=BEGIN | ABORT).sw == 0x9000
    assert tearing.report() == after(record=b"\5" * 16)


def test_util_non_atomic_writes_leave_the_rest_of_the_transaction(tearing: TearingCard) -> None:
    assert tearing.write(0x15, how=BEGIN | ABORT).sw == 0x9000
    assert tearing.report() == after(record=b"\5" * 16, number=1)


def test_owner_pin_a_try_is_counted_whatever_becomes_of_the_transaction(tearing: TearingCard) -> None:
    for left in (2, 1, 0):
        tearing.write(0x07, how=BEGIN | ABORT)
        assert tearing.report().tries == left
    tearing.write(0x07, 1, how=BEGIN | COMMIT)
    assert tearing.report().tries == 0  # blocked, though the PIN is right


def test_owner_pin_a_right_presentation_is_no_part_of_a_transaction(tearing: TearingCard) -> None:
    tearing.write(0x07, 9)
    tearing.write(0x07, 1, how=BEGIN | ABORT)
    report = tearing.report()
    assert (report.tries, report.validated) == (3, True)


def test_owner_pin_an_update_is_part_of_a_transaction(tearing: TearingCard) -> None:
    tearing.write(0x07, 9)
    tearing.write(0x08, 5, how=BEGIN | ABORT)
    assert tearing.report().tries == 2
    tearing.write(0x07, 1)
    assert tearing.report().validated  # by the PIN of before
    tearing.write(0x08, 5, how=BEGIN | COMMIT)
    tearing.write(0x07, 5)
    assert tearing.report().validated


def test_jcre_7_7_transient_arrays_are_never_rolled_back(tearing: TearingCard) -> None:
    tearing.write(0x0A, 7, how=BEGIN | ABORT)
    report = tearing.report()
    assert (report.scratch, report.session) == (7, True)


def test_jcre_7_6_3_references_to_objects_of_an_aborted_transaction_are_null(tearing: TearingCard) -> None:
    """Also the one in a transient array, which is not rolled back itself."""
    tearing.write(0x0B, how=BEGIN)
    report = tearing.report()
    assert (report.made, report.session) == (0, False)


def test_jcre_7_6_3_what_was_made_in_an_aborted_transaction_takes_no_memory(tearing: TearingCard) -> None:
    before = tearing.se.figures()
    tearing.write(0x0B, how=BEGIN)
    assert tearing.se.figures() == before
    tearing.write(0x0B)
    assert tearing.se.figures() != before


def test_jcre_7_6_3_an_applet_that_aborts_what_it_made_objects_in_locks_the_session_up(tearing: TearingCard) -> None:
    """Its stack may hold references to what is gone: nothing goes on until the reset."""
    with pytest.raises(LinkTimeoutError, match="locked up"):
        tearing.write(0x0B, how=BEGIN | ABORT)
    with pytest.raises(LinkTimeoutError):
        tearing.report()
    tearing.reset()
    assert tearing.report() == Report()


def test_jcre_3_1_of_an_installation_that_fails_nothing_stays(tearing: TearingCard) -> None:
    tearing.manage()
    before = tearing.se.figures(), tearing.se.registry_lines()
    assert tearing.install(CARD_2, b"\x01") != 0x9000
    assert (tearing.se.figures(), tearing.se.registry_lines()) == before
    tearing.select()
    report = tearing.report()
    assert (report.shared, report.table) == (1, 1)


def test_jcre_11_3_4_a_deleted_instance_takes_no_memory(tearing: TearingCard) -> None:
    host = tearing.manage()
    before = tearing.se.figures()
    assert tearing.install(CARD_2) == 0x9000
    assert tearing.se.figures() != before
    host.done(DeleteObject(CARD_2))
    assert tearing.se.figures() == before
