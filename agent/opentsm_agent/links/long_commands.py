"""Commands with more than 255 bytes of data, in the way that the card says it understands.

`extended`: one C-APDU with extended length fields. Over T=0 that goes in pieces, in the data of ENVELOPE commands.
`chaining`: short C-APDUs of the same command, all but the last with bit 5 of CLA set.

A card says so in its historical bytes, and, where those announce it, in EF.ATR, which also has the longest C-APDU that
it takes. Reading that file selects it, so it is read once, when a link is opened, and the card reset again.

Spec: ISO/IEC 7816-3:2006, 12.2.6 to 12.2.8; ISO/IEC 7816-4:2020, 5.3.3 (chaining), 12.1.1.9 (card capabilities).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, Self, cast

from opentsm_card.apdu import CommandApdu
from opentsm_card.atr import Atr
from opentsm_card.ef_atr import EfAtr, is_announced
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LONG", "LongCommands", "LongWay", "read_ef_atr", "transmit_long"]

LongWay = Literal["extended", "chaining", "none"]

LONG: Final = ("auto", "ask", "extended", "chaining", "none")
"""What a link's URI may say: a way, or by what the card says; `ask` reads EF.ATR without an announcement, too."""

_EXTENDED: Final = "extended Lc and Le"
_CHAINING: Final = "command chaining"
_SHORT_DATA: Final = 255
_SHORT_NE: Final = 256
_CHAINED: Final = 0x10
_INS_ENVELOPE: Final = 0xC2
_DONE: Final = b"\x90\x00"
_SELECT_EF_ATR: Final = (bytes.fromhex("00A4000C023F00"), bytes.fromhex("00A4000C022F01"))
_READ_AT_ONCE: Final = 256
_MOST_EF_ATR: Final = 2048
_END_OF_FILE: Final = b"\x62\x82"
_MOST_COMMAND_BYTES: Final = 65544
_MOST_RESPONSE_BYTES: Final = 65538


@dataclass(frozen=True, slots=True)
class LongCommands:
    """How a card takes long commands.

    Args:
        extended: it takes extended lengths.
        chaining: it takes chains.
        forced: the way that the link's URI names, whatever the card says.
        most_command_bytes: of an extended C-APDU.
        most_response_bytes: of what answers one.
    """

    extended: bool = False
    chaining: bool = False
    forced: LongWay | None = None
    most_command_bytes: int = _MOST_COMMAND_BYTES
    most_response_bytes: int = _MOST_RESPONSE_BYTES

    @classmethod
    def learn(cls, asked: str, atr: bytes, exchange: Callable[[bytes], bytes] | None) -> tuple[Self, bool]:
        """Find out, and tell whether the card was sent anything for it: then it has to be reset.

        Args:
            asked: one of `LONG`.
            atr: the card's answer to reset.
            exchange: runs one short C-APDU on the card, which is freshly reset; None where it can't be reset again.

        Raises:
            TransportError: the link failed.
        """
        if asked not in {"auto", "ask"}:
            return cls(forced=cast("LongWay", asked)), False
        try:
            parsed = Atr.parse(atr)
        except ProtocolError:
            return cls(), False
        said = {name for item in parsed.objects() or () for name in item.capabilities}
        reads = exchange is not None and (asked == "ask" or is_announced(parsed))
        file = (read_ef_atr(exchange) if reads and exchange else None) or EfAtr()
        said |= set(file.capabilities or ())
        learnt = cls(
            _EXTENDED in said,
            _CHAINING in said,
            None,
            file.most_command_bytes or _MOST_COMMAND_BYTES,
            file.most_response_bytes or _MOST_RESPONSE_BYTES,
        )
        return learnt, reads

    def way(self, command_bytes: int, *, t0: bool) -> LongWay:
        """Return the way for a C-APDU that is so long, with extended length fields.

        Over T=0 chaining is preferred, which needs no other command. A card that says nothing gets extended lengths
        over T=1, which carries them as they are, and none over T=0.
        """
        if self.forced is not None:
            return self.forced
        if self.chaining and (t0 or not self.extended or command_bytes > self.most_command_bytes):
            return "chaining"
        return "extended" if (self.extended or not t0) and command_bytes <= self.most_command_bytes else "none"


def read_ef_atr(exchange: Callable[[bytes], bytes]) -> EfAtr | None:
    """Read EF.ATR; None where there is none, or it makes no sense. It is selected then.

    Args:
        exchange: runs one short C-APDU.

    Raises:
        TransportError: the link failed.
    """
    # A card without an MF to be selected may have its files all the same.
    exchange(_SELECT_EF_ATR[0])
    if exchange(_SELECT_EF_ATR[1])[-2:] != _DONE:
        return None
    content = b""
    while len(content) < _MOST_EF_ATR:
        read = CommandApdu(0x00, 0xB0, len(content) >> 8, len(content) & 0xFF, ne=_READ_AT_ONCE)
        answer = exchange(read.encode())
        if answer[-2] == 0x6C:
            answer = exchange(replace(read, ne=answer[-1] or _READ_AT_ONCE).encode())
        content += answer[:-2]
        if answer[-2:] not in {_DONE, _END_OF_FILE} or len(answer) - 2 < _READ_AT_ONCE:
            break
    try:
        return EfAtr.parse(content)
    except ProtocolError:
        return None


def transmit_long(exchange: Callable[[bytes], bytes], command: bytes, card: LongCommands, *, t0: bool) -> bytes:
    """Run one C-APDU, long or not, and return its R-APDU.

    Args:
        exchange: runs one C-APDU; over T=0 a short one.
        command: the C-APDU.
        card: how it takes long ones.
        t0: whether T=0 is spoken.

    Raises:
        ProtocolError: it is no C-APDU, or the card takes no long ones; nothing was sent.
    """
    if len(command) < 7 or command[4]:
        return exchange(command)
    apdu = CommandApdu.parse(command)
    way = card.way(len(command), t0=t0)
    if len(apdu.data) <= _SHORT_DATA and (t0 or way != "extended"):
        # What is beyond 256 bytes of the answer is fetched by GET RESPONSE.
        short = replace(apdu, ne=apdu.ne and min(apdu.ne, _SHORT_NE), extended=False)
        return exchange(short.encode())
    if way == "none":
        at_most = f" of more than {card.most_command_bytes} bytes" if len(command) > card.most_command_bytes else ""
        raise ProtocolError(
            f"a C-APDU with {len(apdu.data)} bytes of data: the card does not say that it takes such{at_most}"
        )
    if way == "chaining":
        return _chained(exchange, apdu)
    if apdu.ne and apdu.ne > (most := card.most_response_bytes - 2):
        command = replace(apdu, ne=most, extended=True).encode()
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
