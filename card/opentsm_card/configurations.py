"""The SE configurations: which commands each security domain accepts in which situation, and its privileges.

The tables are data (`configurations/*.toml`), one file a configuration. The planner consults them to decide what it may
ask of an SE; a test checks the virtual card against them, cell by cell.

Spec: GP Card Specification 2.3.1, 6.6 and 11.1.2 (privileges), tables 11-1 and 11-2 (commands by card life cycle).
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Final

import msgspec

from opentsm_card.errors import ProtocolError
from opentsm_card.lifecycle import CardState, SecurityDomainState, is_locked
from opentsm_card.privileges import Privilege

__all__ = [
    "Acceptance",
    "CommandName",
    "Configuration",
    "DomainTable",
    "Role",
    "Situation",
    "configuration",
    "configuration_names",
    "parse_configuration",
    "situation",
]


class Role(StrEnum):
    """Whose security domain it is, within a configuration."""

    ISSUER = "issuer"
    CENTRAL = "central"
    PROVIDER = "provider"


class Situation(StrEnum):
    """The life cycles, of the security domain and of the card, that decide what a security domain accepts."""

    NEW = "new"
    READY = "ready"
    LOCKED = "locked"
    CARD_LOCKED = "card_locked"
    TERMINATED = "terminated"


class Acceptance(StrEnum):
    """One cell: how a security domain takes a command in a situation."""

    OPEN = "open"
    SESSION = "session"
    REFUSED = "-"
    NEVER = "never"


class CommandName(StrEnum):
    """The rows: one a command, or a form of one that needs an authority of its own."""

    SELECT = "select"
    MANAGE_CHANNEL = "manage-channel"
    INITIALIZE_UPDATE = "initialize-update"
    EXTERNAL_AUTHENTICATE = "external-authenticate"
    GET_DATA = "get-data"
    GET_STATUS = "get-status"
    SET_STATUS_APPLICATION = "set-status-application"
    SET_STATUS_DOMAIN = "set-status-domain"
    SET_STATUS_CARD = "set-status-card"
    SET_STATUS_CONTACTLESS = "set-status-contactless"
    PUT_KEY = "put-key"
    DELETE_KEY = "delete-key"
    STORE_DATA = "store-data"
    INSTALL_FOR_PERSONALIZATION = "install-for-personalization"
    INSTALL_FOR_LOAD = "install-for-load"
    LOAD = "load"
    INSTALL_FOR_INSTALL = "install-for-install"
    INSTALL_FOR_MAKE_SELECTABLE = "install-for-make-selectable"
    INSTALL_FOR_EXTRADITION = "install-for-extradition"
    INSTALL_FOR_REGISTRY_UPDATE = "install-for-registry-update"
    DELETE_APPLICATION = "delete-application"
    DELETE_LOAD_FILE = "delete-load-file"


class DomainTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One security domain of a configuration.

    Args:
        title: what the mission's figures call it.
        keys_held_by: who holds its own keys in the field.
        parent: the security domain it is associated with (the issuer SD: itself).
        privileges: names of `Privilege`.
        commands: for each command a cell for each situation, in the order of the file's `situations`.
    """

    title: str
    keys_held_by: str
    parent: Role
    privileges: tuple[str, ...]
    commands: dict[CommandName, tuple[Acceptance, Acceptance, Acceptance, Acceptance, Acceptance]]

    def cell(self, command: CommandName, at: Situation) -> Acceptance:
        """Return how this security domain takes a command in a situation."""
        return self.commands[command][_COLUMN[at]]

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
        situations: the order of the cells in each row.
        application_privileges: names of the privileges that a service provider's application may be given.
        domains: the security domains by role; without `central` the issuer SD is the central SD.
    """

    name: str
    title: str
    figure: int
    situations: tuple[Situation, ...]
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


_SITUATIONS: Final = tuple(Situation)
_COLUMN: Final = {situation: column for column, situation in enumerate(_SITUATIONS)}
_FOLDER: Final = "configurations"


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
        return Situation.READY
    if is_locked(domain_state):
        return Situation.LOCKED
    return Situation.READY if domain_state >= SecurityDomainState.PERSONALIZED else Situation.NEW


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
    if parsed.situations != _SITUATIONS:
        raise ProtocolError(f"SE configuration {parsed.name}: situations must be {', '.join(_SITUATIONS)}")
    if not {Role.ISSUER, Role.PROVIDER} <= parsed.domains.keys():
        raise ProtocolError(f"SE configuration {parsed.name}: domains.issuer and domains.provider are needed")
    _bits(parsed.application_privileges)
    for role, domain in parsed.domains.items():
        where = f"SE configuration {parsed.name}: domains.{role}"
        if domain.parent not in parsed.domains:
            raise ProtocolError(f"{where}: its parent {domain.parent} is not there")
        missing = sorted(set(CommandName) - domain.commands.keys())
        if missing:
            raise ProtocolError(f"{where}: no row for {', '.join(missing)}")
        if not domain.privilege_bits & Privilege.SECURITY_DOMAIN:
            raise ProtocolError(f"{where}: a security domain needs the privilege SECURITY_DOMAIN")
    return parsed


def _bits(names: tuple[str, ...]) -> Privilege:
    """Turn privilege names into bits."""
    bits = Privilege(0)
    for name in names:
        if name not in Privilege.__members__:
            raise ProtocolError(f"SE configuration: no privilege {name!r}")
        bits |= Privilege[name]
    return bits
