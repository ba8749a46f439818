"""T=1, block by block: the scenarios of ISO/IEC 7816-3:2006, annex A, and each rule of 11.6.3.2, on both sides."""

from __future__ import annotations

import pytest

from line_script import Waits, b, play
from opentsm_card.errors import LinkTimeoutError, ProtocolError, TransportError
from opentsm_card.transmission.t1 import T1Reader, T1Times
from opentsm_card.transmission.t1_block import Block, Kind, S, checksum, split
from opentsm_card.transmission.t1_card import T1CardSide

TIMES = T1Times(1.0, 0.1)
COMMAND = "00A4000C"
ASK_IFS = "> " + b("00C101FE")
GIVE_IFS = "< " + b("00E101FE")


def reader(ifsc: int = 32) -> T1Reader:
    """Return a reader that has told its IFSD."""
    side = T1Reader(TIMES, ifsc, crc=False)
    play(side.start(), [ASK_IFS, GIVE_IFS])
    return side


def exchanged(side: T1Reader, script: list[str], command: str = COMMAND, waits: Waits | None = None) -> str:
    response = play(side.exchange(bytes.fromhex(command)), script, waits)
    assert response is not None
    return response.hex().upper()


def i(number: int, information: str, *, more: bool = False) -> str:
    data = bytes.fromhex(information)
    return b(bytes((0, number << 6 | more << 5, len(data))).hex() + information)


def r(number: int, error: int = 0) -> str:
    return b(bytes((0, 0x80 | number << 4 | error, 0)).hex())


SENT = f"> {i(0, COMMAND)}"
OK = f"< {i(0, '9000')}"
RESYNCH, RESYNCHED = f"> {b('00C000')}", f"< {b('00E000')}"
GARBLED = "< 00000290FF00"


class TestBlocks:
    def test_an_lrc_is_the_sum_of_all_and_a_crc_finds_what_it_misses(self) -> None:
        assert checksum(bytes.fromhex("00C101FE"), crc=False) == b"\x3e"
        # The check value of the CRC with this polynomial and start, before it would be turned (MCRF4XX).
        assert checksum(b"123456789", crc=True) == bytes.fromhex("6F91")

    @pytest.mark.parametrize("crc", [False, True])
    @pytest.mark.parametrize(
        "block",
        [
            Block.i(0, b"", more=False),
            Block.i(1, bytes(254), more=True),
            Block.r(1),
            Block.r(0, 2),
            Block.s(S.IFS, 254),
            Block.s(S.WTX, 255, response=True),
            Block.s(S.RESYNCH),
            Block.s(S.ABORT, response=True),
        ],
    )
    def test_a_block_comes_back_and_is_refused_at_every_cut(self, block: Block, *, crc: bool) -> None:
        encoded = block.encode(crc=crc)
        assert Block.parse(encoded, crc=crc) == block
        for end in range(len(encoded)):
            with pytest.raises(ProtocolError):
                Block.parse(encoded[:end], crc=crc)
        with pytest.raises(ProtocolError):
            Block.parse(encoded + b"\x00", crc=crc)
        for position in range(len(encoded)):
            turned = bytearray(encoded)
            turned[position] ^= 0x20
            with pytest.raises(ProtocolError):
                Block.parse(bytes(turned), crc=crc)

    @pytest.mark.parametrize(
        "text",
        [
            "01000100",
            "000101AA",
            "00830100",
            "00A000",
            "008300",
            "00C400",
            "00C100",
            "00C10100",
            "00C101FF",
            "00C30100",
        ],
    )
    def test_what_is_no_block_though_its_check_fits(self, text: str) -> None:
        with pytest.raises(ProtocolError, match="T=1 block"):
            Block.parse(bytes.fromhex(b(text)), crc=False)

    def test_what_a_block_says(self) -> None:
        block = Block.i(1, b"x", more=True)
        assert (block.kind, block.number, block.more) == (Kind.I, 1, True)
        assert (Block.r(1).kind, Block.r(1).number) == (Kind.R, 1)
        assert (Block.s(S.WTX, 3).about, Block.s(S.WTX, 3).is_response) == (S.WTX, False)
        assert split(b"", 5) == [b""]
        assert split(b"123456", 5) == [b"12345", b"6"]


class TestReader:
    """The reader's side; annex A's scenarios by number."""

    def test_1_blocks_are_numbered_in_turn(self) -> None:
        side = reader()
        for number in (0, 1, 0):
            assert exchanged(side, [f"> {i(number, COMMAND)}", f"< {i(number, 'AA9000')}"]) == "AA9000"
        assert side.retransmissions == 0

    def test_the_card_s_ifs_changes_the_blocks_that_follow(self) -> None:
        side = reader(ifsc=4)
        script = [
            f"> {i(0, '00A40400', more=True)}",
            "< " + b("00C10102"),
            "> " + b("00E10102"),
            f"< {r(1)}",
            f"> {i(1, '02AA', more=True)}",
            f"< {r(0)}",
            f"> {i(0, 'BB')}",
            f"< {i(0, '9000')}",
        ]
        assert exchanged(side, script, "00A4040002AABB") == "9000"

    def test_more_time_is_given_and_waited_for(self) -> None:
        waits = Waits()
        script = [SENT, "< " + b("00C30105"), "> " + b("00E30105"), OK]
        assert exchanged(reader(), script, waits=waits) == "9000"
        assert [first for _, first, _ in waits if first >= 1] == [1.0, 5.0]

    def test_chains_both_ways(self) -> None:
        side = reader(ifsc=4)
        script = [
            f"> {i(0, '00A40400', more=True)}",
            f"< {r(1)}",
            f"> {i(1, '02AABB')}",
            f"< {i(0, '0102', more=True)}",
            f"> {r(1)}",
            f"< {i(1, '03', more=True)}",
            f"> {r(0)}",
            f"< {i(0, '9000')}",
        ]
        assert exchanged(side, script, "00A4040002AABB") == "0102039000"
        assert exchanged(side, [f"> {i(0, COMMAND)}", f"< {i(1, '9000')}"]) == "9000"

    @pytest.mark.parametrize(("heard", "error"), [(GARBLED, 1), ("< 0000", 2), ("-", 2), (f"< {b('008300')}", 2)])
    def test_7_1_what_can_not_be_read_is_asked_for_again(self, heard: str, error: int) -> None:
        side = reader()
        assert exchanged(side, [SENT, heard, f"> {r(0, error)}", OK]) == "9000"
        assert side.retransmissions == 1

    def test_a_card_that_asks_again_gets_the_block_again(self) -> None:
        assert exchanged(reader(), [SENT, f"< {r(0, 1)}", SENT, OK]) == "9000"

    def test_7_2_an_r_block_is_sent_again_as_it_is(self) -> None:
        # The card did not get our R-block either, and says what it waits for.
        script = [SENT, GARBLED, f"> {r(0, 1)}", f"< {r(1, 1)}", f"> {r(0, 1)}", OK]
        assert exchanged(reader(), script) == "9000"

    def test_a_lost_block_is_sent_once_more_only_when_the_card_says_so(self) -> None:
        script = [SENT, "-", f"> {r(0, 2)}", f"< {r(0)}", SENT, OK]
        assert exchanged(reader(), script) == "9000"

    def test_a_lost_acknowledgement_in_a_chain_of_ours(self) -> None:
        script = [
            f"> {i(0, '00A40400', more=True)}",
            GARBLED,
            f"> {r(0, 1)}",
            f"< {r(1)}",
            f"> {i(1, '02AABB')}",
            OK,
        ]
        assert exchanged(reader(ifsc=4), script, "00A4040002AABB") == "9000"

    def test_a_lost_block_in_a_chain_of_the_card_s(self) -> None:
        script = [
            SENT,
            f"< {i(0, '01', more=True)}",
            f"> {r(1)}",
            GARBLED,
            f"> {r(1)}",
            f"< {i(1, '9000')}",
        ]
        assert exchanged(reader(), script) == "019000"

    def test_a_block_of_the_wrong_number_is_not_believed(self) -> None:
        assert exchanged(reader(), [SENT, f"< {i(1, '6F00')}", f"> {r(0, 2)}", OK]) == "9000"

    def test_7_4_2_after_three_attempts_it_resynchronises_and_does_not_run_the_command_again(self) -> None:
        side = reader()
        script = [SENT, GARBLED, f"> {r(0, 1)}", GARBLED, f"> {r(0, 1)}", GARBLED, RESYNCH, RESYNCHED]
        with pytest.raises(TransportError, match="may or may not have run"):
            exchanged(side, script)
        # Both are in their first state again.
        assert exchanged(side, [ASK_IFS, GIVE_IFS, SENT, OK]) == "9000"

    def test_a_command_that_was_not_sent_whole_is_given_again(self) -> None:
        first = f"> {i(0, '00A40400', more=True)}"
        script = [
            first,
            GARBLED,
            f"> {r(0, 1)}",
            GARBLED,
            f"> {r(0, 1)}",
            GARBLED,
            RESYNCH,
            RESYNCHED,
            ASK_IFS,
            GIVE_IFS,
        ]
        script += [first, f"< {r(1)}", f"> {i(1, '02AABB')}", OK]
        assert exchanged(reader(ifsc=4), script, "00A4040002AABB") == "9000"

    def test_but_not_for_ever(self) -> None:
        lost = [f"> {i(0, '00A40400', more=True)}", GARBLED, f"> {r(0, 1)}", GARBLED, f"> {r(0, 1)}", GARBLED]
        script = [*lost, RESYNCH, RESYNCHED, ASK_IFS, GIVE_IFS, *lost, RESYNCH, RESYNCHED]
        with pytest.raises(TransportError, match="the card has not run it"):
            exchanged(reader(ifsc=4), script, "00A4040002AABB")

    def test_7_4_3_a_card_that_does_not_resynchronise_needs_a_reset(self) -> None:
        silent = [SENT, "-", f"> {r(0, 2)}", "-", f"> {r(0, 2)}", "-", *([RESYNCH, "-"] * 3)]
        with pytest.raises(LinkTimeoutError, match="does not answer"):
            exchanged(reader(), silent)
        noisy = [*silent[:-1], "< 00E000FF"]
        with pytest.raises(TransportError, match="can't be read"):
            exchanged(reader(), noisy)

    def test_7_4_1_at_the_start_there_are_three_attempts(self) -> None:
        side = T1Reader(TIMES, 32, crc=False)
        play(side.start(), [ASK_IFS, GARBLED, ASK_IFS, "-", ASK_IFS, GIVE_IFS])
        with pytest.raises(LinkTimeoutError, match="at the start"):
            play(side.start(), [ASK_IFS, "-"] * 3)

    def test_9_a_card_that_aborts_our_chain(self) -> None:
        side = reader(ifsc=4)
        script = [f"> {i(0, '00A40400', more=True)}", "< " + b("00C200"), "> " + b("00E200"), f"< {r(1)}"]
        with pytest.raises(TransportError, match="aborted"):
            exchanged(side, script, "00A4040002AABB")
        assert exchanged(side, [f"> {i(1, COMMAND)}", OK]) == "9000"

    def test_9_a_response_without_end_is_aborted(self) -> None:
        script = [SENT, f"< {i(0, '00' * 254, more=True)}"]
        for number in range(1, 259):
            script += [f"> {r(number % 2)}", f"< {i(number % 2, '00' * 254, more=True)}"]
        script += ["> " + b("00C200"), "< " + b("00E200")]
        with pytest.raises(TransportError, match="more than 65538 bytes"):
            exchanged(reader(), script)

    def test_the_card_can_not_resynchronise_nor_answer_what_was_not_asked(self) -> None:
        script = [SENT, "< " + b("00C000"), f"> {r(0, 2)}", "< " + b("00E300")[:8], f"> {r(0, 2)}", OK]
        assert exchanged(reader(), script) == "9000"

    @pytest.mark.parametrize("size", [0, 3, 65545])
    def test_what_is_no_command_is_not_sent(self, size: int) -> None:
        with pytest.raises(ProtocolError):
            play(reader().exchange(bytes(size)), [])

    def test_the_answer_cut_at_every_offset_is_asked_for_again(self) -> None:
        whole = bytes.fromhex(i(0, "AABB9000"))
        for end in range(1, len(whole)):
            assert exchanged(reader(), [SENT, f"< {whole[:end].hex()}", f"> {r(0, 2)}", OK]) == "9000"


class TestCard:
    """The card's side."""

    @staticmethod
    def served(script: list[str], *, ifsc: int = 32) -> None:
        assert play(T1CardSide(TIMES, ifsc, crc=False).serve(), script) is None

    def test_a_command_is_run_once_whatever_is_asked_for_again(self) -> None:
        answer = f"> {i(0, '9000')}"
        self.served([
            f"< {i(0, COMMAND)}", f"! {COMMAND}", "= 9000", answer,
            f"< {r(0, 1)}", answer,
            f"< {r(0, 2)}", answer,
            # The same block again is not the next: it is not run.
            f"< {i(0, COMMAND)}", f"> {r(1, 2)}",
            f"< {i(1, COMMAND)}", f"! {COMMAND}", "= 6A82", f"> {i(1, '6A82')}",
        ])  # fmt: skip

    def test_chains_both_ways(self) -> None:
        self.served([
            "< " + b("00C10102"), "> " + b("00E10102"),
            f"< {i(0, '00A404', more=True)}", f"> {r(1)}",
            f"< {i(1, '0001AA')}", "! 00A4040001AA", "= 0102039000", f"> {i(0, '0102', more=True)}",
            f"< {r(1)}", f"> {i(1, '0390', more=True)}",
            f"< {r(1, 1)}", f"> {i(1, '0390', more=True)}",
            f"< {r(0)}", f"> {i(0, '00')}",
        ])  # fmt: skip

    def test_what_can_not_be_read_is_asked_for_again(self) -> None:
        self.served([GARBLED, f"> {r(0, 1)}", "< 0000", f"> {r(0, 2)}", f"< {r(1)}", f"> {r(0, 2)}"])

    def test_a_reader_whose_block_never_came_is_told(self) -> None:
        self.served([
            f"< {i(0, COMMAND)}", f"! {COMMAND}", "= 9000", f"> {i(0, '9000')}",
            # It sent I(1), which was lost altogether, and asks for our I(1).
            f"< {r(1, 2)}", f"> {r(1, 2)}",
            f"< {i(1, COMMAND)}", f"! {COMMAND}", "= 9000", f"> {i(1, '9000')}",
        ])  # fmt: skip

    def test_it_asks_for_time(self) -> None:
        ask = "> " + b("00C30102")
        self.served([
            f"< {i(0, COMMAND)}", f"! {COMMAND}", "= later", ask,
            "< 00E30102FF", ask,
            f"< {r(0, 1)}", ask,
            "< " + b("00E30102"), "= later", ask,
            "< " + b("00E30102"), "= 9000", f"> {i(0, '9000')}",
        ])  # fmt: skip

    def test_a_reader_that_resynchronises_meanwhile(self) -> None:
        self.served([
            f"< {i(0, COMMAND)}", f"! {COMMAND}", "= later", "> " + b("00C30102"),
            "< " + b("00C000"), "= 9000", "> " + b("00E000"),
            f"< {i(0, COMMAND)}", f"! {COMMAND}", "= 6D00", f"> {i(0, '6D00')}",
        ])  # fmt: skip

    def test_an_aborted_chain_is_forgotten(self) -> None:
        self.served([
            f"< {i(0, '00A404', more=True)}", f"> {r(1)}",
            "< " + b("00C200"), "> " + b("00E200"),
            f"< {i(1, COMMAND)}", f"! {COMMAND}", "= 9000", f"> {i(0, '9000')}",
        ])  # fmt: skip

    def test_a_command_without_end_is_aborted(self) -> None:
        script = []
        for number in range(259):
            script += [f"< {i(number % 2, '00' * 254, more=True)}", f"> {r((number + 1) % 2)}"]
        script[-1] = "> " + b("00C200")
        self.served([*script, "< " + b("00E200"), f"> {r(1)}", f"< {i(1, COMMAND)}", f"! {COMMAND}", "= 9000",
                     f"> {i(0, '9000')}"])  # fmt: skip

    @pytest.mark.parametrize("text", ["00C30105", "00E101FE"])
    def test_what_is_not_the_reader_s_to_say(self, text: str) -> None:
        self.served(["< " + b(text), f"> {r(0, 2)}"])

    def test_a_block_cut_at_every_offset_is_not_run(self) -> None:
        whole = bytes.fromhex(i(0, COMMAND))
        for end in range(1, len(whole)):
            self.served([f"< {whole[:end].hex()}", f"> {r(0, 2)}"])
