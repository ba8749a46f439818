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
    with Pcscd(entries=5) as running:
        # The PC/SC library reads this once in a process, before its first call.
        os.environ.update(running.environment)
        yield running


@pytest.fixture
def slot(pcscd: Pcscd) -> Slot:
    """A reader that no test has used yet."""
    return pcscd.slots.pop(0)
