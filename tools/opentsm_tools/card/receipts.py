"""What comes back from delegated management: a confirmation, with a receipt in it."""

from __future__ import annotations

__all__ = ["receipt_words"]


def receipt_words(answer: bytes) -> str:
    """Return what to say of the answer to a command of content management: nothing, or the receipt in hex.

    Spec: GP Card Specification 2.3.1, 11.1.6 (confirmation: a length of 0 without delegated management).
    """
    return f"; receipt {answer.hex().upper()}" if answer.strip(b"\0") else ""
