"""What delegated management asks of a plan: which tokens to obtain, and what the receipts must be for.

    for each in delegated(registry, block):
        tokens[each.position] = ...               # a token for each.command, see `opentsm_card.tokens`
    block = authorized(block, tokens)
    ...                                           # each answer is a confirmation of each.operation

Spec: GP Card Specification 2.3.1, 9.1.3.3, C.4, C.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card.delete import DeleteObject
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForLoad,
    InstallForMakeSelectable,
    InstallForRegistryUpdate,
)
from opentsm_card.plan.block import Authorizable, LoadPackage
from opentsm_card.plan.effects import apply
from opentsm_card.receipts import Operation

if TYPE_CHECKING:
    from opentsm_card.aid import Aid
    from opentsm_card.plan.block import Block
    from opentsm_card.registry import Registry

__all__ = ["Delegated", "delegated", "install_for_load"]

_LEAST_MEMORY: Final = b"\xef\x04\xc6\x02"
_MOST_ON_TWO_BYTES: Final = 0x7FFF

_Signed = (
    InstallForLoad
    | InstallForInstall
    | InstallForMakeSelectable
    | InstallForExtradition
    | InstallForRegistryUpdate
    | DeleteObject
)


@dataclass(frozen=True, slots=True)
class Delegated:
    """One command that needs a token.

    Args:
        position: in the block.
        command: what the token signs, as it will be sent.
        operation: what the receipt signs that comes back.
    """

    position: int
    command: _Signed
    operation: Operation


def delegated(registry: Registry, block: Block) -> tuple[Delegated, ...]:
    """Return the commands of a block that need a token, in order.

    Args:
        registry: as it is when the block begins.
        block: as planned.
    """
    found = []
    for position, command in enumerate(block.commands):
        if position in block.tokens:
            assert isinstance(command, Authorizable), "the planner asks for tokens where there is a field for them"
            sent = install_for_load(command) if isinstance(command, LoadPackage) else command
            found.append(Delegated(position, sent, _operation(registry, block.target, command)))
        registry = apply(registry, block.target, command)
    return tuple(found)


def install_for_load(command: LoadPackage) -> InstallForLoad:
    """Return the INSTALL [for load] that begins to load a package.

    It names the least persistent memory that the card must have for the code (C6), so that one without refuses at once.

    Spec: GP Card Specification 2.3.1, table 11-48.
    """
    size = command.size_bytes
    parameters = _LEAST_MEMORY + size.to_bytes(2, "big") if 0 < size <= _MOST_ON_TWO_BYTES else b""
    return InstallForLoad(command.package, command.security_domain, command.hash, parameters, command.token)


def _operation(registry: Registry, target: Aid, command: Authorizable) -> Operation:
    match command:
        case LoadPackage():
            return Operation.load(command.package, command.security_domain or target)
        case InstallForInstall():
            assert command.load_file is not None, "the planner names it"
            return Operation.install(command.load_file, command.application)
        case InstallForMakeSelectable():
            entry = registry.find(command.application)
            assert entry is not None, "planned or found before"
            return Operation.install(entry.load_file or command.application, command.application)
        case InstallForExtradition():
            entry = registry.find(command.application)
            assert entry is not None, "planned or found before"
            return Operation.extradite(command.application, entry.associated_sd or target, command.security_domain)
        case InstallForRegistryUpdate():
            return Operation.update(command.application, privileges=command.privileges, parameters=command.parameters)
        case DeleteObject():
            return Operation.delete(command.aid)
