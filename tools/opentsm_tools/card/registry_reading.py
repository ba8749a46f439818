"""Read a card's registry, from cards new and old.

What a card knows is asked for in the newest form first: with a tag list, which brings associations; without one, for
cards before GP 2.2; and at last in the form of GP 2.1.

Spec: GP Card Specification 2.3.1, 11.4 (P2 and the tag list), tables 11-35 (deprecated form), 11-36, 11-37.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import CardError, ProtocolError
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.registry import Registry, parse_get_status
from opentsm_card.status import StatusWord, meaning

if TYPE_CHECKING:
    from opentsm_card.apdu import ResponseApdu
    from opentsm_card.registry import RegistryEntry
    from opentsm_tools.card.manager import CardManager

__all__ = ["read_registry"]

_MORE: Final = int(StatusWord.MORE_DATA_AVAILABLE)
_ANSWERS: Final = frozenset({int(StatusWord.DONE), int(StatusWord.REFERENCED_DATA_NOT_FOUND)})
# What a card answers to a form of the command that it does not know.
_UNKNOWN_FORM: Final = frozenset({0x6A80, 0x6A81, 0x6A86, 0x6A87, 0x6B00, 0x6700})
_NOT_ALLOWED: Final = frozenset({0x6982, 0x6985})
_MAX_ANSWERS: Final = 1024


@dataclass(frozen=True, slots=True)
class _List:
    """One list: its entries, whether it was read to its end, and the status word that ended it."""

    entries: tuple[RegistryEntry, ...]
    complete: bool
    sw: int


def read_registry(card: CardManager) -> Registry:
    """Read all lists of the selected security domain.

    Raises:
        CardError: the card does not list applications.
        ProtocolError: malformed.
    """
    issuer = _listed(card, Scope.ISSUER_SECURITY_DOMAIN)
    applications = _listed(card, Scope.APPLICATIONS)
    if applications.sw not in _ANSWERS:
        error = CardError(applications.sw, "GET STATUS")
        error.args = (f"{error} ({meaning(applications.sw)})",)
        raise error
    files = _listed(card, Scope.LOAD_FILES_AND_MODULES)
    if files.sw in _UNKNOWN_FORM:
        files = _listed(card, Scope.LOAD_FILES)
    for found in (issuer, files):
        # A security domain without the Global Registry privilege may refuse its issuer's entry or load files.
        if found.sw not in _ANSWERS | _UNKNOWN_FORM | _NOT_ALLOWED:
            raise ProtocolError(f"GET STATUS answered {found.sw:04X} ({meaning(found.sw)})")
    if len(issuer.entries) > 1:
        raise ProtocolError("GET STATUS answered several issuer security domains")
    complete = issuer.complete and applications.complete and files.complete
    isd = issuer.entries[0] if issuer.entries else None
    return Registry(isd, applications.entries, files.entries, complete)


def _listed(card: CardManager, scope: Scope) -> _List:
    sw = 0
    for command in (GetStatus.everything(scope), GetStatus(scope), GetStatus(scope, templates=False)):
        answers = _to_the_end(card, command)
        sw = answers[-1].sw
        if sw in _ANSWERS:
            return _List(*parse_get_status(scope, answers, templates=command.templates), sw)
        if sw not in _UNKNOWN_FORM:
            break
    return _List((), complete=False, sw=sw)


def _to_the_end(card: CardManager, command: GetStatus) -> list[ResponseApdu]:
    answers = [card.send(command)]
    while answers[-1].sw == _MORE and len(answers) < _MAX_ANSWERS:
        command = command.following()
        answers.append(card.send(command))
    return answers
