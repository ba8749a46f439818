from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError
from opentsm_card.reader import Reader, encode_lv
from opentsm_card.tlv import Tlv

TAGS = st.sampled_from([0x4F, 0x5C, 0x84, 0xC5, 0xE3, 0x9F70, 0x5F20, 0xBF0C, 0x7F21, 0xDF8101])


@pytest.mark.parametrize(
    ("encoded", "wanted"),
    [
        ("4f00", Tlv(0x4F, b"")),
        ("9f700107", Tlv(0x9F70, b"\x07")),
        ("df81010101", Tlv(0xDF8101, b"\x01")),
        ("c47f" + "aa" * 127, Tlv(0xC4, b"\xaa" * 127)),
        ("c48180" + "aa" * 128, Tlv(0xC4, b"\xaa" * 128)),
        ("c4820100" + "aa" * 256, Tlv(0xC4, b"\xaa" * 256)),
        ("c483010000" + "aa" * 65536, Tlv(0xC4, b"\xaa" * 65536)),
    ],
)
def test_lengths_and_tags(encoded: str, wanted: Tlv) -> None:
    assert tlv.parse_one(bytes.fromhex(encoded)) == wanted
    assert wanted.encode().hex() == encoded


@pytest.mark.parametrize("encoded", ["c4", "c401", "c480", "c484000000000", "9f", "9f70", "9fffff7f00", "0000", "1f"])
def test_malformed_objects_are_refused(encoded: str) -> None:
    with pytest.raises(ProtocolError):
        tlv.parse_all(bytes.fromhex(encoded if len(encoded) % 2 == 0 else encoded + "0"))


@given(st.lists(st.tuples(TAGS, st.binary(max_size=300)), max_size=8))
def test_round_trip(items: list[tuple[int, bytes]]) -> None:
    objects = tuple(Tlv(tag, value) for tag, value in items)
    assert tlv.parse_all(b"".join(item.encode() for item in objects)) == objects


@pytest.mark.parametrize("tag", [0, -1, 0x9F, 0x4F70, 0x9FFFFF7F, 0x9F8081])
def test_numbers_that_are_no_tag_are_not_encoded(tag: int) -> None:
    with pytest.raises(ProtocolError):
        tlv.encode_tag(tag)


def test_find_and_children() -> None:
    inner = Tlv(0x84, b"\x01").encode() + Tlv(0x84, b"\x02").encode() + Tlv(0xCC, b"\x03").encode()
    outer = tlv.parse_one(tlv.encode(0xE3, inner))
    assert outer.constructed
    assert tlv.find(outer.children(), 0xCC) == b"\x03"
    assert tlv.find(outer.children(), 0x4F) is None
    assert tlv.find_all(outer.children(), 0x84) == (b"\x01", b"\x02")


def test_a_tag_list() -> None:
    assert tlv.parse_tags(bytes.fromhex("4f9f70c5cc")) == (0x4F, 0x9F70, 0xC5, 0xCC)


def test_too_many_objects_are_refused() -> None:
    with pytest.raises(ProtocolError, match="4096"):
        tlv.parse_all(b"\x4f\x00" * 4097)


def test_the_byte_80_is_128_only_where_it_may_be() -> None:
    encoded = b"\x80" + bytes(128)
    assert Reader(encoded, "field").lv(byte_80=True) == bytes(128)
    with pytest.raises(ProtocolError):
        Reader(encoded, "field").lv()


def test_reader_errors_name_input_and_offset() -> None:
    reader = Reader(encode_lv(b"ab") + b"x", "INSTALL")
    assert reader.lv() == b"ab"
    with pytest.raises(ProtocolError, match="INSTALL, offset 3: 1 bytes left over"):
        reader.end()


def test_no_value_in_repr() -> None:
    assert "aabb" not in repr(Tlv(0x5A, b"\xaa\xbb")).lower()
