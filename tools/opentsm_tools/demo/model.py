"""What an SE must hold: the registry it had at the start, changed by what each sequence should have done.

It is compared with what is read from the SE itself, entry by entry and both ways, so that nothing more and nothing
less than the sequence's effect passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from opentsm_card.aid import Aid
from opentsm_card.lifecycle import ApplicationState, CardState, ContactlessState, SecurityDomainState, locked, unlocked
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind, RegistryEntry

if TYPE_CHECKING:
    from opentsm_card.registry import Registry
    from opentsm_tools.demo.inspection import Snapshot

__all__ = ["SeModel", "describe", "describe_parts", "registry_differences"]


def describe(entry: RegistryEntry) -> str:
    """Return what counts of an entry, for comparison and for people."""
    contactless = None if entry.contactless is None else entry.contactless is ContactlessState.ACTIVATED
    return describe_parts(entry.kind, entry.state, entry.associated_sd, contactless=contactless)


def describe_parts(kind: Kind, state: int, sd: bytes | None, *, contactless: bool | None) -> str:
    """Return what counts of an entry, by its parts."""
    said = [kind.value, f"state {state:02X}"]
    if contactless is not None and kind is Kind.APPLICATION:
        said.append("contactless" if contactless else "not contactless")
    if sd is not None:
        said.append(f"under {sd.hex().upper()}")
    return ", ".join(said)


def registry_differences(wanted: dict[bytes, str], found: dict[bytes, str], *, who: str) -> list[str]:
    """Return every difference between two registries, each in one line.

    Args:
        wanted: AID to description.
        found: AID to description, as read from the SE.
        who: whose opinion `wanted` is.
    """
    lines = []
    for aid in sorted(wanted.keys() | found.keys()):
        name = aid.hex().upper()
        if aid not in found:
            lines.append(f"{name}: {who} {wanted[aid]}; not on the SE")
        elif aid not in wanted:
            lines.append(f"{name}: on the SE {found[aid]}; {who} nothing")
        elif wanted[aid] != found[aid]:
            lines.append(f"{name}: {who} {wanted[aid]}; on the SE {found[aid]}")
    return lines


@dataclass
class SeModel:
    """What one SE must hold.

    Args:
        entries: the registry, by AID; the issuer security domain's state is the card's.
        keys: the key versions of the security domains that sequences made.
        accounts: for each payment instance the (PAN, expiry) pairs, in any order.
    """

    entries: dict[bytes, RegistryEntry]
    keys: dict[bytes, frozenset[int]] = field(default_factory=dict)
    accounts: dict[bytes, frozenset[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, registry: Registry) -> SeModel:
        """Return the model of an SE as it is now."""
        return cls({bytes(entry.aid): entry for entry in registry})

    def _change(self, aid: bytes, **changes: object) -> None:
        self.entries[aid] = replace(self.entries[aid], **changes)  # type: ignore[arg-type] # any field of the entry

    def add_domain(self, aid: bytes, parent: bytes, version: int) -> None:
        """A security domain with its first key set."""
        self.entries[aid] = RegistryEntry(
            Aid(aid),
            SecurityDomainState.PERSONALIZED,
            Privilege.SECURITY_DOMAIN | Privilege.TRUSTED_PATH,
            Aid(parent),
            kind=Kind.SECURITY_DOMAIN,
        )
        self.keys[aid] = frozenset({version})

    def add_instance(self, aid: bytes, domain: bytes) -> None:
        """An application instance, selectable and not active on the contactless interface."""
        self.entries[aid] = RegistryEntry(
            Aid(aid),
            ApplicationState.SELECTABLE,
            associated_sd=Aid(domain),
            contactless=ContactlessState.DEACTIVATED,
        )
        self.accounts[aid] = frozenset()

    def set_keys(self, domain: bytes, version: int) -> None:
        """The one key version that a security domain holds."""
        self.keys[domain] = frozenset({version})

    def activate(self, aid: bytes) -> None:
        """An application becomes active on the contactless interface."""
        self._change(aid, contactless=ContactlessState.ACTIVATED)

    def lock(self, *aids: bytes) -> None:
        """Applications or security domains are locked."""
        for aid in aids:
            self._change(aid, state=locked(self.entries[aid].state))

    def unlock(self, *aids: bytes) -> None:
        """They return to the state before."""
        for aid in aids:
            self._change(aid, state=unlocked(self.entries[aid].state))

    def set_card(self, state: CardState) -> None:
        """Change the card's life cycle."""
        for aid, entry in self.entries.items():
            if entry.kind is Kind.ISSUER_SECURITY_DOMAIN:
                self._change(aid, state=state)
                return

    def remove(self, *aids: bytes) -> None:
        """Objects are gone, with their keys and accounts."""
        for aid in aids:
            del self.entries[aid]
            self.keys.pop(aid, None)
            self.accounts.pop(aid, None)

    def under(self, domain: bytes) -> list[bytes]:
        """Return the AIDs of what belongs to a security domain."""
        return [aid for aid, entry in self.entries.items() if entry.associated_sd == domain and aid != domain]

    @property
    def card_state(self) -> CardState:
        """The card's life cycle, which is the issuer security domain's state."""
        issuer = next(entry for entry in self.entries.values() if entry.kind is Kind.ISSUER_SECURITY_DOMAIN)
        return CardState(issuer.state)

    def visible(self) -> dict[bytes, frozenset[tuple[str, str]]]:
        """Return what a payment reader must be able to read: active, unlocked instances and their accounts."""
        if self.card_state in {CardState.CARD_LOCKED, CardState.TERMINATED}:
            return {}
        return {
            aid: self.accounts[aid]
            for aid, entry in self.entries.items()
            if aid in self.accounts
            and entry.contactless is ContactlessState.ACTIVATED
            and entry.state == ApplicationState.SELECTABLE
        }

    def selectable_domains(self) -> dict[bytes, frozenset[int]]:
        """Return the key versions of the security domains that can be selected, and so asked for them."""
        if self.card_state in {CardState.CARD_LOCKED, CardState.TERMINATED}:
            return {}
        return {aid: versions for aid, versions in self.keys.items() if not self.entries[aid].locked}

    def differences(self, snapshot: Snapshot) -> list[str]:
        """Return in what an SE, as read, is not what it must be."""
        if self.card_state is CardState.TERMINATED or snapshot.terminated:
            same = snapshot.terminated and self.card_state is CardState.TERMINATED
            read = snapshot.card_state
            return [] if same else [f"must be {self.card_state.name}; is {read.name if read else 'unknown'}"]
        lines = [] if snapshot.registry.complete else ["the lists read are not complete"]
        wanted = {aid: describe(entry) for aid, entry in self.entries.items()}
        found = {bytes(entry.aid): describe(entry) for entry in snapshot.registry}
        lines += registry_differences(wanted, found, who="must be")
        domains = self.selectable_domains()
        for domain in snapshot.keys.keys() | domains.keys():
            held, due = snapshot.keys.get(domain, frozenset()), domains.get(domain, frozenset())
            if held != due:
                lines.append(f"{domain.hex().upper()}: must hold key versions {sorted(due)}; holds {sorted(held)}")
        visible = self.visible()
        for aid in snapshot.reader.keys() | visible.keys():
            shown, wanted_accounts = snapshot.reader.get(aid), visible.get(aid)
            if shown != wanted_accounts:
                seen, must = _count(shown), _count(wanted_accounts)
                lines.append(f"{aid.hex().upper()}: a payment reader sees {seen}; it must see {must}")
        return lines


def _count(accounts: frozenset[tuple[str, str]] | None) -> str:
    """Say how many accounts, and never which."""
    return "nothing" if accounts is None else f"{len(accounts)} accounts ({len({pan for pan, _ in accounts})} numbers)"
