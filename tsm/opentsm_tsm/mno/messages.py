"""What a gateway says to its own operator."""

from __future__ import annotations

from opentsm_tsm.wire import Message

__all__ = ["PushLog", "PushRecord"]


class PushRecord(Message, frozen=True, kw_only=True):
    """One push that was asked for: when (seconds since 1970), for which SE, and delivered, offline or unknown."""

    at: float
    se: str
    outcome: str


class PushLog(Message, frozen=True, kw_only=True):
    """The latest pushes, the newest last, and the SEs whose devices hold a long poll now."""

    mno: str
    online: tuple[str, ...]
    pushes: tuple[PushRecord, ...]
