"""Counts the cases of the sweeps, over all workers, and says how many there were at the end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_KEY = "sweep cases"


@pytest.fixture
def sweep_count(record_property: Callable[[str, object], None]) -> Callable[[str, int], None]:
    """Return what a sweep tells of its cases: what was done, and how often."""
    return lambda what, cases: record_property(_KEY, (what, cases))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many cases there were, and how many tests of them failed."""
    cases: Counter[str] = Counter()
    wrong = 0
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            told = [value for name, value in report.user_properties if name == _KEY]
            wrong += outcome == "failed" and bool(told)
            for what, count in told:
                cases[what] += count
    if cases:
        listed = ", ".join(f"{count} {what}" for what, count in sorted(cases.items()))
        terminalreporter.write_line(f"sweep: {cases.total()} cases ({listed}), {wrong} wrong")
