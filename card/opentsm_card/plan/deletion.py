"""What has to go so that something is gone, and in which order.

Spec: GP Card Specification 2.3.1, 9.5 (a security domain with anything under it, or a load file with instances, stays).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentsm_card.plan.refusal import PlanError, Refusal
from opentsm_card.registry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from opentsm_card.aid import Aid
    from opentsm_card.plan.wanted import Absent
    from opentsm_card.registry import Registry, RegistryEntry

__all__ = ["deletions"]


def deletions(
    items: Iterable[Absent], registry: Registry, imports: Mapping[Aid, AbstractSet[Aid]] | None = None
) -> tuple[RegistryEntry, ...]:
    """Return what is to be deleted: whatever depends on something before it.

    A registry does not tell which load file imports which. So load files go in the reverse of its order, which is that
    of loading on many cards, and by what the caller knows.

    Args:
        items: what is to go.
        registry: as it stands.
        imports: AIDs of the packages that a package imports, as far as they are known.

    Raises:
        PlanError: something is in use, and its `Absent` does not say that what uses it may go too.
    """
    wanted = {item.aid: item for item in items}
    going: dict[bytes, RegistryEntry] = {}
    seen: set[bytes] = set()

    def visit(entry: RegistryEntry, *, related: bool) -> None:
        if entry.aid in seen:
            return
        seen.add(entry.aid)
        for user in (*_importers(entry, registry, imports or {}), *_users(entry, registry)):
            item = wanted.get(user.aid)
            if item is None and not related:
                raise PlanError(Refusal.IN_USE, f"{user.aid} depends on it and is not to go", aid=entry.aid)
            visit(user, related=related or (item is not None and item.related))
        going[entry.aid] = entry

    loaded_last = {entry.aid: -position for position, entry in enumerate(registry.load_files, 1)}
    for item in sorted(wanted.values(), key=lambda item: loaded_last.get(item.aid, 0)):
        entry = registry.find(item.aid)
        if entry is not None:
            visit(entry, related=item.related)
    return tuple(going.values())


def _importers(
    entry: RegistryEntry, registry: Registry, imports: Mapping[Aid, AbstractSet[Aid]]
) -> Iterator[RegistryEntry]:
    """Yield the load files that are known to import one."""
    if entry.kind is Kind.LOAD_FILE:
        for other in registry.load_files:
            if other.aid != entry.aid and entry.aid in imports.get(other.aid, frozenset()):
                yield other


def _users(entry: RegistryEntry, registry: Registry) -> Iterator[RegistryEntry]:
    """Yield what keeps an entry from being deleted: what is under a security domain, a load file's instances."""
    for other in registry:
        if other.aid == entry.aid or other.kind is Kind.ISSUER_SECURITY_DOMAIN:
            continue
        under = entry.kind in {Kind.SECURITY_DOMAIN, Kind.ISSUER_SECURITY_DOMAIN} and other.associated_sd == entry.aid
        if under or (entry.kind is Kind.LOAD_FILE and other.load_file == entry.aid):
            yield other
