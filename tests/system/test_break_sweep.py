"""Break the network, the reader or the device's power at every point of every operation.

The network is cut before, in and after every HTTP message of a session, both directions; the card is removed or reset
before, in and after every APDU; the device loses power at every point where the agent keeps something. Each time: the
operation ends done, or failed and asked for again done, or in doubt at its owner; the SE ends as without the break; no
command with an effect ran twice (the card counts them); and each report of the agent is compared with what the SE ran.

`tools/test` takes a sample, the same each time; `tools/test --sweep` all of it. SIGKILL is in `test_kill_sweep`.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from break_rig import BreakRig, open_break_rig
from cutting_tap import BREAKS
from sweep_world import PRE_PERSONALIZATION, RENEWAL, SCENARIOS, Scenario
from toxic_proxy import PLACES, Cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    SweepCount = Callable[[str, int], None]

# More messages, APDUs or points than any operation has: a sweep that gets here does not end by itself.
MOST = 400
SAMPLE = 12
# How much of what was not synced is on the disk when power fails.
PARTS = (0.0, 0.5)


@pytest.fixture(name="rig", scope="module")
def _rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BreakRig]:
    yield from open_break_rig(tmp_path_factory.mktemp("breaks"))


def _cuts(rig: BreakRig, scenario: Scenario, chosen: Callable[[], bool]) -> int:
    """Cut the network at each place of each message; return how many cuts there were."""
    goal = rig.reach(scenario)
    cases = 0
    for exchange in range(MOST):
        happened = True
        for number, (direction, place) in enumerate(itertools.product(("request", "response"), PLACES)):
            if not chosen():
                continue
            cut = Cut(exchange, "request" if direction == "request" else "response", place, reset=number % 2 == 0)

            def arm(cut: Cut = cut) -> Callable[[], bool]:
                rig.proxy.cut(cut)
                return rig.proxy.fired.is_set

            happened = rig.run_case(scenario, goal, arm, f"{scenario.name}, {cut}")
            cases += happened
            if not happened:
                break
        if not happened:
            break
    else:
        pytest.fail("the sweep did not come to its end")
    _leave(rig, scenario)
    return cases


def _card_breaks(rig: BreakRig, scenario: Scenario, chosen: Callable[[], bool]) -> int:
    """Remove or reset the card around each APDU; return how many breaks there were."""
    goal = rig.reach(scenario)
    cases = 0
    for number in range(MOST):
        happened = True
        for how in BREAKS:
            if not chosen():
                continue

            def arm(number: int = number, how: str = how) -> Callable[[], bool]:
                rig.tap.arm(number, how)
                return rig.tap.fired.is_set

            happened = rig.run_case(scenario, goal, arm, f"{scenario.name}, APDU {number}: {how}")
            cases += happened
            if not happened:
                break
        if not happened:
            break
    else:
        pytest.fail("the sweep did not come to its end")
    _leave(rig, scenario)
    return cases


def _power_cuts(rig: BreakRig, scenario: Scenario, chosen: Callable[[], bool]) -> int:
    """Cut the power at each point where the agent keeps something; return how many cuts there were."""
    goal = rig.reach(scenario)
    cases = 0
    for point in range(1, MOST):
        if not chosen():
            continue

        def arm(point: int = point) -> Callable[[], bool]:
            rig.agent.arm(point, power=PARTS[point % len(PARTS)])
            return lambda: False

        if not rig.run_case(scenario, goal, arm, f"{scenario.name}, power cut at point {point}"):
            break
        cases += 1
    else:
        pytest.fail("the sweep did not come to its end")
    _leave(rig, scenario)
    return cases


def _leave(rig: BreakRig, scenario: Scenario) -> None:
    scenario.restore(rig.sp)
    scenario.clean(rig.sp)


SWEEPS = {"network cuts": _cuts, "card breaks": _card_breaks, "power cuts": _power_cuts}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("what", SWEEPS)
@pytest.mark.parametrize("scenario", [PRE_PERSONALIZATION, RENEWAL], ids=lambda s: s.name)
def test_a_sample_of_breaks_changes_nothing(
    rig: BreakRig, scenario: Scenario, what: str, sweep_count: SweepCount
) -> None:
    draw = random.Random(f"{scenario.name} {what}")
    cases = SWEEPS[what](rig, scenario, lambda: draw.random() < 1 / SAMPLE)
    sweep_count(what, cases)
    assert cases >= 2


@pytest.mark.sweep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("what", SWEEPS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_a_break_anywhere_changes_nothing(
    rig: BreakRig, scenario: Scenario, what: str, sweep_count: SweepCount
) -> None:
    cases = SWEEPS[what](rig, scenario, lambda: True)
    sweep_count(what, cases)
    assert cases >= 10
