"""Life-cycle states of the card, load files, applications and security domains.

Spec: GP Card Specification 2.3.1, 5.1 to 5.3 and tables 11-3 to 11-6.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "ApplicationState",
    "CardState",
    "ContactlessState",
    "LoadFileState",
    "SecurityDomainState",
    "is_locked",
    "locked",
    "state_name",
    "unlocked",
]

_LOCK_BIT = 0x80


class CardState(IntEnum):
    """Card life cycle, kept by the issuer security domain (table 11-6)."""

    OP_READY = 0x01
    INITIALIZED = 0x07
    SECURED = 0x0F
    CARD_LOCKED = 0x7F
    TERMINATED = 0xFF


class LoadFileState(IntEnum):
    """Executable load file life cycle (table 11-3)."""

    LOADED = 0x01


class ApplicationState(IntEnum):
    """Application life cycle (table 11-4); b4..b7 are the application's own, LOCKED is 80 with the state before."""

    INSTALLED = 0x03
    SELECTABLE = 0x07


class SecurityDomainState(IntEnum):
    """Security domain life cycle (table 11-5); LOCKED is 80 with the state before."""

    INSTALLED = 0x03
    SELECTABLE = 0x07
    PERSONALIZED = 0x0F


class ContactlessState(IntEnum):
    """Contactless activation state, second byte of tag 9F70.

    Spec: GP Card Specification Amendment C 1.3, 6.1 and 11.4 (contactless activation state).
    """

    DEACTIVATED = 0x00
    ACTIVATED = 0x01
    NON_ACTIVATABLE = 0x80


def is_locked(state: int) -> bool:
    """Tell whether an application or security domain state is LOCKED (not for card states)."""
    return bool(state & _LOCK_BIT)


def locked(state: int) -> int:
    """Return the LOCKED form of an application or security domain state."""
    return state | _LOCK_BIT


def unlocked(state: int) -> int:
    """Return the state that unlocking restores."""
    return state & ~_LOCK_BIT


def state_name(state: int, kind: type[IntEnum]) -> str:
    """Return a state's name for people, such as `SELECTABLE`, `LOCKED (SELECTABLE)` or `application specific 0F`."""
    if kind in {ApplicationState, SecurityDomainState} and is_locked(state):
        return f"LOCKED ({state_name(unlocked(state), kind)})"
    if state in {member.value for member in kind}:
        return kind(state).name
    if kind is ApplicationState and state & 0x07 == 0x07:
        return f"application specific {state:02X}"
    return f"unknown {state:02X}"
