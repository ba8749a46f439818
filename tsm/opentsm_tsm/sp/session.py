"""The SP's secure channels over the central TSM: each is computed ahead, sent as one script, and verified here.

The host challenge and counter of each are kept before it is sent, so that a run that is repeated after a kill sends
the same script again, and reads the same answers.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card.apdu import ResponseApdu
from opentsm_card.errors import CardError, OpenTsmError, ProtocolError
from opentsm_card.initialize_update import InitializeUpdateAnswer
from opentsm_card.keys import KeySet
from opentsm_card.scp03 import Scp03Session
from opentsm_card.status import StatusWord
from opentsm_tsm.ahead import Element, SessionAhead
from opentsm_tsm.channel import WITHOUT_CHANNEL
from opentsm_tsm.messages import Expectation, ScriptEntry, ScriptResult, SendScript, TerminateResult
from opentsm_tsm.sp.client import result_of
from opentsm_tsm.wire import Hex, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.apdu import CommandApdu
    from opentsm_card.script import Script
    from opentsm_tsm.messages import Operation
    from opentsm_tsm.sp.durable import Run

__all__ = ["Doubt", "KeysAbsentError", "Part", "read_part", "run_parts", "send_script", "session_keys"]

_ATTEMPTS: Final = 4
_CHALLENGE_BYTES: Final = 8


class Doubt(Exception):  # noqa: N818 - not an error: a state of a script, always caught and probed
    """How far a script was executed must be read from the SE.

    Args:
        operation: the central TSM's operation that says so.
        reason: for people, where the card said something.
    """

    def __init__(self, operation: str, reason: str = "") -> None:
        self.operation = operation
        self.reason = reason
        super().__init__(f"operation {operation} is in doubt")


class KeysAbsentError(CardError):
    """The security domain does not hold the key version that was to open it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One secure channel: the key version that opens it, and the commands sent in it, in the clear."""

    version: int
    commands: tuple[CommandApdu, ...]


def session_keys(run: Run, sd: bytes, version: int) -> KeySet:
    """Return the keys that the SP holds for a version of a security domain.

    Raises:
        OpenTsmError: it holds none.
    """
    value = run.store.key_set(run.se, sd, version)
    if value is None:
        raise OpenTsmError(f"no keys are held for version {version} of {sd.hex().upper()} on {run.se}")
    length = len(value) // 3
    return KeySet(version, value[:length], value[length : 2 * length], value[2 * length :])


def send_script(
    run: Run, target: bytes, conversation: str | None, *, probe: str | None = None
) -> Callable[[tuple[ScriptEntry, ...]], Operation]:
    """Return what hands a script for `target` to the central TSM."""

    def send(script: tuple[ScriptEntry, ...]) -> Operation:
        request = SendScript(
            target=Hex(target),
            script=script,
            se_id=None if conversation else run.se,
            conversation_id=conversation,
            probe=probe,
        )
        return run.call(request)

    return send


def run_parts(
    run: Run,
    sd: bytes,
    parts: tuple[Part, ...],
    *,
    send: Callable[[tuple[ScriptEntry, ...]], Operation],
    target: bytes | None = None,
) -> tuple[tuple[ResponseApdu, ...], ...]:
    """Run secure channels one behind the other, as one script where the counters are known.

    Args:
        run: the operation.
        sd: the security domain whose keys open the channels.
        parts: the channels.
        send: hands a script to the central TSM.
        target: the application that is selected; the security domain by default.

    Returns:
        for each part the answers to its commands, in the clear, all 9000 under response MAC.

    Raises:
        Doubt: a command may have been executed or not.
        KeysAbsentError: the domain does not hold a version.
        CardError: the card refused a command.
        SecureChannelError: keys or answers are not the card's.
        RefusedError: the central TSM refused.
    """
    done: list[tuple[ResponseApdu, ...]] = []
    for _ in range(_ATTEMPTS):
        element = _element(run, sd, parts[0].version, send)
        ahead = _compute(run, sd, parts[len(done) :], target or sd, element)
        operation = send(_entries(ahead))
        result = _script_result(operation)
        done += _read(run, sd, ahead, result, operation.operation)
        if operation.state == "in-doubt" or result.in_doubt:
            raise Doubt(operation.operation)
        if len(done) == len(parts):
            return tuple(done)
    raise OpenTsmError(f"the sequence counter of {sd.hex().upper()} on {run.se} moved {_ATTEMPTS} times under us")


def read_part(
    run: Run, sd: bytes, part: Part, target: bytes, *, conversation: str | None, probe: str | None = None
) -> tuple[ResponseApdu, ...]:
    """Run a channel that changes nothing, and may therefore simply be repeated after a doubt.

    Args:
        run: the operation.
        sd: the security domain whose keys open the channel.
        part: the channel.
        target: the application that is selected.
        conversation: the conversation to use, or None.
        probe: the operation in doubt that this settles, or None.

    Raises:
        OpenTsmError: as `run_parts`, or it was in doubt again and again.
    """
    send = send_script(run, target, conversation, probe=probe)
    for _ in range(_ATTEMPTS):
        try:
            return run_parts(run, sd, (part,), send=send, target=target)[0]
        except Doubt as doubt:
            run.settle(doubt.operation, done=False)
    raise OpenTsmError(f"reading {target.hex().upper()} on {run.se} was cut off {_ATTEMPTS} times")


def _element(run: Run, sd: bytes, version: int, send: Callable[[tuple[ScriptEntry, ...]], Operation]) -> Element:
    """Return the SE's constants; ask it with an INITIALIZE UPDATE alone where they are not known."""

    def known() -> bytes:
        found = run.store.element(run.se)
        return b"" if found is None else found[0] + bytes((found[1],))

    kept = run.once("element", known)
    if kept:
        return Element(kept[:-1], kept[-1])
    challenge = run.once("discovery", lambda: secrets.token_bytes(_CHALLENGE_BYTES))
    apdu = Scp03Session.initialize_update(version, challenge).encode()
    operation = send((ScriptEntry(apdu=Hex(apdu)),))
    result = _script_result(operation)
    if operation.state == "in-doubt" or not result.answers:
        raise Doubt(operation.operation)
    data = _initialize_update(bytes(result.answers[0]), version)
    Scp03Session.open(session_keys(run, sd, version), challenge, data)
    answer = InitializeUpdateAnswer.parse(data)
    if answer.sequence_counter is None:
        raise ProtocolError(f"{run.se}: the card's challenges are random; its sessions can't be computed ahead")
    with run.store.transaction():
        run.store.keep_element(run.se, answer.diversification_data, answer.i)
        run.store.keep_counter(run.se, sd, version, answer.sequence_counter)
    return Element(answer.diversification_data, answer.i)


def _initialize_update(answer: bytes, version: int) -> bytes:
    response = ResponseApdu.parse(answer)
    if response.sw == StatusWord.REFERENCED_DATA_NOT_FOUND:
        raise KeysAbsentError(response.sw, f"INITIALIZE UPDATE with key version {version:#04x}")
    return response.require(f"INITIALIZE UPDATE with key version {version:#04x}")


def _compute(run: Run, sd: bytes, parts: tuple[Part, ...], target: bytes, element: Element) -> tuple[SessionAhead, ...]:
    """Compute the channels that are left, with challenges and counters that are kept."""

    def choose() -> bytes:
        counters: dict[int, int] = {}
        chosen = []
        for part in parts:
            last = counters.get(part.version, run.store.counter(run.se, sd, part.version) or 0)
            counters[part.version] = last + 1
            chosen.append([secrets.token_hex(_CHALLENGE_BYTES), last])
        return json.dumps(chosen).encode()

    return tuple(
        SessionAhead(
            session_keys(run, sd, part.version), bytes.fromhex(challenge), last, target, element, part.commands
        )
        for part, (challenge, last) in zip(parts, json.loads(run.once("sessions", choose)), strict=True)
    )


def _entries(ahead: tuple[SessionAhead, ...]) -> tuple[ScriptEntry, ...]:
    script: Script = tuple(command for session in ahead for command in session.script)
    return tuple(
        ScriptEntry(
            apdu=Hex(command.c_apdu),
            expect=Expectation(data=None if command.expect.data is None else Hex(command.expect.data)),
        )
        for command in script
    )


def _script_result(operation: Operation) -> ScriptResult:
    """Return what came of a script, of whichever function relayed it."""
    if operation.state == "in-doubt":
        return _doubtful(operation)
    if operation.function == "TerminateService":
        result = result_of(operation, TerminateResult).script
        return ScriptResult(answers=()) if result is None else result
    return result_of(operation, ScriptResult)


def _doubtful(operation: Operation) -> ScriptResult:
    """Return the answers that an operation in doubt has all the same."""
    if operation.result is None:
        return ScriptResult(answers=(), in_doubt=True)
    document = encode(operation.result)
    if operation.function == "TerminateService":
        return decode(document, TerminateResult).script or ScriptResult(answers=(), in_doubt=True)
    return decode(document, ScriptResult)


def _read(
    run: Run, sd: bytes, ahead: tuple[SessionAhead, ...], result: ScriptResult, operation: str
) -> list[tuple[ResponseApdu, ...]]:
    """Verify the answers, keep the counters that they prove, and return those of the channels that were completed.

    Raises:
        Doubt: the script was cut off behind a command that the card took: an agent may be restarted between two, or
            somebody else may have reset the card, which then refuses as it does without a secure channel. What is left
            is found as after a doubt, from what the SE says.
    """
    answers = [bytes(answer) for answer in result.answers]
    completed: list[tuple[ResponseApdu, ...]] = []
    for session in ahead:
        mine, answers = answers[: len(session)], answers[len(session) :]
        if not mine:
            break
        _initialize_update(mine[0], session.version)
        progress = session.read(mine)
        if progress.counter is not None:
            run.store.keep_counter(run.se, sd, session.version, progress.counter)
        if progress.stale:
            break
        try:
            session.require(progress)
        except CardError as error:
            if error.sw in WITHOUT_CHANNEL and len(progress.answers) > 1:
                raise Doubt(operation, str(error)) from error
            raise
        if len(mine) < len(session):
            if progress.answers and not result.in_doubt:
                raise Doubt(operation)
            break
        completed.append(progress.answers)
    return completed
