"""Arbitrary commands in a session: the applets answer a status word of their own, never 6F00 (a Java exception)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from opentsm_card.apdu import CommandApdu
from opentsm_card.install import InstallForPersonalization
from opentsm_card.scp03 import SecurityLevel
from opentsm_card.store_data import StoreData
from opentsm_simulator import VirtualSe
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    CRS,
    ISD,
    ISD_KEYS,
    PPSE,
    Host,
    block,
    keys,
    payment_parameters,
    service_provider,
)

BANK_KEYS = keys(0x31, 1)

_INS = st.sampled_from((0xD8, 0xE2, 0xE4, 0xE6, 0xE8, 0xF0, 0xF2, 0xCA))
_P1 = st.sampled_from((0, 1, 2, 4, 8, 0x0C, 0x10, 0x20, 0x40, 0x60, 0x80, 0x90, 0x88, 0xC0, 0x30)) | st.integers(0, 255)
_P2 = st.sampled_from((0, 1, 2, 3, 0x80, 0x81, 0x66, 0xE0)) | st.integers(0, 255)

# Pieces of which real commands are made, so that structures come about, and break.
_PIECE = st.sampled_from(
    (
        b"\x4f\x00",
        b"\x4f\x08" + ISD,
        b"\x4f",
        b"\x5c\x03\x4f\x9f\x70",
        b"\x5c\x01\x9f",
        b"\xd2\x01\x30",
        b"\xd0\x01\x01",
        b"\xd0\x00",
        b"\x31\x88\x11\x10" + bytes(16) + b"\x00",
        b"\x88\x10" + bytes(16) + b"\x03\x00\x00\x00",
        b"\x42\x04\x01\x02\x03\x04",
        b"\x00\x70\x03\x42\x01\x01",
        b"\x0a\xf0\x6f\x70\x65\x6e\x74\x73\x6d\x01\x01",
        b"\x0b\xf0\x6f\x70\x65\x6e\x74\x73\x6d\x01\x01\x01",
        b"\x0c" + CARD_1,
        b"\x01\x00",
        b"\x03\x80\x00\x00",
        b"\x02\xc9\x00",
        b"\xc9\x81\x7f",
        b"\x82\xff\xff",
        b"\x00",
    )
)
_DATA = st.lists(_PIECE | st.binary(max_size=24), max_size=8).map(b"".join).map(lambda data: data[:230])


@settings(max_examples=150)
@given(ins=_INS, p1=_P1, p2=_P2, data=_DATA)
def test_security_domain(ins: int, p1: int, p2: int, data: bytes) -> None:
    host = _issuer()
    sw = host.sw(CommandApdu(0x80, ins, p1, p2, data, 256))
    assert sw != 0x6F00
    if sw != 0x9000 or ins not in {0xD8, 0xF0}:  # which may replace the keys, or end the card
        host.into(ISD, ISD_KEYS, SecurityLevel.C_MAC)


def _issuer() -> Host:
    return Host(VirtualSe.create("embedded").link()).into(ISD, ISD_KEYS, SecurityLevel.C_MAC)


_CRS_PIECE = st.sampled_from(
    (
        b"\x4f\x00",
        b"\x4f\x05" + bytes(CARD_1)[:5],
        b"\x4f\x0c" + CARD_1,
        b"\x4f\x0e" + PPSE,
        b"\x4f\x0c" + CARD_2,
        b"\x9f\x70\x02\x07\x01",
        b"\x87\x01\x20",
        b"\x88\x01\x00",
        b"\x5c\x03\x4f\x9f\x70",
        b"\x5c\x05\x7f\x20\x80\xa2\xa6",
        b"\x5c\x01\x9f",
        b"\x80\x01\x40",
        b"\x4f\x81\x05",
        b"\x4f",
    )
)
_CRS_COMMAND = st.tuples(
    st.sampled_from((0x80, 0x80, 0x80, 0x81, 0x84, 0x00)),
    st.sampled_from((0xF2, 0xF2, 0xF0, 0xF0, 0xCA, 0xA4, 0x00)),
    st.sampled_from((0x40, 0x01, 0x02, 0x04, 0x80, 0x00)) | st.integers(0, 255),
    st.sampled_from((0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0xA5)) | st.integers(0, 255),
    st.lists(_CRS_PIECE | st.binary(max_size=12), max_size=6).map(b"".join),
)


@settings(max_examples=60)
@given(commands=st.lists(_CRS_COMMAND, min_size=1, max_size=12))
def test_the_crs_application(commands: list[tuple[int, int, int, int, bytes]]) -> None:
    se = VirtualSe.create("embedded")
    host = Host(se.link()).into(ISD, ISD_KEYS)
    host.new_payment(CARD_1)
    host.select(CRS)
    for cla, ins, p1, p2, data in commands:
        answer = host.plain(CommandApdu(cla, ins, p1, p2, data[:255], 256))
        assert answer.sw != 0x6F00
        assert len(answer.data) <= 256
    # Whatever it was told, it still answers, and the card is as whole as before.
    assert host.select(CRS).sw == 0x9000
    assert host.plain(CommandApdu(0x80, 0xF2, 0x40, 0x00, b"\x4f\x00", 256)).sw == 0x9000
    assert {entry.aid for entry in host.into(ISD, ISD_KEYS).registry().applications} == {PPSE, CRS, CARD_1}


_TLV = st.tuples(
    st.sampled_from((b"\xc0", b"\xc1", b"\x5a", b"\x5f\x24", b"\x57", b"\x50", b"\xc3", b"\x5f")),
    st.binary(max_size=20) | st.just(bytes(16)) | st.just(bytes(3)),
    st.sampled_from((0, 0, 0, 0, 1, -1, 0x80)),
).map(lambda item: item[0] + bytes([max(0, len(item[1]) + item[2])]) + item[1])
_GROUP = st.lists(_TLV, max_size=6).map(b"".join).map(lambda data: data[:180])


@settings(max_examples=60)
@given(identifier=st.sampled_from((0x0101, 0x0201, 0x0202, 0x0203, 0x0204)), value=_GROUP, cut=st.integers(0, 4))
def test_payment_blocks_are_all_or_nothing(identifier: int, value: bytes, cut: int) -> None:
    se = VirtualSe.create("embedded")
    host = service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    host.new_payment(CARD_1, payment_parameters(most=2))
    host.extradite(CARD_1, BANK)
    host.into(BANK, BANK_KEYS)
    whole = block(7, identifier, value)
    host.done(InstallForPersonalization(CARD_1))
    sw = host.sw(StoreData(0, whole[: len(whole) - cut], last=True))
    assert sw != 0x6F00
    host.select(CARD_1)
    last = host.plain(CommandApdu(0x80, 0xCA, 0xDF, 0x01, ne=256)).data[3:]
    assert last == ((7).to_bytes(16, "big") if sw == 0x9000 else bytes(16))


@settings(max_examples=60)
@given(parameters=st.binary(max_size=40) | st.lists(_TLV, max_size=4).map(b"".join))
def test_install_parameters_of_any_kind(parameters: bytes) -> None:
    host = _issuer()
    parameters = parameters[:90]
    host.send(
        CommandApdu(
            0x80,
            0xE6,
            0x0C,
            0,
            bytes.fromhex("0AF06F70656E74736D01010BF06F70656E74736D010101")
            + b"\x0c"
            + CARD_1
            + b"\x01\x00"
            + bytes([len(parameters) + 2, 0xC9, len(parameters)])
            + parameters
            + b"\x00",
            256,
        )
    )
    if host.entry(CARD_1) is not None:
        host.activate(CARD_1)
        reader = Host(host.link)
        assert reader.select(b"2PAY.SYS.DDF01").sw == 0x9000
        assert reader.select(CARD_1).sw == 0x9000
