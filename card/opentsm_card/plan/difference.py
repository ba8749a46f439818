"""What differs between a wanted state and a registry, for people and for reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentsm_card.lifecycle import (
    ApplicationState,
    CardState,
    ContactlessState,
    SecurityDomainState,
    state_name,
    unlocked,
)
from opentsm_card.plan.wanted import (
    Absent,
    ApplicationPresent,
    CardIn,
    KeySetsPresent,
    Locked,
    PackagePresent,
    SecurityDomainPresent,
    Unlocked,
    Wanted,
    WantedItem,
)
from opentsm_card.registry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from opentsm_card.aid import Aid
    from opentsm_card.plan.element import SecureElement
    from opentsm_card.registry import Registry, RegistryEntry

__all__ = ["Difference", "diff"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as wanted.

    Args:
        aid: of what; None for the card.
        aspect: what about it, such as `state`.
        found: what the registry says.
        wanted: what it should say.
    """

    aid: Aid | None
    aspect: str
    found: str
    wanted: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.aid or 'card'}: {self.aspect} is {self.found}, wanted {self.wanted}"


def diff(
    element: SecureElement,
    registry: Registry,
    wanted: Wanted,
    key_versions: Mapping[Aid, AbstractSet[int]] | None = None,
) -> tuple[Difference, ...]:
    """Return what differs; nothing exactly when there is nothing to plan.

    Args:
        element: what the registry doesn't tell.
        registry: as read.
        wanted: the state wanted.
        key_versions: of the key sets in each security domain, as far as they were read (GET DATA E0).
    """
    differences: list[Difference] = []
    for item in wanted.items:
        if isinstance(item, CardIn):
            state = element.card_state if registry.isd is None else registry.isd.state
            if state != item.state:
                differences.append(Difference(None, "state", state_name(state, CardState), item.state.name))
            continue
        if isinstance(item, KeySetsPresent):
            differences += _key_sets(item, (key_versions or {}).get(item.aid, frozenset()))
            continue
        entry = registry.find(item.aid)
        if entry is not None:
            differences += _found(element, registry, entry, item)
        elif not isinstance(item, Absent) and not (isinstance(item, PackagePresent) and item.aid in element.packages):
            differences.append(Difference(item.aid, "presence", "absent", _kind(item).value))
    return tuple(differences)


def _found(element: SecureElement, registry: Registry, entry: RegistryEntry, item: WantedItem) -> Iterator[Difference]:
    """Yield what differs of something that is on the card."""
    match item:
        case Absent():
            yield Difference(item.aid, "presence", entry.kind.value, "absent")
        case PackagePresent():
            yield from _package(element, entry, item)
        case SecurityDomainPresent():
            yield from _security_domain(element, entry, item)
        case ApplicationPresent():
            yield from _application(element, entry, item)
        case Locked() | Unlocked():
            yield from _locks(registry, entry, item)


def _kind(item: WantedItem) -> Kind:
    if isinstance(item, PackagePresent):
        return Kind.LOAD_FILE
    return Kind.SECURITY_DOMAIN if isinstance(item, SecurityDomainPresent) else Kind.APPLICATION


def _key_sets(item: KeySetsPresent, found: AbstractSet[int]) -> Iterator[Difference]:
    missing, extra = set(item.versions) - found, found - set(item.versions)
    if missing or (item.only and extra):
        there = ", ".join(f"{version:#04x}" for version in sorted(found)) or "none"
        wanted = ", ".join(f"{version:#04x}" for version in item.versions)
        yield Difference(item.aid, "key sets", there, wanted if item.only else f"{wanted} among them")


def _package(element: SecureElement, entry: RegistryEntry, item: PackagePresent) -> Iterator[Difference]:
    yield from _owner(element, entry, item.security_domain)
    if item.version and entry.version and entry.version != item.version:
        yield Difference(item.aid, "version", _dotted(entry.version), _dotted(item.version))


def _dotted(version: bytes) -> str:
    return ".".join(map(str, version))


def _security_domain(element: SecureElement, entry: RegistryEntry, item: SecurityDomainPresent) -> Iterator[Difference]:
    yield from _owner(element, entry, item.parent)
    if item.privileges is not None and entry.privileges != item.privileges:
        yield Difference(item.aid, "privileges", _hex(entry.privileges.encode()), _hex(item.privileges.encode()))
    state = unlocked(entry.state)
    if item.key_version is not None and state < SecurityDomainState.PERSONALIZED:
        yield _state(entry, SecurityDomainState.PERSONALIZED.name)
    elif state < SecurityDomainState.SELECTABLE:
        yield _state(entry, SecurityDomainState.SELECTABLE.name)


def _application(element: SecureElement, entry: RegistryEntry, item: ApplicationPresent) -> Iterator[Difference]:
    yield from _owner(element, entry, item.associated_sd)
    if entry.privileges != item.privileges:
        yield Difference(item.aid, "privileges", _hex(entry.privileges.encode()), _hex(item.privileges.encode()))
    if item.selectable and entry.state & ApplicationState.SELECTABLE != ApplicationState.SELECTABLE:
        yield _state(entry, ApplicationState.SELECTABLE.name)
    if item.contactless is not None and (entry.contactless is ContactlessState.ACTIVATED) != item.contactless:
        found = "not told" if entry.contactless is None else entry.contactless.name
        activation = ContactlessState.ACTIVATED if item.contactless else ContactlessState.DEACTIVATED
        yield Difference(item.aid, "contactless", found, activation.name)


def _owner(element: SecureElement, entry: RegistryEntry, wanted: Aid | None) -> Iterator[Difference]:
    found, owner = entry.associated_sd or element.issuer_sd, wanted or element.central_sd
    if found != owner:
        yield Difference(entry.aid, "security domain", str(found), str(owner))


def _locks(registry: Registry, entry: RegistryEntry, item: Locked | Unlocked) -> Iterator[Difference]:
    if isinstance(item, Unlocked):
        if entry.locked:
            yield _state(entry, "unlocked")
        return
    below = registry.under(entry.aid) if item.everything else ()
    for one in (entry, *below):
        if not one.locked and one.kind is not Kind.LOAD_FILE:
            yield _state(one, "LOCKED")


def _state(entry: RegistryEntry, wanted: str) -> Difference:
    kind = SecurityDomainState if entry.kind is Kind.SECURITY_DOMAIN else ApplicationState
    return Difference(entry.aid, "state", state_name(entry.state, kind), wanted)


def _hex(value: bytes) -> str:
    return value.hex().upper()
