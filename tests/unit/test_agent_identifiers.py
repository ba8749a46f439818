"""A card must be the one that the configuration names."""

from __future__ import annotations

import pytest

from opentsm_agent.config import SecureElementConfig
from opentsm_agent.handshake import SecureElement
from opentsm_agent.identifiers import WrongCardError, check_card, parse_card_identifier, read_card_identifier
from opentsm_agent.links import register
from opentsm_agent.links.replay import Exchange, Reset, ScriptedLink
from opentsm_agent.secure_elements import SecureElements
from opentsm_card.errors import ProtocolError


def link(*exchanges: tuple[str, str]) -> ScriptedLink:
    return ScriptedLink(Exchange(bytes.fromhex(command), bytes.fromhex(answer)) for command, answer in exchanges)


MF = ("00A4000C023F00", "9000")
EF = ("00A4000C022FE2", "9000")
# The EF ICCID of 3GPP TS 31.102's test cards is coded like this: halves of each byte exchanged, filled up with F.
ICCID = ("00B000000A", "988812010000400310F59000")
ISD = ("00A4040000", "9000")


def test_an_iccid_is_read_from_its_file() -> None:
    assert read_card_identifier(link(MF, EF, ICCID), "iccid") == "8988211000000430015"
    check_card(link(MF, EF, ICCID), "iccid:8988211000000430015")
    check_card(link(MF, EF, ICCID), "iccid:898821100000043001")


def test_another_iccid_is_another_card() -> None:
    with pytest.raises(WrongCardError, match="ICCID is 8988211000000430015"):
        check_card(link(MF, EF, ICCID), "iccid:8988211000000430016")


@pytest.mark.parametrize("answer", ["45080102030405060708 9000", "0102030405060708 9000"])
def test_a_cin_comes_with_its_tag_or_without(answer: str) -> None:
    check_card(link(ISD, ("80CA004500", answer)), "cin:0102030405060708")


def test_cplc_data_are_read() -> None:
    assert read_card_identifier(link(ISD, ("80CA9F7F00", "9F7F02ABCD9000")), "cplc") == "ABCD"


@pytest.mark.parametrize(
    "exchanges",
    [
        [(MF[0], "6A82")],
        [MF, (EF[0], "6A82")],
        [MF, EF, (ICCID[0], "6982")],
        [MF, EF, (ICCID[0], "9000")],
        [MF, EF, (ICCID[0], "AB009000")],
    ],
)
def test_a_card_that_does_not_say_is_not_taken(exchanges: list[tuple[str, str]]) -> None:
    with pytest.raises(WrongCardError, match="does not tell"):
        check_card(link(*exchanges), "iccid:8988211000000430015")


@pytest.mark.parametrize("text", ["", "iccid:", "iccid:123", "iccid:89882110000004300AB", "cin:", "cin:0", "icc:01"])
def test_what_is_no_identifier_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="want iccid:DIGITS"):
        parse_card_identifier(text)


def test_a_swapped_card_gets_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [
        ScriptedLink(
            [
                Exchange(bytes.fromhex("00A4040000"), bytes.fromhex("9000")),
                Exchange(bytes.fromhex("80CA004500"), bytes.fromhex(f"4501{cin}9000")),
                Reset(),
                Exchange(bytes.fromhex("00A4040000"), bytes.fromhex("9000")),
                Exchange(bytes.fromhex("80CA004500"), bytes.fromhex(f"4501{then}9000")),
            ]
        )
        for cin, then in (("01", "02"), ("02", "02"))
    ]
    monkeypatch.setattr("opentsm_agent.links._registered", {})
    register("two-cards", lambda _rest, _timeout_s: cards.pop(0))
    elements = SecureElements([SecureElementConfig(SecureElement("eSE", "se"), "two-cards:x", 1.0, "cin:01")])
    links = elements.session_links()
    right = links.link("se", reset=True)
    assert isinstance(right, ScriptedLink)
    assert links.link("se", reset=False) is right
    with pytest.raises(WrongCardError):
        links.link("se", reset=True)
    assert right._closed
    with pytest.raises(WrongCardError):
        links.link("se", reset=False)
    links.close()
