"""GET STATUS, GET DATA, STORE DATA to the domain itself, and what SELECT answers."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING

import msgspec
import pytest

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.registry import Registry, parse_get_status
from opentsm_card.scp03 import SecurityLevel
from opentsm_card.set_status import SetStatus
from opentsm_card.store_data import DataEncryption, DataStructure, Dgi, StoreData, encode_dgis
from opentsm_simulator import VirtualSe
from opentsm_simulator.profile import load_profile
from opentsm_simulator.provisioning import diversification_data
from probe_card import PROFILE
from sd_host import (
    ALIAS,
    BANK,
    CARD_1,
    CARD_2,
    CRS,
    CRS_PACKAGE,
    CVM_PACKAGE,
    ISD,
    ISD_KEYS,
    OWN,
    PAYMENT_PACKAGE,
    PPSE,
    PPSE_PACKAGE,
    SD_PACKAGE,
    TRANSIT,
    Host,
    keys,
    service_provider,
)

if TYPE_CHECKING:
    from pathlib import Path

OWN_KEYS = keys(0x31, 1)


def get_data(host: Host, tag: int, cla: int = 0x80) -> tuple[int, bytes]:
    answer = host.plain(CommandApdu(cla, 0xCA, tag >> 8, tag & 0xFF, ne=256))
    return answer.sw, answer.data


def members(template: bytes) -> dict[int, bytes]:
    return {item.tag: item.value for item in tlv.parse_all(template)}


def test_scopes(isd: Host) -> None:
    registry = isd.registry()
    assert registry.isd is not None
    assert registry.isd.aid == ISD
    assert registry.isd.state == 0x0F
    assert [entry.aid for entry in registry.applications] == [PPSE, CRS]
    packages = {SD_PACKAGE, PAYMENT_PACKAGE, PPSE_PACKAGE, CRS_PACKAGE, CVM_PACKAGE}
    assert {entry.aid for entry in registry.load_files} == packages
    assert registry.complete


def test_default_members_of_an_entry(isd: Host) -> None:
    isd.new_payment(CARD_1)
    answer = isd.send(CommandApdu(0x80, 0xF2, 0x40, 0x02, b"\x4f\x00", 256))
    entries = [members(item.value) for item in tlv.parse_all(answer.data)]
    assert entries[-1] == {
        0x4F: bytes(CARD_1),
        0x9F70: b"\x07\x00",
        0xC5: bytes(3),
        0xC4: bytes(PAYMENT_PACKAGE),
        0xCC: bytes(ISD),
    }


def test_tag_list_says_which_members_there_are(isd: Host) -> None:
    for tags in ((0x4F,), (0x4F, 0x9F70), (0xCC, 0x84), (0xCE, 0x4F, 0xC5)):
        answer = isd.send(GetStatus(Scope.APPLICATIONS, tags=tags))
        for entry in tlv.parse_all(answer.data):
            assert set(members(entry.value)) == set(tags)


def test_load_files_with_and_without_modules(isd: Host) -> None:
    prefix = bytes(PAYMENT_PACKAGE)
    with_modules = isd.send(GetStatus(Scope.LOAD_FILES_AND_MODULES, prefix))
    (entry,) = tlv.parse_all(with_modules.data)
    assert members(entry.value) == {
        0x4F: prefix,
        0x9F70: b"\x01",
        0xCE: b"\x01\x00",
        0x84: prefix + b"\x01",
        0xCC: bytes(ISD),
    }
    (entry,) = tlv.parse_all(isd.send(GetStatus(Scope.LOAD_FILES, prefix)).data)
    assert 0x84 not in members(entry.value)


def test_several_scopes_at_once(isd: Host) -> None:
    isd.new_payment(CARD_1)
    answer = isd.send(CommandApdu(0x80, 0xF2, 0xC0, 0x02, b"\x4f\x00\x5c\x01\x4f", 256))
    listed = [members(item.value)[0x4F] for item in tlv.parse_all(answer.data)]
    assert listed == [bytes(ISD), bytes(PPSE), bytes(CRS), bytes(CARD_1)]


def test_form_of_version_2_1(isd: Host) -> None:
    isd.new_payment(CARD_1)
    answer = isd.send(CommandApdu(0x80, 0xF2, 0x40, 0x00, b"\x4f\x00", 256))
    ended = b"\x07\x00"
    assert answer.data == b"\x0e" + PPSE + ended + b"\x09" + CRS + ended + b"\x0c" + CARD_1 + ended
    answer = isd.send(CommandApdu(0x80, 0xF2, 0x80, 0x00, b"\x4f\x00", 256))
    assert answer.data == b"\x08" + ISD + b"\x0f\x9e"
    answer = isd.send(CommandApdu(0x80, 0xF2, 0x10, 0x00, b"\x4f\x0a" + PAYMENT_PACKAGE, 256))
    assert answer.data == b"\x0a" + PAYMENT_PACKAGE + b"\x01\x00\x01" + b"\x0b" + PAYMENT_PACKAGE + b"\x01"


def test_search_by_the_beginning_of_an_aid(isd: Host) -> None:
    for number in range(3):
        isd.new_payment(Aid(OWN + b"\x0b" + bytes([number])))
    assert len(isd.send(GetStatus(Scope.APPLICATIONS, OWN, tags=(0x4F,))).data) == 3 * (2 + 2 + 10)
    assert len(isd.send(GetStatus(Scope.APPLICATIONS, OWN + b"\x0b\x01", tags=(0x4F,))).data) == 14
    for nothing in (OWN + b"\x0c", bytes(16), bytes(CARD_1) + b"\0"):
        assert isd.sw(GetStatus(Scope.APPLICATIONS, nothing)) == 0x6A88


@pytest.mark.parametrize(
    ("criterion", "found"),
    [
        ((0x9F70, b"\x07"), [PPSE, CRS, CARD_1, BANK]),  # SELECTABLE
        ((0x9F70, b"\x87"), [CARD_2]),  # LOCKED
        ((0x9F70, b"\x07\x01"), [PPSE]),  # activated too
        ((0xC5, b"\x80"), [BANK]),  # Security Domain
        ((0xC5, b"\x00\x04\x00"), [PPSE, CRS]),  # Global Registry
        ((0xC4, bytes(PAYMENT_PACKAGE)), [CARD_1, CARD_2]),
        ((0xCC, bytes(ISD)), [PPSE, CRS, CARD_1, CARD_2, BANK]),
        ((0xCC, bytes(BANK)), None),
        ((0xDF01, b"\x01"), [PPSE, CRS, CARD_1, CARD_2, BANK]),  # unknown: no criterion
    ],
)
def test_search_criteria(isd: Host, criterion: tuple[int, bytes], found: list[Aid] | None) -> None:
    for aid in (CARD_1, CARD_2):
        isd.new_payment(aid)
    isd.new_domain(BANK)
    isd.done(SetStatus.lock(CARD_2))
    answer = isd.send(GetStatus(Scope.APPLICATIONS, criteria=(criterion,)))
    assert answer.sw == (0x6A88 if found is None else 0x9000)
    assert [entry.aid for entry in parse_get_status(Scope.APPLICATIONS, [answer])[0]] == (found or [])
    both = GetStatus(Scope.APPLICATIONS, bytes(CARD_1), criteria=(criterion,))
    assert (isd.sw(both) == 0x9000) == (CARD_1 in (found or []))  # all criteria are to be met


def test_malformed_criteria(isd: Host) -> None:
    for tag, value in ((0x9F70, b""), (0x9F70, bytes(3)), (0xC5, b""), (0xC5, bytes(2))):
        assert isd.sw(GetStatus(Scope.APPLICATIONS, criteria=((tag, value),))) == 0x6A80
    assert isd.sw(CommandApdu(0x80, 0xF2, 0x40, 0x02, b"\x4f\x00\xc5", 256)) == 0x6A80


def test_an_empty_tag_list_asks_for_the_default(isd: Host) -> None:
    default = isd.send(GetStatus(Scope.APPLICATIONS)).data
    assert isd.send(CommandApdu(0x80, 0xF2, 0x40, 0x02, b"\x4f\x00\x5c\x00", 256)).data == default


@pytest.mark.parametrize("scope", list(Scope))
def test_both_forms_list_the_same(isd: Host, scope: Scope) -> None:
    for number in range(12):
        isd.new_payment(Aid(OWN + b"\x0b\x00\x01" + bytes([number])))
    forms = []
    for templates in (True, False):
        command = GetStatus(scope, templates=templates)
        answers = [isd.send(command)]
        while answers[-1].sw == 0x6310:
            answers.append(isd.send(command.following()))
        entries, complete = parse_get_status(scope, answers, templates=templates)
        assert complete
        forms.append([(entry.aid, entry.state, entry.modules, entry.privileges >> 16) for entry in entries])
    assert forms[0] == forms[1]


def test_what_is_deleted_while_a_list_goes_on_ends_it(isd: Host) -> None:
    instances = [Aid(OWN + b"\x0b\x00\x01" + bytes([number])) for number in range(12)]
    for aid in instances:
        isd.new_payment(aid)
    first = isd.send(GetStatus.everything(Scope.APPLICATIONS))
    listed = parse_get_status(Scope.APPLICATIONS, [first])[0]
    assert isd.delete(listed[-1].aid) == 0x9000
    assert isd.sw(GetStatus.everything(Scope.APPLICATIONS).following()) == 0x6A88
    assert isd.registry().complete  # a new list begins


def test_long_lists_go_on_where_they_stopped(isd: Host) -> None:
    instances = [Aid(OWN + b"\x0b\x00\x01" + bytes([number])) for number in range(12)]
    for aid in instances:
        isd.new_payment(aid)
    answers = isd.listed()
    assert [answer.sw for answer in answers[:-1]] == [0x6310] * (len(answers) - 1)
    assert len(answers) > 2
    assert answers[-1].sw == 0x9000
    registry = Registry.parse(answers, isd.listed(Scope.LOAD_FILES_AND_MODULES))
    assert registry.complete
    assert [entry.aid for entry in registry.applications] == [PPSE, CRS, *instances]
    assert isd.sw(GetStatus(Scope.APPLICATIONS, next=True)) == 0x6985  # the list is over


def test_a_list_goes_on_in_its_own_scope_and_selection_only(se: VirtualSe, isd: Host) -> None:
    for number in range(12):
        isd.new_payment(Aid(OWN + b"\x0b\x00\x01" + bytes([number])))
    first = GetStatus.everything(Scope.APPLICATIONS)
    assert isd.sw(first) == 0x6310
    assert isd.sw(GetStatus(Scope.LOAD_FILES, next=True)) == 0x6985
    other = Host(se.link("contactless")).into(ISD, ISD_KEYS)
    assert other.sw(first.following()) == 0x6985
    assert isd.sw(first.following()) == 0x6310


@pytest.mark.parametrize("level", [0x01, 0x11, 0x33])
def test_full_responses_at_each_level_fit_a_short_apdu(host: Host, level: int) -> None:
    own = keys(0x30, 1)
    host = Host(VirtualSe.create("embedded", keys={"isd": own}).link()).into(ISD, own, SecurityLevel(level))
    for number in range(8):
        host.new_payment(Aid(OWN + bytes([0x0B, number]) + bytes(6)))
    assert len(host.registry().applications) == 10


def test_nothing_to_list_is_an_answer_with_a_mac(se: VirtualSe) -> None:
    host = service_provider(se, ISD, ISD_KEYS, BANK, OWN_KEYS).into(BANK, OWN_KEYS)
    answer = host.send(GetStatus(Scope.LOAD_FILES))
    assert (answer.data, answer.sw) == (b"", 0x9000)
    assert [entry.aid for entry in host.registry()] == [BANK]
    assert host.registry().isd is None
    assert host.registry().complete


def test_parameters_of_get_status(isd: Host) -> None:
    assert isd.sw(CommandApdu(0x80, 0xF2, 0x00, 0x02, b"\x4f\x00", 256)) == 0x6A86
    assert isd.sw(CommandApdu(0x80, 0xF2, 0x41, 0x02, b"\x4f\x00", 256)) == 0x6A86
    assert isd.sw(CommandApdu(0x80, 0xF2, 0x40, 0x04, b"\x4f\x00", 256)) == 0x6A86
    assert isd.sw(CommandApdu(0x80, 0xF2, 0x40, 0x02, b"\x4f\x05\x01", 256)) == 0x6A80
    assert isd.sw(CommandApdu(0x80, 0xF2, 0x40, 0x02, ne=256)) == 0x9000  # no criterion: everything


def test_select_answers_with_the_registered_aid(host: Host) -> None:
    expected = host.select(ISD).data
    (fci,) = tlv.parse_all(expected)
    assert fci.tag == 0x6F
    assert members(fci.value)[0x84] == bytes(ISD)
    proprietary = members(members(fci.value)[0xA5])
    assert list(proprietary) == [0x73, 0x9F6E, 0x9F65]  # 11.9.3.1, table 11-85
    assert proprietary[0x9F65] == b"\xff"
    assert proprietary[0x9F6E] == get_data(host, 0x9F7F)[1][7:13]
    (card_data,) = tlv.parse_all(get_data(host, 0x66)[1])
    assert members(card_data.value) == {0x73: proprietary[0x73]}
    assert host.select(ALIAS).data == expected
    assert host.raw(bytes.fromhex("00A4040000")).data == expected
    assert host.raw(bytes.fromhex("00A40400")).data == expected
    assert host.raw(bytes.fromhex("00A4040C")).data == b""


def test_get_data_of_the_issuer(se: VirtualSe, host: Host) -> None:
    host.select(ISD)
    sw, data = get_data(host, 0x66)
    assert sw == 0x9000
    (card_data,) = tlv.parse_all(data)
    (recognized,) = card_data.children()
    assert recognized.tag == 0x73
    inside = members(recognized.value)
    assert inside[0x06] == bytes.fromhex("2A864886FC6B01")
    assert inside[0x60] == bytes.fromhex("060A2A864886FC6B02020301")
    assert inside[0x64] == bytes.fromhex("06092A864886FC6B040370")
    assert get_data(host, 0xE0) == (0x9000, bytes.fromhex("E012C00401308810C00402308810C00403308810"))
    assert get_data(host, 0xCF) == (0x9000, b"\xcf\x0a" + diversification_data(se.se_id))
    assert get_data(host, 0x42) == (0x9000, bytes.fromhex("42084F50454E54534D01"))
    sw, data = get_data(host, 0x45)
    assert (sw, data[:2]) == (0x9000, b"\x45\x08")
    sw, data = get_data(host, 0x9F7F)
    assert (sw, data[:3], len(data)) == (0x9000, b"\x9f\x7f\x2a", 45)
    assert get_data(host, 0xC1) == (0x9000, bytes.fromhex("C103000000"))
    assert get_data(host, 0x67)[0] == 0x9000
    assert get_data(host, 0x5F50) == (0x6A88, b"")


def test_interindustry_get_data_answers_the_value_alone(isd: Host) -> None:
    for tag in (0x66, 0xE0, 0xCF, 0x42, 0x45, 0xC1, 0x67, 0x9F7F):
        (item,) = tlv.parse_all(get_data(isd, tag)[1])
        assert item.tag == tag
        assert get_data(isd, tag, cla=0x00) == (0x9000, item.value)
        assert isd.send(CommandApdu(0x00, 0xCA, tag >> 8, tag & 0xFF, ne=256)).data == item.value


def test_get_data_in_a_session(isd: Host) -> None:
    answer = isd.send(CommandApdu(0x80, 0xCA, 0x00, 0x66, ne=256))
    assert answer.data == get_data(isd, 0x66)[1]
    with_data = CommandApdu(0x80, 0xCA, 0x00, 0xE0, b"\x5c\x00", 256)  # as hosts that never send case 2
    assert isd.send(with_data).data == get_data(isd, 0xE0)[1]


@pytest.mark.parametrize(
    ("structure", "wrap"),
    [
        (DataStructure.BER_TLV, lambda objects: objects),
        (DataStructure.NONE, lambda objects: objects),
        (DataStructure.DGI, lambda objects: encode_dgis((Dgi(0x0070, objects),))),
    ],
)
def test_store_data_of_a_domain(se: VirtualSe, structure: DataStructure, wrap: object) -> None:
    assert callable(wrap)
    objects = bytes.fromhex("42040102030445021122")
    host = service_provider(se, ISD, ISD_KEYS, BANK, OWN_KEYS).into(BANK, OWN_KEYS)
    assert get_data(host, 0x42)[0] == 0x6A88
    assert host.sw(StoreData(0, wrap(objects), last=True, structure=structure)) == 0x9000
    assert get_data(host, 0x42) == (0x9000, bytes.fromhex("420401020304"))
    assert get_data(host, 0x45) == (0x9000, bytes.fromhex("45021122"))
    host.into(ISD, ISD_KEYS)
    assert get_data(host, 0x42)[1] == bytes.fromhex("42084F50454E54534D01")  # the card's own is another
    host.done(StoreData(0, objects, last=True))
    assert get_data(host, 0x42) == (0x9000, bytes.fromhex("420401020304"))


def test_store_data_refusals_change_nothing(isd: Host) -> None:
    before = get_data(isd, 0x42)
    for data, sw in (
        ("4203010203660101", 0x6A88),  # the second object can't be stored: nor is the first
        ("4203010203" + "4500", 0x6A80),
        ("4211" + "00" * 17, 0x6A80),
        ("4205010203", 0x6A80),
    ):
        assert isd.sw(StoreData(0, bytes.fromhex(data), last=True)) == sw
    assert isd.sw(StoreData(1, bytes.fromhex("420101"), last=True)) == 0x6985  # blocks begin with 00
    encrypted = StoreData(0, bytes.fromhex("420101"), last=True, encryption=DataEncryption.ENCRYPTED)
    assert isd.sw(encrypted) == 0x6A86
    assert get_data(isd, 0x42) == before


def test_store_data_in_blocks(isd: Host) -> None:
    isd.done(StoreData(0, bytes.fromhex("420101")), StoreData(1, bytes.fromhex("450102"), last=True))
    assert get_data(isd, 0x42)[1] + get_data(isd, 0x45)[1] == bytes.fromhex("420101450102")
    isd.done(StoreData(0, bytes.fromhex("420103")))
    assert isd.sw(StoreData(2, bytes.fromhex("420104"), last=True)) == 0x6985


def test_unknown_commands_and_classes(isd: Host) -> None:
    assert isd.sw(CommandApdu(0x80, 0x11, 0, 0)) == 0x6D00
    assert isd.plain(CommandApdu(0x00, 0xF2, 0x40, 0x02)).sw == 0x6E00
    assert isd.plain(CommandApdu(0x80, 0x11, 0, 0)).sw == 0x6982


def test_alias_selects_the_same_domain(host: Host) -> None:
    host.into(ALIAS, ISD_KEYS)
    assert host.registry().isd is not None
    assert host.entry(ISD) is not None
    assert host.entry(TRANSIT) is None


def test_a_load_file_with_more_modules_than_a_response_holds(tmp_path: Path) -> None:
    package = tmp_path / "many"
    shutil.copytree(PROFILE.parent / "probe", package)
    modules = [b"\xf0\x00\x00\x00\x04" + number.to_bytes(6, "big") for number in range(40)]
    toml = 'package = "opentest.probe"\naid = "F000000004"\nversion = "1.0"\n'
    toml += 'imports = ["org.globalplatform", "org.globalplatform.contactless"]\n'
    toml += "".join(f'[[applets]]\nclass = "Probe"\naid = "{aid.hex()}"\n' for aid in modules)
    (package / "applet.toml").write_text(toml)
    profile = load_profile(str(PROFILE))
    profile = msgspec.structs.replace(profile, packages=(profile.packages[0], str(package)))
    host = Host(VirtualSe.create(profile).link()).into(ISD, ISD_KEYS)
    command = GetStatus.everything(Scope.LOAD_FILES_AND_MODULES).apdu()
    answers = [host.send(dataclasses.replace(command, ne=65536))]
    assert answers[0].sw == 0x6310
    answers.append(host.send(dataclasses.replace(command, p2=3, ne=65536)))
    files, complete = parse_get_status(Scope.LOAD_FILES_AND_MODULES, answers)
    assert complete
    assert [entry.aid for entry in files] == [SD_PACKAGE, Aid.from_text("F000000004")]
    assert [bytes(aid) for aid in files[1].modules] == modules
