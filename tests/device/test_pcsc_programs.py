"""Programs that others wrote, in front of a virtual SE behind pcscd and vpcd: OpenSC's opensc-tool, and pcsc_scan."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import pcsc_bench
from opentsm_card import tlv

if TYPE_CHECKING:
    from pcsc_rig import Pcscd, Slot

ISD = bytes.fromhex("A000000151000000")


class Bench(pcsc_bench.Bench):
    """A reader, and opensc-tool."""

    def number(self) -> str:
        """Return the reader's number in opensc-tool's list."""
        (row,) = (line for line in self.run("opensc-tool", "--list-readers").splitlines() if self.reader in line)
        number, card, *_ = row.split()
        assert card == "Yes"
        return number

    def send(self, *commands: str) -> list[tuple[bytes, int]]:
        """Send APDUs with opensc-tool; return data and status word of each answer."""
        words = [word for command in commands for word in ("--send-apdu", command)]
        shown = self.run("opensc-tool", "--reader", self.number(), *words)
        answers = pcsc_bench.answers(shown)
        assert len(answers) == len(commands), shown
        return answers


@pytest.fixture(params=["embedded", "uicc"])
def bench(request: pytest.FixtureRequest, pcscd: Pcscd, used_slot: Slot) -> Bench:
    return Bench(pcscd, used_slot, request.param)


def test_opensc_tool_lists_the_reader_and_its_atr(bench: Bench) -> None:
    # The card was put in behind pcscd's back: it reads the ATR when the card is reset. opensc-tool asks for the
    # protocol of the ATR before, which a UICC does not have.
    reset = bench.call("opensc-tool", "--reader", bench.number(), "--reset")
    assert reset.returncode == 0 or "sc_reset(cold) failed" in reset.stderr
    atr = bench.run("opensc-tool", "--reader", bench.number(), "--atr")
    assert bytes.fromhex(atr.strip().replace(":", "")) == bench.se.atr


def test_pcsc_scan_lists_the_reader(bench: Bench) -> None:
    listed = bench.run("pcsc_scan", "-r")
    assert re.search(rf"^\d+: {re.escape(bench.reader)}$", listed, re.MULTILINE)


def test_opensc_tool_reads_the_card(bench: Bench) -> None:
    direct = bench.se.link()
    commands = ["00A4040008A00000015100000000", "80CA006600", "80CA9F7F00", "80CA00E000", "80CA004200", "80F2400200"]
    answers = bench.send(*commands)
    expected = [direct.transmit(bytes.fromhex(command)) for command in commands]
    assert [data + sw.to_bytes(2, "big") for data, sw in answers] == expected
    assert [sw for _, sw in answers] == [0x9000] * 5 + [0x6982]
    (fci,) = tlv.parse_all(answers[0][0])
    assert (fci.tag, tlv.find(fci.children(), 0x84)) == (0x6F, ISD)
    (recognition,) = tlv.parse_all(answers[1][0])
    assert recognition.tag == 0x66
    assert len(tlv.parse_all(answers[2][0])[0].value) == 42  # CPLC


def test_opensc_tool_finds_the_directories(bench: Bench) -> None:
    names = ("00A404000E325041592E5359532E444446303100", "00A4040009A00000015143525300")
    ppse, crs, status = bench.send(*names, "80F24000024F0000")
    assert (ppse[1], crs[1], status[1]) == (0x9000, 0x9000, 0x9000)
    assert tlv.parse_all(status[0])[0].tag == 0x61
