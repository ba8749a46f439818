"""`opentsm card apply`: the wanted content of a card, declared in a file, brought about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opentsm_card.errors import CardError, SecureChannelError, TransportError
from opentsm_tools.card.apply_document import read_document
from opentsm_tools.card.apply_run import Applier
from opentsm_tools.card.apply_wanted import gather
from opentsm_tools.card.apply_words import bytes_to_load, describe_block, plan_lines, summary
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.listing import describe_registry
from opentsm_tools.card.options import CardCommand

if TYPE_CHECKING:
    from opentsm_card.plan import Block
    from opentsm_tools.card.apply_look import Look

__all__ = ["apply"]


@click.command("apply", cls=CardCommand)
@click.argument("document", metavar="CARD.TOML", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.pass_context
def apply(ctx: click.Context, document: Path, dry_run: bool) -> None:  # noqa: FBT001 - click's own
    """Bring a card into the state that a file declares: packages, security domains, keys, applications, locks.

    The card is read first, and only what differs is done, so a second run does nothing. A run that was cut off, at any
    APDU, is made good by running it again. What the file does not name is left alone. The file's format is in the
    manual: docs/apply.md.

    \b
    opentsm card --link pcsc:ACR --key-file isd.toml apply card.toml --dry-run
    opentsm card --link pcsc:ACR --key-file isd.toml apply card.toml
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    content = gather(read_document(document), document)
    with desk.card(secure=False) as card:
        applier = Applier(desk, card, content)
        look = applier.look()
        blocks = look.plan()
        report = _report(card.identity.identifier, look, blocks, dry_run=dry_run)
        if not dry_run and blocks:
            if not desk.options.as_json:
                click.echo("\n".join(_shown(look, blocks)))
            try:
                look = applier.run(look)
            except (TransportError, CardError, SecureChannelError):
                desk.note(f"not finished, after {applier.done} commands: run again, it goes on from where the card is")
                raise
            report |= {
                "done": applier.done,
                "receipts": applier.delegation.receipts,
                **describe_registry(look.registry),
            }
            desk.emit(report, f"done: {applier.done} commands; the card is as {document} says")
            return
        desk.emit(report, "\n".join(_shown(look, blocks)))


def _report(card: str, look: Look, blocks: tuple[Block, ...], *, dry_run: bool) -> dict[str, Any]:
    return {
        "card": card,
        "configuration": look.element.configuration.name,
        "differences": [str(difference) for difference in look.differences()],
        "plan": [describe_block(block) for block in blocks],
        "bytes_to_load": bytes_to_load(blocks),
        "free_bytes": look.free_bytes,
        "dry_run": dry_run,
        "done": 0,
        "receipts": [],
        **describe_registry(look.registry),
    }


def _shown(look: Look, blocks: tuple[Block, ...]) -> list[str]:
    return [*plan_lines(blocks), summary(blocks, look.free_bytes)]
