"""The way of an APDU through the card: its forms, chains, and faults of applets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from open_card import A1, B1, ISD, OpenCard
from opentsm_card.errors import LinkTimeoutError


@pytest.fixture(scope="module")
def card() -> OpenCard:
    return OpenCard()


@pytest.fixture
def echo(card: OpenCard) -> OpenCard:
    assert card.select(A1) == 0x9000
    return card


@pytest.mark.parametrize("length", [1, 254, 255])
@pytest.mark.parametrize("le", [b"", b"\x00"])
def test_short_data_of_any_length_with_and_without_le(echo: OpenCard, length: int, le: bytes) -> None:
    data = bytes(index & 0xFF for index in range(length))
    assert echo.raw(bytes((0x80, 0, 0, 0, length)) + data + le) == (data, 0x9000)


@pytest.mark.parametrize("length", [1, 255, 256, 4000, 32760])
@pytest.mark.parametrize("le", [b"", b"\x00\x00", b"\x7f\xff"])
def test_extended_data_of_any_length_with_and_without_le(echo: OpenCard, length: int, le: bytes) -> None:
    data = bytes(index & 0xFF for index in range(length))
    command = bytes((0x80, 0, 0, 0, 0)) + length.to_bytes(2, "big") + data + le
    assert echo.raw(command) == (data, 0x9000)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("80080000", 256),
        ("8008000000", 256),
        ("8008000010", 16),
        ("800800000101", 256),
        ("80080000010120", 32),
        ("80080000010100", 256),
        ("80080000000000", 32767),
        ("80080000000123", 0x123),
        ("8008000000000101", 32767),
        ("80080000000001010000", 32767),
        ("80080000000001010005", 5),
    ],
)
def test_set_outgoing_tells_the_expected_length(echo: OpenCard, command: str, expected: int) -> None:
    data, sw = echo.raw(bytes.fromhex(command))
    assert (int.from_bytes(data, "big"), sw) == (expected, 0x9000)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "80",
        "8000",
        "800000",
        "800000000000",  # a first byte 00 with one byte behind it
        "8000000002AA",  # shorter than Lc
        "8000000001AABBCC",  # longer than Lc and Le
        "80000000000002AA",  # extended, shorter than Lc
        "80000000000001AABB",  # extended, one byte of Le
        "80000000000000AA",  # extended, Lc 0
    ],
)
def test_malformed_apdus_are_a_wrong_length(echo: OpenCard, command: str) -> None:
    assert echo.raw(bytes.fromhex(command)) == (b"", 0x6700)
    assert echo.selected() == A1


@given(st.binary(max_size=600))
def test_no_bytes_make_the_card_fail(card: OpenCard, command: bytes) -> None:
    # What the Manager and Echo do is theirs; an answer always comes, and is never longer than it may be.
    assert 2 <= len(card.link.transmit(command)) <= 32769


def test_a_command_of_more_than_a_cards_buffer_is_a_wrong_length(echo: OpenCard) -> None:
    for length in (32761, 32768, 65535):
        assert echo.raw(bytes(5) + length.to_bytes(2, "big") + bytes(length)) == (b"", 0x6700)


def test_extended_apdus_need_an_applet_that_takes_them(card: OpenCard) -> None:
    card.select(B1)
    assert card.raw(bytes.fromhex("80000000000001AA")) == (b"", 0x6700)
    assert card.raw(bytes.fromhex("8000000001AA")) == (bytes.fromhex("80AA"), 0x9000)


@pytest.mark.parametrize(("p1", "sw"), [(0, 0x6F00), (1, 0x6A80), (3, 0x6F00)])
def test_an_applets_exception_becomes_a_status_word(echo: OpenCard, p1: int, sw: int) -> None:
    assert echo.send(f"8001{p1:02X}00") == (b"", sw)
    assert echo.selected() == A1


def test_recursion_without_end_makes_the_card_mute_until_a_reset(echo: OpenCard) -> None:
    for command in ("80010200", "00A4040000"):
        with pytest.raises(LinkTimeoutError, match="mute"):
            echo.send(command)
    echo.link.reset()
    assert echo.select(A1) == 0x9000


@pytest.mark.parametrize(
    ("cla", "sw"), [("20", 0x6E00), ("3F", 0x6E00), ("FF", 0x6E00), ("81", 0x6881), ("C0", 0x6881)]
)
def test_classes_that_name_no_open_channel(echo: OpenCard, cla: str, sw: int) -> None:
    assert echo.send(f"{cla}000000") == (b"", sw)


def test_a_security_domain_gets_a_command_chain_whole(card: OpenCard) -> None:
    card.select(ISD)
    assert card.send("901E0200", b"\x01\x02") == (b"", 0x9000)
    before = card.se.effects()
    assert card.send("901E0200", b"\x03") == (b"", 0x9000)
    assert card.se.effects() == before
    assert card.send("801E0200", b"\x04") == (b"", 0x9000)
    assert card.se.effects() == [*before, f"delete-key {ISD.hex().upper()} 01020304"]


def test_a_chain_of_more_than_255_bytes_arrives_extended(card: OpenCard) -> None:
    card.select(ISD)
    card.send("901E0300", bytes(200))
    assert card.send("801E0300", bytes(200)) == (b"", 0x9000)
    assert card.se.effects()[-1].endswith("00" * 400)


def test_another_command_drops_the_chain(card: OpenCard) -> None:
    card.select(ISD)
    card.send("901E0100", b"\x01")
    assert card.send("80210000") == (b"\x00", 0x9000)
    assert card.send("801E0100", b"\x02") == (b"", 0x9000)
    assert card.se.effects()[-1] == f"put-key {ISD.hex().upper()} 02"


def test_a_chain_longer_than_a_buffer_is_refused(card: OpenCard) -> None:
    card.select(ISD)
    sws = {card.send("901E0300", bytes(255))[1] for _ in range(128)}
    assert sws == {0x9000}
    assert card.send("901E0300", bytes(255))[1] == 0x6700


def test_an_application_gathers_its_own_chains(card: OpenCard) -> None:
    card.select(B1)
    assert card.send("90000000", b"\xaa") == (bytes.fromhex("90AA"), 0x9000)


def test_data_come_with_9000_and_warnings_only(echo: OpenCard) -> None:
    assert echo.send("80010400") == (b"", 0x6300)


def test_the_master_file_can_be_selected_while_a_security_domain_is(card: OpenCard) -> None:
    card.select(ISD)
    assert card.send("00A40004", b"\x3f\x00") == (b"", 0x9000)
    assert card.send("80A40004", b"\x2f\x00")[1] == 0x6A82
