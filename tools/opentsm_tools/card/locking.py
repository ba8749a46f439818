"""`opentsm card lock`, `unlock`, `terminate`: life cycles of applications, security domains and the card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from opentsm_card.lifecycle import CardState
from opentsm_card.set_status import SetStatus, StatusType
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.options import AID, CardCommand

if TYPE_CHECKING:
    from opentsm_card.aid import Aid

__all__ = ["advance", "lock", "terminate", "unlock"]

_LOCKED = 0x80
_UNLOCKED = 0x00


def _set_lock(ctx: click.Context, aid: Aid | None, *, lock: bool, whole_card: bool, tree: bool) -> None:
    """Lock or unlock an application, a security domain with or without all under it, or the card.

    Spec: GP Card Specification 2.3.1, 11.10.
    """
    if (aid is None) == (not whole_card):
        raise click.UsageError("give either an AID or --card")
    if whole_card and tree:
        raise click.UsageError("--with-applications goes with a security domain's AID")
    if aid is None:
        command = SetStatus(StatusType.CARD, CardState.CARD_LOCKED if lock else CardState.SECURED)
    else:
        kind = StatusType.SECURITY_DOMAIN_AND_APPLICATIONS if tree else StatusType.APPLICATION
        command = SetStatus(kind, _LOCKED if lock else _UNLOCKED, aid)
    what, verb = "the card" if aid is None else str(aid), "lock" if lock else "unlock"
    desk = Desk.of(ctx)
    with desk.card() as card:
        card.require(command, f"{verb} {what}")
    desk.emit({f"{verb}ed": what}, f"{what} is {verb}ed")


@click.command(cls=CardCommand)
@click.argument("aid", type=AID, required=False)
@click.option("--with-applications", "tree", is_flag=True, help="A security domain with everything under it.")
@click.option("--card", "whole_card", is_flag=True, help="The whole card: it answers nothing but its management.")
@click.pass_context
def lock(ctx: click.Context, aid: Aid | None, *, tree: bool, whole_card: bool) -> None:
    """Lock an application, a security domain, or the card: what is locked can't be selected.

    \b
    opentsm card lock F06F70656E74736D0B000101
    opentsm card lock F06F70656E74736D0A0001 --with-applications
    opentsm card lock --card
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    _set_lock(ctx, aid, lock=True, whole_card=whole_card, tree=tree)


@click.command(cls=CardCommand)
@click.argument("aid", type=AID, required=False)
@click.option("--with-applications", "tree", is_flag=True, help="A security domain with everything under it.")
@click.option("--card", "whole_card", is_flag=True, help="The whole card, which goes back to SECURED.")
@click.pass_context
def unlock(ctx: click.Context, aid: Aid | None, *, tree: bool, whole_card: bool) -> None:
    """Unlock an application, a security domain, or the card.

    \b
    opentsm card unlock F06F70656E74736D0B000101
    opentsm card unlock --card
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    _set_lock(ctx, aid, lock=False, whole_card=whole_card, tree=tree)


@click.command(cls=CardCommand)
@click.argument("state", type=click.Choice(["initialized", "secured"]))
@click.pass_context
def advance(ctx: click.Context, state: str) -> None:
    """Advance the card's life cycle to INITIALIZED or SECURED; there is no way back.

    A SECURED card needs the issuer's keys for everything. The card's identifier must be typed, or given with
    --yes-card.

    \b
    opentsm card advance secured --yes-card 4F5400010A3B5C77E1F2
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    with desk.card() as card:
        desk.confirm(card, f"advance the card to {state.upper()}, from where it never comes back")
        card.require(SetStatus(StatusType.CARD, CardState[state.upper()]), f"advance the card to {state.upper()}")
    desk.emit({"state": state.upper()}, f"the card is {state.upper()}")


@click.command(cls=CardCommand)
@click.pass_context
def terminate(ctx: click.Context) -> None:
    """Terminate the card, for ever: it then answers GET DATA, and nothing else.

    The card's identifier must be typed, or given with --yes-card.

    \b
    opentsm card terminate --yes-card 4F5400010A3B5C77E1F2
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    with desk.card() as card:
        desk.confirm(card, "TERMINATE the card: it will be good for nothing, for ever")
        card.require(SetStatus(StatusType.CARD, CardState.TERMINATED), "terminate the card")
    desk.emit({"terminated": card.identity.identifier}, f"card {card.identity.identifier} is terminated")
