"""Tokens and receipts as the specification's field lists have them, made with `cryptography` alone.

Spec: GP Card Specification 2.3.1, C.4 (tokens), C.5 (receipts), B.3.1.1 (RSA of 1024 bits), 11.8.2.3 (public keys).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA1

from opentsm_card.apdu import CommandApdu
from opentsm_card.delete import DeleteObject
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForLoad,
    InstallForMakeSelectable,
    InstallForRegistryUpdate,
)
from opentsm_card.put_key import KeyData

if TYPE_CHECKING:
    from opentsm_card.apdu import Command
    from sd_host import Host

__all__ = ["give_token_keys", "is_receipt", "token_for", "with_token"]

_RECEIPT_KEY: Final = bytes(range(0x90, 0xA0))
_TOKEN_VERSION, _RECEIPT_VERSION = 0x70, 0x71
_AUTHORIZABLE: Final = (
    InstallForLoad,
    InstallForInstall,
    InstallForMakeSelectable,
    InstallForExtradition,
    InstallForRegistryUpdate,
    DeleteObject,
)


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - the length that the specification names


def give_token_keys(verifier: Host) -> None:
    """Put the public token key and the receipt key into the security domain that a host has a session with."""
    assert verifier.keys is not None
    modulus = _key().public_key().public_numbers().n.to_bytes(128, "big")
    public = b"\xa1\x81\x80" + modulus + b"\xa0\x03\x01\x00\x01\x00"
    receipt = KeyData.aes(_RECEIPT_KEY, verifier.keys.dek)
    secret = bytes((receipt.key_type, len(receipt.component))) + receipt.component + b"\x03" + receipt.check_value
    for version, key_data in ((_TOKEN_VERSION, public), (_RECEIPT_VERSION, secret)):
        verifier.done(CommandApdu(0x80, 0xD8, 0x00, 0x01, bytes((version,)) + key_data, 256))


def token_for(apdu: CommandApdu) -> bytes:
    """Sign a command that has no token yet: P1, P2, the length of the fields before the token, and these.

    Args:
        apdu: an INSTALL, whose last field (the token) is empty, or a DELETE without 9E.
    """
    fields = apdu.data if apdu.ins == DeleteObject.INS else apdu.data[:-1]
    signed = bytes((apdu.p1, apdu.p2, len(fields))) + fields
    return _key().sign(signed, padding.PKCS1v15(), SHA1())  # noqa: S303 - what the specification names


def with_token(command: Command) -> Command:
    """Return a command with its token; one that has no field for it as it is."""
    return replace(command, token=token_for(command.apdu())) if isinstance(command, _AUTHORIZABLE) else command


def is_receipt(answer: bytes, *objects: bytes) -> bool:
    """Tell whether an answer is the confirmation, with its receipt, of what was done with these objects.

    Args:
        answer: response data: its length, then the receipt with its length, then the confirmation data.
        objects: AIDs that the receipt names, in the order of its table (C-11 to C-16).
    """
    confirmation = answer[1 : 1 + answer[0]]
    receipt, data = confirmation[1 : 1 + confirmation[0]], confirmation[1 + confirmation[0] :]
    mac = CMAC(AES(_RECEIPT_KEY))
    mac.update(data + b"".join(bytes((len(aid),)) + aid for aid in objects))
    try:
        mac.verify(receipt)
    except InvalidSignature:
        return False
    return True
