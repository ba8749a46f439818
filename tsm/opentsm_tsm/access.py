"""Who may see and do what: callers, SEs, conversations, security domains, operations in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_tsm import holdings, inventory, operations
from opentsm_tsm.centre import Caller
from opentsm_tsm.problems import bad_request, conflict, in_doubt, unknown

if TYPE_CHECKING:
    from opentsm_tsm.centre import Centre
    from opentsm_tsm.config import ServiceProvider
    from opentsm_tsm.holdings import Domain, Service
    from opentsm_tsm.inventory import SeRecord
    from opentsm_tsm.pki import Identity

__all__ = [
    "caller_of",
    "check_aid",
    "check_own_object",
    "free_of_doubt",
    "own_domain",
    "own_service",
    "provider",
    "sees",
    "usable",
    "visible_by_msi",
    "visible_se",
]

_CALLERS: Final = ("sp", "mno", "operator")


def caller_of(identity: Identity) -> Caller | None:
    """Return whom a certificate makes its holder for the messaging API, or None."""
    for role in _CALLERS:
        ids = identity.ids(role)
        if len(ids) == 1:
            return Caller(role, ids[0])
    return None


def provider(centre: Centre, caller: Caller) -> ServiceProvider:
    """Return the configuration of a calling service provider.

    Raises:
        RefusalError: it has a certificate but is not configured.
    """
    found = centre.config.find_sp(caller.id) if caller.role == "sp" else None
    if found is None:
        raise unknown(f"{caller} is not configured")
    return found


def sees(centre: Centre, caller: Caller, se: SeRecord) -> bool:
    """Tell whether an SE exists for a caller: an SP's by its contracts, an MNO's own, all for the operator."""
    match caller.role:
        case "operator":
            return True
        case "mno":
            return se.mno == caller.id
    found = centre.config.find_sp(caller.id)
    return found is not None and se.mno in found.mnos


def visible_se(centre: Centre, caller: Caller, name: str) -> SeRecord:
    """Return an SE that exists for a caller.

    Raises:
        RefusalError: it does not.
    """
    se = inventory.find(centre.store, name)
    if se is None:
        raise unknown("no such SE")
    if not sees(centre, caller, se):
        raise unknown(f"SE of {se.mno}, with which the caller has no contract")
    return se


def visible_by_msi(centre: Centre, caller: Caller, msi: str) -> tuple[SeRecord, ...]:
    """Return the SEs of a subscription that exist for a caller; at least one.

    Raises:
        RefusalError: there is none.
    """
    found = inventory.by_msi(centre.store, msi)
    if not found:
        raise unknown("no such MSI")
    visible = tuple(se for se in found if sees(centre, caller, se))
    if not visible:
        raise unknown(f"SE of {found[0].mno}, with which the caller has no contract")
    return visible


def usable(centre: Centre, caller: Caller, se_id: str | None, conversation: str | None) -> SeRecord:
    """Return the SE that a request for an operation names, by its id or by a conversation.

    Raises:
        RefusalError: there is none for this caller, or it can't be worked on.
    """
    if conversation is not None:
        row = centre.store.row(
            "SELECT se FROM conversation WHERE id = ? AND caller = ? AND open = 1", conversation, str(caller)
        )
        if row is None or (se_id is not None and row["se"] != se_id):
            raise unknown("no such conversation")
        se_id = row["se"]
    if se_id is None:
        raise bad_request("$.seId", "Object missing required field `seId` or `conversationId`")
    se = visible_se(centre, caller, se_id)
    if se.status != "ok":
        raise conflict(f"se-{se.status}", f"The SE can't be worked on: {se.status}.")
    return se


def check_aid(centre: Centre, caller: Caller, aid: bytes, path: str) -> None:
    """Check an AID that a service provider wants to give: its length, and its prefix where one is configured.

    Raises:
        RefusalError: it may not.
    """
    if not 5 <= len(aid) <= 16:
        raise bad_request(path, "an AID has 5 to 16 bytes")
    prefixes = [bytes.fromhex(prefix) for prefix in provider(centre, caller).aid_prefixes]
    if prefixes and not any(aid.startswith(prefix) for prefix in prefixes):
        raise unknown("AID outside of the caller's prefixes")


def own_domain(centre: Centre, caller: Caller, se: SeRecord, aid: bytes) -> Domain:
    """Return a caller's security domain: `aid` is its own, or that of an application under it.

    Raises:
        RefusalError: it is not the caller's.
    """
    found = holdings.domain(centre.store, se.id, aid)
    if found is None:
        for service in holdings.services_on(centre.store, se.id, aid):
            found = holdings.domain(centre.store, se.id, service.domain)
    if found is None or found.sp != caller.id or caller.role != "sp" or found.state == "planned":
        raise unknown("no such object of the caller on this SE")
    return found


def check_own_object(centre: Centre, caller: Caller, se: SeRecord, aid: bytes) -> None:
    """Check that a caller may ask for an object: it is the caller's, or its AID lies in the caller's own range.

    In its own range (`aid_prefixes`) a service provider may ask for what is not there yet.

    Raises:
        RefusalError: it may not.
    """
    prefixes = provider(centre, caller).aid_prefixes if caller.role == "sp" else ()
    if not any(aid.startswith(bytes.fromhex(prefix)) for prefix in prefixes if prefix):
        own_domain(centre, caller, se, aid)


def own_service(centre: Centre, caller: Caller, name: str, qualifier: str, se_id: str | None = None) -> Service:
    """Return a caller's service.

    Raises:
        RefusalError: it has none of this name and qualifier (on this SE).
    """
    found = holdings.service(centre.store, caller.id, name, qualifier) if caller.role == "sp" else None
    if found is None or (se_id is not None and found.se != se_id):
        raise unknown("no such service of the caller")
    return found


def free_of_doubt(centre: Centre, caller: Caller, se: str, domain: bytes, *, probe: str | None = None) -> None:
    """Check that no operation on a security domain is in doubt, but for the one that is probed.

    Raises:
        RefusalError: one is; it is named.
    """
    for operation in operations.open_of_se(centre.store, se):
        if operation.state != "in-doubt" or operation.work.get("domain") != domain.hex():
            continue
        if probe is not None and operation.id == probe and operation.caller == str(caller):
            continue
        raise in_doubt(operation.id)
