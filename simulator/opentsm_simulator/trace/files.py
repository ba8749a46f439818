"""Writes the report of a trace to files: `NAME.json` and `NAME.html`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import StorageError
from opentsm_simulator.trace.html import page

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from opentsm_simulator.trace.report import TraceReport

__all__ = ["read_sources", "write_report"]

_UNSAFE: Final = re.compile(r"[^\w.-]+")
_MAX_SOURCE_BYTES: Final = 4 * 1024 * 1024


def read_sources(folders: Iterable[Path]) -> dict[str, str]:
    """Return the Java sources below folders by their names; of two with one name, none.

    Raises:
        StorageError: a folder is not there, or a source can't be read.
    """
    folders = tuple(folders)
    for folder in folders:
        if not folder.is_dir():
            raise StorageError(f"{folder}: no folder of sources")
    found: dict[str, str] = {}
    twice: set[str] = set()
    for path in (path for folder in folders for path in sorted(folder.rglob("*.java"))):
        if path.name in found:
            twice.add(path.name)
        try:
            found[path.name] = path.read_text(encoding="utf-8", errors="replace")[:_MAX_SOURCE_BYTES]
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
    return {name: text for name, text in found.items() if name not in twice}


def write_report(report: TraceReport, folder: Path, sources: Iterable[Path] = ()) -> tuple[Path, Path]:
    """Write a report, and return the JSON file and the page.

    Args:
        report: what to write; the files are named after its SE.
        folder: where; it is made if need be.
        sources: folders of Java sources to be shown.

    Raises:
        StorageError: the files can't be written.
    """
    name = _UNSAFE.sub("-", report.se).strip("-.") or "trace"
    json_path, html_path = folder / f"{name}.json", folder / f"{name}.html"
    shown = page(report, read_sources(sources))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
        html_path.write_text(shown, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{error.filename}: {error.strerror or error}") from error
    return json_path, html_path
