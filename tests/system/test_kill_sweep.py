"""SIGKILL the agent, or the central TSM, at every point where it keeps something.

Each time, after a restart: the SE ends in the same state as without a kill, and no command with an effect ran twice
(the card counts them). One world serves many kills: after each one the SE is brought back to where it was.

`tools/test` sweeps pre-personalization and renewal; `tools/test --sweep` every operation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sweep_world import OTHERS, PRE_PERSONALIZATION, RENEWAL, Rig, Scenario, kinds, open_rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# More points than any operation has: a sweep that gets here does not end by itself.
MOST_POINTS = 400


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    yield from open_rig(tmp_path_factory.mktemp("sweep"))


def _sweep(rig: Rig, scenario: Scenario, victim: str, count: Callable[[str, int], None]) -> int:
    """Kill at each point of a scenario in turn; return how many kills there were."""
    scenario.prepare(rig.sp)
    rig.effects()
    scenario.act(rig.sp)
    expected_effects, expected = kinds(rig.effects()), rig.read()
    assert expected_effects, "the operation leaves nothing on the card: nothing to check"
    mortal = rig.mortal(victim)
    kills = 0
    for point in range(1, MOST_POINTS):
        scenario.restore(rig.sp)
        rig.effects()
        mortal.arm(point)
        died = rig.finish(lambda: scenario.act(rig.sp), victim)
        mortal.disarm()
        where = f"{scenario.name}, {victim} killed at point {point}"
        assert kinds(rig.effects()) == expected_effects, where
        assert rig.read() == expected, where
        if not died:
            break
        kills += 1
    else:
        pytest.fail("the sweep did not come to its end")
    scenario.restore(rig.sp)
    scenario.clean(rig.sp)
    count(f"{victim} killed", kills)
    return kills


@pytest.mark.timeout(240)
@pytest.mark.parametrize("victim", ["agent", "tsm"])
@pytest.mark.parametrize("scenario", [PRE_PERSONALIZATION, RENEWAL], ids=lambda s: s.name)
def test_a_kill_anywhere_changes_nothing(
    rig: Rig, scenario: Scenario, victim: str, sweep_count: Callable[[str, int], None]
) -> None:
    assert _sweep(rig, scenario, victim, sweep_count) >= 4


@pytest.mark.sweep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("victim", ["agent", "tsm"])
@pytest.mark.parametrize("scenario", OTHERS, ids=lambda s: s.name)
def test_a_kill_anywhere_changes_nothing_in_the_rest(
    rig: Rig, scenario: Scenario, victim: str, sweep_count: Callable[[str, int], None]
) -> None:
    assert _sweep(rig, scenario, victim, sweep_count) >= 4
