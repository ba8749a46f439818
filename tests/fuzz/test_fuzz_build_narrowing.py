"""Random Java methods, converted and run beside their original: the rules of narrowing to 16 bits above all.

A method that the converter refuses (a number that may not fit 16 bits) is no fault; one that it takes must do the same.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from card_twin import Twins, compile_classes, convert_classes, random_arguments
from java_expressions import random_class
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = 60
ROUNDS = 12


@pytest.mark.parametrize("ints", [False, True], ids=["shorts", "ints"])
def test_random_methods_do_the_same_on_the_card(tmp_path: Path, *, ints: bool) -> None:
    rng = random.Random(f"narrowing {ints}")
    (tmp_path / "fuzz").mkdir()
    for number in range(CLASSES):
        source = random_class(rng, "fuzz", f"C{number}", ints=ints)
        (tmp_path / "fuzz" / f"C{number}.java").write_text(source)
    folder, files = compile_classes(tmp_path)
    reasons: list[str] = []
    for file in files:
        try:
            conversion = convert_classes([file], allow_int=ints)
        except CapError as error:
            reasons.append(str(error))
            continue
        pair = Twins(folder, [file], conversion)
        ((cls, method, descriptor),) = pair.calls()
        for _ in range(ROUNDS):
            arguments = random_arguments(rng, descriptor)
            card = pair.card(cls, method, descriptor, arguments)
            assert card == pair.jvm(cls, method, descriptor, arguments), (file.name, arguments)
    # A number too wide for a short is the only thing to refuse, and its line is told.
    assert [reason for reason in reasons if "may need more than 16 bits" not in reason or ".java:" not in reason] == []
    assert reasons == [] if ints else 0 < len(reasons) < CLASSES / 2
