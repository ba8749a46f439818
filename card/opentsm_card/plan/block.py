"""What a plan consists of: blocks of commands, one secure channel each.

What only the caller has (key bytes, a load file) stands in a block as an intent, which it turns into commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentsm_card.delete import DeleteObject
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForMakeSelectable,
    InstallForRegistryUpdate,
)
from opentsm_card.set_status import SetStatus

if TYPE_CHECKING:
    from opentsm_card.aid import Aid

__all__ = ["Block", "LoadPackage", "PlannedCommand", "PutTemporaryKeys"]


@dataclass(frozen=True, slots=True)
class PutTemporaryKeys:
    """Put a first key set into the block's security domain (PUT KEY of a new version), with keys that the caller makes.

    Args:
        version: the key set's version, 1..127.
    """

    version: int


@dataclass(frozen=True, slots=True)
class LoadPackage:
    """Load a package (INSTALL [for load] and LOAD), from a file that the caller has.

    Args:
        package: the load file's AID.
    """

    package: Aid


PlannedCommand = (
    InstallForInstall
    | InstallForMakeSelectable
    | InstallForExtradition
    | InstallForRegistryUpdate
    | DeleteObject
    | SetStatus
    | PutTemporaryKeys
    | LoadPackage
)


@dataclass(frozen=True, slots=True)
class Block:
    """Commands for one security domain, to be sent in one secure channel.

    Args:
        target: the security domain to select, which runs them.
        via: the security domain whose keys open the secure channel: the target itself, or one above it while the target
            has no keys of its own.
        commands: in order.
    """

    target: Aid
    via: Aid
    commands: tuple[PlannedCommand, ...]
