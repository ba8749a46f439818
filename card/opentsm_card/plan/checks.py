"""What a planner checks of an entry before it plans a command about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentsm_card.command_names import CommandName, set_status_card
from opentsm_card.lifecycle import ApplicationState, CardState
from opentsm_card.plan.refusal import PlanError, Refusal

if TYPE_CHECKING:
    from opentsm_card.aid import Aid
    from opentsm_card.plan.wanted import PackagePresent
    from opentsm_card.privileges import Privilege
    from opentsm_card.registry import Kind, RegistryEntry

__all__ = ["is_other_version", "is_selectable", "may_have", "no_way", "of_kind", "same_package"]


def is_selectable(entry: RegistryEntry) -> bool:
    """Tell whether an application or security domain is at least SELECTABLE, LOCKED or not."""
    # An application's own states keep these bits; so does LOCKED.
    return entry.state & ApplicationState.SELECTABLE == ApplicationState.SELECTABLE


def may_have(
    aid: Aid, privileges: Privilege, allowed: Privilege, name: CommandName = CommandName.INSTALL_FOR_INSTALL
) -> None:
    """Refuse privileges beyond those that may be given."""
    excess = privileges & ~allowed
    if excess:
        names = ", ".join(privilege.name or "" for privilege in excess)
        why = f"this configuration does not give it {names}"
        raise PlanError(Refusal.PRIVILEGE, why, command=name, aid=aid)


def same_package(entry: RegistryEntry, package: Aid) -> None:
    """Refuse an entry that is made from another package."""
    if entry.load_file is not None and entry.load_file != package:
        raise PlanError(Refusal.DIFFERENT, f"it is there, made from {entry.load_file}, not {package}", aid=entry.aid)


def of_kind(entry: RegistryEntry, kind: Kind) -> None:
    """Refuse an entry that is something else."""
    if entry.kind is not kind:
        raise PlanError(Refusal.DIFFERENT, f"there is another thing of this AID: {entry.kind.value}", aid=entry.aid)


def is_other_version(entry: RegistryEntry | None, item: PackagePresent) -> bool:
    """Tell whether a package is on the card in another version than is wanted, as far as the registry tells."""
    return entry is not None and bool(item.version) and entry.version not in {b"", item.version}


def no_way(state: int, wanted: CardState) -> PlanError:
    """Return the error that there is no transition."""
    why = f"there is no way from {CardState(state).name} to {wanted.name}"
    return PlanError(Refusal.LIFE_CYCLE, why, command=set_status_card(wanted) or "")
