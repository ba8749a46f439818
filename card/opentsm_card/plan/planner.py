"""From a wanted state and a registry to the commands between them.

The planner walks the wanted state in the order in which the commands have to come, and keeps a registry of its own to
which it applies each command as soon as it is planned. So every later decision, and every refusal, is made against the
state that the secure element will be in by then, and a plan that was cut off goes on from wherever the card is.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from opentsm_card.command_names import CommandName, set_status_card
from opentsm_card.configurations import Role
from opentsm_card.delete import DeleteObject
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForMakeSelectable,
    InstallForRegistryUpdate,
)
from opentsm_card.lifecycle import ApplicationState, CardState, ContactlessState, SecurityDomainState, unlocked
from opentsm_card.plan.authority import Authority
from opentsm_card.plan.block import Block, LoadPackage, PlannedCommand, PutTemporaryKeys
from opentsm_card.plan.deletion import deletions
from opentsm_card.plan.difference import diff
from opentsm_card.plan.effects import apply
from opentsm_card.plan.refusal import PlanError, Refusal
from opentsm_card.plan.wanted import (
    Absent,
    ApplicationPresent,
    CardIn,
    Locked,
    SecurityDomainPresent,
    Unlocked,
    Wanted,
    WantedItem,
)
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind, Registry, RegistryEntry
from opentsm_card.set_status import SetStatus

if TYPE_CHECKING:
    from opentsm_card.aid import Aid
    from opentsm_card.plan.element import SecureElement

__all__ = ["plan"]

# The states that a card goes through on its way into the field, from which there is no way back (GP 5.1.1).
_FORWARD = (CardState.OP_READY, CardState.INITIALIZED, CardState.SECURED)


def plan(element: SecureElement, registry: Registry, wanted: Wanted) -> tuple[Block, ...]:
    """Return the commands that bring a secure element into a wanted state, in blocks of one secure channel each.

    In order: the card unlocked, unlocking, deletions (what depends on something before it), security domains with
    their keys, applications (installed, handed over, selectable), contactless activation, locking, the card's end.
    A plan ends early behind a command whose effect only the card knows (see `apply`): plan again from a new registry.

    Args:
        element: what the registry doesn't tell.
        registry: read under response MAC, complete.
        wanted: the state wanted.

    Returns:
        The blocks; none when there is nothing to do.

    Raises:
        PlanError: this secure element can't be brought there: which command, where, and why.
    """
    if not registry.complete:
        raise PlanError(Refusal.INCOMPLETE_REGISTRY, "the registry was not read to its end: absence proves nothing")
    planner = _Planner(element, registry)
    planner.walk(wanted.items)
    for difference in diff(planner.element, planner.registry, wanted):
        # Such as everything of a security domain locked, and one thing under it unlocked.
        why = f"another wish undoes it: {difference.aspect} would be {difference.found}, wanted {difference.wanted}"
        raise PlanError(Refusal.CONTRADICTION, why, aid=difference.aid)
    steps = groupby(planner.steps, key=lambda step: step[:2])
    return tuple(Block(target, via, tuple(step[2] for step in group)) for (target, via), group in steps)


class _Planner:
    """One walk: the steps planned so far, and the registry as it will be after them."""

    def __init__(self, element: SecureElement, registry: Registry) -> None:
        self.element = element
        self.registry = registry
        self.steps: list[tuple[Aid, Aid, PlannedCommand]] = []
        self.ended = False

    @property
    def authority(self) -> Authority:
        """Who may do what, as things will stand after the steps so far."""
        return Authority(self.element, self.registry)

    def walk(self, items: tuple[WantedItem, ...]) -> None:
        """Plan everything, phase by phase."""
        cards = [item.state for item in items if isinstance(item, CardIn)]
        for state in cards:
            if state in _FORWARD:
                self._card_forward(state)
        # A lock that came with a security domain goes with that domain's only: domains first.
        unlocked_items = [item for item in items if isinstance(item, Unlocked)]
        for opened in sorted(unlocked_items, key=lambda item: not item.everything):
            self._unlocked(opened)
        self._absent(items)
        for domain in _parents_first(items):
            self._security_domain(domain)
        applications = [item for item in items if isinstance(item, ApplicationPresent)]
        for application in applications:
            self._application(application)
        for application in applications:
            self._contactless(application)
        for item in items:
            if isinstance(item, Locked):
                self._locked(item)
        for state in cards:
            if state not in _FORWARD:
                self._card_lock_or_end(state)

    def _step(self, target: Aid, via: Aid, command: PlannedCommand) -> None:
        """Add a command, and see what it does."""
        if not self.ended:
            self.steps.append((target, via, command))
        self.registry = apply(self.registry, target, command)
        if not self.registry.complete:
            # What follows is checked all the same, as if everything were unlocked, but left to the next plan.
            self.ended = True
            self.registry = replace(self.registry, complete=True)

    def _do(self, name: CommandName, command: PlannedCommand, subject: Aid | None = None) -> None:
        """Add a command, run by whichever security domain may."""
        target, via = self.authority.runner(name, subject)
        self._step(target, via, command)

    def _card_forward(self, wanted: CardState) -> None:
        """Unlock the card, or bring a new one on its way."""
        state = self.authority.card_state
        if state == CardState.CARD_LOCKED and wanted is CardState.SECURED:
            self._do_card(wanted)
            return
        if state not in _FORWARD or _FORWARD.index(CardState(state)) > _FORWARD.index(wanted):
            raise _no_way(state, wanted)
        for following in _FORWARD[_FORWARD.index(CardState(state)) + 1 : _FORWARD.index(wanted) + 1]:
            self._do_card(following)

    def _card_lock_or_end(self, wanted: CardState) -> None:
        state = self.authority.card_state
        if state == wanted:
            return
        if wanted is CardState.CARD_LOCKED and state != CardState.SECURED:
            raise _no_way(state, wanted)
        self._do_card(wanted)

    def _do_card(self, state: CardState) -> None:
        name = set_status_card(state)
        assert name is not None, "nothing leads to OP_READY"
        target, via = self.authority.runner(name)
        self._step(target, via, SetStatus.card(state))
        if self.registry.isd is None:
            self.element = replace(self.element, card_state=state)

    def _unlocked(self, item: Unlocked) -> None:
        entry = self._to_lock(item)
        if not entry.locked:
            return
        if item.everything:
            self._do(CommandName.SET_STATUS_DOMAIN, SetStatus.unlock_all(item.aid), item.aid)
            return
        for above in self.authority.owners(item.aid):
            owner = self.registry.find(above)
            if owner is not None and owner.locked:
                why = f"it is locked with security domain {above}: unlock that with everything under it first"
                raise PlanError(Refusal.LIFE_CYCLE, why, command=CommandName.SET_STATUS_APPLICATION, aid=item.aid)
        self._do(CommandName.SET_STATUS_APPLICATION, SetStatus.unlock(item.aid), item.aid)

    def _locked(self, item: Locked) -> None:
        entry = self._to_lock(item)
        below = self.registry.under(item.aid) if item.everything else ()
        if entry.locked and all(other.locked or other.kind is Kind.LOAD_FILE for other in below):
            return
        if item.everything:
            self._do(CommandName.SET_STATUS_DOMAIN, SetStatus.lock_all(item.aid), item.aid)
        else:
            self._do(CommandName.SET_STATUS_APPLICATION, SetStatus.lock(item.aid), item.aid)

    def _to_lock(self, item: Locked | Unlocked) -> RegistryEntry:
        entry = self.registry.find(item.aid)
        if entry is None or entry.kind not in {Kind.APPLICATION, Kind.SECURITY_DOMAIN}:
            raise PlanError(Refusal.MISSING, "there is no application or security domain of this AID", aid=item.aid)
        if item.everything and entry.kind is not Kind.SECURITY_DOMAIN:
            raise PlanError(Refusal.DIFFERENT, "it is no security domain: nothing is under it", aid=item.aid)
        if not item.everything and entry.kind is Kind.SECURITY_DOMAIN:
            # Locked alone and locked with everything look alike in the registry, and are undone by different commands.
            raise PlanError(Refusal.DIFFERENT, "a security domain is locked with everything under it", aid=item.aid)
        return entry

    def _absent(self, items: tuple[WantedItem, ...]) -> None:
        going = deletions((item for item in items if isinstance(item, Absent)), self.registry)
        gone = {entry.aid for entry in going}
        for item in items:
            needed: set[Aid | None] = set()
            if isinstance(item, SecurityDomainPresent):
                needed = {item.aid, item.parent}
            elif isinstance(item, ApplicationPresent):
                needed = {item.aid, item.associated_sd, item.package}
            elif isinstance(item, Locked | Unlocked):
                needed = {item.aid}
            for aid in needed & gone:
                raise PlanError(Refusal.CONTRADICTION, "it is to go, and is wanted or needed otherwise", aid=aid)
        for entry in going:
            file = entry.kind is Kind.LOAD_FILE
            name = CommandName.DELETE_LOAD_FILE if file else CommandName.DELETE_APPLICATION
            self._do(name, DeleteObject(entry.aid), entry.aid)

    def _security_domain(self, item: SecurityDomainPresent) -> None:
        table = self.element.configuration.domains[Role.PROVIDER]
        privileges = table.privilege_bits if item.privileges is None else item.privileges
        entry = self.registry.find(item.aid)
        if entry is None:
            _may_have(item.aid, privileges, table.privilege_bits)
            if not privileges & Privilege.SECURITY_DOMAIN:
                raise PlanError(
                    Refusal.PRIVILEGE, "a security domain needs the privilege SECURITY_DOMAIN", aid=item.aid
                )
            package, module = self.element.sd_package, self.element.sd_module
            self._install(InstallForInstall(package, module, item.aid, privileges, item.parameters))
        elif entry.kind is not Kind.SECURITY_DOMAIN:
            raise PlanError(Refusal.DIFFERENT, f"there is another thing of this AID: {entry.kind.value}", aid=item.aid)
        else:
            _same_package(entry, self.element.sd_package)
        self._owned_by(item.aid, item.parent)
        if item.privileges is not None:
            self._privileges(item.aid, item.privileges, table.privilege_bits)
        self._selectable(item.aid)
        if item.key_version is not None and unlocked(self._entry(item.aid).state) < SecurityDomainState.PERSONALIZED:
            via = self.authority.opened_by(item.aid, CommandName.PUT_KEY_NEW)
            self._step(item.aid, via, PutTemporaryKeys(item.key_version))

    def _application(self, item: ApplicationPresent) -> None:
        allowed = self.element.configuration.application_privilege_bits
        entry = self.registry.find(item.aid)
        if entry is None:
            _may_have(item.aid, item.privileges, allowed)
            command = InstallForInstall(
                item.package, item.module, item.aid, item.privileges, item.parameters, make_selectable=item.selectable
            )
            self._install(command)
        elif entry.kind is not Kind.APPLICATION:
            raise PlanError(Refusal.DIFFERENT, f"there is another thing of this AID: {entry.kind.value}", aid=item.aid)
        else:
            _same_package(entry, item.package)
        self._owned_by(item.aid, item.associated_sd)
        self._privileges(item.aid, item.privileges, allowed)
        if item.selectable:
            self._selectable(item.aid)

    def _install(self, command: InstallForInstall) -> None:
        package = command.load_file
        assert package is not None
        if package not in {self.element.sd_package, *self.element.packages} and not self.registry.find(package):
            self._do(CommandName.INSTALL_FOR_LOAD, LoadPackage(package), package)
        self._do(CommandName.INSTALL_FOR_INSTALL, command)

    def _owned_by(self, aid: Aid, wanted: Aid | None) -> None:
        owner = wanted or self.element.central_sd
        if (self._entry(aid).associated_sd or self.element.issuer_sd) == owner:
            return
        if not self.authority.is_ready(owner):
            # GP 5.3.2: a security domain has nothing under it before it is PERSONALIZED.
            why = "it can own nothing: it is not there, has no keys of its own yet, or is locked"
            name = CommandName.INSTALL_FOR_EXTRADITION
            raise PlanError(Refusal.LIFE_CYCLE, why, command=name, security_domain=owner, aid=aid)
        target, via = self.authority.runner(CommandName.INSTALL_FOR_EXTRADITION, aid)
        if owner != target and target not in self.authority.owners(owner):
            why = f"{owner}, which it should belong to, is not under the security domain that would hand it over"
            name = CommandName.INSTALL_FOR_EXTRADITION
            raise PlanError(Refusal.OUT_OF_REACH, why, command=name, security_domain=target, aid=aid)
        self._step(target, via, InstallForExtradition(owner, aid))

    def _privileges(self, aid: Aid, wanted: Privilege, allowed: Privilege) -> None:
        if self._entry(aid).privileges == wanted:
            return
        _may_have(aid, wanted, allowed, CommandName.INSTALL_FOR_REGISTRY_UPDATE)
        command = InstallForRegistryUpdate(aid, privileges=wanted)
        self._do(CommandName.INSTALL_FOR_REGISTRY_UPDATE, command, aid)

    def _selectable(self, aid: Aid) -> None:
        if _is_selectable(self._entry(aid)):
            return
        self._do(CommandName.INSTALL_FOR_MAKE_SELECTABLE, InstallForMakeSelectable(aid), aid)

    def _contactless(self, item: ApplicationPresent) -> None:
        entry = self._entry(item.aid)
        if item.contactless is None or (entry.contactless is ContactlessState.ACTIVATED) == item.contactless:
            return
        may = entry.contactless is not ContactlessState.NON_ACTIVATABLE
        if item.contactless and not (may and _is_selectable(entry) and not entry.locked):
            why = "it can't be activated: it is locked, not SELECTABLE, or NON_ACTIVATABLE"
            raise PlanError(Refusal.LIFE_CYCLE, why, command=CommandName.SET_STATUS_CONTACTLESS, aid=item.aid)
        command = SetStatus.contactless(item.aid, activated=item.contactless)
        self._do(CommandName.SET_STATUS_CONTACTLESS, command, item.aid)

    def _entry(self, aid: Aid) -> RegistryEntry:
        entry = self.registry.find(aid)
        assert entry is not None, "planned or found before"
        return entry


def _parents_first(items: tuple[WantedItem, ...]) -> list[SecurityDomainPresent]:
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


def _is_selectable(entry: RegistryEntry) -> bool:
    # An application's own states keep these bits; so does LOCKED.
    return entry.state & ApplicationState.SELECTABLE == ApplicationState.SELECTABLE


def _may_have(
    aid: Aid, privileges: Privilege, allowed: Privilege, name: CommandName = CommandName.INSTALL_FOR_INSTALL
) -> None:
    excess = privileges & ~allowed
    if excess:
        names = ", ".join(privilege.name or "" for privilege in excess)
        why = f"this configuration does not give it {names}"
        raise PlanError(Refusal.PRIVILEGE, why, command=name, aid=aid)


def _same_package(entry: RegistryEntry, package: Aid) -> None:
    if entry.load_file is not None and entry.load_file != package:
        raise PlanError(Refusal.DIFFERENT, f"it is there, made from {entry.load_file}, not {package}", aid=entry.aid)


def _no_way(state: int, wanted: CardState) -> PlanError:
    why = f"there is no way from {CardState(state).name} to {wanted.name}"
    return PlanError(Refusal.LIFE_CYCLE, why, command=set_status_card(wanted) or "")
