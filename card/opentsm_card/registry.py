"""What a card's registry says: GET STATUS answers as values.

An answer counts when it came with a response MAC; that is the caller's to see to. A list counts as complete only when
its last answer said 9000: an error status carries no MAC, so 6A88 (nothing found) proves nothing.

Spec: GP Card Specification 2.3.1, 11.4.3, tables 11-36 and 11-37; Amendment C 1.3 (second byte of 9F70).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Self

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.errors import ProtocolError
from opentsm_card.get_status import Scope
from opentsm_card.lifecycle import ContactlessState, is_locked
from opentsm_card.privileges import Privilege
from opentsm_card.reader import Reader
from opentsm_card.status import StatusWord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentsm_card.apdu import ResponseApdu

__all__ = ["Kind", "Registry", "RegistryEntry", "parse_get_status"]

_TAG_ENTRY = 0xE3
_TAG_AID = 0x4F
_TAG_STATE = 0x9F70
_TAG_PRIVILEGES = 0xC5
_TAG_IMPLICIT_SELECTION = 0xCF
_TAG_LOAD_FILE = 0xC4
_TAG_ASSOCIATED_SD = 0xCC
_TAG_VERSION = 0xCE
_TAG_MODULE = 0x84


class Kind(Enum):
    """What an entry is."""

    ISSUER_SECURITY_DOMAIN = "isd"
    SECURITY_DOMAIN = "sd"
    APPLICATION = "application"
    LOAD_FILE = "load file"


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """One entry of the registry.

    Args:
        aid: of the application, security domain or load file.
        state: life-cycle state, one byte; the issuer security domain has the card's.
        privileges: none for a load file.
        associated_sd: the security domain it belongs to; None when the card did not say.
        load_file: what an application comes from; None when the card did not say.
        modules: of a load file.
        version: of a load file, as the card gives it (major, minor on Java Card).
        kind: what it is.
        contactless: contactless activation state; None when the card did not say.
        implicit_selection: implicit selection parameters, one byte each.
    """

    aid: Aid
    state: int
    privileges: Privilege = Privilege.NONE
    associated_sd: Aid | None = None
    load_file: Aid | None = None
    modules: tuple[Aid, ...] = ()
    version: bytes = b""
    kind: Kind = Kind.APPLICATION
    contactless: ContactlessState | None = None
    implicit_selection: bytes = b""

    @property
    def locked(self) -> bool:
        """True when an application or security domain is LOCKED."""
        return self.kind in {Kind.APPLICATION, Kind.SECURITY_DOMAIN} and is_locked(self.state)

    def encode(self) -> bytes:
        """Return the entry as an E3 template, with all it has."""
        contactless = b"" if self.contactless is None else bytes((self.contactless,))
        value = tlv.encode(_TAG_AID, self.aid) + tlv.encode(_TAG_STATE, bytes((self.state,)) + contactless)
        if self.kind is not Kind.LOAD_FILE:
            value += tlv.encode(_TAG_PRIVILEGES, self.privileges.encode())
        for parameter in self.implicit_selection:
            value += tlv.encode(_TAG_IMPLICIT_SELECTION, bytes((parameter,)))
        if self.load_file is not None:
            value += tlv.encode(_TAG_LOAD_FILE, self.load_file)
        if self.version:
            value += tlv.encode(_TAG_VERSION, self.version)
        value += b"".join(tlv.encode(_TAG_MODULE, module) for module in self.modules)
        if self.associated_sd is not None:
            value += tlv.encode(_TAG_ASSOCIATED_SD, self.associated_sd)
        return tlv.encode(_TAG_ENTRY, value)

    @classmethod
    def parse(cls, template: bytes, scope: Scope) -> Self:
        """Parse the value of an E3 template.

        Args:
            template: the value, without tag and length.
            scope: what was asked for: it tells what the entry is.

        Raises:
            ProtocolError: AID or state missing, or a data object malformed.
        """
        objects = tlv.parse_all(template)
        aid, state = tlv.find(objects, _TAG_AID), tlv.find(objects, _TAG_STATE)
        if aid is None or state is None or len(state) not in {1, 2}:
            raise ProtocolError("registry entry without AID (4F) or life cycle (9F70)")
        privileges = Privilege.parse(tlv.find(objects, _TAG_PRIVILEGES) or b"")
        implicit = tlv.find_all(objects, _TAG_IMPLICIT_SELECTION)
        if any(len(value) != 1 for value in implicit):
            raise ProtocolError(f"registry entry {Aid(aid)}: implicit selection parameter (CF) of several bytes")
        return cls(
            Aid(aid),
            state[0],
            privileges,
            _aid(objects, _TAG_ASSOCIATED_SD),
            _aid(objects, _TAG_LOAD_FILE),
            tuple(Aid(value) for value in tlv.find_all(objects, _TAG_MODULE)),
            tlv.find(objects, _TAG_VERSION) or b"",
            _kind(scope, privileges),
            _contactless(state),
            b"".join(implicit),
        )


def _aid(objects: tuple[tlv.Tlv, ...], tag: int) -> Aid | None:
    value = tlv.find(objects, tag)
    return None if value is None else Aid(value)


def _kind(scope: Scope, privileges: Privilege) -> Kind:
    if scope is Scope.ISSUER_SECURITY_DOMAIN:
        return Kind.ISSUER_SECURITY_DOMAIN
    if scope is not Scope.APPLICATIONS:
        return Kind.LOAD_FILE
    return Kind.SECURITY_DOMAIN if Privilege.SECURITY_DOMAIN in privileges else Kind.APPLICATION


def _contactless(state: bytes) -> ContactlessState | None:
    if len(state) == 1:
        return None
    try:
        return ContactlessState(state[1])
    except ValueError as error:
        raise ProtocolError(f"contactless activation state {state[1]:02X} is not known") from error


def _parse_plain(scope: Scope, data: bytes) -> tuple[RegistryEntry, ...]:
    """Parse entries in the form of version 2.1: AID, state, first byte of privileges; modules where asked for."""
    reader = Reader(data, "GET STATUS answer")
    entries = []
    while reader.remaining:
        aid, state = Aid(reader.take(reader.byte())), reader.byte()
        privileges = Privilege.parse(reader.take(1))
        modules: tuple[Aid, ...] = ()
        if scope is Scope.LOAD_FILES_AND_MODULES:
            modules = tuple(Aid(reader.take(reader.byte())) for _ in range(reader.byte()))
        entries.append(RegistryEntry(aid, state, privileges, modules=modules, kind=_kind(scope, privileges)))
    return tuple(entries)


def _parse_templates(scope: Scope, data: bytes) -> tuple[RegistryEntry, ...]:
    entries = []
    for item in tlv.parse_all(data):
        if item.tag != _TAG_ENTRY:
            raise ProtocolError(f"GET STATUS answer: data object {item.tag:02X} instead of E3")
        entries.append(RegistryEntry.parse(item.value, scope))
    return tuple(entries)


def parse_get_status(
    scope: Scope, answers: Iterable[ResponseApdu], *, templates: bool = True
) -> tuple[tuple[RegistryEntry, ...], bool]:
    """Parse the answers to one GET STATUS and its continuations.

    Args:
        scope: what was asked for.
        answers: unwrapped, in order: the first and those after each 6310.
        templates: they are E3 templates; False for the form of version 2.1 (P2 00), which has no associations.

    Returns:
        The entries, and whether the list is complete: True only when the last answer said 9000.

    Raises:
        ProtocolError: malformed data, or a status word other than 9000, 6310 and 6A88.
    """
    data = b""
    last = 0
    for answer in answers:
        last = answer.sw
        if last not in {StatusWord.DONE, StatusWord.MORE_DATA_AVAILABLE, StatusWord.REFERENCED_DATA_NOT_FOUND}:
            raise ProtocolError(f"GET STATUS answered {last:04X}")
        data += answer.data
    entries = (_parse_templates if templates else _parse_plain)(scope, data)
    return entries, last == StatusWord.DONE


@dataclass(frozen=True, slots=True)
class Registry:
    """The registry as one security domain shows it.

    Args:
        isd: the issuer security domain, whose state is the card's; None where the security domain may not see it.
        applications: applications and supplementary security domains.
        load_files: executable load files.
        complete: every list was read to its end, so that what is not in it is not on the card (as far as this
            security domain sees).
    """

    isd: RegistryEntry | None
    applications: tuple[RegistryEntry, ...]
    load_files: tuple[RegistryEntry, ...]
    complete: bool

    @classmethod
    def parse(
        cls,
        applications: Iterable[ResponseApdu],
        load_files: Iterable[ResponseApdu],
        isd: Iterable[ResponseApdu] | None = None,
    ) -> Self:
        """Put a registry together from GET STATUS answers.

        Args:
            applications: answers for `Scope.APPLICATIONS`.
            load_files: answers for `Scope.LOAD_FILES_AND_MODULES`.
            isd: answers for `Scope.ISSUER_SECURITY_DOMAIN`; None when it was not asked for.

        Raises:
            ProtocolError: see `parse_get_status`; or several issuer security domains.
        """
        found, complete = parse_get_status(Scope.APPLICATIONS, applications)
        files, files_complete = parse_get_status(Scope.LOAD_FILES_AND_MODULES, load_files)
        issuer: tuple[RegistryEntry, ...] = ()
        if isd is not None:
            issuer, isd_complete = parse_get_status(Scope.ISSUER_SECURITY_DOMAIN, isd)
            complete = complete and isd_complete
            if len(issuer) > 1:
                raise ProtocolError("GET STATUS answered several issuer security domains")
        return cls(issuer[0] if issuer else None, found, files, complete and files_complete)

    def __iter__(self) -> Iterator[RegistryEntry]:
        """Iterate over all entries."""
        if self.isd is not None:
            yield self.isd
        yield from self.applications
        yield from self.load_files

    def find(self, aid: bytes) -> RegistryEntry | None:
        """Return the entry with exactly this AID, or None."""
        return next((entry for entry in self if entry.aid == aid), None)

    def under(self, security_domain: bytes) -> tuple[RegistryEntry, ...]:
        """Return what belongs to a security domain directly or through others, itself left out."""
        owners = {bytes(security_domain)}
        found: list[RegistryEntry] = []
        waiting = [entry for entry in self if entry.associated_sd is not None and entry.aid != security_domain]
        while True:
            here = [entry for entry in waiting if entry.associated_sd in owners]
            if not here:
                return tuple(found)
            found += here
            owners |= {bytes(entry.aid) for entry in here}
            waiting = [entry for entry in waiting if entry not in here]
