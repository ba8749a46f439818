"""BER-TLV data objects as cards use them: tags of 1 to 3 bytes, definite lengths of up to 4 bytes.

Spec: ISO/IEC 7816-4:2013, 5.2.2; ISO/IEC 8825-1, 8.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from opentsm_card.errors import ProtocolError
from opentsm_card.reader import Reader, encode_lv

__all__ = ["Tlv", "encode", "encode_tag", "find", "find_all", "parse_all", "parse_one", "parse_padded", "parse_tags"]

_MAX_TAG_BYTES = 3
_MAX_OBJECTS = 4096


@dataclass(frozen=True, slots=True)
class Tlv:
    """A data object.

    Args:
        tag: the tag's bytes as one big-endian number, such as 0x9F70.
        value: the value field.
    """

    tag: int
    value: bytes

    def __repr__(self) -> str:
        """Show tag and length only: a value may be a secret."""
        return f"Tlv({self.tag:02X}, {len(self.value)} bytes)"

    @property
    def constructed(self) -> bool:
        """True when the tag says that the value is made of data objects."""
        return bool(encode_tag(self.tag)[0] & 0x20)

    def encode(self) -> bytes:
        """Return tag, shortest length and value."""
        return encode(self.tag, self.value)

    def children(self) -> tuple[Tlv, ...]:
        """Parse the value as data objects."""
        return parse_all(self.value)


def encode_tag(tag: int) -> bytes:
    """Return the bytes of a tag.

    Raises:
        ProtocolError: no BER tag of 1 to 3 bytes.
    """
    if tag <= 0:
        raise ProtocolError("a tag is a positive number")
    encoded = tag.to_bytes((tag.bit_length() + 7) // 8, "big")
    if parse_tags(encoded) != (tag,):
        raise ProtocolError(f"{tag:X} is no tag")
    return encoded


def encode(tag: int, value: bytes) -> bytes:
    """Return tag, shortest length and value.

    Raises:
        ProtocolError: a bad tag, or a value of more than FFFFFF bytes.
    """
    return encode_tag(tag) + encode_lv(value)


def _read_tag(reader: Reader) -> int:
    tag = reader.byte()
    if tag & 0x1F != 0x1F:
        if tag == 0:
            raise reader.fail("tag 00 is padding, not a data object")
        return tag
    for _ in range(_MAX_TAG_BYTES - 1):
        subsequent = reader.byte()
        tag = tag << 8 | subsequent
        if not subsequent & 0x80:
            return tag
    raise reader.fail("tag of more than 3 bytes")


def parse_tags(encoded: bytes) -> tuple[int, ...]:
    """Parse a tag list (the value of 5C): tags one behind the other.

    Raises:
        ProtocolError: a tag is malformed or cut short.
    """
    reader = Reader(encoded, "tag list")
    tags = []
    while reader.remaining:
        tags.append(_read_tag(reader))
    return tuple(tags)


def parse_one(encoded: bytes) -> Tlv:
    """Parse exactly one data object.

    Raises:
        ProtocolError: malformed, or bytes are left over.
    """
    reader = Reader(encoded, "data object")
    parsed = Tlv(_read_tag(reader), reader.lv())
    reader.end()
    return parsed


def parse_all(encoded: bytes) -> tuple[Tlv, ...]:
    """Parse data objects one behind the other, to the end.

    Raises:
        ProtocolError: malformed, cut short, or more than 4096 objects.
    """
    reader = Reader(encoded, "data objects")
    parsed: list[Tlv] = []
    while reader.remaining:
        if len(parsed) == _MAX_OBJECTS:
            raise reader.fail(f"more than {_MAX_OBJECTS} data objects")
        parsed.append(Tlv(_read_tag(reader), reader.lv()))
    return tuple(parsed)


def parse_padded(encoded: bytes) -> tuple[Tlv, ...]:
    """Parse data objects one behind the other, to the end or to the first byte that fills up: 00 or FF.

    Raises:
        ProtocolError: malformed, cut short, or more than 4096 objects.

    Spec: ISO/IEC 7816-4:2013, 5.2.2.1 (tag field: 00 and FF are none).
    """
    reader = Reader(encoded, "data objects")
    while reader.peek() not in {None, 0x00, 0xFF}:
        _read_tag(reader)
        reader.lv()
    return parse_all(encoded[: reader.offset])


def find(tlvs: tuple[Tlv, ...], tag: int) -> bytes | None:
    """Return the value of the first data object with this tag, or None."""
    return next((tlv.value for tlv in tlvs if tlv.tag == tag), None)


def find_all(tlvs: tuple[Tlv, ...], tag: int) -> tuple[bytes, ...]:
    """Return the values of all data objects with this tag, in order."""
    return tuple(tlv.value for tlv in tlvs if tlv.tag == tag)
