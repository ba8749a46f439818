"""The relay: checks a script, gives its C-APDUs to a link in order, and keeps the answers.

It reads headers and status words, and compares an answer with an expectation; it never looks into command data.
A C-APDU whose exchange failed is never given again: whether the card ran it is unknown, and the outcome says
so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from opentsm_card.apdu import CommandApdu
from opentsm_card.errors import ProtocolError, ScriptError, TransportError
from opentsm_card.script import Expect, Script, ScriptOutcome

if TYPE_CHECKING:
    from opentsm_card.link import Link

__all__ = ["ANY_ANSWER", "AnyAnswer", "Recorder", "RelayResult", "check_script", "run_script"]

_INS_SELECT: Final = 0xA4
_INS_MANAGE_CHANNEL: Final = 0x70
_FORBIDDEN_IN_OPAQUE: Final = {_INS_SELECT: "SELECT", _INS_MANAGE_CHANNEL: "MANAGE CHANNEL"}


@dataclass(frozen=True, slots=True)
class AnyAnswer(Expect):
    """The expectation that every R-APDU meets: GP SERAM's own rule, where an order carries no `expect`."""

    def allows(self, r_apdu: bytes) -> bool:
        """Let the script go on whatever the answer."""
        del r_apdu
        return True


ANY_ANSWER: Final = AnyAnswer()


class Recorder(Protocol):
    """Is told of every C-APDU before it is given to the card, and of every R-APDU before anything else is done."""

    def has_room(self) -> bool:
        """Tell whether another answer can be kept; a script ends where none can."""

    def sent(self, position: int, c_apdu: bytes) -> None:
        """Record that the C-APDU at `position` is about to be given to the card."""

    def answered(self, position: int, r_apdu: bytes) -> None:
        """Record the answer to the C-APDU at `position`."""


@dataclass(frozen=True, slots=True)
class RelayResult:
    """What came of a run.

    Args:
        outcome: the answers, and what became of the rest.
        failure: the failure of the link that ended the run, if one did.
        expected: False when an answer missed its expectation, and thereby ended the run.
    """

    outcome: ScriptOutcome
    failure: TransportError | ProtocolError | None = None
    expected: bool = True


def check_script(script: Script, opaque_from: int | None = None) -> None:
    """Check that every C-APDU is one, and that a service provider's own commands stay where they were put.

    The SELECT before an SP's script is the central TSM's; behind it, a SELECT or MANAGE CHANNEL would take the
    script to another application, so neither may stand there in any interindustry class (bit 8 of CLA clear;
    secure messaging and logical channel whatever they be).

    Args:
        script: the script.
        opaque_from: index of the first C-APDU that is the service provider's own; None when there is none.

    Raises:
        ScriptError: names the first offending C-APDU.

    Spec: ISO/IEC 7816-4:2020 5.4.1 (class byte).
    """
    for position, command in enumerate(script):
        try:
            CommandApdu.parse(command.c_apdu)
        except ProtocolError as error:
            raise ScriptError(position, str(error)) from error
        cla, ins = command.c_apdu[:2]
        if opaque_from is not None and position >= opaque_from and not cla & 0x80 and ins in _FORBIDDEN_IN_OPAQUE:
            raise ScriptError(position, f"{_FORBIDDEN_IN_OPAQUE[ins]} in a service provider's script")


def run_script(link: Link, script: Script, recorder: Recorder) -> RelayResult:
    """Give the C-APDUs to the link in order until the end, an unexpected answer, or a failure of the link.

    Args:
        link: an open link to the secure element.
        script: a script that `check_script` has passed.
        recorder: is told of each C-APDU before it is sent, and of each R-APDU as it comes.
    """
    answers: list[bytes] = []
    total = len(script)
    for position, command in enumerate(script):
        if not recorder.has_room():
            full = ProtocolError("the answers are longer than an order's may be together; the rest was not sent")
            return RelayResult(ScriptOutcome(tuple(answers), False, total - position), full)
        recorder.sent(position, command.c_apdu)
        try:
            answer = link.transmit(command.c_apdu)
        except TransportError as error:
            return RelayResult(ScriptOutcome(tuple(answers), True, total - position - 1), error)
        except ProtocolError as error:
            # The link can't carry this C-APDU, and has sent nothing of it.
            return RelayResult(ScriptOutcome(tuple(answers), False, total - position), error)
        recorder.answered(position, answer)
        answers.append(answer)
        if not command.expect.allows(answer):
            outcome = ScriptOutcome(tuple(answers), False, total - position - 1)
            return RelayResult(outcome, expected=False)
    return RelayResult(ScriptOutcome(tuple(answers)))
