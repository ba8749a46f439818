"""AT commands that carry APDUs, without any input or output: lines, answers, and what single modems do otherwise.

Spec: 3GPP TS 27.007, 8.17 (+CSIM), 8.43 (+CGLA's session: +CCHO), 8.44 (+CCHC), 8.45 (+CGLA), 9.2 (+CME ERROR);
ITU-T V.250, 5.2 and 5.7 (command lines, result codes).
"""

from opentsm_card.modem.dialogue import AtDialogue, AtResult, is_answer, parse_apdu, parse_session, plain_answer
from opentsm_card.modem.lines import LineReader
from opentsm_card.modem.quirks import QUIRKS, ModemEntry, known_modems, modem_entry

__all__ = [
    "QUIRKS",
    "AtDialogue",
    "AtResult",
    "LineReader",
    "ModemEntry",
    "is_answer",
    "known_modems",
    "modem_entry",
    "parse_apdu",
    "parse_session",
    "plain_answer",
]
