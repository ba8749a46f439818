"""Contactless parameters and the CRS application's commands, both ways, cut off anywhere."""

from __future__ import annotations

import pytest

from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.contactless import ContactlessParameters, Interfaces, ProtocolType, aid_list
from opentsm_card.crs import ContactlessEntry, CrsGetStatus, CrsSetStatus, Priority, Undone, parse_entries
from opentsm_card.errors import ProtocolError
from opentsm_card.lifecycle import ContactlessState

A, B = Aid.from_text("F000000000A1"), Aid.from_text("F000000000B1")

# Tags and values as the tests of another host implementation have them (gobalplatform by skythen, in Go:
# command/install_test.go, TestSystemSpecificParameters_Bytes), less what is not ours: A2 and 89 of A0, 7F20 of A1.
SIX, SEVEN = Aid(bytes.fromhex("010203040506")), Aid(bytes.fromhex("01020304050607"))
GOBAL = ContactlessParameters(
    protocols=(ProtocolType.TYPE_F,),
    activate=True,
    recognition=bytes.fromhex("010102030405"),
    continuous=True,
    access=Interfaces.CONTACT,
    protocol_data_f=bytes.fromhex("A006800401020304A103800100"),
    head=SIX,
    add_members=(SIX, SEVEN),
    remove_members=(SIX,),
    add_listeners=(SIX,),
    remove_listeners=(SIX,),
    restricted=(SIX,),
    discretionary=bytes.fromhex("010101"),
    family=0x01,
    display_required=True,
    privacy_sensitive=False,
)
GOBAL_BYTES = (
    "A025 800184 810101 8306010102030405 840102 A503820180 880DA006800401020304A103800100"
    "A150 A0084F06010203040506 A1114F060102030405064F0701020304050607 A2084F06010203040506 A3084F06010203040506"
    "A4084F06010203040506 A5084F06010203040506 A603010101 870101 880100 960100"
)


def encoded(parameters: ContactlessParameters) -> bytes:
    return b"".join(item.encode() for item in parameters.system())


def test_parameters_as_another_implementation_encodes_them() -> None:
    expected = bytes.fromhex(GOBAL_BYTES.replace(" ", ""))
    assert encoded(GOBAL) == expected
    assert ContactlessParameters.parse(tlv.parse_all(expected)) == GOBAL


def test_all_that_is_shown() -> None:
    parameters = ContactlessParameters(
        protocols=(ProtocolType.TYPE_A, ProtocolType.TYPE_B),
        activate=False,
        continuous=False,
        access_default=Interfaces.PROXIMITY,
        access_restriction=Interfaces.CONTACT | Interfaces.PROXIMITY,
        uri=b"uri",
        image=bytes(200),
        message=b"\x01m",
        display_required=False,
        privacy_sensitive=True,
    )
    assert ContactlessParameters.parse(parameters.system()) == parameters
    assert ContactlessParameters().system() == ()


def test_a_cut_encoding_is_refused() -> None:
    whole = encoded(GOBAL)
    ends = {0, 39, len(whole) - 3, len(whole)}  # between data objects
    for length in range(len(whole) + 1):
        if length not in ends:
            with pytest.raises(ProtocolError):
                ContactlessParameters.parse(tlv.parse_all(whole[:length]))


@pytest.mark.parametrize(
    "system",
    [
        "A003800180",
        "A003810102",
        "A003840100",
        "A005A503820120",
        "A103870000",
        "A103880102",
        "A104A1024F00",
        "960102",
        "A112A0104F06F000000000A14F06F000000000B1",
        "A103A0018F",
        "A1037F2001",
        "A00481020000",
    ],
)
def test_parameters_that_are_wrong(system: str) -> None:
    with pytest.raises(ProtocolError):
        ContactlessParameters.parse(tlv.parse_all(bytes.fromhex(system)))


@pytest.mark.parametrize(
    ("command", "apdu"),
    [
        (CrsGetStatus(), "80F24000024F0000"),
        (CrsGetStatus().following(), "80F24001024F0000"),
        (CrsGetStatus(tags=(0x4F, 0x9F70)), "80F24000074F005C034F9F7000"),
        (CrsGetStatus(A, ContactlessState.ACTIVATED, 0x20), "80F24000104F06F000000000A19F7002000187012000"),
        (CrsSetStatus.activate(A), "80F00101084F06F000000000A100"),
        (CrsSetStatus.activate(A, B, activated=False), "80F00100104F06F000000000A14F06F000000000B100"),
        (CrsSetStatus.order(Priority.HIGHEST, A), "80F00201084F06F000000000A100"),
        (CrsSetStatus.order(Priority.NO_VOLATILE), "80F0028200"),
        (CrsSetStatus.interface(on=False), "80F004000380014000"),
        (CrsSetStatus.interface(on=True), "80F004800380014000"),
        (CrsSetStatus.remaining(), "80F0800000"),
    ],
)
def test_commands(command: CrsGetStatus | CrsSetStatus, apdu: str) -> None:
    assert command.apdu().encode().hex().upper() == apdu


ENTRY = bytes.fromhex("612A4F06F000000000A19F70020701800200058101007F20065F5003757269A3084F06F000000000B1870120")


def test_entries() -> None:
    (entry,) = parse_entries([ENTRY[:20], ENTRY[20:]])
    assert entry == ContactlessEntry(
        A,
        0x07,
        ContactlessState.ACTIVATED,
        priority=0,
        members=(B,),
        others={0x80: b"\x00\x05", 0x7F20: bytes.fromhex("5F5003757269"), 0x87: b"\x20"},
    )
    for length in range(1, len(ENTRY)):
        with pytest.raises(ProtocolError):
            parse_entries([ENTRY[:length]])


@pytest.mark.parametrize(
    "data", ["E3084F06F000000000A1", "61084F06F000000000A1", "61059F70020701", "610D4F06F000000000A19F70020702", "6100"]
)
def test_entries_that_are_wrong(data: str) -> None:
    with pytest.raises(ProtocolError):
        parse_entries([bytes.fromhex(data)])


def test_what_was_not_done() -> None:
    data = bytes.fromhex("61124F06F000000000A1A0084F06F000000000B1A1084F06F000000000B1")
    assert Undone.parse(data) == Undone(((A, (B,)),), (B,))
    assert Undone.parse(b"") == Undone()
    for wrong in ("6102A000", "E300", "A103010203", "61", "A1084F06F000000000"):
        with pytest.raises(ProtocolError):
            Undone.parse(bytes.fromhex(wrong))
    with pytest.raises(ProtocolError):
        aid_list(bytes.fromhex("4F0411223344"))
