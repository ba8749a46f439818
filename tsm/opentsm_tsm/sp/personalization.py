"""The data grouping identifiers (DGI) that our payment applet takes in STORE DATA, and what it shows by GET DATA.

One STORE DATA block carries DGI 0101, the identifier of the operation's block, followed by one other DGI; the applet
stores both in one transaction. So whether a block was executed can be read from the applet: tag DF01 holds the
identifier of the last block that was.

Spec: GP 2.3.1, 11.11 (STORE DATA). The DGIs' contents are ours (applets/payment/README.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError
from opentsm_card.store_data import Dgi, encode_dgis

__all__ = [
    "ACCOUNTS_TAG",
    "LAST_OPERATION_TAG",
    "UID_BYTES",
    "Account",
    "block_id",
    "delete_account_block",
    "delete_all_block",
    "delete_qualifier_block",
    "install_parameters",
    "parse_accounts",
    "parse_last_operation",
    "put_account_block",
]

_DGI_OPERATION: Final = 0x0101
_DGI_PUT_ACCOUNT: Final = 0x0201
_DGI_DELETE_ACCOUNT: Final = 0x0202
_DGI_DELETE_QUALIFIER: Final = 0x0203
_DGI_DELETE_ALL: Final = 0x0204

_TAG_QUALIFIER: Final = 0xC0
_TAG_UID: Final = 0xC1
_TAG_MAX_ACCOUNTS: Final = 0xC2
_TAG_PAN: Final = 0x5A
_TAG_EXPIRY: Final = 0x5F24
_TAG_TRACK2: Final = 0x57
_TAG_LABEL: Final = 0x50
_TAG_PRIORITY: Final = 0x87
_TAG_ACCOUNT: Final = 0xE1

LAST_OPERATION_TAG: Final = 0xDF01
ACCOUNTS_TAG: Final = 0xDF02

UID_BYTES: Final = 16
_DIGITS: Final = re.compile(r"[0-9]{12,19}")
# EMV tag 5F24: a month, and a day of it or 00.
_EXPIRY: Final = re.compile(r"[0-9]{2}(0[1-9]|1[0-2])([0-2][0-9]|3[01])")


@dataclass(frozen=True, slots=True)
class Account:
    """One account of a customer: what is written to the SE under a service qualifier.

    Args:
        uid: the account's unique identifier, 16 bytes.
        pan: primary account number, 12 to 19 digits.
        expiry: YYMMDD.
        label: what a person sees, ASCII, up to 16 characters.
        track2: track 2 equivalent data (EMV tag 57), or b"".
    """

    uid: bytes
    pan: str
    expiry: str
    label: str
    track2: bytes = b""

    def __post_init__(self) -> None:
        """Check every member."""
        if len(self.uid) != UID_BYTES:
            raise ProtocolError(f"account uid: {len(self.uid)} bytes, want {UID_BYTES}")
        if not _DIGITS.fullmatch(self.pan):
            raise ProtocolError("account pan: want 12 to 19 digits")
        if not _EXPIRY.fullmatch(self.expiry):
            raise ProtocolError("account expiry: want YYMMDD")
        if not self.label.isascii() or not 1 <= len(self.label) <= 16:
            raise ProtocolError("account label: want 1 to 16 ASCII characters")
        if len(self.track2) > 19:
            raise ProtocolError("account track2: want at most 19 bytes")

    def __repr__(self) -> str:
        """Show the identifier only."""
        return f"Account(uid={self.uid.hex()})"


def _block(operation: bytes, identifier: int, *parts: bytes) -> bytes:
    return encode_dgis((Dgi(_DGI_OPERATION, operation), Dgi(identifier, b"".join(parts))))


def _qualifier(qualifier: str) -> bytes:
    value = qualifier.encode("ascii", "replace")
    if not qualifier.isascii() or not 1 <= len(value) <= 16:
        raise ProtocolError("qualifier: want 1 to 16 ASCII characters")
    return tlv.encode(_TAG_QUALIFIER, value)


def _digits(text: str) -> bytes:
    """Return digits in BCD, padded with F (EMV format cn)."""
    return bytes.fromhex(text if len(text) % 2 == 0 else text + "F")


def block_id(operation: bytes, index: int) -> bytes:
    """Return the identifier of one block of an operation: the operation's first 15 bytes and the block's index.

    Args:
        operation: 16 bytes.
        index: from 0 to 255.
    """
    return operation[:15] + bytes([index])


def put_account_block(operation: bytes, qualifier: str, account: Account) -> bytes:
    """Return the STORE DATA block that writes an account under a service qualifier."""
    return _block(
        operation,
        _DGI_PUT_ACCOUNT,
        _qualifier(qualifier),
        tlv.encode(_TAG_UID, account.uid),
        tlv.encode(_TAG_PAN, _digits(account.pan)),
        tlv.encode(_TAG_EXPIRY, _digits(account.expiry)),
        tlv.encode(_TAG_TRACK2, account.track2) if account.track2 else b"",
        tlv.encode(_TAG_LABEL, account.label.encode("ascii")),
    )


def delete_account_block(operation: bytes, qualifier: str, uid: bytes) -> bytes:
    """Return the STORE DATA block that deletes one account of a qualifier."""
    return _block(operation, _DGI_DELETE_ACCOUNT, _qualifier(qualifier), tlv.encode(_TAG_UID, uid))


def delete_qualifier_block(operation: bytes, qualifier: str) -> bytes:
    """Return the STORE DATA block that deletes all accounts of a qualifier."""
    return _block(operation, _DGI_DELETE_QUALIFIER, _qualifier(qualifier))


def delete_all_block(operation: bytes) -> bytes:
    """Return the STORE DATA block that deletes all accounts of the instance."""
    return _block(operation, _DGI_DELETE_ALL)


def install_parameters(label: str, priority: int, max_accounts: int) -> bytes:
    """Return the payment applet's own install parameters (the value of tag C9).

    Args:
        label: what the PPSE lists, ASCII, up to 16 characters.
        priority: the order in the PPSE, 1 first.
        max_accounts: how many accounts the instance makes room for.
    """
    return (
        tlv.encode(_TAG_LABEL, label.encode("ascii"))
        + tlv.encode(_TAG_PRIORITY, bytes([priority]))
        + tlv.encode(_TAG_MAX_ACCOUNTS, bytes([max_accounts]))
    )


def parse_last_operation(data: bytes) -> bytes:
    """Return the identifier in a GET DATA DF01 answer: of the last block executed, zeros when none was.

    Raises:
        ProtocolError: it is not tag DF01 with 16 bytes.
    """
    found = tlv.find(tlv.parse_all(data), LAST_OPERATION_TAG)
    if found is None or len(found) != UID_BYTES:
        raise ProtocolError("GET DATA DF01: want tag DF01 with 16 bytes")
    return found


def parse_accounts(data: bytes) -> tuple[tuple[str, bytes], ...]:
    """Return the (qualifier, account uid) pairs of a GET DATA DF02 answer.

    Raises:
        ProtocolError: it is not the list that the payment applet gives.
    """
    found = tlv.find(tlv.parse_all(data), ACCOUNTS_TAG)
    if found is None:
        raise ProtocolError("GET DATA DF02: tag DF02 is missing")
    accounts: list[tuple[str, bytes]] = []
    for position, entry in enumerate(tlv.parse_all(found)):
        members = entry.children() if entry.tag == _TAG_ACCOUNT else ()
        qualifier, uid = tlv.find(members, _TAG_QUALIFIER), tlv.find(members, _TAG_UID)
        if qualifier is None or uid is None or len(uid) != UID_BYTES:
            raise ProtocolError(f"GET DATA DF02: entry {position} is not a qualifier and a uid of 16 bytes")
        accounts.append((qualifier.decode("ascii", "replace"), uid))
    return tuple(accounts)
