"""The card's own certificates, before its key is trusted."""

from __future__ import annotations

import datetime as dt
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from opentsm_card import tlv
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.scp11_kdf import Variant, encode_point
from opentsm_card.scp11_store import KeyReference
from opentsm_tools.card.agreement import domain_key
from opentsm_tools.card.scp11_entry import Scp11Entry
from scp11_host import own_chain
from scp11_pki import certificate, own_certificate

AUTHORITY: Final = ec.generate_private_key(ec.SECP256R1())
MIDDLE: Final = ec.generate_private_key(ec.SECP256R1())
DOMAIN: Final = ec.generate_private_key(ec.SECP256R1())
PUBLIC: Final = DOMAIN.public_key()


def entry() -> Scp11Entry:
    return Scp11Entry("here", Variant.B, 3, None, AUTHORITY.public_key(), None, (), KeyReference(0x10, 0))


def read(*certificates: bytes, sw: int = 0x9000) -> ec.EllipticCurvePublicKey:
    asked = []

    def plain(command: CommandApdu) -> ResponseApdu:
        asked.append(command.encode())
        return ResponseApdu(tlv.encode(0xBF21, b"".join(certificates)), sw)

    found = domain_key(entry(), plain)
    assert asked == [bytes.fromhex("80CABF2106A60483021303" + "00")]
    return found


def middle(*, authority: bool = True, signer: ec.EllipticCurvePrivateKey = AUTHORITY) -> bytes:
    made = certificate("middle", MIDDLE.public_key(), "authority", signer, authority=authority)
    return made.public_bytes(Encoding.DER)


def domain(key: ec.EllipticCurvePublicKey = PUBLIC, *, issuer: str = "middle", agreement: bool = True) -> bytes:
    return certificate("domain", key, issuer, MIDDLE, agreement=agreement).public_bytes(Encoding.DER)


def test_chains_of_both_kinds() -> None:
    assert encode_point(read(middle(), domain())) == encode_point(PUBLIC)
    assert encode_point(read(*own_chain(AUTHORITY, DOMAIN, [MIDDLE]))) == encode_point(PUBLIC)


def test_a_chain_that_does_not_lead_to_the_authority() -> None:
    p384 = ec.generate_private_key(ec.SECP384R1()).public_key()
    for wanted, certificates in (
        ("signature of certificate 1", (middle(signer=DOMAIN), domain())),
        ("signature of certificate 1", (domain(),)),
        ("certificate 1 is not for what it is used for", (middle(authority=False), domain())),
        ("certificate 2 is not for what it is used for", (middle(), domain(agreement=False))),
        ("certificate 2 names another issuer", (middle(), domain(issuer="centre"))),
        ("certificate 1 is not for what it is used for", (middle(),)),
        ("lead to domain_authority", (own_certificate(b"x", PUBLIC, b"authority", DOMAIN),)),
        ("store is empty", ()),
    ):
        with pytest.raises(SecureChannelError, match=wanted):
            read(*certificates)
    with pytest.raises(ProtocolError, match="P-256"):
        read(middle(), domain(p384))
    with pytest.raises(ProtocolError, match="certificate 1 of the card is malformed"):
        read(bytes.fromhex("3003020100"))
    with pytest.raises(SecureChannelError, match="shows no certificates of its key 0x13, version 0x03"):
        read(middle(), domain(), sw=0x6A88)


def test_out_of_date_and_other_kinds_of_key() -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "domain")])
    begin = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)

    def made(public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
        builder = x509.CertificateBuilder(name, name, public, 1, begin, begin + dt.timedelta(days=1))
        return builder.sign(AUTHORITY, hashes.SHA256()).public_bytes(Encoding.DER)

    with pytest.raises(SecureChannelError, match="certificate 1 is not valid today"):
        read(made(PUBLIC))
    with pytest.raises(SecureChannelError, match="certificate 1 is of no key on P-256"):
        read(made(rsa.generate_private_key(65537, 2048).public_key()))
