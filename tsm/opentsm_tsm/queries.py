"""The functions that answer at once, from what the central TSM knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentsm_card.lifecycle import ContactlessState
from opentsm_tsm import access, audit, holdings, registry_record
from opentsm_tsm.messages import (
    ActionReceipt,
    CheckGlobalEligibility,
    GetApplicationOrELFStatus,
    GetMobileSubscriptionSEIdentifiers,
    GetServiceState,
    HandleActionDoneOnServiceNotification,
    KeySetView,
    ObjectStatus,
    SeData,
    SeIdentifiers,
    ServiceView,
)
from opentsm_tsm.operator_messages import RegistryItem, SeBelief
from opentsm_tsm.problems import conflict
from opentsm_tsm.wire import Hex

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_tsm.centre import Caller, Centre
    from opentsm_tsm.inventory import SeRecord
    from opentsm_tsm.wire import Message, Request

__all__ = ["QUERIES", "belief", "object_status"]


def _check_global_eligibility(centre: Centre, caller: Caller, params: Request) -> SeData:
    assert isinstance(params, CheckGlobalEligibility)
    se = access.visible_by_msi(centre, caller, params.msi)[0]
    own = caller.id if caller.role == "sp" else None
    words = registry_record.states(se)
    services = holdings.services(centre.store, se.id, own) if own is not None else ()
    return SeData(
        se_id=se.id,
        se_type=se.type,
        configuration=se.configuration,
        status=se.status,
        life_cycle=se.life_cycle,
        mno=se.mno,
        key_sets=_key_sets(centre, caller, se),
        services=tuple(holdings.view(service, words) for service in services),
    )


def _key_sets(centre: Centre, caller: Caller, se: SeRecord) -> tuple[KeySetView, ...]:
    """Return the key versions that a caller may see: those of the central SD, and of its own domains."""
    own = caller.id if caller.role == "sp" else None
    views = [KeySetView(sd=Hex(se.central), versions=(se.key_version,))]
    views += [
        KeySetView(sd=Hex(held.aid), versions=(held.version,))
        for held in holdings.domains(centre.store, se.id, own)
        if held.version is not None
    ]
    return tuple(views)


def _identifiers(centre: Centre, caller: Caller, params: Request) -> SeIdentifiers:
    assert isinstance(params, GetMobileSubscriptionSEIdentifiers)
    return SeIdentifiers(se_ids=tuple(se.id for se in access.visible_by_msi(centre, caller, params.msi)))


def _service_state(centre: Centre, caller: Caller, params: Request) -> ServiceView:
    assert isinstance(params, GetServiceState)
    se = access.visible_se(centre, caller, params.se_id)
    service = access.own_service(centre, caller, params.service, params.qualifier, se.id)
    return holdings.view(service, registry_record.states(se))


def object_status(centre: Centre, caller: Caller, se: SeRecord, aid: bytes) -> ObjectStatus:
    """Return an object of the caller as the registry last said.

    Raises:
        RefusalError: it is not the caller's.
    """
    access.check_own_object(centre, caller, se, aid)
    entry = registry_record.load(se.registry).find(aid) if se.registry is not None else None
    if entry is None:
        return ObjectStatus(aid=Hex(aid), present=False, known=se.registry_at)
    return ObjectStatus(
        aid=Hex(aid),
        present=True,
        kind=entry.kind.value,
        state=registry_record.state_word(entry),
        sd=Hex(entry.associated_sd) if entry.associated_sd is not None else None,
        contactless=None if entry.contactless is None else entry.contactless is ContactlessState.ACTIVATED,
        known=se.registry_at,
    )


def _object_status(centre: Centre, caller: Caller, params: Request) -> ObjectStatus:
    assert isinstance(params, GetApplicationOrELFStatus)
    se = access.visible_se(centre, caller, params.se_id)
    return object_status(centre, caller, se, bytes(params.aid))


def _action_done(centre: Centre, caller: Caller, params: Request) -> ActionReceipt:
    """Destroy the temporary keys of a security domain whose owner has rotated them."""
    assert isinstance(params, HandleActionDoneOnServiceNotification)
    se = access.visible_se(centre, caller, params.se_id)
    held = access.own_domain(centre, caller, se, bytes(params.sd))
    destroyed = False
    if params.action == "key-rotation":
        if held.state == "claimed":
            # The keys may be on their way to the SE: forgotten now, nobody would have them.
            raise conflict("not-deployed", "The security domain is not deployed yet.")
        if params.key_version is not None and params.key_version == held.version and held.state == "temporary":
            raise conflict("not-rotated", "This is the version of the temporary keys.")
        destroyed = held.sealed is not None
        version = params.key_version if held.state == "temporary" else params.key_version or held.version
        rotated = holdings.Domain(held.se, held.aid, held.sp, "own", version, None)
        holdings.put_domain(centre.store, rotated)
        centre.overwrite = centre.overwrite or destroyed
    audit.record(centre.store, str(caller), f"{params.action} done", "noted", se=se.id, detail=params.sd.hex().upper())
    return ActionReceipt(sd=params.sd, action=params.action, destroyed=destroyed)


def belief(centre: Centre, caller: Caller, se_id: str) -> SeBelief:
    """Return all that is believed of an SE, for its operator.

    Raises:
        RefusalError: there is no such SE for the caller.
    """
    se = access.visible_se(centre, caller, se_id)
    registry = registry_record.load(se.registry) if se.registry is not None else ()
    items = tuple(
        RegistryItem(
            aid=Hex(entry.aid),
            kind=entry.kind.value,
            state=entry.state,
            privileges=Hex(entry.privileges.encode()),
            sd=Hex(entry.associated_sd) if entry.associated_sd is not None else None,
            contactless=None if entry.contactless is None else entry.contactless is ContactlessState.ACTIVATED,
        )
        for entry in registry
    )
    return SeBelief(
        se_id=se.id,
        se_type=se.type,
        configuration=se.configuration,
        status=se.status,
        life_cycle=se.life_cycle,
        mno=se.mno,
        stale=se.stale,
        key_sets=_key_sets(centre, caller, se),
        registry=items,
        known=se.registry_at,
    )


QUERIES: dict[str, Callable[[Centre, Caller, Request], Message]] = {
    "CheckGlobalEligibility": _check_global_eligibility,
    "GetMobileSubscriptionSEIdentifiers": _identifiers,
    "GetServiceState": _service_state,
    "GetApplicationOrELFStatus": _object_status,
    "HandleActionDoneOnServiceNotification": _action_done,
}
"""What each query calls; each runs inside a transaction."""
