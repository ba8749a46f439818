from __future__ import annotations

import pytest

from opentsm_card.errors import ProtocolError
from opentsm_simulator.uart_faults import Fault, Faults, Garbled


def test_each_happens_once_at_its_character() -> None:
    faults = Faults.parse("drop@3, corrupt@4=81,delay@6=0.5,reset@8")
    assert faults.cross(b"ab") == [b"ab"]
    assert faults.cross(b"cdef") == [
        b"",
        Garbled(ord("d") ^ 0x81, parity_fits=True),
        b"e",
        Fault("delay", 6, 0.5),
        b"f",
    ]
    assert faults.cross(b"ghi") == [b"g", Fault("reset", 8), b"hi"]
    assert faults.cross(b"j") == [b"j"]


def test_two_at_one_character() -> None:
    assert Faults.parse("stick@1,drop@1").cross(b"ab") == [b"", Fault("stick", 1), b"b"]
    assert Faults.parse("drop@1,corrupt@1").cross(b"ab") == [b"b"]
    assert Faults.parse("corrupt@2").cross(b"ab") == [b"a", Garbled(ord("b") ^ 0x10, parity_fits=False), b""]


@pytest.mark.parametrize(
    "text",
    ["", "drop", "drop@", "drop@0", "drop@-1", "drop@x", "melt@1", "drop@1=2", "delay@1=x", "delay@1=-1", "delay@1=nan",
     "corrupt@1=zz", "drop@1,,"],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(ProtocolError, match="fault"):
        Faults.parse(text)
