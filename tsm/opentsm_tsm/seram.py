"""GP SERAM messages: handshake, order and report, with the members of our own that carry expectations and doubt.

SERAM's OpenAPI contradicts itself in places: both spellings of the start and stop commands exist (the mapping's is
sent), the handshake's answer names its data format twice (both are sent), and `delay` has two defaults (it is always
sent). Our own members are offered at the handshake as `"opentsm": {"version": 1}`:

- an order: `"opentsm": {"order": n}`; a seRamCommand: `expect` for each C-APDU, `reset`, `opaqueFrom` (from that
  C-APDU on the script is not ours, and holds no SELECT and no MANAGE CHANNEL);
- a report: `"opentsm": {"order": n, "recovered": [...]}`; a seRamResponse: `answered`, `inDoubt`, `notSent`.

Spec: GlobalPlatform SERAM 2.0.0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta

from opentsm_card.script import ScriptOutcome
from opentsm_tsm.wire import Hex, Message, encode

if TYPE_CHECKING:
    from opentsm_card.script import Script

__all__ = [
    "BASE",
    "RECOVERED",
    "AgentStatus",
    "Handshake",
    "RecoveredReports",
    "Report",
    "ReportExtension",
    "SecureElement",
    "empty_order",
    "handshake_reply",
    "outcome",
    "script_order",
    "stop_order",
]

BASE: Final = "/gp/seram"
RECOVERED: Final = "/opentsm/recovered-reports"
VERSION: Final = "2.0.0"
_HTTPS: Final = "HTTPS"
_JSON: Final = "application/json"
_EXTENSION: Final = 1


def _response_member(name: str) -> str | None:
    """Return the wire's name of a member of seRamResponse."""
    return {
        "ram_response_type": "ramResponseType",
        "answers": "listOfRAPDU",
        "in_doubt": "inDoubt",
        "not_sent": "notSent",
    }.get(name)


class SecureElement(Message, frozen=True, kw_only=True):
    """An SE that an agent offers."""

    se_type: str
    se_id: Annotated[str, Meta(min_length=1, max_length=64)]
    se_extra_info: str | None = None


class HandshakeExtension(Message, frozen=True, kw_only=True):
    """Our own member of a handshake."""

    version: int


class Handshake(Message, frozen=True, kw_only=True):
    """ramHandshakeCommand; what is left out has SERAM's default."""

    secure_elements: Annotated[tuple[SecureElement, ...], Meta(max_length=64)]
    supported_transport_protocols: tuple[str, ...] = (_HTTPS,)
    supported_data_formats: tuple[str, ...] = (_JSON,)
    supported_versions: tuple[str, ...] = (VERSION,)
    opentsm: HandshakeExtension | None = None

    @property
    def acceptable(self) -> bool:
        """True when it offers the binding that this server speaks."""
        return (
            _HTTPS in self.supported_transport_protocols
            and _JSON in self.supported_data_formats
            and VERSION in self.supported_versions
        )

    @property
    def extended(self) -> bool:
        """True when the agent knows our own members."""
        return self.opentsm is not None and self.opentsm.version >= _EXTENSION


class AgentStatus(Message, frozen=True, kw_only=True):
    """localAgentStatus."""

    local_agent_status_enum: Literal["PROCESSED", "POLLING", "UNAVAILABLE_SE", "UNKNOWN_FAILURE", "UNGRANTED_ACCESS"]
    executed_se_ram_commands: int = 0
    error_msg: Annotated[str, Meta(max_length=1024)] | None = None


class RamResponse(Message, frozen=True, kw_only=True, rename=_response_member):
    """seRamResponse: R-APDUs in order, empty where there is none."""

    ram_response_type: Literal["seRamResponse"] = "seRamResponse"
    answers: Annotated[tuple[Hex, ...], Meta(max_length=1024)] = ()
    answered: Annotated[int, Meta(ge=0)] | None = None
    in_doubt: bool = False
    not_sent: Annotated[int, Meta(ge=0)] | None = None


class RecoveredReport(Message, frozen=True, kw_only=True):
    """The report of an order of an earlier session, which the agent's journal held."""

    session: str
    order: int
    local_agent_status: AgentStatus
    ram_responses: tuple[RamResponse, ...] = ()


class RecoveredReports(Message, frozen=True, kw_only=True):
    """Reports of sessions that could not be resumed in time: what our own endpoint takes, outside of SERAM."""

    recovered: Annotated[tuple[RecoveredReport, ...], Meta(max_length=64)]


class ReportExtension(Message, frozen=True, kw_only=True):
    """Our own member of a report."""

    order: int | None = None
    recovered: tuple[RecoveredReport, ...] = ()


class Report(Message, frozen=True, kw_only=True):
    """remoteManagementReport."""

    local_agent_status: AgentStatus
    ram_responses: Annotated[tuple[RamResponse, ...], Meta(max_length=64)] = ()
    opentsm: ReportExtension | None = None

    @property
    def order(self) -> int | None:
        """Number of the order that it reports, where the agent says it."""
        return self.opentsm.order if self.opentsm is not None else None

    @property
    def polling(self) -> bool:
        """True for a report that only asks for the next order."""
        return self.local_agent_status.local_agent_status_enum == "POLLING"


def handshake_reply(handshake: Handshake) -> bytes:
    """Return ramHandshakeResponse."""
    reply: dict[str, object] = {
        "chosenTransportProtocol": _HTTPS,
        "chosenDataFormat": _JSON,
        "chosenDataProtocol": _JSON,
        "chosenVersion": VERSION,
    }
    if handshake.extended:
        reply["opentsm"] = {"version": _EXTENSION}
    return encode(reply)


def empty_order(delay_s: float = 0.0) -> bytes:
    """Return an order without commands and without a number: the agent repeats its report after the delay."""
    return encode({"delay": math.ceil(delay_s * 1000)})


def stop_order(number: int) -> bytes:
    """Return the order that ends a session; the agent sends no report of it."""
    return encode({"delay": 0, "ramCommands": [{"ramCommandType": "ramStopCommand"}], "opentsm": {"order": number}})


def script_order(
    number: int, element: tuple[str, str], script: Script, *, reset: bool = False, opaque_from: int | None = None
) -> bytes:
    """Return the order to run a script.

    Args:
        number: of the order, in its session.
        element: seType and seId.
        script: what to run.
        reset: reset the link first.
        opaque_from: index from which the script is a service provider's, if any.
    """
    command: dict[str, object] = {
        "ramCommandType": "seRamCommand",
        "listOfCAPDU": [step.c_apdu.hex().upper() for step in script],
        "expect": [_expectation(step.expect.sws, step.expect.data) for step in script],
    }
    if reset:
        command["reset"] = True
    if opaque_from is not None:
        command["opaqueFrom"] = opaque_from
    commands: list[object] = [command]
    if number == 1:
        # The Remote Agent shall first send a start command (SERAM, /remoteManagement).
        commands.insert(0, {"ramCommandType": "ramStartCommand"})
    return encode(
        {
            "delay": 0,
            "chosenSecureElement": {"seType": element[0], "seId": element[1]},
            "ramCommands": commands,
            "opentsm": {"order": number},
        }
    )


def _expectation(sws: frozenset[int], data: bytes | None) -> dict[str, object]:
    expectation: dict[str, object] = {"sw": [f"{sw:04X}" for sw in sorted(sws)]}
    if data is not None:
        expectation["data"] = data.hex().upper()
    return expectation


def outcome(report: Report | RecoveredReport, length: int, *, extended: bool = True) -> ScriptOutcome:
    """Return what a report says of the one script of its order.

    A report that says less than what became of each C-APDU leaves the rest in doubt.

    Args:
        report: the report.
        length: how many C-APDUs the script has.
        extended: False for an agent without our members: it stops at nothing, and says nothing of doubt.
    """
    if len(report.ram_responses) != 1:
        return ScriptOutcome((), in_doubt=True, not_sent=0)
    response = report.ram_responses[0]
    listed = response.answers
    kept = next((index for index, answer in enumerate(listed) if len(answer) < 2), len(listed))
    if extended and response.answered is not None:
        kept = min(kept, response.answered)
    answers = tuple(bytes(answer) for answer in listed[: min(kept, length)])
    rest = length - len(answers)
    if rest == 0:
        return ScriptOutcome(answers)
    told = extended and response.not_sent is not None and response.answered is not None
    if told and not response.in_doubt and response.not_sent == rest:
        return ScriptOutcome(answers, in_doubt=False, not_sent=rest)
    not_sent = min(response.not_sent or 0, rest - 1) if told else 0
    return ScriptOutcome(answers, in_doubt=True, not_sent=not_sent)
