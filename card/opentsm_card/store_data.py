"""STORE DATA: data for a security domain, or for the application that INSTALL [for personalization] named.

Spec: GP Card Specification 2.3.1, 11.11; data grouping identifiers (DGI): GP Systems Scripting Language, EMV CPS 1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from opentsm_card.apdu import CommandApdu, check_header
from opentsm_card.errors import ProtocolError
from opentsm_card.reader import Reader

__all__ = [
    "DataEncryption",
    "DataStructure",
    "Dgi",
    "StoreData",
    "encode_dgis",
    "parse_dgis",
    "store_data_blocks",
    "store_data_chain",
]

_LAST = 0x80
_RESPONSE = 0x01
_MAX_BLOCKS = 256


class DataStructure(IntEnum):
    """What P1 says of the data's structure (b5 b4, table 11-89)."""

    NONE = 0x00
    DGI = 0x08
    BER_TLV = 0x10


class DataEncryption(IntEnum):
    """What P1 says of the data's encryption (b7 b6, table 11-89)."""

    NONE = 0x00
    APPLICATION_DEPENDENT = 0x20
    ENCRYPTED = 0x60


@dataclass(frozen=True, slots=True)
class StoreData:
    """One block of data.

    Args:
        block_number: 0..255, counting up from 0.
        data: the block.
        last: no block follows.
        structure: of the data.
        encryption: of the values in the data (not of secure messaging).
        response: an ISO case 4 command: response data may come.
    """

    NAME: ClassVar[str] = "STORE DATA"
    INS: ClassVar[int] = 0xE2

    block_number: int
    data: bytes
    last: bool = False
    structure: DataStructure = DataStructure.NONE
    encryption: DataEncryption = DataEncryption.NONE
    response: bool = False

    def __repr__(self) -> str:
        """Show no data: it is often secret."""
        return f"StoreData(block {self.block_number}, {len(self.data)} bytes, last={self.last})"

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        p1 = (_LAST if self.last else 0) | self.structure | self.encryption | (_RESPONSE if self.response else 0)
        return CommandApdu(0x80, self.INS, p1, self.block_number, self.data, 256 if self.response else None)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU, of either class: yubikit sends it with the interindustry one.

        Raises:
            ProtocolError: another command, or reserved bits in P1.
        """
        check_header(apdu, cls.INS, cls.NAME, proprietary=False)
        structure, encryption = apdu.p1 & 0x18, apdu.p1 & 0x60
        if structure == 0x18 or encryption == 0x40:
            raise ProtocolError(f"{cls.NAME}: P1 {apdu.p1:02X} is reserved")
        return cls(
            apdu.p2,
            apdu.data,
            bool(apdu.p1 & _LAST),
            DataStructure(structure),
            DataEncryption(encryption),
            bool(apdu.p1 & _RESPONSE),
        )


def store_data_chain(
    data: bytes,
    block_bytes: int,
    *,
    structure: DataStructure = DataStructure.NONE,
    encryption: DataEncryption = DataEncryption.NONE,
) -> tuple[StoreData, ...]:
    """Cut data into STORE DATA commands; a structure's length field keeps the full length (11.11.2.3).

    Args:
        data: all of it.
        block_bytes: data bytes of a block at most, what secure messaging adds already taken off.
        structure: of the data.
        encryption: of the values.

    Raises:
        ProtocolError: nothing to store, or more than 256 blocks.
    """
    if block_bytes < 1 or not data:
        raise ProtocolError("STORE DATA: nothing to store")
    pieces = [data[start : start + block_bytes] for start in range(0, len(data), block_bytes)]
    return _number(pieces, structure, encryption)


def store_data_blocks(
    blocks: tuple[bytes, ...],
    *,
    structure: DataStructure = DataStructure.NONE,
    encryption: DataEncryption = DataEncryption.NONE,
) -> tuple[StoreData, ...]:
    """Number blocks that are to stay whole, one command each.

    Args:
        blocks: the data of each command.
        structure: of the data.
        encryption: of the values.

    Raises:
        ProtocolError: no block, or more than 256.
    """
    return _number(list(blocks), structure, encryption)


def _number(pieces: list[bytes], structure: DataStructure, encryption: DataEncryption) -> tuple[StoreData, ...]:
    if not 1 <= len(pieces) <= _MAX_BLOCKS:
        raise ProtocolError(f"STORE DATA: {len(pieces)} blocks, 1 to 256 wanted")
    last = len(pieces) - 1
    return tuple(StoreData(number, piece, number == last, structure, encryption) for number, piece in enumerate(pieces))


@dataclass(frozen=True, slots=True)
class Dgi:
    """A data grouping.

    Args:
        identifier: the DGI, 0..0xFFFF.
        value: its data, at most 65534 bytes.
    """

    identifier: int
    value: bytes

    def __repr__(self) -> str:
        """Show no value: it is often secret."""
        return f"Dgi({self.identifier:04X}, {len(self.value)} bytes)"

    def encode(self) -> bytes:
        """Return identifier, length (1 byte up to FE, else FF and 2 bytes) and value."""
        length = len(self.value)
        if length > 0xFFFE or not 0 <= self.identifier <= 0xFFFF:
            raise ProtocolError(f"DGI {self.identifier:04X} of {length} bytes can't be encoded")
        lead = bytes((length,)) if length < 0xFF else b"\xff" + length.to_bytes(2, "big")
        return self.identifier.to_bytes(2, "big") + lead + self.value


def encode_dgis(dgis: tuple[Dgi, ...]) -> bytes:
    """Return data groupings one behind the other."""
    return b"".join(dgi.encode() for dgi in dgis)


def parse_dgis(encoded: bytes) -> tuple[Dgi, ...]:
    """Parse data groupings to the end.

    Raises:
        ProtocolError: malformed or cut short.
    """
    reader = Reader(encoded, "DGIs")
    parsed = []
    while reader.remaining:
        identifier = int.from_bytes(reader.take(2), "big")
        length = reader.byte()
        if length == 0xFF:
            length = int.from_bytes(reader.take(2), "big")
        parsed.append(Dgi(identifier, reader.take(length)))
    return tuple(parsed)
