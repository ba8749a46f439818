"""The `pcsc:` link against a card behind real pcscd and vpcd."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from smartcard import scard

from agent_peers import ATR, CountingCard
from atr_maker import make_atr
from opentsm_agent.links import check_uri, open_link, pcsc_readers
from opentsm_agent.links.pcsc import PcscLink
from opentsm_agent.links.pcsc_connection import Connection
from opentsm_agent.links.pcsc_readers import reader_names
from opentsm_agent.links.pcsc_settings import PcscSettings
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError

if TYPE_CHECKING:
    from pathlib import Path

    from pcsc_rig import Pcscd, Slot

GET_DATA = bytes.fromhex("80CA000003AABBCC")
T0_ONLY = bytes.fromhex("3B00")


@pytest.fixture
def card(slot: Slot) -> CountingCard:
    counting = CountingCard()
    slot.card = counting
    return counting


def open_when_there(slot: Slot, query: str = "") -> PcscLink:
    """Open the link once pcscd has found the card."""
    deadline = time.monotonic() + 20
    while True:
        try:
            link = open_link(f"pcsc:{slot.reader}{query}")
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
            open_link(f"pcsc:{slot.reader}", 0.2)
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


OTHER = """
import sys
import time
from smartcard import scard
status, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
both = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
share = {"shared": scard.SCARD_SHARE_SHARED, "exclusive": scard.SCARD_SHARE_EXCLUSIVE}[sys.argv[2]]
status, card, protocol = scard.SCardConnect(context, sys.argv[1], share, both)
pci = {scard.SCARD_PROTOCOL_T0: scard.SCARD_PCI_T0, scard.SCARD_PROTOCOL_T1: scard.SCARD_PCI_T1}
print(status, flush=True)
for do in sys.stdin:
    match do.split():
        case ["begin"]:
            status = scard.SCardBeginTransaction(card)
        case ["end"]:
            status = scard.SCardEndTransaction(card, scard.SCARD_LEAVE_CARD)
        case ["leave", seconds]:
            time.sleep(float(seconds))
            scard.SCardEndTransaction(card, scard.SCARD_LEAVE_CARD)
            break
        case ["reset"]:
            status = scard.SCardReconnect(card, share, both, scard.SCARD_RESET_CARD)[0]
        case ["transmit", command]:
            status = scard.SCardTransmit(card, pci[protocol], list(bytes.fromhex(command)))[0]
    print(status, flush=True)
scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
"""


class Other:
    """Another program with a connection to a card."""

    def __init__(self, reader: str, environment: dict[str, str], share: str = "shared") -> None:
        command = [sys.executable, "-c", OTHER, reader, share]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
        )
        assert self.answer() == scard.SCARD_S_SUCCESS

    def begin(self, do: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{do}\n")
        self._process.stdin.flush()

    def answer(self) -> int:
        """Return a status of PC/SC."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def do(self, do: str) -> int:
        self.begin(do)
        return self.answer()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0
        self._process.stdout.close()


class TestBesideOthers:
    @pytest.fixture
    def slot(self, used_slot: Slot) -> Slot:
        return used_slot

    def test_a_shared_card_is_ours_while_the_link_is_open(self, card: CountingCard, slot: Slot, pcscd: Pcscd) -> None:
        open_when_there(slot).close()
        other = Other(slot.reader, pcscd.environment)
        with open_link(f"pcsc:{slot.reader}?share=shared", 5) as link:
            assert link.transmit(GET_DATA) == bytes.fromhex("AABBCC9000")
            other.begin("transmit 00A4040000")
            for _ in range(20):
                assert link.transmit(GET_DATA) == bytes.fromhex("AABBCC9000")
                time.sleep(0.01)
            assert card.run == [GET_DATA] * 21
        # It waited, and is told that the card is no longer as it was.
        assert other.answer() == scard.SCARD_W_RESET_CARD
        assert card.run == [GET_DATA] * 21
        other.close()

    @pytest.mark.parametrize("query", ["", "?share=shared"])
    def test_a_transaction_of_another_is_waited_for(
        self, card: CountingCard, slot: Slot, pcscd: Pcscd, query: str
    ) -> None:
        del card
        open_when_there(slot).close()
        other = Other(slot.reader, pcscd.environment)
        assert other.do("begin") == scard.SCARD_S_SUCCESS
        other.begin("leave 1")
        begun = time.monotonic()
        with open_link(f"pcsc:{slot.reader}{query}", 5) as link:
            assert time.monotonic() - begun > 0.5
            assert link.transmit(GET_DATA) == bytes.fromhex("AABBCC9000")
        other.close()

    @pytest.mark.parametrize("query", ["", "?share=shared"])
    def test_a_transaction_of_another_is_not_waited_for_without_an_end(
        self, card: CountingCard, slot: Slot, pcscd: Pcscd, query: str
    ) -> None:
        open_when_there(slot).close()
        other = Other(slot.reader, pcscd.environment)
        assert other.do("begin") == scard.SCARD_S_SUCCESS
        for _ in range(3):
            with pytest.raises(LinkTimeoutError, match=r"another program holds the card in a transaction.*`wait`"):
                open_link(f"pcsc:{slot.reader}{query}", 0.1)
            # One thread waits on, not one for each who was refused.
            waiting = [thread for thread in threading.enumerate() if thread.name.startswith("pcsc:")]
            assert len(waiting) == 1
        resets = card.resets
        assert other.do("end") == scard.SCARD_S_SUCCESS
        waiting[0].join(20)
        # What it got at last it gave free again, as it was.
        assert other.do("transmit 80CA000003AABBCC") == scard.SCARD_S_SUCCESS
        assert card.resets == resets
        other.close()
        with open_link(f"pcsc:{slot.reader}{query}", 20) as link:
            assert link.transmit(GET_DATA) == bytes.fromhex("AABBCC9000")

    def test_a_card_that_another_holds_is_waited_for_and_not_for_ever(
        self, card: CountingCard, slot: Slot, pcscd: Pcscd
    ) -> None:
        del card
        open_when_there(slot).close()
        other = Other(slot.reader, pcscd.environment, "exclusive")
        with pytest.raises(LinkTimeoutError, match="another program holds the card"):
            open_link(f"pcsc:{slot.reader}", 0.3)
        timer = threading.Timer(0.5, other.close)
        timer.start()
        with open_link(f"pcsc:{slot.reader}", 20) as link:
            assert link.transmit(GET_DATA) == bytes.fromhex("AABBCC9000")
        timer.join()

    def test_a_reset_by_another_is_noticed_and_nothing_is_sent(
        self, card: CountingCard, slot: Slot, pcscd: Pcscd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As a reader whose card dips: within our transaction no other program can reset it.
        monkeypatch.setattr(Connection, "begin", lambda _connection: None)
        open_when_there(slot).close()
        with open_link(f"pcsc:{slot.reader}?share=shared", 5) as link:
            other = Other(slot.reader, pcscd.environment)
            assert link.transmit(GET_DATA)
            assert other.do("reset") == scard.SCARD_S_SUCCESS
            for message in ("another program reset the card", "once it is reset", "once it is reset"):
                with pytest.raises(TransportError, match=message):
                    link.transmit(GET_DATA)
            assert card.run == [GET_DATA]
            link.reset()
            assert link.transmit(GET_DATA)
            other.close()
        assert card.run == [GET_DATA, GET_DATA]


def logged(card: CountingCard, refused_from: int = 99) -> list[bytes]:
    """Have a card answer everything by 9000, by 6884 from a command on; return what it gets, as it comes."""
    sent: list[bytes] = []

    def answer(_number: int, command: bytes) -> bytes:
        sent.append(command)
        return b"\x90\x00" if len(sent) <= refused_from else b"\x68\x84"

    card.hook = answer
    return sent


class TestLongCommands:
    DATA = bytes(range(256)) * 3

    def test_over_t0_an_extended_one_goes_by_envelope(self, slot: Slot) -> None:
        # Historical bytes 80 73 00 00 40: extended Lc and Le.
        card = CountingCard(bytes.fromhex("3B058073000040"))
        sent = logged(card)
        slot.card = card
        command = bytes.fromhex("80E2900100") + len(self.DATA).to_bytes(2, "big") + self.DATA
        with open_when_there(slot) as link:
            assert link.transmit(command) == b"\x90\x00"
        assert {part[:4] for part in sent} == {bytes.fromhex("00C20000")}
        assert b"".join(part[5:] for part in sent) == command

    @pytest.mark.parametrize("query", ["", "?long=chaining"])
    def test_a_card_that_chains_gets_a_chain(self, slot: Slot, query: str) -> None:
        # Historical bytes 80 73 00 00 80: command chaining; or the configuration says so.
        historical = "8073000080" if not query else ""
        card = CountingCard(bytes((0x3B, len(historical) // 2)) + bytes.fromhex(historical))
        sent = logged(card)
        slot.card = card
        command = bytes.fromhex("84E2900100") + len(self.DATA).to_bytes(2, "big") + self.DATA
        open_when_there(slot).close()
        with open_link(f"pcsc:{slot.reader}{query}", 5) as link:
            assert link.transmit(command) == b"\x90\x00"
        assert [part[0] for part in sent] == [0x94, 0x94, 0x94, 0x84]
        assert b"".join(part[5:] for part in sent) == self.DATA

    @pytest.mark.parametrize("t0", [False, True])
    @pytest.mark.parametrize(
        ("historical", "query", "announced"),
        [("8073000060", "", True), ("803198", "", True), ("", "", False), ("", "?long=ask", True)],
    )
    def test_what_does_not_fit_into_the_historical_bytes_is_read_in_ef_atr(
        self, used_slot: Slot, historical: str, query: str, *, t0: bool, announced: bool
    ) -> None:
        # As a card has it: https://stackoverflow.com/questions/45207788; its sizes are 1520 bytes.
        ef_atr = bytes.fromhex("4301F84703F741E07F6608020205F0020205F0") + bytes(5)
        atr = make_atr(*([] if t0 else ["D1"]), historical=bytes.fromhex(historical))
        card = CountingCard(atr)
        sent: list[bytes] = []

        def answer(_number: int, command: bytes) -> bytes:
            sent.append(command)
            if command[1] != 0xB0:
                return b"\x90\x00"
            if t0 and command[4] != len(ef_atr):
                return bytes((0x6C, len(ef_atr)))
            return ef_atr + b"\x90\x00"

        card.hook = answer
        used_slot.card = card
        open_when_there(used_slot, "?long=none").close()
        before = card.resets
        with open_when_there(used_slot, query) as link:
            assert bool(sent) is announced
            asked, resets = list(sent), card.resets
            # What was asked is forgotten before anything else comes, and is not asked for at the next reset.
            assert resets - before > announced
            link.reset()
            assert sent == asked
            sent.clear()
            for size in (1000, 1600):
                command = bytes.fromhex("80E2900100") + size.to_bytes(2, "big") + bytes(size) + b"\0\0"
                if not announced and t0:
                    with pytest.raises(ProtocolError, match="does not say that it takes such"):
                        link.transmit(command)
                    continue
                assert link.transmit(command) == b"\x90\x00"
                chained = announced and (t0 or size > 1520)
                assert [part[0] for part in sent] == ([0x90] * (size // 255) + [0x80] if chained else [0x80])
                # The R-APDU must not grow longer than the card says.
                assert chained or sent[0][-2:] == (b"\x05\xee" if announced else b"\0\0")
                sent.clear()

    def test_a_chain_ends_where_the_card_refuses(self, slot: Slot) -> None:
        card = CountingCard(bytes.fromhex("3B058073000080"))
        sent = logged(card, refused_from=1)
        slot.card = card
        with open_when_there(slot) as link:
            command = bytes.fromhex("80E2900100") + len(self.DATA).to_bytes(2, "big") + self.DATA
            assert link.transmit(command) == b"\x68\x84"
        assert len(sent) == 2


class TestSettings:
    @pytest.fixture
    def slot(self, used_slot: Slot) -> Slot:
        return used_slot

    def test_a_name_may_have_anything_but_parameters_are_the_end(self) -> None:
        assert PcscSettings.parse("What? A reader 00").reader == "What? A reader 00"
        settings = PcscSettings.parse("A?B 00?share=shared&wait=5&protocol=t0")
        assert (settings.reader, settings.share, settings.wait_s, settings.protocol) == ("A?B 00", "shared", 5, "t0")

    @pytest.mark.parametrize("address", ["?share=shared", " ", "x?share=x", "x?wait=-1", "x?wait=9999", "x?no=1"])
    def test_what_makes_no_sense_is_refused_before_anything_is_opened(self, address: str) -> None:
        with pytest.raises(ProtocolError, match="pcsc"):
            check_uri(f"pcsc:{address}")

    def test_a_reader_is_found_by_its_usb_port(
        self, card: CountingCard, slot: Slot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        open_when_there(slot).close()
        for name, numbers in {"usb1": (1, 1), "1-2.3": (1, 9), "1-4": (1, 4), "1-4:1.0": None}.items():
            (tmp_path / name).mkdir()
            for file, number in zip(("busnum", "devnum"), numbers or (), strict=False):
                (tmp_path / name / file).write_text(f"{number}\n")
        asked: dict[int, str] = {}
        connect = scard.SCardConnect

        def connecting(context: int, reader: str, share: int, protocols: int) -> tuple[int, int, int]:
            status, handle, protocol = connect(context, reader, share, protocols)
            asked[handle] = reader
            return status, handle, protocol

        def attribute(handle: int, _attribute: int) -> tuple[int, list[int]]:
            place = 0x0020_0109 if asked[handle] == slot.reader else 0x0020_0104
            return scard.SCARD_S_SUCCESS, list(place.to_bytes(4, "little"))

        monkeypatch.setattr(pcsc_readers, "_USB_DEVICES", tmp_path)
        monkeypatch.setattr(scard, "SCardConnect", connecting)
        monkeypatch.setattr(scard, "SCardGetAttrib", attribute)
        with open_link("pcsc:usb:1-2.3", 5) as link:
            assert isinstance(link, PcscLink)
            assert link.reader == slot.reader
            assert link.transmit(GET_DATA)
        with pytest.raises(CardRemovedError, match="no reader fits"):
            open_link("pcsc:usb:1-9", 5)
        assert card.run == [GET_DATA]

    def test_a_reader_that_comes_later_is_waited_for(
        self, card: CountingCard, slot: Slot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        open_when_there(slot).close()
        there, looked = pcsc_readers._list_readers, []

        def later(context: int) -> list[str]:
            looked.append(context)
            return there(context) if len(looked) > 3 else []

        monkeypatch.setattr(pcsc_readers, "_list_readers", later)
        with pytest.raises(CardRemovedError, match="readers: none"):
            open_link(f"pcsc:{slot.reader}", 5)
        assert len(looked) == 1
        with open_link(f"pcsc:{slot.reader}?wait=20", 5) as link:
            assert link.transmit(GET_DATA) == bytes.fromhex("AABBCC9000")
        assert card.run == [GET_DATA]
