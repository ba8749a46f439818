"""`opentsm card token sign` and `receipt verify`: both ends of delegated management; no card is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from opentsm_card.apdu import CommandApdu
from opentsm_card.delete import DeleteKey, DeleteObject, parse_delete
from opentsm_card.errors import ProtocolError
from opentsm_card.install import InstallForPersonalization, parse_install
from opentsm_card.receipts import Confirmation, Operation
from opentsm_card.tokens import TokenTemplate, add_token, token_data, with_template
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.options import AID, HEX, CardCommand, CardGroup
from opentsm_tools.card.signing_keys import read_signing_key, read_verification_key
from opentsm_tools.card.words import hexed

if TYPE_CHECKING:
    from opentsm_card.aid import Aid
    from opentsm_card.install import (
        InstallForExtradition,
        InstallForInstall,
        InstallForLoad,
        InstallForMakeSelectable,
        InstallForRegistryUpdate,
    )

    _Signed = (
        InstallForLoad
        | InstallForInstall
        | InstallForMakeSelectable
        | InstallForExtradition
        | InstallForRegistryUpdate
        | DeleteObject
    )

__all__ = ["receipt", "sign", "token", "verify"]

_HERE: Final = "opentsm_tools.card.tokens"


@click.group(cls=CardGroup, lazy={"sign": (f"{_HERE}:sign", "Sign a command's token.")})
def token() -> None:
    """Make tokens: they let a security domain with Delegated Management load, install, extradite, update and delete."""


@click.group(cls=CardGroup, lazy={"verify": (f"{_HERE}:verify", "Verify a card's confirmation.")})
def receipt() -> None:
    """Verify receipts: what a card answers to a delegated operation, signed."""


def _parse(command: bytes) -> _Signed:
    """Return the command that a token is for.

    Raises:
        ProtocolError: it is none that takes a token.
    """
    apdu = CommandApdu.parse(command)
    parsed = parse_delete(apdu) if apdu.ins == DeleteObject.INS else parse_install(apdu)
    if isinstance(parsed, InstallForPersonalization | DeleteKey):
        raise ProtocolError(f"{parsed.NAME} takes no token")
    return parsed


@click.command(cls=CardCommand)
@click.argument("command", type=HEX)
@click.option("--token-key", "key_path", type=click.Path(path_type=Path), required=True, help="PEM, or TOML.")
@click.option("--number", type=HEX, default=b"", help="Number of the token (93), put into the command.")
@click.option("--provider", type=HEX, default=b"", help="IIN (42) of the domain that verifies it.")
@click.option("--image", type=HEX, default=b"", help="Image number (45) of that domain.")
@click.option("--application-provider", type=HEX, default=b"", help="Application provider identifier (5F20).")
@click.pass_context
def sign(
    ctx: click.Context,
    command: bytes,
    *,
    key_path: Path,
    number: bytes,
    provider: bytes,
    image: bytes,
    application_provider: bytes,
) -> None:
    """Sign the token of COMMAND, an INSTALL or DELETE in hex as `--print-command` prints it.

    Prints the token, and the whole command with it, which `opentsm card send --secure` sends. RSA up to 1024 bits signs
    with PKCS#1 v1.5 and SHA-1, longer with PSS and SHA-256, ECC with ECDSA; a symmetric key makes a MAC.

    \b
    opentsm card delete F06F70656E74736D0B000101 --print-command
    opentsm card token sign 80E40000… --token-key token.pem --number 0001
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    wanted = _parse(command)
    template = TokenTemplate(provider, image, application_provider, number)
    if template.encode():
        wanted = with_template(wanted, template)
    signed = add_token(wanted, read_signing_key(key_path))
    document = {
        "command": hexed(signed.apdu().encode()),
        "token": hexed(signed.token),
        "signed_data": hexed(token_data(signed)),
    }
    desk.emit(document, f"token   {document['token']}\ncommand {document['command']}")


@click.command(cls=CardCommand)
@click.argument("confirmation", type=HEX)
@click.option("--receipt-key", "key_path", type=click.Path(path_type=Path), required=True, help="PEM, or TOML.")
@click.option("--deleted", type=AID, help="What was deleted.")
@click.option("--loaded", type=AID, help="The load file that was loaded, with --to.")
@click.option("--installed", type=AID, help="The application that was installed, with --from.")
@click.option("--extradited", type=AID, help="What was extradited, with --from and --to.")
@click.option("--from", "source", type=AID, help="Its load file; of an extradition, its old security domain.")
@click.option("--to", "owner", type=AID, help="The security domain that it belongs to now.")
@click.option("--after", type=click.IntRange(0, 0x7FFF), help="Counter of the last receipt from this card.")
@click.option("--unique-data", type=HEX, help="Card unique data (42 and 45) that it must name.")
@click.option("--token-number", type=HEX, help="Number of the token that was used.")
@click.pass_context
def verify(  # noqa: PLR0913 - one argument an option
    ctx: click.Context,
    confirmation: bytes,
    *,
    key_path: Path,
    deleted: Aid | None,
    loaded: Aid | None,
    installed: Aid | None,
    extradited: Aid | None,
    source: Aid | None,
    owner: Aid | None,
    after: int | None,
    unique_data: bytes | None,
    token_number: bytes | None,
) -> None:
    """Verify CONFIRMATION, the answer to a delegated operation in hex, against what the operation was.

    Exit code 1 when the receipt does not verify, or is another card's, another token's, or an old one.

    \b
    opentsm card receipt verify 1A10… --receipt-key receipt.toml --deleted F06F70656E74736D0B000101 --after 41
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    operation = _operation(deleted, loaded, installed, extradited, source, owner)
    parsed = Confirmation.parse(confirmation)
    if parsed is None:
        raise ProtocolError("no receipt in it: the operation was not delegated")
    key = read_verification_key(key_path)
    parsed.check(key, operation, unique_data=unique_data, after=after, token_number=token_number)
    document = {
        "counter": parsed.counter,
        "unique_data": hexed(parsed.unique_data),
        "token_number": hexed(parsed.token_number),
    }
    number = f", token {document['token_number']}" if parsed.token_number else ""
    desk.emit(document, f"the receipt verifies: number {parsed.counter} of card {document['unique_data']}{number}")


def _operation(
    deleted: Aid | None,
    loaded: Aid | None,
    installed: Aid | None,
    extradited: Aid | None,
    source: Aid | None,
    owner: Aid | None,
) -> Operation:
    """Return the operation that the options name.

    Raises:
        click.UsageError: none, several, or one without what goes with it.
    """
    if [deleted, loaded, installed, extradited].count(None) != 3:
        raise click.UsageError("what was done? Give one of --deleted, --loaded, --installed and --extradited")
    if deleted is not None:
        return Operation.delete(deleted)
    if loaded is not None and owner is not None:
        return Operation.load(loaded, owner)
    if installed is not None and source is not None:
        return Operation.install(source, installed)
    if extradited is not None and source is not None and owner is not None:
        return Operation.extradite(extradited, source, owner)
    raise click.UsageError("--loaded goes with --to, --installed with --from, --extradited with both")
