"""Translated packages that one process keeps for the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from opentsm_build.cap import CapFile, ComponentTag
from opentsm_simulator import runtime, translation_cache
from opentsm_simulator.translate import translate

CAPS = Path(runtime.__file__).parent / "caps"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENTSM_CACHE", str(tmp_path))


def test_what_is_kept_comes_back_whole() -> None:
    cap = CapFile.read(CAPS / "ppse.cap")
    assert ComponentTag.EXPORT not in cap.components
    assert translation_cache.cached("code", cap) is None
    package = translate(cap)
    translation_cache.keep("code", cap, package)
    again = translation_cache.cached("code", cap)
    assert again is not None
    assert dict(again.classes) == dict(package.classes)
    assert (again.aid, again.version, again.applets) == (package.aid, package.version, package.applets)
    assert dict(again.exports.classes) == dict(package.exports.classes) == {}
    assert translation_cache.cached("other", cap) is None


def test_what_is_damaged_is_not_taken(tmp_path: Path) -> None:
    cap = CapFile.read(CAPS / "ppse.cap")
    translation_cache.keep("code", cap, translate(cap))
    (kept,) = (tmp_path / "translated").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert translation_cache.cached("code", cap) is None


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("OPENTSM_CACHE", str(tmp_path / "file"))
    cap = CapFile.read(CAPS / "ppse.cap")
    translation_cache.keep("code", cap, translate(cap))
    assert translation_cache.cached("code", cap) is None
