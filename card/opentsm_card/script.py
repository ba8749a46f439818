"""Scripts of C-APDUs, what is expected of each answer, and what came of a run.

A script is relayed by the agent, which reads headers, a SELECT's AID and status words, never other data. Expectations
and doubt are members of our own in GP SERAM messages (SERAM 2.0.0 has no words for them).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Expect", "Script", "ScriptCommand", "ScriptOutcome"]

_OK = frozenset({0x9000})


@dataclass(frozen=True, slots=True)
class Expect:
    """What an answer must be for the script to go on.

    Args:
        sws: the status words with which the script goes on; any other ends it after this answer.
        data: the exact response data, where it can be known ahead (an INITIALIZE UPDATE answer with its card
            cryptogram), or None for any.
    """

    sws: frozenset[int] = _OK
    data: bytes | None = None

    def allows(self, r_apdu: bytes) -> bool:
        """Tell whether the script goes on after this R-APDU."""
        if len(r_apdu) < 2 or int.from_bytes(r_apdu[-2:], "big") not in self.sws:
            return False
        return self.data is None or r_apdu[:-2] == self.data


@dataclass(frozen=True, slots=True)
class ScriptCommand:
    """One C-APDU of a script, already wrapped where it is to be wrapped."""

    c_apdu: bytes
    expect: Expect = Expect()

    def __repr__(self) -> str:
        """Show the header only: data of a command may be a secret."""
        return f"ScriptCommand({self.c_apdu[:4].hex()}…, {len(self.c_apdu)} bytes)"


Script = tuple[ScriptCommand, ...]


@dataclass(frozen=True, slots=True)
class ScriptOutcome:
    """What came of running a script.

    Every C-APDU is answered, in doubt, or not sent: `len(answers) + (in_doubt) + not_sent` is the script's length.

    Args:
        answers: the R-APDUs, in order, from the first C-APDU.
        in_doubt: True when the C-APDU after the last answer was sent, or may have been, and no answer was kept.
        not_sent: how many C-APDUs were never given to the card.
    """

    answers: tuple[bytes, ...]
    in_doubt: bool = False
    not_sent: int = 0

    @property
    def complete(self) -> bool:
        """True when every C-APDU was answered."""
        return not self.in_doubt and self.not_sent == 0
