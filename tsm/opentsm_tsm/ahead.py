"""A secure channel computed ahead as one script, and what its answers prove.

The script is INITIALIZE UPDATE with the one answer that it may have, EXTERNAL AUTHENTICATE, and the commands, wrapped
at level 33. Where the card's sequence counter is another, the script stops at the first answer, whose own card
cryptogram proves the counter: the session is computed again with it. Nothing is kept here: the same arguments give
the same bytes.

Spec: GP Amendment D 1.2, 6.2.2.1 (pseudo-random challenges and the sequence counter).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentsm_card.apdu import ResponseApdu
from opentsm_card.errors import CardError, ProtocolError, SecureChannelError
from opentsm_card.initialize_update import InitializeUpdateAnswer
from opentsm_card.scp03 import Scp03Session, next_sequence_counter, predict
from opentsm_card.scp03_script import precompute, read_answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_card.apdu import CommandApdu
    from opentsm_card.keys import KeySet

__all__ = ["Element", "Progress", "SessionAhead"]

_LEAD = 2  # INITIALIZE UPDATE and EXTERNAL AUTHENTICATE


@dataclass(frozen=True, slots=True)
class Element:
    """What an SE's INITIALIZE UPDATE answers begin with.

    Args:
        diversification_data: 10 bytes.
        i: the SCP03 parameter.
    """

    diversification_data: bytes
    i: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a session came, as far as its answers prove it.

    Args:
        counter: the sequence counter that the card used, None when it did not answer INITIALIZE UPDATE.
        stale: True when that is not the counter the session was computed for: nothing of it was executed.
        answers: to the commands, in the clear, their MACs verified; the last one may be an error status word, which
            carries none.
    """

    counter: int | None
    stale: bool
    answers: tuple[ResponseApdu, ...]


class SessionAhead:
    """One session with the application that will be selected.

    Args:
        keys: static keys with their version.
        host_challenge: 8 random bytes, not used before.
        last_counter: the sequence counter that the card showed last.
        aid: the AID that will be selected.
        element: the SE.
        commands: in the clear.

    Raises:
        ProtocolError: the card's challenges are not pseudo-random, or a command does not fit.
    """

    def __init__(
        self,
        keys: KeySet,
        host_challenge: bytes,
        last_counter: int,
        aid: bytes,
        element: Element,
        commands: Sequence[CommandApdu],
    ) -> None:
        answer, session = predict(
            keys,
            host_challenge,
            sequence_counter=next_sequence_counter(last_counter),
            aid=aid,
            diversification_data=element.diversification_data,
            i=element.i,
        )
        self._keys = keys
        self._host_challenge = host_challenge
        self._expected = answer
        self._commands = tuple(commands)
        self.script, self._record = precompute(session, self._commands)

    @property
    def version(self) -> int:
        """The key version that opens the session."""
        return self._keys.version

    def __len__(self) -> int:
        """Return how many C-APDUs the script has."""
        return len(self.script)

    def read(self, answers: Sequence[bytes]) -> Progress:
        """Verify the answers that there are, from the first.

        Args:
            answers: R-APDUs in order; fewer than the script has where it stopped or is in doubt.

        Raises:
            CardError: the card refused INITIALIZE UPDATE or EXTERNAL AUTHENTICATE.
            SecureChannelError: a cryptogram or MAC is wrong: these are not the card's keys, or not its answers.
            ProtocolError: malformed.
        """
        if not answers:
            return Progress(None, stale=False, answers=())
        data = ResponseApdu.parse(answers[0]).require("INITIALIZE UPDATE")
        answer = InitializeUpdateAnswer.parse(data)
        if answer != self._expected:
            Scp03Session.open(self._keys, self._host_challenge, data)
            if answer.sequence_counter is None:
                raise ProtocolError("INITIALIZE UPDATE: the card's challenge is random")
            if answer.sequence_counter == self._expected.sequence_counter:
                raise SecureChannelError("INITIALIZE UPDATE: not the answer of this SE")
            return Progress(answer.sequence_counter, stale=True, answers=())
        if len(answers) > 1:
            ResponseApdu.parse(answers[1]).require("EXTERNAL AUTHENTICATE")
        plain = read_answers(self._keys, self._record, answers)[_LEAD:]
        return Progress(answer.sequence_counter, stale=False, answers=plain)

    def require(self, progress: Progress) -> None:
        """Check that the card refused none of the commands.

        Raises:
            CardError: it did; the first one is named.
        """
        for command, answer in zip(self._commands, progress.answers, strict=False):
            if answer.sw != 0x9000:
                raise CardError(answer.sw, f"command {command.ins:02X} in the secure channel")
