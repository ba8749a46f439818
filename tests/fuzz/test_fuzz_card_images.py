"""Card images that are none: each is refused by ProtocolError, or makes a card that answers."""

from __future__ import annotations

from functools import cache
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from opentsm_card.errors import ProtocolError
from opentsm_simulator import VirtualSe
from opentsm_simulator.image import CardImage

SELECT: Final = bytes.fromhex("00A4040000")


@cache
def whole() -> CardImage:
    return VirtualSe.create("embedded", se_id="fuzzed").image()


@cache
def target() -> VirtualSe:
    return VirtualSe.create("embedded", se_id="target")


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for image in (data, b"OTSMCARD" + data, b"OTSMCARD\0\1" + data):
        try:
            CardImage.parse(image)
        except ProtocolError:
            continue


@given(st.integers(0, 1 << 20), st.integers(1, 255))
def test_every_flipped_byte_of_a_file_is_noticed(place: int, flip: int) -> None:
    image = bytearray(whole().encode())
    image[place % len(image)] ^= flip
    try:
        CardImage.parse(bytes(image))
    except ProtocolError:
        return
    raise AssertionError(place % len(image))


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_states_with_anything_in_them(changes: list[tuple[int, bytes]]) -> None:
    """The digest is right: what is checked is what a state says."""
    state = bytearray(whole().state)
    for place, data in changes:
        at = place % len(state)
        state[at : at + len(data)] = data
    image = CardImage("fuzzed", whole().profile, whole().delivered, bytes(state))
    try:
        target().restore(image.encode())
    except ProtocolError:
        return
    link = target().link()
    try:
        assert len(link.transmit(SELECT)) >= 2
    finally:
        target().restore(whole().encode())


@given(st.integers(0, 1 << 20))
def test_states_that_are_cut_off(length: int) -> None:
    state = whole().state[: length % len(whole().state)]
    try:
        target().restore(CardImage("fuzzed", whole().profile, b"", state).encode())
    except ProtocolError:
        return
    raise AssertionError(length % len(whole().state))
