"""Privileges of applications and security domains.

Spec: GP Card Specification 2.3.1, 6.6.1 (meanings) and tables 11-7, 11-8, 11-9 (coding).
"""

from __future__ import annotations

from enum import IntFlag
from typing import Self

from opentsm_card.errors import ProtocolError

__all__ = ["Privilege"]


class Privilege(IntFlag):
    """The 24 privilege bits; b8 of the first byte is 0x800000.

    DAP verification, delegated management and mandated DAP verification are meaningful with `SECURITY_DOMAIN` only.
    """

    NONE = 0
    # Table 11-7, byte 1
    SECURITY_DOMAIN = 0x800000
    DAP_VERIFICATION = 0x400000
    DELEGATED_MANAGEMENT = 0x200000
    CARD_LOCK = 0x100000
    CARD_TERMINATE = 0x080000
    CARD_RESET = 0x040000
    CVM_MANAGEMENT = 0x020000
    MANDATED_DAP_VERIFICATION = 0x010000
    # Table 11-8, byte 2
    TRUSTED_PATH = 0x008000
    AUTHORIZED_MANAGEMENT = 0x004000
    TOKEN_MANAGEMENT = 0x002000
    GLOBAL_DELETE = 0x001000
    GLOBAL_LOCK = 0x000800
    GLOBAL_REGISTRY = 0x000400
    FINAL_APPLICATION = 0x000200
    GLOBAL_SERVICE = 0x000100
    # Table 11-9, byte 3
    RECEIPT_GENERATION = 0x000080
    CIPHERED_LOAD_FILE_DATA_BLOCK = 0x000040
    CONTACTLESS_ACTIVATION = 0x000020
    CONTACTLESS_SELF_ACTIVATION = 0x000010
    PRIVACY_TRUSTED = 0x000008
    RFU_3 = 0x000004
    RFU_2 = 0x000002
    RFU_1 = 0x000001

    def encode(self, *, short: bool = False) -> bytes:
        """Return 3 bytes, or 1 when `short`.

        Raises:
            ProtocolError: `short`, and a privilege of byte 2 or 3 is set.
        """
        encoded = int(self).to_bytes(3, "big")
        if not short:
            return encoded
        if encoded[1:] != b"\x00\x00":
            raise ProtocolError("these privileges need 3 bytes")
        return encoded[:1]

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        """Parse 1 or 3 bytes (none means no privileges).

        Raises:
            ProtocolError: another length.
        """
        if len(encoded) not in {0, 1, 3}:
            raise ProtocolError(f"privileges have 1 or 3 bytes, not {len(encoded)}")
        return cls(int.from_bytes(encoded.ljust(3, b"\x00"), "big"))
