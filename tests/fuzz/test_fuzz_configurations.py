"""The parser of SE configurations raises ProtocolError, or returns a whole configuration, whatever it is given."""

from __future__ import annotations

from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card.configurations import CommandName, Configuration, Situation, configuration_names, parse_configuration
from opentsm_card.errors import ProtocolError

DOCUMENTS = tuple(
    (resources.files("opentsm_card") / "configurations" / f"{name}.toml").read_bytes() for name in configuration_names()
)


def check(document: bytes) -> None:
    try:
        parsed = parse_configuration(document)
    except ProtocolError:
        return
    assert isinstance(parsed, Configuration)
    for domain in parsed.domains.values():
        for command in CommandName:
            for at in Situation:
                domain.cell(command, at)


@given(st.binary(max_size=200))
def test_any_bytes(document: bytes) -> None:
    check(document)


@given(st.sampled_from(DOCUMENTS), st.data())
def test_a_configuration_with_a_piece_replaced(document: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(document) - 1))
    end = data.draw(st.integers(start, min(len(document), start + 40)))
    piece = data.draw(
        st.one_of(st.binary(max_size=4), st.sampled_from([b'"', b"]", b"\n[", b"= 1", b"open", b"issuer"]))
    )
    check(document[:start] + piece + document[end:])


@pytest.mark.parametrize("document", DOCUMENTS, ids=configuration_names())
def test_a_configuration_cut_short(document: bytes) -> None:
    for length in range(0, len(document) - 1, 7):
        check(document[:length])
