"""What a journal holds, for people and scripts: positions, digests, lengths and status words, and no id of a session.

Sessions and orders that were acknowledged are not in it: their answers have been erased.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from opentsm_agent.journal_records import session_mark

if TYPE_CHECKING:
    from opentsm_agent.journal_records import JournalState, OrderState, SessionState

__all__ = ["journal_facts"]


def journal_facts(state: JournalState) -> dict[str, Any]:
    """Return what a journal adds up to.

    `sessions`: those that are open, each with its last order's number and digest (SHA-256), and with the order that is
    not acknowledged yet, if there is one. `left_over`: reports that no session took. `remembered`: how many ended
    sessions' last orders are kept, so that they are never run again.
    """
    return {
        "sessions": [_session(name, session) for name, session in state.sessions.items()],
        "left_over": [
            {"session": session_mark(orphan.session), "order": orphan.order, **_told(orphan.report)}
            for orphan in state.orphans.values()
        ],
        "remembered": len(state.ended),
    }


def _session(name: str, session: SessionState) -> dict[str, Any]:
    return {
        "session": session_mark(name),
        "tsm": session.opened.tsm,
        "last_order": session.last_order,
        "digest": session.last_digest.hex() or None,
        "unacknowledged": _order(session.current) if session.current is not None else None,
    }


def _order(order: OrderState) -> dict[str, Any]:
    started = order.started
    facts: dict[str, Any] = {"order": started.order, "digest": started.digest.hex(), "se": started.se}
    if order.report is not None:
        return {**facts, "state": "to be reported", **_told(order.report)}
    commands = []
    for size, digests, answers in zip(started.sizes, order.digests, order.answers, strict=True):
        sent = [_exchange(number, digest, answers) for number, digest in enumerate(digests)]
        commands.append({"c_apdus": size, "sent": sent})
    return {**facts, "state": "started", "commands": commands}


def _exchange(number: int, digest: bytes, answers: list[bytes]) -> dict[str, Any]:
    answer = answers[number] if number < len(answers) else None
    return {
        "position": number,
        "c_apdu_sha256": digest.hex(),
        "answer_bytes": len(answer) if answer is not None else None,
        "sw": answer[-2:].hex().upper() if answer is not None else None,
    }


def _told(report: bytes) -> dict[str, Any]:
    """Return what a report says, without the answers."""
    document = msgspec.json.decode(report, type=dict[str, Any])
    status = document["localAgentStatus"]
    return {
        "status": status["localAgentStatusEnum"],
        "error": status.get("errorMsg"),
        "commands": [
            {
                "c_apdus": len(response["listOfRAPDU"]),
                "answered": response.get("answered"),
                "in_doubt": response.get("inDoubt"),
                "not_sent": response.get("notSent"),
            }
            for response in document.get("ramResponses", ())
        ],
    }
