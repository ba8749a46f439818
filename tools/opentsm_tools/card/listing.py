"""`opentsm card list`: the registry as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind, Registry
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.options import CardCommand
from opentsm_tools.card.words import hexed, life_cycle, privilege_names

if TYPE_CHECKING:
    from opentsm_card.registry import RegistryEntry

__all__ = ["describe_entry", "describe_registry", "list_", "tree"]

_KINDS = {
    Kind.ISSUER_SECURITY_DOMAIN: "issuer security domain",
    Kind.SECURITY_DOMAIN: "security domain",
    Kind.APPLICATION: "application",
    Kind.LOAD_FILE: "load file",
}


@click.command("list", cls=CardCommand)
@click.pass_context
def list_(ctx: click.Context) -> None:
    """Show what is on the card: security domains, and under each its load files and applications.

    Each line has the AID, the life-cycle state and the privileges. A security domain sees what is its own, and all with
    the Global Registry privilege.

    \b
    opentsm card --link pcsc:ACR --key-file card.toml list
    opentsm card --link pcsc:ACR --key-file bank.toml --sd F06F70656E74736D0A0001 list --json
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    with desk.card() as card:
        registry = card.registry()
        desk.emit(
            {"card": card.identity.identifier, **describe_registry(registry)}, "\n".join(tree(registry)) or "nothing"
        )


def describe_entry(entry: RegistryEntry) -> dict[str, Any]:
    """Return an entry as a JSON object."""
    document: dict[str, Any] = {
        "aid": str(entry.aid),
        "kind": _KINDS[entry.kind],
        "state": life_cycle(entry),
        "state_byte": f"{entry.state:02X}",
    }
    if entry.kind is Kind.LOAD_FILE:
        document["modules"] = [str(module) for module in entry.modules]
        document["version"] = _version(entry.version)
    else:
        document["privileges"] = privilege_names(entry.privileges)
        document["privilege_bytes"] = hexed(entry.privileges.encode())
        document["load_file"] = None if entry.load_file is None else str(entry.load_file)
        document["contactless"] = None if entry.contactless is None else entry.contactless.name.lower()
        document["implicit_selection"] = hexed(entry.implicit_selection)
    document["security_domain"] = None if entry.associated_sd is None else str(entry.associated_sd)
    return document


def describe_registry(registry: Registry) -> dict[str, Any]:
    """Return a registry as a JSON object."""
    isd = None if registry.isd is None else describe_entry(registry.isd)
    return {
        "complete": registry.complete,
        "isd": isd,
        "applications": [describe_entry(entry) for entry in registry.applications],
        "load_files": [describe_entry(entry) for entry in registry.load_files],
    }


def tree(registry: Registry) -> list[str]:
    """Return the registry as lines: each entry below the security domain that it belongs to."""
    lines: list[str] = []
    shown: set[bytes] = set()

    def below(entries: list[RegistryEntry], lead: str) -> None:
        for position, entry in enumerate(entries):
            last = position == len(entries) - 1
            lines.append(f"{lead}{'└─ ' if last else '├─ '}{_line(entry)}")
            inner = lead + ("   " if last else "│  ")
            if entry.kind is Kind.LOAD_FILE:
                lines.extend(f"{inner}   module {module}" for module in entry.modules)
            elif bytes(entry.aid) not in shown:
                shown.add(bytes(entry.aid))
                below(_owned(registry, entry), inner)

    roots = _roots(registry)
    for root in roots:
        shown.add(bytes(root.aid))
    for root in roots:
        lines.append(_line(root))
        if root.kind is Kind.LOAD_FILE:
            lines.extend(f"   module {module}" for module in root.modules)
        else:
            below(_owned(registry, root), "")
    return lines


def _roots(registry: Registry) -> list[RegistryEntry]:
    """Return the issuer's entry, and what belongs to nothing that is listed or does not say."""
    listed = {bytes(entry.aid) for entry in registry if entry.kind is not Kind.LOAD_FILE}
    return [
        entry
        for entry in registry
        if entry is registry.isd
        or entry.associated_sd is None
        or entry.associated_sd == entry.aid
        or bytes(entry.associated_sd) not in listed
    ]


def _owned(registry: Registry, owner: RegistryEntry) -> list[RegistryEntry]:
    if Privilege.SECURITY_DOMAIN not in owner.privileges and owner.kind is not Kind.ISSUER_SECURITY_DOMAIN:
        return []
    return [
        entry
        for entry in registry
        if entry.associated_sd == owner.aid and entry.aid != owner.aid and entry is not registry.isd
    ]


def _line(entry: RegistryEntry) -> str:
    words = [f"{entry.aid}{_readable(entry.aid)}", _KINDS[entry.kind], life_cycle(entry)]
    if entry.contactless is not None and entry.kind is Kind.APPLICATION:
        words.append(f"contactless {entry.contactless.name.lower().replace('_', '-')}")
    if entry.kind is Kind.LOAD_FILE and entry.version:
        words.append(f"version {_version(entry.version)}")
    if entry.load_file is not None:
        words.append(f"from {entry.load_file}")
    if entry.privileges:
        words.append("privileges: " + ", ".join(privilege_names(entry.privileges)))
    return ", ".join(words)


def _readable(aid: bytes) -> str:
    """Return an AID's text where it is one, as the PPSE's is."""
    return f" ({aid.decode()})" if all(0x20 <= byte < 0x7F for byte in aid) else ""


def _version(version: bytes) -> str:
    """Return a load file's version: major.minor where it has two bytes, hex otherwise."""
    return f"{version[0]}.{version[1]}" if len(version) == 2 else hexed(version)
