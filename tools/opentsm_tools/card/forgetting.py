"""`opentsm card forget-failure`: let a card be tried again."""

from __future__ import annotations

import click

from opentsm_tools.card import failures
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.options import CardCommand

__all__ = ["forget_failure"]


@click.command(cls=CardCommand)
@click.argument("card_id", metavar="[ID]", required=False)
@click.pass_context
def forget_failure(ctx: click.Context, card_id: str | None) -> None:
    """Let a card be tried again after a failed authentication; without ID, list the cards that are remembered.

    \b
    opentsm card forget-failure
    opentsm card forget-failure 4F5400010A3B5C77E1F2
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    if card_id is None:
        known = failures.recall_all()
        document = {"failures": [{"card": item.card, "failure": item.describe()} for item in known]}
        text = "\n".join(f"{item.card}  {item.describe()}" for item in known)
        desk.emit(document, text or "no card is remembered")
        return
    wanted = card_id.upper()
    if not wanted.isalnum():
        raise click.BadParameter(f"card {card_id!r}: an identifier is hexadecimal")
    forgotten = failures.forget(wanted)
    text = f"card {wanted} can be tried again" if forgotten else f"no failure of card {wanted} was remembered"
    desk.emit({"card": wanted, "forgotten": forgotten}, text)
