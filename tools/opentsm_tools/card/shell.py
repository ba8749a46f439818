"""`opentsm card shell`: every subcommand, at one card that stays open.

Reads lines with the standard library's readline: history below $XDG_STATE_HOME/opentsm, completion of subcommands,
their options, and AIDs that came up. Lines that name keys are not kept.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from opentsm_card.aid import Aid
from opentsm_card.errors import OpenTsmError, TransportError
from opentsm_card.redaction import tells_secret
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.options import CardCommand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentsm_tools.card.manager import CardManager

__all__ = ["candidates", "shell"]

_LEAVE: Final = frozenset({"exit", "quit"})
_SECRET: Final = ("--key", "--new-key", "--pin")
_APDU: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){6,}")
_AID: Final = re.compile(r"\b[0-9A-F]{10,32}\b")
_HISTORY_LINES: Final = 1000


@click.command(cls=CardCommand)
@click.option("--keep-going", is_flag=True, help="Go on after a failed line of input that is no terminal's.")
@click.pass_context
def shell(ctx: click.Context, *, keep_going: bool) -> None:
    """Work at one card with every subcommand; the card and its secure channel stay open between them.

    Lines are subcommands without `opentsm card`: `list`, `install wallet.cap`, `send 00A4040000`. Also `select AID`,
    `reset`, `help` and `exit`. A secure channel is opened by the first subcommand that needs one. With input that is no
    terminal's, the first line that fails ends the shell with its exit code.

    \b
    opentsm card --link virtual:embedded shell
    echo list | opentsm card --link pcsc:ACR --key-file card.toml shell
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    if ctx.find_object(Desk) is not None:
        raise click.UsageError("this is a shell already")
    desk = Desk.of(ctx)
    group = ctx.parent.command if ctx.parent is not None else None
    assert isinstance(group, click.Group)
    interactive = sys.stdin.isatty()
    code = 0
    with desk.card(secure=False) as card:
        seat = Desk(desk.options, card)
        seen: set[str] = set()
        for line in _lines(group, seen, interactive=interactive):
            failed = _run(line, group, seat, card)
            seen.update(_AID.findall(line.upper()), card.aids)
            # At a terminal the person has seen what failed; a script's exit code must tell.
            code = code if interactive else failed or code
            if failed and not interactive and not keep_going:
                break
    ctx.exit(code)


def _run(line: str, group: click.Group, desk: Desk, card: CardManager) -> int:
    """Run one line and return its exit code; what goes wrong is said here, but for a link that is gone."""
    try:
        _do(shlex.split(line, comments=True), group, desk, card)
    except TransportError:
        raise
    except OpenTsmError as error:
        from opentsm_tools.main import exit_code  # noqa: PLC0415 - each knows the other

        click.echo(f"opentsm: {error}", err=True)
        return exit_code(error)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as left:
        return left.exit_code
    except (click.Abort, ValueError) as error:
        click.echo(f"opentsm: {str(error) or 'aborted'}", err=True)
        return 1 if isinstance(error, click.Abort) else 2
    return 0


def _do(words: list[str], group: click.Group, desk: Desk, card: CardManager) -> None:
    match words:
        case []:
            return
        case ["help"]:
            click.echo("\n".join([*group.list_commands(click.Context(group)), "select AID", "reset", "exit"]))
        case ["help", *rest]:
            _invoke(group, [*rest, "--help"], desk)
        case ["reset"]:
            click.echo(f"ATR {card.reset().hex().upper()}")
            card.select()
        case ["select", *_] if len(words) == 2:
            aid = Aid.from_text(words[1])
            card.select(aid)
            desk.options = replace(desk.options, sd=aid)
        case _:
            _invoke(group, words, desk)


def _invoke(group: click.Group, words: list[str], desk: Desk) -> None:
    with group.make_context("card", list(words), obj=desk) as context:
        group.invoke(context)


def _lines(group: click.Group, seen: set[str], *, interactive: bool) -> Iterator[str]:
    """Yield the lines of input, until its end or `exit`."""
    if not interactive:
        for line in sys.stdin:
            if line.strip() in _LEAVE:
                return
            yield line
        return
    import readline  # noqa: PLC0415 - not everywhere, and only needed at a terminal

    history = _history_path()
    if history.exists():
        readline.read_history_file(history)
    readline.set_history_length(_HISTORY_LINES)
    readline.set_completer_delims(" ")
    readline.parse_and_bind("tab: complete")
    readline.set_completer(lambda text, state: _nth(candidates(group, readline.get_line_buffer(), text, seen), state))
    try:
        while True:
            try:
                line = input("card> ")
            except EOFError:
                click.echo()
                return
            except KeyboardInterrupt:
                click.echo()
                continue
            if _is_secret(line):
                readline.remove_history_item(readline.get_current_history_length() - 1)
            if line.strip() in _LEAVE:
                return
            yield line
    finally:
        history.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        readline.write_history_file(history)
        history.chmod(0o600)


def _is_secret(line: str) -> bool:
    """Tell whether a line could hold a key, or an APDU with a PIN: it is not kept in the history."""
    if any(option in line for option in _SECRET):
        return True
    return any(tells_secret(bytes.fromhex(word)) for word in line.split() if _APDU.fullmatch(word))


def _history_path() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "opentsm" / "card-history"


def _nth(found: list[str], index: int) -> str | None:
    return found[index] if index < len(found) else None


def candidates(group: click.Group, line: str, text: str, seen: set[str]) -> list[str]:
    """Return what can stand where the cursor is.

    Args:
        group: the subcommands.
        line: the line so far.
        text: the word under the cursor.
        seen: AIDs that came up.
    """
    words = line[: len(line) - len(text)].split()
    context = click.Context(group)
    if not words:
        known = [*group.list_commands(context), "select", "reset", "help", "exit"]
        return [f"{name} " for name in known if name.startswith(text)]
    command: click.Command | None = group.get_command(context, words[0])
    if isinstance(command, click.Group):
        if len(words) == 1 and not text.startswith("-"):
            return [f"{name} " for name in command.list_commands(context) if name.startswith(text)]
        command = command.get_command(context, words[1]) if len(words) > 1 else command
    if command is None and words[0] not in {"select", "help"}:
        return []
    options = [] if command is None else [name for option in command.params for name in option.opts]
    found = [name for name in options if name.startswith("--")] if text.startswith("-") else sorted(seen)
    return [f"{name} " for name in found if name.upper().startswith(text.upper())]
