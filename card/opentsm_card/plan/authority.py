"""Which security domain may run a command, and with whose keys it is opened.

Three questions, answered from the configuration's table and the registry: does the security domain accept the command
in the life cycle it is in; does its authority reach the object; can the caller open it.

Spec: GP Card Specification 2.3.1, 6.6.1 (privileges), 9.3 to 9.6 (who may install, extradite, delete, lock).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card.configurations import CommandName, Role, Situation, situation
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

    def runner(self, command: CommandName, subject: Aid | None = None) -> tuple[Aid, Aid]:
        """Return the security domain to run a command, and the one whose keys open it.

        The central security domain where it can, else the issuer's.

        Raises:
            PlanError: neither can; the reason is that of the one that came nearest.
        """
        refusals = []
        for domain in dict.fromkeys((self.element.central_sd, self.element.issuer_sd)):
            try:
                return domain, self.opened_by(domain, command, subject)
            except PlanError as refusal:
                refusals.append(refusal)
        # An issuer that would, but whose keys are somebody else's, tells more than a central SD that may not.
        raise next((refusal for refusal in refusals if refusal.refusal is Refusal.NO_KEYS), refusals[0])

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
        """Return the role of a security domain in the configuration."""
        if domain == self.element.issuer_sd:
            return Role.ISSUER
        return Role.CENTRAL if domain == self.element.central_sd else Role.PROVIDER

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
        if domain in self.owners(subject) or table.privilege_bits & _BEYOND_ITS_OWN[command]:
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
