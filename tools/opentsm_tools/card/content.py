"""`opentsm card delete`, `extradite`, `registry-update`: what is on the card, and whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from opentsm_card.delete import DeleteObject
from opentsm_card.errors import ProtocolError
from opentsm_card.install import InstallForExtradition, InstallForRegistryUpdate
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.privileges import Privilege
from opentsm_tools.card.delegation import Authority, receipt_words, token_options
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.options import AID, HEX, CardCommand
from opentsm_tools.card.words import hexed, privilege_names

if TYPE_CHECKING:
    from opentsm_card.aid import Aid

__all__ = ["delete", "extradite", "parse_privileges", "registry_update"]


def parse_privileges(text: str) -> Privilege:
    """Return privileges given as hex (1 or 3 bytes), or as names with commas between.

    Raises:
        click.BadParameter: neither.
    """
    try:
        return Privilege.parse(bytes.fromhex(text))
    except (ValueError, ProtocolError):
        pass
    found = Privilege.NONE
    for name in text.split(","):
        key = name.strip().upper().replace("-", "_").replace(" ", "_")
        if key not in Privilege.__members__ or key.startswith("RFU"):
            known = ", ".join(privilege.replace(" ", "-") for privilege in privilege_names(Privilege(0xFFFFF8)))
            raise click.BadParameter(f"no privilege {name.strip()!r}; want hex of 1 or 3 bytes, or some of {known}")
        found |= Privilege[key]
    return found


@click.command(cls=CardCommand)
@click.argument("aids", metavar="AID...", type=AID, nargs=-1, required=True)
@click.option("--related", is_flag=True, help="With a load file, its applications too.")
@token_options
@click.pass_context
def delete(ctx: click.Context, /, aids: tuple[Aid, ...], *, related: bool, **options: Any) -> None:  # noqa: ANN401 - see token_options
    """Delete applications, security domains and load files, in the order given.

    \b
    An application:                     opentsm card delete F06F70656E74736D0B000101
    A load file with its applications:  opentsm card delete --related F06F70656E74736D0101
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    authority = Authority.of(options)
    if authority.show(*(DeleteObject(aid, related) for aid in aids)):
        return
    deleted = []
    with desk.card() as card:
        for aid in aids:
            receipt = card.require(authority.authorize(DeleteObject(aid, related)), f"DELETE {aid}")
            deleted.append({"aid": str(aid), "receipt": hexed(receipt)})
            if not desk.options.as_json:
                click.echo(f"deleted {aid}{receipt_words(receipt)}")
    if desk.options.as_json:
        desk.emit({"deleted": deleted}, "")


@click.command(cls=CardCommand)
@click.argument("aid", type=AID)
@click.option("--to", "owner", type=AID, required=True, help="The security domain that it is to belong to.")
@token_options
@click.pass_context
def extradite(ctx: click.Context, /, aid: Aid, *, owner: Aid, **options: Any) -> None:  # noqa: ANN401 - see token_options
    """Hand an application or load file over to another security domain.

    It must belong to the security domain that is selected (--sd), or that one must have the right over it.

    \b
    opentsm card extradite F06F70656E74736D0B000101 --to F06F70656E74736D0A0001
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    authority = Authority.of(options)
    command = InstallForExtradition(owner, aid)
    if authority.show(command):
        return
    with desk.card() as card:
        receipt = card.require(authority.authorize(command), f"extradition of {aid} to {owner}")
    document = {"extradited": str(aid), "to": str(owner), "receipt": hexed(receipt)}
    desk.emit(document, f"{aid} belongs to {owner} now{receipt_words(receipt)}")


@click.command(cls=CardCommand)
@click.argument("aid", type=AID)
@click.option("--privileges", metavar="P", help="The new privileges: names with commas, or hex of 1 or 3 bytes.")
@click.option("--to", "owner", type=AID, help="The security domain that it is to belong to.")
@click.option("--implicit-selection", type=HEX, metavar="HEX", help="Implicit selection parameter, one byte.")
@token_options
@click.pass_context
def registry_update(
    ctx: click.Context,
    /,
    aid: Aid,
    *,
    privileges: str | None,
    owner: Aid | None,
    implicit_selection: bytes | None,
    **options: Any,  # noqa: ANN401 - see token_options
) -> None:
    """Change what the registry says of an application: privileges, owner, implicit selection.

    \b
    opentsm card registry-update F06F70656E74736D0B000101 --privileges card-reset,global-service
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    if privileges is None and owner is None and implicit_selection is None:
        raise click.UsageError("nothing to change: give --privileges, --to or --implicit-selection")
    if implicit_selection is not None and len(implicit_selection) != 1:
        raise click.BadParameter("--implicit-selection: want one byte, such as 81")
    wanted = None if privileges is None else parse_privileges(privileges)
    parameters = b""
    if implicit_selection is not None:
        parameters = InstallParameters(None, implicit_selection=implicit_selection[0]).encode()
    desk = Desk.of(ctx)
    authority = Authority.of(options)
    command = InstallForRegistryUpdate(aid, owner, wanted, parameters)
    if authority.show(command):
        return
    with desk.card() as card:
        receipt = card.require(authority.authorize(command), f"registry update of {aid}")
    desk.emit({"updated": str(aid), "receipt": hexed(receipt)}, f"registry of {aid} updated{receipt_words(receipt)}")
