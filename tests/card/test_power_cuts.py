"""Power cuts of the virtual card at single persistent writes (JCRE 3.0.5, 3.6, 7.5)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from opentsm_card.errors import LinkTimeoutError, ProtocolError
from opentsm_simulator.power import Step, sweep
from sd_host import CARD_2
from tearing_card import BEGIN, COMMIT, Report, TearingCard

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tearing() -> TearingCard:
    return TearingCard()


def cut_everywhere(tearing: TearingCard, ins: int, how: int = 0) -> Iterator[Report]:
    """Cut the power at each write of a command in turn, and yield what is left; the last time it is not cut."""
    for at_write in itertools.count(1):
        tearing.se.cut_power(at_write=at_write)
        try:
            tearing.write(ins, how=how)
        except LinkTimeoutError:
            assert tearing.se.is_cut
            tearing.reset()
            yield tearing.report()
        else:
            tearing.se.cut_power(at_write=0)
            yield tearing.report()
            return


def records(reports: Iterator[Report]) -> list[bytes]:
    return [report.record for report in reports]


def test_a_card_without_power_is_mute_until_it_is_reset(tearing: TearingCard) -> None:
    tearing.se.cut_power(at_write=1)
    for _ in range(2):
        with pytest.raises(LinkTimeoutError, match="power was cut"):
            tearing.write(0x01)
    contactless = tearing.se.link("contactless")  # gives the power back, to the card as a whole
    assert not tearing.se.is_cut
    contactless.close()
    tearing.select()
    assert tearing.report() == Report()


def test_writes_are_counted_only_where_they_are_persistent(tearing: TearingCard) -> None:
    tearing.se.count_writes()
    tearing.report()
    assert tearing.se.writes == 0  # the APDU buffer, transient arrays
    tearing.write(0x12)
    assert tearing.se.writes == 2
    tearing.write(0x02)
    assert tearing.se.writes == 2 + 16
    tearing.write(0x12, how=BEGIN | COMMIT)
    assert tearing.se.writes == 2 + 16 + 3  # the commit is one


def test_what_was_written_before_the_cut_stays(tearing: TearingCard) -> None:
    found = [(report.number, report.other) for report in cut_everywhere(tearing, 0x12)]
    assert found == [(1, 1), (5, 1), (5, 5)]


def test_jcre_7_5_a_transaction_is_undone_at_the_reset_behind_the_cut(tearing: TearingCard) -> None:
    found = [(report.number, report.other) for report in cut_everywhere(tearing, 0x12, BEGIN | COMMIT)]
    assert found == [(1, 1)] * 3 + [(5, 5)]


def test_jcre_7_1_a_single_write_is_atomic(tearing: TearingCard) -> None:
    assert [report.number for report in cut_everywhere(tearing, 0x01)] == [1, 5]
    assert [report.key[0] for report in cut_everywhere(tearing, 0x09)] == [1, 5]


def test_util_array_copy_and_set_short_are_atomic_outside_of_a_transaction(tearing: TearingCard) -> None:
    assert records(cut_everywhere(tearing, 0x11)) == [bytes(16), b"\5\5" + bytes(14)]
    assert records(cut_everywhere(tearing, 0x04)) == [b"\5\5" + bytes(14), b"\5" * 16]


@pytest.mark.parametrize("ins", [0x05, 0x06])
def test_util_non_atomic_writes_stop_in_their_middle(tearing: TearingCard, ins: int) -> None:
    found = records(cut_everywhere(tearing, ins))
    # After each cut the array is as far as it came; the next time, what is right already is not written.
    assert found[0] == bytes(16)
    assert b"\5" + bytes(15) in found
    assert found[-1] == b"\5" * 16


def test_owner_pin_a_try_is_counted_before_the_comparison(tearing: TearingCard) -> None:
    """Cut between the two writes of a right presentation, the try is gone: no attack by power cuts wins one."""
    tearing.se.cut_power(at_write=1)
    with pytest.raises(LinkTimeoutError):
        tearing.write(0x07, 1)
    tearing.reset()
    assert tearing.report().tries == 3
    tearing.se.cut_power(at_write=2)
    with pytest.raises(LinkTimeoutError):
        tearing.write(0x07, 1)
    tearing.reset()
    report = tearing.report()
    assert (report.tries, report.validated) == (2, False)


def test_owner_pin_an_update_is_whole_or_not_at_all(tearing: TearingCard) -> None:
    tearing.write(0x07, 9)
    assert [report.tries for report in cut_everywhere(tearing, 0x08)] == [2, 3]


def test_jcre_5_1_transient_memory_is_cleared_by_the_cut(tearing: TearingCard) -> None:
    tearing.write(0x0A)
    assert tearing.report().session
    tearing.se.cut_power(at_write=1)
    with pytest.raises(LinkTimeoutError):
        tearing.write(0x01)
    tearing.reset()
    report = tearing.report()
    assert (report.scratch, report.session) == (0, False)


def test_jcre_4_logical_channels_are_closed_by_the_cut(tearing: TearingCard) -> None:
    assert tearing.host.raw(bytes.fromhex("0070000001")).data == b"\1"
    tearing.se.cut_power(at_write=1)
    with pytest.raises(LinkTimeoutError):
        tearing.write(0x01)
    tearing.reset()
    assert tearing.host.raw(bytes.fromhex("8101000500")).sw == 0x6881


def test_the_making_of_an_object_is_a_write(tearing: TearingCard) -> None:
    found = [(report.made, report.session) for report in cut_everywhere(tearing, 0x0B)]
    # The object, its element, the field that names it; the transient reference behind them is none.
    assert [made for made, _ in found] == [0, 0, 0, 5]


def test_an_applet_installed_is_there_whole_or_not_at_all() -> None:
    def install(card: TearingCard) -> None:
        card.manage()
        assert card.install(CARD_2) == 0x9000

    swept = sweep(TearingCard, [Step("install", install)], sample=12, observe=_registered)
    assert swept.outcomes.keys() <= {"before", "after"}


def _registered(card: TearingCard) -> dict[str, str]:
    card.select()
    return {line.split("\t")[1]: "there" for line in card.se.registry_lines()} | {"report": str(card.report())}


def test_a_sweep_finds_what_is_between() -> None:
    def write(ins: int, how: int = 0) -> Step[TearingCard]:
        def run(card: TearingCard) -> None:
            card.select()
            assert card.write(ins, how=how).sw == 0x9000

        return Step(f"{ins:02X}", run)

    steps = [write(0x12, BEGIN | COMMIT), write(0x10), write(0x04)]
    swept = sweep(TearingCard, steps)
    assert swept.writes == (3, 2, 1)
    assert [(cut.step, cut.at_write, cut.outcome) for cut in swept.cuts] == [
        (0, 1, "before"), (0, 2, "before"), (0, 3, "before"),
        (1, 1, "before"), (1, 2, "between"),
        (2, 1, "before"),
    ]  # fmt: skip
    (between,) = swept.between
    assert between.differs == ("contents F06F70656E74736D0B000101",)
    assert len(sweep(TearingCard, steps, sample=2, seed=1).cuts) == 2


def test_the_hottest_addresses_are_told(tearing: TearingCard) -> None:
    tearing.se.count_writes()
    for _ in range(3):
        tearing.write(0x01)
    tearing.write(0x04)
    hottest, *others = tearing.se.hottest()
    assert (hottest.writes, hottest.owner, hottest.what[:1]) == (3, "F06F70656E74736D0B000101", "C")
    assert [(spot.writes, spot.what, spot.offset) for spot in others[:2]] == [(1, "byte[16]", 0), (1, "byte[16]", 1)]
    assert tearing.se.hottest(1) == [hottest]


def test_there_is_no_write_before_the_first(tearing: TearingCard) -> None:
    with pytest.raises(ProtocolError):
        tearing.se.cut_power(at_write=-1)
