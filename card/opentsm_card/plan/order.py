"""The order in which wanted things have to come: what others need before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentsm_card.plan.refusal import PlanError, Refusal
from opentsm_card.plan.wanted import PackagePresent, SecurityDomainPresent, WantedItem

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["imports_first", "parents_first"]


def parents_first(items: Iterable[WantedItem]) -> list[SecurityDomainPresent]:
    """Return the wanted security domains, each behind the one it is to be under."""
    waiting = [item for item in items if isinstance(item, SecurityDomainPresent)]
    ordered: list[SecurityDomainPresent] = []
    while waiting:
        missing = {item.aid for item in waiting}
        free = [item for item in waiting if item.parent not in missing]
        if not free:
            raise PlanError(Refusal.CONTRADICTION, "security domains are wanted under each other", aid=waiting[0].aid)
        ordered += free
        waiting = [item for item in waiting if item not in free]
    return ordered


def imports_first(items: Iterable[WantedItem]) -> list[PackagePresent]:
    """Return the wanted packages, each behind those that it imports."""
    waiting = [item for item in items if isinstance(item, PackagePresent)]
    ordered: list[PackagePresent] = []
    while waiting:
        missing = {item.aid for item in waiting}
        free = [item for item in waiting if missing.isdisjoint(item.imports - {item.aid})]
        if not free:
            raise PlanError(Refusal.CONTRADICTION, "packages import each other", aid=waiting[0].aid)
        ordered += free
        waiting = [item for item in waiting if item not in free]
    return ordered
