"""Personalization and deletion of accounts: scripts in the SP's own secure channel, which the centre only relays.

INSTALL [for personalization] names the instance, and each STORE DATA block that follows is one account: the security
domain passes it on, and the applet executes it whole or not at all and keeps its identifier. After a doubt the
instance is asked, under response MAC, for the last identifier (DF01): it tells exactly which blocks were executed,
and the rest is sent.

Spec: GP 2.3.1, 11.5.2.3.6 (INSTALL [for personalization]), 11.11 (STORE DATA), 7.3.3 (personalization support).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card.aid import Aid
from opentsm_card.errors import OpenTsmError
from opentsm_card.get_data import GetData
from opentsm_card.install import InstallForPersonalization
from opentsm_card.store_data import DataStructure, store_data_blocks
from opentsm_tsm.sp.personalization import ACCOUNTS_TAG, LAST_OPERATION_TAG, parse_accounts, parse_last_operation
from opentsm_tsm.sp.session import Doubt, Part, read_part, run_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_tsm.messages import Operation, ScriptEntry
    from opentsm_tsm.sp.durable import Run

__all__ = ["read_accounts", "store_blocks"]

_ATTEMPTS: Final = 4


def store_blocks(
    run: Run,
    sd: bytes,
    instance: bytes,
    blocks: tuple[bytes, ...],
    *,
    send: Callable[[tuple[ScriptEntry, ...]], Operation],
    conversation: str | None,
) -> None:
    """Have the instance execute blocks, each once.

    Args:
        run: the operation; the blocks' identifiers are made of its own (`block_id`).
        sd: the security domain that the instance belongs to.
        instance: AID of the instance.
        blocks: STORE DATA blocks, in order.
        send: hands a script for the security domain to the central TSM.
        conversation: the conversation for probes, or None.

    Raises:
        CardError, SecureChannelError, RefusedError: it did not go through; blocks before the refused one are executed.
    """
    version = current_version(run, sd)
    executed = 0
    reason = ""
    for _ in range(_ATTEMPTS):
        rest = store_data_blocks(blocks[executed:], structure=DataStructure.DGI)
        commands = (InstallForPersonalization(Aid(instance)).apdu(), *(block.apdu() for block in rest))
        try:
            run_parts(run, sd, (Part(version, commands),), send=send)
        except Doubt as doubt:
            last = _last_operation(run, sd, instance, version, probe=doubt.operation, conversation=conversation)
            if last[:15] == run.card_id[:15]:
                executed = last[15] + 1
            run.settle(doubt.operation, done=executed == len(blocks))
            reason = doubt.reason and f": {doubt.reason}"
            if executed == len(blocks):
                return
        else:
            return
    missing = f"{len(blocks) - executed} of {len(blocks)} blocks are not executed"
    raise OpenTsmError(f"after {_ATTEMPTS} attempts {missing}{reason}")


def current_version(run: Run, sd: bytes) -> int:
    """Return the version of the SP's own keys of a security domain; the choice is made once.

    Raises:
        OpenTsmError: it has none there.
    """

    def choose() -> bytes:
        own = [version for version, temporary in run.store.versions(run.se, sd) if not temporary]
        if not own:
            raise OpenTsmError(f"no keys of our own in {sd.hex().upper()} on {run.se}: rotate the keys first")
        return bytes(own[-1:])

    return run.once("version", choose)[0]


def _last_operation(
    run: Run, sd: bytes, instance: bytes, version: int, *, probe: str, conversation: str | None
) -> bytes:
    """Read from the instance, under response MAC, which block it executed last."""
    part = Part(version, (GetData(LAST_OPERATION_TAG).apdu(),))
    answers = read_part(run, sd, part, instance, conversation=conversation, probe=probe)
    return parse_last_operation(answers[0].data)


def read_accounts(run: Run, sd: bytes, instance: bytes, conversation: str | None) -> tuple[tuple[str, bytes], ...]:
    """Return the (qualifier, uid) pairs of the accounts on an instance, read under response MAC."""
    part = Part(current_version(run, sd), (GetData(ACCOUNTS_TAG).apdu(),))
    answers = read_part(run, sd, part, instance, conversation=conversation)
    return parse_accounts(answers[0].data)
