"""The T=0 side of a virtual SE, and its ATR (ISO/IEC 7816-3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_agent.links.t0 import transmit_t0
from opentsm_card.atr import Atr
from opentsm_card.errors import ProtocolError
from opentsm_simulator.t0 import T0Card


class Card:
    """Answers with as many bytes as P1 P2 say, and counts what it ran."""

    def __init__(self) -> None:
        self.ran: list[bytes] = []

    def transmit(self, command: bytes) -> bytes:
        self.ran.append(command)
        size = int.from_bytes(command[2:4], "big")
        return bytes(index & 0xFF for index in range(size)) + b"\x90\x00"


def exchange(t0: T0Card, tpdu: str) -> str:
    return t0.transmit(bytes.fromhex(tpdu)).hex()


def test_a_case_4_response_is_fetched() -> None:
    t0 = T0Card(Card().transmit)
    assert exchange(t0, "8000000401aa") == "6104"
    assert exchange(t0, "00c0000002") == "00016102"
    assert exchange(t0, "00c0000003") == "6c02"
    assert exchange(t0, "00c0000002") == "02039000"
    assert exchange(t0, "00c0000002") != "02039000"  # it is fetched once


def test_the_length_00_fetches_all() -> None:
    t0 = T0Card(Card().transmit)
    assert exchange(t0, "8000010001aa") == "6100"
    assert len(exchange(t0, "80c0000000")) == 2 * 258


def test_another_command_gives_up_what_waits() -> None:
    t0 = T0Card(Card().transmit)
    assert exchange(t0, "8000000401aa") == "6104"
    assert exchange(t0, "80000000") == "9000"
    assert exchange(t0, "00c0000004") == "9000"  # now a command like any other


def test_a_wrong_le_is_put_right_and_the_command_runs_once() -> None:
    card = Card()
    t0 = T0Card(card.transmit)
    assert exchange(t0, "8000000410") == "6c04"
    assert exchange(t0, "8000000404") == "000102039000"
    assert len(card.ran) == 1
    assert exchange(t0, "8000000404") == "000102039000"
    assert len(card.ran) == 2


def test_what_is_no_tpdu_is_answered_as_an_apdu() -> None:
    t0 = T0Card(Card().transmit)
    assert exchange(t0, "8000000401aa00") == "000102039000"  # a case 4 APDU with its Le
    assert exchange(t0, "8000000400") == "000102039000"
    assert exchange(t0, "80000004") == "000102039000"


def test_a_reset_forgets() -> None:
    t0 = T0Card(Card().transmit)
    exchange(t0, "8000000401aa")
    t0.reset()
    assert exchange(t0, "00c0000004") == "9000"


@given(size=st.integers(0, 256), data=st.binary(max_size=255), le=st.one_of(st.none(), st.integers(0, 255)))
def test_a_host_s_side_and_a_card_s_side_understand_each_other(size: int, data: bytes, le: int | None) -> None:
    card = Card()
    command = b"\x80\x00" + size.to_bytes(2, "big")
    command += (bytes((len(data),)) + data if data else b"") + (b"" if le is None else bytes((le,)))
    assert transmit_t0(T0Card(card.transmit).transmit, command) == card.transmit(command)
    assert len(card.ran) == 2


@given(st.binary(max_size=15))
def test_an_atr_takes_other_historical_bytes(historical: bytes) -> None:
    for text in ("3b8000", "3b800181", "3b80800101", "3b85014142434445c5"):
        before = Atr.parse(bytes.fromhex(text))
        after = before.with_historical(historical)
        assert (after.historical, after.protocols) == (historical, before.protocols)
        assert after.check_ok
        assert after.with_historical(before.historical).raw == before.raw


def test_no_more_than_15_historical_bytes_fit() -> None:
    with pytest.raises(ProtocolError, match="16"):
        Atr.parse(bytes.fromhex("3b8000")).with_historical(bytes(16))
