"""What a card's answers say, and what commands are called, as `CardManager` needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentsm_card.aid import Aid
from opentsm_card.errors import ProtocolError
from opentsm_card.tlv import find, parse_all, parse_one

if TYPE_CHECKING:
    from opentsm_card.apdu import CommandApdu

__all__ = ["is_domain", "name_of", "selected_aid", "value_of"]


def name_of(apdu: CommandApdu) -> str:
    """Return a command's name, with its form where it has several and is not secured."""
    # All commands are loaded only to speak of one that failed.
    from opentsm_card.commands import command_name, parse_command  # noqa: PLC0415 - see above

    try:
        return str(getattr(parse_command(apdu), "NAME", command_name(apdu.ins)))
    except ProtocolError:
        return command_name(apdu.ins)


def value_of(raw: bytes | None) -> bytes:
    """Return the value of a data object that may have come without tag and length."""
    if raw is None:
        return b""
    try:
        return parse_one(raw).value
    except ProtocolError:
        return raw


def selected_aid(fci: bytes) -> Aid | None:
    """Return the AID in a SELECT's answer (6F, 84), or None.

    Spec: GP Card Specification 2.3.1, 11.9.3.1.
    """
    try:
        template = find(parse_all(fci), 0x6F)
        aid = find(parse_all(template), 0x84) if template is not None else None
        return Aid(aid) if aid else None
    except ProtocolError:
        return None


def is_domain(fci: bytes) -> bool:
    """Tell whether an answer to the default SELECT looks like a security domain's: an FCI with 84."""
    return selected_aid(fci) is not None
