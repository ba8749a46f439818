"""Which devices are attached to the network now, and the wake-ups on their way to them.

State lives in memory only: a wake-up is a nudge, and the central TSM repeats it while it has work (as with a lost
SMS). Everything runs on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["Hub"]

_MAX_PENDING: Final = 16  # a device that fetches nothing keeps no more than this many wake-ups


@dataclass
class _Attachment:
    """One device, by its certificate."""

    ses: frozenset[str]
    poll: asyncio.Event | None = None
    last_seen: float = 0.0
    pending: list[str] = field(default_factory=list)


class Hub:
    """The attached devices.

    Args:
        grace_s: how long after its long poll ended a device still counts as attached.
        clock: monotonic seconds.
    """

    def __init__(self, grace_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._grace_s = grace_s
        self._clock = clock
        self._attached: dict[str, _Attachment] = {}

    async def wait(self, device: str, ses: Collection[str], wait_s: float) -> list[str]:
        """Attach a device and return the session ids it is to open, or nothing after `wait_s`.

        A second poll of the same device ends the first: it is what a restarted agent sends.

        Args:
            device: the fingerprint of its certificate.
            ses: the SEs it speaks for on this network.
            wait_s: seconds.
        """
        attachment = self._attached.setdefault(device, _Attachment(frozenset(ses)))
        attachment.ses = frozenset(ses)
        if attachment.poll is not None:
            attachment.poll.set()
        poll = attachment.poll = asyncio.Event()
        try:
            if not attachment.pending:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(poll.wait(), wait_s)
            if attachment.poll is not poll:
                return []
            sessions, attachment.pending = attachment.pending, []
            return sessions
        finally:
            attachment.last_seen = self._clock()
            if attachment.poll is poll:
                attachment.poll = None

    def detach(self, device: str) -> None:
        """Forget a device whose connection broke: a push to it must fail at once, not vanish."""
        attachment = self._attached.get(device)
        if attachment is not None and attachment.poll is None:
            del self._attached[device]

    def push(self, se: str, session: str) -> bool:
        """Hand a wake-up to the device of an SE; return False when it is offline.

        Where several certificates speak for the SE (a device that enrolled anew) each gets it: the central TSM knows
        which of them is still good.
        """
        now = self._clock()
        attached = False
        for attachment in self._attached.values():
            if se not in attachment.ses:
                continue
            if attachment.poll is None and now - attachment.last_seen > self._grace_s:
                continue
            if session not in attachment.pending:
                attachment.pending = [*attachment.pending, session][-_MAX_PENDING:]
            if attachment.poll is not None:
                attachment.poll.set()
            attached = True
        return attached

    def online(self) -> frozenset[str]:
        """Return the SEs of the devices that hold a long poll now."""
        return frozenset(se for a in self._attached.values() if a.poll is not None for se in a.ses)
