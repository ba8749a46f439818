"""Compare two ways of doing the same thing, in one run, as a ratio: absolute times drift with the machine.

Each benchmark module calls `alternate` for each pair and ends with `report`. A pair is timed A B, A B, …; its ratio is
the median over the pairs of rate(A) / rate(B), so 1.0 means as fast as the peer and 2.0 twice as fast.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Comparison", "Figure", "alternate", "report"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of one comparison.

    Args:
        name: what was compared with what.
        unit: what a rate counts, per second.
        ratio: median of rate(ours) / rate(peer) over the pairs.
        low: the lowest pair's ratio.
        high: the highest pair's ratio.
        ours: median rate of ours.
        peer: median rate of the peer, or the floor.
        goal: the ratio to reach, or None.
    """

    name: str
    unit: str
    ratio: float
    low: float
    high: float
    ours: float
    peer: float
    goal: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """A single measured figure with its unit and the most it should be."""

    name: str
    unit: str
    value: float
    at_most: float | None = None


def _rate(run: Callable[[], int], clock: Callable[[], float]) -> float:
    begin = clock()
    count = run()
    return count / (clock() - begin)


def alternate(
    name: str,
    ours: Callable[[], int],
    peer: Callable[[], int],
    *,
    unit: str,
    pairs: int = 15,
    goal: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Time two callables in alternation and return their ratio.

    Args:
        name: what is compared with what.
        ours: does the work and returns how many units it did.
        peer: the same for the peer or the floor.
        unit: what is counted.
        pairs: how many pairs are timed, after one that is not.
        goal: the ratio to reach.
        clock: in seconds; `time.thread_time` where both work on this thread alone, and others share the machine.
    """
    ours()
    peer()
    rates = [(_rate(ours, clock), _rate(peer, clock)) for _ in range(pairs)]
    ratios = [a / b for a, b in rates]
    return Comparison(
        name=name,
        unit=unit,
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        ours=statistics.median(a for a, _ in rates),
        peer=statistics.median(b for _, b in rates),
        goal=goal,
    )


def _mark(*, reached: bool | None) -> str:
    return {None: "", True: "reached", False: "MISSED"}[reached]


def report(results: Sequence[Comparison | Figure], arguments: Sequence[str] | None = None) -> None:
    """Print the results as a table, or as JSON when `--json` is among the arguments (default: the command line's)."""
    if "--json" in (sys.argv[1:] if arguments is None else arguments):
        print(msgspec.json.encode([asdict(result) for result in results]).decode())
        return
    for result in results:
        if isinstance(result, Comparison):
            mark = _mark(reached=None if result.goal is None else result.ratio >= result.goal)
            goal = "" if result.goal is None else f"  goal {result.goal:.2f}"
            print(
                f"{result.name:<58} {result.ratio:6.2f}  ({result.low:.2f}-{result.high:.2f}){goal}  {mark}"
                f"   {result.ours:,.0f} against {result.peer:,.0f} {result.unit}/s"
            )
        else:
            mark = _mark(reached=None if result.at_most is None else result.value <= result.at_most)
            limit = "" if result.at_most is None else f"  at most {result.at_most:g}"
            print(f"{result.name:<58} {result.value:9.1f} {result.unit}{limit}  {mark}")
