"""The parser of `card.toml` raises ProtocolError, or returns a whole document, whatever it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apply_bench import DOCUMENT
from opentsm_card.errors import ProtocolError
from opentsm_tools.card.apply_document import CardDocument, privileges_of, read_document

if TYPE_CHECKING:
    from pathlib import Path

GOOD = DOCUMENT.encode()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents") / "card.toml"


def check(path: Path, document: bytes) -> None:
    path.write_bytes(document)
    try:
        parsed = read_document(path)
    except ProtocolError:
        return
    assert isinstance(parsed, CardDocument)
    for application in parsed.application:
        privileges_of(application.privileges)
        bytes.fromhex(application.parameters)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes(path: Path, document: bytes) -> None:
    check(path, document)


PIECES = st.sampled_from(
    [b'"', b"]", b"\n[", b"= 1", b"aid", b"[[application]]\n", b"keys = 1", b"\x00", b"\xff", b"true"]
)


@given(st.data())
def test_a_document_with_a_piece_replaced(path: Path, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD) - 1))
    end = data.draw(st.integers(start, min(len(GOOD), start + 40)))
    check(path, GOOD[:start] + data.draw(st.one_of(st.binary(max_size=4), PIECES)) + GOOD[end:])


def test_a_document_cut_short(path: Path) -> None:
    for length in range(0, len(GOOD) - 1, 5):
        check(path, GOOD[:length])
