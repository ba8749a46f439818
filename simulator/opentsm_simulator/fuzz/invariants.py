"""What must hold of a card's registry, whatever was sent to the card.

Spec: GP Card Specification 2.3.1, 5.1 to 5.3 (life cycles), 6.4 (registry), 6.6 (privileges), 7.2 (association);
Amendment C 3 (contactless activation).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from opentsm_card.lifecycle import (
    ApplicationState,
    CardState,
    ContactlessState,
    LoadFileState,
    SecurityDomainState,
    unlocked,
)
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentsm_card.aid import Aid
    from opentsm_card.registry import Registry, RegistryEntry

__all__ = ["violations"]

_FOR_DOMAINS: Final = (
    Privilege.DAP_VERIFICATION
    | Privilege.DELEGATED_MANAGEMENT
    | Privilege.MANDATED_DAP_VERIFICATION
    | Privilege.AUTHORIZED_MANAGEMENT
    | Privilege.TOKEN_MANAGEMENT
    | Privilege.RECEIPT_GENERATION
    | Privilege.CIPHERED_LOAD_FILE_DATA_BLOCK
)
_ONCE: Final = (Privilege.CARD_RESET, Privilege.FINAL_APPLICATION)
_APPLICATION_BITS: Final = 0x07


def violations(registry: Registry) -> tuple[str, ...]:
    """Return a sentence for each rule that a registry breaks; none when it is sound."""
    return tuple(_violations(registry))


def _violations(registry: Registry) -> Iterator[str]:
    if registry.isd is None:
        yield "there is no issuer security domain"
        return
    if registry.isd.state not in set(CardState):
        yield f"the card's life cycle is {registry.isd.state:02X}"
    for aid, times in Counter(entry.aid for entry in registry).items():
        if times > 1:
            yield f"{aid} is there {times} times"
    for single in _ONCE:
        holders = [entry.aid for entry in registry.applications if single in entry.privileges]
        if len(holders) > 1:
            yield f"{single.name} is held by {', '.join(map(str, holders))}"
    for entry in registry:
        yield from _of_entry(registry, entry)


def _of_entry(registry: Registry, entry: RegistryEntry) -> Iterator[str]:
    if not _is_state(entry):
        yield f"{entry.aid} ({entry.kind.value}) has the life cycle {entry.state:02X}"
    if not _reaches_the_top(registry, entry):
        yield f"{entry.aid} hangs on no security domain of the card (its own is {entry.associated_sd})"
    domain = entry.kind in {Kind.ISSUER_SECURITY_DOMAIN, Kind.SECURITY_DOMAIN}
    if entry.privileges & _FOR_DOMAINS and not domain:
        yield f"{entry.aid} is no security domain and has {entry.privileges & _FOR_DOMAINS!r}"
    if Privilege.MANDATED_DAP_VERIFICATION in entry.privileges and Privilege.DAP_VERIFICATION not in entry.privileges:
        yield f"{entry.aid} has Mandated DAP Verification without DAP Verification"
    if entry.kind is Kind.LOAD_FILE:
        if len(set(entry.modules)) != len(entry.modules):
            yield f"{entry.aid} has a module twice"
        return
    if entry.load_file is not None and registry.find(entry.load_file) is None:
        yield f"{entry.aid} comes from {entry.load_file}, which is not on the card"
    if entry.contactless is ContactlessState.ACTIVATED and unlocked(entry.state) < ApplicationState.SELECTABLE:
        yield f"{entry.aid} is activated before it is selectable"


def _is_state(entry: RegistryEntry) -> bool:
    match entry.kind:
        case Kind.ISSUER_SECURITY_DOMAIN:
            return True  # looked at above
        case Kind.LOAD_FILE:
            return entry.state == LoadFileState.LOADED
        case Kind.SECURITY_DOMAIN:
            return unlocked(entry.state) in set(SecurityDomainState)
        case Kind.APPLICATION:
            state = unlocked(entry.state)
            return state == ApplicationState.INSTALLED or state & _APPLICATION_BITS == _APPLICATION_BITS


def _reaches_the_top(registry: Registry, entry: RegistryEntry) -> bool:
    """Tell whether a chain of security domains leads to the issuer's, or to one that was extradited to itself."""
    assert registry.isd is not None
    passed: set[Aid] = set()
    at: RegistryEntry | None = entry
    while at is not None and at.aid not in passed:
        if at.aid == registry.isd.aid:
            return True
        passed.add(at.aid)
        if at.associated_sd is None:
            return False
        if at.associated_sd == at.aid:
            return at.kind is Kind.SECURITY_DOMAIN
        at = registry.find(at.associated_sd)
        if at is not None and at.kind not in {Kind.ISSUER_SECURITY_DOMAIN, Kind.SECURITY_DOMAIN}:
            return False
    return False
