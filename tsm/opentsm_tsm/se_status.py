"""HandleSEStatusChangeNotification: lock, unlock or terminate an SE, for its operator or its MNO.

On an embedded SE the central security domain is the issuer's, and the card's life cycle is changed by a plan. On a UICC
the issuer is the MNO: its script is asked for, relayed like any other script that is not ours, and its answers go back
to the MNO, which alone can tell what they prove.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from opentsm_card.errors import ProtocolError
from opentsm_card.initialize_update import InitializeUpdateAnswer
from opentsm_card.lifecycle import CardState
from opentsm_card.plan import CardIn, Wanted
from opentsm_tsm import access, holdings, inventory, scripts
from opentsm_tsm.centre import WAIT, Send
from opentsm_tsm.gateway_messages import IssuerAnswers, IssuerOutcome, IssuerRequest, IssuerScript
from opentsm_tsm.messages import HandleSEStatusChangeNotification, ScriptEntry, SeStatusResult
from opentsm_tsm.planned import PlannedHandler
from opentsm_tsm.problems import RefusalError, conflict, failed, problem
from opentsm_tsm.wire import Hex, WireError, decode, encode

if TYPE_CHECKING:
    from opentsm_card.registry import Registry
    from opentsm_card.script import ScriptOutcome
    from opentsm_tsm.centre import Action, Caller, Centre
    from opentsm_tsm.channel import Exchange
    from opentsm_tsm.operations import OperationRow
    from opentsm_tsm.wire import Message, Request

__all__ = ["SeStatusHandler", "believe"]

_CHANGE, _ASK, _RUN, _TELL = "change", "issuer-script", "issuer-run", "issuer-result"
_WANTED: Final = {
    "lock": CardState.CARD_LOCKED,
    "unlock": CardState.SECURED,
    "terminate": CardState.TERMINATED,
}
_STATUS: Final = {CardState.CARD_LOCKED: "locked", CardState.TERMINATED: "terminated"}
_OK: Final = 200
# SELECT and INITIALIZE UPDATE: a script cut off before its third C-APDU has changed nothing.
_HARMLESS: Final = 2


class SeStatusHandler(PlannedHandler):
    """Change an SE's life cycle."""

    phases: Final = frozenset({_ASK, _TELL})

    def admit(self, centre: Centre, caller: Caller, params: Request) -> tuple[str, str]:
        """Check that the SE is the caller's to lock, and can be."""
        assert isinstance(params, HandleSEStatusChangeNotification)
        se = access.visible_se(centre, caller, params.se_id)
        if se.status in {"terminated", "keys-wrong"}:
            raise conflict(f"se-{se.status}", f"The SE can't be worked on: {se.status}.")
        return se.id, _CHANGE if se.issuer == se.central else _ASK

    # ---- an SE whose issuer is the centre --------------------------------------------------------------------

    def wanted(self, centre: Centre, operation: OperationRow) -> Wanted:
        """Want the card in the life cycle that the action means."""
        del centre
        return Wanted((CardIn(_target(operation)),))

    def reached(self, centre: Centre, operation: OperationRow, registry: Registry) -> Action:
        """Note the SE's status and answer."""
        del registry
        self._finish(centre, operation, _target(operation))
        return None

    def in_doubt(self, centre: Centre, operation: OperationRow, exchange: Exchange) -> None:
        """Give a termination in doubt back to its owner: a terminated card can't be read under its keys."""
        if _target(operation) is CardState.TERMINATED:
            operation.doubt(
                centre.store, problem("in-doubt", 409, "It is not known whether the SE is terminated.", exchange.detail)
            )

    def _finish(self, centre: Centre, operation: OperationRow, state: CardState) -> None:
        believe(centre, operation)
        operation.finish(centre.store, SeStatusResult(se_id=operation.se, life_cycle=state.name))

    # ---- an SE whose issuer is its MNO -----------------------------------------------------------------------

    def step(self, centre: Centre, operation: OperationRow) -> Action:
        """Plan, wait for the MNO, or send its script."""
        if operation.phase == _CHANGE:
            return super().step(centre, operation)
        if operation.phase in self.phases:
            return WAIT
        entries = decode(encode(operation.work["script"]), tuple[ScriptEntry, ...])
        target = bytes.fromhex(operation.work["target"])
        return Send(scripts.script_of(target, entries), {"kind": "issuer"}, opaque_from=1)

    def other_reported(
        self, centre: Centre, operation: OperationRow, context: dict[str, Any], outcome: ScriptOutcome
    ) -> None:
        """Hand the answers to the MNO; what is in doubt is settled by asking the card's state through the MNO."""
        operation.work["answers"] = [answer.hex() for answer in outcome.answers[1:]]
        inventory.update(centre.store, operation.se, stale=1)
        if scripts.only_selected(context, outcome):
            if not self.again(centre, operation, "not-begun"):
                operation.fail(centre.store, failed("too-many-not-begun", "The SE can't be worked on."))
        elif len(outcome.answers) == 1 and outcome.not_sent:
            self._refused(centre, operation, outcome.answers[0])
        elif _cut_off(context, outcome):
            if not self.again(centre, operation, "doubts"):
                operation.doubt(centre.store, problem("in-doubt", 409, "The SE's life cycle can't be settled."))
                return
            operation.work["action"] = "status"
            operation.work["counter"] = _shown_counter(operation)
            operation.enter(_ASK)
        else:
            operation.enter(_TELL)

    def _refused(self, centre: Centre, operation: OperationRow, answer: bytes) -> None:
        detail = f"SELECT: card answered {answer[-2:].hex().upper()}"
        if operation.work.get("action") == "status" and _target(operation) is CardState.TERMINATED:
            operation.doubt(
                centre.store, problem("in-doubt", 409, "It is not known whether the SE is terminated.", detail)
            )
        else:
            operation.fail(centre.store, failed("target-not-selectable", "The SE refused.", detail))

    def question(self, operation: OperationRow) -> tuple[str, Message]:
        """Return what to ask the MNO: for a script, or what the answers to it prove."""
        params = operation.params
        assert isinstance(params, HandleSEStatusChangeNotification)
        if operation.phase == _TELL:
            answers = tuple(Hex(bytes.fromhex(answer)) for answer in operation.work["answers"])
            return "issuer-result", IssuerAnswers(answers=answers)
        action = operation.work.get("action", params.action)
        return "issuer-script", IssuerRequest(action=action, counter=operation.work.get("counter"))

    def answer(self, centre: Centre, operation: OperationRow, status: int, body: bytes) -> None:
        """Take the MNO's answer: a script to run, or what became of the card."""
        try:
            if status != _OK:
                self._unusable(centre, operation, "The MNO refuses.", f"status {status}")
            elif operation.phase == _ASK:
                self._script(centre, operation, decode(body, IssuerScript))
            else:
                self._outcome(centre, operation, decode(body, IssuerOutcome))
        except (WireError, RefusalError) as error:
            self._unusable(centre, operation, "The MNO's answer is not usable.", str(error))
        if not operation.final:
            operation.save(centre.store)

    def _unusable(self, centre: Centre, operation: OperationRow, title: str, detail: str) -> None:
        """End without the MNO; once its script has run, nobody else can tell what that did."""
        if operation.phase == _TELL:
            operation.doubt(centre.store, problem("in-doubt", 409, title, detail))
        else:
            operation.fail(centre.store, failed("mno-refused", title, detail))

    def _script(self, centre: Centre, operation: OperationRow, script: IssuerScript) -> None:
        if bytes(script.target) != centre.se(operation.se).issuer:
            raise WireError("$.target", "not the issuer security domain of this SE")
        scripts.check(script.script)
        operation.work["target"] = script.target.hex()
        operation.work["script"] = [_entry(entry) for entry in script.script]
        operation.enter(_RUN)

    def _outcome(self, centre: Centre, operation: OperationRow, outcome: IssuerOutcome) -> None:
        wanted = _target(operation)
        asked = operation.work.get("action")
        if outcome.verified and outcome.state == wanted.name:
            self._finish(centre, operation, wanted)
        elif (outcome.retry or (outcome.verified and asked == "status")) and self.again(centre, operation, "counters"):
            # Nothing was done: the counter was another, or the state that was read says so. Once more.
            operation.work["counter"] = _shown_counter(operation)
            if not outcome.retry:
                operation.work.pop("action", None)
            operation.enter(_ASK)
        else:
            state = outcome.state or "unknown"
            operation.fail(centre.store, failed("card-refused", "The SE refused.", f"its state is {state}"))


def believe(centre: Centre, operation: OperationRow) -> None:
    """Take the SE to be in the life cycle that an operation wanted, inside the transaction under way."""
    state = _target(operation)
    inventory.update(centre.store, operation.se, status=_STATUS.get(state, "ok"), life_cycle=state.name)
    if state is CardState.TERMINATED:
        # Nothing is ever worked on again there, so nobody will say that the temporary keys were rotated.
        for held in holdings.domains(centre.store, operation.se):
            holdings.put_domain(centre.store, replace(held, sealed=None))
            centre.overwrite = centre.overwrite or held.sealed is not None


def _cut_off(context: dict[str, Any], outcome: ScriptOutcome) -> bool:
    """Tell whether a script may have changed the card, and its answers don't say whether it did."""
    sent = context["length"] - outcome.not_sent
    ended_by_card = not outcome.answers or outcome.answers[-1][-2:] != b"\x90\x00"
    return sent > _HARMLESS and (outcome.in_doubt or (outcome.not_sent > 0 and not ended_by_card))


def _shown_counter(operation: OperationRow) -> int | None:
    """Return the sequence counter that the SE showed last: the end of its answer to INITIALIZE UPDATE."""
    answers = operation.work["answers"]
    try:
        return InitializeUpdateAnswer.parse(bytes.fromhex(answers[0])[:-2]).sequence_counter if answers else None
    except ProtocolError:
        return None


def _target(operation: OperationRow) -> CardState:
    params = operation.params
    assert isinstance(params, HandleSEStatusChangeNotification)
    return _WANTED[params.action]


def _entry(entry: ScriptEntry) -> dict[str, Any]:
    """Return a script's entry as JSON values."""
    expect: dict[str, Any] = {"sw": list(entry.expect.sw)}
    if entry.expect.data is not None:
        expect["data"] = entry.expect.data.hex()
    return {"apdu": entry.apdu.hex(), "expect": expect}
