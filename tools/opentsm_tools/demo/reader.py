"""A payment reader: what a terminal sees of an SE on the contactless interface, with no key at all.

Spec: EMV Contactless Book B, 3.3 (PPSE); EMV Book 1, 11 and 12 (SELECT, READ RECORD), Book 3, 6.5.8 (GET PROCESSING
OPTIONS).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card import tlv
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import ProtocolError
from opentsm_card.status import StatusWord

if TYPE_CHECKING:
    from opentsm_card.link import Link

__all__ = ["PPSE", "Listed", "PaymentReader", "Record"]

PPSE: Final = b"2PAY.SYS.DDF01"
_NOT_FOUND: Final = frozenset({0x6A81, 0x6A82, 0x6283, 0x6985, 0x6999, 0x6D00, 0x6E00})


@dataclass(frozen=True, slots=True)
class Listed:
    """One application in the PPSE."""

    aid: bytes
    label: str
    priority: int


@dataclass(frozen=True, slots=True)
class Record:
    """One account as a terminal reads it."""

    pan: str
    expiry: str


class PaymentReader:
    """A terminal in front of an SE.

    Args:
        link: the contactless interface.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self.apdus = 0

    def _send(self, command: CommandApdu) -> ResponseApdu:
        self.apdus += 1
        return ResponseApdu.parse(self._link.transmit(command.encode()))

    def select(self, aid: bytes) -> bytes | None:
        """Select an application; return its FCI, or None when it can't be selected."""
        answer = self._send(CommandApdu(0x00, 0xA4, 0x04, 0x00, aid, 256))
        if answer.sw in _NOT_FOUND:
            return None
        return answer.require("SELECT")

    def directory(self) -> tuple[Listed, ...] | None:
        """Return what the PPSE lists, in its order, or None when there is no PPSE to select."""
        fci = self.select(PPSE)
        if fci is None:
            return None
        proprietary = tlv.find(tlv.parse_one(fci).children(), 0xA5)
        discretionary = tlv.find(tlv.parse_all(proprietary or b""), 0xBF0C)
        listed = []
        for entry in tlv.find_all(tlv.parse_all(discretionary or b""), 0x61):
            members = tlv.parse_all(entry)
            aid = tlv.find(members, 0x4F)
            if aid is None:
                raise ProtocolError("PPSE: an entry without 4F")
            label = (tlv.find(members, 0x50) or b"").decode("ascii", "replace")
            listed.append(Listed(aid, label, (tlv.find(members, 0x87) or b"\x00")[0]))
        return tuple(listed)

    def pay(self, aid: bytes) -> tuple[Record, ...] | None:
        """Select a payment application and read the records it points to, or None when it can't be selected."""
        if self.select(aid) is None:
            return None
        answer = self._send(CommandApdu(0x80, 0xA8, 0x00, 0x00, b"\x83\x00", 256))
        if answer.sw == StatusWord.CONDITIONS_NOT_SATISFIED:
            return ()  # no account to pay with
        options = answer.require("GET PROCESSING OPTIONS")
        locator = tlv.find(tlv.parse_one(options).children(), 0x94) or b""
        records = []
        for position in range(0, len(locator), 4):
            sfi, first, last, _ = locator[position : position + 4]
            for number in range(first, last + 1):
                command = CommandApdu(0x00, 0xB2, number, sfi & 0xF8 | 0x04, ne=256)
                members = tlv.parse_one(self._send(command).require("READ RECORD")).children()
                pan, expiry = tlv.find(members, 0x5A), tlv.find(members, 0x5F24)
                if pan is None or expiry is None:
                    raise ProtocolError("READ RECORD: 5A or 5F24 is missing")
                records.append(Record(pan.hex().upper().rstrip("F"), expiry.hex()))
        return tuple(records)
