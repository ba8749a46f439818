from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentsm_build import artifacts, compiler
from opentsm_build.compiler import CompileError, compile_sources

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep compiled classes apart; the compiler itself stays where it was found."""
    jar = artifacts.resolve(artifacts.ECJ)
    monkeypatch.setattr(artifacts, "resolve", lambda _pin: jar)
    monkeypatch.setenv("OPENTSM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "classes"


def source(root: Path, text: str, name: str = "p/A.java") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return root


def test_sources_become_classes_once(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = source(tmp_path / "src", "package p; public class A { static int x = 1; }")
    classes = compile_sources([root])
    assert (classes / "p" / "A.class").read_bytes()[:4] == bytes.fromhex("CAFEBABE")
    # Class-file version 52: what jCardSim's generation of Java reads.
    assert (classes / "p" / "A.class").read_bytes()[6:8] == b"\x00\x34"
    assert classes.parent == cache

    def fail(*_: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(compiler, "_run", fail)
    assert compile_sources([root]) == classes


def test_a_changed_source_is_another_folder(cache: Path, tmp_path: Path) -> None:
    first = compile_sources([source(tmp_path / "src", "package p; public class A { }")])
    second = compile_sources([source(tmp_path / "src", "package p; public class A { int x; }")])
    assert first != second
    assert sorted(cache.iterdir()) == sorted([first, second])


def test_a_class_path_is_part_of_what_was_compiled(cache: Path, tmp_path: Path) -> None:
    api = compile_sources([source(tmp_path / "api", "package q; public class Q { }", "q/Q.java")])
    user = source(tmp_path / "src", "package p; public class A extends q.Q { }")
    with pytest.raises(CompileError):
        compile_sources([user])
    assert compile_sources([user], [api]) != api
    assert len(list(cache.iterdir())) == 2


def test_an_error_names_file_and_line_and_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    root = source(tmp_path / "src", "package p;\npublic class A {\n  int x = true;\n}\n")
    with pytest.raises(CompileError, match=r"A\.java:3: error: "):
        compile_sources([root])
    assert list(cache.iterdir()) == []


def test_no_sources_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="no Java sources"):
        compile_sources([tmp_path])


def test_a_faster_process_is_no_error(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = source(tmp_path / "src", "package p; public class A { }")
    run = compiler._run

    def run_late(arguments: list[str]) -> None:
        run(arguments)
        # The other process's result appears, and is not empty: a rename over it fails.
        target = cache / compiler._key(compiler._sources([root]), [])
        target.mkdir()
        (target / "theirs").touch()

    monkeypatch.setattr(compiler, "_run", run_late)
    classes = compile_sources([root])
    assert [entry.name for entry in classes.iterdir()] == ["theirs"]
    assert [entry for entry in cache.iterdir() if entry.name.startswith(".")] == []
