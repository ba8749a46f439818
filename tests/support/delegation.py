"""A card on which a tenant's security domain manages by delegation, and the tests' own tokens and receipts for it.

What tokens and receipts sign is put together here from the tables of annex C, with nothing of `opentsm_card.tokens` and
`opentsm_card.receipts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from content_keys import RECEIPT_VERSION, TOKEN_VERSION, independent_signature, put_key, signing_key
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.install import InstallForInstall
from opentsm_card.privileges import Privilege
from opentsm_simulator import VirtualSe
from sd_host import ISD, ISD_KEYS, OWN, SD_MODULE, SD_PACKAGE, Host, keys

if TYPE_CHECKING:
    from opentsm_card.apdu import ResponseApdu
    from opentsm_card.keys import KeySet
    from opentsm_card.signatures import SigningKey

TENANT: Final = Aid(OWN + bytes.fromhex("0D0001"))
TENANT_KEYS: Final = keys(0x33, 21)
LANDLORD: Final = Aid(OWN + bytes.fromhex("0D0002"))
LANDLORD_KEYS: Final = keys(0x34, 31)
DELEGATED: Final = Privilege.SECURITY_DOMAIN | Privilege.DELEGATED_MANAGEMENT | Privilege.TRUSTED_PATH


def lv(*values: bytes) -> bytes:
    """Length and value of each, the length as BER has it."""
    encoded = b""
    for value in values:
        size = len(value)
        long = b"" if size < 0x80 else b"\x81" if size < 0x100 else b"\x82" + bytes((size >> 8,))
        encoded += long + bytes((size & 0xFF,)) + value
    return encoded


def signed(p1: int, p2: int, fields: bytes) -> bytes:
    """What a token signs: P1, P2, length, fields (tables C-4 to C-10)."""
    size = len(fields)
    return bytes((p1, p2)) + (bytes((size,)) if size < 256 else bytes((0, size >> 8, size & 0xFF))) + fields


def number(value: int) -> bytes:
    """A control reference template (B6) with a token number (93)."""
    return b"\xb6\x04\x93\x02" + value.to_bytes(2, "big")


@dataclass
class Delegation:
    """The card, with a session of the tenant's."""

    se: VirtualSe
    host: Host
    token_key: SigningKey
    receipt_key: SigningKey
    authority: Aid = ISD

    def identification(self, tag: int) -> bytes:
        """42 or 45 of the domain that verifies tokens and gives receipts, with tag and length."""
        asker = Host(self.se.link("contactless"))
        asker.select(self.authority)
        return asker.plain(CommandApdu(0x80, 0xCA, 0x00, tag, b"", 256)).data

    @property
    def unique_data(self) -> bytes:
        """Both values, one behind the other."""
        return self.identification(0x42)[2:] + self.identification(0x45)[2:]

    def tenant(self) -> Host:
        return self.host.into(TENANT, TENANT_KEYS)

    def issuer(self) -> Host:
        return Host(self.se.link("contactless")).into(ISD, ISD_KEYS)

    def install(self, p1: int, *fields: bytes, p2: int = 0, token: bytes | None = None) -> ResponseApdu:
        """Send INSTALL with the fields of its table, and a token of the tests' own unless one is given."""
        data = lv(*fields)
        signature = independent_signature(self.token_key, signed(p1, p2, data)) if token is None else token
        return self.host.send(CommandApdu(0x80, 0xE6, p1, p2, data + lv(signature), 256))

    def delete(self, aid: bytes, *, p2: int = 0, template: bytes = b"", token: bytes | None = None) -> ResponseApdu:
        """Send DELETE with a token of the tests' own unless one is given."""
        data = b"\x4f" + lv(aid) + template
        signature = independent_signature(self.token_key, signed(0, p2, data)) if token is None else token
        return self.host.send(CommandApdu(0x80, 0xE4, 0, p2, data + b"\x9e" + lv(signature), 256))

    def receipt(self, counter: int, *fields: bytes, token_number: bytes = b"") -> bytes:
        """The whole confirmation as it must come (tables 11-13, 11-14; C-11 to C-16), for keys that sign one way."""
        data = lv(counter.to_bytes(2, "big"), self.unique_data) + (lv(token_number) if token_number else b"")
        return lv(lv(independent_signature(self.receipt_key, data + lv(*fields))) + data)


def domain(host: Host, aid: Aid, privileges: Privilege, key_set: KeySet) -> None:
    """Make a personalized security domain under the issuer's, whose session the host has; and go back there."""
    host.done(InstallForInstall(SD_PACKAGE, SD_MODULE, aid, privileges))
    host.into(aid, ISD_KEYS).put_keys(key_set).require("PUT KEY")
    host.into(ISD, ISD_KEYS)


def delegation(
    token_kind: str = "aes-128",
    receipt_kind: str | None = "aes-128",
    *,
    profile: str = "embedded",
    authority: Aid = ISD,
) -> Delegation:
    """Make a card: one domain verifies tokens and gives receipts, the tenant's needs and gets them.

    Args:
        token_kind: of the token key.
        receipt_kind: of the receipt key; None to have none.
        profile: of the card.
        authority: the domain that verifies and confirms.
    """
    se = VirtualSe.create(profile, se_id="delegated")
    host = Host(se.link()).into(authority, ISD_KEYS)
    token_key, receipt_key = signing_key(token_kind, 1), signing_key(receipt_kind or "aes-128", 2)
    put_key(host, TOKEN_VERSION, token_key).require("PUT KEY")
    if receipt_kind is not None:
        put_key(host, RECEIPT_VERSION, receipt_key).require("PUT KEY")
    host.into(ISD, ISD_KEYS)
    domain(host, TENANT, DELEGATED, TENANT_KEYS)
    domain(host, LANDLORD, Privilege.SECURITY_DOMAIN, LANDLORD_KEYS)
    made = Delegation(se, host, token_key, receipt_key, authority)
    made.tenant()
    return made
