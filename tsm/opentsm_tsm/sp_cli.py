"""`opentsm sp`: act as a service provider's TSM."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opentsm_card.errors import ProtocolError
from opentsm_tsm.sp import Account, SpTsm
from opentsm_tsm.sp.kinds import AccountInput
from opentsm_tsm.sp.setup import create_folder
from opentsm_tsm.wire import WireError, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_tsm.wire import Message

__all__ = ["sp"]

_config = click.option(
    "--config", "path", type=click.Path(path_type=Path), default="sp.toml", show_default=True, help="The sp.toml."
)
_se = click.option("--se", required=True, help="The SE's identifier (`opentsm sp eligibility` tells it).")
_service = click.option("--service", required=True, help="A [[service]] of the configuration.")
_qualifier = click.option("--qualifier", required=True, help="Which customer's instance of the service.")
_conversation = click.option("--conversation", help="Use this conversation (`opentsm sp begin`).")


def _show(message: Message) -> None:
    """Print a reply as indented JSON."""
    click.echo(json.dumps(json.loads(encode(message)), indent=2))


def _hex(_context: click.Context, parameter: click.Parameter, value: Any) -> Any:  # noqa: ANN401 - click's callback
    """Return the bytes of one or several hexadecimal arguments."""
    try:
        return tuple(bytes.fromhex(text) for text in value) if isinstance(value, tuple) else bytes.fromhex(value)
    except ValueError as error:
        raise ProtocolError(f"{parameter.name}: {value!r} is not hexadecimal") from error


def _accounts(path: Path) -> list[Account]:
    """Return the accounts of a file; an error names the file and the place in it."""
    try:
        written = decode(path.read_bytes(), tuple[AccountInput, ...])
    except WireError as error:
        raise ProtocolError(f"{path}: {error}") from None
    accounts: list[Account] = []
    for position, data in enumerate(written):
        try:
            accounts.append(data.account())
        except ProtocolError as error:
            raise ProtocolError(f"{path}: $[{position}]: {error}") from None
        if data.uid in [earlier.uid for earlier in accounts[:-1]]:
            raise ProtocolError(f"{path}: $[{position}].uid: an account before it has the same")
    return accounts


@click.group()
def sp() -> None:
    """Act as a service provider's TSM.

    It holds the provider's keys, wraps its own scripts, and asks the central TSM to relay them. A new customer:

    \b
        opentsm sp eligibility +491700000001
        opentsm sp deploy --se ESE --service payment --qualifier customer-1
        opentsm sp rotate-keys --se ESE
        opentsm sp personalize --se ESE --service payment --qualifier customer-1 --accounts accounts.json
        opentsm sp activate --se ESE --service payment --qualifier customer-1

    Every operation is kept before it is sent: after a crash or Ctrl-C, `opentsm sp resume` brings it to its end.
    Replies are JSON on standard output; what is being waited for is told on standard error.
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("opentsm: %(message)s"))
    told = logging.getLogger("opentsm_tsm.sp")
    told.handlers = [handler]
    told.setLevel(logging.INFO)


@sp.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), required=True, help="A new or empty folder.")
@click.option("--id", "name", required=True, help="The provider's name at the central TSM.")
@click.option("--sd", callback=_hex, required=True, help="AID of its security domain on every SE, hex.")
@click.option("--tsm", "url", required=True, help="https://HOST:PORT of the central TSM.")
def init(folder: Path, name: str, sd: bytes, url: str) -> None:
    """Make the folder of an SP TSM: encrypted key store, keys, certificate request, sp.toml."""
    create_folder(folder, name, sd, url)
    click.echo(f"{folder / 'sp.toml'}: made. To the central TSM's operator: client.csr.pem, transport.pub.pem.")
    click.echo("Put the certificate that comes back into client.pem and its authority's into tsm-ca.pem;")
    click.echo("then add a [[service]] table for each service (name, instance AID, label, priority).")


@sp.command()
@_config
@click.argument("msi")
def eligibility(path: Path, msi: str) -> None:
    """Show the data of the SE of a subscriber: MSI is an MSISDN or IMSI."""
    with SpTsm.open(path) as tsm:
        _show(tsm.eligibility(msi))


@sp.command()
@_config
@_se
def begin(path: Path, se: str) -> None:
    """Begin a conversation: wake the device over its network. Prints the conversation's id."""
    with SpTsm.open(path) as tsm:
        click.echo(tsm.begin(se))


@sp.command()
@_config
@_se
@click.argument("conversation")
def end(path: Path, se: str, conversation: str) -> None:
    """End a conversation."""
    with SpTsm.open(path) as tsm:
        tsm.end(se, conversation)


@sp.command()
@_config
@_se
@_service
@_qualifier
@_conversation
def deploy(path: Path, se: str, service: str, qualifier: str, conversation: str | None) -> None:
    """Have security domain (with temporary keys) and application made on the SE: pre-personalization."""
    with SpTsm.open(path) as tsm:
        _show(tsm.deploy(se, service, qualifier, conversation=conversation))


@sp.command("rotate-keys")
@_config
@_se
@_conversation
def rotate_keys(path: Path, se: str, conversation: str | None) -> None:
    """Replace the keys of the security domain by new ones that nobody else has."""
    with SpTsm.open(path) as tsm:
        _show(tsm.rotate_keys(se, conversation=conversation))


@sp.command()
@_config
@_se
@_service
@_qualifier
@_conversation
@click.option(
    "--accounts",
    "accounts_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help='JSON: [{"uid": "32 hex digits", "pan": "…", "expiry": "YYMMDD", "label": "…"}, …]',
)
def personalize(
    path: Path, se: str, service: str, qualifier: str, conversation: str | None, accounts_file: Path
) -> None:
    """Write accounts under a service qualifier."""
    accounts = _accounts(accounts_file)
    with SpTsm.open(path) as tsm:
        _show(tsm.personalize(se, service, qualifier, accounts, conversation=conversation))


@sp.command()
@_config
@_se
@_service
@_conversation
def accounts(path: Path, se: str, service: str, conversation: str | None) -> None:
    """Read from the SE which accounts the service holds."""
    with SpTsm.open(path) as tsm:
        _show(tsm.accounts(se, service, conversation=conversation))


def _suspension(action: Any, text: str) -> Callable[..., None]:  # noqa: ANN401 - one of four literals
    """Return the command of one action of `suspend_or_resume`."""

    @sp.command(action, help=text)
    @_config
    @_se
    @click.option("--service", help="One service; without it, all this provider has on the SE.")
    @click.option("--qualifier", help="Which customer's instance of the service.")
    @_conversation
    def command(path: Path, se: str, service: str | None, qualifier: str | None, conversation: str | None) -> None:
        if (service is None) != (qualifier is None):
            raise click.UsageError("--service and --qualifier go together")
        with SpTsm.open(path) as tsm:
            _show(tsm.suspend_or_resume(se, action, service=service, qualifier=qualifier, conversation=conversation))

    return command


activate = _suspension("activate", "Make a service selectable, and active on the contactless interface.")
deactivate = _suspension("deactivate", "Take a service off the contactless interface.")
lock = _suspension("lock", "Lock a service, or all this provider has on the SE.")
unlock = _suspension("unlock", "Unlock a service, or all this provider has on the SE.")


@sp.command("delete-account")
@_config
@_se
@_service
@_qualifier
@_conversation
@click.argument("uids", nargs=-1, callback=_hex)
def delete_account(
    path: Path, se: str, service: str, qualifier: str, conversation: str | None, uids: tuple[bytes, ...]
) -> None:
    """Delete accounts by their unique identifiers UIDS (hex), or all of the qualifier when none is given."""
    with SpTsm.open(path) as tsm:
        _show(tsm.delete_accounts(se, service, qualifier, uids, conversation=conversation))


@sp.command("delete-instance")
@_config
@_se
@_conversation
@click.argument("aid", callback=_hex)
def delete_instance(path: Path, se: str, conversation: str | None, aid: bytes) -> None:
    """Delete the application instance AID (hex)."""
    with SpTsm.open(path) as tsm:
        _show(tsm.delete_instance(se, aid, conversation=conversation))


@sp.command("delete-service")
@_config
@_se
@_service
@_qualifier
@_conversation
def delete_service(path: Path, se: str, service: str, qualifier: str, conversation: str | None) -> None:
    """Delete a service with all that is its own."""
    with SpTsm.open(path) as tsm:
        _show(tsm.delete_service(se, service, qualifier, conversation=conversation))


@sp.command()
@_config
@_se
@_conversation
@click.confirmation_option(prompt="Delete everything of this provider on the SE?")
def terminate(path: Path, se: str, conversation: str | None) -> None:
    """Delete everything of this provider on the SE, its security domain with it."""
    with SpTsm.open(path) as tsm:
        _show(tsm.terminate(se, conversation=conversation))


@sp.command()
@_config
@click.option("--se", help="The SE; without it the central TSM finds it by the qualifier.")
@_service
@_qualifier
@_conversation
def renew(path: Path, se: str | None, service: str, qualifier: str, conversation: str | None) -> None:
    """Renew a service by its qualifier: deleted, installed anew, extradited, activated."""
    with SpTsm.open(path) as tsm:
        _show(tsm.renew(service, qualifier, se=se, conversation=conversation))


@sp.command()
@_config
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def operations(path: Path, *, as_json: bool) -> None:
    """List this SP TSM's operations, the oldest first."""
    with SpTsm.open(path) as tsm:
        for row in tsm.operations():
            if as_json:
                fields = ("operation_id", "kind", "se", "state", "error", "created", "updated")
                click.echo(json.dumps({name: getattr(row, name) for name in fields}))
            else:
                click.echo(f"{row.operation_id}  {row.state:8}  {row.kind:15}  {row.se}  {row.error or ''}".rstrip())


@sp.command()
@_config
def resume(path: Path) -> None:
    """Bring every operation that a killed process left to its end."""
    with SpTsm.open(path) as tsm:
        for row in tsm.resume():
            click.echo(f"{row.operation_id}  {row.state}  {row.error or ''}".rstrip())


@sp.command()
@_config
@click.argument("operation_id")
@click.option("--accept/--reset", "accept", required=True, help="Take it as done, or as not done.")
def resolve(path: Path, operation_id: str, *, accept: bool) -> None:
    """Settle an operation in doubt that no probe could settle."""
    with SpTsm.open(path) as tsm:
        tsm.resolve(operation_id, accept=accept)
