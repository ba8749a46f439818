"""The `pcsc:` link against a card behind real pcscd and vpcd."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from smartcard import scard

from agent_peers import ATR, CountingCard
from opentsm_agent.links import open_link
from opentsm_agent.links.pcsc import PcscLink, reader_names
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError

if TYPE_CHECKING:
    from pcsc_rig import Pcscd, Slot

GET_DATA = bytes.fromhex("80CA000003AABBCC")
T0_ONLY = bytes.fromhex("3B00")


@pytest.fixture
def card(slot: Slot) -> CountingCard:
    counting = CountingCard()
    slot.card = counting
    return counting


def open_when_there(slot: Slot) -> PcscLink:
    """Open the link once pcscd has found the card."""
    deadline = time.monotonic() + 20
    while True:
        try:
            link = open_link(f"pcsc:{slot.reader}")
        except CardRemovedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            assert isinstance(link, PcscLink)
            return link


def test_an_exchange_and_a_reset(card: CountingCard, slot: Slot) -> None:
    with open_when_there(slot) as link:
        assert link.transmit(GET_DATA) == bytes.fromhex("AABBCC9000")
        before = card.resets
        assert link.reset() == ATR
        assert card.resets > before
        extended = bytes.fromhex("80E20000") + b"\x00\x0f\x00" + bytes(0xF00)
        assert link.transmit(extended) == bytes.fromhex("0F00009000")
        assert card.run == [GET_DATA, extended]


def test_opening_resets_the_card(card: CountingCard, slot: Slot) -> None:
    open_when_there(slot).close()
    before = card.resets
    with open_when_there(slot):
        assert card.resets > before


def test_the_card_is_held_for_one_program(card: CountingCard, slot: Slot) -> None:
    with open_when_there(slot) as link:
        with pytest.raises(TransportError, match=slot.reader):
            open_link(f"pcsc:{slot.reader}")
        assert link.transmit(GET_DATA)
    assert card.run == [GET_DATA]


def test_a_part_of_the_name_that_fits_one_reader_will_do(card: CountingCard, slot: Slot, pcscd: Pcscd) -> None:
    del card
    open_when_there(slot).close()
    with open_link(f"pcsc:{slot.reader.removeprefix('opentsm ')}") as link:
        assert isinstance(link, PcscLink)
        assert link.reader == slot.reader
    with pytest.raises(CardRemovedError, match="more than one reader"):
        open_link("pcsc:opentsm")
    with pytest.raises(CardRemovedError, match="no reader fits"):
        open_link("pcsc:no such reader")
    assert {other.reader for other in pcscd.slots} < set(reader_names())


def test_t0_gets_its_tpdus(slot: Slot) -> None:
    answers = {
        bytes.fromhex("80F2400001AA"): bytes.fromhex("6103"),
        bytes.fromhex("00C0000003"): bytes.fromhex("AABBCC9000"),
        bytes.fromhex("80CA006600"): bytes.fromhex("6C02"),
        bytes.fromhex("80CA006602"): bytes.fromhex("DDEE9000"),
    }
    card = CountingCard(T0_ONLY)
    card.hook = lambda _number, c_apdu: answers.get(c_apdu, b"\x6d\x00")
    slot.card = card
    with open_when_there(slot) as link:
        assert link.reset() == T0_ONLY
        assert link.transmit(bytes.fromhex("80F2400001AA00")) == bytes.fromhex("AABBCC9000")
        assert link.transmit(bytes.fromhex("80CA006600")) == bytes.fromhex("DDEE9000")
        with pytest.raises(ProtocolError):
            link.transmit(bytes.fromhex("80E200000000011000"))


def test_a_closed_link_stays_closed(card: CountingCard, slot: Slot) -> None:
    link = open_when_there(slot)
    link.close()
    link.close()
    with pytest.raises(CardRemovedError):
        link.transmit(GET_DATA)
    with pytest.raises(CardRemovedError):
        link.reset()
    assert card.run == []


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("SCARD_W_REMOVED_CARD", CardRemovedError),
        ("SCARD_E_NO_SMARTCARD", CardRemovedError),
        ("SCARD_E_READER_UNAVAILABLE", CardRemovedError),
        ("SCARD_E_TIMEOUT", LinkTimeoutError),
        ("SCARD_W_RESET_CARD", TransportError),
        ("SCARD_F_COMM_ERROR", TransportError),
    ],
)
def test_each_status_of_pcsc_has_its_error(
    monkeypatch: pytest.MonkeyPatch, pcscd: Pcscd, status: str, error: type[TransportError]
) -> None:
    pcscd.slots[-1].card = CountingCard()
    with open_when_there(pcscd.slots[-1]) as link:
        monkeypatch.setattr(scard, "SCardTransmit", lambda *_arguments: (getattr(scard, status), []))
        with pytest.raises(TransportError, match="transmit") as caught:
            link.transmit(GET_DATA)
        assert type(caught.value) is error


def test_no_pcscd_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scard, "SCardEstablishContext", lambda _scope: (scard.SCARD_E_NO_SERVICE, 0))
    with pytest.raises(TransportError, match="is pcscd running"):
        reader_names()
