"""Status words and their meanings.

Spec: ISO/IEC 7816-4:2013, tables 5 and 6; GP Card Specification 2.3.1, table 11-10 and the status tables of chapter 11.
"""

from __future__ import annotations

__all__ = ["MEANINGS", "SW1_MEANINGS"]

MEANINGS: dict[int, str] = {
    0x9000: "done",
    0x6200: "logical channel already closed, or information not given",
    0x6283: "selected, but the card or application is locked or invalidated",
    0x6300: "authentication of the host cryptogram failed",
    0x6310: "more data available",
    0x6400: "no specific diagnosis; nothing changed",
    0x6438: "required application or service is missing or not in a fit state",
    0x6581: "memory failure",
    0x6700: "wrong length in Lc",
    0x6881: "logical channel not supported or not active",
    0x6882: "secure messaging not supported",
    0x6883: "last command of the chain expected",
    0x6884: "command chaining not supported",
    0x6982: "security status not satisfied",
    0x6983: "authentication method blocked",
    0x6984: "reference data not usable",
    0x6985: "conditions of use not satisfied",
    0x6986: "command not allowed",
    0x6987: "secure messaging data object missing",
    0x6988: "secure messaging data object incorrect",
    0x6999: "applet selection failed",
    0x6A80: "incorrect values in command data",
    0x6A81: "function not supported, or card locked",
    0x6A82: "file or application not found",
    0x6A84: "not enough memory space",
    0x6A86: "incorrect P1 P2",
    0x6A87: "Lc inconsistent with P1 P2",
    0x6A88: "referenced data not found",
    0x6A89: "already exists",
    0x6B00: "wrong P1 P2",
    0x6D00: "invalid instruction",
    0x6E00: "invalid class",
    0x6F00: "no precise diagnosis",
    0x9484: "algorithm not supported",
    0x9485: "invalid key check value",
}

# Where the second byte is a number.
SW1_MEANINGS: dict[int, str] = {
    0x61: "{sw2} more bytes available by GET RESPONSE",
    0x6C: "wrong Le, {sw2} would be right",
    0x91: "done, {sw2} bytes of a proactive command waiting",
}
