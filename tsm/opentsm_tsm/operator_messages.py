"""What the central TSM says to its operator (audit, codes, its belief of an SE), and to an agent that enrols."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from opentsm_tsm.messages import KeySetView, Name  # noqa: TC001 - msgspec reads annotations at run time
from opentsm_tsm.wire import Hex, Message, Request

__all__ = [
    "AuditPage",
    "AuditRecord",
    "CreateEnrolmentCode",
    "EnrolReply",
    "EnrolRequest",
    "EnrolmentCodeReply",
    "RegistryItem",
    "RenewRequest",
    "SeBelief",
]


class AuditRecord(Message, frozen=True, kw_only=True):
    """One thing that happened, who asked for it, and how it ended; never key bytes or account data."""

    number: int
    at: float
    actor: str
    event: str
    outcome: str
    se_id: str | None = None
    operation: str | None = None
    detail: str | None = None


class AuditPage(Message, frozen=True, kw_only=True):
    """A part of the audit log, the oldest record first."""

    records: tuple[AuditRecord, ...]


class EnrolRequest(Request, frozen=True, kw_only=True):
    """Exchange an enrolment code (its first part, before the dot) and a PEM certificate request for a certificate."""

    code: Annotated[str, Meta(max_length=64)]
    csr: Annotated[str, Meta(max_length=8192)]

    def __repr__(self) -> str:
        """Keep the code out of logs."""
        return "EnrolRequest(…)"


class RenewRequest(Request, frozen=True, kw_only=True):
    """Exchange the certificate of the connection, and a PEM certificate request, for a new certificate."""

    csr: Annotated[str, Meta(max_length=8192)]


class EnrolReply(Message, frozen=True, kw_only=True):
    """The certificate, the CA that issued it (both PEM), and the SEs it may speak for."""

    certificate: str
    ca: str
    ses: tuple[str, ...]


class CreateEnrolmentCode(Request, frozen=True, kw_only=True):
    """Operator: make a single-use code with which an agent gets its certificate for these SEs."""

    ses: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=64)]


class EnrolmentCodeReply(Message, frozen=True, kw_only=True):
    """The code, and until when it is good (seconds since 1970); it is shown this once."""

    code: str
    until: float

    def __repr__(self) -> str:
        """Keep the code out of logs."""
        return "EnrolmentCodeReply(…)"


class RegistryItem(Message, frozen=True, kw_only=True):
    """One entry of an SE's registry: `state` is the life cycle byte."""

    aid: Hex
    kind: str
    state: int
    privileges: Hex
    sd: Hex | None = None
    contactless: bool | None = None


class SeBelief(Message, frozen=True, kw_only=True):
    """Operator: all that the central TSM believes of an SE; `known` is when its registry was read or confirmed last."""

    se_id: str
    se_type: str
    configuration: str
    status: str
    life_cycle: str
    mno: str
    stale: bool
    key_sets: tuple[KeySetView, ...] = ()
    registry: tuple[RegistryItem, ...] = ()
    known: float | None = None
