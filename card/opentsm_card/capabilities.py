"""Card capability information (tag 67): protocols, privileges and algorithms that the card supports.

Spec: GP Card Specification 2.3.1, H.4 (tables H-7 to H-10).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from opentsm_card import tlv
from opentsm_card.capabilities_tables import AES_SIZES, ENCRYPTION, HASHES, SIGNATURES
from opentsm_card.errors import ProtocolError
from opentsm_card.privileges import Privilege

__all__ = ["CardCapabilities", "SecureChannelSupport"]

_TAG: Final = 0x67
_TAG_SCP: Final = 0xA0


@dataclass(frozen=True, slots=True)
class SecureChannelSupport:
    """A secure channel protocol that the card supports.

    Args:
        scp: its number.
        options: the values of i.
        key_sizes: AES key sizes in words; empty where the card does not say.
        tls: the value of 83 (cipher suites, SCP81), empty otherwise.
    """

    scp: int
    options: bytes
    key_sizes: tuple[str, ...] = ()
    tls: bytes = b""


@dataclass(frozen=True, slots=True)
class CardCapabilities:
    """What the card supports.

    Args:
        protocols: secure channel protocols.
        domain_privileges: that a supplementary security domain can be given; None where the card does not say.
        application_privileges: that an application can be given; None where the card does not say.
        hashes: of load file data blocks.
        load_file_encryption: of ciphered load file data blocks.
        tokens: signatures of tokens.
        receipts: signatures of receipts.
        daps: signatures of DAPs.
        key_parameters: values of 88: references of curves.
    """

    protocols: tuple[SecureChannelSupport, ...]
    domain_privileges: Privilege | None
    application_privileges: Privilege | None
    hashes: tuple[str, ...]
    load_file_encryption: tuple[str, ...]
    tokens: tuple[str, ...]
    receipts: tuple[str, ...]
    daps: tuple[str, ...]
    key_parameters: bytes

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse the answer to GET DATA 67, with its tag or without.

        Raises:
            ProtocolError: malformed.
        """
        objects = tlv.parse_all(encoded)
        inner = tlv.find(objects, _TAG)
        if inner is not None:
            objects = tlv.parse_all(inner)
        return cls(
            tuple(_protocol(value) for value in tlv.find_all(objects, _TAG_SCP)),
            _privileges(objects, 0x81),
            _privileges(objects, 0x82),
            tuple(HASHES.get(byte, f"hash {byte:02X}") for byte in tlv.find(objects, 0x83) or b""),
            _suites(objects, 0x84, ENCRYPTION),
            _suites(objects, 0x85, SIGNATURES),
            _suites(objects, 0x86, SIGNATURES),
            _suites(objects, 0x87, SIGNATURES),
            tlv.find(objects, 0x88) or b"",
        )


def _protocol(value: bytes) -> SecureChannelSupport:
    parts = tlv.parse_all(value)
    scp = tlv.find(parts, 0x80)
    if scp is None or len(scp) != 1:
        raise ProtocolError("card capabilities: a secure channel protocol (A0) without its number (80)")
    sizes = (tlv.find(parts, 0x82) or b"\0")[0]
    names = tuple(name for bit, name in AES_SIZES.items() if sizes & bit)
    return SecureChannelSupport(scp[0], tlv.find(parts, 0x81) or b"", names, tlv.find(parts, 0x83) or b"")


def _privileges(objects: tuple[tlv.Tlv, ...], tag: int) -> Privilege | None:
    value = tlv.find(objects, tag)
    return None if value is None else Privilege.parse(value)


def _suites(objects: tuple[tlv.Tlv, ...], tag: int, names: dict[int, str]) -> tuple[str, ...]:
    """Return the names of the bits set: the first byte has the low eight bits, the second the next."""
    bits = int.from_bytes(tlv.find(objects, tag) or b"", "little")
    return tuple(names.get(1 << index, f"bit {index + 1}") for index in range(bits.bit_length()) if bits >> index & 1)
