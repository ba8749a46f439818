"""Whole SCP02 sessions as scripts, computed before anything is sent: as `opentsm_card.scp03_script` does it.

Possible with pseudo-random challenges (i bit 40). Response MACs are of plain commands and of each response before,
which a record that is no secret can't hold, so these scripts have none: levels 01 and 03.

Spec: GP Card Specification 2.3.1, E.4.2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import SecureChannelError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.scp02 import Scp02Session, Scp02State
from opentsm_card.script import Expect, Script, ScriptCommand
from opentsm_card.select import Select
from opentsm_card.status import StatusWord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentsm_card.apdu import Command
    from opentsm_card.keys import KeySet

__all__ = ["Scp02Record", "precompute", "read_answers"]

_DONE = frozenset({int(StatusWord.DONE)})
# A locked card's issuer security domain is selected with a warning (11.9.3.2) and can then be unlocked.
_SELECTED = frozenset({int(StatusWord.DONE), int(StatusWord.WARNING_LOCKED)})


@dataclass(frozen=True, slots=True)
class Scp02Record:
    """What is needed, beside the static keys, to read a script's answers; no secret.

    Args:
        state: of the session when the script was written to its end.
        first: position of INITIALIZE UPDATE in the script.
        commands: how many C-APDUs the script has.
    """

    state: Scp02State
    first: int
    commands: int


def precompute(
    session: Scp02Session,
    commands: Iterable[Command | CommandApdu],
    level: SecurityLevel = SecurityLevel.C_MAC_C_ENC,
    *,
    select: bytes | None = None,
    channel: int = 0,
) -> tuple[Script, Scp02Record]:
    """Write a whole session: SELECT, INITIALIZE UPDATE with its answer expected, EXTERNAL AUTHENTICATE, the commands.

    Args:
        session: predicted (see `opentsm_card.scp02.predict`), not yet authenticated.
        commands: in order.
        level: security level, 00, 01 or 03.
        select: AID to select first, or None.
        channel: logical channel of all commands.

    Raises:
        SecureChannelError: a level with response MACs, or the session is authenticated already.
    """
    if level & SecurityLevel.R_MAC:
        raise SecureChannelError("SCP02's response MACs can't be part of a script: take level 01 or 03")
    state = session.state()
    answer = session.answer
    first = 0 if select is None else 1
    steps: list[tuple[CommandApdu, Expect]] = []
    if select is not None:
        steps.append((Select(select).apdu(), Expect(_SELECTED)))
    begin = session.initialize_update(answer.key_version, state.host_challenge)
    steps.append((begin, Expect(_DONE, answer.encode())))
    steps.append((session.external_authenticate(level), Expect(_DONE, b"")))
    for command in commands:
        apdu = command if isinstance(command, CommandApdu) else command.apdu()
        steps.append((session.wrap(apdu), Expect(_DONE)))
    script = tuple(
        ScriptCommand((apdu.on_channel(channel) if channel else apdu).encode(), expect) for apdu, expect in steps
    )
    return script, Scp02Record(session.state(), first, len(script))


def read_answers(keys: KeySet, record: Scp02Record, answers: Sequence[bytes]) -> tuple[ResponseApdu, ...]:
    """Read the answers to a script; at its levels none of them is protected.

    Args:
        keys: static keys of the security domain.
        record: as `precompute` gave it.
        answers: R-APDUs in order, from the script's first C-APDU; fewer than commands when the script ended early.

    Raises:
        SecureChannelError: more answers than commands, the script went on after an unexpected INITIALIZE UPDATE answer,
            or the keys are not those of the script. The message names the position.
        ProtocolError: an R-APDU is malformed.
    """
    Scp02Session.resume(keys, record.state)
    if len(answers) > record.commands:
        raise SecureChannelError(f"{len(answers)} answers to {record.commands} commands")
    read = tuple(ResponseApdu.parse(encoded) for encoded in answers)
    begun = read[record.first : record.first + 1]
    if len(read) > record.first + 1 and begun != (ResponseApdu(record.state.answer),):
        raise SecureChannelError(f"C-APDU {record.first}: the script went on after an unexpected answer")
    return read
