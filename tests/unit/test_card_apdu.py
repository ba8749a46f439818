from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card.apdu import CommandApdu, ResponseApdu, cla_on_channel
from opentsm_card.errors import CardError, ProtocolError

# ISO/IEC 7816-4, 5.1: the four cases, short (S) and extended (E).
CASES = [
    ("00a40400", b"", None, False),
    ("00a4040000", b"", 256, False),
    ("00a4040005", b"", 5, False),
    ("00a4040002aabb", b"\xaa\xbb", None, False),
    ("00a4040002aabb10", b"\xaa\xbb", 16, False),
    ("00a40400000000", b"", 65536, True),
    ("00a40400000101", b"", 257, True),
    ("00a40400000002aabb", b"\xaa\xbb", None, True),
    ("00a40400000002aabb0000", b"\xaa\xbb", 65536, True),
    ("00a40400000002aabb0010", b"\xaa\xbb", 16, True),
    ("00a40400000100" + "11" * 256, b"\x11" * 256, None, True),
]


@pytest.mark.parametrize(("encoded", "data", "ne", "extended"), CASES)
def test_every_case_parses_and_encodes(encoded: str, data: bytes, ne: int | None, extended: bool) -> None:  # noqa: FBT001 - a column
    wanted = CommandApdu(0x00, 0xA4, 0x04, 0x00, data, ne, extended)
    assert CommandApdu.parse(bytes.fromhex(encoded)) == wanted
    assert wanted.encode().hex() == encoded
    assert wanted.extended == extended


@pytest.mark.parametrize("encoded", [case[0] for case in CASES])
def test_truncated_commands_never_raise_anything_but_protocol_errors(encoded: str) -> None:
    whole = bytes.fromhex(encoded)
    for end in range(len(whole)):
        try:
            parsed = CommandApdu.parse(whole[:end])
        except ProtocolError:
            continue
        assert parsed.encode() == whole[:end]


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "00",
        "00a404",
        "00a4040003aabb",
        "00a4040001aabbcc",
        "00a404000000",
        "00a404000000000011",
        "00a4040000000311",
    ],
)
def test_what_is_no_command_is_refused(encoded: str) -> None:
    with pytest.raises(ProtocolError):
        CommandApdu.parse(bytes.fromhex(encoded))


@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=400),
    st.none() | st.integers(1, 65536),
    st.booleans(),
)
def test_round_trip(cla: int, ins: int, data: bytes, ne: int | None, extended: bool) -> None:  # noqa: FBT001 - generated
    apdu = CommandApdu(cla, ins, 1, 2, data, ne, extended)
    assert CommandApdu.parse(apdu.encode()) == apdu


@pytest.mark.parametrize(
    ("cla", "ne", "size"), [(0x100, None, 0), (-1, None, 0), (0, 0, 0), (0, 65537, 0), (0, None, 65536)]
)
def test_fields_out_of_range_are_refused(cla: int, ne: int | None, size: int) -> None:
    with pytest.raises(ProtocolError):
        CommandApdu(cla, 0, 0, 0, bytes(size), ne)


@pytest.mark.parametrize(
    ("cla", "channel", "wanted"),
    [
        (0x00, 0, 0x00),
        (0x80, 3, 0x83),
        (0x84, 1, 0x85),
        (0x80, 4, 0xC0),
        (0x84, 4, 0xE0),
        (0x84, 19, 0xEF),
        (0xEF, 2, 0x86),
        (0x90, 5, 0xD1),
    ],
)
def test_class_bytes_of_logical_channels(cla: int, channel: int, wanted: int) -> None:
    assert cla_on_channel(cla, channel) == wanted
    moved = CommandApdu(cla, 0xCA, 0, 0x66).on_channel(channel)
    assert (moved.channel, moved.secured) == (channel, CommandApdu(cla, 0, 0, 0).secured)


@pytest.mark.parametrize("channel", [-1, 20])
def test_no_such_channel(channel: int) -> None:
    with pytest.raises(ProtocolError):
        cla_on_channel(0x00, channel)


def test_response_round_trip_and_require() -> None:
    response = ResponseApdu.parse(b"\x01\x02\x90\x00")
    assert response == ResponseApdu(b"\x01\x02", 0x9000)
    assert response.encode() == b"\x01\x02\x90\x00"
    assert response.require("GET DATA") == b"\x01\x02"
    assert ResponseApdu(b"x", 0x6310).require("GET STATUS", ok=(0x9000, 0x6310)) == b"x"


def test_a_refusal_names_the_command_and_the_status_word() -> None:
    with pytest.raises(CardError, match=r"GET DATA.*6A88") as caught:
        ResponseApdu(b"", 0x6A88).require("GET DATA")
    assert caught.value.sw == 0x6A88


@pytest.mark.parametrize("encoded", [b"", b"\x90"])
def test_a_response_without_status_word_is_refused(encoded: bytes) -> None:
    with pytest.raises(ProtocolError):
        ResponseApdu.parse(encoded)


def test_no_data_in_repr() -> None:
    assert "aabb" not in repr(CommandApdu(0, 0xD8, 0, 0, b"\xaa\xbb")).lower()
    assert "aabb" not in repr(ResponseApdu(b"\xaa\xbb")).lower()
