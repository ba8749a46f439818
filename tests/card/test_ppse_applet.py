"""The PPSE: the directory of what is active, by priority."""

from __future__ import annotations

import pytest

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.contactless import ContactlessParameters
from opentsm_card.install import InstallForInstall
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.set_status import SetStatus
from opentsm_simulator import VirtualSe
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    CENTRAL,
    CRS,
    ISD,
    ISD_KEYS,
    OWN,
    PAYMENT_MODULE,
    PAYMENT_PACKAGE,
    PPSE,
    Host,
    keys,
    payment_parameters,
    service_provider,
)

BANK_KEYS = keys(0x31, 1)


def directory(se: VirtualSe) -> list[tuple[bytes, bytes | None, bytes | None]]:
    """Return AID, label and priority of each entry, as a reader sees them."""
    fci = Host(se.link("contactless")).select(PPSE).require("SELECT")
    (top,) = tlv.parse_all(fci)
    assert top.tag == 0x6F
    assert tlv.find(top.children(), 0x84) == PPSE
    discretionary = tlv.find(tlv.parse_all(tlv.find(top.children(), 0xA5) or b""), 0xBF0C)
    assert discretionary is not None
    entries = [tlv.parse_all(item.value) for item in tlv.parse_all(discretionary)]
    return [(tlv.find(item, 0x4F) or b"", tlv.find(item, 0x50), tlv.find(item, 0x87)) for item in entries]


@pytest.fixture
def manager(isd: Host) -> Host:
    isd.new_payment(CARD_1, payment_parameters(b"Bank", 2))
    isd.new_payment(CARD_2, payment_parameters(b"Transit", 1))
    return isd


def test_empty_directory(se: VirtualSe) -> None:
    assert directory(se) == []


def test_only_what_is_active_by_priority(se: VirtualSe, manager: Host) -> None:
    assert directory(se) == []
    manager.activate(CARD_1)
    assert directory(se) == [(CARD_1, b"Bank", b"\x02")]
    manager.activate(CARD_2)
    assert directory(se) == [(CARD_2, b"Transit", b"\x01"), (CARD_1, b"Bank", b"\x02")]
    manager.activate(CARD_2, activated=False)
    assert directory(se) == [(CARD_1, b"Bank", b"\x02")]
    assert manager.delete(CARD_1) == 0x9000
    assert directory(se) == []


def test_locked_applications_are_left_out(se: VirtualSe, manager: Host) -> None:
    manager.activate(CARD_1)
    manager.activate(CARD_2)
    manager.done(SetStatus.lock(CARD_2))
    assert [aid for aid, _, _ in directory(se)] == [CARD_1]
    manager.done(SetStatus.unlock(CARD_2))
    assert [aid for aid, _, _ in directory(se)] == [CARD_2, CARD_1]


def test_applications_of_a_locked_domain_are_left_out(se: VirtualSe) -> None:
    host = service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    host.new_payment(CARD_1)
    host.extradite(CARD_1, BANK)
    host.activate(CARD_1)
    host.done(SetStatus.lock_all(BANK))
    assert directory(se) == []
    host.done(SetStatus.unlock_all(BANK))
    assert [aid for aid, _, _ in directory(se)] == [CARD_1]


def test_without_label_or_priority_comes_last(se: VirtualSe, manager: Host) -> None:
    plain = Aid(OWN + b"\x0b\x00\x03\x01")
    manager.done(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, plain))
    for aid in (plain, CARD_1, CARD_2):
        manager.activate(aid)
    assert directory(se) == [(CARD_2, b"Transit", b"\x01"), (CARD_1, b"Bank", b"\x02"), (plain, None, None)]


def test_full_directory_keeps_the_highest_priorities(se: VirtualSe, isd: Host) -> None:
    for number in range(10):
        aid = Aid(OWN + bytes([0x0B, number]) + bytes(6))
        isd.new_payment(aid, payment_parameters(b"Application %04d" % number, 15 - number))
        isd.activate(aid)
    listed = directory(se)
    assert 4 <= len(listed) < 10
    assert [priority for _, _, priority in listed] == [bytes([6 + index]) for index in range(len(listed))]


def test_on_a_uicc_it_belongs_to_the_central_domain() -> None:
    se = VirtualSe.create("uicc")
    host = Host(se.link()).into(CENTRAL, ISD_KEYS)
    host.new_payment(CARD_1)
    host.activate(CARD_1)
    assert [aid for aid, _, _ in directory(se)] == [CARD_1]


def test_it_knows_no_command(se: VirtualSe) -> None:
    reader = Host(se.link("contactless"))
    reader.select(PPSE)
    assert reader.plain(CommandApdu(0x80, 0xCA, 0x00, 0x66, ne=256)).sw == 0x6D00


def test_what_the_user_has_chosen_for_now_comes_first(se: VirtualSe, manager: Host) -> None:
    manager.activate(CARD_1)
    manager.activate(CARD_2)
    user = Host(manager.link)
    user.select(CRS)
    assert user.raw(bytes.fromhex("80F00202") + bytes((14, 0x4F, 12)) + CARD_1).sw == 0x9000
    assert [aid for aid, _, _ in directory(se)] == [CARD_1, CARD_2]
    manager.link.reset()
    assert [aid for aid, _, _ in directory(se)] == [CARD_2, CARD_1]


@pytest.mark.parametrize(
    ("discretionary", "shown"),
    [
        ("50034361 7287 0101 9F2A0102 9F290100", "5003436172 870101 9F2A0102 9F290100"),
        ("9F2A0103 5001 41", "500141 9F2A0103"),  # in the directory's order, not in theirs
        ("5001419F", "500141"),  # what is cut off ends it
        ("5011" + "41" * 17 + "870101", "870101"),  # a label has 16 bytes at most
        ("9F2A80", ""),
        ("DF01FF", ""),
        ("FFFF", ""),
    ],
)
def test_an_entry_holds_what_the_application_stored(se: VirtualSe, isd: Host, discretionary: str, shown: str) -> None:
    data = ContactlessParameters(discretionary=bytes.fromhex(discretionary.replace(" ", "")))
    parameters = InstallParameters(system=data.system()).encode()
    isd.done(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, parameters=parameters))
    isd.activate(CARD_1)
    fci = Host(se.link("contactless")).select(PPSE).data
    entry = tlv.encode(0x61, tlv.encode(0x4F, CARD_1) + bytes.fromhex(shown.replace(" ", "")))
    assert tlv.encode(0xBF0C, entry) in fci
