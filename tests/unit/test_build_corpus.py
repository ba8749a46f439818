"""The corpus: small packages, one for each thing that real applets do, built and run beside their original classes."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from card_twin import Twins, random_arguments
from opentsm_build.build import convert_project
from opentsm_build.cap import CapFile
from opentsm_build.classfile import parse_class
from opentsm_build.project import Project
from opentsm_build.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).parents[1] / "corpus"
PACKAGES = sorted(path.parent.name for path in CORPUS.glob("*/applet.toml"))
# What these do needs a card's runtime, or another package: they are run on the virtual SE.
NOT_ALONE = {"heir", "several"}
ROUNDS = 60


def twins(name: str) -> Twins:
    # The methods that are called here are not what the package's applets call.
    conversion, classes = convert_project(dataclasses.replace(Project.load(CORPUS / name), prune=False))
    files = [parse_class(path.read_bytes(), path.name) for path in sorted(classes.rglob("*.class"))]
    return Twins(classes, files, conversion)


@pytest.mark.parametrize("name", [name for name in PACKAGES if name not in NOT_ALONE])
def test_converted_code_does_what_the_classes_do(name: str) -> None:
    pair = twins(name)
    calls = pair.calls()
    assert calls or name == "library"
    rng = random.Random(name)
    for cls, method, descriptor in calls:
        for _ in range(ROUNDS):
            arguments = random_arguments(rng, descriptor)
            # Statics live on from call to call, in both.
            card = pair.card(cls, method, descriptor, arguments)
            assert card == pair.jvm(cls, method, descriptor, arguments), (cls, method, arguments)


@pytest.mark.parametrize("target", ["2.2.2", "3.0.5", "3.2.0"])
@pytest.mark.parametrize("name", PACKAGES)
def test_what_is_converted_passes_our_verifier(name: str, target: str) -> None:
    library, _ = convert_project(dataclasses.replace(Project.load(CORPUS / "library"), target=target))
    project = dataclasses.replace(Project.load(CORPUS / name), target=target)
    for debug in (False, True):
        conversion, _ = convert_project(dataclasses.replace(project, debug=debug))
        verified = verify(conversion.cap, [library.exports] if name == "heir" else [])
        assert verified.whole
        assert verified.methods > 0
        assert CapFile.parse(conversion.cap.encode()).components == conversion.cap.components


def every_switch_key() -> Iterator[tuple[str, int]]:
    for key in range(-0x8000, 0x8000, 1):
        yield "sparse", key
    for key in range(-10, 10):
        yield "dense", key


def test_every_key_of_a_switch_leads_where_it_should() -> None:
    pair = twins("switches")
    for method, key in every_switch_key():
        if method == "sparse" and key % 97 and key not in {-1000, 0, 7, 1000, 0x7FFF}:
            continue
        cls, descriptor = "corpus/switches/Switches", "(S)S"
        assert pair.card(cls, method, descriptor, [key]) == pair.jvm(cls, method, descriptor, [key])


def test_the_corpus_is_converted_to_the_same_bytes_each_time() -> None:
    for name in ("nested", "statics", "heir"):
        first, second = (convert_project(Project.load(CORPUS / name))[0] for _ in range(2))
        assert first.cap.encode() == second.cap.encode()
