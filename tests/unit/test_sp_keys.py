"""The temporary keys' way to the SP, and the key information that the SP reads from the SE."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import ECKey

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_tsm import pki
from opentsm_tsm.messages import KeySetDocument
from opentsm_tsm.sp.rotation import parse_key_information
from opentsm_tsm.sp.wrapping import unwrap_key_set
from opentsm_tsm.wire import Hex, encode

KEY = pki.create_key()
PRIVATE = pki.key_pem(KEY)
DOCUMENT = KeySetDocument(
    sd=Hex(bytes.fromhex("F06F70656E74736D0A0001")),
    version=48,
    enc=Hex(b"\x01" * 16),
    mac=Hex(b"\x02" * 16),
    dek=Hex(b"\x03" * 16),
)


def wrapped(plaintext: bytes, alg: str = "ECDH-ES+A256KW", enc: str = "A256GCM") -> str:
    public = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return jwe.encrypt_compact({"alg": alg, "enc": enc}, plaintext, ECKey.import_key(public), algorithms=[alg, enc])


def test_a_key_set_is_unwrapped_and_not_shown() -> None:
    keys = unwrap_key_set(wrapped(encode(DOCUMENT)), PRIVATE)
    assert keys == DOCUMENT
    assert "0101" not in repr(keys)


def test_a_key_set_for_someone_else_does_not_open() -> None:
    with pytest.raises(SecureChannelError):
        unwrap_key_set(wrapped(encode(DOCUMENT)), pki.key_pem(pki.create_key()))


@pytest.mark.parametrize(("alg", "enc"), [("ECDH-ES", "A256GCM"), ("ECDH-ES+A128KW", "A256GCM")])
def test_other_algorithms_are_not_taken(alg: str, enc: str) -> None:
    with pytest.raises(SecureChannelError):
        unwrap_key_set(wrapped(encode(DOCUMENT), alg, enc), PRIVATE)


def test_a_changed_one_does_not_open() -> None:
    head, *middle, tag = wrapped(encode(DOCUMENT)).split(".")
    for text in ("", "a.b", ".".join([head, *middle, tag[::-1]]), "x" * 10_000):
        with pytest.raises((SecureChannelError, ProtocolError)):
            unwrap_key_set(text, PRIVATE)


@pytest.mark.parametrize("plaintext", [b"", b"{}", b'{"sd":"00","version":1,"enc":"zz","mac":"","dek":""}'])
def test_what_is_no_key_set_is_refused(plaintext: bytes) -> None:
    with pytest.raises(ProtocolError):
        unwrap_key_set(wrapped(plaintext), PRIVATE)


def information(*versions: int) -> bytes:
    keys = (tlv.encode(0xC0, bytes((number, version, 0x88, 16))) for version in versions for number in (1, 2, 3))
    return tlv.encode(0xE0, b"".join(keys))


def test_key_information_gives_the_versions() -> None:
    assert parse_key_information(information(1, 48)) == {1, 48}
    assert parse_key_information(information()) == set()


def test_truncated_key_information_is_refused_at_every_offset() -> None:
    whole = information(1)
    for end in range(len(whole)):
        with pytest.raises(ProtocolError):
            parse_key_information(whole[:end])


@given(st.binary(max_size=60))
def test_only_protocol_errors_come_of_garbage(data: bytes) -> None:
    try:
        parse_key_information(data)
    except ProtocolError:
        return
