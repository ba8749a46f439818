"""The one interface to a secure element: every transport and the virtual card implement it.

Synchronous, one owning thread for each link.
"""

from __future__ import annotations

from typing import Protocol, Self, runtime_checkable

__all__ = ["Link"]


@runtime_checkable
class Link(Protocol):
    """A connection to one secure element over one interface."""

    def transmit(self, command: bytes) -> bytes:
        """Send one C-APDU and return its R-APDU, SW1 SW2 last.

        Raises:
            TransportError: the link failed; the card may or may not have run the command.
        """

    def reset(self) -> bytes:
        """Reset the card on this interface (sessions and channels are gone) and return its ATR."""

    def close(self) -> None:
        """Release the link; safe to call twice."""

    def __enter__(self) -> Self:
        """Return the link itself."""

    def __exit__(self, *exc_info: object) -> None:
        """Close the link."""
