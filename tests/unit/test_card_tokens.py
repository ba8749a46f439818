"""Tokens, receipts and DAPs on the host: against field lists written out here, and signatures of another hand.

Spec: GP Card Specification 2.3.1, C.3 to C.6 (tables C-4 to C-16), 11.1.6.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from content_keys import KINDS, SYMMETRIC, flips, independent_signature, signing_key, verification_key
from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.dap import check_dap, load_file_hash, sign_dap
from opentsm_card.delete import DeleteObject
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForLoad,
    InstallForMakeSelectable,
    InstallForRegistryUpdate,
    parse_install,
)
from opentsm_card.load import CipheredBlock, DapBlock, load_file, parse_load_file
from opentsm_card.privileges import Privilege
from opentsm_card.receipts import Confirmation, Operation
from opentsm_card.signatures import MacKey, sign, signature_bytes, verify
from opentsm_card.tokens import TokenTemplate, add_token, check_token, token_data, with_template

FILE = Aid.from_text("A000000001")
MODULE = Aid.from_text("A00000000101")
CARD = Aid.from_text("A00000000102")
SD = Aid.from_text("A000000151000000")

LOAD = InstallForLoad(FILE, SD, bytes(range(32)), b"\xef\x00")
INSTALL = InstallForInstall(FILE, MODULE, CARD)
# Each command with what its token signs, field by field as the table has it.
Authorized = (
    InstallForLoad
    | InstallForInstall
    | InstallForMakeSelectable
    | InstallForExtradition
    | InstallForRegistryUpdate
    | DeleteObject
)
FIELDS: dict[str, tuple[Authorized, str]] = {
    "C-4": (
        LOAD,
        (
            "02 00 33"  # P1, P2, length
            "05 A000000001 08 A000000151000000"  # load file, security domain
            "20 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"  # hash
            "02 EF00"
        ),  # load parameters
    ),
    "C-5": (
        INSTALL,
        (
            "0C 00 1B"
            "05 A000000001 06 A00000000101 06 A00000000102"  # load file, module, instance
            "03 000000 02 C900"
        ),  # privileges, install parameters
    ),
    "C-6": (InstallForMakeSelectable(CARD), "08 00 0E 00 00 06 A00000000102 03 000000 00"),
    "C-7": (InstallForExtradition(SD, CARD), "10 00 13 08 A000000151000000 00 06 A00000000102 00 00"),
    "C-8": (
        InstallForRegistryUpdate(CARD, SD, Privilege.CARD_RESET, b"\xef\x03\xcf\x01\x41"),
        "40 00 1B 08 A000000151000000 00 06 A00000000102 03 040000 05 EF03CF0141",
    ),
    "C-9": (
        DeleteObject(CARD, related=True, signature_template=b"\x93\x01\x05"),
        "00 80 0D 4F06A00000000102 B603930105",
    ),
}


@pytest.mark.parametrize("table", FIELDS)
def test_what_a_token_signs(table: str) -> None:
    command, fields = FIELDS[table]
    expected = bytes.fromhex(fields)
    assert expected[2] == len(expected) - 3
    assert token_data(command) == expected
    assert token_data(replace(command, token=bytes(16))) == expected  # the token itself is not signed


def test_the_token_of_a_combined_process_signs_both_commands() -> None:
    """Table C-10."""
    first = replace(LOAD, combined=True)
    last = InstallForInstall(None, None, CARD, combined=True)
    expected = "0E 01 33" + FIELDS["C-4"][1][8:] + "0E 03 10 00 00 06 A00000000102 03 000000 02 C900"
    assert token_data(last, first=first) == bytes.fromhex(expected)
    signed = add_token(last, signing_key("p-256"), first=first)
    check_token(signed, verification_key(signing_key("p-256")), first=first)
    with pytest.raises(SecureChannelError):
        check_token(signed, verification_key(signing_key("p-256")))


def test_a_length_above_255_has_three_bytes() -> None:
    command = replace(INSTALL, parameters=b"\xc9\x00\xea\x82\x01\x00" + bytes(256))
    data = token_data(command)
    assert data[:5] == bytes.fromhex("0C00") + b"\x00" + (len(data) - 5).to_bytes(2, "big")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table", FIELDS)
def test_tokens_of_two_hands_are_each_other_s(table: str, kind: str) -> None:
    command, fields = FIELDS[table]
    key = signing_key(kind)
    check_token(replace(command, token=independent_signature(key, bytes.fromhex(fields))), verification_key(key))
    token = add_token(command, key).token
    assert len(token) == signature_bytes(key)
    verify(verification_key(key), bytes.fromhex(fields), token)
    if kind in SYMMETRIC:
        assert token == independent_signature(key, bytes.fromhex(fields))
    with pytest.raises(SecureChannelError, match="token does not verify"):
        check_token(command, verification_key(key))  # none


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_anywhere_is_refused(kind: str) -> None:
    key = signing_key(kind)
    public = verification_key(key)
    data = token_data(INSTALL)
    signature = sign(key, data)
    for flipped in flips(signature):
        with pytest.raises(SecureChannelError):
            verify(public, data, flipped)
    for changed in flips(data):
        with pytest.raises(SecureChannelError):
            verify(public, changed, signature)
    for cut in (signature[:-1], signature + b"\0", b""):
        with pytest.raises(SecureChannelError):
            verify(public, data, cut)


def test_a_template_names_who_verifies_and_numbers_the_token() -> None:
    template = TokenTemplate(b"\x01\x02", b"\x03", b"\x04", b"\x05\x06")
    value = bytes.fromhex("42020102 450103 5F200104 93020506")
    assert template.encode() == value
    assert TokenTemplate.parse(value) == template
    assert TokenTemplate.parse(b"\x93\x01\x07") == TokenTemplate(number=b"\x07")
    installed = with_template(INSTALL, template)
    assert installed.parameters == b"\xc9\x00\xb6" + bytes((len(value),)) + value
    deleted = with_template(DeleteObject(CARD), TokenTemplate(number=b"\x05"))
    assert deleted.apdu().data == tlv.encode(0x4F, CARD) + b"\xb6\x03\x93\x01\x05"
    assert parse_install(add_token(installed, MacKey(bytes(16))).apdu()) == add_token(installed, MacKey(bytes(16)))
    for cut in range(1, len(value)):
        if cut not in {4, 7, 11}:
            with pytest.raises(ProtocolError):
                TokenTemplate.parse(value[:cut])


OPERATIONS = {
    "C-11": (Operation.load(FILE, SD), "05A000000001 08A000000151000000"),
    "C-12": (Operation.install(FILE, CARD), "05A000000001 06A00000000102"),
    "C-13": (Operation.extradite(CARD, SD, FILE), "08A000000151000000 06A00000000102 05A000000001"),
    "C-14": (
        Operation.update(CARD, old=SD, new=FILE, privileges=Privilege.CARD_RESET, parameters=b"\xef\x00"),
        "08A000000151000000 06A00000000102 05A000000001 03040000 02EF00",
    ),
    "C-14, of the card": (Operation.update(None, parameters=b"\xef\x03\xd9\x01\x01"), "00 00 00 00 05EF03D90101"),
    "C-15": (Operation.delete(CARD), "06A00000000102"),
    "C-16": (Operation.load_and_install(FILE, CARD, SD), "05A000000001 06A00000000102 08A000000151000000"),
}


@pytest.mark.parametrize("table", OPERATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_receipts_of_another_hand(table: str, kind: str) -> None:
    """Confirmation data: counter, unique data, token identifier; the receipt signs them and the table's fields."""
    operation, fields = OPERATIONS[table]
    assert operation.data == bytes.fromhex(fields)
    key = signing_key(kind)
    data = bytes.fromhex("020003 0411223344 0107")
    receipt = independent_signature(key, data + bytes.fromhex(fields))
    head = bytes((len(receipt),)) if len(receipt) < 128 else b"\x81\x80" if len(receipt) == 128 else b"\x82\x01\x00"
    content = head + receipt + data
    size = len(content)
    outer = bytes((size,)) if size < 128 else bytes((0x81, size)) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    confirmation = Confirmation.parse(outer + content)
    assert confirmation is not None
    assert (confirmation.counter, confirmation.unique_data) == (3, bytes.fromhex("11223344"))
    assert (confirmation.token_number, confirmation.token_digest) == (b"\x07", b"")
    confirmation.check(verification_key(key), operation, unique_data=bytes.fromhex("11223344"), after=2)
    with pytest.raises(SecureChannelError, match="receipt 3 is not newer than receipt 3"):
        confirmation.check(verification_key(key), operation, after=3)
    for cut in range(1, len(outer + content)):
        with pytest.raises(ProtocolError):
            Confirmation.parse((outer + content)[:cut])


def test_no_receipt_is_told_from_a_malformed_one() -> None:
    assert Confirmation.parse(b"\0") is None
    for wrong in (b"", b"\x01", b"\x01\x00", b"\x05\x00\x01\x00\x01\x00", b"\x00\x00"):
        with pytest.raises(ProtocolError):
            Confirmation.parse(wrong)
    with_digest = bytes.fromhex("0B 00 020001 0155 0101 02AABB")
    parsed = Confirmation.parse(with_digest)
    assert parsed is not None
    assert parsed.token_digest == bytes.fromhex("AABB")


@pytest.mark.parametrize("kind", KINDS)
def test_daps_of_two_hands(kind: str) -> None:
    key = signing_key(kind)
    digest = load_file_hash(b"components", "sha384")
    check_dap(verification_key(key), DapBlock(SD, independent_signature(key, digest)), digest)
    block = sign_dap(key, SD, digest)
    check_dap(verification_key(key), block, digest)
    for flipped in flips(digest):
        with pytest.raises(SecureChannelError, match=f"DAP of {SD} does not verify"):
            check_dap(verification_key(key), block, flipped)


def test_load_files_parse_back() -> None:
    daps = (DapBlock(SD, bytes(16)), DapBlock(FILE, bytes(200)))
    for block in (b"components", CipheredBlock(bytes(32)), CipheredBlock(bytes(32), bytes(16))):
        file = load_file(block, daps)
        assert parse_load_file(file) == (block, daps)
        for cut in range(len(file)):
            with pytest.raises(ProtocolError):
                parse_load_file(file[:cut])
    for wrong in (b"\xd3\x01\x00\xc4\x01\x00", b"\xc4\x01\x00\xc4\x01\x00", b"\xc4\x00", b"\xe2\x00\xc4\x01\x00"):
        with pytest.raises(ProtocolError):
            parse_load_file(wrong)


def test_keys_never_show() -> None:
    key = MacKey(bytes.fromhex("0F0E0D0C0B0A09080706050403020100"))
    assert repr(key) == "MacKey(AES-128, kcv=" + repr(key)[-7:]
    assert "0F0E0D" not in repr(key).upper()
    assert repr(MacKey(bytes(16), des=True)).startswith("MacKey(3DES, kcv=")
    for wrong, des in ((15, False), (24, True), (0, False)):
        with pytest.raises(ProtocolError, match=f"{wrong} bytes signs nothing"):
            MacKey(bytes(wrong), des=des)
