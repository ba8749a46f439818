"""The payment applet's data groupings as the SP makes them, and its answers as the SP reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError
from opentsm_card.store_data import Dgi, parse_dgis
from opentsm_tsm.sp.personalization import (
    Account,
    block_id,
    delete_account_block,
    delete_all_block,
    delete_qualifier_block,
    install_parameters,
    parse_accounts,
    parse_last_operation,
    put_account_block,
)

UID = bytes(range(16))
OPERATION = bytes(range(0xF0, 0x100))
ACCOUNT = Account(UID, "5413330089020011", "301231", "Bank card")


def test_a_block_is_the_operation_id_and_one_other_grouping() -> None:
    operation, account = parse_dgis(put_account_block(OPERATION, "card-1", ACCOUNT))
    assert (operation.identifier, operation.value) == (0x0101, OPERATION)
    assert account.identifier == 0x0201
    members = {member.tag: member.value for member in tlv.parse_all(account.value)}
    assert members == {
        0xC0: b"card-1",
        0xC1: UID,
        0x5A: bytes.fromhex("5413330089020011"),
        0x5F24: bytes.fromhex("301231"),
        0x50: b"Bank card",
    }


def test_an_odd_pan_is_padded_with_f_and_track_2_is_written() -> None:
    account = Account(UID, "541333008902001", "301231", "x", b"\x54\x13")
    members = tlv.parse_all(parse_dgis(put_account_block(OPERATION, "q", account))[1].value)
    assert tlv.find(members, 0x5A) == bytes.fromhex("541333008902001F")
    assert tlv.find(members, 0x57) == b"\x54\x13"


def test_the_blocks_that_delete() -> None:
    qualifier, uid = tlv.encode(0xC0, b"q"), tlv.encode(0xC1, UID)
    assert parse_dgis(delete_account_block(OPERATION, "q", UID))[1] == Dgi(0x0202, qualifier + uid)
    assert parse_dgis(delete_qualifier_block(OPERATION, "q"))[1] == Dgi(0x0203, tlv.encode(0xC0, b"q"))
    assert parse_dgis(delete_all_block(OPERATION)) == (Dgi(0x0101, OPERATION), Dgi(0x0204, b""))


def test_blocks_of_one_operation_have_ids_of_their_own() -> None:
    assert block_id(OPERATION, 1) == OPERATION[:15] + b"\x01"
    assert len({block_id(OPERATION, index) for index in range(256)}) == 256


def test_install_parameters_are_label_priority_and_room() -> None:
    assert install_parameters("Bank", 1, 4) == bytes.fromhex("500442616E6B" + "870101" + "C20104")


@pytest.mark.parametrize(
    ("uid", "pan", "expiry", "label"),
    [
        (UID[:15], "5413330089020011", "301231", "x"),
        (UID, "54133300890", "301231", "x"),
        (UID, "541333008902001A", "301231", "x"),
        (UID, "5413330089020011", "3012", "x"),
        (UID, "5413330089020011", "301231", ""),
        (UID, "5413330089020011", "301231", "a label that is too long"),
        (UID, "5413330089020011", "301231", "ä"),
    ],
)
def test_a_bad_account_is_refused_and_the_error_keeps_its_number(uid: bytes, pan: str, expiry: str, label: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        Account(uid, pan, expiry, label)
    assert pan not in str(caught.value)


def test_an_account_does_not_show_its_number() -> None:
    assert "5413" not in repr(ACCOUNT)
    assert UID.hex() in repr(ACCOUNT)


def test_a_bad_qualifier_is_refused() -> None:
    for qualifier in ("", "q" * 17, "é"):
        with pytest.raises(ProtocolError):
            delete_qualifier_block(OPERATION, qualifier)


def test_the_applets_answers_are_read() -> None:
    assert parse_last_operation(bytes.fromhex("DF0110") + OPERATION) == OPERATION
    entry = tlv.encode(0xE1, tlv.encode(0xC0, b"card-1") + tlv.encode(0xC1, UID))
    assert parse_accounts(tlv.encode(0xDF02, entry + entry)) == (("card-1", UID), ("card-1", UID))
    assert parse_accounts(bytes.fromhex("DF0200")) == ()


def test_truncated_answers_are_refused_at_every_offset() -> None:
    entry = tlv.encode(0xE1, tlv.encode(0xC0, b"card-1") + tlv.encode(0xC1, UID))
    whole = tlv.encode(0xDF02, entry)
    for end in range(len(whole)):
        with pytest.raises(ProtocolError):
            parse_accounts(whole[:end])


@given(st.binary(max_size=80))
def test_only_protocol_errors_come_of_garbage(data: bytes) -> None:
    for parse in (parse_accounts, parse_last_operation):
        try:
            parse(data)
        except ProtocolError:
            continue
