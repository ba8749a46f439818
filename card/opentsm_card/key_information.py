"""Key information template (tag E0): which keys a security domain holds.

Spec: GP Card Specification 2.3.1, 11.3.3.1 and tables 11-29, 11-30 (basic and extended structure), 11-16 (key types).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError
from opentsm_card.key_information_tables import KEY_TYPES
from opentsm_card.reader import Reader

__all__ = ["KeyComponent", "KeyInformation", "parse_key_information"]

_TAG_TEMPLATE: Final = 0xE0
_TAG_KEY: Final = 0xC0
_EXTENDED: Final = 0xFF


@dataclass(frozen=True, slots=True)
class KeyComponent:
    """One component of a key.

    Args:
        key_type: one byte.
        length_bytes: of the component; for key parameters (F0) the reference of the curve.
    """

    key_type: int
    length_bytes: int

    @property
    def name(self) -> str:
        """What the type means, for people."""
        return KEY_TYPES.get(self.key_type, f"type {self.key_type:02X}")


@dataclass(frozen=True, slots=True)
class KeyInformation:
    """One key.

    Args:
        key_id: identifier, 1..127 (0 on some cards).
        version: key version number.
        components: type and length of each component; a symmetric key has one.
        usage: key usage qualifier of the extended structure; empty in the basic one.
        access: key access of the extended structure; empty in the basic one.
    """

    key_id: int
    version: int
    components: tuple[KeyComponent, ...]
    usage: bytes = b""
    access: bytes = b""

    @classmethod
    def parse(cls, value: bytes) -> Self:
        """Parse the value of a C0.

        Raises:
            ProtocolError: malformed.
        """
        reader = Reader(value, "key information")
        key_id, version = reader.byte(), reader.byte()
        if reader.peek() != _EXTENDED:
            components = []
            while reader.remaining:
                key_type = reader.byte()
                components.append(KeyComponent(key_type, reader.byte()))
            if not components:
                raise reader.fail("no component")
            return cls(key_id, version, tuple(components))
        components = []
        while reader.peek() == _EXTENDED:
            reader.byte()
            key_type = reader.byte()
            components.append(KeyComponent(key_type, int.from_bytes(reader.take(2), "big")))
        usage = reader.take(reader.byte())
        access = reader.take(reader.byte())
        reader.end()
        return cls(key_id, version, tuple(components), usage, access)


def parse_key_information(encoded: bytes) -> tuple[KeyInformation, ...]:
    """Parse the answer to GET DATA E0, with its tag or without.

    Raises:
        ProtocolError: malformed.
    """
    objects = tlv.parse_all(encoded)
    inner = tlv.find(objects, _TAG_TEMPLATE)
    if inner is not None:
        objects = tlv.parse_all(inner)
    if any(item.tag != _TAG_KEY for item in objects):
        raise ProtocolError("key information template: something other than C0 in it")
    return tuple(KeyInformation.parse(item.value) for item in objects)
