"""What a plan consists of: blocks of commands, one secure channel each.

What only the caller has (key bytes, a load file) stands in a block as an intent, which it turns into commands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from opentsm_card.delete import DeleteKey, DeleteObject
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForMakeSelectable,
    InstallForRegistryUpdate,
)
from opentsm_card.set_status import SetStatus

if TYPE_CHECKING:
    from opentsm_card.aid import Aid

__all__ = ["Authorizable", "Block", "LoadPackage", "PlannedCommand", "PutKeySet", "PutTemporaryKeys", "authorized"]


@dataclass(frozen=True, slots=True)
class PutTemporaryKeys:
    """Put a first key set into the block's security domain (PUT KEY of a new version), with keys that the caller makes.

    Args:
        version: the key set's version, 1..127.
    """

    version: int


@dataclass(frozen=True, slots=True)
class PutKeySet:
    """Put a further key set into the block's security domain (PUT KEY of a new version), whose keys the caller has.

    Args:
        version: the key set's version, 1..127.
    """

    version: int


@dataclass(frozen=True, slots=True)
class LoadPackage:
    """Load a package (INSTALL [for load] and LOAD), from a file that the caller has.

    Args:
        package: the load file's AID.
        version: what the registry will say of it; empty when not known.
        modules: its modules; empty when not known.
        size_bytes: of the load file data block.
        hash: of the load file data block, as INSTALL [for load] names it; empty for none.
        security_domain: which one it will belong to; None for the one that loads it.
        token: load token; empty for none.
    """

    package: Aid
    version: bytes = b""
    modules: tuple[Aid, ...] = ()
    size_bytes: int = 0
    hash: bytes = b""
    security_domain: Aid | None = None
    token: bytes = b""


# What a token authorizes (GP Card Specification 2.3.1, C.4): each has a field for it.
Authorizable = (
    InstallForInstall
    | InstallForMakeSelectable
    | InstallForExtradition
    | InstallForRegistryUpdate
    | DeleteObject
    | LoadPackage
)

PlannedCommand = Authorizable | DeleteKey | SetStatus | PutTemporaryKeys | PutKeySet


@dataclass(frozen=True, slots=True)
class Block:
    """Commands for one security domain, to be sent in one secure channel.

    Args:
        target: the security domain to select, which runs them.
        via: the security domain whose keys open the secure channel: the target itself, or one above it while the target
            has no keys of its own.
        commands: in order.
        key_version: which key set of `via` opens the channel; None for the one that the caller said it has.
        tokens: positions of the commands that are refused without a token (see `authorized`), and are answered with a
            receipt: the target manages by delegation.
    """

    target: Aid
    via: Aid
    commands: tuple[PlannedCommand, ...]
    key_version: int | None = None
    tokens: frozenset[int] = frozenset()


def authorized(block: Block, tokens: dict[int, bytes]) -> Block:
    """Return a block with its tokens in place.

    Args:
        block: as planned.
        tokens: by position; every position of `block.tokens` and no other.

    Raises:
        ValueError: a token is missing, or is not wanted.
    """
    if tokens.keys() != block.tokens:
        raise ValueError(f"tokens are wanted for the commands at {sorted(block.tokens)}, not at {sorted(tokens)}")
    commands = list(block.commands)
    for position, token in tokens.items():
        command = commands[position]
        assert isinstance(command, Authorizable), "the planner asks for tokens where there is a field for them"
        commands[position] = replace(command, token=token)
    return replace(block, commands=tuple(commands), tokens=frozenset())
