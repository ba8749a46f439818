"""Bring a card into the state of a `card.toml`: look, plan, do, look again.

Nothing is kept between two runs. Each begins by reading the card, so whatever cut the last one off, on either side of
the card's answer, the next one goes on from where the card is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card.delete import DeleteKey
from opentsm_card.errors import OpenTsmError, SecureChannelError
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForMakeSelectable,
    InstallForRegistryUpdate,
)
from opentsm_card.lifecycle import CardState
from opentsm_card.load import load_blocks, load_file
from opentsm_card.plan import (
    LoadPackage,
    PutKeySet,
    PutTemporaryKeys,
    apply_block,
    install_for_load,
)
from opentsm_card.set_status import SetStatus, StatusType
from opentsm_tools.card.apply_delegation import Delegation
from opentsm_tools.card.apply_look import Looker
from opentsm_tools.card.apply_words import describe_command
from opentsm_tools.card.key_commands import send_keys
from opentsm_tools.card.loading import send_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentsm_card.aid import Aid
    from opentsm_card.plan import Block, PlannedCommand
    from opentsm_tools.card.apply_look import Look
    from opentsm_tools.card.apply_wanted import Content
    from opentsm_tools.card.desk import Desk
    from opentsm_tools.card.manager import CardManager

__all__ = ["Applier"]

# A plan ends behind a command whose effect only the card knows, so that several may follow one another.
_MAX_PLANS: Final = 16
_IRREVERSIBLE: Final = frozenset({CardState.INITIALIZED, CardState.SECURED, CardState.TERMINATED})


class Applier:
    """One run of `apply` on one card.

    Args:
        desk: options and output.
        card: open.
        content: the wanted content.

    Raises:
        RefusedError, ProtocolError: see `Looker`.
    """

    def __init__(self, desk: Desk, card: CardManager, content: Content) -> None:
        self._desk = desk
        self._card = card
        self._content = content
        self._looker = Looker(desk, card, content)
        self.delegation = Delegation(content.token_key, content.receipt_key)
        self.done = 0

    def look(self) -> Look:
        """Read the card; leaves a secure channel open."""
        return self._looker.look()

    def run(self, look: Look) -> Look:
        """Do all that is wanted, and return the last look, at which there was nothing left to do.

        Raises:
            PlanError: it can't be done, or does not come about.
            OpenTsmError: the card or the link failed; the next run goes on from there.
        """
        before: tuple[Block, ...] = ()
        for _ in range(_MAX_PLANS):
            blocks = look.plan()
            if not blocks:
                return look
            if blocks == before:
                break  # the card confirmed all of it, and shows nothing
            before = blocks
            self._confirm(blocks, look)
            self._run(blocks, look)
            if any(_ends_the_card(command) for block in blocks for command in block.commands):
                return look
            look = self.look()
        left = "; ".join(map(str, look.differences()))
        raise OpenTsmError(f"the card does not come into the wanted state: {left}")

    def _run(self, blocks: Sequence[Block], look: Look) -> None:
        total = sum(len(block.commands) for block in blocks)
        registry, number = look.registry, 0
        for planned in blocks:
            block, receipts = self.delegation.allow(planned, registry)
            for position, command in enumerate(block.commands):
                number += 1
                verb, aid, details = describe_command(command, block.target)
                words = " ".join(word for word in (verb, str(aid or ""), details and f"({details})") if word)
                self._desk.note(f"[{number}/{total}] {words}")
                self._looker.open(block, look)
                answer = self._do(command, block, words)
                self.done += 1
                if position in receipts:
                    self.delegation.confirmed(answer, receipts[position])
            registry = apply_block(registry, block)

    def _confirm(self, blocks: Sequence[Block], look: Look) -> None:
        """Refuse what has no tokens, and have a person confirm what can't be undone."""
        registry = look.registry
        locked = look.registry.isd is not None and look.registry.isd.state == CardState.CARD_LOCKED
        for block in blocks:
            self.delegation.require(block, registry)
            registry = apply_block(registry, block)
            for command in block.commands:
                if isinstance(command, DeleteKey) and block.target == self._looker.issuer:
                    version = f"{command.key_version or 0:#04x}"
                    self._desk.confirm(self._card, f"delete key version {version} of the issuer security domain")
                elif isinstance(command, SetStatus) and command.status_type is StatusType.CARD:
                    state = CardState(command.state)
                    if state in _IRREVERSIBLE and not (locked and state is CardState.SECURED):
                        self._desk.confirm(self._card, f"bring the card into {state.name}, from where none leads back")

    def _do(self, command: PlannedCommand, block: Block, what: str) -> bytes:
        """Send a planned command, and return the answer to it or to its last part."""
        match command:
            case LoadPackage():
                return self._load(command)
            case PutTemporaryKeys() | PutKeySet():
                self._put_keys(block.target, command.version)
                return b""
            case (
                InstallForInstall() | InstallForMakeSelectable() | InstallForExtradition() | InstallForRegistryUpdate()
            ):
                return self._card.require(command, what)
            case _:
                return self._card.require(command, what)

    def _load(self, command: LoadPackage) -> bytes:
        card = self._card
        package = self._content.packages[command.package]
        blocks = load_blocks(load_file(package.block), card.max_data_bytes)
        card.require(install_for_load(command), f"load {command.package}")
        return send_blocks(card, blocks)

    def _put_keys(self, domain: Aid, version: int) -> None:
        material = self._looker.declared(domain).get(version)
        if material is None:
            raise SecureChannelError(f"security domain {domain}: no keys of version {version:#04x} are declared")
        send_keys(self._card, material, 0)


def _ends_the_card(command: PlannedCommand) -> bool:
    return (
        isinstance(command, SetStatus)
        and command.status_type is StatusType.CARD
        and command.state == CardState.TERMINATED
    )
