from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import cmac, hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import algorithms

from opentsm_card import tlv
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.scp11 import KeyUsage, Scp11Agreement, Scp11Parameters, Variant
from opentsm_card.scp11_certificate import CertificateUsage, OwnCertificate, verify_chain
from opentsm_card.scp11_kdf import AgreedKeys, decode_point, encode_point
from opentsm_card.scp11_store import (
    KeyReference,
    certificate_request,
    parse_authorities,
    parse_certificates,
    store_allow_list,
    store_authority,
    store_certificates,
)
from scp11_pki import own_certificate, point

SESSIONS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "scp11-dialogues.json").read_text(encoding="utf-8")
)["sessions"]
DOMAIN, HOST, EPHEMERAL, AUTHORITY = (ec.derive_private_key(number, ec.SECP256R1()) for number in (11, 12, 13, 14))
COMMAND = CommandApdu(0x80, 0xCA, 0x00, 0x66, ne=256)


def answer_of_a_card(variant: Variant, request: CommandApdu, host_static: ec.EllipticCurvePrivateKey) -> bytes:
    """Answer as Amendment F has it, written from the document alone: secrets, X9.63 by hand, receipt."""
    reference, host_point = tlv.parse_all(request.data)
    usage, kind, length = (tlv.find(reference.children(), tag) for tag in (0x95, 0x80, 0x81))
    assert usage is not None
    assert kind is not None
    assert length is not None
    information = usage + kind + length
    host = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), host_point.value)
    own = DOMAIN if variant is Variant.C else ec.derive_private_key(99, ec.SECP256R1())
    static = host if variant is Variant.B else host_static.public_key()
    secret = own.exchange(ec.ECDH(), host) + DOMAIN.exchange(ec.ECDH(), static)
    derived = b""
    for counter in range(1, 6):
        digest = hashes.Hash(hashes.SHA256())
        digest.update(secret + counter.to_bytes(4, "big") + information)
        derived += digest.finalize()
    key = derived[: length[0]]
    public = b"\x5f\x49\x41" + point(own)
    mac = cmac.CMAC(algorithms.AES(key))
    mac.update(request.data + public)
    return public + b"\x86\x10" + mac.finalize()


def agreement(variant: Variant, parameters: Scp11Parameters | None = None) -> Scp11Agreement:
    return Scp11Agreement(
        variant,
        3,
        DOMAIN.public_key(),
        None if variant is Variant.B else HOST,
        parameters=parameters or Scp11Parameters(),
        ephemeral=EPHEMERAL,
    )


@pytest.mark.parametrize("variant", list(Variant))
@pytest.mark.parametrize("key_bytes", [16, 24, 32])
@pytest.mark.parametrize("usage", list(KeyUsage))
def test_agreement_with_a_card_written_from_the_document(variant: Variant, key_bytes: int, usage: KeyUsage) -> None:
    wanted = agreement(variant, Scp11Parameters(usage, key_bytes))
    command = wanted.authenticate()
    assert (command.ins, command.p1, command.p2) == (variant.ins, 3, variant.key_id)
    session = wanted.open(answer_of_a_card(variant, command, HOST))
    assert session.level == usage.level
    assert session.wrap(COMMAND).secured


def test_the_answer_of_scp11c_is_known_ahead() -> None:
    predicted, session = agreement(Variant.C).predict()
    assert predicted == answer_of_a_card(Variant.C, agreement(Variant.C).authenticate(), HOST)
    live = agreement(Variant.C).open(predicted)
    assert live.wrap(COMMAND) == session.wrap(COMMAND)
    for variant in (Variant.A, Variant.B):
        with pytest.raises(ProtocolError, match="ephemeral"):
            agreement(variant).predict()


@pytest.mark.parametrize("variant", list(Variant))
def test_an_answer_changed_or_cut_anywhere_is_refused(variant: Variant) -> None:
    wanted = agreement(variant)
    answer = answer_of_a_card(variant, wanted.authenticate(), HOST)
    for position in range(len(answer)):
        with pytest.raises((SecureChannelError, ProtocolError)):
            wanted.open(answer[:position] + bytes((answer[position] ^ 0x01,)) + answer[position + 1 :])
        with pytest.raises(ProtocolError):
            wanted.open(answer[:position])


def test_keys_of_who_does_not_hold_them() -> None:
    stranger = ec.derive_private_key(77, ec.SECP256R1())
    wanted = agreement(Variant.A)
    with pytest.raises(SecureChannelError, match="receipt"):
        wanted.open(answer_of_a_card(Variant.A, wanted.authenticate(), stranger))


def test_what_an_agreement_needs() -> None:
    with pytest.raises(ProtocolError, match="needs a host key"):
        Scp11Agreement(Variant.A, 3, DOMAIN.public_key())
    with pytest.raises(ProtocolError, match="no host key"):
        Scp11Agreement(Variant.B, 3, DOMAIN.public_key(), HOST)
    with pytest.raises(ProtocolError, match="P-256"):
        Scp11Agreement(Variant.B, 3, ec.derive_private_key(5, ec.SECP384R1()).public_key())
    with pytest.raises(ProtocolError):
        Scp11Parameters(key_bytes=20)
    with pytest.raises(ProtocolError):
        Scp11Agreement.certificate_commands([], 1)


def test_points() -> None:
    assert decode_point(encode_point(HOST.public_key())).public_numbers() == HOST.public_key().public_numbers()
    for wrong in (b"", bytes(65), b"\x04" + bytes(64), encode_point(HOST.public_key())[:-1] + b"\x00"):
        with pytest.raises(ProtocolError):
            decode_point(wrong)


def test_secrets_do_not_show() -> None:
    wanted = agreement(Variant.A)
    session = wanted.open(answer_of_a_card(Variant.A, wanted.authenticate(), HOST))
    assert repr(session) == "Scp11Session(SCP11a, level 33, alive=True)"
    assert repr(wanted) == "Scp11Agreement(SCP11a, key version 0x03)"
    assert repr(AgreedKeys.derive(bytes(32), bytes(32), KeyUsage.ALL, 16)) == "AgreedKeys(…)"


def test_long_certificates_come_in_blocks() -> None:
    commands = Scp11Agreement.certificate_commands([bytes(300), bytes(20)], 2, block_bytes=255)
    assert [(command.p1, command.p2, len(command.data)) for command in commands] == [
        (0x82, 0x90, 255),
        (0x02, 0x90, 45),
        (0x02, 0x10, 20),
    ]


def certificate(**changes: object) -> OwnCertificate:
    made = OwnCertificate(
        b"\x01", b"authority", b"host", CertificateUsage.AGREEMENT, "20541231", point(HOST), effective="20240101"
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_a_certificate_reads_as_it_was_made() -> None:
    for made in (certificate(), certificate(effective=None), certificate(usage=CertificateUsage.AUTHORITY)):
        signed = made.signed(AUTHORITY)
        parsed = OwnCertificate.parse(signed.encode())
        assert parsed == signed
        parsed.verify(AUTHORITY.public_key())
    foreign = own_certificate(b"host", HOST.public_key(), b"authority", AUTHORITY)
    OwnCertificate.parse(foreign).verify(AUTHORITY.public_key())


def read_and_verify(encoded: bytes) -> None:
    OwnCertificate.parse(encoded).verify(AUTHORITY.public_key())


def test_a_certificate_changed_or_cut_anywhere_is_refused() -> None:
    encoded = certificate().signed(AUTHORITY).encode()
    for position in range(len(encoded)):
        with pytest.raises(ProtocolError):
            OwnCertificate.parse(encoded[:position])
        changed = encoded[:position] + bytes((encoded[position] ^ 0x01,)) + encoded[position + 1 :]
        with pytest.raises((ProtocolError, SecureChannelError)):
            read_and_verify(changed)


def test_an_unsigned_certificate_is_none() -> None:
    with pytest.raises(ProtocolError, match="signature"):
        certificate().encode()
    with pytest.raises(ProtocolError, match="date"):
        certificate(expiration="soon").signed(AUTHORITY)


def test_chains() -> None:
    middle = certificate(subject=b"middle", usage=CertificateUsage.AUTHORITY, point=point(EPHEMERAL)).signed(AUTHORITY)
    last = certificate(issuer=b"middle").signed(EPHEMERAL)
    assert verify_chain([middle, last], AUTHORITY.public_key()).public_numbers() == HOST.public_key().public_numbers()
    for wrong in ([], [last], [middle], [middle, certificate(issuer=b"other").signed(EPHEMERAL)], [last, middle]):
        with pytest.raises(SecureChannelError):
            verify_chain(wrong, AUTHORITY.public_key())


def test_what_is_stored() -> None:
    key = KeyReference(0x13, 3)
    assert certificate_request(key).hex() == "a60483021303"
    assert store_certificates(key, [b"\x30\x00"]).hex() == "a60483021303bf21023000"
    assert store_allow_list(key, [b"\x05", b"\x06\x07"]).hex() == "a6048302130370079301059302" + "0607"
    assert store_authority(key, b"\xaa", of_cards=True).hex() == "a60a8001014201aa83021303"
    assert KeyReference.parse(key.encode()) == key
    with pytest.raises(ProtocolError):
        KeyReference(0x80, 1).encode()
    with pytest.raises(ProtocolError):
        KeyReference.parse(b"\x01")


def test_what_is_read() -> None:
    assert parse_certificates(bytes.fromhex("BF21083001AA7F2102BBCC")) == (
        bytes.fromhex("3001AA"),
        bytes.fromhex("7F2102BBCC"),
    )
    assert parse_authorities(bytes.fromhex("FF330742" + "01AA83021002")) == {KeyReference(0x10, 2): b"\xaa"}
    for wrong in ("BF2002BBCC", "BF21020400", "BF2103"):
        with pytest.raises(ProtocolError):
            parse_certificates(bytes.fromhex(wrong))
    for wrong in ("FF35074201AA83021002", "FF33034201AA", "FF330783021002" + "4201AA"):
        with pytest.raises(ProtocolError):
            parse_authorities(bytes.fromhex(wrong))


def certified_key(certificate: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a certificate of either format."""
    found = tlv.parse_one(certificate)
    if found.tag == 0x30:
        key = x509.load_der_x509_certificate(certificate).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return key
    public = tlv.find(found.children(), 0x7F49)
    assert public is not None
    encoded = tlv.find(tlv.parse_all(public), 0xB0)
    assert encoded is not None
    return decode_point(encoded)


@pytest.mark.parametrize("vector", SESSIONS, ids=lambda vector: vector["name"])
def test_another_implementation_s_sessions(vector: dict[str, Any]) -> None:
    private, ephemeral = (
        ec.derive_private_key(int(vector[name], 16), ec.SECP256R1()) for name in ("host_key", "ephemeral_key")
    )
    domain = certified_key(parse_certificates(bytes.fromhex(vector["certificate_store"]))[-1])
    assert (
        certified_key(bytes.fromhex(vector["host_certificate"])).public_numbers()
        == private.public_key().public_numbers()
    )
    parameters = Scp11Parameters(KeyUsage.ALL, vector["key_bytes"], vector["mac_bytes"])
    wanted = Scp11Agreement(
        Variant[vector["variant"]], vector["key_version"], domain, private, parameters=parameters, ephemeral=ephemeral
    )
    assert wanted.authenticate().encode().hex() == vector["authenticate"]["command"]
    session = wanted.open(bytes.fromhex(vector["authenticate"]["response_data"]))
    for exchange in vector["exchanges"]:
        plain = CommandApdu.parse(bytes.fromhex(exchange["plain_command"]))
        assert session.wrap(plain).encode().hex() == exchange["wrapped_command"]
        response = ResponseApdu(bytes.fromhex(exchange["wrapped_response_data"]), int(exchange["status"], 16))
        assert session.unwrap(response).data.hex() == exchange["plain_response_data"]
