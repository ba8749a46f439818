"""What the central TSM and a mobile network's gateway say to each other, and the gateway to its devices."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from opentsm_tsm.messages import Name, ScriptEntry  # noqa: TC001 - msgspec reads annotations at run time
from opentsm_tsm.wire import Hex, Message, Request

__all__ = ["IssuerAnswers", "IssuerOutcome", "IssuerRequest", "IssuerScript", "PushRequest", "WakeUp", "WakeUps"]


class PushRequest(Request, frozen=True, kw_only=True):
    """Central TSM to gateway: wake the device of this SE and hand it this session identifier."""

    se: Name
    session: Name

    def __repr__(self) -> str:
        """Keep the session identifier out of logs."""
        return f"PushRequest(se={self.se})"


class WakeUp(Message, frozen=True, kw_only=True):
    """Gateway to device: a session waits at the central TSM you know. It carries no URL."""

    session: str

    def __repr__(self) -> str:
        """Keep the session identifier out of logs."""
        return "WakeUp(…)"


class WakeUps(Message, frozen=True, kw_only=True):
    """The wake-ups that waited for a device."""

    wakeups: tuple[WakeUp, ...]


class IssuerRequest(Request, frozen=True, kw_only=True):
    """Central TSM to MNO: ask for a script of the MNO's issuer security domain.

    `counter` is the sequence counter that the SE last showed, where a former script met another than the MNO's.
    "status" changes nothing: it reads the card's life cycle, after a doubt.
    """

    action: Literal["lock", "unlock", "terminate", "status"]
    counter: Annotated[int, Meta(ge=0, lt=1 << 24)] | None = None


class IssuerScript(Message, frozen=True, kw_only=True):
    """The MNO's script for its issuer security domain `target`, wrapped with its keys."""

    target: Hex
    script: tuple[ScriptEntry, ...]


class IssuerAnswers(Request, frozen=True, kw_only=True):
    """The R-APDUs of an issuer script, for the MNO to verify."""

    answers: tuple[Hex, ...]


class IssuerOutcome(Message, frozen=True, kw_only=True):
    """What the MNO found in the answers: whether the response MACs verify, and the card's state ("" when unknown).

    `retry` is True when nothing was done because the card's sequence counter was another: ask for a new script.
    """

    verified: bool
    state: str
    retry: bool = False
