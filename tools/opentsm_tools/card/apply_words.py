"""Planned commands in words, and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from opentsm_card.delete import DeleteKey, DeleteObject
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForMakeSelectable,
    InstallForRegistryUpdate,
)
from opentsm_card.lifecycle import CardState
from opentsm_card.plan import LoadPackage, PutKeySet, PutTemporaryKeys
from opentsm_card.privileges import Privilege
from opentsm_card.set_status import SetStatus, StatusType
from opentsm_tools.card.words import privilege_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_card.aid import Aid
    from opentsm_card.plan import Block, PlannedCommand

__all__ = ["bytes_to_load", "describe_block", "describe_command", "plan_lines", "summary"]

_LOCK: Final = 0x80
# What a summary counts, in its order; the rest are other changes.
_COUNTED: Final = ("delete", "load", "install")


def describe_command(command: PlannedCommand, target: Aid) -> tuple[str, Aid | None, str]:
    """Return what a command does (one word), to what, and the details; no secret is among them."""
    match command:
        case DeleteObject():
            said = "delete", command.aid, ""
        case LoadPackage():
            version = f"version {'.'.join(map(str, command.version))}, " if command.version else ""
            owner = "" if command.security_domain is None else f", for {command.security_domain}"
            said = "load", command.package, f"{version}{command.size_bytes:,} bytes{owner}"
        case InstallForInstall():
            names = ", ".join(privilege_names(command.privileges & ~Privilege.SECURITY_DOMAIN))
            kind = "security domain" if command.privileges & Privilege.SECURITY_DOMAIN else "application"
            said = "install", command.application, f"{kind} from {command.load_file}" + (names and f", {names}")
        case InstallForMakeSelectable():
            said = "make selectable", command.application, ""
        case InstallForExtradition():
            said = "hand over", command.application, f"to {command.security_domain}"
        case InstallForRegistryUpdate():
            names = ", ".join(privilege_names(command.privileges or Privilege.NONE))
            return "set privileges", command.application, names or "none"
        case PutTemporaryKeys() | PutKeySet():
            said = "put keys", target, f"version {command.version:#04x}"
        case DeleteKey():
            said = "delete keys", target, f"version {command.key_version or 0:#04x}"
        case SetStatus():
            return _describe_status(command)
    return said


def _describe_status(command: SetStatus) -> tuple[str, Aid | None, str]:
    if command.status_type is StatusType.CARD:
        return "set card", None, CardState(command.state).name
    if command.status_type is StatusType.CONTACTLESS_ACTIVATION:
        return ("activate" if command.state else "deactivate"), command.aid, "on the contactless interface"
    everything = command.status_type is StatusType.SECURITY_DOMAIN_AND_APPLICATIONS
    verb = "lock" if command.state & _LOCK else "unlock"
    return verb, command.aid, "with everything under it" if everything else ""


def describe_block(block: Block) -> dict[str, Any]:
    """Return a block as a JSON object."""
    commands = []
    for position, command in enumerate(block.commands):
        verb, aid, details = describe_command(command, block.target)
        entry: dict[str, Any] = {"do": verb, "aid": None if aid is None else str(aid), "details": details}
        if isinstance(command, LoadPackage):
            entry["bytes"] = command.size_bytes
        if position in block.tokens:
            entry["token"] = True
        commands.append(entry)
    domains = {"security_domain": str(block.target), "keys_of": str(block.via)}
    return {**domains, "key_version": block.key_version, "do": commands}


def plan_lines(blocks: Sequence[Block]) -> list[str]:
    """Return a plan as lines, a block of commands under each security domain."""
    lines = []
    for block in blocks:
        keys = "" if block.key_version is None else f", opened with key version {block.key_version:#04x}"
        via = "" if block.via == block.target else f", opened with the keys of {block.via}"
        lines.append(f"in security domain {block.target}{via}{keys}:")
        for position, command in enumerate(block.commands):
            verb, aid, details = describe_command(command, block.target)
            words = [verb, "" if aid is None else str(aid), details and f"({details})"]
            token = "  [needs a token]" if position in block.tokens else ""
            lines.append("  " + " ".join(word for word in words if word) + token)
    return lines


def bytes_to_load(blocks: Sequence[Block]) -> int:
    """Return how many bytes of packages a plan loads."""
    return sum(command.size_bytes for block in blocks for command in block.commands if isinstance(command, LoadPackage))


def summary(blocks: Sequence[Block], free_bytes: int | None) -> str:
    """Return a plan in one line: what goes, comes, and how much room there is."""
    counts = Counter(describe_command(command, block.target)[0] for block in blocks for command in block.commands)
    size = bytes_to_load(blocks)
    room = "" if free_bytes is None else f" of {free_bytes:,} free"
    words = [f"{counts.pop(verb)} to {verb}" for verb in _COUNTED if counts[verb]]
    if size:
        words = [f"{word} ({size:,} bytes{room})" if word.endswith("to load") else word for word in words]
    others = sum(counts.values())
    if others:
        words.append(f"{others} other change{'s' if others > 1 else ''}")
    return ", ".join(words) or "nothing to do"
