"""UpgradeService, the renewal of a service by its qualifier (fig. 10).

Find the SE, delete the instances, install them anew under the SP's security domain, activate them. Each is a phase of
its own: the old and the new instance look alike in the registry, and only the phase says which of them is there. A
renewal that broke off goes on in its phase, after the registry was read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card.aid import Aid
from opentsm_card.plan import Absent, Wanted
from opentsm_tsm import access, holdings, registry_record
from opentsm_tsm.centre import Caller
from opentsm_tsm.deploy import application
from opentsm_tsm.holdings import Service
from opentsm_tsm.messages import UpgradeService
from opentsm_tsm.planned import PlannedHandler
from opentsm_tsm.problems import unknown

if TYPE_CHECKING:
    from opentsm_card.registry import Registry
    from opentsm_tsm.centre import Action, Centre
    from opentsm_tsm.messages import ServiceState
    from opentsm_tsm.operations import OperationRow
    from opentsm_tsm.wire import Request

__all__ = ["UpgradeHandler"]

_NEXT: Final = {"find": "delete", "delete": "install", "install": "activate", "activate": ""}


class UpgradeHandler(PlannedHandler):
    """Renew one service."""

    def admit(self, centre: Centre, caller: Caller, params: Request) -> tuple[str, str]:
        """Find the SE by the qualifier."""
        assert isinstance(params, UpgradeService)
        service = access.own_service(centre, caller, params.service, params.qualifier, params.se_id)
        se = access.usable(centre, caller, service.se, params.conversation_id)
        access.own_domain(centre, caller, se, service.domain)
        access.free_of_doubt(centre, caller, se.id, service.domain)
        _put(centre, service, "renewing", service.version)
        return se.id, "find"

    def begin(self, centre: Centre, operation: OperationRow) -> None:
        """Check that nothing on the service's domain is in doubt by now."""
        access.free_of_doubt(
            centre, Caller("sp", operation.caller_id), operation.se, _service(centre, operation).domain
        )

    def wanted(self, centre: Centre, operation: OperationRow) -> Wanted:
        """Want nothing more (find), the instances gone, there again, or activated."""
        service = _service(centre, operation)
        match operation.phase:
            case "find":
                return Wanted(())
            case "delete":
                return Wanted(tuple(Absent(Aid(given.instance)) for given in service.applications))
        contactless = True if operation.phase == "activate" else None
        return Wanted(
            tuple(application(given, service.domain, contactless=contactless) for given in service.applications)
        )

    def reached(self, centre: Centre, operation: OperationRow, registry: Registry) -> Action:
        """Enter the next phase, or end with the service as it is now."""
        del registry
        following = _NEXT[operation.phase]
        if following:
            operation.enter(following)
            return None
        service = _service(centre, operation)
        renewed = _put(centre, service, "active", service.version + 1)
        operation.finish(centre.store, holdings.view(renewed, registry_record.states(centre.se(operation.se))))
        return None


def _service(centre: Centre, operation: OperationRow) -> Service:
    params = operation.params
    assert isinstance(params, UpgradeService)
    found = holdings.service(centre.store, operation.caller_id, params.service, params.qualifier)
    if found is None:
        raise unknown("an operation before this one has deleted the service")
    return found


def _put(centre: Centre, service: Service, state: ServiceState, version: int) -> Service:
    names = (service.sp, service.service, service.qualifier, service.se, service.domain)
    changed = Service(*names, state, version, service.applications)
    holdings.put_service(centre.store, changed)
    return changed
