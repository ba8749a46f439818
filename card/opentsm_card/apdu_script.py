"""Scripts of C-APDUs as people write them, line by line, with what is expected of each answer.

A line: the C-APDU in hex, then the status word expected, then the data expected, both if wanted:

    00A4040000  9000|6283  6F*     # X stands for any digit, * at the end for anything more
    80CA9F7F00  9000
    reset
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card.apdu import CommandApdu
from opentsm_card.errors import OpenTsmError, ProtocolError
from opentsm_card.status import meaning

if TYPE_CHECKING:
    from opentsm_card.apdu import ResponseApdu

__all__ = ["ExpectationError", "Step", "parse_script"]

_SW: Final = re.compile(r"[0-9A-FX]{4}(\|[0-9A-FX]{4})*")
_DATA: Final = re.compile(r"([0-9A-FX]{2})*\*?")


class ExpectationError(OpenTsmError):
    """The card's answer is not what the script expects."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a script.

    Args:
        place: for messages.
        apdu: to send; None for a reset.
        sw: patterns of the status words that are right; none for any.
        data: pattern of the data; None for any.
    """

    place: str
    apdu: CommandApdu | None
    sw: tuple[str, ...] = ()
    data: str | None = None

    def check(self, response: ResponseApdu) -> str:
        """Return what is wrong with an answer, or nothing."""
        word = f"{response.sw:04X}"
        if self.sw and not any(_fits(pattern, word) for pattern in self.sw):
            return f"the card answered {word} ({meaning(response.sw)}), {' or '.join(self.sw)} expected"
        if self.data is not None and not _fits(self.data, response.data.hex().upper()):
            return f"the answer's data of {len(response.data)} bytes is not {self.data}"
        return ""


def _fits(pattern: str, text: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace("X", ".")
    return re.fullmatch(expression, text) is not None


def _parse_line(line: str, place: str) -> Step | None:
    """Parse one line; None when there is nothing on it.

    Raises:
        ProtocolError: no APDU, or malformed expectations.
    """
    words = line.partition("#")[0].upper().split()
    if not words:
        return None
    if words == ["RESET"]:
        return Step(place, None)
    apdu, *expected = words
    if len(expected) > 2:
        raise ProtocolError(f"{place}: want APDU [status word] [data], without blanks inside, not {len(words)} words")
    try:
        command = CommandApdu.parse(bytes.fromhex(apdu))
    except (ValueError, ProtocolError) as error:
        raise ProtocolError(f"{place}: no C-APDU in hexadecimal: {_why(error)}") from None
    if expected and _SW.fullmatch(expected[0]) is None:
        raise ProtocolError(f"{place}: {expected[0]!r} is no status word; want such as 9000, 61XX or 9000|6283")
    if len(expected) == 2 and _DATA.fullmatch(expected[1]) is None:
        raise ProtocolError(f"{place}: the data expected is hexadecimal, with X for any digit and * at the end")
    sw = tuple(expected[0].split("|")) if expected else ()
    return Step(place, command, sw, expected[1] if len(expected) == 2 else None)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, ProtocolError) else "other characters in it"


def parse_script(text: str, source: str) -> tuple[Step, ...]:
    """Parse a script.

    Raises:
        ProtocolError: a line is malformed; the message names it.
    """
    steps = (_parse_line(line, f"{source}, line {number}") for number, line in enumerate(text.splitlines(), 1))
    return tuple(step for step in steps if step is not None)
