"""Faults of a virtual modem, at the n-th line it answers.

    drop@12             line 12 is lost
    corrupt@12          one of its characters is another
    delay@12=2.5        it and what follows come so many seconds later
    unsolicited@12=RING this line comes before it
    stick@12            from it on nothing comes any more
    remove@12           before it the card is taken out of the modem
    reset@12            before it the card resets itself: its channels and what was selected are gone
    brownout@12         before it the card loses its power, until the modem is switched off and on (AT+CFUN)

An answer of the card that was to come as that line or behind it is lost with a card that is taken out or without power:
the modem answers an error, though the card has run the command. Several are separated by commas. Lines are counted from
1, since the modem was switched on; echo is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from opentsm_card.errors import ProtocolError

__all__ = ["CARD_KINDS", "KINDS", "ModemFault", "ModemFaults"]

KINDS: Final = ("drop", "corrupt", "delay", "unsolicited", "stick", "remove", "reset", "brownout")
CARD_KINDS: Final = ("remove", "reset", "brownout")
"""Those that happen to the card rather than to a line."""
_DEFAULT_DELAY_S: Final = 2.0
_LONGEST_DELAY_S: Final = 3600
_DEFAULT_TEXT: Final = "+CREG: 1"
_NEVER_S: Final = float("inf")


@dataclass(frozen=True, slots=True)
class ModemFault:
    """One fault.

    Args:
        kind: one of `KINDS`.
        at: the line it happens at, from 1.
        delay_s: of `delay`, in seconds.
        text: of `unsolicited`.
    """

    kind: str
    at: int
    delay_s: float = 0
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `KIND@N` or `KIND@N=VALUE`.

        Raises:
            ProtocolError: it is neither.
        """
        kind, _, rest = text.strip().partition("@")
        number, equals, value = rest.partition("=")
        if kind not in KINDS or not (number.isascii() and number.isdigit() and len(number) < 10) or not int(number):
            raise ProtocolError(f"fault {text!r}: want KIND@N with N from 1, KIND one of {', '.join(KINDS)}")
        if equals and kind not in {"delay", "unsolicited"}:
            raise ProtocolError(f"fault {text!r}: {kind} takes no value")
        if kind == "unsolicited":
            return cls(kind, int(number), text=value or _DEFAULT_TEXT)
        if kind != "delay":
            return cls(kind, int(number))
        try:
            delay_s = float(value) if equals else _DEFAULT_DELAY_S
        except ValueError as error:
            raise ProtocolError(f"fault {text!r}: {error}") from error
        if not 0 <= delay_s <= _LONGEST_DELAY_S:
            raise ProtocolError(f"fault {text!r}: a delay is 0 to {_LONGEST_DELAY_S} seconds")
        return cls(kind, int(number), delay_s)


class ModemFaults:
    """The faults of one modem; counts its lines.

    Args:
        faults: what is to happen.
    """

    def __init__(self, faults: tuple[ModemFault, ...] = ()) -> None:
        self._faults = faults
        self._lines = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse faults separated by commas; see the module.

        Raises:
            ProtocolError: one makes no sense.
        """
        return cls(tuple(ModemFault.parse(part) for part in text.split(",")))

    def next_line(self) -> list[str]:
        """Count a line, and return what happens to the card before it is sent, as kinds of faults."""
        self._lines += 1
        return [fault.kind for fault in self._faults if fault.at == self._lines and fault.kind in CARD_KINDS]

    def apply(self, line: str) -> tuple[float, list[str]]:
        """Return how long the line that was counted takes, in seconds (infinity: for ever), and what arrives."""
        delay_s = 0.0
        before: list[str] = []
        kept = True
        for fault in self._faults:
            if fault.kind == "stick" and self._lines >= fault.at:
                return _NEVER_S, []
            if fault.at != self._lines or fault.kind in CARD_KINDS:
                continue
            if fault.kind == "delay":
                delay_s += fault.delay_s
            elif fault.kind == "unsolicited":
                before.append(fault.text)
            elif fault.kind == "drop":
                kept = False
            else:
                middle = len(line) // 2
                line = line[:middle] + ("?" if line[middle] != "?" else "!") + line[middle + 1 :]
        return delay_s, [*before, line] if kept else before
