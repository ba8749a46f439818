"""Whole SCP03 sessions as scripts, computed before anything is sent.

With pseudo-random challenges everything the host sends is known ahead, so a session fits into one order: SELECT,
INITIALIZE UPDATE with its exact answer expected (a stale counter stops the script there, before an authentication
failure is counted), EXTERNAL AUTHENTICATE, wrapped commands. What is kept beside the script, a `ScriptRecord`, is no
secret; `read_answers` needs it and the static keys to unwrap what came back, also in another process.

Spec: GP Card Specification Amendment D 1.2, 6.2.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import SecureChannelError
from opentsm_card.scp03 import ChainLink, Scp03Session, Scp03State, SecurityLevel
from opentsm_card.script import Expect, Script, ScriptCommand
from opentsm_card.select import Select
from opentsm_card.status import StatusWord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentsm_card.apdu import Command
    from opentsm_card.keys import KeySet

__all__ = ["ScriptRecord", "ScriptWriter", "precompute", "read_answers"]

_DONE = frozenset({int(StatusWord.DONE)})
# A locked card's issuer security domain is selected with a warning (11.9.3.2) and can then be unlocked.
_SELECTED = frozenset({int(StatusWord.DONE), int(StatusWord.WARNING_LOCKED)})


@dataclass(frozen=True, slots=True)
class ScriptRecord:
    """What is needed, beside the static keys, to read a script's answers; no secret.

    Args:
        state: of the session when the script was written to its end.
        first: position of INITIALIZE UPDATE in the script, or of the first wrapped command when the script goes on with
            a session that is open already.
        opens: the script opens the session itself (INITIALIZE UPDATE and EXTERNAL AUTHENTICATE are in it).
        links: for each wrapped command, in order.
    """

    state: Scp03State
    first: int
    opens: bool
    links: tuple[ChainLink, ...]


class ScriptWriter:
    """Write the script of one session, command by command.

    Args:
        session: predicted (see `predict`) and new, or open already, to go on with it.
        level: security level to open it with; of no effect on a session that is open.
        select: AID to select first; None when it is selected already, or someone else selects.
        channel: logical channel of all commands.
    """

    def __init__(
        self,
        session: Scp03Session,
        level: SecurityLevel = SecurityLevel.ALL,
        *,
        select: bytes | None = None,
        channel: int = 0,
    ) -> None:
        self._session = session
        self._channel = channel
        self._commands: list[ScriptCommand] = []
        self._links: list[ChainLink] = []
        self._opens = session.level is None
        if select is not None:
            self._append(Select(select).apdu(), Expect(_SELECTED))
        self._first = len(self._commands)
        if self._opens:
            answer = session.answer
            begin = session.initialize_update(answer.key_version, session.state().host_challenge)
            self._append(begin, Expect(_DONE, answer.encode()))
            self._append(session.external_authenticate(level), Expect(_DONE, b""))

    def _append(self, apdu: CommandApdu, expect: Expect) -> None:
        on_channel = apdu.on_channel(self._channel) if self._channel else apdu
        self._commands.append(ScriptCommand(on_channel.encode(), expect))

    @property
    def max_data_bytes(self) -> int:
        """How much plain data one short command takes in this session."""
        return self._session.max_data_bytes

    def add(self, command: Command | CommandApdu, sws: frozenset[int] = _DONE) -> int:
        """Wrap a command and append it.

        Args:
            command: a command, or its plain APDU.
            sws: status words with which the script goes on.

        Returns:
            Its position in the script.
        """
        apdu = command if isinstance(command, CommandApdu) else command.apdu()
        self._append(self._session.wrap(apdu), Expect(sws))
        self._links.append(self._session.link)
        return len(self._commands) - 1

    def script(self) -> Script:
        """Return the script as it stands."""
        return tuple(self._commands)

    def record(self) -> ScriptRecord:
        """Return what `read_answers` needs."""
        return ScriptRecord(self._session.state(), self._first, self._opens, tuple(self._links))


def precompute(
    session: Scp03Session,
    commands: Iterable[Command | CommandApdu],
    level: SecurityLevel = SecurityLevel.ALL,
    *,
    select: bytes | None = None,
    channel: int = 0,
) -> tuple[Script, ScriptRecord]:
    """Write a whole session in one call; see `ScriptWriter`.

    Args:
        session: predicted, not yet authenticated.
        commands: in order.
        level: security level.
        select: AID to select first, or None.
        channel: logical channel of all commands.
    """
    writer = ScriptWriter(session, level, select=select, channel=channel)
    for command in commands:
        writer.add(command)
    return writer.script(), writer.record()


def read_answers(keys: KeySet, record: ScriptRecord, answers: Sequence[bytes]) -> tuple[ResponseApdu, ...]:
    """Verify and unwrap the answers to a script.

    Args:
        keys: static keys of the security domain.
        record: as `ScriptWriter.record` gave it.
        answers: R-APDUs in order, from the script's first C-APDU; fewer than commands when the script ended early.

    Returns:
        The plain answers, one for each R-APDU. Those to SELECT, INITIALIZE UPDATE and EXTERNAL AUTHENTICATE, and every
        error status word, are not authenticated by the card.

    Raises:
        SecureChannelError: more answers than commands, the script went on after an unexpected INITIALIZE UPDATE answer,
            a response MAC is wrong, or the keys are not those of the script. The message names the position.
        ProtocolError: an R-APDU is malformed.
    """
    session = Scp03Session.resume(keys, record.state)
    plain: list[ResponseApdu] = []
    first_wrapped = record.first + (2 if record.opens else 0)
    if len(answers) > first_wrapped + len(record.links):
        raise SecureChannelError(f"{len(answers)} answers to {first_wrapped + len(record.links)} commands")
    for position, encoded in enumerate(answers):
        response = ResponseApdu.parse(encoded)
        if record.opens and position == record.first:
            unexpected = response != ResponseApdu(record.state.answer)
            if unexpected and len(answers) > position + 1:
                raise SecureChannelError(f"C-APDU {position}: the script went on after an unexpected answer")
        elif position >= first_wrapped:
            try:
                response = session.unwrap(response, record.links[position - first_wrapped])
            except SecureChannelError as error:
                raise SecureChannelError(f"C-APDU {position}: {error}") from error
        plain.append(response)
    return tuple(plain)
