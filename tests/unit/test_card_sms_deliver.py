"""SMS-DELIVER: vectors, both ways, and everything that is not one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card.errors import ProtocolError
from opentsm_card.sms_deliver import Address, SmsDeliver

# SMSC +31624000000, from +31641600986, class 1 8-bit data to port 16520 from 16520: "wake".
PDU = bytes.fromhex(
    "07911326040000F0 44 0B911346610089F6 00 F5 62111720304000 0B 06050440884088 77616B65".replace(" ", "")
)
# The same number's well-known text message in the 7-bit alphabet.
TEXT = bytes.fromhex("07911326040000F0040B911346610089F60000208062917314080CC8F71D14969741F977FD07")


def test_a_message_to_a_port_both_ways() -> None:
    message = SmsDeliver.parse(PDU, len(PDU) - 8)
    assert message.centre == Address(0x91, "+31624000000")
    assert message.originator == Address(0x91, "+31641600986")
    assert message.ports == (16520, 16520)
    assert message.data == b"wake"
    assert (message.protocol, message.coding, message.more) == (0, 0xF5, False)
    assert message.encode() == PDU


def test_without_centre_and_header() -> None:
    message = SmsDeliver(Address.of("12345"), b"\0\xff")
    assert message.encode().hex() == "0004058121" + "43f5" + "0004" + "00" * 7 + "02" + "00ff"
    assert SmsDeliver.parse(message.encode()) == message
    assert message.ports is None


def test_a_name_as_originator() -> None:
    packed = "C2F71D"  # "Bow" in the 7-bit alphabet: 21 bits in 6 semi-octets
    pdu = bytes.fromhex("00" + "04" + "06D0" + packed + "0004" + "00" * 7 + "0101")
    assert SmsDeliver.parse(pdu).originator == Address(0xD0, "Bow")
    with pytest.raises(ProtocolError):
        SmsDeliver.parse(pdu).encode()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (8, 0x45),  # an SMS-SUBMIT
        (9, 0x15),  # 21 digits
        (10, 0x11),  # a type without its highest bit
        (16, 0xF7 & 0xE7),  # no fill behind an odd number of digits
        (18, 0x00),  # the 7-bit alphabet
        (18, 0x08),  # UCS2
        (18, 0x24),  # compressed
        (26, 0x0C),  # longer than what follows
        (26, 0x0A),
        (26, 0x8D),
        (27, 0x0B),  # a header longer than the data
        (29, 0x05),  # an element longer than the header
        (27, 0x00),
    ],
)
def test_what_is_malformed_is_refused(place: int, value: int) -> None:
    with pytest.raises(ProtocolError):
        SmsDeliver.parse(PDU[:place] + bytes((value,)) + PDU[place + 1 :])


def test_truncated_anywhere_or_with_more_behind_it_is_refused() -> None:
    for end in range(len(PDU)):
        with pytest.raises(ProtocolError):
            SmsDeliver.parse(PDU[:end])
    with pytest.raises(ProtocolError):
        SmsDeliver.parse(PDU + b"\0")
    with pytest.raises(ProtocolError, match="modem says"):
        SmsDeliver.parse(PDU, len(PDU))


def test_a_text_message_is_none() -> None:
    with pytest.raises(ProtocolError, match="not 8-bit data"):
        SmsDeliver.parse(TEXT)


def test_too_much_data_is_not_encoded() -> None:
    with pytest.raises(ProtocolError):
        SmsDeliver(Address.of("1"), bytes(141)).encode()
    with pytest.raises(ProtocolError):
        Address.of("12 34")


@given(st.binary(max_size=200))
def test_anything_else_is_refused_as_such(pdu: bytes) -> None:
    try:
        SmsDeliver.parse(pdu)
    except ProtocolError:
        return


@given(
    st.binary(max_size=120), st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=5)), max_size=2), st.booleans()
)
def test_encoded_and_parsed_it_is_the_same(data: bytes, header: list[tuple[int, bytes]], more: bool) -> None:  # noqa: FBT001
    message = SmsDeliver(Address.of("+491700000001"), data, tuple(header), more=more, centre=Address.of("+49171"))
    assert SmsDeliver.parse(message.encode()) == message
