"""LOAD: a load file in blocks.

Spec: GP Card Specification 2.3.1, 11.6 (command), table 11-58 (load file structure).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu, check_header
from opentsm_card.errors import ProtocolError

__all__ = ["CipheredBlock", "DapBlock", "Load", "load_blocks", "load_file", "parse_load_file"]

_TAG_DAP = 0xE2
_TAG_AID = 0x4F
_TAG_SIGNATURE = 0xC3
_TAG_DATA_BLOCK = 0xC4
_TAG_VECTOR = 0xD3
_TAG_CIPHERED_DATA_BLOCK = 0xD4
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

    @classmethod
    def parse(cls, template: bytes) -> Self:
        """Parse the value of an E2 template.

        Raises:
            ProtocolError: not an AID and a signature.
        """
        objects = tlv.parse_all(template)
        if [item.tag for item in objects] != [_TAG_AID, _TAG_SIGNATURE] or not objects[1].value:
            raise ProtocolError("DAP block: an AID (4F) and a signature (C3) wanted")
        return cls(Aid(objects[0].value), objects[1].value)


@dataclass(frozen=True, slots=True)
class CipheredBlock:
    """A load file data block, encrypted; see `opentsm_card.dap`.

    Args:
        data: whole cipher blocks.
        vector: initial chaining vector, one block; empty for zeros.
    """

    data: bytes
    vector: bytes = b""


def load_file(data_block: bytes | CipheredBlock, daps: tuple[DapBlock, ...] = ()) -> bytes:
    """Return the load file: DAP blocks, then the data block under C4, or ciphered under D4 with its vector (D3).

    Args:
        data_block: the load file data block: CAP components in load order; or the same, ciphered.
        daps: signatures, if any.
    """
    before = b"".join(dap.encode() for dap in daps)
    if isinstance(data_block, bytes):
        return before + tlv.encode(_TAG_DATA_BLOCK, data_block)
    vector = tlv.encode(_TAG_VECTOR, data_block.vector) if data_block.vector else b""
    return before + vector + tlv.encode(_TAG_CIPHERED_DATA_BLOCK, data_block.data)


def parse_load_file(file: bytes) -> tuple[bytes | CipheredBlock, tuple[DapBlock, ...]]:
    """Take a load file apart: the data block, and the DAP blocks before it.

    Raises:
        ProtocolError: not a load file.
    """
    objects = list(tlv.parse_all(file))
    daps = []
    while objects and objects[0].tag == _TAG_DAP:
        daps.append(DapBlock.parse(objects.pop(0).value))
    vector = b""
    if len(objects) > 1 and objects[0].tag == _TAG_VECTOR:
        vector = objects.pop(0).value
    if len(objects) != 1 or not objects[0].value:
        raise ProtocolError("load file: one load file data block (C4 or D4) at the end wanted")
    last = objects[0]
    if last.tag == _TAG_DATA_BLOCK and not vector:
        return last.value, tuple(daps)
    if last.tag != _TAG_CIPHERED_DATA_BLOCK:
        raise ProtocolError(f"load file: tag {last.tag:02X} where the load file data block should be")
    return CipheredBlock(last.value, vector), tuple(daps)


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
