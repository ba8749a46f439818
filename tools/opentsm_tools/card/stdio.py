"""`opentsm card stdio`: a card for a `stdio:` link, which may be on another machine."""

from __future__ import annotations

import sys

import click

from opentsm_agent.links.stdio import serve_stdio
from opentsm_tools.card.links import open_card_link
from opentsm_tools.card.options import CardCommand, given

__all__ = ["stdio"]


@click.command(cls=CardCommand)
@click.pass_context
def stdio(ctx: click.Context) -> None:
    """Answer the requests of a `stdio:` link from standard input, by the card behind --link.

    A card in the reader of another machine is a link by ssh:

    \b
    opentsm card --link 'stdio:ssh bench opentsm card --link pcsc:ACR stdio' list

    Requests and answers are lines of JSON (the manual, "Links"). The end of standard input gives the card free.
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    options = given(ctx)
    if options.link is None:
        raise click.UsageError("which card? Give --link, such as --link pcsc:READER")
    link, atr = open_card_link(options.link, options.timeout_s or 30.0)
    with link:
        serve_stdio(link, atr, sys.stdin.buffer, sys.stdout.buffer)
