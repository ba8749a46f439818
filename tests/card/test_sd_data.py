"""GET DATA and STORE DATA to the domain itself, each object and form (GP Card Specification 2.3.1, 11.3 and 11.11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.get_data import DataTag, GetData
from opentsm_card.privileges import Privilege
from opentsm_card.scp03 import SecurityLevel
from opentsm_card.store_data import DataEncryption, DataStructure, Dgi, StoreData, encode_dgis, store_data_chain
from sd_host import BANK, CARD_1, CARD_2, CRS, ISD, ISD_KEYS, OWN, PPSE, TRANSIT, Host, keys, service_provider

if TYPE_CHECKING:
    from opentsm_simulator import VirtualSe

BANK_KEYS = keys(0x31, 1)
URL = b"https://manager.example/sd"
ABSENT = {DataTag.SECURITY_DOMAIN_MANAGER_URL, DataTag.LIST_OF_APPLICATIONS}
PUBLIC = sorted(set(DataTag) - ABSENT)


@pytest.fixture
def bank(se: VirtualSe) -> Host:
    return service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS).into(BANK, BANK_KEYS)


def value(host: Host, tag: int) -> bytes:
    return host.plain(GetData(tag, iso=True)).require("GET DATA")


def members(fci: bytes) -> dict[int, bytes]:
    return {item.tag: item.value for item in tlv.parse_all(tlv.find(tlv.parse_all(fci), 0x6F) or b"")}


def applications(answer: bytes) -> list[bytes]:
    listed = []
    for template in tlv.parse_all(answer):
        assert template.tag == 0x61
        (aid,) = template.children()
        assert aid.tag == 0x4F
        listed.append(aid.value)
    return listed


class TestGetData:
    @pytest.mark.parametrize("tag", PUBLIC, ids=lambda tag: f"{tag:04X}")
    def test_each_object_in_every_class_secured_and_not(self, isd: Host, tag: DataTag) -> None:
        plain = isd.plain(GetData(tag)).require("GET DATA")
        (item,) = tlv.parse_all(plain)
        assert item.tag == tag
        assert isd.send(GetData(tag)).data == plain
        assert isd.plain(GetData(tag, iso=True)).data == item.value
        assert isd.send(GetData(tag, iso=True)).data == item.value
        assert isd.plain(CommandApdu(0x00, 0xCB, tag >> 8, tag & 0xFF, ne=256)).data == item.value

    def test_before_any_session_and_on_a_further_channel(self, host: Host) -> None:
        host.select(ISD)
        before = value(host, DataTag.CARD_DATA)
        for _ in range(5):
            host.raw(bytes.fromhex("0070000001")).require("MANAGE CHANNEL")
        assert host.raw(bytes.fromhex("C1CA006600")).data[2:] == before  # class C1: channel 5

    def test_unknown_objects(self, isd: Host) -> None:
        for tag in (0x5F50, 0x1234, 0x0001, 0x004F):
            assert isd.plain(GetData(tag)).sw == 0x6A88
            assert isd.sw(GetData(tag)) == 0x6A88

    def test_current_security_level(self, host: Host) -> None:
        host.select(ISD)
        assert value(host, DataTag.CURRENT_SECURITY_LEVEL) == b"\x00"
        for level in (0x01, 0x03, 0x11, 0x13, 0x33):
            host.into(ISD, ISD_KEYS, SecurityLevel(level))
            assert host.send(GetData(DataTag.CURRENT_SECURITY_LEVEL)).data == bytes((0xD3, 1, 0x80 | level))

    def test_sequence_counter_is_that_of_the_default_key_set(self, isd: Host) -> None:
        assert value(isd, DataTag.SEQUENCE_COUNTER) == b"\x00\x00\x01"
        isd.into(ISD, ISD_KEYS)
        assert value(isd, DataTag.SEQUENCE_COUNTER) == b"\x00\x00\x02"
        isd.new_domain(TRANSIT)
        isd.select(TRANSIT)
        assert isd.plain(GetData(DataTag.SEQUENCE_COUNTER)).sw == 0x6A88  # no keys of its own
        assert value(isd, DataTag.KEY_INFORMATION) == b""

    def test_capability_information(self, isd: Host) -> None:
        items = tlv.parse_all(value(isd, DataTag.CARD_CAPABILITY_INFORMATION))
        protocols = {tlv.find(item.children(), 0x80) for item in items if item.tag == 0xA0}
        schemes = tlv.parse_all(tlv.find(tlv.parse_all(value(isd, DataTag.CARD_DATA)), 0x73) or b"")
        named = {item.children()[0].value[-2:-1] for item in schemes if item.tag == 0x64}
        assert named <= protocols  # annex H.2, H.4: what the domain speaks, the card can
        domain, application = (Privilege.parse(tlv.find(items, tag) or b"") for tag in (0x81, 0x82))
        assert Privilege.SECURITY_DOMAIN in domain
        assert Privilege.SECURITY_DOMAIN not in application
        assert application & ~domain == Privilege.NONE
        assert not domain & (Privilege.RFU_1 | Privilege.RFU_2 | Privilege.RFU_3 | Privilege.PRIVACY_TRUSTED)


class TestResources:
    def test_applications_and_memory_are_counted(self, isd: Host) -> None:
        def read() -> tuple[int, int, int]:
            items = tlv.parse_all(value(isd, DataTag.EXTENDED_CARD_RESOURCES))
            count, persistent, volatile = (tlv.find(items, tag) for tag in (0x81, 0x82, 0x83))
            assert count is not None
            assert persistent is not None
            assert volatile is not None
            return int.from_bytes(count, "big"), int.from_bytes(persistent, "big"), int.from_bytes(volatile, "big")

        before = read()
        assert before[0] == 3  # the issuer's domain, the PPSE, the CRS application
        isd.new_payment(CARD_1)
        with_one = read()
        isd.new_domain(TRANSIT)
        with_two = read()
        assert [with_one[0], with_two[0]] == [4, 5]
        assert before[1] > with_one[1] > with_two[1] > 0
        assert before[2] > with_two[2] > 0
        assert isd.delete(TRANSIT) == isd.delete(CARD_1) == 0x9000
        assert read() == before


class TestListOfApplications:
    def test_all_with_global_registry(self, isd: Host) -> None:
        isd.new_payment(CARD_1)
        for data in (b"\x5c\x00", b""):
            for iso in (True, False):
                assert applications(isd.send(GetData(0x2F00, data, iso)).data) == [ISD, PPSE, CRS, CARD_1]
        assert applications(isd.plain(GetData(0x2F00, b"\x5c\x00")).data) == [ISD, PPSE, CRS, CARD_1]
        assert isd.sw(GetData(0x2F00, b"\x5c\x01\x4f")) == 0x6A80

    def test_its_own_without(self, bank: Host) -> None:
        bank.into(ISD, ISD_KEYS)
        bank.new_payment(CARD_1)
        bank.new_payment(CARD_2)
        assert bank.extradite(CARD_1, BANK) == 0x9000
        bank.into(BANK, BANK_KEYS)
        assert applications(bank.send(GetData(0x2F00, b"\x5c\x00")).data) == [BANK, CARD_1]

    def test_a_long_list_is_fetched_by_get_response(self, isd: Host) -> None:
        aids = [Aid(OWN + bytes((0x0B, number)) + bytes(6)) for number in range(30)]
        for aid in aids:
            isd.new_payment(aid)
        answer = isd.raw(bytes.fromhex("80CA2F00025C0000"))
        data, last = answer.data, answer
        while last.sw >> 8 == 0x61:
            assert len(last.data) == 256
            last = isd.raw(bytes((0x00, 0xC0, 0, 0, last.sw & 0xFF)))
            data += last.data
        assert last.sw == 0x9000
        assert applications(data) == [ISD, PPSE, CRS, *aids]
        assert isd.raw(bytes.fromhex("00C0000000")).sw in {0x6D00, 0x6E00, 0x6985, 0x6982}  # nothing is left
        extended = isd.raw(bytes.fromhex("80CA2F000000025C000000"))
        assert (extended.data, extended.sw) == (data, 0x9000)

    @pytest.mark.parametrize("level", [0x01, 0x11, 0x33])
    def test_a_long_list_under_secure_messaging(self, isd: Host, level: int) -> None:
        aids = [Aid(OWN + bytes((0x0B, number)) + bytes(6)) for number in range(30)]
        for aid in aids:
            isd.new_payment(aid)
        isd.into(ISD, ISD_KEYS, SecurityLevel(level))
        answer = isd.send(CommandApdu(0x80, 0xCA, 0x2F, 0x00, b"\x5c\x00", 65536))
        assert applications(answer.data)[-30:] == aids

    def test_more_than_the_card_can_tell_at_once(self, isd: Host) -> None:
        for number in range(140):
            isd.new_payment(Aid(OWN + bytes((0x0B, number)) + bytes(6)))
        assert isd.plain(GetData(0x2F00)).sw == 0x6A84

    def test_another_command_gives_up_what_is_left(self, isd: Host) -> None:
        for number in range(30):
            isd.new_payment(Aid(OWN + bytes((0x0B, number)) + bytes(6)))
        assert isd.raw(bytes.fromhex("80CA2F0000")).sw >> 8 == 0x61
        assert isd.raw(bytes.fromhex("80CA004200")).sw == 0x9000
        assert isd.raw(bytes.fromhex("00C0000000")).sw != 0x9000


class TestStoreData:
    def test_the_manager_s_url(self, bank: Host) -> None:
        assert bank.plain(GetData(DataTag.SECURITY_DOMAIN_MANAGER_URL)).sw == 0x6A88
        bank.done(StoreData(0, tlv.encode(0x5F50, URL), last=True, structure=DataStructure.BER_TLV))
        assert value(bank, 0x5F50) == URL
        assert bank.sw(StoreData(0, tlv.encode(0x5F50, bytes(65)), last=True)) == 0x6A80
        bank.into(ISD, ISD_KEYS)
        assert bank.plain(GetData(0x5F50)).sw == 0x6A88  # each domain has its own

    def test_the_issuer_s_domain_takes_another_aid(self, isd: Host) -> None:
        """11.11.2.3: 4F, the issuer's only; GlobalPlatformPro sends it so (P1 90)."""
        new = Aid.from_text("F0000000151AA1")

        def rename(aid: bytes) -> StoreData:
            return StoreData(0, tlv.encode(0x4F, aid), last=True, structure=DataStructure.BER_TLV)

        for refused in (b"\xf0" * 4, b"\xf0" * 17, bytes(PPSE), bytes(ISD)):
            assert isd.sw(rename(refused)) == 0x6A80
        isd.done(rename(new))
        assert isd.sw(GetData(0x66)) == 0x9000  # the session goes on
        assert isd.select(ISD).sw == 0x6A82
        for name in (b"", new, bytes.fromhex("A000000003000000")):
            assert members(isd.select(name).data)[0x84] == new
        isd.into(new, ISD_KEYS)
        entry = isd.registry().isd
        assert entry is not None
        assert entry.aid == new
        isd.new_domain(BANK)
        isd.into(BANK, ISD_KEYS)
        assert isd.sw(rename(bytes(ISD))) == 0x6A88

    @pytest.mark.parametrize("structure", [DataStructure.BER_TLV, DataStructure.NONE, DataStructure.DGI])
    @pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
    def test_blocks_cut_anywhere(self, bank: Host, structure: DataStructure, size: int) -> None:
        data = tlv.encode(0x42, b"\x01\x02\x03") + tlv.encode(0x5F50, URL) + tlv.encode(0x45, b"\x09")
        if structure is DataStructure.DGI:
            data = encode_dgis((Dgi(0x70, data[:5]), Dgi(0x70, data[5:])))
        bank.done(*store_data_chain(data, size, structure=structure))
        assert [value(bank, tag) for tag in (0x42, 0x5F50, 0x45)] == [b"\x01\x02\x03", URL, b"\x09"]

    def test_a_chain_that_ends_within_an_object_stores_nothing_of_it(self, bank: Host) -> None:
        bank.done(StoreData(0, bytes.fromhex("4203010203450201")))
        assert bank.sw(StoreData(1, b"", last=True)) == 0x6A80
        assert value(bank, 0x42) == b"\x01\x02\x03"
        assert bank.plain(GetData(0x45)).sw == 0x6A88
        assert bank.sw(StoreData(1, b"\x02", last=True)) == 0x6985  # the chain is over

    def test_order_and_numbers(self, bank: Host) -> None:
        half, rest = StoreData(0, bytes.fromhex("4202")), bytes.fromhex("0102")
        for wrong in (
            StoreData(2, rest, last=True),
            StoreData(1, rest, last=True, structure=DataStructure.BER_TLV),  # another form than the chain's
        ):
            bank.done(half)
            assert bank.sw(wrong) == 0x6985
            assert bank.sw(StoreData(1, rest, last=True)) == 0x6985
        bank.done(half, GetData(0x66), StoreData(1, rest, last=True))  # GET DATA leaves a chain alone
        assert value(bank, 0x42) == rest
        bank.done(half)
        bank.sw(CommandApdu(0x80, 0xF2, 0x40, 0x02, b"\x4f\x00", 256))
        assert bank.sw(StoreData(1, rest, last=True)) == 0x6985  # another command ended it

    def test_a_chain_belongs_to_its_selection(self, se: VirtualSe, bank: Host) -> None:
        bank.done(StoreData(0, bytes.fromhex("4202")))
        other = Host(se.link("contactless")).into(BANK, BANK_KEYS)
        assert other.sw(StoreData(1, b"\x01\x02", last=True)) == 0x6985

    @pytest.mark.parametrize("p1", [0x80 | 0x18, 0x80 | 0x40, 0x80 | 0x20, 0x80 | 0x60, 0x84, 0x82, 0x80 | 0x70])
    def test_reserved_and_unknown_forms(self, bank: Host, p1: int) -> None:
        assert bank.sw(CommandApdu(0x80, 0xE2, p1, 0, bytes.fromhex("420101"))) == 0x6A86

    def test_an_encrypted_dgi_is_decrypted_with_the_session_s_key(self, bank: Host) -> None:
        objects = tlv.encode(0x42, b"secret??") + tlv.encode(0x45, b"\x07")
        padded = objects + b"\x80"
        padded += bytes(-len(padded) % 16)
        encryptor = Cipher(algorithms.AES(BANK_KEYS.dek), modes.CBC(bytes(16))).encryptor()
        block = encode_dgis((Dgi(0x70, encryptor.update(padded)),))
        command = StoreData(0, block, True, DataStructure.DGI, DataEncryption.ENCRYPTED)
        bank.done(command)
        assert value(bank, 0x42) == b"secret??"
        assert value(bank, 0x45) == b"\x07"

    def test_case_4_has_no_data_either(self, bank: Host) -> None:
        answer = bank.send(StoreData(0, bytes.fromhex("420101"), last=True, response=True))
        assert (answer.data, answer.sw) == (b"", 0x9000)

    def test_an_object_longer_than_what_a_chain_keeps(self, bank: Host) -> None:
        bank.done(StoreData(0, bytes.fromhex("4282040001")))
        sws = [bank.sw(StoreData(number, bytes(200))) for number in (1, 2, 3)]
        assert sws == [0x9000, 0x9000, 0x6A84]
        assert bank.plain(GetData(0x42)).sw == 0x6A88
