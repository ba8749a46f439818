"""The card's controlling authority, and the confidential set-up of a domain's keys with it.

Spec: GP Card Specification 2.3.1, 8.1.3, B.4.4, B.4.5; GP Amendment A 1.2, scenario 3; GP Amendment F 1.3, 6.1.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from content_keys import flips
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.casd import KeySetUp
from opentsm_card.certificates import Certificate, encode_point
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.install import InstallForInstall
from opentsm_card.keys import KeySet
from opentsm_card.privileges import Privilege
from opentsm_card.store_data import DataStructure, Dgi, StoreData, encode_dgis
from opentsm_simulator import VirtualSe
from sd_host import BANK, ISD, ISD_KEYS, OWN, SD_MODULE, SD_PACKAGE, Host, keys

CASD = Aid(OWN + bytes.fromhex("0CA5D001"))
CASD_KEYS = keys(0x36, 51)
AUTHORITY = ec.generate_private_key(ec.SECP256R1())
CURVES: dict[str, ec.EllipticCurve] = {"p-256": ec.SECP256R1(), "p-384": ec.SECP384R1()}
# A controlling authority (86) that offers the service 8300 (CB).
PARAMETERS = bytes.fromhex("C9048602 0000 EF04CB028300")


class Card:
    """A card with a CASD; the host has a session of the issuer's."""

    def __init__(self, curve: str = "p-256") -> None:
        self.key = ec.generate_private_key(CURVES[curve])
        self.se = VirtualSe.create("embedded", se_id="casd")
        self.host = Host(self.se.link()).into(ISD, ISD_KEYS)
        service = Privilege.SECURITY_DOMAIN | Privilege.GLOBAL_SERVICE
        self.host.done(InstallForInstall(SD_PACKAGE, SD_MODULE, CASD, service, PARAMETERS))
        casd = self.host.into(CASD, ISD_KEYS)
        casd.put_keys(CASD_KEYS).require("PUT KEY")
        casd.into(CASD, CASD_KEYS)
        self.put_private_key(casd)
        point = encode_point(self.key.public_key())
        unsigned = Certificate(b"\x01", b"CA", b"CASD", b"\x00\x80", point, 0 if curve == "p-256" else 1)
        self.certificate = unsigned.signed(AUTHORITY)
        encoded = self.certificate.encode()
        blocks = [encoded[start : start + 200] for start in range(0, len(encoded), 200)]
        for number, block in enumerate(blocks):
            last = number == len(blocks) - 1
            casd.done(StoreData(number, block, last, structure=DataStructure.BER_TLV))
        self.host.into(ISD, ISD_KEYS)

    def put_private_key(self, casd: Host) -> None:
        assert casd.keys is not None
        size = self.key.key_size // 8
        scalar = self.key.private_numbers().private_value.to_bytes(size, "big")
        sealed = Cipher(algorithms.AES(casd.keys.dek), modes.CBC(bytes(16))).encryptor().update(scalar)
        data = b"\x74\xb1" + bytes((size + 1, size)) + sealed + b"\x00"
        casd.done(CommandApdu(0x80, 0xD8, 0x00, 0x03, data, 256))

    def bank(self) -> Host:
        """Return the host in a session of the issuer's keys with the bank's domain, which has none."""
        self.host.into(ISD, ISD_KEYS).new_domain(BANK)
        return self.host.into(BANK, ISD_KEYS)


def test_anyone_reads_the_certificate() -> None:
    """GET DATA 7F21, without a session; the host verifies it under the authority's key."""
    card = Card()
    reader = Host(card.se.link("contactless"))
    reader.select(CASD)
    answer = reader.plain(CommandApdu(0x80, 0xCA, 0x7F, 0x21, b"", 256))
    certificate = Certificate.parse(answer.data)
    assert certificate == card.certificate
    certificate.check(AUTHORITY.public_key(), usage=b"\x00\x80")
    assert encode_point(certificate.public_key) == encode_point(card.key.public_key())
    reader.select(ISD)
    assert reader.plain(CommandApdu(0x80, 0xCA, 0x7F, 0x21, b"", 256)).sw == 0x6A88  # no other domain has one


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("key_bytes", [16, 24, 32])
@pytest.mark.parametrize("with_random", [False, True])
def test_a_domain_gets_keys_that_nobody_else_knows(curve: str, key_bytes: int, *, with_random: bool) -> None:
    card = Card(curve)
    bank = card.bank()
    public = card.key.public_key()
    set_up = KeySetUp.begin(public, 0x31, key_bytes=key_bytes, with_random=with_random)
    answer = bank.send(set_up.command())
    assert answer.sw == 0x9000
    agreed = set_up.finish(public, answer.data)
    assert agreed.version == 0x31
    assert bank.into(ISD, ISD_KEYS).state(BANK) == 0x0F  # PERSONALIZED
    bank.into(BANK, agreed)
    assert bank.put_keys(keys(0x32, 9)).sw == 0x9000
    assert f"put-key {BANK} 31" in card.se.effects()


def derived(card: Card, ephemeral: ec.EllipticCurvePrivateKey, shared: bytes, size: int) -> list[bytes]:
    """Receipt key, ENC, MAC, DEK by B.4.5 with a hash of the tests' own: H(secret, counter, shared information)."""
    secret = card.key.exchange(ec.ECDH(), ephemeral.public_key())
    stream = b"".join(hashlib.sha256(secret + counter.to_bytes(4, "big") + shared).digest() for counter in range(1, 6))
    return [stream[start : start + size] for start in range(0, 4 * size, size)]


def test_the_card_s_keys_and_receipt_by_another_hand() -> None:
    """The A6 template, the point and the random data's object under the receipt key (CMAC); X9.63 with SHA-256."""
    card = Card()
    bank = card.bank()
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    template = bytes.fromhex("A6 18 9002 0306 95015C 800188 810110 820101 830131 8403 484F53".replace(" ", ""))
    template = b"\xa6" + bytes((len(template) - 2,)) + template[2:]
    point = encode_point(ephemeral.public_key())
    block = b"\x00\xa6" + bytes((len(template),)) + template + b"\x7f\x49" + bytes((len(point),)) + point
    answer = bank.send(CommandApdu(0x80, 0xE2, 0x89, 0x00, block, 256))
    assert answer.sw == 0x9000
    assert (answer.data[:2], answer.data[18:20], len(answer.data)) == (b"\x85\x10", b"\x86\x10", 36)
    random, receipt = answer.data[2:18], answer.data[20:]
    shared = bytes.fromhex("5C8810") + random + b"\x03HOS" + b"\x00" + b"\x00"  # the domain has neither 42 nor 45
    receipt_key, enc, mac, dek = derived(card, ephemeral, shared, 16)
    cmac = CMAC(algorithms.AES(receipt_key))
    cmac.update(template + point + answer.data[:18])
    assert cmac.finalize() == receipt
    bank.into(BANK, KeySet(0x31, enc, mac, dek))


def test_the_names_of_host_and_domain_can_be_derived_from() -> None:
    card = Card()
    bank = card.bank()
    bank.done(StoreData(0, b"\x42\x02\x01\x02\x45\x01\x07", True, structure=DataStructure.BER_TLV))
    public = card.key.public_key()
    set_up = KeySetUp.begin(public, 0x31, names=(b"host", b"\x01\x02", b"\x07"))
    answer = bank.send(set_up.command()).data
    with pytest.raises(SecureChannelError):
        replace(set_up, names=(b"host", b"\x01\x02", b"\x08")).finish(public, answer)
    bank.into(BANK, set_up.finish(public, answer))


def test_a_flipped_bit_anywhere_is_refused_by_the_host() -> None:
    card = Card()
    bank = card.bank()
    public = card.key.public_key()
    set_up = KeySetUp.begin(public, 0x31)
    answer = bank.send(set_up.command()).data
    for flipped in flips(answer):
        with pytest.raises((SecureChannelError, ProtocolError)):
            set_up.finish(public, flipped)
    for cut in range(len(answer)):
        with pytest.raises(ProtocolError):
            set_up.finish(public, answer[:cut])
    with pytest.raises(SecureChannelError):
        set_up.finish(ec.generate_private_key(ec.SECP256R1()).public_key(), answer)
    with pytest.raises(SecureChannelError, match="another curve"):
        set_up.finish(ec.generate_private_key(ec.SECP384R1()).public_key(), answer)
    set_up.finish(public, answer)


@pytest.mark.parametrize(
    ("wrong", "sw"),
    [
        ({0x90: "03FF"}, 0x6A80),
        ({0x90: "0102"}, 0x6A80),  # scenario 1
        ({0x90: ""}, 0x6A80),
        ({0x80: "80"}, 0x6A80),
        ({0x81: "11"}, 0x6A80),
        ({0x82: "02"}, 0x6A80),
        ({0x83: "00"}, 0x6A80),
        ({0x83: "80"}, 0x6A80),
        ({0x95: None}, 0x6A80),
        ({0x83: None}, 0x6A80),
    ],
)
def test_what_is_asked_for_must_be_right(wrong: dict[int, str | None], sw: int) -> None:
    card = Card()
    bank = card.bank()
    before = card.se.effects()
    values: dict[int, str | None] = {0x90: "0302", 0x95: "5C", 0x80: "88", 0x81: "10", 0x82: "01", 0x83: "31"}
    values |= wrong
    inside = b"".join(
        bytes((tag, len(value) // 2)) + bytes.fromhex(value) for tag, value in values.items() if value is not None
    )
    template = b"\xa6" + bytes((len(inside),)) + inside
    point = encode_point(ec.generate_private_key(ec.SECP256R1()).public_key())
    groups = encode_dgis((Dgi(0x00A6, template), Dgi(0x7F49, point)))
    assert bank.sw(StoreData(0, groups, True, structure=DataStructure.DGI, response=True)) == sw
    assert card.se.effects() == before


def test_points_that_are_none_give_nothing_away() -> None:
    """Not on the curve, at infinity, compressed, of another curve."""
    card = Card()
    bank = card.bank()
    good = KeySetUp.begin(card.key.public_key(), 0x31)
    point = bytearray(encode_point(good.ephemeral.public_key()))
    point[64] ^= 1
    other = encode_point(ec.generate_private_key(ec.SECP384R1()).public_key())
    head = good.command().data[: good.command().data.index(b"\x7f\x49")]
    for wrong in (bytes(point), b"\x04" + bytes(64), b"\x02" + bytes(point[1:33]), b"\x00", other, bytes(65)):
        block = head + b"\x7f\x49" + bytes((len(wrong),)) + wrong
        assert bank.sw(StoreData(0, block, True, structure=DataStructure.DGI, response=True)) == 0x6A80
    assert bank.sw(good.command()) == 0x9000


def test_both_groups_in_one_chain_and_an_answer_asked_for() -> None:
    card = Card()
    bank = card.bank()
    set_up = KeySetUp.begin(card.key.public_key(), 0x31)
    data = set_up.command().data
    assert bank.sw(replace(set_up.command(), response=False)) == 0x6A86  # 11.11.3.1
    split = data.index(b"\x7f\x49")
    for part in (data[:split], data[split:], data[:split] + data[:split], data + data[split:]):
        assert bank.sw(StoreData(0, part, True, structure=DataStructure.DGI, response=True)) == 0x6A80
    pieces = [data[:10], data[10:40], data[40:]]
    answers = [
        bank.send(StoreData(number, piece, number == 2, structure=DataStructure.DGI, response=True))
        for number, piece in enumerate(pieces)
    ]
    assert [answer.sw for answer in answers] == [0x9000] * 3
    bank.into(BANK, set_up.finish(card.key.public_key(), answers[-1].data))


def test_a_version_that_is_there_is_not_replaced() -> None:
    card = Card()
    bank = card.bank()
    public = card.key.public_key()
    first = KeySetUp.begin(public, 0x31)
    bank.into(BANK, first.finish(public, bank.send(first.command()).data))
    assert bank.sw(KeySetUp.begin(public, 0x31).command()) == 0x6A80
    second = KeySetUp.begin(public, 0x32)
    bank.into(BANK, second.finish(public, bank.send(second.command()).data))


def test_without_a_controlling_authority_there_is_no_set_up() -> None:
    host = Host(VirtualSe.create("embedded").link()).into(ISD, ISD_KEYS)
    host.new_domain(BANK)
    key = ec.generate_private_key(ec.SECP256R1())
    assert host.into(BANK, ISD_KEYS).sw(KeySetUp.begin(key.public_key(), 0x31).command()) == 0x6A88


def test_there_is_one_controlling_authority_and_it_needs_the_privilege() -> None:
    """8.1: what is registered as unique is one application's; it takes the Global Service privilege and CB."""
    card = Card()
    other = Aid(CASD[:-1] + b"\x02")
    service = Privilege.SECURITY_DOMAIN | Privilege.GLOBAL_SERVICE
    assert card.host.sw(InstallForInstall(SD_PACKAGE, SD_MODULE, other, service, PARAMETERS)) == 0x6985
    assert card.host.sw(InstallForInstall(SD_PACKAGE, SD_MODULE, other, service, PARAMETERS[:6])) == 0x6985
    plain = Privilege.SECURITY_DOMAIN
    assert card.host.sw(InstallForInstall(SD_PACKAGE, SD_MODULE, other, plain, PARAMETERS)) == 0x6985
    assert card.host.delete(CASD) == 0x9000
    assert card.host.sw(InstallForInstall(SD_PACKAGE, SD_MODULE, other, service, PARAMETERS)) == 0x9000


def test_an_authority_without_its_key_agrees_on_nothing() -> None:
    card = Card()
    casd = card.host.into(CASD, CASD_KEYS)
    casd.done(CommandApdu(0x80, 0xE4, 0, 0, b"\xd2\x01\x74", 256))
    bank = card.bank()
    assert bank.sw(KeySetUp.begin(card.key.public_key(), 0x31).command()) == 0x6985


def test_certificates_of_the_host() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    point = encode_point(ec.generate_private_key(ec.SECP256R1()).public_key())
    certificate = Certificate(
        b"\x01\x02", b"CA", b"CASD", b"\x00\x80", point, 0, bytes.fromhex("20260101"), bytes.fromhex("20301231"), b"x"
    ).signed(key)
    encoded = certificate.encode()
    assert Certificate.parse(encoded) == certificate
    certificate.check(key.public_key(), usage=b"\x00\x80", today=bytes.fromhex("20261126"))
    for today in ("20251231", "20310101"):
        with pytest.raises(SecureChannelError, match="not valid today"):
            certificate.check(key.public_key(), usage=b"\x00\x80", today=bytes.fromhex(today))
    with pytest.raises(SecureChannelError, match="usage 0080"):
        certificate.check(key.public_key(), usage=b"\x82")
    for flipped in flips(encoded):
        with pytest.raises((ProtocolError, SecureChannelError)):
            Certificate.parse(flipped).check(key.public_key(), usage=b"\x00\x80")
    for cut in range(len(encoded)):
        with pytest.raises(ProtocolError):
            Certificate.parse(encoded[:cut])


def test_what_can_t_be_asked_for() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for version, key_bytes in ((0, 16), (0x80, 16), (1, 17)):
        with pytest.raises(ProtocolError, match="no AES key set"):
            KeySetUp(key, version, key_bytes)
    with pytest.raises(ProtocolError, match="at most 16 bytes"):
        KeySetUp(key, 1, names=(bytes(17), b"", b""))
    assert repr(KeySetUp(key, 1)) == "KeySetUp(version=1, AES-128)"
