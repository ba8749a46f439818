"""Status words by name, and what they mean to people.

Spec: ISO/IEC 7816-4:2013, 5.1.3; GP Card Specification 2.3.1, 11.1.3.
"""

from __future__ import annotations

from enum import IntEnum

from opentsm_card.status_tables import MEANINGS, SW1_MEANINGS

__all__ = ["StatusWord", "meaning"]


class StatusWord(IntEnum):
    """The status words that opentsm's cards and hosts use."""

    DONE = 0x9000
    WARNING_CHANNEL_CLOSED = 0x6200
    WARNING_LOCKED = 0x6283
    AUTHENTICATION_FAILED = 0x6300
    MORE_DATA_AVAILABLE = 0x6310
    EXECUTION_ERROR = 0x6400
    MEMORY_FAILURE = 0x6581
    WRONG_LENGTH = 0x6700
    CHANNEL_NOT_SUPPORTED = 0x6881
    SECURE_MESSAGING_NOT_SUPPORTED = 0x6882
    LAST_COMMAND_EXPECTED = 0x6883
    COMMAND_CHAINING_NOT_SUPPORTED = 0x6884
    SECURITY_STATUS_NOT_SATISFIED = 0x6982
    CONDITIONS_NOT_SATISFIED = 0x6985
    COMMAND_NOT_ALLOWED = 0x6986
    SECURE_MESSAGING_INCORRECT = 0x6988
    APPLET_SELECT_FAILED = 0x6999
    INCORRECT_DATA = 0x6A80
    FUNCTION_NOT_SUPPORTED = 0x6A81
    FILE_NOT_FOUND = 0x6A82
    NOT_ENOUGH_MEMORY = 0x6A84
    INCORRECT_P1P2 = 0x6A86
    REFERENCED_DATA_NOT_FOUND = 0x6A88
    ALREADY_EXISTS = 0x6A89
    WRONG_P1P2 = 0x6B00
    INS_NOT_SUPPORTED = 0x6D00
    CLA_NOT_SUPPORTED = 0x6E00
    UNKNOWN = 0x6F00
    ALGORITHM_NOT_SUPPORTED = 0x9484
    INVALID_KEY_CHECK_VALUE = 0x9485


def meaning(sw: int) -> str:
    """Return what a status word means, in a few words of English.

    Args:
        sw: status word, 0..0xFFFF.
    """
    sw1, sw2 = sw >> 8, sw & 0xFF
    if sw in MEANINGS:
        return MEANINGS[sw]
    if sw1 in SW1_MEANINGS:
        return SW1_MEANINGS[sw1].format(sw2=sw2 or 256)
    if sw & 0xFFF0 == 0x63C0:
        return f"verification failed, {sw & 0x0F} tries left"
    if sw1 in {0x62, 0x63}:
        return "warning"
    if 0x64 <= sw1 <= 0x6F:
        return "error"
    return "unknown status word"
