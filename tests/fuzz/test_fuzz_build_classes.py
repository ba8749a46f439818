"""Broken class files: the converter answers with a CapError or a CAP file, and nothing else.

`pytest --hypothesis-profile=hunt tests/fuzz/test_fuzz_build_classes.py` runs as many as the hunt profile says.
"""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from card_twin import compile_classes, convert_classes
from opentsm_build.classfile import parse_class
from opentsm_card.errors import CapError

CORPUS = Path(__file__).parents[1] / "corpus"
PACKAGES = ("attempts", "nested", "switches", "ints", "statics", "generics", "compound")


@functools.cache
def classes() -> tuple[bytes, ...]:
    found = []
    for name in PACKAGES:
        folder, _ = compile_classes(CORPUS / name / "src")
        found += [path.read_bytes() for path in sorted(folder.rglob("*.class"))]
    return tuple(found)


edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6)


@given(which=st.integers(0, 1000), edit=edits, allow_int=st.booleans())
def test_a_changed_class_file_gives_a_cap_error_at_most(
    which: int, edit: list[tuple[float, int]], *, allow_int: bool
) -> None:
    data = bytearray(classes()[which % len(classes())])
    for place, value in edit:
        data[int(place * len(data))] = value
    with contextlib.suppress(CapError):
        convert_classes([parse_class(bytes(data))], allow_int=allow_int)


@given(st.binary(max_size=400))
def test_random_bytes_give_a_cap_error(data: bytes) -> None:
    with contextlib.suppress(CapError):
        parse_class(b"\xca\xfe\xba\xbe\0\0\0\x34" + data)
