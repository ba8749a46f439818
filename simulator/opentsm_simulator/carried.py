"""What a front needs of the SE that it carries: a virtual SE has it, and so may a card that is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from opentsm_card.link import Link
    from opentsm_simulator.virtual_se import Interface

__all__ = ["Carried"]


class Carried(Protocol):
    """A secure element behind a front."""

    @property
    def se_id(self) -> str:
        """Its identity, for people."""

    @property
    def atr(self) -> bytes:
        """Its answer to reset; the protocols that it offers are those the front speaks."""

    def link(self, interface: Interface = "contact") -> Link:
        """Open a link to an interface, which is reset when it begins and loses power when it is closed."""
