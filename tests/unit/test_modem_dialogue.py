"""AT answers: lines of every kind, unsolicited result codes anywhere, and any bytes at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card.errors import ProtocolError
from opentsm_card.modem import AtDialogue, AtResult, LineReader, known_modems, modem_entry, parse_apdu, parse_session
from opentsm_card.modem.lines import MAX_LINE_BYTES

CSIM = 'AT+CSIM=10,"0070000001"'
ANSWER = '+CSIM: 6,"019000"'


def read(data: bytes, prefix: str | None = "+CSIM:") -> AtResult | None:
    return AtDialogue(CSIM, prefix).feed(data)


class TestLines:
    @pytest.mark.parametrize("end", ["\r\n", "\r", "\n", "\r\r\n", "\n\r"])
    @pytest.mark.parametrize("echo", ["", CSIM])
    def test_every_way_to_end_a_line_and_echo_or_none(self, end: str, echo: str) -> None:
        result = read(f"{echo}{end}{end}{ANSWER}{end}{end}OK{end}".encode())
        assert result == AtResult(None, None, ' 6,"019000"', ())

    @given(st.lists(st.binary(max_size=20), max_size=20))
    def test_pieces_make_no_difference(self, pieces: list[bytes]) -> None:
        pieced = LineReader()
        assert [line for piece in pieces for line in pieced.feed(piece)] == LineReader().feed(b"".join(pieces))

    def test_a_line_without_end_is_refused_and_memory_is_bounded(self) -> None:
        reader = LineReader()
        assert reader.feed(b"x" * MAX_LINE_BYTES) == []
        with pytest.raises(ProtocolError, match="more than"):
            reader.feed(b"x")
        assert not reader.unfinished

    def test_the_longest_r_apdu_is_a_line(self) -> None:
        digits = "AB" * 65536 + "9000"
        result = read(f'+CSIM: {len(digits)},"{digits}"\r\nOK\r\n'.encode())
        assert result is not None
        assert result.answer is not None
        assert len(parse_apdu(result.answer)) == 65538


class TestAnswers:
    @pytest.mark.parametrize("noise", ["RING", "+CREG: 1", "NO CARRIER", '+CMTI: "SM",3', "^RSSI:12", "\xff\x00"])
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_unsolicited_codes_are_no_answer_wherever_they_stand(self, noise: str, place: int) -> None:
        lines = [CSIM, ANSWER, "OK"]
        lines.insert(place, noise)
        result = read("".join(f"\r\n{line}\r\n" for line in lines).encode("latin-1"))
        assert result is not None
        assert (result.error, result.answer) == (None, ' 6,"019000"')

    @pytest.mark.parametrize(
        ("line", "cme"),
        [
            ("ERROR", None),
            ("+CME ERROR: 10", 10),
            ("+CME ERROR: SIM not inserted", None),
            ("+CMS ERROR: 500", None),
            ("COMMAND NOT SUPPORT", None),
        ],
    )
    def test_refusals(self, line: str, cme: int | None) -> None:
        result = read(f"\r\n{line}\r\n".encode())
        assert result is not None
        assert (result.error, result.cme) == (line, cme)

    def test_no_result_code_is_no_answer(self) -> None:
        assert read(f"\r\n{ANSWER}\r\n\r\nOK".encode()) is None

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (f"{ANSWER}\r\n{ANSWER}\r\nOK\r\n", "two answers"),
            ('+CGLA: 4,"9000"\r\nOK\r\n', "another command"),
            (f"{ANSWER}\r\nOK\r\n\r\nOK\r\n", "twice"),
        ],
    )
    def test_what_can_only_be_another_commands_is_not_taken(self, text: str, problem: str) -> None:
        with pytest.raises(ProtocolError, match=problem):
            read(text.encode())

    @given(st.binary(max_size=300))
    def test_any_bytes_are_an_answer_or_none_or_refused(self, data: bytes) -> None:
        try:
            result = read(data + b"\r\nOK\r\n")
        except ProtocolError:
            return
        assert result is not None

    @given(st.text('0123456789ABCDEFabcdef", +CSIM:xOKERR\r\n', max_size=80))
    def test_what_nearly_is_an_answer_is_parsed_or_refused(self, text: str) -> None:
        for parse in (parse_apdu, parse_session):
            try:
                parse(text)
            except ProtocolError:
                continue

    @given(st.binary(min_size=2, max_size=300), st.sampled_from(["", " "]), st.sampled_from(["", '"']))
    def test_r_apdus_in_every_style(self, r_apdu: bytes, space: str, quote: str) -> None:
        digits = r_apdu.hex().upper() if r_apdu[0] & 1 else r_apdu.hex()
        text = f"{quote}{digits}{quote}"
        assert parse_apdu(f"{space}{len(digits)},{text}") == r_apdu

    @pytest.mark.parametrize("text", ['4,"90"', '2,"90"', '5,"90000"', '4,"90G0"', '4,"9000', "4", '-4,"9000"', ""])
    def test_lengths_and_digits_must_be_right(self, text: str) -> None:
        with pytest.raises(ProtocolError):
            parse_apdu(text)

    @pytest.mark.parametrize(
        ("text", "session"), [(" 58", "58"), ("1", "1"), (" 000000000385a7cf", "000000000385a7cf")]
    )
    def test_a_session_is_handed_back_as_it_came(self, text: str, session: str) -> None:
        assert parse_session(text) == session


def test_the_table_names_each_modem_once_with_its_source() -> None:
    modems = known_modems()
    assert len({entry.model for entry in modems}) == len(modems)
    for entry in modems:
        assert entry.quirks
        assert entry.source
        assert modem_entry(f"xyz {entry.model.lower()}-rev1") == entry
    assert modem_entry("some other modem") is None
