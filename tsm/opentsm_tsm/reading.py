"""Reading an SE's registry: complete lists under response MACs, in as many orders as they take.

Spec: GP Card Specification 2.3.1, 11.4 (GET STATUS; 6310 when there is more).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from opentsm_card.apdu import ResponseApdu
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.lifecycle import CardState
from opentsm_card.registry import Registry, parse_get_status
from opentsm_card.status import StatusWord
from opentsm_tsm import channel, inventory, registry_record
from opentsm_tsm.channel import Ending, Secured

if TYPE_CHECKING:
    from opentsm_card.keys import KeySet
    from opentsm_tsm.centre import Centre, Send
    from opentsm_tsm.channel import Exchange
    from opentsm_tsm.inventory import SeRecord

__all__ = ["apply", "begin", "go_on"]

# A security domain without Global Registry may refuse the first and the last; nothing is concluded from that.
_SCOPES: Final = (Scope.ISSUER_SECURITY_DOMAIN, Scope.LOAD_FILES_AND_MODULES, Scope.APPLICATIONS)
_NOTHING_FOUND: Final = int(StatusWord.REFERENCED_DATA_NOT_FOUND)
_MORE: Final = int(StatusWord.MORE_DATA_AVAILABLE)
_SWS: Final = {
    Scope.ISSUER_SECURITY_DOMAIN: frozenset({0x9000, _NOTHING_FOUND}),
    Scope.LOAD_FILES_AND_MODULES: frozenset({0x9000, _NOTHING_FOUND}),
    Scope.APPLICATIONS: frozenset({0x9000}),
}


def _commands(scopes: list[int], *, following: bool) -> list[Secured]:
    commands = []
    for position, scope in enumerate(Scope(value) for value in scopes):
        command = GetStatus.everything(scope)
        if following and position == 0:
            command = command.following()
        commands.append(Secured(command.apdu(), _SWS[scope]))
    return commands


def begin(centre: Centre, se: SeRecord, keys: KeySet) -> Send:
    """Return the script that reads all lists; one that does not fit one answer ends it, and `go_on` goes on."""
    scopes = [int(scope) for scope in _SCOPES]
    context = {"kind": "read", "scopes": scopes, "got": []}
    return channel.open_channel(centre, se, keys, se.central, _commands(scopes, following=False), context)


def go_on(keys: KeySet, work: dict[str, Any]) -> Send:
    """Return the script that goes on where `apply` said that there is more."""
    context = {"kind": "read", "scopes": work["scopes"], "got": work["got"]}
    return channel.go_on(keys, work["state"], _commands(work["scopes"], following=True), context)


def apply(centre: Centre, se: SeRecord, context: dict[str, Any], exchange: Exchange) -> dict[str, Any] | None:
    """Keep what was read, inside the transaction under way.

    Returns:
        None when all lists are complete and the registry is stored; otherwise the work with which `go_on` goes on.

    Raises:
        ProtocolError: the answers are no registry.
        LookupError: the card refused to list.
    """
    got = [*context["got"]]
    scopes = list(context["scopes"])
    for response in exchange.responses:
        got.append([scopes[0], response.data.hex(), response.sw])
        if response.sw == _MORE:
            return {"scopes": scopes, "got": got, "state": exchange.state}
        if response.sw not in _SWS[Scope(scopes[0])]:
            raise LookupError(f"GET STATUS: card answered {response.sw:04X}")
        scopes.pop(0)
    if scopes or exchange.ending is not Ending.COMPLETE:
        raise LookupError(exchange.detail)
    _store(centre, se, _registry(got))
    return None


def _registry(got: list[tuple[int, str, int]]) -> Registry:
    def answers(scope: Scope) -> list[ResponseApdu]:
        return [ResponseApdu(bytes.fromhex(data), sw) for kind, data, sw in got if kind == scope]

    issuer, _ = parse_get_status(Scope.ISSUER_SECURITY_DOMAIN, answers(Scope.ISSUER_SECURITY_DOMAIN))
    files, _ = parse_get_status(Scope.LOAD_FILES_AND_MODULES, answers(Scope.LOAD_FILES_AND_MODULES))
    applications, complete = parse_get_status(Scope.APPLICATIONS, answers(Scope.APPLICATIONS))
    # What is planned and proved absent are applications and security domains: their list must be complete. Built-in
    # packages may be out of a security domain's sight.
    return Registry(issuer[0] if issuer else None, applications, files, complete)


def _store(centre: Centre, se: SeRecord, registry: Registry) -> None:
    changes: dict[str, object] = {}
    if registry.isd is not None:
        changes["life_cycle"] = registry_record.state_word(registry.isd)
        words = {CardState.CARD_LOCKED: "locked", CardState.TERMINATED: "terminated"}
        changes["status"] = words.get(CardState(registry.isd.state), "ok")
    now = time.time()
    inventory.update(centre.store, se.id, registry=registry_record.dump(registry), registry_at=now, stale=0, **changes)
