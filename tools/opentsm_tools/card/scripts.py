"""`opentsm card send`: APDUs, one by one or as a script with expectations.

A line of a script: the C-APDU in hex, then the status word expected, then the data expected, both if wanted:

    00A4040000  9000|6283  6F*     # X stands for any digit, * at the end for anything more
    80CA9F7F00  9000
    reset
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import OpenTsmError, ProtocolError
from opentsm_card.status import meaning
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.options import CardCommand

if TYPE_CHECKING:
    from opentsm_tools.card.manager import CardManager

__all__ = ["ExpectationError", "Step", "parse_script", "send"]

_SW: Final = re.compile(r"[0-9A-FX]{4}(\|[0-9A-FX]{4})*")
_DATA: Final = re.compile(r"([0-9A-FX]{2})*\*?")
_MAX_FILE_BYTES: Final = 1 << 20


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


def parse_line(line: str, place: str) -> Step | None:
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
    steps = (parse_line(line, f"{source}, line {number}") for number, line in enumerate(text.splitlines(), 1))
    return tuple(step for step in steps if step is not None)


def _read(script: Path) -> tuple[Step, ...]:
    if str(script) == "-":
        return parse_script(sys.stdin.read(_MAX_FILE_BYTES), "standard input")
    try:
        return parse_script(script.read_text(encoding="utf-8")[:_MAX_FILE_BYTES], str(script))
    except OSError as error:
        raise ProtocolError(f"{script}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{script}: not UTF-8 at byte {error.start}") from error


@click.command(cls=CardCommand)
@click.argument("apdus", metavar="[APDU]...", nargs=-1)
@click.option("--script", type=click.Path(path_type=Path), help="File of lines APDU [SW] [data]; - for standard input.")
@click.option("--secure", is_flag=True, help="In a secure channel, which is opened first: give APDUs in the clear.")
@click.option("--keep-going", is_flag=True, help="Go on after an answer that was not expected.")
@click.pass_context
def send(ctx: click.Context, apdus: tuple[str, ...], script: Path | None, *, secure: bool, keep_going: bool) -> None:
    """Send APDUs: those on the command line, or a script with expectations.

    A script's line is APDU [SW] [data]: status words such as 9000, 61XX or 9000|6283, data in hex with X for any digit
    and * for the rest. A line `reset` resets the card. Exit code 1 when an answer was not expected.

    \b
    opentsm card send 00A4040000 80CA9F7F00
    opentsm card send --script check.apdu
    opentsm card send --secure 80F240024F00
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    if bool(apdus) == (script is not None):
        raise click.UsageError("give either APDUs or --script")
    steps = _read(script) if script is not None else parse_script("\n".join(apdus), "command line")
    desk = Desk.of(ctx)
    exchanges: list[dict[str, Any]] = []
    wrong: list[str] = []
    with desk.card(secure=secure) as card:
        for step in steps:
            exchange = _run(card, step, secure=secure)
            exchanges.append(exchange)
            if not desk.options.as_json:
                _show(exchange)
            if exchange["wrong"]:
                wrong.append(f"{step.place}: {exchange['wrong']}")
                if not keep_going:
                    break
    if desk.options.as_json:
        desk.emit({"exchanges": exchanges}, "")
    if wrong:
        raise ExpectationError("; ".join(wrong))


def _run(card: CardManager, step: Step, *, secure: bool) -> dict[str, Any]:
    if step.apdu is None:
        return {"reset": card.reset().hex().upper(), "wrong": ""}
    # Without --secure the bytes go out as they stand, whatever channel a shell has open.
    response = card.send(step.apdu) if secure else card.plain(step.apdu)
    return {
        "command": step.apdu.encode().hex().upper(),
        "data": response.data.hex().upper(),
        "sw": f"{response.sw:04X}",
        "means": meaning(response.sw),
        "wrong": step.check(response),
    }


def _show(exchange: dict[str, Any]) -> None:
    if "reset" in exchange:
        click.echo(f"^ {exchange['reset']}")
        return
    click.echo(f"> {exchange['command']}")
    click.echo(f"< {exchange['data']}{' ' if exchange['data'] else ''}{exchange['sw']} ({exchange['means']})")
