"""LOAD: a load file in blocks.

Spec: GP Card Specification 2.3.1, 11.6 (command), table 11-58 (load file structure).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from opentsm_card import tlv
from opentsm_card.apdu import CommandApdu, check_header
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from opentsm_card.aid import Aid

__all__ = ["DapBlock", "Load", "load_blocks", "load_file"]

_TAG_DAP = 0xE2
_TAG_AID = 0x4F
_TAG_SIGNATURE = 0xC3
_TAG_DATA_BLOCK = 0xC4
_MAX_BLOCKS = 256


@dataclass(frozen=True, slots=True)
class Load:
    """One block of a load file.

    Args:
        block_number: 0..255, counting up.
        data: a portion of the load file.
        last: no block follows.
    """

    NAME: ClassVar[str] = "LOAD"
    INS: ClassVar[int] = 0xE8

    block_number: int
    data: bytes
    last: bool = False

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        return CommandApdu(0x80, self.INS, 0x80 if self.last else 0x00, self.block_number, self.data, 256)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command, or no data.
        """
        check_header(apdu, cls.INS, cls.NAME)
        if apdu.p1 & 0x7F or not apdu.data:
            raise ProtocolError(f"{cls.NAME}: P1 {apdu.p1:02X}, {len(apdu.data)} bytes")
        return cls(apdu.p2, apdu.data, bool(apdu.p1 & 0x80))


@dataclass(frozen=True, slots=True)
class DapBlock:
    """A signature of the load file data block, to be verified by a security domain.

    Args:
        security_domain: which one verifies it.
        signature: over the load file data block hash.
    """

    security_domain: Aid
    signature: bytes

    def encode(self) -> bytes:
        """Return the E2 template."""
        value = tlv.encode(_TAG_AID, self.security_domain) + tlv.encode(_TAG_SIGNATURE, self.signature)
        return tlv.encode(_TAG_DAP, value)


def load_file(data_block: bytes, daps: tuple[DapBlock, ...] = ()) -> bytes:
    """Return the load file: DAP blocks, then the data block under C4.

    Args:
        data_block: the load file data block: CAP components in load order.
        daps: signatures, if any.
    """
    return b"".join(dap.encode() for dap in daps) + tlv.encode(_TAG_DATA_BLOCK, data_block)


def load_blocks(file: bytes, block_bytes: int) -> tuple[Load, ...]:
    """Cut a load file into LOAD commands.

    Args:
        file: what `load_file` returns.
        block_bytes: data bytes of a block at most, what secure messaging adds already taken off.

    Raises:
        ProtocolError: nothing to load, or more than 256 blocks.
    """
    if block_bytes < 1 or not file:
        raise ProtocolError("LOAD: nothing to load")
    pieces = [file[start : start + block_bytes] for start in range(0, len(file), block_bytes)]
    if len(pieces) > _MAX_BLOCKS:
        raise ProtocolError(f"LOAD: {len(pieces)} blocks of {block_bytes} bytes, 256 at most")
    return tuple(Load(number, piece, number == len(pieces) - 1) for number, piece in enumerate(pieces))
