"""Tokens with content commands: what the options say, and what comes back.

A security domain with Delegated Management needs a token with each operation, and answers with a receipt. The token is
given (`--token`), made on the spot (`--token-key`), or its command is printed for whoever holds the key to sign
(`--print-command`, `opentsm card token sign`).

Spec: GP Card Specification 2.3.1, 9.2.3, 11.1.6.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import click

from opentsm_tools.card.options import HEX

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_card.delete import DeleteObject
    from opentsm_card.install import (
        InstallForExtradition,
        InstallForInstall,
        InstallForLoad,
        InstallForRegistryUpdate,
    )

    _Command = TypeVar(
        "_Command",
        bound=InstallForLoad | InstallForInstall | InstallForExtradition | InstallForRegistryUpdate | DeleteObject,
    )

__all__ = ["Authority", "receipt_words", "token_options"]


def token_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where the token of an operation comes from."""
    options = (
        click.option("--token", type=HEX, default=b"", help="Token that allows it, where the domain needs one."),
        click.option("--token-key", type=click.Path(path_type=Path), help="Key file to make the token with, now."),
        click.option("--token-number", type=HEX, default=b"", help="The token's number (93): a card takes each once."),
        click.option("--print-command", is_flag=True, help="Print the command for `token sign`, and send nothing."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Authority:
    """What `token_options` said.

    Args:
        token: given, or empty.
        token_key: file to sign with, or None.
        token_number: for the control reference template, or empty.
        print_command: only print.
    """

    token: bytes = b""
    token_key: Path | None = None
    token_number: bytes = b""
    print_command: bool = False

    @classmethod
    def of(cls, options: dict[str, Any]) -> Self:
        """Take the options out of a command's others.

        Raises:
            click.UsageError: a token is given and to be made.
        """
        names = ("token", "token_key", "token_number", "print_command")
        found = cls(**{name: options.pop(name) for name in names if name in options})
        if found.token and found.token_key is not None:
            raise click.UsageError("give either --token or --token-key")
        return found

    def authorize(self, command: _Command) -> _Command:
        """Return the command with its template and token.

        Raises:
            ProtocolError: the key file can't be had.
        """
        if self.token_number:
            from opentsm_card.tokens import TokenTemplate, with_template  # noqa: PLC0415 - for delegation only

            command = with_template(command, TokenTemplate(number=self.token_number))
        if self.token_key is not None:
            from opentsm_card.tokens import add_token  # noqa: PLC0415 - as above
            from opentsm_tools.card.signing_keys import read_signing_key  # noqa: PLC0415 - as above

            return add_token(command, read_signing_key(self.token_key))
        return replace(command, token=self.token) if self.token else command

    def show(self, *commands: _Command) -> bool:
        """Print the commands where only that is asked for; tell whether it was."""
        if self.print_command:
            for command in commands:
                click.echo(self.authorize(command).apdu().encode().hex().upper())
        return self.print_command


def receipt_words(answer: bytes) -> str:
    """Return what to say of the answer to a command of content management: nothing, or the confirmation in hex.

    Spec: GP Card Specification 2.3.1, 11.1.6 (confirmation: a length of 0 without delegated management).
    """
    return f"; confirmation {answer.hex().upper()}" if answer.strip(b"\0") else ""
