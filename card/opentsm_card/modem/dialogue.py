"""One AT command and its answer: information lines, a final result code, and anything unsolicited between them."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import Final

from opentsm_card.errors import ProtocolError
from opentsm_card.modem.lines import LineReader

__all__ = ["AtDialogue", "AtResult", "is_answer", "parse_apdu", "parse_session", "plain_answer"]

_KEPT_LINES: Final = 16
_MAX_ERROR_CHARACTERS: Final = 80
# V.250 knows OK and ERROR, TS 27.007 and 27.005 add their own; some firmwares have words for an unknown command.
_ERRORS: Final = re.compile(r"ERROR$|\+CM[ES] ERROR: ?|COMMAND NOT SUPPORT$|TOO MANY PARAMETERS$")
_CME: Final = re.compile(r"\+CME ERROR: ?(\d{1,3})$")
_APDU: Final = re.compile(r' ?(\d{1,6}) ?, ?(?:"([0-9A-Fa-f]*)"|([0-9A-Fa-f]*))$')
_SESSION: Final = re.compile(r' ?"?([0-9A-Fa-f]{1,16})"?$')
_BARE_SESSION: Final = re.compile(r"\d{1,10}$")
# As the standard has it, and nothing else: an information line and OK, each between line ends (V.250, 5.7.1).
_PLAIN: Final[dict[str | None, re.Pattern[bytes]]] = {
    prefix: re.compile(rb'\r\n\+%b( \d{1,6},"[0-9A-F]*")\r\n\r\nOK\r\n' % prefix[1:].encode("ascii"))
    for prefix in ("+CSIM:", "+CGLA:")
}
_ANSWERS: Final = ("+CSIM:", "+CGLA:", "+CCHO:")


@dataclass(slots=True)
class AtResult:
    """What a modem answered to one command; nobody changes it, and not frozen it is made in a third of the time.

    Args:
        error: None for OK; else the final result code, as it came.
        cme: the number of a `+CME ERROR`, if it has one (TS 27.007, 9.2).
        answer: what follows the awaited prefix, or None when no such line came.
        text: the other lines, the last few; information text and unsolicited result codes look the same.
    """

    error: str | None
    cme: int | None
    answer: str | None
    text: tuple[str, ...]


class AtDialogue:
    """Reads the answer to one command.

    Args:
        command: the command line without its end, such as `AT+CSIM=10,"0070000001"`; its echo is recognized.
        prefix: what the information line begins with, such as `+CSIM:`; None when none is awaited.
        bare: whether digits alone are such a line too.
    """

    def __init__(self, command: str, prefix: str | None = None, *, bare: bool = False) -> None:
        self._command = command
        self._prefix = prefix
        self._bare = bare
        self._lines = LineReader()
        self._answer: str | None = None
        self._text: deque[str] = deque(maxlen=_KEPT_LINES)

    def feed(self, data: bytes) -> AtResult | None:
        """Take what arrived; return the answer once its final result code is there.

        Raises:
            ProtocolError: a line without end, two answers to one command, or something behind the result code that only
                another command's answer can be.
        """
        result: AtResult | None = None
        for line in self._lines.feed(data):
            if result is not None:
                if is_answer(line):
                    raise ProtocolError("the modem answers twice")
                continue
            result = self._take(line)
        return result

    def _take(self, line: str) -> AtResult | None:
        line = line.strip(" ")
        if line == self._command:
            return None
        if line == "OK":
            return self._result(None)
        if _ERRORS.match(line):
            return self._result(line[:_MAX_ERROR_CHARACTERS])
        if self._prefix is not None and line.startswith(self._prefix):
            self._keep(line.removeprefix(self._prefix))
        elif self._bare and _BARE_SESSION.match(line):
            self._keep(line)
        elif line.startswith(_ANSWERS):
            raise ProtocolError(f"the modem gives the answer to another command ({line[:5]})")
        else:
            self._text.append(line[:_MAX_ERROR_CHARACTERS])
        return None

    def _keep(self, answer: str) -> None:
        if self._answer is not None:
            raise ProtocolError("the modem gives two answers to one command")
        self._answer = answer

    def _result(self, error: str | None) -> AtResult:
        number = _CME.match(error) if error else None
        return AtResult(error, int(number[1]) if number else None, self._answer, tuple(self._text))


def plain_answer(prefix: str | None, data: bytes) -> AtResult | None:
    """Return the answer where `data` is the whole of it in the standard's plain form: what most answers are.

    Args:
        prefix: as of `AtDialogue`, which reads all others.
        data: the first that arrived after the command.
    """
    plain = _PLAIN.get(prefix)
    match = plain and plain.fullmatch(data)
    return AtResult(None, None, match[1].decode("ascii"), ()) if match else None


def is_answer(line: str) -> bool:
    """Tell whether a line can only belong to a command's answer, and never be unsolicited."""
    line = line.strip(" ")
    return line == "OK" or _ERRORS.match(line) is not None or line.startswith(_ANSWERS)


def parse_apdu(answer: str) -> bytes:
    """Parse `LENGTH,"HEX"`, behind `+CSIM:` or `+CGLA:`; the quotes may lack, the length counts hex digits.

    Raises:
        ProtocolError: it is not that, the length is another, or there is no status word.

    Spec: 3GPP TS 27.007, 8.17 and 8.45.
    """
    match = _APDU.match(answer)
    if match is None:
        raise ProtocolError('the modem\'s answer is not LENGTH,"HEX"')
    digits = match[2] if match[2] is not None else match[3]
    if int(match[1]) != len(digits) or len(digits) % 2:
        raise ProtocolError(f"the modem says {match[1]} hex digits, and gives {len(digits)}")
    if len(digits) < 4:
        raise ProtocolError("the modem's answer has no status word")
    return bytes.fromhex(digits)


def parse_session(answer: str) -> str:
    """Parse the session's handle that `+CCHO` gives: a number, and with some modems up to 16 hex digits.

    It names the session between host and modem, is handed back as it came, and is not the logical channel's number.

    Raises:
        ProtocolError: it is none.

    Spec: 3GPP TS 27.007, 8.43.
    """
    match = _SESSION.match(answer)
    if match is None:
        raise ProtocolError("the modem's answer to +CCHO is no session")
    return match[1]
