"""What the messaging API refuses, and why an operation failed: problem documents.

A caller that names an SE, service, operation or conversation it may not know of gets the same document, word for word,
as for one that does not exist. Spec: RFC 9457.
"""

from __future__ import annotations

from typing import Final

from opentsm_card.errors import OpenTsmError
from opentsm_tsm.messages import Problem

__all__ = ["RefusalError", "bad_request", "conflict", "failed", "forbidden", "in_doubt", "problem", "unknown"]

_PREFIX: Final = "urn:opentsm:problem:"
_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _FAILED = 400, 403, 404, 409, 502


class RefusalError(OpenTsmError):
    """A request is refused; nothing was changed.

    Args:
        problem: what the caller is told.
        reason: what the audit log is told, where that is more.
    """

    def __init__(self, problem: Problem, reason: str | None = None) -> None:
        self.problem = problem
        self.reason = reason or problem.detail or problem.title
        self.audited = False
        super().__init__(problem.title)


def problem(
    kind: str,
    status: int,
    title: str,
    detail: str | None = None,
    *,
    path: str | None = None,
    operation: str | None = None,
) -> Problem:
    """Return a problem document of a kind of ours."""
    return Problem(type=_PREFIX + kind, title=title, status=status, detail=detail, path=path, operation=operation)


def unknown(reason: str) -> RefusalError:
    """Refuse what does not exist for this caller: one document, whatever the reason; the reason is audited."""
    return RefusalError(problem("unknown", _NOT_FOUND, "There is no such object for you."), reason)


def forbidden(reason: str) -> RefusalError:
    """Refuse a function that the caller's role has not."""
    return RefusalError(problem("forbidden", _FORBIDDEN, "Your certificate does not allow this."), reason)


def bad_request(path: str, detail: str, *, position: int | None = None) -> RefusalError:
    """Refuse a body, naming the place in it."""
    document = Problem(
        type=_PREFIX + "bad-request",
        title="The request can't be understood.",
        status=_BAD_REQUEST,
        detail=detail,
        path=path,
        position=position,
    )
    return RefusalError(document)


def conflict(kind: str, title: str, detail: str | None = None, *, operation: str | None = None) -> RefusalError:
    """Refuse what the state of things does not allow now."""
    return RefusalError(problem(kind, _CONFLICT, title, detail, operation=operation))


def in_doubt(operation: str) -> RefusalError:
    """Refuse to touch a security domain while an operation of its owner is in doubt."""
    return conflict(
        "in-doubt",
        "An operation on this security domain is in doubt.",
        "Probe it (SendScript with `probe`), then resolve it (accept or reset).",
        operation=operation,
    )


def failed(kind: str, title: str, detail: str | None = None) -> Problem:
    """Return why an operation failed on its way to or on the SE."""
    return problem(kind, _FAILED, title, detail)
