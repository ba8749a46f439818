"""The payment applet: accounts by personalization, what a reader sees, what GET DATA tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from opentsm_card import tlv
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.install import InstallForPersonalization
from opentsm_card.scp03 import SecurityLevel, predict
from opentsm_card.set_status import SetStatus
from opentsm_card.store_data import Dgi, StoreData, encode_dgis
from opentsm_simulator.provisioning import diversification_data
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    ISD,
    ISD_KEYS,
    TRANSIT,
    Host,
    block,
    keys,
    payment_parameters,
    service_provider,
)

if TYPE_CHECKING:
    from opentsm_simulator import VirtualSe

BANK_KEYS: Final = keys(0x31, 1)
PUT, DELETE, DELETE_QUALIFIER, DELETE_ALL = 0x0201, 0x0202, 0x0203, 0x0204
ONE, TWO, THREE = (bytes([number]) * 16 for number in (1, 2, 3))
PAN: Final = {ONE: "5413330089010011", TWO: "541333008901002F", THREE: "5413330089010037"}


def account(uid: bytes, qualifier: bytes = b"debit", track2: bytes = b"") -> bytes:
    """Return the data of DGI 0201."""
    data = tlv.encode(0xC0, qualifier) + tlv.encode(0xC1, uid) + tlv.encode(0x5A, bytes.fromhex(PAN[uid]))
    data += tlv.encode(0x5F24, bytes.fromhex("301231")) + tlv.encode(0x50, b"Card")
    return data + (tlv.encode(0x57, track2) if track2 else b"")


def name(uid: bytes, qualifier: bytes = b"debit") -> bytes:
    return tlv.encode(0xC0, qualifier) + tlv.encode(0xC1, uid)


@pytest.fixture
def bank(se: VirtualSe) -> Host:
    """A session with the bank's domain, which has one active application."""
    host = service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    host.new_payment(CARD_1)
    assert host.extradite(CARD_1, BANK) == 0x9000
    assert host.activate(CARD_1) == 0x9000
    return host.into(BANK, BANK_KEYS)


@pytest.fixture
def reader(se: VirtualSe, bank: Host) -> Host:
    del bank
    host = Host(se.link("contactless"))
    host.select(CARD_1).require("SELECT")
    return host


def read(host: Host, record: int) -> ResponseApdu:
    return host.plain(CommandApdu(0x00, 0xB2, record, 0x0C, ne=256))


def options(host: Host) -> ResponseApdu:
    return host.plain(CommandApdu(0x80, 0xA8, 0, 0, b"\x83\x00", 256))


def get_data(host: Host, tag: int) -> bytes:
    return host.plain(CommandApdu(0x80, 0xCA, tag >> 8, tag & 0xFF, ne=256)).require("GET DATA")


def accounts(host: Host) -> list[tuple[bytes, bytes]]:
    (listed,) = tlv.parse_all(get_data(host, 0xDF02))
    members = [tlv.parse_all(item.value) for item in tlv.parse_all(listed.value)]
    return [(tlv.find(item, 0xC0) or b"", tlv.find(item, 0xC1) or b"") for item in members]


def last_operation(host: Host) -> int:
    (item,) = tlv.parse_all(get_data(host, 0xDF01))
    return int.from_bytes(item.value, "big")


def test_a_new_instance_is_empty(reader: Host) -> None:
    assert last_operation(reader) == 0
    assert accounts(reader) == []
    assert get_data(reader, 0xDF03) == bytes.fromhex("DF030100")
    assert options(reader).sw == 0x6985
    assert read(reader, 1).sw == 0x6A83


def test_personalized_accounts_are_read(bank: Host, reader: Host) -> None:
    track2 = bytes.fromhex("5413330089010011D30122010123409172")
    assert bank.store(CARD_1, [block(1, PUT, account(ONE, track2=track2)), block(2, PUT, account(TWO))]) == [0x9000] * 2
    assert options(reader).data == bytes.fromhex("770A82020000940408010200")
    first, second = (tlv.parse_all(read(reader, number).data)[0] for number in (1, 2))
    assert [(item.tag, item.value.hex()) for item in first.children()] == [
        (0x57, track2.hex()),
        (0x5A, "5413330089010011"),
        (0x5F24, "301231"),
    ]
    assert [item.tag for item in second.children()] == [0x5A, 0x5F24]
    assert read(reader, 3).sw == 0x6A83
    assert read(reader, 0).sw == 0x6A83
    assert accounts(reader) == [(b"debit", ONE), (b"debit", TWO)]
    assert last_operation(reader) == 2
    assert get_data(reader, 0xDF03) == bytes.fromhex("DF030102")


def test_get_data_tells_no_account_number(bank: Host, reader: Host) -> None:
    bank.store(CARD_1, [block(1, PUT, account(ONE))])
    told = b"".join(get_data(reader, tag) for tag in (0xDF01, 0xDF02, 0xDF03)) + reader.select(CARD_1).data
    assert bytes.fromhex(PAN[ONE]) not in told


def test_deleting_one_account_leaves_the_other(bank: Host, reader: Host) -> None:
    bank.store(CARD_1, [block(1, PUT, account(ONE)), block(2, PUT, account(TWO))])
    assert bank.store(CARD_1, [block(3, DELETE, name(ONE))]) == [0x9000]
    assert accounts(reader) == [(b"debit", TWO)]
    assert last_operation(reader) == 3
    assert options(reader).data == bytes.fromhex("770A82020000940408010100")
    assert bytes.fromhex(PAN[TWO]) in read(reader, 1).data
    assert bank.store(CARD_1, [block(4, DELETE, name(ONE))]) == [0x6A88]
    assert last_operation(reader) == 3


def test_deleting_by_qualifier_and_all(bank: Host, reader: Host) -> None:
    blocks = [block(1, PUT, account(ONE)), block(2, PUT, account(TWO, b"credit")), block(3, PUT, account(THREE))]
    assert bank.store(CARD_1, blocks) == [0x9000] * 3
    assert bank.store(CARD_1, [block(4, DELETE, name(TWO, b"debit"))]) == [0x6A88]
    assert bank.store(CARD_1, [block(5, DELETE_QUALIFIER, tlv.encode(0xC0, b"debit"))]) == [0x9000]
    assert accounts(reader) == [(b"credit", TWO)]
    assert bank.store(CARD_1, [block(6, DELETE_QUALIFIER, tlv.encode(0xC0, b"debit"))]) == [0x6A88]
    assert last_operation(reader) == 5
    assert bank.store(CARD_1, [block(7, DELETE_ALL), block(8, DELETE_ALL)]) == [0x9000] * 2
    assert accounts(reader) == []
    assert last_operation(reader) == 8


def test_putting_an_account_again_replaces_it(bank: Host, reader: Host) -> None:
    track2 = bytes(19)
    bank.store(CARD_1, [block(1, PUT, account(ONE, track2=track2)), block(2, PUT, account(TWO))])
    assert bank.store(CARD_1, [block(3, PUT, account(ONE))]) == [0x9000]
    assert track2 not in read(reader, 1).data
    assert accounts(reader) == [(b"debit", ONE), (b"debit", TWO)]
    assert bank.store(CARD_1, [block(4, PUT, account(ONE, b"credit"))]) == [0x6985]
    assert last_operation(reader) == 3


def test_room_for_accounts_ends(se: VirtualSe, bank: Host) -> None:
    bank.into(ISD, ISD_KEYS)
    bank.new_payment(CARD_2, payment_parameters(most=2))
    bank.extradite(CARD_2, BANK)
    bank.activate(CARD_2)
    bank.into(BANK, BANK_KEYS)
    blocks = [block(number, PUT, account(uid)) for number, uid in enumerate((ONE, TWO, THREE), 1)]
    assert bank.store(CARD_2, blocks) == [0x9000, 0x9000, 0x6A84]
    reader = Host(se.link("contactless"))
    reader.select(CARD_2)
    assert last_operation(reader) == 2
    assert bank.store(CARD_2, [block(4, DELETE, name(ONE)), block(5, PUT, account(THREE))]) == [0x9000] * 2
    assert {uid for _, uid in accounts(reader)} == {TWO, THREE}


def test_six_accounts_with_long_qualifiers_are_listed_under_r_enc_and_r_mac(bank: Host) -> None:
    bank.into(ISD, ISD_KEYS)
    bank.new_payment(CARD_2, payment_parameters(most=6))
    bank.extradite(CARD_2, BANK)
    bank.into(BANK, BANK_KEYS)
    pan = tlv.encode(0x5A, bytes(10)) + tlv.encode(0x5F24, bytes(3))
    blocks = [block(number, PUT, name(bytes([number]) * 16, b"q" * 16) + pan) for number in range(1, 7)]
    assert bank.store(CARD_2, blocks) == [0x9000] * 6
    bank.into(CARD_2, BANK_KEYS)
    listed = bank.send(CommandApdu(0x80, 0xCA, 0xDF, 0x02, ne=256))
    (item,) = tlv.parse_all(listed.data)
    assert len(tlv.parse_all(item.value)) == 6


@pytest.mark.parametrize(
    ("data", "sw"),
    [
        (encode_dgis((Dgi(PUT, account(ONE)),)), 0x6A80),  # no operation
        (encode_dgis((Dgi(0x0101, bytes(16)),)), 0x6A80),  # nothing to do
        (encode_dgis((Dgi(0x0101, bytes(15)), Dgi(DELETE_ALL, b""))), 0x6A80),
        (encode_dgis((Dgi(0x0101, bytes(16)), Dgi(DELETE_ALL, b""), Dgi(DELETE_ALL, b""))), 0x6A80),
        (block(9, PUT, account(ONE))[:-1], 0x6A80),
        (block(9, 0x0299), 0x6A88),
        (block(9, PUT, name(ONE)), 0x6A80),  # no number
        (block(9, PUT, account(ONE).replace(b"\x5f\x24\x03\x30\x12\x31", b"\x5f\x24\x02\x30\x12")), 0x6A80),
        (block(9, PUT, account(ONE, b"q" * 17)), 0x6A80),
        (block(9, PUT, account(ONE, b"")), 0x6A80),
        (block(9, PUT, account(ONE, track2=bytes(20))), 0x6A80),
        (block(9, PUT, account(ONE) + b"\xc3\x05\x00"), 0x6A80),
        (block(9, DELETE, tlv.encode(0xC0, b"debit")), 0x6A80),
        (block(9, DELETE_QUALIFIER), 0x6A80),
        (b"\x01", 0x6A80),
    ],
)
def test_bad_blocks_change_nothing(se: VirtualSe, bank: Host, reader: Host, data: bytes, sw: int) -> None:
    bank.store(CARD_1, [block(1, PUT, account(TWO))])
    before = se.effects()
    assert bank.store(CARD_1, [data]) == [sw]
    assert last_operation(reader) == 1
    assert accounts(reader) == [(b"debit", TWO)]
    assert se.effects() == before


def test_effects_name_the_operation(se: VirtualSe, bank: Host) -> None:
    bank.store(CARD_1, [block(0xABCD, PUT, account(ONE))])
    assert se.effects()[-1] == f"store-data {CARD_1} {0xABCD:032X}"


def test_personalization_ends_with_the_last_block_or_another_command(bank: Host) -> None:
    bank.done(InstallForPersonalization(CARD_1), StoreData(0, block(1, DELETE_ALL), last=True))
    # Behind the last block STORE DATA is the domain's own again.
    assert bank.sw(StoreData(0, block(2, DELETE_ALL), last=True)) != 0x9000
    bank.done(InstallForPersonalization(CARD_1))
    bank.send(CommandApdu(0x80, 0xF2, 0x40, 0x02, b"\x4f\x00", 256))
    assert bank.sw(StoreData(0, block(3, DELETE_ALL), last=True)) != 0x9000


def test_blocks_come_in_order(bank: Host, reader: Host) -> None:
    bank.done(InstallForPersonalization(CARD_1), StoreData(0, block(1, DELETE_ALL)))
    assert bank.sw(StoreData(2, block(2, DELETE_ALL))) == 0x6985
    assert bank.sw(StoreData(1, block(3, DELETE_ALL))) != 0x9000
    assert last_operation(reader) == 1


def test_only_the_own_domain_personalizes(bank: Host) -> None:
    bank.into(ISD, ISD_KEYS)
    assert bank.sw(InstallForPersonalization(CARD_1)) == 0x6985
    bank.into(BANK, BANK_KEYS)
    assert bank.sw(InstallForPersonalization(BANK)) == 0x6985
    assert bank.sw(InstallForPersonalization(TRANSIT)) == 0x6A88


def test_instance_of_one_sp_deleted_the_other_s_whole(se: VirtualSe, bank: Host) -> None:
    transit_keys = keys(0x32, 9)
    bank.store(CARD_1, [block(1, PUT, account(ONE))])
    host = service_provider(se, ISD, ISD_KEYS, TRANSIT, transit_keys)
    host.new_payment(CARD_2, payment_parameters(b"Transit", 2))
    host.extradite(CARD_2, TRANSIT)
    host.activate(CARD_2)
    host.into(TRANSIT, transit_keys)
    assert host.store(CARD_2, [block(7, PUT, account(TWO, b"season"))]) == [0x9000]
    host.into(ISD, ISD_KEYS)
    assert host.delete(CARD_1) == 0x9000
    reader = Host(se.link("contactless"))
    assert reader.select(CARD_1).sw == 0x6A82
    reader.select(CARD_2).require("SELECT")
    assert accounts(reader) == [(b"season", TWO)]
    assert last_operation(reader) == 7
    assert bytes.fromhex(PAN[TWO]) in read(reader, 1).data


def test_a_new_instance_under_a_deleted_one_s_aid_knows_nothing(se: VirtualSe, bank: Host) -> None:
    bank.store(CARD_1, [block(1, PUT, account(ONE))])
    bank.into(ISD, ISD_KEYS)
    assert bank.delete(CARD_1) == 0x9000
    bank.new_payment(CARD_1)
    bank.activate(CARD_1)
    reader = Host(se.link("contactless"))
    reader.select(CARD_1)
    assert accounts(reader) == []
    assert last_operation(reader) == 0


@pytest.mark.parametrize("level", [0x11, 0x33])
def test_what_it_tells_can_be_had_under_a_response_mac(bank: Host, level: int) -> None:
    bank.store(CARD_1, [block(5, PUT, account(ONE))])
    bank.into(CARD_1, BANK_KEYS, SecurityLevel(level))
    answer = bank.send(CommandApdu(0x80, 0xCA, 0xDF, 0x01, ne=256))
    assert answer.data == b"\xdf\x01\x10" + (5).to_bytes(16, "big")
    assert bank.sw(CommandApdu(0x80, 0xCA, 0xDF, 0x09, ne=256)) == 0x6A88
    assert bank.send(CommandApdu(0x80, 0xCA, 0xDF, 0x03, ne=256)).data == bytes.fromhex("DF030101")


def test_its_secure_channel_is_bound_to_the_instance(bank: Host) -> None:
    bank.select(CARD_1)
    challenge = bytes(8)
    answer = bank.begin(BANK_KEYS, challenge).answer
    expected, _ = predict(
        BANK_KEYS,
        challenge,
        sequence_counter=answer.sequence_counter or 0,
        aid=CARD_1,
        diversification_data=diversification_data("se-1"),
    )
    assert answer == expected


def test_its_secure_channel_ends_with_the_selection(bank: Host) -> None:
    session = bank.into(CARD_1, BANK_KEYS).session
    assert session is not None
    bank.select(CARD_1)
    assert bank.plain(session.wrap(CommandApdu(0x80, 0xCA, 0xDF, 0x01, ne=256))).sw == 0x6982


def test_personalization_is_the_domain_s_alone(bank: Host) -> None:
    bank.into(CARD_1, BANK_KEYS)
    assert bank.sw(StoreData(0, block(1, DELETE_ALL), last=True)) == 0x6D00


def test_reader_and_personalization_at_the_same_time(bank: Host, reader: Host) -> None:
    bank.done(InstallForPersonalization(CARD_1), StoreData(0, block(1, PUT, account(ONE))))
    assert accounts(reader) == [(b"debit", ONE)]
    bank.done(StoreData(1, block(2, PUT, account(TWO)), last=True))
    assert len(accounts(reader)) == 2
    bank.into(ISD, ISD_KEYS)
    bank.done(SetStatus.lock(CARD_1))
    assert reader.plain(CommandApdu(0x80, 0xCA, 0xDF, 0x01, ne=256)).sw != 0x9000


def test_reader_commands_are_checked(bank: Host, reader: Host) -> None:
    bank.store(CARD_1, [block(1, PUT, account(ONE))])
    for command, sw in (
        ("80A80000028301", 0x6A80),
        ("80A8010002830000", 0x6A86),
        ("80A80000048302000000", 0x6A80),
        ("00B2010400", 0x6A86),
        ("00B2011400", 0x6A86),
        ("0020000000", 0x6D00),
        ("80CADF0400", 0x6A88),
    ):
        assert reader.raw(bytes.fromhex(command)).sw in {sw, 0x6700}, command
    assert options(reader).sw == 0x9000
