"""DeployService, pre-personalization (fig. 4): the SP's security domain with temporary keys, and its applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentsm_card.aid import Aid
from opentsm_card.plan import ApplicationPresent, SecurityDomainPresent, Wanted
from opentsm_card.privileges import Privilege
from opentsm_tsm import access, channel, holdings, inventory, temporary_keys
from opentsm_tsm.centre import Caller
from opentsm_tsm.channel import Ending
from opentsm_tsm.holdings import Domain, Service
from opentsm_tsm.messages import DeployResult, DeployService
from opentsm_tsm.planned import PlannedHandler
from opentsm_tsm.problems import RefusalError, bad_request, conflict, failed, unknown
from opentsm_tsm.wire import Hex

if TYPE_CHECKING:
    from opentsm_card.keys import KeySet
    from opentsm_card.registry import Registry
    from opentsm_card.script import ScriptOutcome
    from opentsm_tsm.centre import Action, Centre
    from opentsm_tsm.channel import Exchange
    from opentsm_tsm.inventory import SeRecord
    from opentsm_tsm.messages import DeployApplication
    from opentsm_tsm.operations import OperationRow
    from opentsm_tsm.wire import Request

__all__ = ["DeployHandler", "application"]


def application(given: DeployApplication, domain: bytes, *, contactless: bool | None = None) -> ApplicationPresent:
    """Return an application of a service as something wanted."""
    return ApplicationPresent(
        package=Aid(given.package),
        module=Aid(given.module),
        aid=Aid(given.instance),
        privileges=Privilege.parse(bytes(given.privileges)) if given.privileges else Privilege(0),
        parameters=bytes(given.parameters),
        associated_sd=Aid(domain),
        contactless=contactless,
    )


class DeployHandler(PlannedHandler):
    """Create the SD, put temporary keys into it, install and extradite; then hand the keys to the SP.

    The central TSM's word alone could take what is on the SE from whoever put it there, so a name gives no hold on a
    thing: before anything is planned, the SE's registry must show that the domain and the applications are free, or
    this SP's already.
    """

    def admit(self, centre: Centre, caller: Caller, params: Request) -> tuple[str, str]:
        """Check AIDs and names, and reserve the domain and the service for the caller."""
        assert isinstance(params, DeployService)
        se = access.usable(centre, caller, params.se_id, params.conversation_id)
        access.free_of_doubt(centre, caller, se.id, bytes(params.sd))
        access.check_aid(centre, caller, bytes(params.sd), "$.sd")
        for position, given in enumerate(params.applications):
            _check(centre, caller, given, f"$.applications[{position}]")
        _admissible(centre, caller, se, params)
        _reserve(centre, caller, se, params)
        return se.id, "deploy"

    def begin(self, centre: Centre, operation: OperationRow) -> None:
        """Check that nothing on the domain is in doubt by now."""
        params = operation.params
        assert isinstance(params, DeployService)
        access.free_of_doubt(centre, Caller("sp", operation.caller_id), operation.se, bytes(params.sd))

    def before(self, centre: Centre, operation: OperationRow, registry: Registry) -> None:
        """Claim the domain and the applications, once."""
        if "claimed" in operation.work:
            return
        params = operation.params
        assert isinstance(params, DeployService)
        caller, se = Caller("sp", operation.caller_id), centre.se(operation.se)
        try:
            # Another operation may have taken, or deleted, what was the caller's when this one was admitted.
            _admissible(centre, caller, se, params)
            _reserve(centre, caller, se, params)
            _claim(centre, caller, se, params, registry)
        except RefusalError:
            _release(centre, caller, se, params)
            raise
        operation.work["claimed"] = True

    def wanted(self, centre: Centre, operation: OperationRow) -> Wanted:
        """Want the domain with keys of its own, and the applications under it."""
        del centre
        params = operation.params
        assert isinstance(params, DeployService)
        domain = SecurityDomainPresent(Aid(params.sd), key_version=temporary_keys.VERSION)
        return Wanted((domain, *(application(given, bytes(params.sd)) for given in params.applications)))

    def put_keys(self, centre: Centre, operation: OperationRow, target: bytes, version: int) -> KeySet:
        """Return the temporary keys, the same ones however often they are asked for."""
        central = channel.central_keys(centre, centre.se(operation.se))
        return temporary_keys.make(centre, _domain(centre, operation, target), version, len(central.enc))

    def confirmed(self, centre: Centre, operation: OperationRow, context: dict[str, Any], exchange: Exchange) -> None:
        """Note that the temporary keys are in: PUT KEY was answered under a response MAC, with their check values."""
        del exchange
        if context["put"] is not None:
            held = _domain(centre, operation, bytes.fromhex(context["target"]))
            holdings.put_domain(
                centre.store, Domain(held.se, held.aid, held.sp, "temporary", held.version, held.sealed)
            )

    def reached(self, centre: Centre, operation: OperationRow, registry: Registry) -> Action:
        """Hand over the keys; where PUT KEY was in doubt, prove them first."""
        del registry
        params = operation.params
        assert isinstance(params, DeployService)
        se = centre.se(operation.se)
        held = _domain(centre, operation, bytes(params.sd))
        if held.state == "claimed":
            if held.sealed is None:
                # It was there before this SP asked for it, with keys that are not ours.
                holdings.delete_domain(centre.store, se.id, held.aid)
                operation.fail(centre.store, unknown("the security domain is someone else's").problem)
                return None
            keys = temporary_keys.unsealed(centre, held)
            return channel.prove(centre, se, keys, held.aid, {"kind": "prove"})
        self._finish(centre, operation, se, held)
        return None

    def _finish(self, centre: Centre, operation: OperationRow, se: SeRecord, held: Domain) -> None:
        params = operation.params
        assert isinstance(params, DeployService)
        keys = None
        if held.sealed is not None:
            provider = access.provider(centre, Caller("sp", operation.caller_id))
            keys = temporary_keys.encrypted(centre, held, centre.config.path(provider.encryption_key))
        service = holdings.service(centre.store, operation.caller_id, params.service, params.qualifier)
        if service is not None and service.state == "deploying":
            names = (service.sp, service.service, service.qualifier)
            holdings.put_service(
                centre.store,
                Service(*names, service.se, service.domain, "deployed", service.version, service.applications),
            )
        result = DeployResult(
            sd=params.sd,
            key_version=held.version if keys is not None else None,
            keys=keys,
            diversification_data=Hex(se.diversification) if se.diversification is not None else None,
            scp03_i=se.scp03_i,
        )
        operation.finish(centre.store, result)

    def other_reported(
        self, centre: Centre, operation: OperationRow, context: dict[str, Any], outcome: ScriptOutcome
    ) -> None:
        """Take the proof of the temporary keys."""
        assert context["kind"] == "prove"
        se = centre.se(operation.se)
        held = _domain(centre, operation, bytes.fromhex(context["target"]))
        exchange = channel.take(centre, se, temporary_keys.unsealed(centre, held), context, outcome)
        if exchange.ending is Ending.COMPLETE:
            holdings.put_domain(
                centre.store, Domain(held.se, held.aid, held.sp, "temporary", held.version, held.sealed)
            )
        elif exchange.ending is Ending.OTHER_KEYS and self.again(centre, operation, "proof", 2):
            inventory.update(centre.store, operation.se, reset=1)
        elif exchange.ending in {Ending.WRONG_KEYS, Ending.OTHER_KEYS, Ending.UNSELECTABLE}:
            operation.fail(
                centre.store,
                failed("keys-unproven", "The security domain does not show the temporary keys.", exchange.detail),
            )
        else:
            self.ended_early(centre, operation, exchange)


def _domain(centre: Centre, operation: OperationRow, aid: bytes) -> Domain:
    held = holdings.domain(centre.store, operation.se, aid)
    assert held is not None, "admit has noted the domain"
    return held


def _check(centre: Centre, caller: Caller, given: DeployApplication, path: str) -> None:
    for name in ("package", "module"):
        if not 5 <= len(getattr(given, name)) <= 16:
            raise bad_request(f"{path}.{name}", "an AID has 5 to 16 bytes")
    access.check_aid(centre, caller, bytes(given.instance), f"{path}.instance")
    if len(given.privileges) not in {0, 1, 3}:
        raise bad_request(f"{path}.privileges", "privileges have 1 or 3 bytes")


def _admissible(centre: Centre, caller: Caller, se: SeRecord, params: DeployService) -> None:
    """Check that the centre knows of nothing that stands against a deployment."""
    for given in params.applications:
        _untaken(centre, caller, se, bytes(given.instance), domain=False)
    _untaken(centre, caller, se, bytes(params.sd), domain=True)
    known = holdings.service(centre.store, caller.id, params.service, params.qualifier)
    if known is None or _reserved(known):
        return
    if known.se != se.id or known.domain != params.sd:
        raise conflict("qualifier-taken", "This qualifier stands for a service elsewhere.")
    if not set(known.applications) <= set(params.applications):
        raise conflict("service-exists", "The service has other applications.", "UpgradeService renews it.")


def _reserved(known: Service) -> bool:
    """Tell whether a service is a name only, with nothing on any SE."""
    return known.state == "deploying" and not known.applications


def _reserve(centre: Centre, caller: Caller, se: SeRecord, params: DeployService) -> None:
    """Note the names as the caller's; that gives no right to anything on the SE."""
    if holdings.domain(centre.store, se.id, bytes(params.sd)) is None:
        holdings.put_domain(centre.store, Domain(se.id, bytes(params.sd), caller.id, "planned"))
    known = holdings.service(centre.store, caller.id, params.service, params.qualifier)
    if known is None or _reserved(known):
        if known is not None:
            holdings.delete_service(centre.store, known)
        names = (caller.id, params.service, params.qualifier, se.id, bytes(params.sd))
        holdings.put_service(centre.store, Service(*names, "deploying", 1, ()))


def _claim(centre: Centre, caller: Caller, se: SeRecord, params: DeployService, registry: Registry) -> None:
    """Take the domain and the applications for the caller, if the registry lets it.

    Raises:
        RefusalError: something of these AIDs is on the SE, and did not come there for the caller.
    """
    held = holdings.domain(centre.store, se.id, bytes(params.sd))
    known = holdings.service(centre.store, caller.id, params.service, params.qualifier)
    assert held is not None, "reserved before"
    assert known is not None, "reserved before"
    if held.state == "planned" and registry.find(params.sd) is not None:
        raise unknown("the security domain is someone else's")
    # Claimed before, but perhaps not yet extradited.
    own = {bytes(given.instance) for given in known.applications}
    for entry in registry.applications:
        aid = bytes(entry.aid)
        if aid in own or Aid(params.sd) in {entry.aid, entry.associated_sd}:
            continue
        # SELECT by the beginning of an AID finds the application too (ISO/IEC 7816-4, 11.3).
        if any(aid.startswith(bytes(wanted)) for wanted in (params.sd, *(a.instance for a in params.applications))):
            raise unknown("the AID, or what begins with it, is someone else's")
    if held.state == "planned":
        holdings.put_domain(centre.store, Domain(se.id, held.aid, caller.id, "claimed"))
    names = (known.sp, known.service, known.qualifier, known.se, known.domain)
    holdings.put_service(centre.store, Service(*names, known.state, known.version, params.applications))


def _release(centre: Centre, caller: Caller, se: SeRecord, params: DeployService) -> None:
    """Give back names behind which there is nothing."""
    known = holdings.service(centre.store, caller.id, params.service, params.qualifier)
    if known is not None and known.se == se.id and _reserved(known):
        holdings.delete_service(centre.store, known)
    held = holdings.domain(centre.store, se.id, bytes(params.sd))
    if held is not None and held.sp == caller.id and held.state == "planned":
        holdings.delete_domain(centre.store, se.id, held.aid)


def _untaken(centre: Centre, caller: Caller, se: SeRecord, aid: bytes, *, domain: bool) -> None:
    """Check that an AID is free on an SE, or the caller's already for the same use."""
    held = holdings.domain(centre.store, se.id, aid)
    users = holdings.services_on(centre.store, se.id, aid)
    if held is not None and (held.sp != caller.id or not domain):
        raise unknown("the AID is taken")
    if any(user.sp != caller.id or domain for user in users):
        raise unknown("the AID is taken")
    if aid in {se.issuer, se.central}:
        raise unknown("the AID is taken")
