"""Every request, reply and problem of the messaging API, as types.

Functions are named after the GlobalPlatform Messaging Specification; each is `POST /gp/messaging/v2/{Function}` with a
JSON body. Queries answer 200 with their reply. Operations answer 202 with an `Accepted`, and
`GET /gp/messaging/v2/operations/{id}?wait=20` gives their `Operation` (waiting up to that many seconds for its end).
Whatever is refused answers with a `Problem` (RFC 9457, `application/problem+json`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, field

from opentsm_card.configurations import ConfigurationName  # noqa: TC001 - msgspec reads it at run time
from opentsm_tsm.wire import Hex, Message, Request

__all__ = [
    "BASE",
    "FUNCTIONS",
    "Accepted",
    "ActionReceipt",
    "BeginConversation",
    "CheckGlobalEligibility",
    "ConversationResult",
    "DeployApplication",
    "DeployResult",
    "DeployService",
    "EndConversation",
    "Expectation",
    "Function",
    "GetApplicationOrELFStatus",
    "GetMobileSubscriptionSEIdentifiers",
    "GetServiceState",
    "HandleActionDoneOnServiceNotification",
    "HandleSEStatusChangeNotification",
    "InstanceView",
    "KeySetDocument",
    "KeySetView",
    "ObjectStatus",
    "Operation",
    "OperationPage",
    "OperationState",
    "Problem",
    "ResolveOperation",
    "ScriptEntry",
    "ScriptResult",
    "SeData",
    "SeIdentifiers",
    "SeStatusResult",
    "SendScript",
    "ServiceView",
    "Step",
    "SuspendOrResumeResult",
    "SuspendOrResumeService",
    "TerminateResult",
    "TerminateService",
    "UpgradeService",
]

BASE: Final = "/gp/messaging/v2"

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]
Msi = Annotated[str, Meta(min_length=5, max_length=16, pattern=r"^\+?[0-9]+$", description="MSISDN or IMSI")]
Qualifier = Annotated[str, Meta(min_length=1, max_length=16, pattern=r"^[A-Za-z0-9._:-]+$")]
OperationState = Literal["pending", "running", "done", "failed", "in-doubt"]
ServiceState = Literal["deploying", "deployed", "active", "inactive", "locked", "renewing", "deleted"]


# ---- scripts -------------------------------------------------------------------------------------------------


class Expectation(Request, frozen=True, kw_only=True):
    """What an answer must be for the script to go on: one of these status words and, if given, exactly this data."""

    sw: tuple[Annotated[str, Meta(pattern="^[0-9A-Fa-f]{4}$")], ...] = ("9000",)
    data: Hex | None = None


class ScriptEntry(Request, frozen=True, kw_only=True):
    """One C-APDU, wrapped by its owner, and what is expected of its answer."""

    apdu: Hex
    expect: Expectation = Expectation()

    def __repr__(self) -> str:
        """Show the header only."""
        return f"ScriptEntry({self.apdu[:4].hex()}…, {len(self.apdu)} bytes)"


# ---- queries -------------------------------------------------------------------------------------------------


class CheckGlobalEligibility(Request, frozen=True, kw_only=True):
    """Ask for the data of the SE of a subscriber: the first request of every sequence."""

    msi: Msi


class KeySetView(Message, frozen=True, kw_only=True):
    """The key versions that a security domain holds."""

    sd: Hex
    versions: tuple[int, ...]


class InstanceView(Message, frozen=True, kw_only=True):
    """One application instance of a service."""

    aid: Hex
    package: Hex
    module: Hex
    state: str


class ServiceView(Message, frozen=True, kw_only=True):
    """One service of the caller on an SE: `qualifier` tells one customer's from another's."""

    service: str
    qualifier: str
    version: int
    state: ServiceState
    sd: Hex
    instances: tuple[InstanceView, ...] = ()


class SeData(Message, frozen=True, kw_only=True):
    """What the caller may see of an SE."""

    se_id: str
    se_type: Literal["eSE", "uicc"]
    configuration: ConfigurationName
    status: Literal["ok", "locked", "terminated", "keys-wrong"]
    life_cycle: str
    mno: str
    key_sets: tuple[KeySetView, ...] = ()
    services: tuple[ServiceView, ...] = ()


class GetMobileSubscriptionSEIdentifiers(Request, frozen=True, kw_only=True):
    """Ask which SEs belong to a subscription."""

    msi: Msi


class SeIdentifiers(Message, frozen=True, kw_only=True):
    """The identifiers of a subscription's SEs."""

    se_ids: tuple[str, ...]


class GetServiceState(Request, frozen=True, kw_only=True):
    """Ask for the state of one of the caller's services."""

    se_id: Name
    service: Name
    qualifier: Qualifier


class GetApplicationOrELFStatus(Request, frozen=True, kw_only=True):
    """Ask for the state of one object of the caller on the SE; `refresh` reads the SE first (an operation)."""

    se_id: Name
    aid: Hex
    refresh: bool = False
    operation_id: Name | None = None


class ObjectStatus(Message, frozen=True, kw_only=True):
    """An object as the SE's registry last said: `known` is when it was read (seconds since 1970)."""

    aid: Hex
    present: bool
    kind: str | None = None
    state: str | None = None
    sd: Hex | None = None
    contactless: bool | None = None
    known: float | None = None


# ---- operations ----------------------------------------------------------------------------------------------


class BeginConversation(Request, frozen=True, kw_only=True):
    """Wake the device and open a conversation with its SE."""

    se_id: Name
    operation_id: Name | None = None


class EndConversation(Request, frozen=True, kw_only=True):
    """End a conversation; nothing that runs is cut off."""

    conversation_id: Name
    operation_id: Name | None = None


class SendScript(Request, frozen=True, kw_only=True):
    """Relay a script, wrapped by the caller, to its own security domain or an application under it.

    The SELECT of `target` is sent by the central TSM before the script; the script holds no SELECT and no
    MANAGE CHANNEL. `probe` names the caller's operation in doubt that this script is to settle.
    """

    target: Hex
    script: Annotated[tuple[ScriptEntry, ...], Meta(min_length=1, max_length=512)]
    se_id: Name | None = None
    conversation_id: Name | None = None
    probe: Name | None = None
    operation_id: Name | None = None


class DeployApplication(Request, frozen=True, kw_only=True):
    """One application to be installed: from which package and module, under which AID, with which parameters.

    `parameters` are the application's own install parameters (the value of tag C9, GP 2.3.1 table 11-49).
    """

    package: Hex
    module: Hex
    instance: Hex
    privileges: Hex = field(default_factory=Hex)
    parameters: Hex = field(default_factory=Hex)


class DeployService(Request, frozen=True, kw_only=True):
    """Pre-personalize: the caller's security domain, with temporary keys, and its applications."""

    se_id: Name
    service: Name
    qualifier: Qualifier
    sd: Hex
    applications: Annotated[tuple[DeployApplication, ...], Meta(max_length=32)] = ()
    conversation_id: Name | None = None
    operation_id: Name | None = None


class SuspendOrResumeService(Request, frozen=True, kw_only=True):
    """Activate or deactivate (contactless), lock or unlock, one application or all of the caller's."""

    se_id: Name
    action: Literal["activate", "deactivate", "lock", "unlock"]
    scope: Literal["application", "sp"] = "application"
    aid: Hex | None = None
    service: Name | None = None
    qualifier: Qualifier | None = None
    conversation_id: Name | None = None
    operation_id: Name | None = None


class TerminateService(Request, frozen=True, kw_only=True):
    """Delete an account, an instance, a service, all of the caller's services, or all services of the SE."""

    se_id: Name
    scope: Literal["account", "instance", "service", "sp", "all"]
    service: Name | None = None
    qualifier: Qualifier | None = None
    aid: Hex | None = None
    accounts: tuple[Hex, ...] = ()
    target: Hex | None = None
    script: Annotated[tuple[ScriptEntry, ...], Meta(max_length=512)] = ()
    conversation_id: Name | None = None
    operation_id: Name | None = None


class UpgradeService(Request, frozen=True, kw_only=True):
    """Renew a service by its qualifier: delete its data, install anew, extradite, activate (fig. 10)."""

    service: Name
    qualifier: Qualifier
    se_id: Name | None = None
    conversation_id: Name | None = None
    operation_id: Name | None = None


class HandleActionDoneOnServiceNotification(Request, frozen=True, kw_only=True):
    """Tell that the caller has rotated the keys of its security domain, or personalized an application."""

    se_id: Name
    sd: Hex
    action: Literal["key-rotation", "personalization"]
    key_version: Annotated[int, Meta(ge=1, le=127)] | None = None
    service: Name | None = None
    qualifier: Qualifier | None = None


class ActionReceipt(Message, frozen=True, kw_only=True):
    """What the notification did: whether temporary keys were there, and now are destroyed."""

    sd: Hex
    action: str
    destroyed: bool


class HandleSEStatusChangeNotification(Request, frozen=True, kw_only=True):
    """Lock, unlock or terminate an SE: for its operator or its MNO."""

    se_id: Name
    action: Literal["lock", "unlock", "terminate"]
    operation_id: Name | None = None


class ResolveOperation(Request, frozen=True, kw_only=True):
    """Settle an operation in doubt: accept it as done, or reset (take it as not done, and free its domain)."""

    decision: Literal["accept", "reset"]


class Accepted(Message, frozen=True, kw_only=True):
    """An operation was stored and will be done; ask for it by its id."""

    operation: str
    state: OperationState


class Step(Message, frozen=True, kw_only=True):
    """One step of an operation and when it ended (seconds since 1970)."""

    name: str
    at: float


class Problem(Message, frozen=True, kw_only=True):
    """A problem document. Spec: RFC 9457.

    `path` is the JSON path of a bad field, `position` the index of a bad C-APDU, `operation` the one in the way.
    """

    type: str
    title: str
    status: int
    detail: str | None = None
    path: str | None = None
    position: int | None = None
    operation: str | None = None


class Operation(Message, frozen=True, kw_only=True):
    """An operation as it stands; `result` is of the type that `FUNCTIONS` names for its function."""

    operation: str
    function: str
    se_id: str
    state: OperationState
    phase: str
    created: float
    updated: float
    apdus: int = 0
    round_trips: int = 0
    steps: tuple[Step, ...] = ()
    result: dict[str, Any] | None = None
    problem: Problem | None = None


class OperationPage(Message, frozen=True, kw_only=True):
    """The caller's operations, the newest first."""

    operations: tuple[Operation, ...]


class ConversationResult(Message, frozen=True, kw_only=True):
    """The result of `BeginConversation` and `EndConversation`."""

    conversation_id: str


class ScriptResult(Message, frozen=True, kw_only=True):
    """The result of `SendScript`: R-APDUs in order; each C-APDU is answered, in doubt (at most one), or not sent."""

    answers: tuple[Hex, ...]
    in_doubt: bool = False
    not_sent: int = 0


class DeployResult(Message, frozen=True, kw_only=True):
    """The result of `DeployService`.

    `keys` is a compact JWE (ECDH-ES+A256KW, A256GCM; RFC 7516, 7518) of a `KeySetDocument` for the caller's
    registered key; None where the domain holds keys of the caller's own. `diversification_data` (10 bytes) and the
    SCP03 parameter `scp03_i` are those of the SE's INITIALIZE UPDATE answers: with them the caller computes a session
    ahead without asking the SE first.
    """

    sd: Hex
    key_version: int | None = None
    keys: str | None = None
    diversification_data: Hex | None = None
    scp03_i: int | None = None


class TerminateResult(Message, frozen=True, kw_only=True):
    """The result of `TerminateService`: what is gone from the SE; `script` is that of scope "account"."""

    deleted: tuple[Hex, ...] = ()
    services: tuple[str, ...] = ()
    script: ScriptResult | None = None


class SuspendOrResumeResult(Message, frozen=True, kw_only=True):
    """The result of `SuspendOrResumeService`: every application concerned, as it is now."""

    applications: tuple[ObjectStatus, ...]


class SeStatusResult(Message, frozen=True, kw_only=True):
    """The result of `HandleSEStatusChangeNotification`: the card's life cycle state now."""

    se_id: str
    life_cycle: str


class KeySetDocument(Message, frozen=True, kw_only=True):
    """The temporary keys of a security domain: the plaintext of `DeployResult.keys`."""

    sd: Hex
    version: int
    enc: Hex
    mac: Hex
    dek: Hex

    def __repr__(self) -> str:
        """Name the key set and show none of its keys."""
        return f"KeySetDocument(sd={self.sd.hex().upper()}, version={self.version})"


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the API.

    Args:
        request: type of the body.
        reply: type of a query's reply, or of an operation's `result`.
        operation: True when it answers 202 and becomes an operation.
        roles: who may call it.
    """

    request: type[Request]
    reply: type[Message]
    operation: bool
    roles: frozenset[str]


_SP: Final = frozenset({"sp"})
_ALL: Final = frozenset({"sp", "mno", "operator"})
_ISSUER: Final = frozenset({"operator", "mno"})

FUNCTIONS: Final[dict[str, Function]] = {
    "CheckGlobalEligibility": Function(CheckGlobalEligibility, SeData, False, _ALL),
    "GetMobileSubscriptionSEIdentifiers": Function(GetMobileSubscriptionSEIdentifiers, SeIdentifiers, False, _ALL),
    "GetServiceState": Function(GetServiceState, ServiceView, False, _SP),
    "GetApplicationOrELFStatus": Function(GetApplicationOrELFStatus, ObjectStatus, False, _SP),
    "BeginConversation": Function(BeginConversation, ConversationResult, True, _SP),
    "EndConversation": Function(EndConversation, ConversationResult, True, _SP),
    "SendScript": Function(SendScript, ScriptResult, True, _SP),
    "DeployService": Function(DeployService, DeployResult, True, _SP),
    "SuspendOrResumeService": Function(SuspendOrResumeService, SuspendOrResumeResult, True, _SP),
    "TerminateService": Function(TerminateService, TerminateResult, True, _ALL),
    "UpgradeService": Function(UpgradeService, ServiceView, True, _SP),
    "HandleActionDoneOnServiceNotification": Function(HandleActionDoneOnServiceNotification, ActionReceipt, False, _SP),
    "HandleSEStatusChangeNotification": Function(HandleSEStatusChangeNotification, SeStatusResult, True, _ISSUER),
}
