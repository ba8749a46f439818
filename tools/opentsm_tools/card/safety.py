"""What keeps a card from being bricked: who it is, what is asked before, and what is refused.

A card that counts authentication failures is lost after a few; TERMINATE and the deletion of the last key can't be
undone. So each session is announced before it is authenticated, one failure ends it, and the rest needs the card's
identifier, which proves that the person means this card.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from opentsm_card.errors import OpenTsmError
from opentsm_tools.card import failures

if TYPE_CHECKING:
    from opentsm_card.cplc import Cplc
    from opentsm_tools.card.channels import Offer

__all__ = ["CardIdentity", "Caution", "SafetyError"]


class SafetyError(OpenTsmError):
    """opentsm does not do this unless it is told that this card is meant."""


class Declared(Protocol):
    """Keys as they were declared, of whatever protocol."""

    @property
    def origin(self) -> str:
        """Where they come from, for people; no secret."""

    @property
    def public(self) -> bool:
        """True when these are test keys that everyone knows."""


@dataclass(frozen=True, slots=True)
class CardIdentity:
    """What tells a card from others.

    Args:
        atr: answer to reset.
        cplc: production life cycle data, or None.
        iin: issuer identification number (value of 42), or empty.
        cin: card image number (value of 45), or empty.
        diversification_data: of the answer to INITIALIZE UPDATE, or empty.
    """

    atr: bytes
    cplc: Cplc | None = None
    iin: bytes = b""
    cin: bytes = b""
    diversification_data: bytes = b""

    @property
    def identifier(self) -> str:
        """The card's identifier, in hex: of its chip (CPLC), else IIN and CIN, else its key diversification data.

        A card with none of these is known by its ATR, which it shares with others of its kind.
        """
        chip = self.cplc.chip_id if self.cplc is not None else None
        found = chip or (self.iin + self.cin if any(self.cin) else b"")
        if not found and any(self.diversification_data):
            found = self.diversification_data
        return (found or self.atr).hex().upper()


@dataclass(frozen=True, slots=True)
class Caution:
    """What the user has declared about the card.

    Args:
        test_card: it is a test card: keys that everyone knows may be tried.
        after_failure: go on although an authentication failed with it before.
        yes_card: identifier of the card for which dangerous operations are confirmed; None to ask.
    """

    test_card: bool = False
    after_failure: bool = False
    yes_card: str | None = None

    def before_authentication(self, identity: CardIdentity, offer: Offer, keys: Declared) -> None:
        """Refuse to authenticate where that could harm the card.

        Raises:
            SafetyError: an authentication failed before, or test keys with a card that is not declared a test card.
        """
        card = identity.identifier
        failure = failures.recall(card)
        if failure is not None and not self.after_failure:
            raise SafetyError(
                f"card {card}: an authentication failed before ({failure.describe()}). A card counts failures and "
                f"blocks itself for good. Find the right keys, then: opentsm card forget-failure {card}, or "
                "--after-failure for one more try"
            )
        if keys.public and not self.test_card:
            raise SafetyError(
                f"card {card} asks for key version {offer.key_version:#04x}, and the keys of {keys.origin} are "
                "published test keys: if this is a test card, say so with --test-card"
            )

    def failed(self, identity: CardIdentity, offer: Offer, reason: str) -> str:
        """Remember that an authentication failed, and return what to do about it."""
        card = identity.identifier
        failures.remember(card, key_version=offer.key_version, scp=offer.name, reason=reason)
        return (
            f"card {card} is not tried again until you say so: it may block itself after a few failures. Check the key "
            f"version, the keys and the diversification, then: opentsm card forget-failure {card}"
        )

    def succeeded(self, identity: CardIdentity) -> None:
        """Forget failures: the card's own counter starts anew too."""
        if failures.recall(identity.identifier) is not None:
            failures.forget(identity.identifier)
