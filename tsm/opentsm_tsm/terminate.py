"""TerminateService: delete an account, an instance, a service, all of an SP, or all services of an SE.

An account is the SP's own data: its deletion is the SP's script, which is relayed. Everything else is deleted by the
central security domain, and gone when the SE's registry, read under a response MAC, no longer lists it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentsm_card.aid import Aid
from opentsm_card.plan import Absent, Wanted
from opentsm_tsm import access, audit, holdings, scripts
from opentsm_tsm.centre import Caller
from opentsm_tsm.holdings import Service
from opentsm_tsm.messages import TerminateResult, TerminateService
from opentsm_tsm.planned import PlannedHandler
from opentsm_tsm.problems import bad_request, forbidden, unknown
from opentsm_tsm.wire import Hex

if TYPE_CHECKING:
    from opentsm_card.registry import Registry
    from opentsm_card.script import ScriptOutcome
    from opentsm_tsm.centre import Action, Centre
    from opentsm_tsm.inventory import SeRecord
    from opentsm_tsm.operations import OperationRow
    from opentsm_tsm.wire import Request

__all__ = ["TerminateHandler"]

_RELAY: Final = "relay"
_DELETE: Final = "delete"


class TerminateHandler(PlannedHandler):
    """Delete what the scope says."""

    def admit(self, centre: Centre, caller: Caller, params: Request) -> tuple[str, str]:
        """Check that what is named is the caller's, and that the scope is for its role."""
        assert isinstance(params, TerminateService)
        if (params.scope == "all") != (caller.role != "sp"):
            raise forbidden(f"scope {params.scope} is not for the role {caller.role}")
        se = access.usable(centre, caller, params.se_id, params.conversation_id)
        if params.scope == "account":
            return se.id, self._admit_account(centre, caller, se, params)
        _free_of_doubt(centre, caller, se.id, params)
        return se.id, _DELETE

    def _admit_account(self, centre: Centre, caller: Caller, se: SeRecord, params: TerminateService) -> str:
        if params.service is None or params.qualifier is None:
            raise bad_request("$.service", "Object missing required field `service` or `qualifier`")
        if not params.accounts:
            raise bad_request("$.accounts", "Expected `array` of length >= 1")
        if params.target is None or not params.script:
            raise bad_request("$.script", "Object missing required field `target` or `script`")
        service = access.own_service(centre, caller, params.service, params.qualifier, se.id)
        instances = {bytes(given.instance) for given in service.applications}
        if bytes(params.target) not in instances | {service.domain}:
            raise unknown("the target is not of this service")
        scripts.check(params.script)
        access.free_of_doubt(centre, caller, se.id, service.domain)
        return _RELAY

    def begin(self, centre: Centre, operation: OperationRow) -> None:
        """Check that nothing of what is to go is in doubt by now."""
        params = operation.params
        assert isinstance(params, TerminateService)
        role, _, name = operation.caller.partition(":")
        if operation.phase == _DELETE:
            _free_of_doubt(centre, Caller(role, name), operation.se, params)
        elif params.service is not None and params.qualifier is not None:
            service = access.own_service(centre, Caller(role, name), params.service, params.qualifier, operation.se)
            access.free_of_doubt(centre, Caller(role, name), operation.se, service.domain)

    def step(self, centre: Centre, operation: OperationRow) -> Action:
        """Relay the SP's script, or delete by a plan."""
        params = operation.params
        assert isinstance(params, TerminateService)
        if operation.phase != _RELAY:
            return super().step(centre, operation)
        assert params.service is not None
        assert params.qualifier is not None
        assert params.target is not None
        service = holdings.service(centre.store, operation.caller_id, params.service, params.qualifier)
        if service is None:
            operation.fail(centre.store, unknown("the service is gone").problem)
            return None
        operation.work["domain"] = service.domain.hex()
        return scripts.relay(bytes(params.target), params.script)

    def other_reported(
        self, centre: Centre, operation: OperationRow, context: dict[str, Any], outcome: ScriptOutcome
    ) -> None:
        """Take the answers to the SP's script, and record which accounts it was for."""
        params = operation.params
        assert isinstance(params, TerminateService)
        result = scripts.relayed(centre, operation, context, outcome)
        if result is None:
            return
        accounts = " ".join(account.hex().upper() for account in params.accounts)
        audit.record(
            centre.store,
            operation.caller,
            "delete-account",
            "relayed" if not result.not_sent else "stopped",
            se=operation.se,
            operation=operation.id,
            detail=f"{params.service} {params.qualifier}: {accounts}",
        )
        operation.finish(centre.store, TerminateResult(script=result))

    def wanted(self, centre: Centre, operation: OperationRow) -> Wanted:
        """Want all of it absent."""
        params = operation.params
        assert isinstance(params, TerminateService)
        if "objects" not in operation.work:
            objects = _objects(centre, operation.caller, operation.se, params)
            operation.work["objects"] = [[aid.hex(), is_domain] for aid, is_domain in objects]
        return Wanted(
            tuple(Absent(Aid(bytes.fromhex(aid)), related=related) for aid, related in operation.work["objects"])
        )

    def reached(self, centre: Centre, operation: OperationRow, registry: Registry) -> Action:
        """Forget what is gone: services, domains, and the temporary keys that a domain may still have had."""
        del registry
        params = operation.params
        assert isinstance(params, TerminateService)
        gone = {bytes.fromhex(aid) for aid, _ in operation.work["objects"]}
        ended = []
        for service in holdings.services(centre.store, operation.se):
            left = tuple(given for given in service.applications if bytes(given.instance) not in gone)
            named = params.scope == "service" and operation.caller == f"sp:{service.sp}"
            named = named and (service.service, service.qualifier) == (params.service, params.qualifier)
            if service.domain in gone or (not left and (named or service.applications)):
                holdings.delete_service(centre.store, service)
                ended.append(f"{service.service}/{service.qualifier}")
            elif left != service.applications:
                names = (service.sp, service.service, service.qualifier, service.se, service.domain)
                holdings.put_service(centre.store, Service(*names, service.state, service.version, left))
        for held in holdings.domains(centre.store, operation.se):
            if held.aid in gone:
                holdings.delete_domain(centre.store, operation.se, held.aid)
                centre.overwrite = True
        deleted = tuple(Hex(aid) for aid in sorted(gone))
        operation.finish(centre.store, TerminateResult(deleted=deleted, services=tuple(sorted(ended))))
        return None


def _free_of_doubt(centre: Centre, caller: Caller, se: str, params: TerminateService) -> None:
    objects = _objects(centre, str(caller), se, params)
    if params.scope == "all":
        return
    domains = {aid for aid, is_domain in objects if is_domain}
    domains |= {s.domain for aid, _ in objects for s in holdings.services_on(centre.store, se, aid)}
    for domain in sorted(domains):
        access.free_of_doubt(centre, caller, se, domain)


def _objects(centre: Centre, caller: str, se: str, params: TerminateService) -> list[tuple[bytes, bool]]:
    """Return what is to be deleted: AIDs, and whether each is a security domain, to go with all under it.

    Raises:
        RefusalError: something is missing, or not the caller's.
    """
    role, _, name = caller.partition(":")
    asking = Caller(role, name)
    match params.scope:
        case "instance":
            if params.aid is None:
                raise bad_request("$.aid", "Object missing required field `aid`")
            if not any(s.sp == name for s in holdings.services_on(centre.store, se, bytes(params.aid))):
                raise unknown("no such application of the caller on this SE")
            return [(bytes(params.aid), False)]
        case "service":
            if params.service is None or params.qualifier is None:
                raise bad_request("$.service", "Object missing required field `service` or `qualifier`")
            service = access.own_service(centre, asking, params.service, params.qualifier, se)
            return [(bytes(given.instance), False) for given in service.applications]
    owner = name if params.scope == "sp" else None
    domains = holdings.domains(centre.store, se, owner)
    if not domains and owner is not None:
        raise unknown("the caller has nothing on this SE")
    return [(held.aid, True) for held in domains if held.state != "planned"]
