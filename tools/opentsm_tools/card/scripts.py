"""`opentsm card send`: APDUs, one by one or as a script with expectations (`opentsm_card.apdu_script`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from opentsm_card.apdu_script import ExpectationError, Step, parse_script
from opentsm_card.errors import ProtocolError
from opentsm_card.status import meaning
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.options import CardCommand

if TYPE_CHECKING:
    from opentsm_tools.card.manager import CardManager

__all__ = ["send"]

_MAX_FILE_BYTES: Final = 1 << 20


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
