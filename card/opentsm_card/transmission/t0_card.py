"""T=0, the card's side.

A card must know before it acknowledges which way the data of a command go; the applets of a virtual card are asked
with the whole command only. So the direction is known from the instruction; for one that is not in the table the
data are asked for, and when none come the command is one that wants an answer.

Spec: ISO/IEC 7816-3:2006, 10.3; directions by ISO/IEC 7816-4:2020, table 4, GP Card Specification 2.3.1, 11, and ETSI
TS 102 221, 10.1.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Never

from opentsm_card.transmission.events import FOREVER_S, Execute, Receive, Send

if TYPE_CHECKING:
    from opentsm_card.transmission.events import Conversation

__all__ = ["T0CardSide"]

_HEADER_BYTES: Final = 5
_NULL: Final = b"\x60"
_WRONG_LE: Final = 0x6C
# Of WT: after which a card asks for patience, and after which it gives up waiting for data that may not come.
_PATIENCE: Final = 0.7
_HOPE: Final = 0.7

# P3 is an Le: GET RESPONSE, GET DATA, READ BINARY, READ RECORD, GET CHALLENGE, MANAGE CHANNEL, FETCH.
_FROM_CARD: Final = frozenset({0xC0, 0xCA, 0xB0, 0xB2, 0x84, 0x70, 0x12})
# P3 is an Lc: SELECT, VERIFY, CHANGE REFERENCE DATA, the writing ones, ENVELOPE, GlobalPlatform's, the authentications,
# those of payment applications.
_TO_CARD: Final = frozenset(
    {0xA4, 0x20, 0x24, 0x2C, 0x2A, 0xD0, 0xD2, 0xD6, 0xD7, 0xDA, 0xDB, 0xDC, 0xDD, 0xE2, 0xCB, 0xC2, 0xC3}
    | {0x50, 0x82, 0x88, 0x86, 0x87, 0xD8, 0xE4, 0xE6, 0xE8, 0xF0, 0xA2, 0xA8, 0xAE, 0x10, 0x14, 0x44}
)


def _to_card(header: bytes) -> bool | None:
    """Tell whether a command's data go to the card; None where the instruction does not say."""
    ins, p1, p2, p3 = header[1], header[2], header[3], header[4]
    if ins == 0xF2:
        # GET STATUS has data; STATUS of ETSI TS 102 221 (P1 00 to 02) wants some.
        return p1 >= 0x10
    if ins == 0xCA:
        # GP 11.3.2: the list of applications is asked for with a tag list, 5C00.
        return (p1, p2, p3) == (0x2F, 0x00, 0x02)
    if ins in _FROM_CARD:
        return False
    return True if ins in _TO_CARD else None


@dataclass(slots=True)
class T0CardSide:
    """A card that speaks T=0.

    Args:
        wait_s: WT, in seconds.
        one_by_one: whether to ask for, and give, each byte by a procedure byte of its own.
    """

    wait_s: float
    one_by_one: bool = False
    # The header that a reader gives again after 6Cxx, with an Le in any case.
    _corrected: bytes = b""

    def serve(self, first: bytes = b"") -> Conversation[Never]:
        """Answer commands.

        A command that is cut short is not answered, nor is anything behind it, whose beginning nobody knows any more,
        until the card is reset.

        Args:
            first: what came already.
        """
        whole = True
        while whole:
            header = first + ((yield Receive(_HEADER_BYTES - len(first), FOREVER_S, self.wait_s)) or b"")
            first = b""
            whole = len(header) == _HEADER_BYTES
            # A CLA of FF is none (10.3.2), nor is an INS of 6X or 9X.
            if whole and header[0] != 0xFF and header[1] >> 4 not in {6, 9}:
                whole = yield from self._command(header)
        while True:
            yield Receive(1, FOREVER_S, FOREVER_S)

    def _command(self, header: bytes) -> Conversation[bool]:
        """Answer one command; tell whether it came whole."""
        count = header[4]
        to_card = count > 0 and header != self._corrected and _to_card(header)
        self._corrected = b""
        if to_card is False:
            yield from self._answer(header, acknowledged=False, execute=header)
            return True
        data = yield from self._take(header[1], count)
        if len(data) == count:
            yield from self._answer(header, acknowledged=True, execute=header + data)
            return True
        if to_card is None and not data:
            return (yield from self._answer(header, acknowledged=True, execute=header))
        return False

    def _take(self, ins: int, count: int) -> Conversation[bytes]:
        if not self.one_by_one:
            yield Send(bytes((ins,)))
            return (yield Receive(count, self.wait_s * _HOPE, self.wait_s)) or b""
        data = b""
        while len(data) < count:
            yield Send(bytes((ins ^ 0xFF,)))
            part = (yield Receive(1, self.wait_s, self.wait_s)) or b""
            if not part:
                break
            data += part
        return data

    def _answer(self, header: bytes, *, acknowledged: bool, execute: bytes) -> Conversation[bool]:
        patience_s = self.wait_s * _PATIENCE
        response = yield Execute(execute, patience_s, is_tpdu=True)
        while response is None:
            yield Send(_NULL)
            response = yield Execute(None, patience_s)
        data, sw = response[:-2], response[-2:]
        if sw[0] == _WRONG_LE:
            self._corrected = header[:4] + sw[1:]
        if len(execute) > _HEADER_BYTES or not acknowledged:
            yield Send(self._outgoing(header[1], data) + sw)
            return True
        # The data were acknowledged as if they were to come, so they follow at once; of any other number there is no
        # way to speak any more, and the reader's time runs out.
        if len(data) != header[4]:
            return False
        yield Send(data + sw)
        return True

    def _outgoing(self, ins: int, data: bytes) -> bytes:
        if not data:
            return b""
        if self.one_by_one:
            return b"".join(bytes((ins ^ 0xFF, byte)) for byte in data)
        return bytes((ins,)) + data
