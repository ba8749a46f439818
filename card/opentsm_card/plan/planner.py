"""From a wanted state and a registry to the commands between them.

The planner walks the wanted state in the order in which the commands have to come, and keeps a registry of its own to
which it applies each command as soon as it is planned. So every later decision, and every refusal, is made against the
state that the secure element will be in by then, and a plan that was cut off goes on from wherever the card is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from opentsm_card.command_names import CommandName, set_status_card
from opentsm_card.configurations import Role
from opentsm_card.delete import DeleteKey, DeleteObject
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForMakeSelectable,
    InstallForRegistryUpdate,
)
from opentsm_card.lifecycle import CardState, ContactlessState, SecurityDomainState, unlocked
from opentsm_card.plan.authority import Authority
from opentsm_card.plan.block import Block, LoadPackage, PlannedCommand, PutKeySet, PutTemporaryKeys
from opentsm_card.plan.checks import is_other_version, is_selectable, may_have, no_way, of_kind, same_package
from opentsm_card.plan.deletion import deletions
from opentsm_card.plan.difference import diff
from opentsm_card.plan.effects import apply
from opentsm_card.plan.order import imports_first, parents_first
from opentsm_card.plan.refusal import PlanError, Refusal
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
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind, Registry, RegistryEntry
from opentsm_card.set_status import SetStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from opentsm_card.aid import Aid
    from opentsm_card.plan.element import SecureElement

__all__ = ["plan"]

_Item = TypeVar("_Item")

# The states that a card goes through on its way into the field, from which there is no way back (GP 5.1.1).
_FORWARD = (CardState.OP_READY, CardState.INITIALIZED, CardState.SECURED)


def plan(
    element: SecureElement,
    registry: Registry,
    wanted: Wanted,
    key_versions: Mapping[Aid, AbstractSet[int]] | None = None,
) -> tuple[Block, ...]:
    """Return the commands that bring a secure element into a wanted state, in blocks of one secure channel each.

    In order: the card unlocked, unlocking, deletions (what depends on something before it), security domains with
    their keys, packages (what they import before them), applications (installed, handed over, selectable), contactless
    activation, key sets put and others deleted, locking, the card's end.
    A plan ends early behind a command whose effect only the card knows (see `apply`): plan again from a new registry.

    Args:
        element: what the registry doesn't tell.
        registry: read under response MAC, complete.
        wanted: the state wanted.
        key_versions: of the key sets in each security domain, as far as they were read (GET DATA E0); those that
            `KeySetsPresent` names are needed.

    Returns:
        The blocks; none when there is nothing to do.

    Raises:
        PlanError: this secure element can't be brought there: which command, where, and why.
    """
    if not registry.complete:
        raise PlanError(Refusal.INCOMPLETE_REGISTRY, "the registry was not read to its end: absence proves nothing")
    planner = _Planner(element, registry, key_versions or {})
    planner.walk(wanted.items)
    for difference in diff(planner.element, planner.registry, wanted, planner.key_versions):
        # Such as everything of a security domain locked, and one thing under it unlocked.
        why = f"another wish undoes it: {difference.aspect} would be {difference.found}, wanted {difference.wanted}"
        raise PlanError(Refusal.CONTRADICTION, why, aid=difference.aid)
    return tuple(planner.blocks())


@dataclass(frozen=True, slots=True)
class _Step:
    """One command, and how it is sent."""

    target: Aid
    via: Aid
    command: PlannedCommand
    key_version: int | None
    token: bool


class _Planner:
    """One walk: the steps planned so far, and the registry as it will be after them."""

    def __init__(
        self, element: SecureElement, registry: Registry, key_versions: Mapping[Aid, AbstractSet[int]]
    ) -> None:
        self.element = element
        self.registry = registry
        self.key_versions = {aid: set(versions) for aid, versions in key_versions.items()}
        # Key sets that took the place of the one that the caller said it has.
        self.opened_with: dict[Aid, int] = {}
        self.steps: list[_Step] = []
        self.ended = False

    def blocks(self) -> Iterator[Block]:
        """Yield the steps, those that share a secure channel together."""
        for (target, via, version), group in groupby(
            self.steps, lambda step: (step.target, step.via, step.key_version)
        ):
            steps = tuple(group)
            tokens = frozenset(position for position, step in enumerate(steps) if step.token)
            yield Block(target, via, tuple(step.command for step in steps), version, tokens)

    @property
    def authority(self) -> Authority:
        """Who may do what, as things will stand after the steps so far."""
        return Authority(self.element, self.registry)

    def walk(self, items: tuple[WantedItem, ...]) -> None:
        """Plan everything, phase by phase."""
        cards = _of(CardIn, items)
        _each((item.state for item in cards if item.state in _FORWARD), self._card_forward)
        # A lock that came with a security domain goes with that domain's only: domains first.
        _each(sorted(_of(Unlocked, items), key=lambda item: not item.everything), self._unlocked)
        self._absent(items)
        _each(parents_first(items), self._security_domain)
        _each(imports_first(items), self._package)
        _each(_of(ApplicationPresent, items), self._application)
        _each(_of(ApplicationPresent, items), self._contactless)
        _each(_of(KeySetsPresent, items), self._key_sets)
        _each(_of(Locked, items), self._locked)
        _each((item.state for item in cards if item.state not in _FORWARD), self._card_lock_or_end)

    def _step(self, target: Aid, via: Aid, command: PlannedCommand, *, token: bool = False) -> None:
        """Add a command, and see what it does."""
        if not self.ended:
            self.steps.append(_Step(target, via, command, self.opened_with.get(via), token))
        self.registry = apply(self.registry, target, command)
        if not self.registry.complete:
            # What follows is checked all the same, as if everything were unlocked, but left to the next plan.
            self.ended = True
            self.registry = replace(self.registry, complete=True)

    def _do(
        self, name: CommandName, command: PlannedCommand, subject: Aid | None = None, first: Aid | None = None
    ) -> None:
        """Add a command, run by whichever security domain may."""
        target, via = self.authority.runner(name, subject, first)
        self._step(target, via, command, token=self.authority.needs_token(target, name))

    def _card_forward(self, wanted: CardState) -> None:
        """Unlock the card, or bring a new one on its way."""
        state = self.authority.card_state
        if state == CardState.CARD_LOCKED and wanted is CardState.SECURED:
            self._do_card(wanted)
            return
        if state not in _FORWARD or _FORWARD.index(CardState(state)) > _FORWARD.index(wanted):
            raise no_way(state, wanted)
        for following in _FORWARD[_FORWARD.index(CardState(state)) + 1 : _FORWARD.index(wanted) + 1]:
            self._do_card(following)

    def _card_lock_or_end(self, wanted: CardState) -> None:
        state = self.authority.card_state
        if state == wanted:
            return
        if wanted is CardState.CARD_LOCKED and state != CardState.SECURED:
            raise no_way(state, wanted)
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
        going = deletions((item for item in items if isinstance(item, Absent)), self.registry, _imports(items))
        # What is to be absent is not there later either, whether it is now or not.
        gone = {entry.aid for entry in going} | {item.aid for item in _of(Absent, items)}
        replaced = self._replaced(items)
        for item in items:
            needed: set[Aid | None] = set()
            if isinstance(item, SecurityDomainPresent):
                needed = {item.aid, item.parent}
            elif isinstance(item, ApplicationPresent):
                needed = {item.aid, item.associated_sd, item.package}
            elif isinstance(item, PackagePresent):
                needed = {item.aid, item.security_domain, *item.imports}
            elif isinstance(item, Locked | Unlocked | KeySetsPresent):
                needed = {item.aid}
            for aid in needed & gone:
                raise PlanError(Refusal.CONTRADICTION, "it is to go, and is wanted or needed otherwise", aid=aid)
        for entry in dict.fromkeys((*going, *replaced)):
            file = entry.kind is Kind.LOAD_FILE
            name = CommandName.DELETE_LOAD_FILE if file else CommandName.DELETE_APPLICATION
            self._do(name, DeleteObject(entry.aid), entry.aid)

    def _replaced(self, items: tuple[WantedItem, ...]) -> tuple[RegistryEntry, ...]:
        """Return what goes so that packages can be loaded in another version: their instances, then they.

        With a package go those that import it, which are loaded anew as they are.
        """
        packages = _of(PackagePresent, items)
        old = {item.aid for item in packages if item.replace and is_other_version(self.registry.find(item.aid), item)}
        if not old:
            return ()
        while importers := {item.aid for item in packages if item.imports & old and item.replace} - old:
            old |= importers
        instances = {item.aid for item in _of(ApplicationPresent, items) if item.package in old}
        gone = [item for item in items if isinstance(item, Absent)]
        anew = [Absent(aid) for aid in (*old, *instances) if self.registry.find(aid) is not None]
        return deletions((*gone, *anew), self.registry, _imports(items))

    def _package(self, item: PackagePresent) -> None:
        entry = self.registry.find(item.aid)
        if entry is None and item.aid in self.element.packages:
            return  # there, though the security domain that was asked does not list it
        if entry is None:
            self._load(item)
        else:
            of_kind(entry, Kind.LOAD_FILE)
            if is_other_version(entry, item):
                found, wanted = (".".join(map(str, version)) for version in (entry.version, item.version))
                why = (
                    f"version {found} is there, {wanted} is wanted: to replace it with its instances must be asked for"
                )
                raise PlanError(Refusal.DIFFERENT, why, aid=item.aid)
        self._owned_by(item.aid, item.security_domain)

    def _load(self, item: PackagePresent) -> None:
        name, owner = CommandName.INSTALL_FOR_LOAD, item.security_domain
        target, via = self.authority.runner(name, item.aid, owner)
        # The load file can go to another security domain at once, if that is ready to own it.
        other = None if owner in {None, target} else owner
        if other is not None and not self.authority.is_ready(other):
            why = "it can own nothing: it is not there, has no keys of its own yet, or is locked"
            raise PlanError(Refusal.LIFE_CYCLE, why, command=name, security_domain=other, aid=item.aid)
        command = LoadPackage(item.aid, item.version, item.modules, item.size_bytes, item.hash, other)
        token = self.authority.needs_token(target, name)
        if token and not item.hash:
            why = "a load token signs the hash of the load file data block, and none was given"
            raise PlanError(Refusal.MISSING, why, command=name, security_domain=target, aid=item.aid)
        self._step(target, via, command, token=token)

    def _key_sets(self, item: KeySetsPresent) -> None:
        """Put what is missing; before anything is deleted, the last one proves itself by opening the next channel."""
        there = self.key_versions.get(item.aid)
        if there is None:
            why = "its key information was not read"
            raise PlanError(Refusal.INCOMPLETE_REGISTRY, why, command=CommandName.PUT_KEY_NEW, aid=item.aid)
        for version in item.versions:
            if version not in there:
                via = self.authority.opened_by(item.aid, CommandName.PUT_KEY_NEW)
                self._step(item.aid, via, PutKeySet(version))
                there.add(version)
        if not item.only:
            return
        last = item.versions[-1]
        for version in sorted(there - set(item.versions)):
            via = self.authority.opened_by(item.aid, CommandName.DELETE_KEY)
            if self.element.keys.get(via) != last:
                self.opened_with[via] = last
            self._step(item.aid, via, DeleteKey(version))
            there.discard(version)

    def _security_domain(self, item: SecurityDomainPresent) -> None:
        table = self.element.configuration.domains[Role.PROVIDER]
        privileges = table.privilege_bits if item.privileges is None else item.privileges
        entry = self.registry.find(item.aid)
        if entry is None:
            may_have(item.aid, privileges, self.authority.domain_privileges)
            if not privileges & Privilege.SECURITY_DOMAIN:
                raise PlanError(
                    Refusal.PRIVILEGE, "a security domain needs the privilege SECURITY_DOMAIN", aid=item.aid
                )
            package, module = self.element.sd_package, self.element.sd_module
            self._install(InstallForInstall(package, module, item.aid, privileges, item.parameters), item.parent)
        else:
            of_kind(entry, Kind.SECURITY_DOMAIN)
            same_package(entry, self.element.sd_package)
        self._owned_by(item.aid, item.parent)
        if item.privileges is not None:
            self._privileges(item.aid, item.privileges, self.authority.domain_privileges)
        self._selectable(item.aid)
        if item.key_version is not None and unlocked(self._entry(item.aid).state) < SecurityDomainState.PERSONALIZED:
            via = self.authority.opened_by(item.aid, CommandName.PUT_KEY_NEW)
            self._step(item.aid, via, PutTemporaryKeys(item.key_version))
            self.key_versions.setdefault(item.aid, set()).add(item.key_version)

    def _application(self, item: ApplicationPresent) -> None:
        allowed = self.authority.application_privileges
        entry = self.registry.find(item.aid)
        if entry is None:
            may_have(item.aid, item.privileges, allowed)
            command = InstallForInstall(
                item.package, item.module, item.aid, item.privileges, item.parameters, make_selectable=item.selectable
            )
            self._install(command, item.associated_sd)
        else:
            of_kind(entry, Kind.APPLICATION)
            same_package(entry, item.package)
        self._owned_by(item.aid, item.associated_sd)
        self._privileges(item.aid, item.privileges, allowed)
        if item.selectable:
            self._selectable(item.aid)

    def _install(self, command: InstallForInstall, owner: Aid | None) -> None:
        package = command.load_file
        assert package is not None
        if package not in {self.element.sd_package, *self.element.packages} and not self.registry.find(package):
            why = f"package {package}, which it is made from, is not on the card, and no file of it was given"
            raise PlanError(Refusal.MISSING, why, command=CommandName.INSTALL_FOR_LOAD, aid=command.application)
        self._do(CommandName.INSTALL_FOR_INSTALL, command, first=owner)

    def _owned_by(self, aid: Aid, wanted: Aid | None) -> None:
        owner = wanted or self.element.central_sd
        if (self._entry(aid).associated_sd or self.element.issuer_sd) == owner:
            return
        if not self.authority.is_ready(owner):
            # GP 5.3.2: a security domain has nothing under it before it is PERSONALIZED.
            why = "it can own nothing: it is not there, has no keys of its own yet, or is locked"
            name = CommandName.INSTALL_FOR_EXTRADITION
            raise PlanError(Refusal.LIFE_CYCLE, why, command=name, security_domain=owner, aid=aid)
        name = CommandName.INSTALL_FOR_EXTRADITION
        target, via = self.authority.runner(name, aid)
        if owner != target and target not in self.authority.owners(owner):
            why = f"{owner}, which it should belong to, is not under the security domain that would hand it over"
            raise PlanError(Refusal.OUT_OF_REACH, why, command=name, security_domain=target, aid=aid)
        self._step(target, via, InstallForExtradition(owner, aid), token=self.authority.needs_token(target, name))

    def _privileges(self, aid: Aid, wanted: Privilege, allowed: Privilege) -> None:
        if self._entry(aid).privileges == wanted:
            return
        may_have(aid, wanted, allowed, CommandName.INSTALL_FOR_REGISTRY_UPDATE)
        command = InstallForRegistryUpdate(aid, privileges=wanted)
        self._do(CommandName.INSTALL_FOR_REGISTRY_UPDATE, command, aid)

    def _selectable(self, aid: Aid) -> None:
        if is_selectable(self._entry(aid)):
            return
        self._do(CommandName.INSTALL_FOR_MAKE_SELECTABLE, InstallForMakeSelectable(aid), aid)

    def _contactless(self, item: ApplicationPresent) -> None:
        entry = self._entry(item.aid)
        if item.contactless is None or (entry.contactless is ContactlessState.ACTIVATED) == item.contactless:
            return
        may = entry.contactless is not ContactlessState.NON_ACTIVATABLE
        if item.contactless and not (may and is_selectable(entry) and not entry.locked):
            why = "it can't be activated: it is locked, not SELECTABLE, or NON_ACTIVATABLE"
            raise PlanError(Refusal.LIFE_CYCLE, why, command=CommandName.SET_STATUS_CONTACTLESS, aid=item.aid)
        command = SetStatus.contactless(item.aid, activated=item.contactless)
        self._do(CommandName.SET_STATUS_CONTACTLESS, command, item.aid)

    def _entry(self, aid: Aid) -> RegistryEntry:
        entry = self.registry.find(aid)
        assert entry is not None, "planned or found before"
        return entry


def _imports(items: tuple[WantedItem, ...]) -> dict[Aid, frozenset[Aid]]:
    return {item.aid: item.imports for item in _of(PackagePresent, items)}


def _of(kind: type[_Item], items: tuple[WantedItem, ...]) -> list[_Item]:
    return [item for item in items if isinstance(item, kind)]


def _each(items: Iterable[_Item], do: Callable[[_Item], None]) -> None:
    for item in items:
        do(item)
