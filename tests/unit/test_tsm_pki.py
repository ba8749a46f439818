from __future__ import annotations

import datetime as dt
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card.errors import ProtocolError
from opentsm_tsm import pki

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="authority", scope="module")
def _authority() -> pki.CertificateAuthority:
    return pki.CertificateAuthority.create("test CA")


def test_a_certificate_says_whom_it_speaks_for(authority: pki.CertificateAuthority) -> None:
    certificate = authority.issue(pki.create_key().public_key(), [("se", "ese-1"), ("se", "uicc-1")])
    who = pki.identity(certificate)
    assert who.ids("se") == ("ese-1", "uicc-1")
    assert who.ids("sp") == ()
    assert who.fingerprint == pki.fingerprint(certificate)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.oid.ExtendedKeyUsageOID.SERVER_AUTH not in usage
    certificate.verify_directly_issued_by(authority.certificate)


def test_a_device_is_the_same_by_its_key(authority: pki.CertificateAuthority) -> None:
    key = pki.create_key().public_key()
    first, renewed, another = (
        pki.identity(authority.issue(each, [("se", "ese-1")])) for each in (key, key, pki.create_key().public_key())
    )
    assert first.fingerprint != renewed.fingerprint
    assert first.key == renewed.key
    assert first.key != another.key


def test_names_of_other_schemes_are_no_identity(authority: pki.CertificateAuthority) -> None:
    server = authority.issue(pki.create_key().public_key(), [], hosts=["127.0.0.1", "tsm.example"])
    assert pki.identity(server).names == ()
    assert pki.identity(authority.certificate).names == ()
    with pytest.raises(ProtocolError, match="not a certificate"):
        pki.identity(b"nonsense")


@pytest.mark.parametrize(("role", "name"), [("root", "x"), ("sp", ""), ("sp", "a b"), ("se", "ü")])
def test_only_known_roles_and_plain_ids_are_issued(authority: pki.CertificateAuthority, role: str, name: str) -> None:
    with pytest.raises(ProtocolError, match="no identity"):
        authority.issue(pki.create_key().public_key(), [(role, name)])


def test_a_request_proves_its_key() -> None:
    key = pki.create_key()
    pem = pki.create_request(key, "agent")
    assert pki.load_request(pem).public_numbers() == key.public_key().public_numbers()
    der = bytearray(ssl.PEM_cert_to_DER_cert(pem.decode().replace(" REQUEST", "")))
    der[-5] ^= 1
    changed = ssl.DER_cert_to_PEM_cert(bytes(der)).replace("CERTIFICATE", "CERTIFICATE REQUEST").encode()
    with pytest.raises(ProtocolError, match="certificate request"):
        pki.load_request(changed)
    with pytest.raises(ProtocolError, match="not a PEM certificate request"):
        pki.load_request(b"nonsense")


def test_the_authority_survives_on_disk_with_its_key_private(
    authority: pki.CertificateAuthority, tmp_path: Path
) -> None:
    authority.save(tmp_path / "ca.pem", tmp_path / "ca.key")
    assert (tmp_path / "ca.key").stat().st_mode & 0o077 == 0
    loaded = pki.CertificateAuthority.load(tmp_path / "ca.pem", tmp_path / "ca.key")
    loaded.issue(pki.create_key().public_key(), [("sp", "x")]).verify_directly_issued_by(authority.certificate)
    with pytest.raises(FileExistsError):
        authority.save(tmp_path / "ca.pem", tmp_path / "ca.key")


def test_a_certificate_ends(authority: pki.CertificateAuthority) -> None:
    over = authority.issue(pki.create_key().public_key(), [("sp", "x")], valid=dt.timedelta(days=-1))
    assert pki.identity(over).not_after < dt.datetime.now(dt.UTC).timestamp()


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
def test_enrolment_codes_parse_as_they_are_typed(secret: bytes, pin: bytes) -> None:
    code = pki.EnrolmentCode(secret, pin)
    assert pki.EnrolmentCode.parse(f" {code.encode().lower()}\n") == code
    assert code.first not in repr(code)


@given(st.text(max_size=120))
def test_other_text_is_no_enrolment_code(text: str) -> None:
    try:
        code = pki.EnrolmentCode.parse(text)
    except ProtocolError:
        return
    assert len(code.secret) == 16
    assert len(code.ca_fingerprint) == 32
