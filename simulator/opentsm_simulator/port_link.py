"""A symbolic link to a pseudo-terminal, so that a port of a virtual SE has a name that stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["put_link"]


def put_link(link: Path, port: str) -> None:
    """Put a link to a port at a path; one that leads nowhere, left by a killed process, is replaced.

    Raises:
        OSError: something else is there, or it can't be written.
    """
    if link.is_symlink() and str(link.readlink()).startswith("/dev/pts/") and not link.exists():
        link.unlink()
    link.symlink_to(port)
