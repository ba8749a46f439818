"""A parser raises `ProtocolError` (a secure channel `SecureChannelError` too) or returns; anything else is a bug."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu, ResponseApdu
from opentsm_card.atr import Atr
from opentsm_card.commands import parse_command
from opentsm_card.ef_atr import EfAtr
from opentsm_card.errors import CardError, ProtocolError, SecureChannelError
from opentsm_card.external_authenticate import SecurityLevel
from opentsm_card.get_status import Scope
from opentsm_card.initialize_update import InitializeUpdateAnswer, Scp02Answer, answer_protocol
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.keys import KeySet
from opentsm_card.privileges import Privilege
from opentsm_card.put_key import KeyData, PutKeyAnswer
from opentsm_card.registry import RegistryEntry, parse_get_status
from opentsm_card.scp02 import Scp02Session
from opentsm_card.scp03 import Scp03Session, predict
from opentsm_card.scp03_card import Scp03Card
from opentsm_card.scp11 import Scp11Agreement, Variant
from opentsm_card.scp11_certificate import OwnCertificate
from opentsm_card.scp11_store import parse_authorities, parse_certificates
from opentsm_card.store_data import parse_dgis
from opentsm_card.transmission.parameters import TransmissionParameters
from opentsm_card.transmission.pps import Pps
from opentsm_card.transmission.t1_block import Block, checksum

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = KeySet(0x30, b"\x01" * 16, b"\x02" * 16, b"\x03" * 16)
DES_KEYS = KeySet(0x20, b"\x01" * 16, b"\x02" * 16, b"\x03" * 16, des=True)
DOMAIN = ec.derive_private_key(5, ec.SECP256R1())
AGREEMENT = Scp11Agreement(Variant.C, 3, DOMAIN.public_key(), DOMAIN, ephemeral=DOMAIN)
AID = Aid.from_text("A000000151000000")
INSTRUCTIONS = st.sampled_from([0x50, 0x70, 0x78, 0x7A, 0x82, 0xA4, 0xCA, 0xD8, 0xE2, 0xE4, 0xE6, 0xE8, 0xF0, 0xF2])
P1 = st.sampled_from([0x00, 0x01, 0x02, 0x04, 0x08, 0x0C, 0x0E, 0x10, 0x20, 0x40, 0x60, 0x80]) | st.integers(0, 255)

# Bytes that look like what cards and hosts send: tags and short lengths between arbitrary ones.
PIECES = st.sampled_from(
    [b"\x4f\x05\xa0\x00\x00\x01\x51", b"\x9f\x70\x02\x07\x01", b"\xc5\x03\x80\x00\x00", b"\xe3\x10", b"\xe3\x81\x80",
     b"\x7f\x21\x10", b"\xbf\x21\x08\x30", b"\x5f\x49\x41\x04", b"\xff\x33\x07\x42\x01\xaa\x83\x02\x10\x02",
     b"\x5c\x02\x4f\x9f", b"\xd2\x01\x30", b"\x05\xa0\x00\x00\x01\x51", b"\x00\x00", b"\x88\x11\x10", b"\x80", b"\xff"]
)  # fmt: skip
BYTES = st.binary(max_size=60) | st.lists(PIECES | st.binary(max_size=8), max_size=12).map(b"".join)

PARSERS: list[Callable[[bytes], object]] = [
    CommandApdu.parse,
    ResponseApdu.parse,
    Aid,
    tlv.parse_all,
    tlv.parse_one,
    tlv.parse_padded,
    EfAtr.parse,
    tlv.parse_tags,
    Privilege.parse,
    InitializeUpdateAnswer.parse,
    InstallParameters.parse,
    PutKeyAnswer.parse,
    parse_dgis,
    lambda data: RegistryEntry.parse(data, Scope.APPLICATIONS),
    lambda data: parse_get_status(Scope.LOAD_FILES, [ResponseApdu(data)]),
    lambda data: Scp03Session.open(KEYS, bytes(8), data),
    Scp02Answer.parse,
    answer_protocol,
    lambda data: Scp02Session.open(DES_KEYS, bytes(8), data, 0x15),
    AGREEMENT.open,
    OwnCertificate.parse,
    parse_certificates,
    parse_authorities,
    Pps.parse,
    lambda data: Block.parse(data + checksum(data, crc=False), crc=False),
    lambda data: TransmissionParameters.from_atr(Atr.parse(b"\x3b" + data)).extra_guard_s(3.57e6, rate=(372, 1)),
]


@pytest.mark.parametrize("parser", PARSERS)
@settings(max_examples=150)
@given(data=BYTES)
def test_any_bytes(parser: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(ProtocolError, SecureChannelError):
        parser(data)


@settings(max_examples=800)
@given(st.sampled_from([0x00, 0x80, 0x84, 0xC0]), INSTRUCTIONS, P1, st.integers(0, 255), BYTES)
def test_any_command(cla: int, ins: int, p1: int, p2: int, data: bytes) -> None:
    try:
        command = parse_command(CommandApdu(cla, ins, p1, p2, data))
    except ProtocolError:
        return
    again = parse_command(command.apdu())
    assert again == command  # whatever is taken is sent the same


@settings(max_examples=150)
@given(st.integers(0, 255), BYTES, st.binary(max_size=4))
def test_any_key(key_type: int, component: bytes, check_value: bytes) -> None:
    if not component:
        return
    with contextlib.suppress(ProtocolError, SecureChannelError):
        KeyData(key_type, component, check_value).decrypt_aes(KEYS.dek)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from([0x50, 0x82, 0xE2]), st.integers(0, 255), BYTES), max_size=4))
def test_any_conversation_with_the_card(commands: list[tuple[int, int, bytes]]) -> None:
    card = Scp03Card(KEYS, aid=AID, diversification_data=bytes(10))
    for ins, p1, data in commands:
        apdu = CommandApdu(0x80 if ins == 0x50 else 0x84, ins, p1, 0, data)
        step: Callable[[CommandApdu], object] = {
            0x50: card.initialize_update,
            0x82: card.external_authenticate,
            0xE2: card.unwrap,
        }[ins]
        try:
            step(apdu)
        except (ProtocolError, SecureChannelError, CardError):
            continue
        assert ins == 0x50  # nothing made up is ever authentic


@settings(max_examples=150)
@given(BYTES, st.integers(0, 0xFFFF))
def test_any_response(data: bytes, sw: int) -> None:
    _, session = predict(KEYS, bytes(8), sequence_counter=1, aid=AID, diversification_data=bytes(10))
    session.external_authenticate(SecurityLevel.ALL)
    session.wrap(CommandApdu(0x80, 0xF2, 0x40, 0x02, b"\x4f\x00"))
    try:
        answer = session.unwrap(ResponseApdu(data, sw))
    except SecureChannelError:
        return
    assert answer == ResponseApdu(b"", sw)
    assert sw != 0x9000
