"""Find the source line of what a class file gives no line for: fields, classes, abstract methods."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_build.project import Project
    from opentsm_card.errors import CapError

__all__ = ["with_line"]

# `com.example.Wallet$Inner.method (Wallet.java), field name`, as ClassFile.place writes it.
_PLACE: Final = re.compile(r"(?P<name>[\w.$<>]+) \((?P<file>[\w.$]+\.java)\)(?:, field (?P<field>[\w$]+))?")
_COMMENT: Final = re.compile(r"\s*(//|\*|/\*)")


def with_line(error: CapError, project: Project) -> CapError:
    """Return an error whose place tells the source line, where the sources show it.

    Args:
        error: its `where` names class, member and file.
        project: whose sources are searched.
    """
    match = _PLACE.fullmatch(error.where or "")
    if match is None:
        return error
    file, field = match["file"], match["field"]
    for path in (path for root in project.sources for path in sorted(root.rglob(file))):
        line = _find(path, match["name"], field)
        if line is not None:
            where = (error.where or "").replace(f"({file})", f"({file}:{line})")
            return type(error)(error.reason, where=where, pc=error.pc)
    return error


def _find(path: Path, name: str, field: str | None) -> int | None:
    last = re.escape(re.split(r"[.$]", name)[-1])
    if field is not None:
        patterns = [rf"\b{re.escape(field)}\s*(\[\s*\])*\s*[=;,]"]
    else:
        patterns = [rf"\b(class|interface|enum)\s+{last}\b", rf"\b{last}\s*\("]
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for pattern in patterns:
        for number, line in enumerate(lines, 1):
            if not _COMMENT.match(line) and re.search(pattern, line):
                return number
    return None
