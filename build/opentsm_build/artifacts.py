"""The Java archives that the project stands on: pinned by SHA-256, fetched once into the user's cache.

An archive is looked for in our cache, then in the user's own Maven repository; only then is it fetched, by `jgo`, from
Maven's central repository or from the mirror that `OPENTSM_MAVEN_REPO` names. Its SHA-256 is checked wherever it came
from. Archives reach the cache by an atomic rename, so processes may start side by side.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import OpenTsmError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ECJ", "JCARDSIM", "PINS", "ArtifactError", "Pin", "cache_directory", "cached", "resolve"]

MIRROR_VARIABLE: Final = "OPENTSM_MAVEN_REPO"
CACHE_VARIABLE: Final = "OPENTSM_CACHE"
_BLOCK_BYTES: Final = 1 << 20


class ArtifactError(OpenTsmError):
    """An archive is not the one that was pinned."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One archive in one version.

    Args:
        group: Maven group.
        artifact: Maven artifact.
        version: Maven version.
        sha256: digest of the jar, in hex.
    """

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinates(self) -> str:
        """Maven coordinates, as people write them."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def path(self) -> Path:
        """Where a Maven repository keeps the jar, relative to its root."""
        name = f"{self.artifact}-{self.version}.jar"
        return Path(*self.group.split("."), self.artifact, self.version, name)


JCARDSIM: Final = Pin(
    "com.klinec", "jcardsim", "3.0.6.0", "db6de7ffde71651c45d00df7e160771685cec3e14e444bf36b796658d289942f"
)
ECJ: Final = Pin("org.eclipse.jdt", "ecj", "3.42.0", "29f6d3918ee02db4400c103bc25dd90a22491c3a395867d9393070cb96a7dd29")
PINS: Final[tuple[Pin, ...]] = (JCARDSIM, ECJ)


def cache_directory() -> Path:
    """Return opentsm's folder in the user's cache (`OPENTSM_CACHE`, or `XDG_CACHE_HOME`/opentsm); it may not exist."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "opentsm"


def _repositories() -> Iterator[Path]:
    yield cache_directory() / "maven"
    yield Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as jar:
        while block := jar.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def cached(pin: Pin) -> Path | None:
    """Return a local copy with the right digest, or None; never uses the network."""
    for repository in _repositories():
        jar = repository / pin.path
        with contextlib.suppress(OSError):
            if jar.is_file() and _sha256(jar) == pin.sha256:
                return jar
    return None


def _say(message: str) -> None:
    print(f"opentsm: {message}", file=sys.stderr, flush=True)  # noqa: T201 - progress for people, kept off stdout


def resolve(pin: Pin, *, progress: Callable[[str], None] = _say) -> Path:
    """Return the archive, fetching it when no local copy is right.

    Args:
        pin: which archive.
        progress: told, in one line each, what is being fetched and that it came.

    Raises:
        TransportError: the repository can't be reached or does not have it.
        ArtifactError: what came has another digest than the pin.
    """
    if jar := cached(pin):
        return jar
    progress(f"fetching {pin.coordinates} (once; kept in {cache_directory()})")
    root = cache_directory() / "maven"
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=root) as scratch:
        fetched = _fetch(pin, Path(scratch))
        digest = _sha256(fetched)
        if digest != pin.sha256:
            raise ArtifactError(f"{pin.coordinates}: SHA-256 is {digest}, the pin says {pin.sha256}; not used")
        target = root / pin.path
        target.parent.mkdir(parents=True, exist_ok=True)
        fetched.replace(target)
    progress(f"fetched {pin.coordinates}, SHA-256 is right")
    return target


def _fetch(pin: Pin, scratch: Path) -> Path:
    from jgo.maven import MavenContext  # noqa: PLC0415 - what is in the cache needs neither jgo nor its HTTP client

    mirror = os.environ.get(MIRROR_VARIABLE)
    context = MavenContext(
        repo_cache=scratch, local_repos=[], remote_repos={"mirror": mirror.rstrip("/")} if mirror else None
    )
    try:
        project = context.project(pin.group, pin.artifact)
        return Path(project.at_version(pin.version).artifact().resolve())
    except Exception as error:  # jgo raises bare RuntimeError, and its HTTP client's own tree
        where = f"the repository in {MIRROR_VARIABLE}" if mirror else "Maven's central repository"
        raise TransportError(
            f"{pin.coordinates} could not be fetched from {where}: {error}. "
            f"Connect once, or name a mirror in {MIRROR_VARIABLE}, "
            f"or put the jar at {cache_directory() / 'maven' / pin.path}"
        ) from error
