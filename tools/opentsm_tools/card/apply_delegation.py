"""Tokens for what `apply` does by delegation, and the receipts that come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentsm_card.errors import SecureChannelError
from opentsm_card.plan import PlanError, Refusal, authorized, delegated
from opentsm_card.receipts import Confirmation
from opentsm_card.tokens import add_token
from opentsm_tools.card.words import hexed

if TYPE_CHECKING:
    from opentsm_card.plan import Block, Delegated
    from opentsm_card.registry import Registry
    from opentsm_card.signatures import SigningKey, VerificationKey

__all__ = ["Delegation"]


class Delegation:
    """Signs tokens and verifies receipts, and keeps those of one run.

    Args:
        token_key: signs tokens; None to refuse what needs one.
        receipt_key: verifies receipts; None to take them as they come.
    """

    def __init__(self, token_key: SigningKey | None, receipt_key: VerificationKey | None) -> None:
        self._token_key = token_key
        self._receipt_key = receipt_key
        self._counter: int | None = None
        self.receipts: list[dict[str, Any]] = []

    def require(self, block: Block, registry: Registry) -> None:
        """Refuse a block that needs tokens when there is no key to sign them.

        Raises:
            PlanError: which tokens are wanted.
        """
        wanted = delegated(registry, block) if block.tokens else ()
        if wanted and self._token_key is None:
            listed = ", ".join(each.command.NAME for each in wanted)
            why = f"it manages by delegation, and has no tokens for: {listed}; name a token_key in [delegation]"
            raise PlanError(Refusal.PRIVILEGE, why, security_domain=block.target)

    def allow(self, block: Block, registry: Registry) -> tuple[Block, dict[int, Delegated]]:
        """Return a block with its tokens, and what each receipt must be for, by position."""
        wanted = delegated(registry, block) if block.tokens else ()
        if not wanted:
            return block, {}
        assert self._token_key is not None, "refused before"
        key = self._token_key
        tokens = {each.position: add_token(each.command, key).token for each in wanted}
        return authorized(block, tokens), {each.position: each for each in wanted}

    def confirmed(self, answer: bytes, each: Delegated) -> None:
        """Verify the receipt in an answer, and keep it.

        Raises:
            SecureChannelError: it is no receipt for this operation, or there is none.
            ProtocolError: malformed.
        """
        confirmation = Confirmation.parse(answer)
        if confirmation is None:
            if self._receipt_key is not None:
                raise SecureChannelError(f"{each.command.NAME}: done, and the card gave no receipt")
            return
        if self._receipt_key is not None:
            confirmation.check(self._receipt_key, each.operation, after=self._counter)
        self._counter = confirmation.counter
        self.receipts.append(
            {
                "command": each.command.NAME,
                "receipt": hexed(confirmation.receipt),
                "confirmation": hexed(confirmation.data),
                "counter": confirmation.counter,
                "verified": self._receipt_key is not None,
            }
        )
