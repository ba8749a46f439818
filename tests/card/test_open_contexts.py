"""Who calls whom: shareable objects, secure channels, personalization, and transactions."""

from __future__ import annotations

import pytest

from open_card import A1, A102, B1, D1, DOMAIN, ISD, LONE, LONE_FILE, MANAGER, OpenCard, lv

X1 = bytes.fromhex("F0000000C1")
SD1 = bytes.fromhex("F0000000D501")


@pytest.fixture
def card() -> OpenCard:
    return OpenCard()


def test_an_application_is_served_by_its_domains_secure_channel(card: OpenCard) -> None:
    card.extradite(A1, D1)
    card.select(A1)
    assert card.send("80040000") == (b"", 0x9000)
    card.select(D1)
    # Inside it the domain is the current application, the client the previous one and the selected one.
    assert card.send("801F0000")[0].startswith(lv(D1, A1, A1))


def test_the_secure_channel_is_the_new_domains_after_extradition(card: OpenCard) -> None:
    card.select(A1)
    card.send("80040000")
    card.select(ISD)
    assert card.send("801F0000")[0].startswith(lv(ISD, A1, A1))
    card.extradite(A1, D1)
    card.select(A1)
    card.send("80040000")
    card.select(D1)
    assert card.send("801F0000")[0].startswith(lv(D1, A1, A1))


def test_a_domain_personalizes_its_own_applications(card: OpenCard) -> None:
    operation = bytes(range(16))
    command = bytes.fromhex("80E28000") + lv(bytes.fromhex("010110") + operation + b"\x02\x01\x01\xaa")
    data, sw = card.manage(0x19, A1, command)
    assert (data, sw) == (lv(A1, ISD), 0x9000)
    assert card.se.effects() == [f"store-data F0000000A1 {operation.hex().upper()}"]
    card.select(A1)
    assert card.send("800A0000") == (command, 0x9000)


def test_personalization_data_without_an_operation_id_is_recorded_as_such(card: OpenCard) -> None:
    assert card.manage(0x19, A1, bytes.fromhex("80E2800003020155"))[1] == 0x9000
    assert card.se.effects() == ["store-data F0000000A1 -"]


def test_personalization_that_an_application_refuses_has_no_effect(card: OpenCard) -> None:
    assert card.manage(0x19, A1, b"\x00") == (b"", 0x6A88)
    assert card.se.effects() == []


def test_personalization_is_for_the_direct_domain_of_what_takes_it(card: OpenCard) -> None:
    assert card.manage(0x24, A1) == (b"\x01", 0x9000)
    assert card.manage(0x24, B1) == (b"\x00", 0x9000)
    assert card.manage(0x19, B1, bytes(6))[1] == 0x6985
    card.install(SD1, DOMAIN, module=MANAGER)
    card.extradite(A1, SD1)
    assert card.manage(0x19, A1, bytes(6))[1] == 0x6985
    card.set_state(A102, 0x80)
    assert card.manage(0x19, A102, bytes(6))[1] == 0x6985


def test_an_application_knows_its_own_entry_and_not_others(card: OpenCard) -> None:
    card.select(A1)
    assert card.send("800B0000", A1) == (bytes.fromhex("0000000701"), 0x9000)
    assert card.send("800B0000", A102)[0][-1] == 0
    card.select(ISD)
    card.update(A1, bytes.fromhex("000400"))
    card.select(A1)
    assert card.send("800B0000", A102) == (bytes.fromhex("0004000701"), 0x9000)


def test_what_is_contactless_is_listed_for_who_may_see_it(card: OpenCard) -> None:
    card.install(X1, parameters=bytes.fromhex("EF07A105A603500141"))
    card.select(A1)
    assert card.send("80070000")[0] == lv(A1) + b"\x01\x00"
    card.select(ISD)
    card.update(A1, bytes.fromhex("000020"))
    card.select(A1)
    assert card.send("80070000")[0] == b"".join(
        (lv(A1), b"\x01\x00", lv(A102), b"\x00\x00", lv(B1), b"\x00\x00", lv(X1), b"\x00", lv(b"\x50\x01\x41"))
    )


def test_card_data_are_read_by_domains_and_set_by_the_issuer(card: OpenCard) -> None:
    assert card.send("801C0042") == (bytes.fromhex("1234"), 0x9000)
    assert len(card.send("801C9F7F")[0]) == 42
    assert len(card.send("801C00CF")[0]) == 10
    assert card.send("801D0042", b"\x77") == (b"", 0x9000)
    assert card.send("801C0042") == (b"\x77", 0x9000)
    assert card.send("801D00CF", b"\x77") == (b"", 0x6A88)
    card.select(D1)
    assert card.send("801D0042", b"\x78") == (b"", 0x6985)


class TestTransactions:
    """INS 09 of Echo shows counter (2 bytes), two persistent bytes, a transient one, and the key's first byte."""

    def test_a_committed_transaction_stays(self, card: OpenCard) -> None:
        card.select(A1)
        assert card.send("80030000") == (b"", 0x9000)
        assert card.send("80090000")[0].hex() == "000101015501"

    @pytest.mark.parametrize(("how", "sw"), [(1, 0x6A80), (2, 0x9000), (3, 0x9000)])
    def test_one_that_is_not_committed_never_was(self, card: OpenCard, how: int, sw: int) -> None:
        card.select(A1)
        card.send("80030000")
        assert card.send(f"8003{how:02X}00") == (b"", sw)
        assert card.send("80090000")[0].hex() == "000101015501"
        assert card.send("80030000") == (b"", 0x9000)
        assert card.send("80090000")[0].hex() == "000202025502"

    def test_transient_memory_is_no_part_of_it(self, card: OpenCard) -> None:
        card.select(A1)
        card.send("80030100")
        assert card.send("80090000")[0].hex() == "000000005500"

    def test_other_instances_are_not_touched(self, card: OpenCard) -> None:
        card.select(A102)
        card.send("80030000")
        card.select(A1)
        card.send("80030100")
        card.select(A102)
        assert card.send("80090000")[0][:4].hex() == "00010101"


def test_an_applet_registers_once_and_under_its_name(card: OpenCard) -> None:
    assert card.install(X1, module=LONE, load_file=LONE_FILE) == 0x9000
    assert card.select(X1) == 0x9000
