"""T=0, character by character: procedure bytes on both sides, and which way a command's data go."""

from __future__ import annotations

import pytest

from line_script import Waits, play
from opentsm_card.errors import LinkTimeoutError, ProtocolError, TransportError
from opentsm_card.transmission.t0 import exchange_t0
from opentsm_card.transmission.t0_card import T0CardSide

WT = 1.0


def exchanged(tpdu: str, script: list[str], waits: Waits | None = None) -> str:
    response = play(exchange_t0(bytes.fromhex(tpdu), WT), script, waits)
    assert response is not None
    return response.hex().upper()


class TestReader:
    def test_data_to_the_card_go_at_once_behind_ins(self) -> None:
        script = ["> 80E2000003", "< E2", "> AABBCC", "< 9000"]
        assert exchanged("80E2000003AABBCC", script) == "9000"

    def test_data_from_the_card_come_behind_ins(self) -> None:
        assert exchanged("00B0000002", ["> 00B0000002", "< B0AABB9000"]) == "AABB9000"

    def test_p3_of_zero_is_256_bytes_from_the_card_or_none(self) -> None:
        data = "5A" * 256
        assert exchanged("00B0000000", ["> 00B0000000", f"< B0{data}9000"]) == data + "9000"
        assert exchanged("80F0000000", ["> 80F0000000", "< 6985"]) == "6985"

    def test_one_by_one_both_ways_and_mixed(self) -> None:
        script = ["> 80E2000003", "< 1D", "> AA", "< 1D", "> BB", "< E2", "> CC", "< 9000"]
        assert exchanged("80E2000003AABBCC", script) == "9000"
        assert exchanged("00B0000003", ["> 00B0000003", "< 4F01", "< B00203", "< 9000"]) == "0102039000"

    def test_null_anywhere_asks_for_patience(self) -> None:
        waits = Waits()
        script = ["> 80E2000001", "< 6060", "< E2", "> AA", "< 60", "< 6100"]
        assert exchanged("80E2000001AA", script, waits) == "6100"
        assert {first for _, first, _ in waits} == {WT}

    @pytest.mark.parametrize("sw", ["6E00", "6D00", "6CFE", "61FF", "9000", "9F10"])
    def test_a_status_word_ends_it_at_once(self, sw: str) -> None:
        assert exchanged("80E2000003AABBCC", ["> 80E2000003", f"< {sw}"]) == sw

    @pytest.mark.parametrize("heard", ["< E3", "< 00", "< FF", "< E2"])
    def test_what_is_no_procedure_byte_ends_it(self, heard: str) -> None:
        with pytest.raises(TransportError, match="procedure byte"):
            exchanged("80E2000001AA", ["> 80E2000001", "< E2", "> AA", heard])

    def test_an_answer_cut_at_every_offset_ends_in_a_time_out(self) -> None:
        whole = "B0AABB9000"
        for end in range(0, len(whole), 2):
            script = ["> 00B0000002", *([f"< {whole[:end]}"] if end else []), "-"]
            with pytest.raises(LinkTimeoutError, match="T=0: the card"):
                exchanged("00B0000002", script)

    @pytest.mark.parametrize(
        "tpdu", ["", "00A40000", "00A4000002AA", "00A4000001AABB", "0060000000", "0091000000", "FFA4000000"]
    )
    def test_what_is_no_tpdu_is_not_sent(self, tpdu: str) -> None:
        with pytest.raises(ProtocolError, match="not a TPDU"):
            exchanged(tpdu, [])


class TestCard:
    @staticmethod
    def served(script: list[str], *, one_by_one: bool = False) -> None:
        assert play(T0CardSide(WT, one_by_one=one_by_one).serve(), script) is None

    @pytest.mark.parametrize(
        ("header", "data"),
        [("00A4040002", "3F00"), ("80F2400002", "4F00"), ("80CA2F0002", "5C00"), ("8050000008", "0102030405060708")],
    )
    def test_data_it_knows_to_come_are_asked_for(self, header: str, data: str) -> None:
        ins = header[2:4]
        self.served([f"< {header}", f"> {ins}", f"< {data}", f"! {header}{data}", "= 9000", "> 9000"])

    @pytest.mark.parametrize("header", ["00C0000002", "80CA9F7F02", "A0F2000002", "80F2000102", "00B2010402"])
    def test_data_it_knows_to_give_are_given(self, header: str) -> None:
        self.served([f"< {header}", f"! {header}", "= AABB9000", f"> {header[2:4]}AABB9000"])

    def test_without_data_there_is_the_status_word_alone(self) -> None:
        self.served(
            ["< 80F0000000", "! 80F0000000", "= 6985", "> 6985", "< 00C0000002", "! 00C0000002", "= 6C05", "> 6C05"]
        )

    def test_the_same_header_with_the_right_le_wants_an_answer(self) -> None:
        # SELECT with no AID: P3 was its Le.
        self.served([
            "< 00A4040000", "! 00A4040000", "= 6C02", "> 6C02",
            "< 00A4040002", "! 00A4040002", "= AABB9000", "> A4AABB9000",
            "< 00A4040002", "> A4", "< 3F00", "! 00A40400023F00", "= 6A82", "> 6A82",
        ])  # fmt: skip

    def test_an_instruction_that_it_does_not_know_asks_for_data_and_takes_silence_for_an_le(self) -> None:
        self.served(["< 8001000002", "> 01", "< AABB", "! 8001000002AABB", "= 9000", "> 9000"])
        self.served(["< 8001000002", "> 01", "-", "! 8001000002", "= AABB9000", "> AABB9000"])
        # Any other number of bytes can't be told any more.
        self.served(["< 8001000002", "> 01", "-", "! 8001000002", "= 6D00"])

    def test_patience_is_asked_for_in_time(self) -> None:
        self.served(["< 80F0000000", "! 80F0000000", "= later", "> 60", "= later", "> 60", "= 9000", "> 9000"])

    def test_one_by_one(self) -> None:
        script = ["< 80E2000002", "> 1D", "< AA", "> 1D", "< BB", "! 80E2000002AABB", "= 9000", "> 9000"]
        script += ["< 00B0000002", "! 00B0000002", "= 01029000", "> 4F014F029000"]
        self.served(script, one_by_one=True)
        self.served(["< 80E2000002", "> 1D", "-"], one_by_one=True)

    def test_a_command_cut_at_every_offset_is_not_run(self) -> None:
        for end in range(2, 10, 2):
            self.served([f"< {'80E2000002'[:end]}", "-"][:1])
        self.served(["< 80E2000002", "> E2", "< AA"])

    @pytest.mark.parametrize("header", ["FFA4000000", "0060000000", "0090000000"])
    def test_what_is_no_header_is_not_answered(self, header: str) -> None:
        self.served([f"< {header}"])
