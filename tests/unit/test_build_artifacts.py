from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from typing import TYPE_CHECKING

import pytest

from opentsm_build import artifacts
from opentsm_build.artifacts import ArtifactError, Pin
from opentsm_card.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JAR = b"not really a jar"
PIN = Pin("org.example", "thing", "1.0", hashlib.sha256(JAR).hexdigest())


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENTSM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve a Maven repository on loopback, and name it as the mirror."""
    root = tmp_path / "mirror"
    root.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            del format, args

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENTSM_MAVEN_REPO", f"http://127.0.0.1:{server.server_port}")
        yield root
        server.shutdown()


def put(repository: Path, content: bytes) -> None:
    path = repository / PIN.path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.with_name(f"{path.name}.sha1").write_text(hashlib.sha1(content).hexdigest())  # noqa: S324 - Maven's own


def test_a_jar_comes_from_the_mirror_once(mirror: Path) -> None:
    put(mirror, JAR)
    said: list[str] = []
    assert artifacts.cached(PIN) is None
    path = artifacts.resolve(PIN, progress=said.append)
    assert path.read_bytes() == JAR
    assert path.is_relative_to(artifacts.cache_directory())
    assert [PIN.coordinates in line for line in said] == [True, True]
    (mirror / PIN.path).unlink()
    assert artifacts.resolve(PIN, progress=said.append) == path
    assert len(said) == 2


def test_the_users_own_repository_is_used_where_it_is(tmp_path: Path) -> None:
    put(tmp_path / "m2", JAR)
    assert artifacts.resolve(PIN) == tmp_path / "m2" / PIN.path
    assert not artifacts.cache_directory().exists()


def test_another_jar_than_the_pinned_one_is_never_used(mirror: Path, tmp_path: Path) -> None:
    put(tmp_path / "m2", b"changed")
    put(mirror, b"changed")
    assert artifacts.cached(PIN) is None
    with pytest.raises(ArtifactError, match=r"org\.example:thing:1\.0: SHA-256 is"):
        artifacts.resolve(PIN, progress=lambda _: None)
    assert artifacts.cached(PIN) is None


def test_a_jar_broken_in_the_cache_is_fetched_again(mirror: Path) -> None:
    put(mirror, JAR)
    path = artifacts.resolve(PIN, progress=lambda _: None)
    path.write_bytes(JAR[:-1])
    assert artifacts.cached(PIN) is None
    assert artifacts.resolve(PIN, progress=lambda _: None).read_bytes() == JAR


@pytest.mark.usefixtures("mirror")
def test_what_the_repository_lacks_is_said_with_the_ways_out() -> None:
    with pytest.raises(TransportError, match="OPENTSM_MAVEN_REPO") as caught:
        artifacts.resolve(PIN, progress=lambda _: None)
    assert PIN.coordinates in str(caught.value)


def test_being_offline_is_said_with_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENTSM_MAVEN_REPO", "http://127.0.0.1:9")
    with pytest.raises(TransportError, match="Connect once, or name a mirror"):
        artifacts.resolve(PIN, progress=lambda _: None)


def test_the_pins_are_what_the_project_stands_on() -> None:
    assert [pin.coordinates for pin in artifacts.PINS] == [
        "com.klinec:jcardsim:3.0.6.0",
        "org.eclipse.jdt:ecj:3.42.0",
    ]


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert artifacts.cache_directory() == tmp_path / "cache"
    monkeypatch.delenv("OPENTSM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert artifacts.cache_directory() == tmp_path / "xdg" / "opentsm"
