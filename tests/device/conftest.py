"""Readers for device tests: a pcscd of our own. Where there is none the tests fail: a skipped device is no device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pcsc_rig import Pcscd, Slot

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def pcscd() -> Iterator[Pcscd]:
    with Pcscd(entries=8) as running:
        # The PC/SC library reads this once in a process, before its first call.
        os.environ.update(running.environment)
        yield running


@pytest.fixture
def slot(pcscd: Pcscd) -> Iterator[Slot]:
    """A reader that no test has used yet; pcscd has sixteen at most."""
    taken = pcscd.slots.pop(0)
    yield taken
    pcscd.used.append(taken)


@pytest.fixture
def used_slot(pcscd: Pcscd) -> Iterator[Slot]:
    """A reader that may have been used: its card's ATR is read anew once it was without power."""
    taken = (pcscd.used or pcscd.slots).pop(0)
    yield taken
    pcscd.used.append(taken)
