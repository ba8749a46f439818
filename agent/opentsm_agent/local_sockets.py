"""Unix sockets on which the agent listens, with the mode and group that the configuration names."""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import stat
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["listen"]

# A socket's path has at most 107 bytes (sockaddr_un).
_PATH_BYTES: Final = 107


def listen(path: Path, mode: int, group: str | None, what: str) -> socket.socket:
    """Return a listening socket at a path; one that was left there by an agent that was killed is replaced.

    Args:
        path: where it is made.
        mode: of the file, such as 0o660.
        group: that it belongs to; None for the agent's own.
        what: it is, for the errors.

    Raises:
        StorageError: it can't be made, something else is there, or there is no such group.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        _bind(listener, path, mode, group)
    except (OSError, KeyError) as error:
        listener.close()
        reason = f"no group {group!r}" if isinstance(error, KeyError) else error.strerror or str(error)
        raise StorageError(f"{what} {path}: {reason}") from error
    return listener


def _bind(listener: socket.socket, path: Path, mode: int, group: str | None) -> None:
    if len(os.fsencode(path)) > _PATH_BYTES:
        raise OSError(0, f"the path is longer than the {_PATH_BYTES} bytes that a socket's may have")
    owner = grp.getgrnam(group).gr_gid if group is not None else -1
    with contextlib.suppress(FileNotFoundError):
        # The journal is ours, so no other agent runs.
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    # On Linux the file gets the socket's own mode: it is never open to others, not for a moment.
    os.fchmod(listener.fileno(), 0o600)
    listener.bind(str(path))
    os.chown(path, -1, owner)
    path.chmod(mode)
    listener.listen()
