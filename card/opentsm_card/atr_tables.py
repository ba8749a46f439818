"""Tables of the answer to reset.

Spec: ISO/IEC 7816-3:2006, tables 7 and 8; ISO/IEC 7816-4:2013, 12.1.1 and tables 116 to 119.
"""

from __future__ import annotations

__all__ = ["BIT_RATE_FACTORS", "CAPABILITIES", "CLOCK_RATE_FACTORS", "HISTORICAL_TAGS"]

# Fi by the high half of TA1.
CLOCK_RATE_FACTORS: dict[int, int] = {
    0: 372, 1: 372, 2: 558, 3: 744, 4: 1116, 5: 1488, 6: 1860, 9: 512, 10: 768, 11: 1024, 12: 1536, 13: 2048,
}  # fmt: skip

# Di by its low half.
BIT_RATE_FACTORS: dict[int, int] = {1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 32, 7: 64, 8: 12, 9: 20}

HISTORICAL_TAGS: dict[int, str] = {
    0x1: "country code and data",
    0x2: "issuer identification number",
    0x3: "card service data",
    0x4: "initial access data",
    0x5: "card issuer's data",
    0x6: "pre-issuing data",
    0x7: "card capabilities",
    0x8: "status indicator",
    0xF: "application identifier",
}

# Byte, bit and meaning within card capabilities.
CAPABILITIES: tuple[tuple[int, int, str], ...] = (
    (0, 0x80, "selection by full DF name"),
    (0, 0x40, "selection by partial DF name"),
    (0, 0x20, "selection by path"),
    (0, 0x10, "selection by file identifier"),
    (0, 0x08, "implicit DF selection"),
    (0, 0x04, "short EF identifiers"),
    (0, 0x02, "record numbers"),
    (0, 0x01, "record identifiers"),
    (2, 0x80, "command chaining"),
    (2, 0x40, "extended Lc and Le"),
    (2, 0x20, "extended length information in EF.ATR"),
    (2, 0x10, "channel number assigned by the card"),
    (2, 0x08, "channel number assigned by the host"),
)
