"""pcapng traces, read back by another implementation and byte by byte."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import pytest
from pcapng import FileScanner
from pcapng.blocks import EnhancedPacket, InterfaceDescription, SectionHeader

from opentsm_agent.links.replay import Exchange, ScriptedLink
from opentsm_agent.links.traced import ApduTrace, RecordedLink
from opentsm_card.errors import CardRemovedError, StorageError
from opentsm_card.gsmtap import apdu_packet, atr_packet, beginning
from opentsm_card.redaction import hide_data

if TYPE_CHECKING:
    from pathlib import Path

GET_DATA, CPLC = bytes.fromhex("80CA9F7F04"), bytes.fromhex("9F7F01029000")


def blocks(data: bytes) -> list[object]:
    return list(FileScanner(io.BytesIO(data)))


def packets(data: bytes) -> list[tuple[int, bytes, str]]:
    """Sub-type, payload and comment of each packet."""
    return [
        (block.packet_data[40], block.packet_data[44:], block.options.get("opt_comment", ""))
        for block in blocks(data)
        if isinstance(block, EnhancedPacket)
    ]


def test_another_implementation_reads_it() -> None:
    data = beginning("ese-1") + atr_packet(1_000_001, b"\x3b\x00") + apdu_packet(2_500_000, GET_DATA, CPLC, "hello")
    section, interface, atr, apdu = blocks(data)
    assert isinstance(section, SectionHeader)
    assert section.options["shb_userappl"] == "opentsm"
    assert isinstance(interface, InterfaceDescription)
    assert (interface.link_type, interface.options["if_name"]) == (101, "ese-1")
    assert isinstance(atr, EnhancedPacket)
    assert isinstance(apdu, EnhancedPacket)
    assert (atr.timestamp, apdu.timestamp) == (1.000001, 2.5)
    assert packets(data) == [(1, b"\x3b\x00", ""), (0, GET_DATA + CPLC, "hello")]


def test_a_packet_is_gsmtap_over_udp_and_ipv4() -> None:
    packet = next(
        block for block in blocks(beginning("") + apdu_packet(0, GET_DATA, CPLC)) if isinstance(block, EnhancedPacket)
    )
    datagram = packet.packet_data
    words = struct.unpack(">10H", datagram[:20])
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF, "the header's checksum"
    assert datagram[0] == 0x45
    assert words[1] == len(datagram)
    source, target, length, _ = struct.unpack(">4H", datagram[20:28])
    assert (source, target, length) == (4729, 4729, len(datagram) - 20)
    assert datagram[28:32] == bytes((2, 4, 4, 0)), "version 2, 16 bytes, SIM"


def test_asking_for_all_shows_the_length_that_came_as_t_0_does() -> None:
    everything = apdu_packet(0, bytes.fromhex("80CA9F7F00"), CPLC)
    nothing = apdu_packet(0, bytes.fromhex("80CA9F7F00"), b"\x6a\x88")
    assert [payload for _, payload, _ in packets(beginning("") + everything + nothing)] == [
        GET_DATA + CPLC,
        bytes.fromhex("80CA9F7F006A88"),
    ]


def test_an_apdu_too_long_for_a_datagram_is_cut_and_says_so() -> None:
    ((_, payload, comment),) = packets(beginning("") + apdu_packet(0, bytes(65544), b"\x90\x00", "se"))
    assert len(payload) == 65491
    assert comment == "se; cut, it had 65546 bytes"


@pytest.mark.parametrize(
    ("command", "answer", "shown"),
    [
        ("80CA9F7F00", "9F7F9000", "80CA9F7F00 9F7F9000"),
        ("84E60C0004AABBCCDD00", "01029000", "84E60C0004 0000000000 0000 9000"),
        ("60E600000000", "9000", "60E600000000 9000"),
        ("84E60C00000002AABB0000", "9000", "84E60C00000002 00000000 9000"),
        ("0020008104313233 34", "63C2", "0020008104 00000000 63C2"),
        ("80E2000002AABB", "6A80", "80E2000002 0000 6A80"),
        ("84500000", "", "84500000"),
        ("84", "6700", "84 6700"),
    ],
)
def test_what_could_be_secret_is_zeros_of_the_same_length(command: str, answer: str, shown: str) -> None:
    hidden_command, hidden_answer, _ = hide_data(bytes.fromhex(command), bytes.fromhex(answer))
    assert hidden_command + hidden_answer == bytes.fromhex(shown)
    assert len(hidden_command) == len(bytes.fromhex(command))


def test_a_link_is_recorded_with_its_failures(tmp_path: Path) -> None:
    path = tmp_path / "t.pcapng"
    trace = ApduTrace(path)
    card = ScriptedLink([Exchange(GET_DATA, CPLC), Exchange(bytes.fromhex("84E2000002AABB"), "removed")])
    with RecordedLink(card, trace, "ese-1") as link:
        link.reset()
        link.transmit(GET_DATA)
        with pytest.raises(CardRemovedError):
            link.transmit(bytes.fromhex("84E2000002AABB"))
    trace.close()
    assert packets(path.read_bytes()) == [
        (1, bytes.fromhex("3B80800101"), "ese-1"),
        (0, GET_DATA + CPLC, "ese-1"),
        (0, bytes.fromhex("84E20000020000"), "ese-1, data left out, replay: removed, as recorded"),
    ]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_second_run_adds_a_section_and_a_big_file_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "t.pcapng"
    for _ in range(2):
        trace = ApduTrace(path)
        trace.atr("a", b"\x3b")
        trace.close()
    assert len(packets(path.read_bytes())) == 2
    trace = ApduTrace(path, most_bytes=500)
    for _ in range(20):
        trace.atr("b", b"\x3b")
    trace.close()
    assert path.stat().st_size <= 500
    assert packets((tmp_path / "t.pcapng.1").read_bytes())
    assert packets(path.read_bytes())[-1] == (1, b"\x3b", "b")


def test_a_trace_that_can_t_be_written_is_given_up_once(tmp_path: Path) -> None:
    told: list[StorageError] = []
    trace = ApduTrace(tmp_path / "folder.pcapng", most_bytes=10, on_failure=told.append)
    (tmp_path / "folder.pcapng.1").mkdir()
    for _ in range(3):
        trace.atr("a", b"\x3b")
    assert len(told) == 1
    with pytest.raises(StorageError, match="No such file"):
        ApduTrace(tmp_path / "none" / "t.pcapng")
