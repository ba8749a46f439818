"""What `apply` finds on a card, and the secure channels in which it works there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from opentsm_card.aid import Aid
from opentsm_card.card_profiles import load_card_profile
from opentsm_card.configurations import Role, configuration
from opentsm_card.errors import CardError, ProtocolError, SecureChannelError
from opentsm_card.get_data import DataTag
from opentsm_card.lifecycle import SecurityDomainState, unlocked
from opentsm_card.plan import PlanError, Refusal, SecureElement, diff, plan
from opentsm_card.privileges import Privilege
from opentsm_tools.card.apply_words import bytes_to_load, describe_command
from opentsm_tools.card.key_sources import Material

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentsm_card.key_information import KeyInformation
    from opentsm_card.plan import Block, Difference, Wanted
    from opentsm_card.registry import Registry, RegistryEntry
    from opentsm_tools.card.apply_wanted import Content
    from opentsm_tools.card.desk import Desk
    from opentsm_tools.card.key_sources import KeySource
    from opentsm_tools.card.manager import CardManager

__all__ = ["Look", "Looker", "key_set_versions"]

# The card's owner may give whatever the specification defines.
_ALL: Final = Privilege(0xFFFFF0)
# What security domains are made from (GP Card Specification 2.3.1, H.1).
_SD_PACKAGE: Final = Aid.from_text("A0000001515350")
_SD_MODULE: Final = Aid.from_text("A000000151535041")
# Identifiers and types of the keys of SCP02 and SCP03 (Amendment D, table 5-1; tables 11-16, E-1).
_CHANNEL_KEY_IDS: Final = frozenset({1, 2, 3})
_SYMMETRIC: Final = frozenset({0x80, 0x82, 0x83, 0x84, 0x88})
# Keys that a card comes with can say so by this version; the first others that are put take their place.
_INITIAL: Final = 0xFF


def key_set_versions(keys: Iterable[KeyInformation]) -> frozenset[int]:
    """Return the versions under which there are key sets for secure channels: three symmetric keys.

    Others are no business of `apply`: keys for tokens, receipts and DAPs, for SCP11 and of applications.
    """
    found: dict[int, set[int]] = {}
    for key in keys:
        if len(key.components) == 1 and key.components[0].key_type in _SYMMETRIC and key.version != _INITIAL:
            found.setdefault(key.version, set()).add(key.key_id)
    return frozenset(version for version, identifiers in found.items() if identifiers >= _CHANNEL_KEY_IDS)


def _is_new(domain: RegistryEntry | None) -> bool:
    """Tell whether a security domain is not there yet, or has no keys of its own."""
    return domain is None or unlocked(domain.state) < SecurityDomainState.PERSONALIZED


@dataclass(frozen=True)
class Look:
    """What a look at the card found.

    Args:
        registry: complete.
        key_versions: of the key sets of each security domain that told.
        free_bytes: of persistent memory; None where the card does not say.
        element: the card as the planner knows it.
        wanted: the state wanted.
    """

    registry: Registry
    key_versions: Mapping[Aid, frozenset[int]]
    free_bytes: int | None
    element: SecureElement
    wanted: Wanted

    def plan(self) -> tuple[Block, ...]:
        """Return the commands that are still needed.

        Raises:
            PlanError: the card can't be brought there; also when there is not room enough for what is to be loaded.
        """
        blocks = plan(self.element, self.registry, self.wanted, self.key_versions)
        size = bytes_to_load(blocks)
        frees = any(
            describe_command(command, block.target)[0] == "delete" for block in blocks for command in block.commands
        )
        if self.free_bytes is not None and size > self.free_bytes and not frees:
            why = f"{size:,} bytes are to be loaded, and {self.free_bytes:,} are free: delete something ([[absent]])"
            raise PlanError(Refusal.ROOM, why)
        return blocks

    def differences(self) -> tuple[Difference, ...]:
        """Return what is not as wanted."""
        return diff(self.element, self.registry, self.wanted, self.key_versions)


class Looker:
    """Reads one card, and opens secure channels with its security domains; keeps what is selected and open.

    Args:
        desk: options and output.
        card: open; its issuer security domain is selected here.
        content: the wanted content.

    Raises:
        RefusedError: there is no issuer security domain to select.
        ProtocolError: it does not say its AID.
    """

    def __init__(self, desk: Desk, card: CardManager, content: Content) -> None:
        self._desk = desk
        self._card = card
        self._content = content
        card.select()
        if card.selected is None:
            raise ProtocolError("the card does not say the AID of its issuer security domain when that is selected")
        self.issuer = card.selected
        self._home = desk.options.sd or self.issuer
        self._home_source: KeySource | None = None
        self._opened: tuple[Aid, Aid, int | None] | None = None

    def look(self) -> Look:
        """Read the card: key information, registry, free memory; leaves a secure channel open."""
        versions = self._key_versions()
        card, home = self._card, self._home
        self._open_home(versions.get(home))
        told = card.key_information()
        if told is not None:
            versions[home] = key_set_versions(told)
        registry = self._registry()
        content = self._content
        element = self._element(versions, registry)
        return Look(registry, versions, self._free_bytes(), element, content.wanted(self.issuer, registry, versions))

    def _key_versions(self) -> dict[Aid, frozenset[int]]:
        """Ask each security domain with declared keys for its key information, in the clear."""
        found: dict[Aid, frozenset[int]] = {}
        owners = [aid or self.issuer for aid, _ in self._content.keys]
        for aid in dict.fromkeys((*owners, self._home)):
            try:
                self._select(aid)
            except CardError:
                continue  # not there yet, or locked
            told = self._card.key_information()
            if told is not None:
                found[aid] = key_set_versions(told)
        return found

    def _open_home(self, versions: frozenset[int] | None) -> None:
        """Open the security domain that lists the card: with declared keys that it has, else those of the options."""
        self._select(self._home)
        declared = self.declared(self._home)
        there = [version for version in declared if versions is not None and version in versions]
        source: KeySource = declared[there[-1]] if there else self._desk.key_source()
        self._authenticate(source)
        self._home_source = source
        self._opened = (self._home, self._home, None)

    def declared(self, domain: Aid) -> dict[int, Material]:
        """Return the declared keys of a security domain, by version."""
        owner = None if domain == self.issuer else domain
        return {version: keys for (aid, version), keys in self._content.keys.items() if aid == owner}

    def _registry(self) -> Registry:
        registry = self._card.registry()
        if registry.complete:
            return registry
        # Many cards say so by 6A88, which comes without a MAC. To believe it wrongly costs a command that is refused.
        self._desk.note("the card says that one of its lists is empty, by a status word alone; taken as empty")
        return replace(registry, complete=True)

    def _free_bytes(self) -> int | None:
        raw = self._card.get_data(DataTag.EXTENDED_CARD_RESOURCES)
        if raw is None:
            return None
        from opentsm_card.card_resources import CardResources  # noqa: PLC0415 - few cards tell

        try:
            return CardResources.parse(raw).free_nonvolatile_bytes
        except ProtocolError:
            return None

    def _element(self, versions: Mapping[Aid, frozenset[int]], registry: Registry) -> SecureElement:
        entry = self._content.document.card
        table = configuration(entry.configuration)
        if (entry.central_sd is None) == (Role.CENTRAL in table.domains):
            need = "needs" if entry.central_sd is None else "has no"
            raise ProtocolError(f"{self._content.path}: card: configuration {table.name} {need} central_sd")
        keys = {}
        for domain in {aid or self.issuer for aid, _ in self._content.keys}:
            declared = list(self.declared(domain))
            there = [version for version in declared if version in versions.get(domain, frozenset())]
            if there:
                keys[domain] = there[-1]
            elif domain != self.issuer and _is_new(registry.find(domain)):
                keys[domain] = declared[0]  # which will be its first
        offer = self._card.offer
        assert offer is not None, "the secure channel is open"
        keys[self._home] = offer.key_version
        package, module = self._domain_module()
        return SecureElement(
            table,
            self.issuer,
            entry.central_sd or self.issuer,
            keys,
            package,
            module,
            frozenset(entry.packages),
            grants=_ALL,
        )

    def _domain_module(self) -> tuple[Aid, Aid]:
        """Return what security domains are made from: as declared, as the card profile knows, or GP's own."""
        entry, name = self._content.document.card, self._desk.options.card_profile
        known = None if name is None else load_card_profile(name).security_domain
        package, module = _SD_PACKAGE, _SD_MODULE
        if known is not None:
            package = Aid.from_text(known.package)
            module = module if known.module is None else Aid.from_text(known.module)
        return entry.sd_package or package, entry.sd_module or module

    def open(self, block: Block, look: Look) -> None:
        """Select a block's security domain and open a secure channel, unless that is how things are."""
        where = (block.target, block.via, block.key_version)
        if self._opened == where and self._card.authenticated:
            return
        self._select(block.target)
        version = look.element.keys.get(block.via) if block.key_version is None else block.key_version
        if block.via == self._home and block.key_version is None:
            source = self._home_source
        else:
            source = None if version is None else self.declared(block.via).get(version)
        if source is None:
            raise SecureChannelError(f"security domain {block.via}: no keys of version {version:#04x} are declared")
        self._authenticate(source)
        self._opened = where

    def _select(self, aid: Aid) -> None:
        self._opened = None
        self._card.select(aid)

    def _authenticate(self, source: KeySource) -> None:
        if isinstance(source, Material) and source.test_card:
            self._card.caution = replace(self._card.caution, test_card=True)
        self._card.authenticate(source)
