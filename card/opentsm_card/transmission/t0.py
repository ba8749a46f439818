"""T=0, the reader's side: one TPDU over a line of characters.

The card's procedure bytes lead: INS has the rest of the data go over, INS with all bits turned one byte, 60 asks for
patience, 6X and 9X begin the status word. What an APDU becomes in TPDUs is the reader's business above this.

Spec: ISO/IEC 7816-3:2006, 10.2 (times) and 10.3 (command processing).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_card.errors import LinkTimeoutError, ProtocolError, TransportError
from opentsm_card.transmission.events import Receive, Send

if TYPE_CHECKING:
    from opentsm_card.transmission.events import Conversation

__all__ = ["exchange_t0"]

_HEADER_BYTES: Final = 5
_NULL: Final = 0x60
_PPSS: Final = 0xFF


def exchange_t0(tpdu: bytes, wait_s: float, extra_guard_s: float = 0.0, turn_s: float = 0.0) -> Conversation[bytes]:
    """Exchange one TPDU and return data, if any, and SW1 SW2.

    What the card said unasked before has been taken off the line.

    Args:
        tpdu: CLA INS P1 P2 P3, and P3 bytes of data where they go to the card; without them P3 is Le, 0 for 256.
        wait_s: WT, in seconds.
        extra_guard_s: silence behind each character, beyond 12 etu, in seconds.
        turn_s: silence between characters of opposite directions, in seconds.

    Raises:
        ProtocolError: that is no TPDU; nothing was sent.
        LinkTimeoutError: the card fell silent.
        TransportError: the card breaks the protocol.
    """
    sending = len(tpdu) > _HEADER_BYTES
    # 10.3.2: an INS of 6X or 9X would look like a status word, a CLA of FF like PPS.
    is_header = len(tpdu) >= _HEADER_BYTES and tpdu[0] != _PPSS and tpdu[1] >> 4 not in {6, 9}
    if not is_header or (sending and len(tpdu) != _HEADER_BYTES + tpdu[4]):
        raise ProtocolError(f"{tpdu[:4].hex().upper()}…, {len(tpdu)} bytes: not a TPDU that T=0 can carry")
    ins = tpdu[1]
    # P3 = 0 stands for 256 bytes from the card; a card that has none goes straight to its status word.
    left = len(tpdu) - _HEADER_BYTES if sending else tpdu[4] or 256
    received = b""
    one = Receive(1, wait_s, wait_s)
    yield Send(tpdu[:_HEADER_BYTES], extra_guard_s, turn_s)
    while True:
        procedure = (yield one) or b""
        if not procedure:
            raise LinkTimeoutError(f"T=0: the card does not answer within {wait_s:.3g} s")
        byte = procedure[0]
        if byte == _NULL:
            continue
        if byte >> 4 in {6, 9}:
            last = (yield one) or b""
            if not last:
                raise LinkTimeoutError(f"T=0: the card falls silent behind SW1 {byte:02X}")
            return received + procedure + last
        if byte not in {ins, ins ^ 0xFF} or not left:
            raise TransportError(f"T=0: procedure byte {byte:02X} with {left} bytes to go, instruction {ins:02X}")
        count = left if byte == ins else 1
        if sending:
            yield Send(tpdu[len(tpdu) - left : len(tpdu) - left + count], extra_guard_s, turn_s)
        else:
            part = (yield Receive(count, wait_s, wait_s)) or b""
            if len(part) < count:
                raise LinkTimeoutError(f"T=0: the card falls silent, {len(part)} of {count} bytes came")
            received += part
        left -= count
