"""GetApplicationOrELFStatus with `refresh`: read the SE, then say what it holds of the caller's object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentsm_card.plan import Wanted
from opentsm_tsm import access, inventory, queries
from opentsm_tsm.centre import Caller
from opentsm_tsm.messages import GetApplicationOrELFStatus
from opentsm_tsm.planned import PlannedHandler

if TYPE_CHECKING:
    from opentsm_card.registry import Registry
    from opentsm_tsm.centre import Action, Centre
    from opentsm_tsm.operations import OperationRow
    from opentsm_tsm.wire import Request

__all__ = ["RefreshHandler"]


class RefreshHandler(PlannedHandler):
    """Read, and change nothing."""

    def admit(self, centre: Centre, caller: Caller, params: Request) -> tuple[str, str]:
        """Check that the object is the caller's."""
        assert isinstance(params, GetApplicationOrELFStatus)
        se = access.usable(centre, caller, params.se_id, None)
        access.check_own_object(centre, caller, se, bytes(params.aid))
        return se.id, "read"

    def step(self, centre: Centre, operation: OperationRow) -> Action:
        """Distrust what is known once, so that it is read."""
        if "distrusted" not in operation.work:
            operation.work["distrusted"] = True
            inventory.update(centre.store, operation.se, stale=1)
        return super().step(centre, operation)

    def wanted(self, centre: Centre, operation: OperationRow) -> Wanted:
        """Want nothing."""
        del centre, operation
        return Wanted(())

    def reached(self, centre: Centre, operation: OperationRow, registry: Registry) -> Action:
        """Answer with the object as it was read."""
        del registry
        params = operation.params
        assert isinstance(params, GetApplicationOrELFStatus)
        caller = Caller("sp", operation.caller_id)
        status = queries.object_status(centre, caller, centre.se(operation.se), bytes(params.aid))
        operation.finish(centre.store, status)
        return None
