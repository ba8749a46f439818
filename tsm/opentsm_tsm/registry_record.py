"""The registry as it is kept in the database: what was read from the SE, and what was confirmed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from opentsm_card.aid import Aid
from opentsm_card.lifecycle import (
    ApplicationState,
    CardState,
    ContactlessState,
    LoadFileState,
    SecurityDomainState,
    state_name,
)
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind, Registry, RegistryEntry

if TYPE_CHECKING:
    from enum import IntEnum

    from opentsm_tsm.inventory import SeRecord

__all__ = ["dump", "load", "state_word", "states"]


class _Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    aid: str
    kind: str
    state: int
    privileges: int = 0
    sd: str | None = None
    load_file: str | None = None
    modules: tuple[str, ...] = ()
    version: str = ""
    contactless: int | None = None
    implicit: str = ""


class _Document(msgspec.Struct, frozen=True):
    complete: bool
    entries: tuple[_Entry, ...]


def dump(registry: Registry) -> str:
    """Return a registry as the text of a database column."""
    entries = tuple(
        _Entry(
            aid=bytes(entry.aid).hex(),
            kind=entry.kind.value,
            state=entry.state,
            privileges=int(entry.privileges),
            sd=_hex(entry.associated_sd),
            load_file=_hex(entry.load_file),
            modules=tuple(bytes(module).hex() for module in entry.modules),
            version=entry.version.hex(),
            contactless=entry.contactless,
            implicit=entry.implicit_selection.hex(),
        )
        for entry in registry
    )
    return msgspec.json.encode(_Document(registry.complete, entries)).decode()


def load(text: str) -> Registry:
    """Return the registry of a database column."""
    document = msgspec.json.decode(text.encode(), type=_Document)
    entries = [_entry(entry) for entry in document.entries]
    issuer = next((entry for entry in entries if entry.kind is Kind.ISSUER_SECURITY_DOMAIN), None)
    return Registry(
        isd=issuer,
        applications=tuple(e for e in entries if e.kind in {Kind.APPLICATION, Kind.SECURITY_DOMAIN}),
        load_files=tuple(e for e in entries if e.kind is Kind.LOAD_FILE),
        complete=document.complete,
    )


def _entry(entry: _Entry) -> RegistryEntry:
    return RegistryEntry(
        aid=Aid(bytes.fromhex(entry.aid)),
        state=entry.state,
        privileges=Privilege(entry.privileges),
        associated_sd=_aid(entry.sd),
        load_file=_aid(entry.load_file),
        modules=tuple(Aid(bytes.fromhex(module)) for module in entry.modules),
        version=bytes.fromhex(entry.version),
        kind=Kind(entry.kind),
        contactless=None if entry.contactless is None else ContactlessState(entry.contactless),
        implicit_selection=bytes.fromhex(entry.implicit),
    )


def _hex(aid: Aid | None) -> str | None:
    return None if aid is None else bytes(aid).hex()


def _aid(text: str | None) -> Aid | None:
    return None if text is None else Aid(bytes.fromhex(text))


def state_word(entry: RegistryEntry) -> str:
    """Return the life cycle of an entry as a word of the specification."""
    kinds: dict[Kind, type[IntEnum]] = {
        Kind.ISSUER_SECURITY_DOMAIN: CardState,
        Kind.SECURITY_DOMAIN: SecurityDomainState,
        Kind.APPLICATION: ApplicationState,
        Kind.LOAD_FILE: LoadFileState,
    }
    return state_name(entry.state, kinds[entry.kind])


def states(se: SeRecord) -> dict[bytes, str]:
    """Return the life cycle word of every object that an SE's registry held when it was known last."""
    if se.registry is None:
        return {}
    return {bytes(entry.aid): state_word(entry) for entry in load(se.registry)}
