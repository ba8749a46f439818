"""Commands with more than 255 bytes of data, in the way that the card says it understands (in its historical bytes).

`extended`: one C-APDU with extended length fields. Over T=0 that goes in pieces, in the data of ENVELOPE commands.
`chaining`: short C-APDUs of the same command, all but the last with bit 5 of CLA set.

Spec: ISO/IEC 7816-3:2006, 12.2.6 to 12.2.8; ISO/IEC 7816-4:2020, 5.3.3 (chaining), 12.1.1.9 (card capabilities).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from opentsm_card.apdu import CommandApdu
from opentsm_card.atr import Atr
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LongWay", "long_way", "transmit_long"]

LongWay = Literal["extended", "chaining", "none"]

_SHORT_DATA: Final = 255
_SHORT_NE: Final = 256
_CHAINED: Final = 0x10
_INS_ENVELOPE: Final = 0xC2
_DONE: Final = b"\x90\x00"


def long_way(atr: bytes, *, t0: bool) -> LongWay:
    """Return the way that a card says it understands; for one that says nothing, extended over T=1 and none over T=0.

    Args:
        atr: its answer to reset.
        t0: whether T=0 is spoken, over which a card may have either, and chaining needs no other command.
    """
    try:
        said = {name for item in Atr.parse(atr).objects() or () for name in item.capabilities}
    except ProtocolError:
        said = set()
    if "command chaining" in said and (t0 or "extended Lc and Le" not in said):
        return "chaining"
    return "extended" if "extended Lc and Le" in said or not t0 else "none"


def transmit_long(exchange: Callable[[bytes], bytes], command: bytes, way: LongWay, *, t0: bool) -> bytes:
    """Run one C-APDU, long or not, and return its R-APDU.

    Args:
        exchange: runs one C-APDU; over T=0 a short one.
        command: the C-APDU.
        way: for a long one.
        t0: whether T=0 is spoken.

    Raises:
        ProtocolError: it is no C-APDU, or the card takes no long ones; nothing was sent.
    """
    if len(command) < 7 or command[4]:
        return exchange(command)
    apdu = CommandApdu.parse(command)
    if len(apdu.data) <= _SHORT_DATA and (t0 or way != "extended"):
        # What is beyond 256 bytes of the answer is fetched by GET RESPONSE.
        short = replace(apdu, ne=apdu.ne and min(apdu.ne, _SHORT_NE), extended=False)
        return exchange(short.encode())
    if way == "none":
        raise ProtocolError(f"a C-APDU with {len(apdu.data)} bytes of data: the card does not say that it takes such")
    if way == "chaining":
        return _chained(exchange, apdu)
    return _enveloped(exchange, command) if t0 else exchange(command)


def _chained(exchange: Callable[[bytes], bytes], apdu: CommandApdu) -> bytes:
    data = apdu.data
    while len(data) > _SHORT_DATA:
        part = CommandApdu(apdu.cla | _CHAINED, apdu.ins, apdu.p1, apdu.p2, data[:_SHORT_DATA])
        answer = exchange(part.encode())
        if answer != _DONE:
            return answer
        data = data[_SHORT_DATA:]
    ne = apdu.ne and min(apdu.ne, _SHORT_NE)
    return exchange(CommandApdu(apdu.cla, apdu.ins, apdu.p1, apdu.p2, data, ne).encode())


def _enveloped(exchange: Callable[[bytes], bytes], command: bytes) -> bytes:
    cla = command[0]
    channel = 0x40 | (cla & 0x0F) if cla & 0x40 else cla & 0x03
    answer = b""
    for begin in range(0, len(command), _SHORT_DATA):
        piece = command[begin : begin + _SHORT_DATA]
        answer = exchange(bytes((channel, _INS_ENVELOPE, 0, 0, len(piece))) + piece)
        if begin + _SHORT_DATA < len(command) and answer != _DONE:
            return answer
    return answer
