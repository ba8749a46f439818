"""What modems do otherwise than TS 27.007 says, as data (`quirks.toml`): for the host, and for the virtual modem."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final, Literal

import msgspec

from opentsm_card.documents import parse_toml
from opentsm_card.errors import ProtocolError

__all__ = ["QUIRKS", "WAYS", "ModemEntry", "Way", "known_modems", "modem_entry"]

Way = Literal["ccho", "csim", "basic"]

WAYS: Final[tuple[Way, ...]] = ("ccho", "csim", "basic")
"""How a card is reached, in the order in which they are tried: a session of the modem's (+CCHO, +CGLA), a logical
channel opened by MANAGE CHANNEL (+CSIM), the basic channel, which the modem itself uses (+CSIM)."""

QUIRKS: Final[dict[str, str]] = {
    "no-test": "test commands (=?) of what it can are answered ERROR",
    "bare-session": "+CCHO is answered by the session's number alone, without +CCHO:",
    "long-handle": "+CCHO gives 16 hex digits",
    "no-space": "no space behind +CSIM: and +CGLA:",
    "no-quotes": "hex digits of answers are not quoted",
    "no-ccho": "there are no +CCHO, +CCHC, +CGLA",
    "ccho-fails": "+CCHO is there and always refused",
    "csim-no-open": "MANAGE CHANNEL by +CSIM is refused",
    "csim-basic-only": "commands on logical channels by +CSIM are refused, though one can be opened",
    "echo-stays": "what is sent comes back, whatever ATE says",
    "bare-cr": "lines end with a carriage return alone",
    "word-errors": "refusals are words: COMMAND NOT SUPPORT",
    "chatty": "unsolicited result codes stand between all lines",
}
"""All quirks, and what each is."""


class ModemEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One modem of the table.

    Args:
        name: as people call it.
        model: what its answer to AT+CGMM holds.
        source: where its behaviour is described.
        quirks: what it does otherwise.
        ways: how its card is to be reached, where not every way is worth a try.
    """

    name: str
    model: str
    source: str
    quirks: tuple[str, ...]
    ways: tuple[Way, ...] = WAYS


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    modem: tuple[ModemEntry, ...]


@cache
def known_modems() -> tuple[ModemEntry, ...]:
    """Return the table."""
    text = resources.files("opentsm_card.modem").joinpath("quirks.toml").read_bytes()
    modems = parse_toml(text, _Table, "quirks.toml").modem
    for entry in modems:
        if unknown := set(entry.quirks) - set(QUIRKS):
            raise ProtocolError(f"quirks.toml: {entry.name}: no quirk {', '.join(sorted(unknown))}")
    return modems


def modem_entry(model: str) -> ModemEntry | None:
    """Return the table's entry for what a modem answered to AT+CGMM, or None."""
    return next((entry for entry in known_modems() if entry.model.lower() in model.lower()), None)
