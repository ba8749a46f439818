"""Read a card's registry, from cards new and old.

What a card knows is asked for in the newest form first: with a tag list, which brings associations; without one, for
cards before GP 2.2; and at last in the form of GP 2.0.1.

Spec: GP Card Specification 2.3.1, 11.4 (P2 02/03 and the tag list), tables 11-35 (deprecated form), 11-36, 11-37.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.privileges import Privilege
from opentsm_card.reader import Reader
from opentsm_card.registry import Registry
from opentsm_card.status import StatusWord
from opentsm_card.tlv import Tlv

if TYPE_CHECKING:
    from opentsm_tools.card.manager import CardManager

__all__ = ["read_registry"]

_DONE: Final = int(StatusWord.DONE)
_MORE: Final = int(StatusWord.MORE_DATA_AVAILABLE)
_NOTHING: Final = int(StatusWord.REFERENCED_DATA_NOT_FOUND)
# What a card answers to a form of the command that it does not know.
_UNKNOWN_FORM: Final = frozenset({0x6A80, 0x6A81, 0x6A86, 0x6A87, 0x6B00, 0x6700})
_NOT_HERE: Final = frozenset({0x6982, 0x6985, 0x6A88, *_UNKNOWN_FORM})
_MAX_ANSWERS: Final = 1024


def read_registry(card: CardManager) -> Registry:
    """Read all lists of the selected security domain.

    Raises:
        RefusedError: the card does not list applications.
        ProtocolError: malformed.
    """
    isd = _listed(card, Scope.ISSUER_SECURITY_DOMAIN)
    applications = _listed(card, Scope.APPLICATIONS)
    _check(applications)
    files = _listed(card, Scope.LOAD_FILES_AND_MODULES)
    if files[-1].sw in _UNKNOWN_FORM:
        files = _listed(card, Scope.LOAD_FILES)
    # A security domain without the Global Registry privilege may refuse its issuer's entry or load files.
    return Registry.parse(applications, _or_nothing(files), _or_nothing(isd))


def _check(answers: list[ResponseApdu]) -> None:
    from opentsm_tools.card.manager import RefusedError  # noqa: PLC0415 - each needs the other

    if answers[-1].sw not in {_DONE, _NOTHING}:
        raise RefusedError(answers[-1].sw, "GET STATUS of applications")


def _or_nothing(answers: list[ResponseApdu]) -> list[ResponseApdu]:
    return [ResponseApdu(b"", _NOTHING)] if answers[-1].sw in _NOT_HERE else answers


def _listed(card: CardManager, scope: Scope) -> list[ResponseApdu]:
    answers: list[ResponseApdu] = []
    for form in (GetStatus.everything(scope), GetStatus(scope)):
        answers = _to_the_end(card, form)
        if answers[-1].sw not in _UNKNOWN_FORM:
            return answers
    old = card.send(CommandApdu(0x80, GetStatus.INS, scope, 0x00, b"\x4f\x00", 256))
    if old.sw == _DONE:
        return [ResponseApdu(_modern(old.data, scope), _DONE)]
    return [old] if old.sw not in _UNKNOWN_FORM else answers


def _to_the_end(card: CardManager, command: GetStatus) -> list[ResponseApdu]:
    answers = [card.send(command)]
    while answers[-1].sw == _MORE and len(answers) < _MAX_ANSWERS:
        command = command.following()
        answers.append(card.send(command))
    return answers


def _modern(data: bytes, scope: Scope) -> bytes:
    """Return answers in the form of GP 2.0.1 as E3 templates.

    Spec: GP Card Specification 2.3.1, table 11-35: length and AID, life cycle, privileges, and with P1 10 the number of
    modules and each as length and AID.
    """
    reader = Reader(data, "GET STATUS answer (GP 2.0.1 form)")
    found = b""
    while reader.remaining:
        aid, state, privileges = Aid(reader.lv()), reader.byte(), Privilege.parse(reader.take(1))
        modules: tuple[Aid, ...] = ()
        if scope is Scope.LOAD_FILES_AND_MODULES:
            modules = tuple(Aid(reader.lv()) for _ in range(reader.byte()))
        value = Tlv(0x4F, aid).encode() + Tlv(0x9F70, bytes((state,))).encode()
        if scope in {Scope.APPLICATIONS, Scope.ISSUER_SECURITY_DOMAIN}:
            value += Tlv(0xC5, privileges.encode()).encode()
        value += b"".join(Tlv(0x84, module).encode() for module in modules)
        found += tlv.encode(0xE3, value)
    return found
