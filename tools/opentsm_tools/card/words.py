"""Privileges, life cycles and key types in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card.lifecycle import ApplicationState, CardState, LoadFileState, SecurityDomainState, state_name
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind

if TYPE_CHECKING:
    from enum import IntEnum

    from opentsm_card.registry import RegistryEntry

__all__ = ["hexed", "life_cycle", "privilege_names"]

_STATES: Final[dict[Kind, type[IntEnum]]] = {
    Kind.ISSUER_SECURITY_DOMAIN: CardState,
    Kind.SECURITY_DOMAIN: SecurityDomainState,
    Kind.APPLICATION: ApplicationState,
    Kind.LOAD_FILE: LoadFileState,
}


def life_cycle(entry: RegistryEntry) -> str:
    """Return an entry's life-cycle state in words."""
    return state_name(entry.state, _STATES[entry.kind])


def privilege_names(privileges: Privilege) -> list[str]:
    """Return privileges in words, in the order of their bits."""
    return [
        str(bit.name).lower().replace("_", " ")
        for bit in sorted(Privilege, key=int, reverse=True)
        if bit and bit in privileges
    ]


def hexed(value: bytes) -> str:
    """Return upper-case hex."""
    return value.hex().upper()
