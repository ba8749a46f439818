"""Keys for delegated management on a card, tokens for commands, and receipts judged: by `content_keys` alone.

Spec: GP Card Specification 2.3.1, C.4 (tokens), C.5 (receipts).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from content_keys import RECEIPT_VERSION, TOKEN_VERSION, independent_signature, put_key, signing_key
from opentsm_card.delete import DeleteObject
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForLoad,
    InstallForMakeSelectable,
    InstallForRegistryUpdate,
)

if TYPE_CHECKING:
    from opentsm_card.apdu import Command, CommandApdu
    from sd_host import Host

__all__ = ["RECEIPT_KEY", "TOKEN_KEY", "give_token_keys", "is_receipt", "token_for", "with_token"]

TOKEN_KEY: Final = signing_key("rsa-1024")
RECEIPT_KEY: Final = signing_key("aes-128", seed=9)
_AUTHORIZABLE: Final = (
    InstallForLoad,
    InstallForInstall,
    InstallForMakeSelectable,
    InstallForExtradition,
    InstallForRegistryUpdate,
    DeleteObject,
)


def give_token_keys(verifier: Host) -> None:
    """Put token and receipt key into the security domain that a host has a session with."""
    for version, key in ((TOKEN_VERSION, TOKEN_KEY), (RECEIPT_VERSION, RECEIPT_KEY)):
        put_key(verifier, version, key).require("PUT KEY")


def token_for(apdu: CommandApdu) -> bytes:
    """Sign a command that has no token yet: P1, P2, the length of the fields before the token, and these.

    Args:
        apdu: an INSTALL, whose last field (the token) is empty, or a DELETE without 9E; of at most 255 bytes.
    """
    fields = apdu.data if apdu.ins == DeleteObject.INS else apdu.data[:-1]
    return independent_signature(TOKEN_KEY, bytes((apdu.p1, apdu.p2, len(fields))) + fields)


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
    named = b"".join(bytes((len(aid),)) + aid for aid in objects)
    return receipt == independent_signature(RECEIPT_KEY, data + named)
