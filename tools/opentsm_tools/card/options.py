"""The options that every subcommand takes, before or behind its name: link, security domain, keys, output.

Each option's value goes into the context's `meta`, which a group and its subcommand share; `given` puts them together.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from opentsm_card.aid import Aid
from opentsm_card.errors import ProtocolError
from opentsm_tools.card.key_sources import DIVERSIFICATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["AID", "HEX", "CardCommand", "CardGroup", "Given", "given", "number"]

_META: Final = "opentsm.card.given"


class _AidType(click.ParamType[Aid]):
    name = "AID"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Aid:
        """Parse hex, or text behind a bar as pySim and others write it (`|2PAY.SYS.DDF01|`)."""
        if isinstance(value, Aid):
            return value
        text = str(value)
        try:
            if len(text) > 2 and text[0] == text[-1] == "|":
                return Aid(text[1:-1].encode("ascii"))
            return Aid.from_text(text)
        except (ProtocolError, UnicodeEncodeError) as error:
            self.fail(str(error), param, ctx)


class _HexType(click.ParamType[bytes]):
    name = "HEX"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """Parse hex; the error does not quote it."""
        if isinstance(value, bytes):
            return value
        try:
            return bytes.fromhex(str(value))
        except ValueError:
            self.fail("not hexadecimal", param, ctx)


AID: Final = _AidType()
HEX: Final = _HexType()


def number(text: str, name: str, largest: int = 0x7F) -> int:
    """Return a number given as hex with 0x, or decimal.

    Raises:
        click.BadParameter: no number, or out of range.
    """
    try:
        value = int(text, 0)
    except ValueError:
        raise click.BadParameter(f"{name} {text!r}: want a number, such as 48 or 0x30") from None
    if not 0 <= value <= largest:
        raise click.BadParameter(f"{name} {text}: want 0 to {largest}")
    return value


@dataclass(frozen=True, slots=True)
class Given:
    """What the shared options said; None where nothing."""

    link: str | None = None
    sd: Aid | None = None
    key: str | None = None
    key_enc: str | None = None
    key_mac: str | None = None
    key_dek: str | None = None
    key_version: str | None = None
    key_file: Path | None = None
    keystore: Path | None = None
    key_name: str | None = None
    passphrase_file: Path | None = None
    pkcs11: str | None = None
    scp11: Path | None = None
    diversification: str | None = None
    security: str | None = None
    card_profile: str | None = None
    test_card: bool = False
    after_failure: bool = False
    yes_card: str | None = None
    timeout_s: float | None = None
    trace: Path | None = None
    as_json: bool = False


# Name, click's arguments, help; in the order of the help.
_KEYS: Final[tuple[tuple[str, dict[str, Any], str], ...]] = (
    (
        "--link",
        {"metavar": "URI", "envvar": "OPENTSM_CARD_LINK"},
        "pcsc:READER, tcp:HOST:PORT, uart:DEVICE, modem:DEVICE, modemmanager:MODEM, stdio:COMMAND, virtual:PROFILE, …",
    ),
    ("--sd", {"type": AID}, "Security domain to work with.  [default: the issuer's]"),
    ("--key", {"metavar": "HEX"}, "One key for ENC, MAC and DEK. Others on this machine can see command lines."),
    ("--key-enc", {"metavar": "HEX"}, "ENC key, with --key-mac and --key-dek."),
    ("--key-mac", {"metavar": "HEX"}, "MAC key."),
    ("--key-dek", {"metavar": "HEX"}, "Data encryption key."),
    ("--key-file", {"type": click.Path(path_type=Path)}, "TOML or JSON file with key, or enc, mac, dek (mode 600)."),
    ("--keystore", {"type": click.Path(path_type=Path)}, "Encrypted key store, with --key-name."),
    ("--key-name", {"metavar": "NAME"}, "Name of the keys in the key store."),
    ("--pkcs11", {"metavar": "URI"}, "Keys in a token: pkcs11:token=LABEL;object=NAME?module-path=FILE."),
    (
        "--scp11",
        {"type": click.Path(path_type=Path)},
        "TOML file with keys and certificates for SCP11 (see the manual).",
    ),
    ("--passphrase-file", {"type": click.Path(path_type=Path)}, "Its first line opens the key store."),
    ("--key-version", {"metavar": "N"}, "Key version to ask for.  [default: the card's own choice]"),
    (
        "--diversification",
        {"type": click.Choice(DIVERSIFICATIONS)},
        "How the card's keys derive from these.  [default: none]",
    ),
    ("--security", {"metavar": "LEVEL"}, "01, 03, 11, 13 or 33.  [default: the strongest that the card offers]"),
    (
        "--card-profile",
        {"metavar": "NAME"},
        "What is known of such cards: one of `opentsm card profiles`, or a .toml file.",
    ),
    ("--test-card", {"is_flag": True}, "This is a test card: published test keys may be tried."),
    ("--after-failure", {"is_flag": True}, "Go on although an authentication failed with this card before."),
    ("--yes-card", {"metavar": "ID"}, "Confirm dangerous operations with this card (`opentsm card info`)."),
    ("--timeout", {"type": click.FloatRange(0.1, 3600)}, "Seconds to wait for one answer.  [default: 30]"),
    (
        "--trace",
        {"type": click.Path(path_type=Path)},
        "Write all APDUs to a file that replay: reads; to one that Wireshark reads where it is named *.pcapng.",
    ),
    ("--json", {"is_flag": True}, "Print one JSON object."),
)
_FIELDS: Final = {"--timeout": "timeout_s", "--json": "as_json"}


def _keep(field: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, _param: click.Parameter, value: Any) -> None:  # noqa: ANN401 - any option's value
        if value not in (None, False):
            ctx.meta.setdefault(_META, {})[field] = value

    return callback


def _shared(*, hidden: bool) -> list[click.Parameter]:
    options: list[click.Parameter] = []
    for name, arguments, text in _KEYS:
        field = _FIELDS.get(name, name[2:].replace("-", "_"))
        keeper = _keep(field)
        options.append(
            click.Option([name, field], help=text, hidden=hidden, expose_value=False, callback=keeper, **arguments)
        )
    return options


def given(ctx: click.Context) -> Given:
    """Return what the shared options of this command line said."""
    known = {field.name for field in fields(Given)}
    return Given(**{name: value for name, value in ctx.meta.get(_META, {}).items() if name in known})


class CardCommand(click.Command):
    """A subcommand that takes the shared options too; its help points to where they are described."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **kwargs)
        self.params += _shared(hidden=True)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Point to the shared options."""
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text("--link, --sd, --key, --json and more: see `opentsm card --help`.")


class CardGroup(click.Group):
    """A group whose subcommands are imported when they are used.

    Args:
        lazy: module and attribute, and one line of help, by name.
        shared: take the shared options, and show them.
    """

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]], shared: bool = False, **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **kwargs)
        self._lazy = lazy
        self.params += _shared(hidden=not shared)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the subcommands without importing them."""
        del ctx
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        del ctx
        if cmd_name not in self._lazy:
            return None
        import importlib  # noqa: PLC0415 - already there whenever this runs

        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands with their one-line help, without importing them."""
        del ctx
        rows: Sequence[tuple[str, str]] = [(name, text) for name, (_, text) in self._lazy.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
