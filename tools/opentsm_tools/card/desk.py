"""What a subcommand works at: the options given, the card once it is opened, and where the output goes.

One `Desk` serves one command, or a whole shell: there the card stays open, and each line's command finds it so.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, cast

import click

from opentsm_card.errors import CardError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_tools.card import links
from opentsm_tools.card.channels import parse_level
from opentsm_tools.card.key_choice import declared_keys, declared_scp11
from opentsm_tools.card.key_sources import Material
from opentsm_tools.card.manager import CardManager
from opentsm_tools.card.options import Given, given
from opentsm_tools.card.safety import Caution, SafetyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentsm_card.aid import Aid
    from opentsm_card.card_profiles import CardProfile
    from opentsm_card.link import Link
    from opentsm_tools.card.key_sources import KeySource
    from opentsm_tools.card.scp11_entry import Scp11Entry

__all__ = ["Desk", "caution"]

# What a line in a shell can't change: it would need another link or session.
_OF_THE_SESSION = frozenset(Given.__dataclass_fields__) - {"yes_card", "as_json", "after_failure"}


class Desk:
    """The place of one command.

    Args:
        options: what the shared options said.
        card: the open card of a shell, or None.
    """

    def __init__(self, options: Given, card: CardManager | None = None) -> None:
        self.options = options
        self._open = card

    @classmethod
    def of(cls, ctx: click.Context) -> Self:
        """Return the desk of a command's context; in a shell, the shell's, with this line's options.

        Raises:
            click.UsageError: a line in a shell wants another link, security domain or key.
        """
        options = given(ctx)
        shell = ctx.find_object(cls)
        if shell is None:
            return cls(options)
        changed = {name: getattr(options, name) for name in Given.__dataclass_fields__ if getattr(options, name)}
        if options.link in {shell.options.link, os.environ.get("OPENTSM_CARD_LINK")}:
            changed.pop("link", None)
        if other := sorted(_OF_THE_SESSION & set(changed)):
            raise click.UsageError(f"--{other[0].replace('_', '-')} belongs to the shell: leave it, and start it so")
        merged = replace(shell.options, **changed)
        if shell._open is not None:  # noqa: SLF001 - the class's own
            shell._open.caution = caution(merged, shell._open.caution.test_card)  # noqa: SLF001 - the class's own
        return cls(merged, shell._open)  # noqa: SLF001 - the class's own

    # Output.

    def note(self, line: str) -> None:
        """Tell the person what happens, on standard error."""
        click.echo(line, err=True)

    def emit(self, document: dict[str, Any], text: str) -> None:
        """Print the result: the document with --json, the text without."""
        if self.options.as_json:
            import json  # noqa: PLC0415 - people read text

            text = json.dumps(document)
        click.echo(text)

    def confirm(self, card: CardManager, doing: str) -> None:
        """Have a person confirm that this card is meant, by its identifier: with --yes-card, or typed now.

        Args:
            card: the card.
            doing: what is about to happen, such as `TERMINATE the card, for ever`.

        Raises:
            SafetyError: not confirmed, or for another card.
        """
        identifier = card.identity.identifier
        answer = self.options.yes_card
        if answer is None:
            if not sys.stdin.isatty():
                raise SafetyError(f"this would {doing}: if card {identifier} is meant, add --yes-card={identifier}")
            self.note(f"This would {doing}.")
            answer = str(click.prompt(f"Type the identifier of the card to go on ({identifier})", err=True))
        if answer.strip().upper() != identifier:
            raise SafetyError(f"not done: this is card {identifier}, and {answer.strip()!r} was confirmed")

    # The card.

    @contextmanager
    def card(self, *, secure: bool = True, sd: Aid | None = None) -> Iterator[CardManager]:
        """Give the card, opened and selected; closed afterwards, but for a shell's.

        Args:
            secure: open a secure channel too.
            sd: the security domain to work with; that of --sd, or the issuer's, by default.

        Raises:
            ProtocolError: no link or keys are given, or make no sense.
            TransportError, CardError, SecureChannelError, SafetyError: see `CardManager`.
        """
        if self._open is not None:
            self._prepare(self._open, secure=secure, sd=sd, fresh=False)
            yield self._open
            return
        source = self._declared() if secure else None
        link, atr = self._link()
        with link:
            card = self._manager(link, atr)
            self._prepare(card, secure=secure, sd=sd, fresh=True, source=source)
            yield card

    def _link(self) -> tuple[Link, bytes]:
        uri = self.options.link
        if uri is None:
            raise click.UsageError("which card? Give --link pcsc:READER, tcp:HOST:PORT or virtual:PROFILE")
        link, atr = links.open_card_link(uri, self.options.timeout_s or 30.0)
        if self.options.trace is None:
            return link, atr
        try:
            return links.traced(link, atr, self.options.trace, uri), atr
        except BaseException:
            link.close()
            raise

    def _manager(self, link: Link, atr: bytes) -> CardManager:
        scheme = (self.options.link or "").partition(":")[0]
        known = self._known()
        declared = scheme in links.SELF_DECLARED or (known is not None and known.test_card)
        card = CardManager(
            link,
            atr,
            caution=caution(self.options, declared),
            note=self.note,
            issuer=None if known is None else known.issuer_aid,
            parameters=None if known is None else known.parameters(),
            challenge=links.challenges(link),
        )
        if isinstance(link, links.TracedLink):
            link.encrypted = lambda: bool((card.level or 0) & SecurityLevel.C_DECRYPTION)
        return card

    def key_source(self) -> KeySource:
        """Return the keys that the options declare.

        Raises:
            ProtocolError, StorageError: they can't be had.
            click.UsageError: none, or several sources are named.
        """
        return declared_keys(self.options, self.note)

    def _declared(self) -> KeySource | Scp11Entry:
        return declared_scp11(self.options) or self.key_source()

    def _known(self) -> CardProfile | None:
        """Return the card profile that is named, or None."""
        if self.options.card_profile is None:
            return None
        from opentsm_card.card_profiles import load_card_profile  # noqa: PLC0415 - rarely needed

        return load_card_profile(self.options.card_profile)

    def _prepare(
        self,
        card: CardManager,
        *,
        secure: bool,
        sd: Aid | None,
        fresh: bool,
        source: KeySource | Scp11Entry | None = None,
    ) -> None:
        wanted = sd or self.options.sd
        if fresh:
            try:
                card.select()
            except CardError:
                # A card may hide its issuer security domain; then the one that is named must tell who the card is.
                if wanted is None:
                    raise
                card.select(wanted)
            card.identify()
            if wanted is not None and wanted != card.selected:
                card.select(wanted)
        elif secure and (card.selected is None or (wanted is not None and wanted != card.selected)):
            card.select(wanted or b"")
        if secure and not card.authenticated:
            source = source or self._declared()
            if isinstance(source, Material) and source.test_card:
                card.caution = replace(card.caution, test_card=True)
            level = None if self.options.security is None else parse_level(self.options.security)
            if self.options.scp11 is not None:
                card.agree(cast("Scp11Entry", source), level)
            else:
                card.authenticate(cast("KeySource", source), level)


def caution(options: Given, test_card: bool) -> Caution:  # noqa: FBT001 - named at each call
    """Return what the options declare about the card."""
    return Caution(options.test_card or test_card, options.after_failure, options.yes_card)
