"""How a card with contacts transmits: answer to reset, PPS, T=0 and T=1, with no input or output of their own.

Spec: ISO/IEC 7816-3:2006.
"""

from __future__ import annotations

from opentsm_card.transmission.activation import Active, CardSide, activate
from opentsm_card.transmission.events import Conversation, Port, perform
from opentsm_card.transmission.t0 import exchange_t0

__all__ = ["Active", "CardSide", "Conversation", "Port", "activate", "exchange_t0", "perform"]
