"""Functions that bring an SE into a wanted state: read its registry, plan the difference, send it, confirm it.

Each phase of such a function wants a state. As long as the registry (the last complete read, with what was confirmed
under response MACs since) differs from it, the plan's next block of commands is sent in one secure channel. Whatever
was cut off, refused or is in doubt makes the registry stale: it is read again before anything is planned, so what was
done is never done twice.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final

from opentsm_card.aid import Aid
from opentsm_card.configurations import configuration
from opentsm_card.errors import ProtocolError
from opentsm_card.lifecycle import CardState
from opentsm_card.plan import LoadPackage, PlanError, PutKeySet, PutTemporaryKeys, SecureElement, apply, plan
from opentsm_card.put_key import put_key_set
from opentsm_tsm import audit, channel, inventory, reading, registry_record
from opentsm_tsm.centre import Handler
from opentsm_tsm.channel import Ending, Secured
from opentsm_tsm.problems import failed

if TYPE_CHECKING:
    from opentsm_card.keys import KeySet
    from opentsm_card.plan import Block, Wanted
    from opentsm_card.registry import Registry
    from opentsm_card.script import ScriptOutcome
    from opentsm_tsm.centre import Action, Centre
    from opentsm_tsm.channel import Exchange
    from opentsm_tsm.inventory import SeRecord
    from opentsm_tsm.operations import OperationRow

__all__ = ["PlannedHandler", "element"]

# GP's own package and module of security domains. Spec: GP Card Specification 2.3.1, H.1 (AIDs of the GP RID).
_SD_PACKAGE: Final = Aid(bytes.fromhex("A0000001515350"))
_SD_MODULE: Final = Aid(bytes.fromhex("A000000151535041"))

_MAX_BLOCKS: Final = 64
# How often one operation starts over for the same reason, before it gives up.
_MAX_TRIES: Final = 8
# The same where the card's own answer says that it is in vain: it may have been somebody else's doing, once or twice.
_MAX_REFUSALS: Final = 3


def element(se: SeRecord) -> SecureElement:
    """Return an SE as the planner sees it."""
    return SecureElement(
        configuration=configuration(se.configuration),
        issuer_sd=Aid(se.issuer),
        central_sd=Aid(se.central),
        keys={Aid(se.central): se.key_version},
        sd_package=_SD_PACKAGE,
        sd_module=_SD_MODULE,
        packages=frozenset(Aid(package) for package in se.packages),
        card_state=CardState.CARD_LOCKED if se.status == "locked" else CardState.SECURED,
    )


class PlannedHandler(Handler):
    """A function whose phases each want a state of the SE."""

    @abstractmethod
    def wanted(self, centre: Centre, operation: OperationRow) -> Wanted:
        """Return what the operation's phase wants."""

    @abstractmethod
    def reached(self, centre: Centre, operation: OperationRow, registry: Registry) -> Action:
        """Do what follows when the wanted state is there: enter the next phase, finish, or send something else."""

    def before(self, centre: Centre, operation: OperationRow, registry: Registry) -> None:
        """Check the SE's registry, as read just now, before anything is planned.

        Raises:
            RefusalError: the operation ends here.
        """

    def put_keys(self, centre: Centre, operation: OperationRow, target: bytes, version: int) -> KeySet:
        """Return the first key set for a security domain of the operation."""
        del centre, version
        raise AssertionError(f"{operation.function} puts no keys into {target.hex()}")

    def confirmed(self, centre: Centre, operation: OperationRow, context: dict[str, Any], exchange: Exchange) -> None:
        """Do what follows when all commands of a block were answered with 9000 under response MACs."""

    def other_reported(
        self, centre: Centre, operation: OperationRow, context: dict[str, Any], outcome: ScriptOutcome
    ) -> None:
        """Take what came of a script that the function itself made (`context["kind"]` is its own)."""
        del centre, outcome
        raise AssertionError(f"{operation.function} has sent no {context['kind']}")

    def in_doubt(self, centre: Centre, operation: OperationRow, exchange: Exchange) -> None:
        """Do what follows when a block is in doubt: by default the registry, read again, settles it."""

    # ---- what comes next -------------------------------------------------------------------------------------

    def step(self, centre: Centre, operation: OperationRow) -> Action:
        """Learn, read, plan, send: what comes next."""
        se = centre.se(operation.se)
        if se.diversification is None:
            return channel.learn(se)
        keys = channel.central_keys(centre, se)
        more = operation.work.pop("read", None)
        if more is not None and not se.reset:
            return reading.go_on(keys, more)
        if se.stale or se.registry is None:
            return reading.begin(centre, se, keys)
        return self._towards(centre, operation, se, registry_record.load(se.registry))

    def _towards(self, centre: Centre, operation: OperationRow, se: SeRecord, registry: Registry) -> Action:
        """Send the next block of commands towards the wanted state; when it is there, do what follows."""
        self.before(centre, operation, registry)
        try:
            blocks = plan(element(se), registry, self.wanted(centre, operation))
        except PlanError as error:
            operation.fail(centre.store, failed(f"plan-{error.refusal}", "The SE can't be brought there.", str(error)))
            return None
        if not blocks:
            return self.reached(centre, operation, registry)
        sent = operation.work.get("blocks", 0) + 1
        operation.work["blocks"] = sent
        if sent > _MAX_BLOCKS:
            operation.fail(centre.store, failed("no-progress", "The SE does not come into the wanted state."))
            return None
        return self._block(centre, operation, se, blocks[0], registry)

    def _block(
        self,
        centre: Centre,
        operation: OperationRow,
        se: SeRecord,
        block: Block,
        registry: Registry,
    ) -> Action:
        assert block.via == se.central, "the planner was told of no other keys"
        keys = channel.central_keys(centre, se)
        commands: list[Secured] = []
        put: str | None = None
        for command in block.commands:
            registry = apply(registry, block.target, command)
            if isinstance(command, PutTemporaryKeys):
                new = self.put_keys(centre, operation, bytes(block.target), command.version)
                put_key = put_key_set(new, keys.dek)
                put = put_key.answer().encode().hex()
                commands.append(Secured(put_key.apdu()))
            elif isinstance(command, LoadPackage | PutKeySet):
                raise ProtocolError("no function of the central TSM wants a package loaded, or a further key set")
            else:
                commands.append(Secured(command.apdu()))
        context = {"kind": "block", "after": registry_record.dump(registry), "put": put}
        return channel.open_channel(centre, se, keys, bytes(block.target), commands, context, via=bytes(block.via))

    # ---- what came of it -------------------------------------------------------------------------------------

    def reported(
        self, centre: Centre, operation: OperationRow, context: dict[str, Any], outcome: ScriptOutcome
    ) -> None:
        """Take what came of a script."""
        se = centre.se(operation.se)
        match context["kind"]:
            case "learn":
                exchange = channel.learnt(centre, se, context, outcome)
                if exchange.ending is not Ending.COMPLETE:
                    self.ended_early(centre, operation, exchange)
            case "read":
                self._read(centre, operation, se, context, outcome)
            case "block":
                exchange = channel.take(centre, se, channel.central_keys(centre, se), context, outcome)
                self._blocked(centre, operation, context, exchange)
            case _:
                self.other_reported(centre, operation, context, outcome)

    def _read(
        self,
        centre: Centre,
        operation: OperationRow,
        se: SeRecord,
        context: dict[str, Any],
        outcome: ScriptOutcome,
    ) -> None:
        exchange = channel.take(centre, se, channel.central_keys(centre, se), context, outcome)
        if exchange.ending not in {Ending.COMPLETE, Ending.STOPPED}:
            self.ended_early(centre, operation, exchange)
            return
        try:
            more = reading.apply(centre, se, context, exchange)
        except (LookupError, ProtocolError) as error:
            if not context["first"] and self.again(centre, operation, "read"):
                return  # the channel was lost between two orders: a new one, from the start
            operation.fail(centre.store, failed("registry-unreadable", "The registry can't be read.", str(error)))
            return
        if more is not None:
            operation.work["read"] = more

    def _blocked(self, centre: Centre, operation: OperationRow, context: dict[str, Any], exchange: Exchange) -> None:
        if exchange.ending is Ending.COMPLETE and context["put"] is not None:
            expected = bytes.fromhex(context["put"])
            if expected not in {response.data for response in exchange.responses}:
                exchange = channel.Exchange(Ending.UNBELIEVABLE, detail="PUT KEY: other check values")
        if exchange.ending is not Ending.COMPLETE:
            self.ended_early(centre, operation, exchange)
            return
        for name in ("counters", "doubts", "not-begun", "read", "channels", "keys"):
            operation.work.pop(f"again-{name}", None)
        inventory.update(
            centre.store,
            operation.se,
            registry=context["after"],
            registry_at=time.time(),
            stale=int(not registry_record.load(context["after"]).complete),
        )
        self.confirmed(centre, operation, context, exchange)

    def ended_early(self, centre: Centre, operation: OperationRow, exchange: Exchange) -> None:
        """Do what follows when a script in a secure channel did not complete."""
        match exchange.ending:
            case Ending.STALE_COUNTER:
                self._again_or_fail(centre, operation, "counters", exchange)
            case Ending.NOT_BEGUN:
                self._again_or_fail(centre, operation, "not-begun", exchange)
            case Ending.DOUBT:
                inventory.update(centre.store, operation.se, stale=1, reset=1)
                self.in_doubt(centre, operation, exchange)
                if not operation.final:
                    self._again_or_fail(centre, operation, "doubts", exchange)
            case Ending.OTHER_KEYS if self.again(centre, operation, "keys", 2):
                inventory.update(centre.store, operation.se, stale=1, reset=1)
            case Ending.CHANNEL_LOST if self.again(centre, operation, "channels", _MAX_REFUSALS):
                inventory.update(centre.store, operation.se, stale=1, reset=1)
            case Ending.WRONG_KEYS | Ending.OTHER_KEYS:
                # One attempt that counts, then stop: a card is never driven into its retry limit.
                inventory.update(centre.store, operation.se, status="keys-wrong", stale=1)
                audit.record(centre.store, "tsm", "keys-wrong", "stopped", se=operation.se, detail=exchange.detail)
                operation.fail(
                    centre.store, failed("keys-wrong", "The SE does not hold the expected keys.", exchange.detail)
                )
            case _:
                inventory.update(centre.store, operation.se, stale=1)
                kind = {
                    Ending.UNSELECTABLE: "target-not-selectable",
                    Ending.UNBELIEVABLE: "response-mac",
                }.get(exchange.ending, "card-refused")
                operation.fail(centre.store, failed(kind, "The SE refused.", exchange.detail))

    def _again_or_fail(self, centre: Centre, operation: OperationRow, reason: str, exchange: Exchange) -> None:
        if not self.again(centre, operation, reason):
            operation.fail(centre.store, failed(f"too-many-{reason}", "The SE can't be worked on.", exchange.detail))

    def again(self, centre: Centre, operation: OperationRow, reason: str, most: int = _MAX_TRIES) -> bool:
        """Count a start over for a reason, and tell whether there is another one."""
        del centre
        tries = operation.work.get(f"again-{reason}", 0) + 1
        operation.work[f"again-{reason}"] = tries
        return bool(tries < most)
