"""Translated packages in the user's cache: a process that starts has those of the cards it makes at once.

Only packages that export nothing are kept: what others link to is no more than a process needs for itself. The key
holds the translator itself, so that another release, or a changed source, is another file. A file appears by an atomic
rename.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from opentsm_build import api, artifacts
from opentsm_build.cap import CapFile, ComponentTag
from opentsm_card.aid import Aid
from opentsm_simulator.translate import KnownPackage, TranslatedPackage

__all__ = ["cached", "keep"]

_HERE: Final = Path(__file__).resolve().parent


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    classes: dict[str, bytes]
    applets: list[tuple[bytes, str]]


@functools.cache
def _translator() -> bytes:
    """Return a digest over what makes the translation: the translator, the reader of CAP files, the APIs' tables."""
    folders = (_HERE / "translate", Path(api.__file__).parent, Path(api.__file__).parent.parent / "cap")
    digest = hashlib.sha256()
    for path in sorted(each for folder in folders for each in folder.iterdir() if each.suffix in {".py", ".json"}):
        content = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(content)}\0".encode() + content)
    return digest.digest()


def _path(code: str) -> Path:
    name = hashlib.sha256(_translator() + code.encode()).hexdigest()[:32]
    return artifacts.cache_directory() / "translated" / name


def cached(code: str, cap: CapFile) -> TranslatedPackage | None:
    """Return what a package was translated to before, by this process or another; None when it was not.

    Args:
        code: what it is called: a digest of all that it was made of.
        cap: the package itself.
    """
    if ComponentTag.EXPORT in cap.components:
        return None
    try:
        entry = msgspec.msgpack.decode(_path(code).read_bytes(), type=_Entry)
    except (OSError, msgspec.DecodeError):
        return None
    aid, version = cap.package_aid, cap.package_version
    applets = tuple((Aid(applet), name) for applet, name in entry.applets)
    return TranslatedPackage(aid, version, entry.classes, applets, KnownPackage(aid, version, {}))


def keep(code: str, cap: CapFile, package: TranslatedPackage) -> None:
    """Keep what a package was translated to; a cache that can't be written is none."""
    if ComponentTag.EXPORT in cap.components:
        return
    entry = _Entry(dict(package.classes), [(bytes(aid), name) for aid, name in package.applets])
    path = _path(code)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=".translated-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.msgpack.encode(entry))
        Path(scratch).replace(path)
    except OSError:
        return
