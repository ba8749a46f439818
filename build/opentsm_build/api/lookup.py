"""Find imported packages among the token tables, and the oldest Java Card release that has what a package imports.

Spec: Java Card VM Specification 3.1, Classic Edition, 4.5 (package versions: a minor version adds, and takes nothing).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from opentsm_build.api.tables import RELEASES, java_card, names, package, versions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.api.model import ApiPackage
    from opentsm_card.aid import Aid

__all__ = ["find_package", "oldest_release", "package_name"]


@functools.cache
def _known() -> dict[bytes, tuple[tuple[str, tuple[tuple[int, int], str | None]], ...]]:
    """Return, by AID, each package's name and versions; a version of Java Card comes with its newest release."""
    found: dict[bytes, dict[tuple[str, tuple[int, int]], str | None]] = {}
    for release in RELEASES:
        for name, entry in java_card(release).items():
            found.setdefault(bytes(entry.aid), {})[name, entry.version] = release
    for name in names():
        for version in versions(name):
            major, _, minor = version.partition(".")
            found.setdefault(bytes(package(name, version).aid), {})[name, (int(major), int(minor))] = None
    return {
        aid: tuple(sorted((name, (version, release)) for (name, version), release in entries.items()))
        for aid, entries in found.items()
    }


def package_name(aid: Aid) -> str | None:
    """Return the name (internal form) of a package of a known API; None for another."""
    entries = _known().get(bytes(aid))
    return entries[0][0] if entries else None


@functools.cache
def find_package(aid: Aid, version: tuple[int, int]) -> ApiPackage | None:
    """Return a package of a known API in the version that an import names.

    A minor version without a table stands for the next one that has one; None where there is none.
    """
    for name, (known, release) in _known().get(bytes(aid), ()):
        if known[0] == version[0] and known[1] >= version[1]:
            return java_card(release)[name] if release else package(name, f"{known[0]}.{known[1]}")
    return None


def oldest_release(imports: Iterable[tuple[Aid, tuple[int, int]]]) -> str | None:
    """Return the oldest Java Card release whose packages satisfy some imports.

    Packages that are not Java Card's own say nothing here.

    Args:
        imports: AID and (major, minor) of each.

    Returns:
        The release, such as "2.2.2"; None when none has them all.
    """
    wanted = [(aid, version) for aid, version in imports if (package_name(aid) or "").startswith("java")]
    for release in RELEASES:
        offered = {bytes(entry.aid): entry.version for entry in java_card(release).values()}
        if all(_satisfies(offered.get(bytes(aid)), version) for aid, version in wanted):
            return release
    return None


def _satisfies(offered: tuple[int, int] | None, wanted: tuple[int, int]) -> bool:
    return offered is not None and offered[0] == wanted[0] and offered[1] >= wanted[1]
