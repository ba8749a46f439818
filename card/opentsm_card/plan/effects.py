"""What a confirmed command does to a registry, so that nothing has to be read again within a session.

Spec: GP Card Specification 2.3.1, 9.3 to 9.6 (installation, extradition, deletion, locking), 5.1 to 5.3 (life cycles).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from opentsm_card.delete import DeleteKey, DeleteObject
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForMakeSelectable,
    InstallForRegistryUpdate,
)
from opentsm_card.lifecycle import (
    ApplicationState,
    ContactlessState,
    LoadFileState,
    SecurityDomainState,
    locked,
    unlocked,
)
from opentsm_card.plan.block import Block, LoadPackage, PlannedCommand, PutKeySet, PutTemporaryKeys
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind, Registry, RegistryEntry
from opentsm_card.set_status import SetStatus, StatusType

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.aid import Aid

__all__ = ["apply", "apply_block"]


def apply(registry: Registry, target: Aid, command: PlannedCommand) -> Registry:
    """Return the registry after a command that the card has confirmed.

    It is no longer `complete` where the command's effect can't be told from here (which locks are left after an unlock
    of everything, what modules a loaded package has): it has to be read before the next plan.

    Args:
        registry: before.
        target: the security domain that ran the command.
        command: as planned.
    """
    match command:
        case InstallForInstall():
            after = _with_application(registry, _installed(target, command))
        case InstallForMakeSelectable():
            after = _change(registry, command.application, _selectable)
        case InstallForExtradition():
            after = _extradited(registry, command)
        case InstallForRegistryUpdate():
            after = _change(registry, command.application, lambda entry: _updated(entry, command))
        case DeleteObject():
            after = _without(registry, command)
        case SetStatus():
            after = _set_status(registry, command)
        case PutTemporaryKeys():
            after = _change(registry, target, _personalized)
        case LoadPackage():
            loaded = RegistryEntry(
                command.package,
                LoadFileState.LOADED,
                associated_sd=command.security_domain or target,
                modules=command.modules,
                version=command.version,
                kind=Kind.LOAD_FILE,
            )
            told = registry.complete and bool(command.version)
            after = replace(registry, load_files=(*registry.load_files, loaded), complete=told)
        case PutKeySet() | DeleteKey():
            after = registry  # it lists no keys
    return after


def apply_block(registry: Registry, block: Block) -> Registry:
    """Return the registry after all commands of a block."""
    for command in block.commands:
        registry = apply(registry, block.target, command)
    return registry


def _installed(target: Aid, command: InstallForInstall) -> RegistryEntry:
    domain = bool(command.privileges & Privilege.SECURITY_DOMAIN)
    return RegistryEntry(
        command.application,
        ApplicationState.SELECTABLE if command.make_selectable else ApplicationState.INSTALLED,
        command.privileges,
        associated_sd=target,
        load_file=command.load_file,
        kind=Kind.SECURITY_DOMAIN if domain else Kind.APPLICATION,
        contactless=None if domain else ContactlessState.DEACTIVATED,
    )


def _selectable(entry: RegistryEntry) -> RegistryEntry:
    return replace(entry, state=entry.state | ApplicationState.SELECTABLE)


def _personalized(entry: RegistryEntry) -> RegistryEntry:
    return replace(entry, state=entry.state | SecurityDomainState.PERSONALIZED)


def _updated(entry: RegistryEntry, command: InstallForRegistryUpdate) -> RegistryEntry:
    return replace(
        entry,
        privileges=entry.privileges if command.privileges is None else command.privileges,
        associated_sd=command.security_domain or entry.associated_sd,
    )


def _extradited(registry: Registry, command: InstallForExtradition) -> Registry:
    entry = registry.find(command.application)
    owner = None if entry is None or entry.associated_sd is None else registry.find(entry.associated_sd)
    # Whether it was locked by itself or with the security domain that it leaves, only the card knows.
    told = entry is None or not entry.locked or owner is None or not owner.locked
    after = _change(registry, command.application, lambda entry: replace(entry, associated_sd=command.security_domain))
    return replace(after, complete=registry.complete and told)


def _set_status(registry: Registry, command: SetStatus) -> Registry:
    lock = bool(command.state & 0x80)
    aid = command.aid
    match command.status_type:
        case StatusType.CARD:
            return replace(registry, isd=registry.isd and replace(registry.isd, state=command.state))
        case StatusType.APPLICATION:
            return _change(registry, aid, _lock if lock else _unlock)
        case StatusType.CONTACTLESS_ACTIVATION:
            activation = ContactlessState(command.state)
            return _change(registry, aid, lambda entry: replace(entry, contactless=activation))
        case StatusType.SECURITY_DOMAIN_AND_APPLICATIONS:
            assert aid is not None
            below = {entry.aid for entry in registry.under(aid) if entry.kind is not Kind.LOAD_FILE}
            after = tuple(
                (_lock if lock else _unlock)(entry) if entry.aid == aid or entry.aid in below else entry
                for entry in registry.applications
            )
            # Unlocking everything leaves locked what was locked on its own before: only the card knows which.
            return replace(registry, applications=after, complete=registry.complete and (lock or not below))


def _lock(entry: RegistryEntry) -> RegistryEntry:
    return replace(entry, state=locked(entry.state))


def _unlock(entry: RegistryEntry) -> RegistryEntry:
    return replace(entry, state=unlocked(entry.state))


def _with_application(registry: Registry, entry: RegistryEntry) -> Registry:
    return replace(registry, applications=(*registry.applications, entry))


def _change(registry: Registry, aid: Aid | None, change: Callable[[RegistryEntry], RegistryEntry]) -> Registry:
    return replace(
        registry,
        applications=tuple(change(entry) if entry.aid == aid else entry for entry in registry.applications),
        load_files=tuple(change(entry) if entry.aid == aid else entry for entry in registry.load_files),
    )


def _without(registry: Registry, command: DeleteObject) -> Registry:
    gone = {command.aid}
    if command.related:
        gone |= {entry.aid for entry in registry.applications if entry.load_file == command.aid}
    return replace(
        registry,
        applications=tuple(entry for entry in registry.applications if entry.aid not in gone),
        load_files=tuple(entry for entry in registry.load_files if entry.aid not in gone),
    )
