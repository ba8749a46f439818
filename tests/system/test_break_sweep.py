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
import secrets
from typing import TYPE_CHECKING

import pytest

from break_rig import BreakRig, open_break_rig
from cutting_tap import BREAKS
from opentsm_card.errors import OpenTsmError
from opentsm_card.store_data import DataStructure, StoreData
from opentsm_tools.demo.cast import BANK
from opentsm_tsm.messages import ResolveOperation
from opentsm_tsm.sp.client import RefusedError
from opentsm_tsm.sp.durable import Run
from opentsm_tsm.sp.session import Doubt, Part, run_parts, send_script
from statements import check_statements
from sweep_world import PHONE, PRE_PERSONALIZATION, RENEWAL, SCENARIOS, Scenario
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


def _wake_up_cuts(rig: BreakRig, scenario: Scenario, chosen: Callable[[], bool]) -> int:
    """Cut the network in the requests for wake-ups, the one that is held from before first; return how many cuts."""
    goal = rig.reach(scenario)
    held = [(0, "response", place) for place in PLACES]
    next_ones = [(1, direction, place) for direction in ("request", "response") for place in PLACES]
    cases = 0
    for number, (exchange, direction, place) in enumerate(held + next_ones):
        if not chosen():
            continue
        cut = Cut(exchange, "request" if direction == "request" else "response", place, reset=number % 2 == 0)

        def arm(cut: Cut = cut) -> Callable[[], bool]:
            rig.gateway.cut(cut)
            return rig.gateway.fired.is_set

        cases += rig.run_case(scenario, goal, arm, f"{scenario.name}, wake-up, {cut}")
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


SWEEPS = {
    "network cuts": _cuts,
    "wake-up cuts": _wake_up_cuts,
    "card breaks": _card_breaks,
    "power cuts": _power_cuts,
}


def _own_script(rig: BreakRig) -> tuple[str, str]:
    """Have the SP's own script run, which writes what nobody can read back; return how it ended, and as what."""
    sp = rig.sp
    run = Run(sp._store, sp._client, secrets.token_hex(16), PHONE.se, lambda _operation: None)
    version = sp.key_versions(PHONE.se)[-1][0]
    store = StoreData(0, bytes.fromhex("4502BEEF"), True, DataStructure.BER_TLV)
    try:
        run_parts(run, BANK.sd, (Part(version, (store.apdu(),)),), send=send_script(run, BANK.sd, None))
    except Doubt as doubt:
        return "in doubt", doubt.operation
    except OpenTsmError:
        return "failed", ""
    return "done", ""


def _settle_own_script(rig: BreakRig, how: str, operation: str) -> int:
    """Be the owner of a script in doubt: see that what is told is true, that it blocks, and settle it.

    Returns:
        1 when it was in doubt.
    """
    effects = rig.effects()
    assert len(effects) == (how == "done") or (how == "in doubt" and len(effects) == 1), (how, effects)
    if how != "in doubt":
        return 0
    found = rig.sp._client.operation(operation)
    if found.state == "in-doubt":
        with pytest.raises(RefusedError, match=r"in-doubt|in doubt|not known"):
            rig.sp.suspend_or_resume(PHONE.se, "lock")
        rig.sp._client.resolve(operation, ResolveOperation(decision="accept" if effects else "reset"))
    return 1


@pytest.mark.timeout(240)
def test_a_script_that_nobody_can_probe_ends_in_doubt_at_its_owner_and_says_so_truly(
    rig: BreakRig, sweep_count: SweepCount
) -> None:
    rig.mend()
    rig.sp.deploy(PHONE.se, BANK.service, PHONE.customer)
    rig.sp.rotate_keys(PHONE.se)
    rig.forget()
    assert _own_script(rig)[0] == "done"
    cases = doubts = 0
    for number in range(MOST):
        for how in BREAKS:
            rig.forget()
            rig.tap.arm(number, how)
            ended, operation = _own_script(rig)
            happened = rig.tap.fired.is_set()
            rig.mend()
            doubts += _settle_own_script(rig, ended, operation)
            rig.wait_for_quiet()
            check_statements(tuple(rig.proxy.exchanges), tuple(rig.tap.ran))
            cases += happened
        if not happened:
            break
    else:
        pytest.fail("the sweep did not come to its end")
    rig.sp.terminate(PHONE.se)
    sweep_count("card breaks in a script without a probe", cases)
    assert cases >= 4 * len(BREAKS) - len(BREAKS)
    assert doubts >= 3, "the command itself, unanswered in three ways"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("what", SWEEPS)
@pytest.mark.parametrize("scenario", [PRE_PERSONALIZATION, RENEWAL], ids=lambda s: s.name)
def test_a_sample_of_breaks_changes_nothing(
    rig: BreakRig, scenario: Scenario, what: str, sweep_count: SweepCount
) -> None:
    draw = random.Random(f"{scenario.name} {what}")
    # There are fewer of them.
    sample = 4 if what == "wake-up cuts" else SAMPLE
    cases = SWEEPS[what](rig, scenario, lambda: draw.random() < 1 / sample)
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
