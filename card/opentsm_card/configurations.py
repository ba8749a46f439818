"""The SE configurations: which commands each security domain accepts in which situation, and its privileges.

The tables are data (`configurations/*.toml`), one file a configuration. The planner consults them to decide what it may
ask of an SE; a test checks the virtual card against them, cell by cell.

Spec: GP Card Specification 2.3.1, 6.6 and 11.1.2 (privileges), tables 11-1 and 11-2 (commands by card life cycle).
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Annotated, Final, Literal

import msgspec

from opentsm_card.command_names import CommandName
from opentsm_card.errors import ProtocolError
from opentsm_card.lifecycle import CardState, SecurityDomainState, is_locked
from opentsm_card.privileges import Privilege

__all__ = [
    "Acceptance",
    "CommandName",
    "Configuration",
    "ConfigurationName",
    "DomainTable",
    "Role",
    "Situation",
    "configuration",
    "configuration_names",
    "parse_configuration",
    "situation",
]


# The configurations that come with the package, for documents that name one.
ConfigurationName = Literal["embedded", "embedded-third-parties", "uicc", "uicc-third-parties"]


class Role(StrEnum):
    """Whose security domain it is, within a configuration."""

    ISSUER = "issuer"
    CENTRAL = "central"
    PROVIDER = "provider"
    # Third parties: one manages on its own authority, one with a token for each operation.
    AUTHORIZED = "authorized"
    DELEGATED = "delegated"
    # The controlling authority's (CASD), which certifies keys that are put in confidence.
    CONTROLLING = "controlling"


class Situation(StrEnum):
    """The life cycles, of the security domain and of the card, that decide what a security domain accepts."""

    # The issuer security domain's own life cycle is the card's.
    OP_READY = "op_ready"
    INITIALIZED = "initialized"
    SECURED = "secured"
    # Of a supplementary one, on a card that is OP_READY, INITIALIZED or SECURED.
    INSTALLED = "installed"
    SELECTABLE = "selectable"
    PERSONALIZED = "personalized"
    LOCKED = "locked"
    # Of either.
    CARD_LOCKED = "card_locked"
    TERMINATED = "terminated"

    @property
    def is_new(self) -> bool:
        """True for a supplementary security domain that has no keys of its own yet."""
        return self in {Situation.INSTALLED, Situation.SELECTABLE}

    @property
    def is_ready(self) -> bool:
        """True for a security domain that has keys of its own, and neither it nor the card is locked."""
        return self in {Situation.OP_READY, Situation.INITIALIZED, Situation.SECURED, Situation.PERSONALIZED}


class Acceptance(StrEnum):
    """One cell: how a security domain takes a command in a situation."""

    OPEN = "open"
    SESSION = "session"
    TOKEN = "token"  # noqa: S105 - the word of the tables, no secret
    REFUSED = "-"
    # Of no table: the situation does not arise for this security domain.
    NEVER = "never"


_ACCEPTED: Final = frozenset({Acceptance.OPEN, Acceptance.SESSION, Acceptance.TOKEN})


class DomainTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One security domain of a configuration.

    Args:
        title: what the mission's figures call it.
        keys_held_by: who holds its own keys in the field.
        parent: the security domain it is associated with (the issuer SD: itself).
        privileges: names of `Privilege`.
        situations: those that arise for it, in the order of the cells.
        commands: for each command a cell for each of `situations`.
    """

    title: str
    keys_held_by: str
    parent: Role
    privileges: tuple[str, ...]
    situations: Annotated[tuple[Situation, ...], msgspec.Meta(min_length=1)]
    commands: dict[CommandName, tuple[Acceptance, ...]]

    def cell(self, command: CommandName, at: Situation) -> Acceptance:
        """Return how this security domain takes a command in a situation; NEVER where that does not arise."""
        return self.commands[command][self.situations.index(at)] if at in self.situations else Acceptance.NEVER

    def accepts(self, command: CommandName, at: Situation | None = None) -> bool:
        """Tell whether it accepts a command in a situation (None: in any), if need be in a session or with a token."""
        cells = self.commands[command] if at is None else (self.cell(command, at),)
        return not _ACCEPTED.isdisjoint(cells)

    @property
    def privilege_bits(self) -> Privilege:
        """Its privileges as bits."""
        return _bits(self.privileges)


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One SE configuration: its security domains and what may be given to applications.

    Args:
        name: how configuration files and profiles name it.
        title: the same for people.
        figure: the figure of the mission that shows it.
        application_privileges: names of the privileges that a service provider's application may be given.
        domains: the security domains by role; without `central` the issuer SD is the central SD.
    """

    name: str
    title: str
    figure: int
    application_privileges: tuple[str, ...]
    domains: dict[Role, DomainTable]

    def __repr__(self) -> str:
        """Return its name: the tables fill a page."""
        return f"Configuration({self.name})"

    @property
    def central_role(self) -> Role:
        """The role that the central TSM's security domain has here."""
        return Role.CENTRAL if Role.CENTRAL in self.domains else Role.ISSUER

    @property
    def application_privilege_bits(self) -> Privilege:
        """What an application may be given, as bits."""
        return _bits(self.application_privileges)

    @property
    def cells(self) -> int:
        """How many cells its tables have."""
        return sum(len(table.commands) * len(table.situations) for table in self.domains.values())


_FOLDER: Final = "configurations"
_OF_THE_ISSUER: Final = frozenset({Situation.OP_READY, Situation.INITIALIZED, Situation.SECURED})
_OF_OTHERS: Final = frozenset(
    {Situation.INSTALLED, Situation.SELECTABLE, Situation.PERSONALIZED, Situation.LOCKED},
)


def situation(domain_state: int, card_state: int, *, issuer: bool) -> Situation:
    """Return the situation that two life cycles make.

    Args:
        domain_state: the security domain's life cycle (not looked at for the issuer SD: it has the card's).
        card_state: the card's life cycle.
        issuer: True for the issuer SD.
    """
    if card_state == CardState.TERMINATED:
        return Situation.TERMINATED
    if card_state == CardState.CARD_LOCKED:
        return Situation.CARD_LOCKED
    if issuer:
        states = {CardState.OP_READY: Situation.OP_READY, CardState.INITIALIZED: Situation.INITIALIZED}
        return next((found for state, found in states.items() if state == card_state), Situation.SECURED)
    if is_locked(domain_state):
        return Situation.LOCKED
    if domain_state >= SecurityDomainState.PERSONALIZED:
        return Situation.PERSONALIZED
    return Situation.SELECTABLE if domain_state >= SecurityDomainState.SELECTABLE else Situation.INSTALLED


def configuration_names() -> tuple[str, ...]:
    """Name the configurations that come with the package."""
    folder = resources.files("opentsm_card") / _FOLDER
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


@cache
def configuration(name: str) -> Configuration:
    """Load one of the configurations that come with the package.

    Raises:
        ProtocolError: there is none of that name.
    """
    if name not in configuration_names():
        raise ProtocolError(f"no SE configuration {name!r}; there are: {', '.join(configuration_names())}")
    return parse_configuration((resources.files("opentsm_card") / _FOLDER / f"{name}.toml").read_bytes())


def parse_configuration(document: bytes) -> Configuration:
    """Parse a configuration's TOML and check that it is whole.

    Raises:
        ProtocolError: not TOML, a field is missing or unknown, a row or privilege is missing or unknown.
    """
    try:
        parsed = msgspec.toml.decode(document, type=Configuration)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"SE configuration: {error}") from error
    if not {Role.ISSUER, Role.PROVIDER} <= parsed.domains.keys():
        raise ProtocolError(f"SE configuration {parsed.name}: domains.issuer and domains.provider are needed")
    _bits(parsed.application_privileges)
    for role, domain in parsed.domains.items():
        where = f"SE configuration {parsed.name}: domains.{role}"
        if domain.parent not in parsed.domains:
            raise ProtocolError(f"{where}: its parent {domain.parent} is not there")
        _check_situations(role, domain, where)
        _check_rows(domain, where)
        if not domain.privilege_bits & Privilege.SECURITY_DOMAIN:
            raise ProtocolError(f"{where}: a security domain needs the privilege SECURITY_DOMAIN")
    return parsed


def _check_situations(role: Role, domain: DomainTable, where: str) -> None:
    strange = _OF_OTHERS if role is Role.ISSUER else _OF_THE_ISSUER
    for at in domain.situations:
        if at in strange or domain.situations.count(at) > 1:
            raise ProtocolError(f"{where}: the situation {at} is named twice, or does not arise for it")


def _check_rows(domain: DomainTable, where: str) -> None:
    missing = sorted(set(CommandName) - domain.commands.keys())
    if missing:
        raise ProtocolError(f"{where}: no row for {', '.join(missing)}")
    for command, cells in domain.commands.items():
        if len(cells) != len(domain.situations) or Acceptance.NEVER in cells:
            raise ProtocolError(f"{where}: {command} needs a cell for each of {', '.join(domain.situations)}")


def _bits(names: tuple[str, ...]) -> Privilege:
    """Turn privilege names into bits."""
    bits = Privilege(0)
    for name in names:
        if name not in Privilege.__members__:
            raise ProtocolError(f"SE configuration: no privilege {name!r}")
        bits |= Privilege[name]
    return bits
