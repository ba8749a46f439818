"""Which security domain may run a command, and with whose keys it is opened.

Three questions, answered from the configuration's table and the registry: does the security domain accept the command
in the life cycle it is in; does its authority reach the object; can the caller open it.

Spec: GP Card Specification 2.3.1, 6.6.1 (privileges), 9.3 to 9.6 (who may install, extradite, delete, lock).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card.command_names import CommandName
from opentsm_card.configurations import Acceptance, Role, Situation, situation
from opentsm_card.lifecycle import CardState, SecurityDomainState
from opentsm_card.plan.refusal import PlanError, Refusal
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind

if TYPE_CHECKING:
    from opentsm_card.aid import Aid
    from opentsm_card.plan.element import SecureElement
    from opentsm_card.registry import Registry

__all__ = ["Authority"]

# What lets a security domain act on what is not under it. None: nothing does.
_BEYOND_ITS_OWN: Final = {
    CommandName.DELETE_APPLICATION: Privilege.GLOBAL_DELETE,
    CommandName.DELETE_LOAD_FILE: Privilege.GLOBAL_DELETE,
    CommandName.DELETE_LOAD_FILE_AND_APPLICATIONS: Privilege.GLOBAL_DELETE,
    CommandName.SET_STATUS_APPLICATION: Privilege.GLOBAL_LOCK,
    CommandName.SET_STATUS_DOMAIN: Privilege.GLOBAL_LOCK,
    CommandName.SET_STATUS_CONTACTLESS: Privilege.CONTACTLESS_ACTIVATION,
    CommandName.INSTALL_FOR_MAKE_SELECTABLE: Privilege.NONE,
    CommandName.INSTALL_FOR_EXTRADITION: Privilege.NONE,
    CommandName.INSTALL_FOR_REGISTRY_UPDATE: Privilege.NONE,
}
_THIRD_PARTIES: Final = {
    Privilege.AUTHORIZED_MANAGEMENT: Role.AUTHORIZED,
    Privilege.DELEGATED_MANAGEMENT: Role.DELEGATED,
}
# A security domain that did these to itself, or to one above it, would cut off the session it does it in.
_NEVER_ABOVE: Final = frozenset(
    {
        CommandName.DELETE_APPLICATION,
        CommandName.SET_STATUS_APPLICATION,
        CommandName.SET_STATUS_DOMAIN,
    }
)


@dataclass(frozen=True, slots=True)
class Authority:
    """The three questions, for one secure element as its registry stands.

    Args:
        element: the secure element.
        registry: its registry at the moment that is asked about.
    """

    element: SecureElement
    registry: Registry

    @property
    def card_state(self) -> int:
        """The card's life cycle: the registry's word, or what is known where the registry doesn't tell."""
        return self.element.card_state if self.registry.isd is None else self.registry.isd.state

    def runner(self, command: CommandName, subject: Aid | None = None, first: Aid | None = None) -> tuple[Aid, Aid]:
        """Return the security domain to run a command, and the one whose keys open it.

        The central security domain where it can, else the issuer's, else another that the caller has keys of (a third
        party's that manages content).

        Args:
            command: which one.
            subject: what it is about.
            first: the security domain to prefer, where it can.

        Raises:
            PlanError: none can; the reason is that of the one that came nearest.
        """
        refusals = []
        named = (self.element.central_sd, self.element.issuer_sd)
        preferred = (first,) if first is not None and first in self.element.keys else ()
        for domain in dict.fromkeys((*preferred, *named, *self.element.keys)):
            try:
                return domain, self.opened_by(domain, command, subject)
            except PlanError as refusal:
                refusals.append((domain, refusal))
        # An issuer that would, but whose keys are somebody else's, tells more than a central SD that may not.
        known = [refusal for domain, refusal in refusals if domain in named]
        raise next((refusal for refusal in known if refusal.refusal is Refusal.NO_KEYS), known[0])

    def needs_token(self, domain: Aid, command: CommandName) -> bool:
        """Tell whether a security domain runs a command only with a token."""
        table = self.element.configuration.domains[self.role(domain)]
        return table.cell(command, self._situation(domain)) is Acceptance.TOKEN

    def opened_by(self, domain: Aid, command: CommandName, subject: Aid | None = None) -> Aid:
        """Return whose keys open a security domain to run a command there.

        Raises:
            PlanError: it does not accept the command, its authority does not reach the subject, or there are no keys.
        """
        self._accepts(domain, command, subject)
        self._reaches(domain, command, subject)
        return self.keys_for(domain, command)

    def keys_for(self, domain: Aid, command: CommandName) -> Aid:
        """Return whose keys open a security domain: its own, or while it is new those of the one above it.

        Raises:
            PlanError: the caller has no such keys.
        """
        holder = domain
        passed = set()
        while self._situation(holder).is_new and holder not in passed:
            passed.add(holder)
            entry = self.registry.find(holder)
            assert entry is not None, "only an entry of the registry can be new"
            holder = entry.associated_sd or self.element.issuer_sd
        if holder not in self.element.keys:
            table = self.element.configuration.domains[self.role(holder)]
            why = f"the keys of {table.title} {holder} are with the {table.keys_held_by}"
            raise PlanError(Refusal.NO_KEYS, why, command=command, security_domain=domain)
        return holder

    def role(self, domain: Aid) -> Role:
        """Return the role of a security domain in the configuration: a third party's shows by its privileges."""
        if domain == self.element.issuer_sd:
            return Role.ISSUER
        if domain == self.element.central_sd:
            return Role.CENTRAL
        entry = self.registry.find(domain)
        granted = Privilege.NONE if entry is None else entry.privileges
        for privilege, role in _THIRD_PARTIES.items():
            if privilege & granted and role in self.element.configuration.domains:
                return role
        return Role.PROVIDER

    @property
    def domain_privileges(self) -> Privilege:
        """What a new security domain may be given here."""
        if self.element.grants is not None:
            return self.element.grants
        domains = self.element.configuration.domains
        by_issuer = self.element.issuer_sd in self.element.keys
        roles = (Role.PROVIDER, Role.AUTHORIZED, Role.DELEGATED) if by_issuer else (Role.PROVIDER,)
        allowed = Privilege.NONE
        for role in roles:
            allowed |= domains[role].privilege_bits if role in domains else Privilege.NONE
        return allowed

    @property
    def application_privileges(self) -> Privilege:
        """What an application may be given here."""
        grants = self.element.grants
        return self.element.configuration.application_privilege_bits if grants is None else grants

    def is_ready(self, domain: Aid) -> bool:
        """Tell whether a security domain is there, PERSONALIZED and not locked, so that it can own applications."""
        known = domain in {self.element.issuer_sd, self.element.central_sd}
        entry = self.registry.find(domain)
        if entry is not None and entry.kind in {Kind.APPLICATION, Kind.LOAD_FILE}:
            return False
        return (known or entry is not None) and self._situation(domain).is_ready

    def _situation(self, domain: Aid) -> Situation:
        entry = self.registry.find(domain)
        # A security domain need not list itself or those above it; those that we know then are in use, so PERSONALIZED.
        state = SecurityDomainState.PERSONALIZED if entry is None else entry.state
        return situation(state, self.card_state, issuer=domain == self.element.issuer_sd)

    def _accepts(self, domain: Aid, command: CommandName, subject: Aid | None) -> None:
        table = self.element.configuration.domains[self.role(domain)]
        now = self._situation(domain)
        if table.accepts(command, now):
            return
        if table.accepts(command):
            card = self.card_state
            state = CardState(card).name if now in {Situation.CARD_LOCKED, Situation.TERMINATED} else now
            refusal, why = Refusal.LIFE_CYCLE, f"the {table.title} does not accept it while the card or it is {state}"
        else:
            granted = ", ".join(table.privileges)
            refusal, why = Refusal.PRIVILEGE, f"the {table.title} does not accept it (its privileges: {granted})"
        raise PlanError(refusal, why, command=command, security_domain=domain, aid=subject)

    def _reaches(self, domain: Aid, command: CommandName, subject: Aid | None) -> None:
        if subject is None or command not in _BEYOND_ITS_OWN:
            return
        if command in _NEVER_ABOVE and (subject == domain or subject in self.owners(domain)):
            why = "a security domain can't do this to itself or to what it is under"
            raise PlanError(Refusal.OUT_OF_REACH, why, command=command, security_domain=domain, aid=subject)
        table = self.element.configuration.domains[self.role(domain)]
        granted = table.privilege_bits
        entry = self.registry.find(domain)
        if entry is not None and entry.privileges:
            granted &= entry.privileges  # the card's word, as far as it tells
        if domain in self.owners(subject) or granted & _BEYOND_ITS_OWN[command]:
            return
        why = f"it is not under the {table.title}, whose privileges don't reach further"
        raise PlanError(Refusal.OUT_OF_REACH, why, command=command, security_domain=domain, aid=subject)

    def owners(self, subject: Aid) -> set[Aid]:
        """Return the security domains that an object is under, directly or through others."""
        owners: set[Aid] = set()
        entry = self.registry.find(subject)
        while entry is not None:
            owner = entry.associated_sd or self.element.issuer_sd
            if owner in owners:
                break
            owners.add(owner)
            entry = self.registry.find(owner)
        # What is under the central security domain is under the issuer's.
        return owners | {self.element.issuer_sd} if owners else owners
