"""SCP11 of the security domain applet with our host: GlobalPlatform's certificates, blocks, key lengths, refusals."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from opentsm_card.apdu import CommandApdu
from opentsm_card.delete import DeleteKey
from opentsm_card.errors import SecureChannelError
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.install import InstallForInstall
from opentsm_card.privileges import Privilege
from opentsm_card.put_key import KeyData, PutKey
from opentsm_card.scp03 import Scp03Session
from opentsm_card.scp11 import KeyUsage, Scp11Agreement, Scp11Parameters, Variant
from opentsm_card.scp11_kdf import encode_point
from opentsm_card.scp11_store import (
    KeyReference,
    certificate_request,
    parse_authorities,
    parse_certificates,
    store_allow_list,
    store_authority,
    store_certificates,
)
from opentsm_card.store_data import DataStructure, StoreData
from scp11_host import AUTHORITY_VERSION, VERSION, Scp11Host, make, own_chain
from scp11_pki import own_certificate
from sd_host import BANK, ISD, ISD_KEYS, SD_MODULE, SD_PACKAGE, Host, keys

LIST = GetStatus.everything(Scope.APPLICATIONS)
AUTHORITY = KeyReference(0x10, AUTHORITY_VERSION)


@pytest.fixture
def host() -> Scp11Host:
    return make()


def stored(host: Scp11Host, data: bytes) -> int:
    """Store data in an SCP03 session."""
    isd = Host(host.link).into(ISD, ISD_KEYS)
    return isd.sw(StoreData(0, data, last=True, structure=DataStructure.BER_TLV))


@pytest.mark.parametrize("variant", [Variant.A, Variant.C])
@pytest.mark.parametrize("key_bytes", [16, 24, 32])
@pytest.mark.parametrize("usage", list(KeyUsage))
def test_sessions_with_every_key_length_and_usage(
    host: Scp11Host, variant: Variant, key_bytes: int, usage: KeyUsage
) -> None:
    host.open(variant, Scp11Parameters(usage, key_bytes))
    for _ in range(3):
        assert host.send(LIST).sw == 0x9000


def test_s16_has_long_macs() -> None:
    host = make("53")
    host.open(Variant.A, Scp11Parameters(key_bytes=32, mac_bytes=16))
    for _ in range(3):
        assert host.send(LIST).sw == 0x9000


@pytest.mark.parametrize("intermediates", [0, 1, 3])
@pytest.mark.parametrize("block_bytes", [0xFFFF, 100])
def test_chains_of_its_own_format(host: Scp11Host, intermediates: int, block_bytes: int) -> None:
    between = [ec.generate_private_key(ec.SECP256R1()) for _ in range(intermediates)]
    host.select()
    assert set(host.certify(own_chain(host.authority, host.key, between), block_bytes=block_bytes)) == {0x9000}
    agreement = host.agreement(Variant.A)
    host.session = agreement.open(host.plain(agreement.authenticate()).require("MUTUAL AUTHENTICATE"))
    assert host.send(LIST).sw == 0x9000


def test_scp11b_may_look_at_public_data_and_nothing_else(host: Scp11Host) -> None:
    host.open(Variant.B)
    assert host.send(CommandApdu(0x80, 0xCA, 0x00, 0x66, ne=256)).sw == 0x9000
    for command in (LIST.apdu(), DeleteKey(0x30).apdu(), StoreData(0, b"\x42\x01\x01", last=True).apdu()):
        assert host.send(command).sw == 0x6982
    assert host.send(CommandApdu(0x80, 0xCA, 0x00, 0xE0, ne=256)).sw == 0x9000


def test_a_script_of_scp11c_is_computed_ahead(host: Scp11Host) -> None:
    agreement = host.agreement(Variant.C)
    predicted, session = agreement.predict()
    wrapped = [session.wrap(LIST.apdu()) for _ in range(3)]
    host.select()
    assert host.certify() == [0x9000]
    assert host.plain(agreement.authenticate()).data == predicted
    assert [host.plain(command).sw for command in wrapped] == [0x9000] * 3


def test_certificates_are_named_by_whom_they_are_signed(host: Scp11Host) -> None:
    assert stored(host, store_authority(AUTHORITY, b"authority")) == 0x9000
    host.open(Variant.A)
    assert stored(host, store_authority(AUTHORITY, b"another")) == 0x9000
    assert parse_authorities(host.plain(CommandApdu(0x80, 0xCA, 0xFF, 0x33, ne=256)).data) == {AUTHORITY: b"another"}
    host.select()
    assert host.certify() == [0x6600]
    assert stored(host, store_authority(AUTHORITY, b"")) == 0x9000
    assert host.plain(CommandApdu(0x80, 0xCA, 0xFF, 0x33, ne=256)).sw == 0x6A88
    host.open(Variant.A)


def test_the_allow_list(host: Scp11Host) -> None:
    assert stored(host, store_allow_list(AUTHORITY, [b"\x05", b"\x01"])) == 0x9000
    host.open(Variant.A)
    assert stored(host, store_allow_list(AUTHORITY, [b"\x05"])) == 0x9000
    host.select()
    assert host.certify() == [0x6640]
    assert host.plain(host.agreement(Variant.A).authenticate()).sw == 0x6985


def test_the_certificate_store(host: Scp11Host) -> None:
    key = KeyReference(0x13, VERSION)
    bundle = tuple(own_chain(host.authority, host.domain[Variant.B], [host.authority]))
    assert stored(host, store_certificates(key, bundle)) == 0x9000
    request = CommandApdu(0x80, 0xCA, 0xBF, 0x21, certificate_request(key), 256)
    answer = host.plain(request)
    assert answer.sw >> 8 in {0x61, 0x90}
    data = answer.data
    while answer.sw >> 8 == 0x61:
        answer = host.plain(CommandApdu(0x80, 0xC0, 0x00, 0x00, ne=answer.sw & 0xFF or 256))
        data += answer.data
    assert parse_certificates(data) == bundle
    assert host.plain(CommandApdu(0x80, 0xCA, 0xBF, 0x21, ne=256)).sw == 0x6A80


@pytest.mark.parametrize(
    ("data", "sw"),
    [
        ("A6048302" + "1403" + "BF2100", 0x6A88),  # no such key
        ("A60383011370" + "00", 0x6A80),
        ("BF2100", 0x6A88),  # no key named
        ("A6048302" + "1303" + "7003940105", 0x6A80),  # no serial number
        ("A6078001024200" + "83021303", 0x6A80),
        ("FF3300", 0x6A88),
    ],
)
def test_what_can_not_be_stored(host: Scp11Host, data: str, sw: int) -> None:
    assert stored(host, bytes.fromhex(data)) == sw


def test_certificates_that_do_not_do(host: Scp11Host) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    public = host.key.public_key()
    good = own_chain(host.authority, host.key)[0]
    host.select()
    for certificates, sw in (
        ([own_certificate(b"host", public, b"authority", stranger)], 0x6600),
        ([own_certificate(b"host", public, b"authority", host.authority, authority=True)], 0x6A80),
        ([own_certificate(b"host", public, b"authority", host.authority, more=b"\xbf\x20\x02\x42\x00")], 0x6A81),
        ([good[:-1]], 0x6A80),
        ([good[:-1] + bytes((good[-1] ^ 1,))], 0x6600),
        ([b"\x7f\x21\x00"], 0x6A80),
        ([b"\x30\x00"], 0x6A80),
        ([b"\x42\x00"], 0x6A80),
    ):
        assert host.certify(certificates)[-1] == sw
        assert host.plain(host.agreement(Variant.A).authenticate()).sw == 0x6985
    host.open(Variant.A)


def test_every_flipped_bit_of_a_certificate_is_refused(host: Scp11Host) -> None:
    (certificate,) = own_chain(host.authority, host.key)
    host = Scp11Host(host.se, host.domain, host.authority, host.key, host.link)
    host.select()
    for position in range(len(certificate)):
        if position % 8 == 7:  # a good one in between, lest the authority's key be blocked
            assert host.certify() == [0x9000]
        changed = bytearray(certificate)
        changed[position] ^= 1 << position % 8
        assert host.certify([bytes(changed)])[-1] in {0x6600, 0x6A80}


def test_an_authority_whose_certificates_never_verify_is_blocked(host: Scp11Host) -> None:
    wrong = own_chain(ec.generate_private_key(ec.SECP256R1()), host.key)
    host.select()
    assert [host.certify(wrong) for _ in range(10)] == [[0x6600]] * 10
    assert host.certify() == [0x6983]


@pytest.mark.parametrize(
    ("position", "value", "sw"),
    [
        (4, 0x12, 0x6A80),  # SCP11's identifier
        (5, 0x00, 0x6A80),  # SCP11b's parameters with SCP11a's key
        (5, 0x05, 0x6A80),  # identifiers of host and card
        (8, 0x00, 0x6A80),  # key usage
        (11, 0x80, 0x6A80),  # DES
        (14, 0x11, 0x6A80),  # key length
        (18, 0x02, 0x6A80),  # a compressed point
        (82, 0xFF, 0x6A80),  # a point that is not on the curve
    ],
)
def test_requests_that_make_no_agreement(host: Scp11Host, position: int, value: int, sw: int) -> None:
    host.select()
    assert host.certify() == [0x9000]
    command = host.agreement(Variant.A).authenticate()
    data = bytearray(command.data)
    data[position] = value
    assert host.plain(CommandApdu(0x80, 0x82, command.p1, command.p2, bytes(data), 256)).sw == sw
    assert host.plain(command).sw == 0x6985  # the chain of certificates is used up
    assert host.certify() == [0x9000]
    assert host.plain(command).sw == 0x9000


def test_keys_that_are_not_there(host: Scp11Host) -> None:
    host.select()
    (certificate,) = own_chain(host.authority, host.key)
    assert host.plain(CommandApdu(0x80, 0x2A, 0x05, 0x10, certificate)).sw == 0x6A88
    assert host.plain(CommandApdu(0x80, 0x2A, AUTHORITY_VERSION, 0x11, certificate)).sw == 0x6A88  # no public key
    command = host.agreement(Variant.B).authenticate()
    for p1, p2 in ((0x05, 0x13), (VERSION, 0x12), (VERSION, 0x11)):
        assert host.plain(CommandApdu(0x80, 0x88, p1, p2, command.data, 256)).sw == 0x6A88
    assert host.plain(CommandApdu(0x80, 0x88, 0x00, 0x13, command.data, 256)).sw == 0x9000  # version 00: any


def test_mutual_authenticate_without_certificates(host: Scp11Host) -> None:
    host.select()
    assert host.plain(host.agreement(Variant.A).authenticate()).sw == 0x6985
    assert host.certify() == [0x9000]
    host.select()  # a chain belongs to its selection
    assert host.plain(host.agreement(Variant.A).authenticate()).sw == 0x6985


def test_another_host_s_certificate_gives_no_session(host: Scp11Host) -> None:
    host.select()
    other = own_chain(host.authority, ec.generate_private_key(ec.SECP256R1()))
    assert host.certify(other) == [0x9000]
    agreement = host.agreement(Variant.A)
    with pytest.raises(SecureChannelError):
        agreement.open(host.plain(agreement.authenticate()).require("MUTUAL AUTHENTICATE"))


def test_variants_that_i_does_not_have() -> None:
    host = make("02")
    host.select()
    assert host.certify() == [0x9000]
    assert host.plain(host.agreement(Variant.A).authenticate()).sw == 0x6A88
    host.open(Variant.B)


def test_a_domain_without_scp11_knows_none_of_its_commands() -> None:
    host = Host(make().se.link())
    isd = host.into(ISD, ISD_KEYS)
    isd.done(InstallForInstall(SD_PACKAGE, SD_MODULE, BANK, Privilege.SECURITY_DOMAIN))
    isd.into(BANK, ISD_KEYS)
    own = keys(0x31, 5)
    isd.put_keys(own).require("PUT KEY")
    isd.select(BANK)
    assert isd.plain(CommandApdu(0x80, 0x2A, 0x01, 0x10, b"\x30\x00")).sw == 0x6D00
    assert isd.plain(CommandApdu(0x80, 0x88, 0x01, 0x13, b"\x30\x00")).sw == 0x6D00
    assert isd.plain(CommandApdu(0x80, 0x82, 0x01, 0x11, b"\x30\x00")).sw == 0x6985


def test_a_domain_whose_only_keys_are_of_scp11_is_opened_with_them(host: Scp11Host) -> None:
    isd = Host(host.link).into(ISD, ISD_KEYS)
    parameters = bytes.fromhex("C904" + "81021113")
    isd.done(InstallForInstall(SD_PACKAGE, SD_MODULE, BANK, Privilege.SECURITY_DOMAIN, parameters))
    isd.into(BANK, ISD_KEYS)
    assert isd.session is not None
    private = host.domain[Variant.A].private_numbers().private_value.to_bytes(32, "big")
    isd.done(PutKey(0, VERSION, 0x11, (KeyData.ecc_private(private, isd.session.encrypt_sensitive),)))
    assert isd.sw(
        PutKey(0, AUTHORITY_VERSION, 0x10, (KeyData.ecc_public(encode_point(host.authority.public_key())),))
    ) == (0x9000)
    isd.select(BANK)
    assert isd.plain(Scp03Session.initialize_update(0x30, bytes(8))).sw == 0x6A88  # not the domain above any more
    assert host.certify() == [0x9000]
    agreement = host.agreement(Variant.A)
    host.session = agreement.open(host.plain(agreement.authenticate()).require("MUTUAL AUTHENTICATE"))
    assert host.send(LIST).sw == 0x9000
    assert host.send(DeleteKey(VERSION)).sw == 0x6985  # its last


def test_certificates_beyond_what_a_card_keeps(host: Scp11Host) -> None:
    host.select()
    commands = Scp11Agreement.certificate_commands([bytes(1200)], AUTHORITY_VERSION, block_bytes=200)
    assert [host.plain(command).sw for command in commands] == [0x9000] * 5 + [0x6A84]
    host.open(Variant.A)


def test_certificates_in_chained_blocks_and_signed_in_der(host: Scp11Host) -> None:
    """As Samsung's OpenSCP-Java sends them: command chaining and P1 b8 at once; 5F37 in DER."""
    (certificate,) = own_chain(host.authority, host.key)
    signed = certificate[4:].split(b"\x5f\x37")[0]
    der = host.authority.sign(signed, ec.ECDSA(hashes.SHA256()))
    value = signed + b"\x5f\x37" + bytes((len(der),)) + der
    other = b"\x7f\x21\x81" + bytes((len(value),)) + value
    host.select()
    for start in range(0, len(other), 60):
        more = start + 60 < len(other)
        command = CommandApdu(
            0x90 if more else 0x80,
            0x2A,
            AUTHORITY_VERSION | (0x80 if more else 0),
            0x10,
            other[start : start + 60],
            256,
        )
        assert host.plain(command).sw == 0x9000
    agreement = host.agreement(Variant.A)
    host.session = agreement.open(host.plain(agreement.authenticate()).require("MUTUAL AUTHENTICATE"))
    assert host.send(LIST).sw == 0x9000
