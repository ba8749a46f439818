"""EF.ATR/INFO, and what an answer to reset says of it."""

from __future__ import annotations

import pytest

from atr_maker import make_atr
from opentsm_card.atr import Atr
from opentsm_card.ef_atr import EXTENDED_LENGTH_IN_EF_ATR, EfAtr, is_announced
from opentsm_card.errors import ProtocolError

# From a card: https://stackoverflow.com/questions/45207788.
CARD = bytes.fromhex("4301F84703F741E07F6608020205F0020205F0")


@pytest.mark.parametrize("padding", ["", "00", "FFFF", "0000FF"])
def test_a_card_s_file(padding: str) -> None:
    file = EfAtr.parse(CARD + bytes.fromhex(padding))
    assert file.capabilities is not None
    assert {"command chaining", "extended Lc and Le", EXTENDED_LENGTH_IN_EF_ATR} < set(file.capabilities)
    assert (file.most_command_bytes, file.most_response_bytes) == (1520, 1520)


def test_a_size_that_ends_in_00_is_no_padding() -> None:
    assert EfAtr.parse(bytes.fromhex("7F660802020400020209000000")).most_response_bytes == 0x900


def test_a_file_that_says_nothing_of_it() -> None:
    assert EfAtr.parse(b"") == EfAtr.parse(bytes.fromhex("4301F80000")) == EfAtr()


def test_cut_at_every_offset() -> None:
    whole = {0: 0, 3: 1, 8: 2, len(CARD): 3}
    for end in range(len(CARD) + 1):
        if end in whole:
            EfAtr.parse(CARD[:end])
        else:
            with pytest.raises(ProtocolError):
                EfAtr.parse(CARD[:end])


@pytest.mark.parametrize("sizes", ["7F6604020205F0", "7F6600", "7F6606020100020100", "7F660802020400030205F0"])
def test_sizes_that_are_none(sizes: str) -> None:
    with pytest.raises(ProtocolError, match="7F66"):
        EfAtr.parse(bytes.fromhex(sizes))


@pytest.mark.parametrize(
    ("historical", "announced"),
    [
        ("", False),
        ("8073000020", True),  # card capabilities promise 7F66
        ("80730000C0", False),  # they say all
        ("803198", True),  # card service data: objects in EF.ATR, by READ BINARY
        ("803199", False),  # but there is no MF
        ("803194", False),  # by GET DATA
        ("803188", False),  # nothing in EF.ATR
        ("80319873000080", False),  # the capabilities are here
        ("C09873000020", False),  # proprietary
    ],
)
def test_what_the_answer_to_reset_says_of_it(historical: str, *, announced: bool) -> None:
    assert is_announced(Atr.parse(make_atr(historical=bytes.fromhex(historical)))) is announced
