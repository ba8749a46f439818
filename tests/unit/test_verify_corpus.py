"""The verifier on converted packages: token mappings of CAP format 2.3, imports of other packages, mutations."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from random import Random

import pytest

from cap_mutator import mutate, pack
from opentsm_build.build import convert_project
from opentsm_build.cap import CapFile, ComponentTag
from opentsm_build.cap.classes import ClassInfo
from opentsm_build.project import Project
from opentsm_build.verify import verify
from opentsm_card.errors import CapError

CORPUS = Path(__file__).parents[1] / "corpus"


def converted(name: str, target: str) -> CapFile:
    return convert_project(dataclasses.replace(Project.load(CORPUS / name), target=target))[0].cap


def test_token_mappings_are_held_to_the_superclass() -> None:
    cap = converted("library", "3.2.0")
    assert cap.format_version == (2, 3)
    assert verify(cap).whole
    heirs = [
        index
        for index, entry in enumerate(cap.classes.entries)
        if isinstance(entry, ClassInfo) and len(entry.public_virtual_method_token_mapping) > 1
    ]
    assert heirs
    for index in heirs:
        entry = cap.classes.entries[index]
        assert isinstance(entry, ClassInfo)
        mapping = entry.public_virtual_method_token_mapping
        for changes, said in (
            ({"public_virtual_method_token_mapping": (*mapping[:-1], mapping[-1] ^ 1)}, "token mapping"),
            ({"public_virtual_method_token_mapping": (mapping[0] ^ 1, *mapping[1:])}, "token mapping"),
            (
                {"cap22_inheritable_public_method_token_count": len(mapping) + 1},
                "inheritable_public_method_token_count",
            ),
        ):
            changed = dataclasses.replace(entry, **changes)
            entries = (*cap.classes.entries[:index], changed, *cap.classes.entries[index + 1 :])
            data = dataclasses.replace(cap.classes, entries=entries).encode((2, 3))
            with pytest.raises(CapError, match=said):
                verify(dataclasses.replace(cap, components={**cap.components, ComponentTag.CLASS: data}))


def test_an_heir_of_another_package_needs_its_export_file() -> None:
    library = convert_project(Project.load(CORPUS / "library"))[0]
    heir = convert_project(Project.load(CORPUS / "heir"))[0]
    assert verify(heir.cap, [library.exports]).whole
    with pytest.raises(CapError, match=f"{library.cap.package_aid} version .* give its export file"):
        verify(heir.cap)


@pytest.mark.parametrize("target", ["2.2.2", "3.2.0"])
def test_mutations_end_in_an_error_or_pass(target: str) -> None:
    cap = converted("library", target)
    rejected = 0
    for seed in range(200):
        with contextlib.suppress(CapError):
            verify(CapFile.parse(pack(mutate(cap, Random(seed))[1])))
            continue
        rejected += 1
    assert 120 < rejected < 200
