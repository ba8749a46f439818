"""SuspendOrResumeService: activate or deactivate, lock or unlock one application, a service, or all of an SP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentsm_card.aid import Aid
from opentsm_card.lifecycle import ContactlessState
from opentsm_card.plan import Locked, Unlocked, Wanted
from opentsm_tsm import access, holdings, queries, registry_record
from opentsm_tsm.centre import Caller
from opentsm_tsm.deploy import application
from opentsm_tsm.holdings import Service
from opentsm_tsm.messages import SuspendOrResumeResult, SuspendOrResumeService
from opentsm_tsm.planned import PlannedHandler
from opentsm_tsm.problems import bad_request, unknown

if TYPE_CHECKING:
    from opentsm_card.plan import WantedItem
    from opentsm_card.registry import Registry
    from opentsm_tsm.centre import Action, Centre
    from opentsm_tsm.inventory import SeRecord
    from opentsm_tsm.messages import DeployApplication, ServiceState
    from opentsm_tsm.operations import OperationRow
    from opentsm_tsm.wire import Request

__all__ = ["SuspendOrResumeHandler", "refresh_states"]


class SuspendOrResumeHandler(PlannedHandler):
    """Bring applications, or the SP's security domains with all under them, into a state."""

    def admit(self, centre: Centre, caller: Caller, params: Request) -> tuple[str, str]:
        """Check that what is named is the caller's."""
        assert isinstance(params, SuspendOrResumeService)
        se = access.usable(centre, caller, params.se_id, params.conversation_id)
        if params.scope == "sp" and params.action in {"activate", "deactivate"}:
            raise bad_request("$.scope", "activation is of an application or a service")
        _free_of_doubt(centre, caller, params)
        return se.id, params.action

    def begin(self, centre: Centre, operation: OperationRow) -> None:
        """Check that nothing of what is named is in doubt by now."""
        params = operation.params
        assert isinstance(params, SuspendOrResumeService)
        _free_of_doubt(centre, Caller("sp", operation.caller_id), params)

    def wanted(self, centre: Centre, operation: OperationRow) -> Wanted:
        """Want each application, or each domain with all under it, in the state that the action means."""
        params = operation.params
        assert isinstance(params, SuspendOrResumeService)
        caller = Caller("sp", operation.caller_id)
        items: list[WantedItem] = []
        if params.scope == "sp":
            for domain in _domains(centre, caller, operation.se):
                aid = Aid(domain)
                everything = Locked(aid, True) if params.action == "lock" else Unlocked(aid, True)
                items.append(everything)
            return Wanted(tuple(items))
        for given, domain in _applications(centre, caller, params):
            aid = Aid(given.instance)
            match params.action:
                case "lock":
                    items.append(Locked(aid))
                case "unlock":
                    items.append(Unlocked(aid))
                case "activate" | "deactivate":
                    items.append(application(given, domain, contactless=params.action == "activate"))
        return Wanted(tuple(items))

    def reached(self, centre: Centre, operation: OperationRow, registry: Registry) -> Action:
        """Answer with every application concerned, as it is now."""
        del registry
        params = operation.params
        assert isinstance(params, SuspendOrResumeService)
        caller = Caller("sp", operation.caller_id)
        se = centre.se(operation.se)
        refresh_states(centre, se, caller.id)
        if params.scope == "sp":
            services = holdings.services(centre.store, se.id, caller.id)
            aids = [bytes(given.instance) for service in services for given in service.applications]
        else:
            aids = [bytes(given.instance) for given, _ in _applications(centre, caller, params)]
        statuses = tuple(queries.object_status(centre, caller, se, aid) for aid in aids)
        operation.finish(centre.store, SuspendOrResumeResult(applications=statuses))
        return None


def _free_of_doubt(centre: Centre, caller: Caller, params: SuspendOrResumeService) -> None:
    if params.scope == "sp":
        domains = _domains(centre, caller, params.se_id)
        if not domains:
            raise unknown("the caller has nothing on this SE")
    else:
        domains = [domain for _, domain in _applications(centre, caller, params)]
    for domain in sorted(set(domains)):
        access.free_of_doubt(centre, caller, params.se_id, domain)


def _domains(centre: Centre, caller: Caller, se: str) -> list[bytes]:
    """Return a caller's security domains on an SE, without what is only planned."""
    return [held.aid for held in holdings.domains(centre.store, se, caller.id) if held.state != "planned"]


def _applications(
    centre: Centre, caller: Caller, params: SuspendOrResumeService
) -> list[tuple[DeployApplication, bytes]]:
    """Return the applications that a request names, each with its domain.

    Raises:
        RefusalError: none is named, or one is not the caller's.
    """
    if params.service is not None and params.qualifier is not None:
        services: tuple[Service, ...] = (
            access.own_service(centre, caller, params.service, params.qualifier, params.se_id),
        )
    elif params.aid is not None:
        services = holdings.services_on(centre.store, params.se_id, bytes(params.aid))
    else:
        raise bad_request("$.aid", "Object missing required field `aid`, or `service` and `qualifier`")
    found = [
        (given, service.domain)
        for service in services
        if service.sp == caller.id
        for given in service.applications
        if params.aid is None or given.instance == params.aid
    ]
    if not found:
        raise unknown("no such application of the caller on this SE")
    return found


def refresh_states(centre: Centre, se: SeRecord, sp: str) -> None:
    """Bring the states of an SP's services on an SE up to what the registry says."""
    if se.registry is None:
        return
    registry = registry_record.load(se.registry)
    for service in holdings.services(centre.store, se.id, sp):
        state = _state(registry, service)
        if state != service.state:
            names = (service.sp, service.service, service.qualifier, service.se, service.domain)
            holdings.put_service(centre.store, Service(*names, state, service.version, service.applications))


def _state(registry: Registry, service: Service) -> ServiceState:
    entries = [registry.find(given.instance) for given in service.applications]
    present = [entry for entry in entries if entry is not None]
    domain = registry.find(service.domain)
    if service.state in {"deploying", "renewing"} or not present:
        return service.state
    if (domain is not None and domain.locked) or any(entry.locked for entry in present):
        return "locked"
    if any(entry.contactless is ContactlessState.ACTIVATED for entry in present):
        return "active"
    return "deployed" if service.state == "deployed" else "inactive"
