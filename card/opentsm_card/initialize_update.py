"""INITIALIZE UPDATE and its answer, for SCP02 and SCP03.

Spec: GP Card Specification 2.3.1, E.5.1; Amendment D 1.2, 7.1.1 (the answer; 16-byte values with bit 01 of i).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from opentsm_card.apdu import CommandApdu, check_header
from opentsm_card.errors import ProtocolError
from opentsm_card.reader import Reader

__all__ = ["InitializeUpdate", "InitializeUpdateAnswer", "Scp02Answer", "answer_protocol"]

_SCP02 = 0x02
_SCP03 = 0x03
_PROTOCOL_OFFSET = 11
_KEY_VERSIONS = frozenset({*range(0x80), 0xFF})
_I_S16 = 0x01
_I_PSEUDO_RANDOM = 0x10


@dataclass(frozen=True, slots=True)
class InitializeUpdate:
    """Begin a secure channel: the card answers with its challenge and cryptogram.

    Args:
        key_version: 1..127, 255 for initial keys, or 0 for the card's default key set.
        host_challenge: 8 bytes (S8) or 16 (S16), never used twice.
    """

    NAME: ClassVar[str] = "INITIALIZE UPDATE"
    INS: ClassVar[int] = 0x50

    key_version: int
    host_challenge: bytes

    def apdu(self) -> CommandApdu:
        """Return the command APDU."""
        if len(self.host_challenge) not in {8, 16} or self.key_version not in _KEY_VERSIONS:
            raise ProtocolError(f"{self.NAME}: a challenge of 8 or 16 bytes and a key version of 0..127 or 255 wanted")
        return CommandApdu(0x80, self.INS, self.key_version, 0x00, self.host_challenge, 256)

    @classmethod
    def parse(cls, apdu: CommandApdu) -> Self:
        """Parse the command APDU.

        Raises:
            ProtocolError: another command, a key identifier in P2, or a challenge of another length.
        """
        check_header(apdu, cls.INS, cls.NAME)
        if apdu.p2 or apdu.p1 not in _KEY_VERSIONS or len(apdu.data) not in {8, 16}:
            raise ProtocolError(f"{cls.NAME}: P1 {apdu.p1:02X}, P2 {apdu.p2:02X}, {len(apdu.data)} bytes")
        return cls(apdu.p1, apdu.data)


@dataclass(frozen=True, slots=True)
class InitializeUpdateAnswer:
    """What the card answers to INITIALIZE UPDATE under SCP03.

    Args:
        diversification_data: 10 bytes that tell whose keys these are.
        key_version: the key set used.
        i: the SCP03 parameter i (01 S16, 10 pseudo-random challenge, 20 R-MAC, 40 R-ENC with 20).
        card_challenge: 8 or 16 bytes.
        card_cryptogram: as long as the challenge.
        sequence_counter: the key set's counter as used for this challenge; None when challenges are random.
    """

    diversification_data: bytes
    key_version: int
    i: int
    card_challenge: bytes
    card_cryptogram: bytes
    sequence_counter: int | None = None

    def encode(self) -> bytes:
        """Return the response data."""
        counter = b"" if self.sequence_counter is None else self.sequence_counter.to_bytes(3, "big")
        head = self.diversification_data + bytes((self.key_version, _SCP03, self.i))
        return head + self.card_challenge + self.card_cryptogram + counter

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse response data, its length following from i.

        Raises:
            ProtocolError: another secure channel protocol, or a length that does not fit i.
        """
        reader = Reader(encoded, "INITIALIZE UPDATE answer")
        diversification_data = reader.take(10)
        key_version = reader.byte()
        protocol = reader.byte()
        if protocol != _SCP03:
            raise reader.fail(f"secure channel protocol {protocol:02X}, only 03 is supported")
        i = reader.byte()
        size = 16 if i & _I_S16 else 8
        challenge, cryptogram = reader.take(size), reader.take(size)
        counter = int.from_bytes(reader.take(3), "big") if i & _I_PSEUDO_RANDOM else None
        reader.end()
        return cls(diversification_data, key_version, i, challenge, cryptogram, counter)


@dataclass(frozen=True, slots=True)
class Scp02Answer:
    """What the card answers to INITIALIZE UPDATE under SCP02.

    Args:
        diversification_data: 10 bytes that tell whose keys these are.
        key_version: the key set used.
        sequence_counter: of the session, 0..FFFF.
        card_challenge: 6 bytes.
        card_cryptogram: 8 bytes.
    """

    diversification_data: bytes
    key_version: int
    sequence_counter: int
    card_challenge: bytes
    card_cryptogram: bytes

    def encode(self) -> bytes:
        """Return the response data."""
        head = self.diversification_data + bytes((self.key_version, _SCP02)) + self.sequence_counter.to_bytes(2, "big")
        return head + self.card_challenge + self.card_cryptogram

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse response data.

        Raises:
            ProtocolError: another secure channel protocol, or not 28 bytes.

        Spec: GP Card Specification 2.3.1, table E-8.
        """
        reader = Reader(encoded, "INITIALIZE UPDATE answer")
        diversification_data = reader.take(10)
        key_version = reader.byte()
        protocol = reader.byte()
        if protocol != _SCP02:
            raise reader.fail(f"secure channel protocol {protocol:02X}, not 02")
        counter = int.from_bytes(reader.take(2), "big")
        challenge, cryptogram = reader.take(6), reader.take(8)
        reader.end()
        return cls(diversification_data, key_version, counter, challenge, cryptogram)


def answer_protocol(encoded: bytes) -> int:
    """Return which secure channel protocol an answer to INITIALIZE UPDATE is of: 2 or 3.

    Raises:
        ProtocolError: too short to tell, or another protocol.
    """
    if len(encoded) <= _PROTOCOL_OFFSET or encoded[_PROTOCOL_OFFSET] not in {_SCP02, _SCP03}:
        raise ProtocolError("INITIALIZE UPDATE answer: of neither SCP02 nor SCP03")
    return encoded[_PROTOCOL_OFFSET]
