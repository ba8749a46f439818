"""BeginConversation and EndConversation: wake the device, and keep its session open in between.

A conversation whose owner asks for nothing any more is ended, or it would hold the device's session for ever.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from opentsm_tsm import access, audit
from opentsm_tsm.centre import Handler
from opentsm_tsm.messages import BeginConversation, ConversationResult, EndConversation
from opentsm_tsm.problems import unknown

if TYPE_CHECKING:
    from opentsm_tsm.centre import Action, Caller, Centre
    from opentsm_tsm.operations import OperationRow
    from opentsm_tsm.wire import Request

__all__ = ["Begin", "End", "end_idle"]


def end_idle(centre: Centre) -> None:
    """End the conversations in which nothing was asked for `conversation_idle_s`."""
    since = time.time() - centre.config.conversation_idle_s
    idle = (
        "SELECT id, caller, se FROM conversation WHERE open = 1 AND NOT EXISTS (SELECT 1 FROM operation"
        " WHERE operation.se = conversation.se AND operation.caller = conversation.caller"
        " AND (state IN ('pending', 'running') OR updated > ?))"
    )
    if not (rows := centre.store.rows(idle, since)):
        return
    with centre.store.transaction():
        for row in rows:
            centre.store.run("UPDATE conversation SET open = 0 WHERE id = ?", row["id"])
            audit.record(centre.store, row["caller"], "conversation", "ended", se=row["se"], detail="it was idle")


class Begin(Handler):
    """Open a conversation; done as soon as an agent speaks for the SE."""

    def admit(self, centre: Centre, caller: Caller, params: Request) -> tuple[str, str]:
        """Check that the SE exists for the caller; a locked one may be talked to."""
        assert isinstance(params, BeginConversation)
        return access.visible_se(centre, caller, params.se_id).id, "wake"

    def step(self, centre: Centre, operation: OperationRow) -> Action:
        """Open the conversation: a step is only taken when the agent is there."""
        name = secrets.token_hex(16)
        # The agent's poll that lets this step be taken.
        operation.round_trips += 1
        centre.store.insert("conversation", id=name, caller=operation.caller, se=operation.se, open=1)
        operation.finish(centre.store, ConversationResult(conversation_id=name))
        return None


class End(Handler):
    """Close a conversation; done at once, whether the agent is there or not."""

    def admit(self, centre: Centre, caller: Caller, params: Request) -> tuple[str, str]:
        """Check that the conversation is the caller's."""
        assert isinstance(params, EndConversation)
        row = centre.store.row(
            "SELECT se FROM conversation WHERE id = ? AND caller = ?", params.conversation_id, str(caller)
        )
        if row is None:
            raise unknown("no such conversation")
        return row["se"], "end"

    def step(self, centre: Centre, operation: OperationRow) -> Action:
        """Close it."""
        assert isinstance(operation.params, EndConversation)
        name = operation.params.conversation_id
        centre.store.run("UPDATE conversation SET open = 0 WHERE id = ?", name)
        operation.finish(centre.store, ConversationResult(conversation_id=name))
        return None
