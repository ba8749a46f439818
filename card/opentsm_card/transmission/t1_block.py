"""T=1 blocks: prologue, information, epilogue with LRC or CRC.

Spec: ISO/IEC 7816-3:2006, 11.3 (structure; 11.3.2.2 for PCB, 11.3.4 for the epilogue); ISO/IEC 13239 (CRC).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Self

from opentsm_card.errors import ProtocolError, TransportError
from opentsm_card.transmission.events import Receive

if TYPE_CHECKING:
    from opentsm_card.transmission.events import Conversation

__all__ = ["MOST_INFORMATION_BYTES", "Block", "Kind", "S", "checksum", "drain", "read_block", "split"]

MOST_INFORMATION_BYTES: Final = 254
_PROLOGUE_BYTES: Final = 3
_DRAINED_AT_ONCE: Final = 260
_MOST_DRAINS: Final = 8


class Kind(IntEnum):
    """Kinds of blocks."""

    I = 0x00  # noqa: E741 - the specification's name
    R = 0x80
    S = 0xC0


class S(IntEnum):
    """What a supervisory block is about; a response has 20 in addition (11.3.2.2, table 11)."""

    RESYNCH = 0xC0
    IFS = 0xC1
    ABORT = 0xC2
    WTX = 0xC3


# By the two high bits of PCB.
_KINDS: Final = (Kind.I, Kind.I, Kind.R, Kind.S)
_RESPONSE: Final = 0x20
_INFORMATION_OF_S: Final = {S.RESYNCH: 0, S.IFS: 1, S.ABORT: 0, S.WTX: 1}


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        register = value
        for _ in range(8):
            register = register >> 1 ^ (0x8408 if register & 1 else 0)
        table.append(register)
    return tuple(table)


_CRC_TABLE: Final = _crc_table()


def checksum(data: bytes, *, crc: bool) -> bytes:
    """Return a block's epilogue: LRC in one byte, or CRC in two, the high one first.

    The CRC begins at FFFF and is not turned at the end, as the readers' drivers of Linux have it.
    """
    if not crc:
        # Folded in halves: the lowest byte becomes the sum of all.
        folded, bits, shift = int.from_bytes(data, "big"), 8 * len(data), 8
        while shift < bits:
            folded ^= folded >> shift
            shift *= 2
        return bytes((folded & 0xFF,))
    register = 0xFFFF
    for byte in data:
        register = register >> 8 ^ _CRC_TABLE[(register ^ byte) & 0xFF]
    return register.to_bytes(2, "big")


@dataclass(slots=True)
class Block:
    """A block without its epilogue; nobody changes it, and not frozen it is made in a third of the time.

    Args:
        pcb: protocol control byte.
        information: 0..254 bytes.
        nad: node address; 00 as everybody has it.
    """

    pcb: int
    information: bytes = b""
    nad: int = 0

    @classmethod
    def i(cls, number: int, information: bytes, *, more: bool) -> Self:
        """Return an information block N(S), with the bit that more follow."""
        return cls(number << 6 | more << 5, information)

    @classmethod
    def r(cls, number: int, error: int = 0) -> Self:
        """Return a receive-ready block N(R); `error` is 0 for none, 1 for EDC or parity, 2 for any other."""
        return cls(0x80 | number << 4 | error)

    @classmethod
    def s(cls, about: S, value: int | None = None, *, response: bool = False) -> Self:
        """Return a supervisory block, with its byte of information where it has one."""
        return cls(about | (_RESPONSE if response else 0), b"" if value is None else bytes((value,)))

    @property
    def kind(self) -> Kind:
        """Information, receive-ready or supervisory."""
        return _KINDS[self.pcb >> 6]

    @property
    def number(self) -> int:
        """N(S) of an I-block, N(R) of an R-block."""
        return self.pcb >> (4 if self.pcb & 0x80 else 6) & 1

    @property
    def more(self) -> bool:
        """True when an I-block is continued in the next."""
        return self.pcb & 0x20 != 0

    @property
    def is_response(self) -> bool:
        """True when an S-block is a response."""
        return self.pcb & _RESPONSE != 0

    @property
    def about(self) -> S:
        """What an S-block is about."""
        return S(self.pcb & ~_RESPONSE)

    def encode(self, *, crc: bool) -> bytes:
        """Encode it with its epilogue."""
        front = bytes((self.nad, self.pcb, len(self.information))) + self.information
        return front + checksum(front, crc=crc)

    @classmethod
    def parse(cls, data: bytes, *, crc: bool) -> Self:
        """Parse a block with its epilogue.

        Raises:
            ProtocolError: its length, check or control byte is wrong, or its information does not fit the kind.
        """
        length = len(data) - _PROLOGUE_BYTES - (2 if crc else 1)
        if length < 0 or data[2] != length or length > MOST_INFORMATION_BYTES:
            raise ProtocolError(f"T=1 block of {len(data)} bytes: not as long as it says")
        if checksum(data[: _PROLOGUE_BYTES + length], crc=crc) != data[_PROLOGUE_BYTES + length :]:
            raise ProtocolError("T=1 block: its check is wrong")
        block = cls(data[1], data[_PROLOGUE_BYTES : _PROLOGUE_BYTES + length], data[0])
        block._check()
        return block

    def _check(self) -> None:
        pcb, length = self.pcb, len(self.information)
        if self.nad:
            raise ProtocolError(f"T=1 block: NAD {self.nad:02X}, where none was agreed")
        if not pcb & 0x80:
            fits = not pcb & 0x1F
        elif not pcb & 0x40:
            fits = not pcb & 0x2C and pcb & 0x03 != 3 and not length
        else:
            fits = pcb & ~_RESPONSE in _INFORMATION_OF_S and length == _INFORMATION_OF_S[self.about]
            value = self.information[0] if length else 1
            fits = fits and value != 0 and (value <= MOST_INFORMATION_BYTES or self.about is not S.IFS)
        if not fits:
            raise ProtocolError(f"T=1 block: PCB {pcb:02X} with {length} bytes of information is no block")


def read_block(
    first_s: float, next_s: float, *, crc: bool, first: bytes = b"", alarm: bytes = b""
) -> Conversation[Block | int | None]:
    """Receive a block.

    Args:
        first_s: how long to wait for its first character, in seconds.
        next_s: CWT, in seconds.
        crc: whether its epilogue is a CRC.
        first: what came already.
        alarm: how an answer to reset begins: among what is no block it tells that the card has reset itself.

    Returns:
        The block; 1 when its check is wrong and 2 for any other error, as an R-block says it; None for silence.

    Raises:
        TransportError: the card has reset itself.
    """
    data = first + ((yield Receive(_PROLOGUE_BYTES - len(first), first_s, next_s, checked=False)) or b"")
    if not data:
        return None
    error = 2
    if len(data) == _PROLOGUE_BYTES:
        end = _PROLOGUE_BYTES + data[2]
        whole = end + (2 if crc else 1)
        if data[2] <= MOST_INFORMATION_BYTES:
            data += (yield Receive(whole - _PROLOGUE_BYTES, next_s, next_s, checked=False)) or b""
            if len(data) == whole:
                if checksum(data[:end], crc=crc) == data[end:]:
                    return _block(data, end)
                error = 1
        if len(data) == whole or data[2] > MOST_INFORMATION_BYTES:
            # LEN itself may be what is wrong: the block ends where the line falls silent.
            data += yield from drain(next_s)
    if alarm and alarm in data:
        raise TransportError("T=1: the card has reset itself; it may or may not have run the command")
    return error


def _block(data: bytes, end: int) -> Block | int:
    block = Block(data[1], data[_PROLOGUE_BYTES:end], data[0])
    try:
        block._check()  # noqa: SLF001 - the same as `parse` does, without computing the check twice
    except ProtocolError:
        return 2
    return block


def drain(next_s: float) -> Conversation[bytes]:
    """Receive until the line is silent for a CWT, or for so long that it never will be; return what came."""
    drained = b""
    for _ in range(_MOST_DRAINS):
        part = (yield Receive(_DRAINED_AT_ONCE, next_s, next_s, checked=False)) or b""
        if not part:
            break
        drained += part
    return drained


def split(data: bytes, size: int) -> list[bytes]:
    """Cut what is to be sent into the information of I-blocks, of which there is one at least."""
    return [data[start : start + size] for start in range(0, len(data), size)] or [b""]
