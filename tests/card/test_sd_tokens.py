"""Delegated management: tokens of every kind of key for every operation, made by an implementation of the tests' own.

Spec: GP Card Specification 2.3.1, 9.1.3.3, 9.2.3, C.1.1.1, C.4 (tables C-4 to C-10).
"""

from __future__ import annotations

import hashlib

import pytest

from content_keys import (
    KINDS,
    RECEIPT_VERSION,
    TOKEN_VERSION,
    flips,
    independent_signature,
    put_key,
    signing_key,
)
from delegation import DELEGATED, LANDLORD, TENANT, Delegation, delegation, domain, lv, number, signed
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.load import Load, load_blocks, load_file
from opentsm_card.privileges import Privilege
from opentsm_card.store_data import DataStructure, Dgi, StoreData, encode_dgis
from opentsm_card.tokens import TokenTemplate, add_token, with_template
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    CENTRAL,
    ISD,
    ISD_KEYS,
    PAYMENT_MODULE,
    PAYMENT_PACKAGE,
    PPSE,
    SD_MODULE,
    SD_PACKAGE,
    Host,
    keys,
    payment_parameters,
)
from small_cap import PACKAGE, small_cap
from token_vectors import KEYS, VECTORS, public_key

NONE = bytes(3)
PARAMETERS = payment_parameters()
BANK_KEYS = keys(0x35, 41)
PAYMENT = (PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, NONE, PARAMETERS)


@pytest.fixture(scope="module")
def shared() -> Delegation:
    """A card for tests that leave it as they found it."""
    return delegation()


@pytest.fixture
def card() -> Delegation:
    return delegation()


@pytest.mark.parametrize("kind", KINDS)
def test_every_operation_by_token(kind: str) -> None:
    """Table C-1: each kind of key; C.4.1 to C.4.6: each operation that a token allows."""
    card = delegation(kind)
    assert card.install(0x04, *PAYMENT).sw == 0x9000  # C.4.2
    assert card.install(0x08, b"", b"", CARD_1, NONE, b"").sw == 0x9000  # C.4.3
    assert card.install(0x0C, PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_2, NONE, PARAMETERS).sw == 0x9000
    assert card.install(0x40, b"", b"", CARD_1, Privilege.CONTACTLESS_SELF_ACTIVATION.encode(), b"").sw == 0x9000
    assert card.install(0x10, LANDLORD, b"", CARD_1, b"", b"").sw == 0x9000  # C.4.4
    assert card.delete(CARD_2).sw == 0x9000  # C.4.6
    block = small_cap()
    digest = "sha384" if kind == "p-384" else "sha256"
    command = InstallForLoad(Aid(PACKAGE), hash=hashlib.new(digest, block).digest())
    assert card.install(0x02, PACKAGE, b"", command.hash, b"").sw == 0x9000  # C.4.1
    card.host.done(*load_blocks(load_file(block), 200))
    registry = card.issuer().registry()
    entry, loaded = registry.find(CARD_1), registry.find(PACKAGE)
    assert entry is not None
    assert loaded is not None
    assert (entry.associated_sd, entry.privileges) == (LANDLORD, Privilege.CONTACTLESS_SELF_ACTIVATION)
    assert loaded.associated_sd == TENANT
    assert registry.find(CARD_2) is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_host_s_tokens_are_the_card_s(kind: str) -> None:
    """What `opentsm_card.tokens` signs, the card takes."""
    card = delegation(kind)
    template = TokenTemplate(number=b"\x01")
    command = InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, parameters=PARAMETERS)
    assert card.host.sw(add_token(with_template(command, template), card.token_key)) == 0x9000


def test_a_domain_that_needs_tokens_does_nothing_without(card: Delegation) -> None:
    """9.1.3.3: 6985 for each operation, and nothing has changed."""
    before = card.se.effects()
    for p1, fields in (
        (0x02, (PACKAGE, b"", bytes(32), b"")),
        (0x04, PAYMENT),
        (0x0C, PAYMENT),
        (0x08, (b"", b"", PPSE, NONE, b"")),
        (0x10, (LANDLORD, b"", PPSE, b"", b"")),
        (0x40, (b"", b"", PPSE, NONE, b"")),
    ):
        assert card.install(p1, *fields, token=b"").sw == 0x6985, hex(p1)
    assert card.host.sw(CommandApdu(0x80, 0xE4, 0, 0, b"\x4f" + lv(CARD_1), 256)) == 0x6985
    assert card.se.effects() == before


@pytest.mark.parametrize("kind", ["des", "aes-256", "rsa-1024", "p-256"])
def test_a_flipped_bit_anywhere_is_refused(kind: str) -> None:
    """In the token, and in what it signs: 6982 or a plainer error, and nothing has changed."""
    card = delegation(kind)
    fields = lv(*PAYMENT)
    token = independent_signature(card.token_key, signed(0x0C, 0, fields))
    before = card.se.effects()
    for flipped in flips(token):
        assert card.install(0x0C, *PAYMENT, token=flipped).sw == 0x6982
    for position in range(len(fields)):
        data = bytearray(fields)
        data[position] ^= 1 << position % 8
        sw = card.host.sw(CommandApdu(0x80, 0xE6, 0x0C, 0, bytes(data) + lv(token), 256))
        assert sw in {0x6982, 0x6A80, 0x6A88, 0x6985}, position
    assert card.se.effects() == before
    assert card.install(0x0C, *PAYMENT, token=token).sw == 0x9000


def test_a_token_is_for_one_form_of_one_command(shared: Delegation) -> None:
    """C.4.2: P1 and P2 are signed: a token for INSTALL [for install] makes nothing selectable."""
    token = independent_signature(shared.token_key, signed(0x04, 0, lv(*PAYMENT)))
    assert shared.install(0x0C, *PAYMENT, token=token).sw == 0x6982
    delete = b"\x4f" + lv(PAYMENT_PACKAGE)
    token = independent_signature(shared.token_key, signed(0, 0, delete))
    sw = shared.host.sw(CommandApdu(0x80, 0xE4, 0, 0x80, delete + b"\x9e" + lv(token), 256))
    assert sw in {0x6982, 0x6985}


def test_tokens_cut_short_or_too_long_are_refused(shared: Delegation) -> None:
    token = independent_signature(shared.token_key, signed(0x0C, 0, lv(*PAYMENT)))
    for wrong in (token[:-1], token + b"\0", token[:8], b"\0"):
        assert shared.install(0x0C, *PAYMENT, token=wrong).sw == 0x6982
    data = lv(*PAYMENT)
    for cut in range(1, len(token)):
        command = CommandApdu(0x80, 0xE6, 0x0C, 0, data + bytes((len(token),)) + token[:cut], 256)
        assert shared.host.sw(command) == 0x6A80


def test_a_token_number_is_taken_once(card: Delegation) -> None:
    """Tables 11-48 to 11-52, tag 93: a second time the same token is refused, and another with its number."""
    fields = (PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, NONE, PARAMETERS + number(7))
    assert card.install(0x0C, *fields).sw == 0x9000
    assert card.delete(CARD_1, template=number(8)).sw == 0x9000
    assert card.install(0x0C, *fields).sw == 0x6982
    assert card.install(0x04, *fields).sw == 0x6982
    assert card.issuer().entry(CARD_1) is None
    fields = (*fields[:4], PARAMETERS + number(6))
    assert card.install(0x0C, *fields).sw == 0x9000  # numbers need not come in order


def test_numbers_far_behind_count_as_used(card: Delegation) -> None:
    """The card remembers sixteen numbers, and takes none that is not above those it had to forget."""
    for value in range(10, 27):
        assert card.install(0x0C, *PAYMENT[:4], PARAMETERS + number(value)).sw == 0x9000
        assert card.delete(CARD_1).sw == 0x9000
    for value in (9, 10, 11, 26):
        assert card.install(0x0C, *PAYMENT[:4], PARAMETERS + number(value)).sw == 0x6982, value
    assert card.install(0x0C, *PAYMENT[:4], PARAMETERS + number(27)).sw == 0x9000
    assert card.delete(CARD_1, template=b"\xb6\x0b\x93\x09" + bytes(9)).sw == 0x6A80  # longer than a number is


def test_a_token_that_came_to_nothing_can_be_used_again(card: Delegation) -> None:
    assert card.install(0x0C, *PAYMENT[:4], b"\xc9\x03\xc2\x01\x00" + number(1)).sw == 0x6A80  # the applet refuses
    fields = (*PAYMENT[:4], PARAMETERS + number(1))
    assert card.install(0x0C, *fields).sw == 0x9000
    assert card.install(0x0C, PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_2, NONE, PARAMETERS + number(1)).sw == 0x6982


def test_a_token_for_an_aborted_load_can_be_used_again(card: Delegation) -> None:
    block = small_cap()
    fields = (PACKAGE, b"", hashlib.sha256(block).digest(), number(3))
    assert card.install(0x02, *fields).sw == 0x9000
    assert card.host.sw(Load(1, b"\xc4\x01\x00")) == 0x6A86  # the load ends
    assert card.install(0x02, *fields).sw == 0x9000
    card.host.link.reset()
    card.tenant()
    assert card.install(0x02, *fields).sw == 0x9000
    card.host.done(*load_blocks(load_file(block), 100))
    assert card.delete(PACKAGE).sw == 0x9000
    assert card.install(0x02, *fields).sw == 0x6982


def test_a_template_names_the_domain_that_verifies(card: Delegation) -> None:
    """42 and 45 of B6 must be the verifying domain's own (table 11-49)."""
    provider, image = card.identification(0x42), card.identification(0x45)
    wrong = provider[:-1] + bytes((provider[-1] ^ 1,))
    for parts in (wrong, wrong + image, provider + image[:-1] + bytes((image[-1] ^ 1,)), b"\x42\x01\x00"):
        assert card.install(0x0C, *PAYMENT[:4], PARAMETERS + b"\xb6" + lv(parts)).sw == 0x6982
    template = b"\xb6" + lv(provider + image + b"\x5f\x20\x02\x01\x02" + b"\x93\x01\x05")
    assert card.install(0x0C, *PAYMENT[:4], PARAMETERS + template).sw == 0x9000
    assert card.delete(CARD_1, template=b"\xb6" + lv(wrong)).sw == 0x6982
    assert card.delete(CARD_1, template=b"\xb6" + lv(provider + b"\x93\x01\x06")).sw == 0x9000


def test_another_domain_can_verify_tokens_and_give_receipts() -> None:
    """9.1.3.1, 9.1.3.6: who has the privileges in the sub-hierarchy does both; the receipt has its 42 and 45."""
    card = delegation(profile="uicc-third-parties", authority=CENTRAL)
    central = Host(card.se.link("contactless")).into(CENTRAL, ISD_KEYS)
    central.done(StoreData(0, b"\x42\x03\x01\x02\x03\x45\x02\x04\x05", True, structure=DataStructure.BER_TLV))
    template = number(1)
    answer = card.install(0x0C, *PAYMENT[:4], PARAMETERS + template)
    assert answer.sw == 0x9000
    assert card.unique_data == bytes.fromhex("0102030405")
    assert answer.data == card.receipt(0, PAYMENT_PACKAGE, CARD_1, token_number=b"\x00\x01")
    issuers = b"\xb6" + lv(Delegation(card.se, card.host, card.token_key, card.receipt_key).identification(0x45))
    assert card.delete(CARD_1, template=issuers).sw == 0x6982
    assert card.delete(CARD_1, template=b"\xb6" + lv(card.identification(0x45))).sw == 0x9000


def test_without_a_key_for_tokens_or_receipts_nothing_is_delegated() -> None:
    """C.1.1.1, C.1.1.2: the operation fails when either key is not there."""
    card = delegation(receipt_kind=None)
    assert card.install(0x0C, *PAYMENT).sw == 0x6985
    issuer = Host(card.se.link()).into(ISD, ISD_KEYS)
    put_key(issuer, RECEIPT_VERSION, card.receipt_key).require("PUT KEY")
    assert card.tenant() is card.host
    assert card.install(0x0C, *PAYMENT).sw == 0x9000
    issuer = Host(card.se.link()).into(ISD, ISD_KEYS)
    issuer.done(CommandApdu(0x80, 0xE4, 0, 0, bytes((0xD2, 1, TOKEN_VERSION)), 256))
    card.tenant()
    assert card.delete(CARD_1).sw == 0x6985


def test_keys_of_another_hand_do_not_sign(shared: Delegation) -> None:
    for kind in ("aes-128", "aes-192", "des"):
        token = independent_signature(signing_key(kind, 99), signed(0x0C, 0, lv(*PAYMENT)))
        assert shared.install(0x0C, *PAYMENT, token=token).sw == 0x6982


def test_a_replaced_token_key_signs_no_more(card: Delegation) -> None:
    old, card.token_key = card.token_key, signing_key("aes-256", 8)
    put_key(Host(card.se.link()).into(ISD, ISD_KEYS), TOKEN_VERSION, card.token_key, replaces=TOKEN_VERSION)
    card.tenant()
    token = independent_signature(old, signed(0x0C, 0, lv(*PAYMENT)))
    assert card.install(0x0C, *PAYMENT, token=token).sw == 0x6982
    assert card.install(0x0C, *PAYMENT).sw == 0x9000


def test_a_manager_on_its_own_authority_takes_no_token(card: Delegation) -> None:
    """11.5.2.3.2: in all other cases an error status shall be returned if a token is present."""
    issuer = Delegation(card.se, Host(card.se.link()).into(ISD, ISD_KEYS), card.token_key, card.receipt_key)
    assert issuer.install(0x0C, *PAYMENT).sw == 0x6985
    assert issuer.install(0x02, PACKAGE, b"", bytes(32), b"").sw == 0x6985
    assert issuer.delete(PPSE).sw == 0x6985
    assert issuer.install(0x20, b"", b"", PPSE, b"", b"").sw == 0x6A80


def test_a_tenant_reaches_what_is_its_own_only(card: Delegation) -> None:
    """A token widens nothing: what is not under the tenant it can't extradite, update or delete."""
    issuer = Host(card.se.link()).into(ISD, ISD_KEYS)
    issuer.new_payment(CARD_2)
    card.tenant()
    assert card.delete(CARD_2).sw == 0x6985
    assert card.delete(TENANT).sw == 0x6985
    assert card.install(0x10, TENANT, b"", CARD_2, b"", b"").sw == 0x6985
    assert card.install(0x40, b"", b"", CARD_2, NONE, b"").sw == 0x6985
    assert card.install(0x08, b"", b"", CARD_2, NONE, b"").sw == 0x6985
    assert card.install(0x0C, SD_PACKAGE, SD_MODULE, BANK, DELEGATED.encode(), b"\xc9\x00").sw == 0x6985


def test_a_token_longer_than_a_short_command(card: Delegation) -> None:
    """C.4: the length is coded on three bytes when the fields are longer than 255."""
    long = PARAMETERS + b"\xea" + lv(bytes(230))
    fields = (PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, NONE, long)
    assert len(lv(*fields)) > 255
    assert card.install(0x0C, *fields).sw == 0x9000


def test_the_store_data_of_a_tenant_needs_no_token(card: Delegation) -> None:
    assert card.install(0x0C, *PAYMENT).sw == 0x9000
    assert card.host.sw(CommandApdu(0x80, 0xE6, 0x20, 0, lv(b"", b"", CARD_1, b"", b"", b""), 256)) == 0x9000
    blocks = encode_dgis((Dgi(0x0101, bytes(16)), Dgi(0x0204, b"")))
    assert card.host.sw(StoreData(0, blocks, True)) == 0x9000


def test_domains_of_another_authority_have_their_own_tokens() -> None:
    """9.1.3.1: the sub-hierarchy begins at a domain with Authorized Management; the issuer's tokens end there."""
    card = delegation()
    assert card.install(0x0C, *PAYMENT).sw == 0x9000
    domain(card.host.into(ISD, ISD_KEYS), BANK, Privilege.SECURITY_DOMAIN | Privilege.AUTHORIZED_MANAGEMENT, BANK_KEYS)
    assert card.host.extradite(TENANT, BANK) == 0x9000
    card.tenant()
    assert card.delete(CARD_1).sw == 0x6985


@pytest.mark.parametrize("kind", KEYS)
def test_tokens_of_another_implementation(kind: str) -> None:
    """Those that the C library of kaoh/globalplatform made, which knows nothing of this card."""
    card = delegation()
    put_key(card.issuer(), TOKEN_VERSION, public_key(kind), replaces=TOKEN_VERSION).require("PUT KEY")
    card.tenant()
    for operation in ("install", "update", "delete", "install", "extradition"):
        vector = VECTORS["operations"][operation]
        p1, p2, _, *fields = bytes.fromhex(vector["data"])
        token = bytes.fromhex(vector["tokens"][kind])
        ins, tag = (0xE4, b"\x9e") if operation == "delete" else (0xE6, b"")
        for flipped, sw in ((bytes((token[0] ^ 1,)) + token[1:], 0x6982), (token, 0x9000)):
            data = bytes(fields) + tag + lv(flipped)
            assert card.host.sw(CommandApdu(0x80, ins, p1, p2, data, 256)) == sw
