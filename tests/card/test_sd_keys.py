"""PUT KEY and DELETE [key] of the security domain applet, and a new domain's first keys."""

from __future__ import annotations

import pytest

from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.delete import DeleteKey
from opentsm_card.errors import SecureChannelError
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.keys import KeySet, key_check_value
from opentsm_card.put_key import KeyData, KeyType, PutKey, put_key_set
from opentsm_card.scp03 import Scp03Session, SecurityLevel
from opentsm_card.store_data import StoreData
from opentsm_simulator import VirtualSe
from sd_host import BANK, CENTRAL, ISD, ISD_KEYS, TRANSIT, Host, keys, service_provider

NEW = keys(0x31, 5)


def without_inner_length(key: bytes, dek: bytes) -> KeyData:
    full = KeyData.aes(key, dek)
    return KeyData(full.key_type, full.component[1:], full.check_value)


def key_information(host: Host) -> bytes:
    return host.plain(CommandApdu(0x80, 0xCA, 0x00, 0xE0, ne=256)).data


def c0(version: int, *, key_type: int = 0x88, size: int = 16, identifiers: tuple[int, ...] = (1, 2, 3)) -> bytes:
    return b"".join(bytes((0xC0, 4, identifier, version, key_type, size)) for identifier in identifiers)


def e0(*structures: bytes) -> bytes:
    value = b"".join(structures)
    return bytes((0xE0, len(value))) + value


@pytest.mark.parametrize("size", [16, 24, 32])
def test_added_set_works_and_is_listed(isd: Host, size: int) -> None:
    new = keys(0x31, 5, size)
    answer = isd.put_keys(new)
    assert answer.data == bytes([0x31]) + b"".join(new.check_values)
    assert key_information(isd) == e0(c0(0x30), c0(0x31, size=size))
    isd.into(ISD, new)
    assert isd.sw(DeleteKey(0x30)) == 0x9000
    assert key_information(isd) == e0(c0(0x31, size=size))


def test_forms_of_the_key_data_field(isd: Host) -> None:
    for version, make in ((0x31, KeyData.aes), (0x32, without_inner_length)):
        new = keys(version, 5)
        data = tuple(make(key, ISD_KEYS.dek) for key in (new.enc, new.mac, new.dek))
        assert isd.sw(PutKey(0, version, 1, data)) == 0x9000
        assert isd.begin(new).answer.key_version == version
        isd.into(ISD, ISD_KEYS)
    without_check_value = KeyData(KeyType.AES, KeyData.aes(bytes(16), ISD_KEYS.dek).component, b"")
    answer = isd.send(PutKey(0, 0x33, 1, (without_check_value,)))
    assert answer.data == b"\x33" + key_check_value(bytes(16))


def test_des_keys_are_stored_for_other_protocols(isd: Host) -> None:
    key = bytes(range(16))
    encrypted = KeyData.aes(key, ISD_KEYS.dek).component[1:]
    check = key_check_value(key, des=True)
    assert isd.send(PutKey(0, 0x01, 1, (KeyData(KeyType.DES, encrypted, check),))).data == b"\x01" + check
    assert key_information(isd) == e0(c0(0x30), c0(0x01, key_type=0x80, identifiers=(1,)))
    assert isd.plain(Scp03Session.initialize_update(0x01, bytes(8))).sw == 0x6A88


def test_replacing_keeps_or_changes_the_version(isd: Host) -> None:
    isd.put_keys(NEW, replaces=0x30).require("PUT KEY")
    assert key_information(isd) == e0(c0(0x31))
    isd.into(ISD, NEW)
    again = keys(0x31, 77)
    isd.put_keys(again, replaces=0x31).require("PUT KEY")
    isd.select(ISD)
    with pytest.raises(SecureChannelError):
        isd.begin(NEW)
    isd.into(ISD, again)
    assert isd.session is not None
    assert isd.session.answer.sequence_counter == 2  # counted from the replacement on: one failed host, one session


def test_wrong_check_value_changes_nothing(isd: Host) -> None:
    good = KeyData.aes(bytes(16), ISD_KEYS.dek)
    bad = KeyData(good.key_type, good.component, b"\0\0\0")
    assert isd.sw(PutKey(0, 0x31, 1, (good, good, bad))) == 0x9485
    assert isd.sw(PutKey(0x30, 0x30, 1, (good, good, bad))) == 0x9485
    assert key_information(isd) == e0(c0(0x30))
    isd.into(ISD, ISD_KEYS)


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("80D8310101", 0x6A80),  # no key data
        ("80D8000106 31FF10000000", 0x9484),  # extended format
        ("80D8000105 31B0010000", 0x9484),
        ("80D8000101 00", 0x6A80),  # version 00
        ("80D8000101 80", 0x6A80),
        ("80D8000001 31", 0x6A86),  # key identifier 00
        ("80D8000113 318810" + "00" * 16, 0x6A80),  # length of check value missing
        ("80D8000113 318811" + "10" + "00" * 15, 0x6A80),  # one byte short of a block
        ("80D800010B 318808" + "00" * 8, 0x6A80),  # no AES key has 8 bytes
    ],
)
def test_malformed_key_data_changes_nothing(isd: Host, command: str, sw: int) -> None:
    assert isd.sw(CommandApdu.parse(bytes.fromhex(command)[:4] + bytes.fromhex(command)[4:])) == sw
    assert key_information(isd) == e0(c0(0x30))


def test_places_of_keys(isd: Host) -> None:
    one = KeyData.aes(bytes(16), ISD_KEYS.dek)
    assert isd.sw(PutKey(0, 0x30, 1, (one,))) == 0x6A80  # is there already
    assert isd.sw(PutKey(0x33, 0x33, 1, (one,))) == 0x6A88  # is not there
    isd.put_keys(NEW).require("PUT KEY")
    assert isd.sw(put_key_set(keys(0x30, 1), ISD_KEYS.dek, replaces=0x31)) == 0x6A80  # would be there twice
    assert isd.sw(PutKey(0, 0x32, 0x7F, (one, one))) == 0x6A86  # identifier 80


def test_room_ends_and_nothing_of_the_last_command_stays(isd: Host) -> None:
    for version in range(1, 20):
        isd.put_keys(keys(version, version)).require("PUT KEY")
    assert isd.put_keys(keys(0x40, 1)).sw == 0x6A84
    assert isd.sw(put_key_set(keys(0x30, 1), ISD_KEYS.dek)) == 0x6A80
    isd.into(ISD, ISD_KEYS)
    isd.done(DeleteKey(5))
    isd.put_keys(keys(0x40, 1)).require("PUT KEY")


def test_last_set_stays(isd: Host) -> None:
    for command in (DeleteKey(0x30), DeleteKey(None, 1), DeleteKey(0x30, 3)):
        assert isd.sw(command) == 0x6985
    assert isd.sw(DeleteKey(0x31)) == 0x6A88
    isd.into(ISD, ISD_KEYS)


def test_delete_by_identifier(isd: Host) -> None:
    isd.done(PutKey(0, 0x40, 5, (KeyData.aes(bytes(16), ISD_KEYS.dek),)))
    isd.done(DeleteKey(None, 5))
    assert key_information(isd) == e0(c0(0x30))


def test_effects_name_versions_only(se: VirtualSe, isd: Host) -> None:
    isd.put_keys(NEW).require("PUT KEY")
    isd.done(DeleteKey(0x30))
    assert se.effects() == [f"put-key {ISD} 31", f"delete-key {ISD} 30"]


def test_a_new_domain_gets_its_first_keys_through_its_parent(isd: Host) -> None:
    isd.new_domain(BANK)
    assert isd.state(BANK) == 0x07
    isd.into(BANK, ISD_KEYS)
    assert key_information(isd) == e0()
    assert isd.state(BANK) == 0x07
    isd.put_keys(NEW).require("PUT KEY")
    assert isd.state(BANK) == 0x0F
    # The parent's session looks on, and changes nothing any more.
    assert isd.put_keys(keys(0x32, 3)).sw == 0x6985
    assert isd.sw(DeleteKey(0x31)) == 0x6985
    assert isd.sw(StoreData(0, bytes.fromhex("420101"), last=True)) == 0x6985
    assert isd.sw(GetStatus(Scope.APPLICATIONS)) == 0x9000


def test_a_personalized_domain_takes_nothing_from_its_parent(se: VirtualSe) -> None:
    host = service_provider(se, ISD, ISD_KEYS, BANK, NEW)
    host.select(BANK)
    assert host.plain(Scp03Session.initialize_update(0x30, bytes(8))).sw == 0x6A88
    with pytest.raises(SecureChannelError):
        host.begin(KeySet(0x31, ISD_KEYS.enc, ISD_KEYS.mac, ISD_KEYS.dek))
    assert host.plain(CommandApdu(0x84, 0x82, 0x01, 0x00, bytes(16))).sw == 0x6300
    host.into(BANK, NEW)
    own = keys(0x32, 8)
    host.put_keys(own).require("PUT KEY")
    host.into(BANK, own)
    host.done(DeleteKey(0x31))
    host.select(BANK)
    assert host.plain(Scp03Session.initialize_update(0x31, bytes(8))).sw == 0x6A88


def test_first_keys_with_the_parent_s_version_are_the_domain_s_own(se: VirtualSe) -> None:
    own = keys(0x30, 11)
    host = service_provider(se, ISD, ISD_KEYS, BANK, own)
    host.select(BANK)
    with pytest.raises(SecureChannelError):
        host.begin(ISD_KEYS)
    host.into(BANK, own)


def test_a_domain_two_levels_down_is_served_by_the_nearest_keys() -> None:
    central_keys = keys(0x30, 3)
    host = Host(VirtualSe.create("uicc", keys={"central": central_keys}).link())
    host.into(CENTRAL, central_keys)
    host.new_domain(TRANSIT)
    host.select(TRANSIT)
    with pytest.raises(SecureChannelError):
        host.begin(ISD_KEYS)
    host.into(TRANSIT, central_keys)
    host.put_keys(NEW).require("PUT KEY")
    host.into(TRANSIT, NEW)


RSA_MODULUS = bytes(range(1, 129))
POINT = bytes.fromhex(
    "04"
    "6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296"
    "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"
)


def put(version: int, identifier: int, key_data: bytes) -> CommandApdu:
    return CommandApdu(0x80, 0xD8, 0x00, identifier, bytes((version,)) + key_data, 256)


def test_public_keys_of_two_components_are_listed(isd: Host) -> None:
    modulus = b"\xa1\x81\x80" + RSA_MODULUS
    exponent = b"\xa0\x03\x01\x00\x01"
    assert isd.send(put(0x70, 1, modulus + exponent + b"\0")) == ResponseApdu(b"\x70")
    assert isd.sw(put(0x71, 1, exponent + b"\xa1\x80" + RSA_MODULUS + b"\0")) == 0x9000  # length 80 is 128 too
    assert isd.sw(put(0x73, 1, b"\xb0\x41" + POINT + b"\xf0\x01\x00\x00")) == 0x9000
    listed = key_information(isd)
    for version, entry in ((0x70, "A180A003"), (0x71, "A180A003"), (0x73, "B040F000")):
        assert bytes((0xC0, 6, 1, version)) + bytes.fromhex(entry) in listed


def test_format_2_brings_usage_and_access(isd: Host) -> None:
    key = KeyData.aes(bytes(16), ISD_KEYS.dek)
    data = b"\xff\x88\x11" + key.component + b"\x03" + key.check_value + b"\x01\x18\x01\x01"
    assert isd.send(put(0x40, 5, data)) == ResponseApdu(b"\x40" + key.check_value)
    assert bytes.fromhex("C00A 05 40 FF880010 0118 0101".replace(" ", "")) in key_information(isd)
    point = b"\xff\xb0\x41" + POINT + b"\xff\xf0\x01\x00\x00\x02\x00\x80\x00"
    assert isd.sw(put(0x41, 5, point)) == 0x9000
    assert bytes.fromhex("C00E 05 41 FFB00040 FFF00000 020080 00".replace(" ", "")) in key_information(isd)


BASE_Y = "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"
CURVE = tuple(
    (tag, bytes.fromhex(value))
    for tag, value in (
        (0xB2, "FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF"),
        (0xB3, "FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFC"),
        (0xB4, "5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B"),
        (0xB5, "046B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296" + BASE_Y),
        (0xB6, "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551"),
        (0xB7, "01"),
    )
)


@pytest.mark.parametrize("changed", [None, 0, 1, 2, 3, 4, 5])
def test_a_curve_may_come_number_by_number(isd: Host, changed: int | None) -> None:
    """As GPShell sends it, wrapped, then cut in two (clauses 11.1.5.1 and 11.1.8): it must be a curve that is known."""
    data = b"\xb0\x41" + POINT
    for number, (tag, parameter) in enumerate(CURVE):
        value = bytearray(parameter)
        value[-1] ^= number == changed
        data += bytes((tag, len(value))) + value
    whole = b"\x42" + data + b"\0"
    isd.into(ISD, ISD_KEYS, SecurityLevel.C_MAC)
    assert isd.session is not None
    wrapped = isd.session.wrap(CommandApdu(0x80, 0xD8, 0x00, 5, whole, 256))
    assert isd.plain(CommandApdu(wrapped.cla, 0xD8, 0x80, 5, wrapped.data[:250])).sw == 0x9000
    answer = isd.plain(CommandApdu(wrapped.cla, 0xD8, 0x00, 5, wrapped.data[250:], 256))
    assert answer == (ResponseApdu(b"\x42") if changed is None else ResponseApdu(b"", 0x9484))
    assert (bytes.fromhex("C004 05 42 B040".replace(" ", "")) in key_information(isd)) == (changed is None)


def test_keys_that_are_for_applications_alone_open_no_channel(isd: Host) -> None:
    data = b""
    for _ in range(3):
        key = KeyData.aes(bytes(16), ISD_KEYS.dek)
        data += b"\xff\x88\x11" + key.component + b"\x03" + key.check_value + b"\x01\x38\x01\x02"
    assert isd.sw(put(0x40, 0x81, data)) == 0x9000
    assert isd.plain(Scp03Session.initialize_update(0x40, bytes(8))).sw == 0x6A88


@pytest.mark.parametrize(
    ("data", "sw"),
    [
        (b"\xb0\x41" + POINT + b"\xf0\x01\x02\x00", 0x9484),  # P-521
        (b"\xb0\x40" + POINT[1:] + b"\xf0\x01\x00\x00", 0x6A80),  # without its 04
        (b"\xb0\x41" + POINT + b"\xf0\x01\x01\x00", 0x6A80),  # too short for P-384
        (b"\xa1\x81\x80" + RSA_MODULUS + b"\0", 0x6A80),  # no exponent
        (b"\xa0\x03\x01\x00\x01\0", 0x6A80),  # no modulus
        (b"\xf0\x01\x00\x00", 0x6A80),
        (b"\xa1\x7f" + RSA_MODULUS[:127] + b"\xa0\x03\x01\x00\x01\0", 0x6A80),
        (b"\xa2\x7f" + RSA_MODULUS[:127] + b"\0", 0x9484),
        (b"\xb0\x41" + POINT + b"\xf0\x01\x00\x03\x01\x02\x03", 0x6A80),  # a check value of a public key
        (b"\xff\xb0\x41" + POINT + b"\xff\xf0\x01\x00\x00\x03\x00\x00\x00\x00", 0x6A80),  # usage of 3 bytes
        (b"\xff\xb0\x41" + POINT + b"\xff\xf0\x01\x00\x00\x01\x02", 0x6A80),  # no access
        (b"\xff\xb0\x41" + POINT + b"\xf0\x01\x00\x00\x01\x02\x00", 0x6A80),  # formats mixed
        (b"\xb0", 0x6A80),
        (b"\xb0\x83\x00\x00\x41" + POINT, 0x6A80),
    ],
)
def test_keys_that_are_none_are_refused(isd: Host, data: bytes, sw: int) -> None:
    assert isd.sw(put(0x70, 1, data)) == sw
    assert key_information(isd) == e0(c0(0x30))
