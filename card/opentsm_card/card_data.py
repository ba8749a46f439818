"""Card data (tag 66): the card recognition data by which a card says which GlobalPlatform it implements.

Spec: GP Card Specification 2.3.1, H.2 and H.3 (structure and tables of card data and card recognition data).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError

__all__ = ["CardData", "Oid", "SecureChannelOid"]

_TAG_CARD_DATA: Final = 0x66
_TAG_RECOGNITION: Final = 0x73
_TAG_OID: Final = 0x06
_TAG_VERSION: Final = 0x60
_TAG_IDENTIFICATION: Final = 0x63
_TAG_SCP: Final = 0x64
_TAG_CONFIGURATION: Final = 0x65
_TAG_CHIP: Final = 0x66
_SCP11: Final = 0x11
_GLOBALPLATFORM: Final = (1, 2, 840, 114283)
_ARC: Final = bytes.fromhex("2A864886FC6B")


class Oid(tuple[int, ...]):
    """An object identifier; as text its numbers with dots between."""

    __slots__ = ()

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse the value of an object identifier.

        Raises:
            ProtocolError: empty, cut short, or a number beyond 32 bits.

        Spec: ISO/IEC 8825-1, 8.19.
        """
        numbers: list[int] = []
        number, open_number = 0, True
        for byte in encoded:
            number = number << 7 | byte & 0x7F
            open_number = bool(byte & 0x80)
            if number >> 32:
                raise ProtocolError("object identifier: a number of more than 32 bits")
            if not open_number:
                numbers.append(number)
                number = 0
        if open_number:
            raise ProtocolError("object identifier: empty or cut short")
        first = min(numbers[0] // 40, 2)
        return cls((first, numbers[0] - 40 * first, *numbers[1:]))

    def __str__(self) -> str:
        """Return the numbers with dots between."""
        return ".".join(map(str, self))

    @property
    def globalplatform(self) -> tuple[int, ...] | None:
        """The numbers behind GlobalPlatform's arc 1.2.840.114283, or None for another's."""
        return tuple(self[4:]) if self[:4] == _GLOBALPLATFORM else None


@dataclass(frozen=True, slots=True)
class SecureChannelOid:
    """A secure channel protocol that the card supports.

    Args:
        scp: its number, such as 3 or 0x11.
        i: its parameter; of one byte, or two where SCP11 has them (a YubiKey 5.7 says 0D86).
    """

    scp: int
    i: int


@dataclass(frozen=True, slots=True)
class CardData:
    """What card recognition data says.

    Args:
        version: of GlobalPlatform, such as `2.3.1`; empty where the card does not say.
        protocols: secure channel protocols with their parameters.
        identification_scheme: object identifier of 63, or None.
        configuration: the object identifiers of 65 (card configuration details).
        chip: the object identifiers of 66 (card and chip details, such as the Java Card version).
    """

    version: str
    protocols: tuple[SecureChannelOid, ...]
    identification_scheme: Oid | None = None
    configuration: tuple[Oid, ...] = ()
    chip: tuple[Oid, ...] = ()

    def parameters(self) -> dict[int, int]:
        """Return i by protocol; the first where a card names one protocol several times."""
        return {protocol.scp: protocol.i for protocol in reversed(self.protocols)}

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse the answer to GET DATA 66, with its tag or without.

        Raises:
            ProtocolError: malformed, or not GlobalPlatform's.
        """
        objects = tlv.parse_all(encoded)
        inner = tlv.find(objects, _TAG_CARD_DATA)
        recognition = tlv.find(objects if inner is None else tlv.parse_all(inner), _TAG_RECOGNITION)
        if recognition is None:
            raise ProtocolError("card data: no card recognition data (73)")
        parts = tlv.parse_all(recognition)
        scheme = _oids(parts, _TAG_IDENTIFICATION)
        protocols = [_protocol(value) for value in _values(parts, _TAG_SCP)]
        versions = [oid.globalplatform for oid in _oids(parts, _TAG_VERSION)]
        version = next((".".join(map(str, arc[1:])) for arc in versions if arc is not None and arc[:1] == (2,)), "")
        return cls(
            version,
            tuple(protocols),
            scheme[0] if scheme else None,
            _oids(parts, _TAG_CONFIGURATION),
            _oids(parts, _TAG_CHIP),
        )


def _values(objects: tuple[tlv.Tlv, ...], tag: int) -> list[bytes]:
    """Return the values of the object identifiers in all templates with this tag."""
    templates = tlv.find_all(objects, tag)
    return [item.value for value in templates for item in tlv.parse_all(value) if item.tag == _TAG_OID]


def _oids(objects: tuple[tlv.Tlv, ...], tag: int) -> tuple[Oid, ...]:
    """Return the object identifiers in all templates with this tag."""
    return tuple(Oid.parse(value) for value in _values(objects, tag))


def _protocol(value: bytes) -> SecureChannelOid:
    """Parse {globalPlatform 4 scp i}.

    Cards write protocol and parameter as one byte each, also from 80 on, where an object identifier needs two.
    """
    if len(value) == len(_ARC) + 3 and value.startswith(_ARC) and value[-3] == 4:
        return SecureChannelOid(value[-2], value[-1])
    oid = Oid.parse(value)
    arc = oid.globalplatform
    if arc is None or len(arc) != 3 or arc[0] != 4 or arc[1] > 0xFF or arc[2] > (0xFFFF if arc[1] == _SCP11 else 0xFF):
        raise ProtocolError(f"card data: {oid} (in 64) is no secure channel protocol")
    return SecureChannelOid(arc[1], arc[2])
