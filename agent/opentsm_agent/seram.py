"""Orders and reports of GP SERAM 2.0.0, as the Local Agent reads and writes them.

What comes is checked strictly where it says what to run, and an error names the place; members that we do not
know are left alone, as an open protocol needs. SERAM's document contradicts itself in the names of the start
and stop commands: both spellings are accepted.

SERAM has no words for expectations, numbers and doubt. Members of our own carry them, once both sides have said
at the handshake that they know them: `expect`, `reset` and `opaqueFrom` in an SE RAM command; `answered`,
`inDoubt` and `notSent` in its response; `opentsm.order`, the number of an order, in order and report.

Spec: GP SERAM 2.0.0, schemas remoteManagementOrder and remoteManagementReport.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from opentsm_agent.handshake import SecureElement  # noqa: TC001 - msgspec reads it when it decodes an order
from opentsm_agent.relay import ANY_ANSWER
from opentsm_card.errors import ProtocolError
from opentsm_card.script import Expect, Script, ScriptCommand, ScriptOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_agent.journal_records import Orphan

__all__ = [
    "MAX_DELAY_MS",
    "LocalAgentStatus",
    "Order",
    "SeCommand",
    "Step",
    "encode_polling",
    "encode_recovered",
    "encode_report",
    "order_number",
    "parse_order",
]

MAX_DELAY_MS: Final = 3_600_000
"""An order can't put the agent to sleep for more than an hour; a wake-up is the way to bring it back."""

_MAX_C_APDUS: Final = 4096
_MAX_C_APDU_BYTES: Final = 65544  # extended case 4: header, 3 Lc, 65535 data, 2 Le

_Apdu = Annotated[str, msgspec.Meta(pattern=r"\A(?:[0-9A-Fa-f]{2})*\Z", max_length=2 * _MAX_C_APDU_BYTES)]
_Sw = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Fa-f]{4}\Z")]
_OrderNumber = Annotated[int, msgspec.Meta(ge=1, lt=2**32)]
_Delay = Annotated[int, msgspec.Meta(ge=0)]


class _Expect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    # An expectation that the agent does not understand must not be passed over.
    sw: Annotated[list[_Sw], msgspec.Meta(min_length=1)] = msgspec.field(default_factory=lambda: ["9000"])
    data: _Apdu | None = None


class _SeRamCommand(msgspec.Struct, frozen=True, rename="camel", tag_field="ramCommandType", tag="seRamCommand"):
    list_of_c_apdu: Annotated[list[_Apdu], msgspec.Meta(max_length=_MAX_C_APDUS)] = msgspec.field(name="listOfCAPDU")
    expect: list[_Expect | None] | None = None
    reset: bool = False
    opaque_from: Annotated[int, msgspec.Meta(ge=0)] | None = None


class _Notification(msgspec.Struct, frozen=True, rename="camel", tag_field="ramCommandType", tag="notificationCommand"):
    device_app_notification: Annotated[str, msgspec.Meta(max_length=4096)]


class _RamStart(msgspec.Struct, frozen=True, tag_field="ramCommandType", tag="ramStartCommand"):
    pass


class _Start(msgspec.Struct, frozen=True, tag_field="ramCommandType", tag="startCommand"):
    pass


class _RamStop(msgspec.Struct, frozen=True, tag_field="ramCommandType", tag="ramStopCommand"):
    pass


class _Stop(msgspec.Struct, frozen=True, tag_field="ramCommandType", tag="stopCommand"):
    pass


class _OrderExtension(msgspec.Struct, frozen=True):
    order: _OrderNumber | None = None


class _Order(msgspec.Struct, frozen=True, rename="camel"):
    delay: _Delay = 100
    chosen_secure_element: SecureElement | None = None
    ram_commands: list[_SeRamCommand | _Notification | _RamStart | _Start | _RamStop | _Stop] = []
    opentsm: _OrderExtension | None = None


class _NumberOnly(msgspec.Struct, frozen=True):
    opentsm: _OrderExtension | None = None


_NOT_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_order_decoder: Final = msgspec.json.Decoder(_Order)
_number_decoder: Final = msgspec.json.Decoder(_NumberOnly)


class LocalAgentStatus(StrEnum):
    """What the agent says of itself in each report (schema localAgentStatusEnum)."""

    PROCESSED = "PROCESSED"
    POLLING = "POLLING"
    UNAVAILABLE_SE = "UNAVAILABLE_SE"
    UNKNOWN_FAILURE = "UNKNOWN_FAILURE"
    UNGRANTED_ACCESS = "UNGRANTED_ACCESS"


@dataclass(frozen=True, slots=True)
class SeCommand:
    """An SE RAM command.

    Args:
        script: its C-APDUs with what is expected of each answer.
        reset: reset the link first.
        opaque_from: index of the first C-APDU that is a service provider's own, None when there is none.
    """

    script: Script
    reset: bool = False
    opaque_from: int | None = None


class Step(StrEnum):
    """The RAM commands that have no content."""

    START = "start"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Order:
    """An order of the Remote Agent.

    Args:
        number: its number in the session; None from a peer that numbers nothing, or for an order that is none.
        delay_ms: how long to wait before the next report, in milliseconds, at most `MAX_DELAY_MS`.
        secure_element: the secure element to use from now on, None for the one chosen last.
        commands: what to do, in order; a string is a notification for the device's application.
    """

    number: int | None
    delay_ms: int
    secure_element: SecureElement | None
    commands: tuple[SeCommand | Step | str, ...]

    @property
    def se_commands(self) -> tuple[SeCommand, ...]:
        """The SE RAM commands in it."""
        return tuple(command for command in self.commands if isinstance(command, SeCommand))


def order_number(document: bytes) -> int | None:
    """Return the number of an order that may be malformed otherwise, or None."""
    try:
        extension = _number_decoder.decode(document).opentsm
    except _NOT_JSON:
        return None
    return extension.order if extension is not None else None


def parse_order(document: bytes) -> Order:
    """Parse a remoteManagementOrder.

    Raises:
        ProtocolError: it is none; the message names the place.
    """
    try:
        order = _order_decoder.decode(document)
    except _NOT_JSON as error:
        raise ProtocolError(f"order: {error}") from error
    commands: list[SeCommand | Step | str] = []
    for position, command in enumerate(order.ram_commands):
        match command:
            case _SeRamCommand():
                commands.append(_se_command(command, position))
            case _Notification():
                commands.append(command.device_app_notification)
            case _RamStart() | _Start():
                commands.append(Step.START)
            case _RamStop() | _Stop():
                commands.append(Step.STOP)
    number = order.opentsm.order if order.opentsm is not None else None
    return Order(number, min(order.delay, MAX_DELAY_MS), order.chosen_secure_element, tuple(commands))


def _se_command(command: _SeRamCommand, position: int) -> SeCommand:
    c_apdus = command.list_of_c_apdu
    expects = command.expect if command.expect is not None else [None] * len(c_apdus)
    if len(expects) != len(c_apdus):
        raise ProtocolError(
            f"order: {len(expects)} expectations for {len(c_apdus)} C-APDUs - at `$.ramCommands[{position}].expect`"
        )
    script = tuple(
        ScriptCommand(bytes.fromhex(c_apdu), _expectation(expect))
        for c_apdu, expect in zip(c_apdus, expects, strict=True)
    )
    return SeCommand(script, command.reset, command.opaque_from)


def _expectation(expect: _Expect | None) -> Expect:
    if expect is None:
        return ANY_ANSWER
    data = bytes.fromhex(expect.data) if expect.data is not None else None
    return Expect(frozenset(int(sw, 16) for sw in expect.sw), data)


def encode_polling(order: int | None, orphans: Sequence[Orphan] = ()) -> bytes:
    """Encode a report that only asks for an order.

    Args:
        order: number of the order that this acknowledges, None for none.
        orphans: reports of dropped sessions that the TSM may not have.
    """
    extension: dict[str, Any] = {}
    if order is not None:
        extension["order"] = order
    if orphans:
        extension["recovered"] = [_recovered(orphan) for orphan in orphans]
    status = {"localAgentStatusEnum": LocalAgentStatus.POLLING.value, "executedSeRamCommands": 0}
    return _encode(status, None, extension)


def encode_recovered(orphans: Sequence[Orphan]) -> bytes:
    """Encode reports of sessions that are at an end, for the endpoint of our own that takes them."""
    return msgspec.json.encode({"recovered": [_recovered(orphan) for orphan in orphans]})


def encode_report(
    status: LocalAgentStatus,
    outcomes: Sequence[tuple[ScriptOutcome, int]],
    *,
    error: str | None = None,
    order: int | None = None,
    extended: bool = True,
) -> bytes:
    """Encode the report of an order.

    Args:
        status: how it went on the whole.
        outcomes: what came of each SE RAM command, and its number of C-APDUs.
        error: what went wrong, for people.
        order: number of the order.
        extended: say it with our members too.
    """
    local: dict[str, Any] = {
        "localAgentStatusEnum": status.value,
        "executedSeRamCommands": sum(len(outcome.answers) == size for outcome, size in outcomes),
    }
    if error is not None:
        local["errorMsg"] = error
    responses = [_response(outcome, size, extended=extended) for outcome, size in outcomes]
    return _encode(local, responses, {"order": order} if extended and order is not None else {})


def _response(outcome: ScriptOutcome, size: int, *, extended: bool) -> dict[str, Any]:
    answers = [answer.hex().upper() for answer in outcome.answers]
    response: dict[str, Any] = {
        "ramResponseType": "seRamResponse",
        "listOfRAPDU": answers + [""] * (size - len(answers)),
    }
    if extended:
        response |= {"answered": len(answers), "inDoubt": outcome.in_doubt, "notSent": outcome.not_sent}
    return response


def _recovered(orphan: Orphan) -> dict[str, Any]:
    report = msgspec.json.decode(orphan.report, type=dict[str, Any])
    report.pop("opentsm", None)
    return {"session": orphan.session, "order": orphan.order, **report}


def _encode(status: dict[str, Any], responses: list[dict[str, Any]] | None, extension: dict[str, Any]) -> bytes:
    report: dict[str, Any] = {"localAgentStatus": status}
    if responses:
        report["ramResponses"] = responses
    if extension:
        report["opentsm"] = extension
    return msgspec.json.encode(report)
