"""SendScript: relay a service provider's own script, unread beyond its headers.

The SELECT of the target is ours; the script holds no SELECT and no MANAGE CHANNEL, and stays on the basic channel, so
it reaches nothing but its target. Keys and personal data travel encrypted for the card or not at all: PUT KEY and
STORE DATA without secure messaging, or in a secure channel that the script opens without C-DECRYPTION, are refused.
What a break leaves in doubt can't be settled here: it goes back to its owner, and blocks the domain until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentsm_card.apdu import CommandApdu
from opentsm_card.errors import ProtocolError
from opentsm_card.script import Expect, ScriptCommand
from opentsm_card.select import Select
from opentsm_tsm import access, inventory
from opentsm_tsm.centre import Caller, Handler, Send
from opentsm_tsm.channel import SELECTED
from opentsm_tsm.messages import ScriptResult, SendScript
from opentsm_tsm.problems import bad_request, failed, problem
from opentsm_tsm.wire import Hex

if TYPE_CHECKING:
    from opentsm_card.script import Script, ScriptOutcome
    from opentsm_tsm.centre import Action, Centre
    from opentsm_tsm.messages import ScriptEntry
    from opentsm_tsm.operations import OperationRow
    from opentsm_tsm.wire import Request

__all__ = ["SendScriptHandler", "check", "only_selected", "relay", "relayed", "script_of"]

_SELECT, _MANAGE_CHANNEL = 0xA4, 0x70
_PUT_KEY, _STORE_DATA, _EXTERNAL_AUTHENTICATE = 0xD8, 0xE2, 0x82
# What carries keys and personal data.
_SECRET: Final = {_PUT_KEY: "PUT KEY", _STORE_DATA: "STORE DATA"}
# Of CLA in GP's proprietary class, and of P1 of EXTERNAL AUTHENTICATE. Spec: GP 2.3.1, 11.1.4; Amendment D 7.1.2.1.
_SECURE_MESSAGING: Final = 0x04
_C_DECRYPTION: Final = 0x02
_PROPRIETARY: Final = 0x80
# DELETE, INSTALL, LOAD, SET STATUS, PUT KEY: what may change the registry. An INS is never encrypted.
_CHANGING: Final = frozenset({0xE4, 0xE6, 0xE8, 0xF0, 0xD8})


def check(entries: tuple[ScriptEntry, ...], path: str = "$.script") -> None:
    """Check the headers of a script.

    Raises:
        RefusalError: a C-APDU is malformed, is a SELECT or MANAGE CHANNEL, or leaves the basic channel; or a PUT KEY or
            STORE DATA would travel unencrypted.
    """
    encrypts = True  # in a secure channel that an earlier script has opened, as far as can be seen
    for position, entry in enumerate(entries):
        place = f"{path}[{position}].apdu"
        try:
            apdu = CommandApdu.parse(bytes(entry.apdu))
        except ProtocolError:
            raise bad_request(place, "not a command APDU", position=position) from None
        if apdu.cla == 0xFF or apdu.channel != 0:
            raise bad_request(place, "not on the basic logical channel", position=position)
        if not apdu.cla & _PROPRIETARY and apdu.ins in {_SELECT, _MANAGE_CHANNEL}:
            name = "SELECT" if apdu.ins == _SELECT else "MANAGE CHANNEL"
            raise bad_request(place, f"a script holds no {name}: name its target instead", position=position)
        secured = bool(apdu.cla & _SECURE_MESSAGING)
        if secured and apdu.cla & _PROPRIETARY and apdu.ins == _EXTERNAL_AUTHENTICATE:
            encrypts = bool(apdu.p1 & _C_DECRYPTION)
        if apdu.ins in _SECRET and apdu.cla & _PROPRIETARY and not (secured and encrypts):
            raise bad_request(place, f"{_SECRET[apdu.ins]} without C-DECRYPTION is not relayed", position=position)


def script_of(target: bytes, entries: tuple[ScriptEntry, ...]) -> Script:
    """Return our SELECT of the target, followed by the caller's C-APDUs."""
    select = ScriptCommand(Select(target).apdu().encode(), Expect(SELECTED))
    rest = (
        ScriptCommand(
            bytes(entry.apdu), Expect(frozenset(int(sw, 16) for sw in entry.expect.sw), _bytes(entry.expect.data))
        )
        for entry in entries
    )
    return (select, *rest)


def _bytes(data: Hex | None) -> bytes | None:
    return None if data is None else bytes(data)


def relay(target: bytes, entries: tuple[ScriptEntry, ...]) -> Send:
    """Return the order to run a caller's script."""
    changing = any(entry.apdu[1] in _CHANGING for entry in entries)
    return Send(script_of(target, entries), {"kind": "relay", "changing": changing}, opaque_from=1)


def only_selected(context: dict[str, Any], outcome: ScriptOutcome) -> bool:
    """Tell whether a script was cut off at or behind our SELECT, so that nothing of its owner's was sent."""
    if outcome.not_sent < context["length"] - 1:
        return False
    return not outcome.answers or int.from_bytes(outcome.answers[0][-2:], "big") in SELECTED


def relayed(
    centre: Centre, operation: OperationRow, context: dict[str, Any], outcome: ScriptOutcome
) -> ScriptResult | None:
    """Take what came of a relayed script, and return it when it ran as far as it wanted to.

    None: the operation has failed, is in doubt, or is to be sent again (nothing of the caller's was sent).
    """
    if only_selected(context, outcome):
        return None
    if context["changing"]:
        inventory.update(centre.store, operation.se, stale=1)
    result = ScriptResult(
        answers=tuple(Hex(answer) for answer in outcome.answers[1:]),
        in_doubt=outcome.in_doubt,
        not_sent=outcome.not_sent,
    )
    if outcome.in_doubt:
        operation.doubt(
            centre.store,
            problem("in-doubt", 409, "It is not known how far the script ran.", operation=operation.id),
            result,
        )
        return None
    if len(outcome.answers) == 1 and outcome.not_sent:
        sw = outcome.answers[0][-2:].hex().upper()
        operation.fail(
            centre.store, failed("target-not-selectable", "The target can't be selected.", f"card answered {sw}")
        )
        return None
    return result


class SendScriptHandler(Handler):
    """Relay one script."""

    def admit(self, centre: Centre, caller: Caller, params: Request) -> tuple[str, str]:
        """Check the target, the script's headers, and that nothing there is in doubt."""
        assert isinstance(params, SendScript)
        se = access.usable(centre, caller, params.se_id, params.conversation_id)
        check(params.script)
        domain = access.own_domain(centre, caller, se, bytes(params.target))
        access.free_of_doubt(centre, caller, se.id, domain.aid, probe=params.probe)
        return se.id, "relay"

    def begin(self, centre: Centre, operation: OperationRow) -> None:
        """Check that no script in front of this one has left the domain in doubt."""
        params = operation.params
        assert isinstance(params, SendScript)
        caller = Caller("sp", operation.caller_id)
        domain = access.own_domain(centre, caller, centre.se(operation.se), bytes(params.target))
        access.free_of_doubt(centre, caller, operation.se, domain.aid, probe=params.probe)

    def step(self, centre: Centre, operation: OperationRow) -> Action:
        """Send the script."""
        params = operation.params
        assert isinstance(params, SendScript)
        caller = Caller("sp", operation.caller_id)
        domain = access.own_domain(centre, caller, centre.se(operation.se), bytes(params.target))
        operation.work["domain"] = domain.aid.hex()
        return relay(bytes(params.target), params.script)

    def reported(
        self, centre: Centre, operation: OperationRow, context: dict[str, Any], outcome: ScriptOutcome
    ) -> None:
        """Hand the answers to the caller."""
        result = relayed(centre, operation, context, outcome)
        if result is not None:
            operation.finish(centre.store, result)
