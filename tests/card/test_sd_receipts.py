"""Receipts of delegated management, put together by an implementation of the tests' own.

Spec: GP Card Specification 2.3.1, 9.1.3.6, 11.1.6, C.5 (tables C-11 to C-16).
"""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from content_keys import (
    RECEIPT_VERSION,
    SYMMETRIC,
    flips,
    independent_signature,
    put_key,
    put_private_key,
    signing_key,
    verification_key,
)
from delegation import LANDLORD, TENANT, Delegation, delegation, lv, number, signed
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.load import load_blocks, load_file
from opentsm_card.privileges import Privilege
from opentsm_card.receipts import Confirmation, Operation
from sd_host import CARD_1, ISD, ISD_KEYS, PAYMENT_MODULE, PAYMENT_PACKAGE, Host, payment_parameters
from small_cap import PACKAGE, small_cap

if TYPE_CHECKING:
    from opentsm_card.apdu import ResponseApdu

NONE = bytes(3)
PARAMETERS = payment_parameters()
PAYMENT = (PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, NONE, PARAMETERS)


def parsed(answer: bytes) -> Confirmation:
    confirmation = Confirmation.parse(answer)
    assert confirmation is not None
    return confirmation


@pytest.mark.parametrize("kind", SYMMETRIC)
def test_every_operation_has_its_receipt(kind: str) -> None:
    """C.5.1 to C.5.5: with the fields of each table, under each kind of receipt key; the counter goes up by one."""
    card = delegation(receipt_kind=kind)
    block = small_cap()
    self_service = Privilege.CONTACTLESS_SELF_ACTIVATION.encode()
    updated = (b"", b"", CARD_1, self_service, number(9))
    assert card.install(0x04, *PAYMENT).data == card.receipt(0, PAYMENT_PACKAGE, CARD_1)
    assert card.install(0x08, b"", b"", CARD_1, NONE, b"").data == card.receipt(1, PAYMENT_PACKAGE, CARD_1)
    assert card.install(0x40, *updated).data == card.receipt(
        2, b"", CARD_1, b"", self_service, number(9), token_number=b"\x00\x09"
    )
    assert card.delete(CARD_1).data == card.receipt(3, CARD_1)
    assert card.install(0x0C, *PAYMENT).data == card.receipt(4, PAYMENT_PACKAGE, CARD_1)
    assert card.install(0x40, LANDLORD, b"", CARD_1, b"", b"").data == card.receipt(
        5, TENANT, CARD_1, LANDLORD, b"", b""
    )
    assert card.install(0x02, PACKAGE, b"", hashlib.sha256(block).digest(), number(1)).data == b"\0"
    *blocks, last = load_blocks(load_file(block), 100)
    assert {card.host.send(each).data for each in blocks} == {b"\0"}
    assert card.host.send(last).data == card.receipt(6, PACKAGE, TENANT, token_number=b"\x00\x01")
    assert card.install(0x10, LANDLORD, b"", PACKAGE, b"", b"").data == card.receipt(7, TENANT, PACKAGE, LANDLORD)
    counter = card.issuer().plain(CommandApdu(0x80, 0xCA, 0x00, 0xC2, b"", 256))
    assert counter.data == b"\xc2\x02\x00\x08"


def combined(card: Delegation, token: bytes | None = None) -> ResponseApdu:
    """Load, install and make selectable, with a token over both INSTALL commands (table C-10)."""
    block = small_cap(registers=True)
    first = (PACKAGE, b"", hashlib.sha256(block).digest(), b"")
    last = (b"", b"", CARD_1, NONE, b"\xc9\x00" + number(7))
    answer = card.install(0x0E, *first, p2=1, token=b"")
    assert (answer.sw, answer.data) == (0x9000, b"\0")
    for each in load_blocks(load_file(block), 100):
        assert card.host.send(each).data == b"\0"
    both = signed(0x0E, 1, lv(*first)) + signed(0x0E, 3, lv(*last))
    return card.install(
        0x0E, *last, p2=3, token=independent_signature(card.token_key, both) if token is None else token
    )


@pytest.mark.parametrize("kind", ["aes-128", "rsa-2048", "p-256"])
def test_the_combined_process_has_a_receipt_of_its_own(kind: str) -> None:
    """C.4.7, C.5.6 (tables C-10, C-16): the host verifies it too."""
    card = delegation(kind)
    answer = combined(card)
    assert answer.data == card.receipt(0, PACKAGE, CARD_1, TENANT, token_number=b"\x00\x07")
    operation = Operation.load_and_install(Aid(PACKAGE), CARD_1, TENANT)
    parsed(answer.data).check(verification_key(card.receipt_key), operation, unique_data=card.unique_data)
    application = card.issuer().entry(CARD_1)
    assert application is not None
    assert application.associated_sd == TENANT


def test_the_token_of_a_combined_process_signs_both_commands() -> None:
    """C.4.7: one for the last command alone is refused, as is any flipped bit, and nothing of it stays."""
    card = delegation()
    before = card.issuer().registry()
    last = signed(0x0E, 3, lv(b"", b"", CARD_1, NONE, b"\xc9\x00" + number(7)))
    alone = independent_signature(card.token_key, last)
    for token in (alone, *itertools.islice(flips(alone), 0, None, 50)):
        assert combined(card, token).sw == 0x6982
        assert card.issuer().registry() == before
    assert combined(card, b"").sw == 0x6985
    assert combined(card).sw == 0x9000


@pytest.mark.parametrize("kind", ["p-256", "p-384"])
def test_receipts_under_private_keys(kind: str) -> None:
    """Table C-1, B.4.3: ECDSA, r and s one behind the other; a flipped bit anywhere is refused."""
    card = delegation()
    key = signing_key(kind)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    put_private_key(card.issuer(), RECEIPT_VERSION, key, replaces=RECEIPT_VERSION).require("PUT KEY")
    card.tenant()
    size = 2 * key.key_size // 8
    digest = hashes.SHA256() if kind == "p-256" else hashes.SHA384()
    for count in range(12):  # short values of r and s too
        answer = card.install(0x0C, *PAYMENT).data if count % 2 == 0 else card.delete(CARD_1).data
        fields = lv(PAYMENT_PACKAGE, CARD_1) if count % 2 == 0 else lv(CARD_1)
        data = lv(count.to_bytes(2, "big"), card.unique_data)
        assert answer == lv(answer[-len(data) - size - 1 :])
        confirmation = answer[-len(data) - size - 1 :]
        assert confirmation[0] == size
        assert confirmation[1 + size :] == data
        r, s = (int.from_bytes(confirmation[at : at + size // 2], "big") for at in (1, 1 + size // 2))
        key.public_key().verify(encode_dss_signature(r, s), data + fields, ec.ECDSA(digest))
    operation = Operation.delete(CARD_1)
    parsed(answer).check(key.public_key(), operation)
    for flipped in flips(answer):
        with pytest.raises((ProtocolError, SecureChannelError)):
            parsed(flipped).check(key.public_key(), operation)


def test_the_host_verifies_what_the_card_gives() -> None:
    card = delegation(receipt_kind="des")
    confirmation = parsed(card.install(0x0C, *PAYMENT[:4], PARAMETERS + number(4)).data)
    operation = Operation.install(PAYMENT_PACKAGE, CARD_1)
    unique = card.unique_data
    confirmation.check(verification_key(card.receipt_key), operation, unique_data=unique, token_number=b"\x00\x04")
    again = parsed(card.delete(CARD_1).data)
    again.check(verification_key(card.receipt_key), Operation.delete(CARD_1), after=confirmation.counter)
    with pytest.raises(SecureChannelError, match="not newer"):
        confirmation.check(verification_key(card.receipt_key), operation, after=again.counter)
    with pytest.raises(SecureChannelError, match="another security domain"):
        confirmation.check(verification_key(card.receipt_key), operation, unique_data=unique[:-1])
    with pytest.raises(SecureChannelError, match="another token"):
        confirmation.check(verification_key(card.receipt_key), operation, token_number=b"\x05")
    for wrong in (Operation.install(PAYMENT_PACKAGE, Aid(LANDLORD)), Operation.delete(CARD_1)):
        with pytest.raises(SecureChannelError, match="receipt does not verify"):
            confirmation.check(verification_key(card.receipt_key), wrong)


@pytest.mark.parametrize("kind", SYMMETRIC)
def test_a_flipped_bit_anywhere_is_refused_by_the_host(kind: str) -> None:
    card = delegation(receipt_kind=kind)
    answer = card.install(0x0C, *PAYMENT[:4], PARAMETERS + number(4)).data
    operation = Operation.install(PAYMENT_PACKAGE, CARD_1)
    for bit in range(8 * len(answer)):
        flipped = bytearray(answer)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((ProtocolError, SecureChannelError)):
            parsed(bytes(flipped)).check(verification_key(card.receipt_key), operation)


def test_what_fails_is_not_counted() -> None:
    card = delegation()
    assert card.install(0x0C, *PAYMENT[:4], b"\xc9\x03\xc2\x01\x00").sw == 0x6A80
    assert card.delete(CARD_1).sw == 0x6A88
    assert card.install(0x0C, *PAYMENT).data == card.receipt(0, PAYMENT_PACKAGE, CARD_1)


def test_a_manager_on_its_own_authority_gets_no_receipt() -> None:
    """11.5.3.1: a confirmation is for commands to a domain with the Delegated Management privilege."""
    card = delegation()
    issuer = Host(card.se.link()).into(ISD, ISD_KEYS)
    assert issuer.send(CommandApdu(0x80, 0xE6, 0x0C, 0, lv(*PAYMENT, b""), 256)).data == b"\0"
    assert issuer.plain(CommandApdu(0x80, 0xCA, 0x00, 0xC2, b"", 256)).data == b"\xc2\x02\x00\x00"


def test_the_counter_outlives_its_key_and_only_the_giver_shows_it() -> None:
    card = delegation()
    assert card.install(0x0C, *PAYMENT).sw == 0x9000
    issuer = Host(card.se.link()).into(ISD, ISD_KEYS)
    card.receipt_key = signing_key("aes-256", 50)
    put_key(issuer, RECEIPT_VERSION, card.receipt_key, replaces=RECEIPT_VERSION).require("PUT KEY")
    card.tenant()
    assert card.delete(CARD_1).data == card.receipt(1, CARD_1)
    assert card.host.send(CommandApdu(0x80, 0xCA, 0x00, 0xC2, b"", 256)).sw == 0x6A88
    assert card.issuer().sw(CommandApdu(0x80, 0xE2, 0x80, 0x00, b"\xc2\x02\x00\x00")) == 0x6A88


def test_public_keys_give_no_receipts() -> None:
    """A receipt key signs: with a public key under its version delegated operations fail (C.1.1.2)."""
    card = delegation(receipt_kind="p-256")
    assert card.install(0x0C, *PAYMENT).sw == 0x6985
