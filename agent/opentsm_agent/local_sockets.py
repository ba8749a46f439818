"""Unix sockets on which the agent listens, with the mode and group that the configuration names."""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import stat
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import ProtocolError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["group_id", "listen", "socket_address"]

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
    except (OSError, ProtocolError) as error:
        listener.close()
        raise StorageError(f"{what} {path}: {getattr(error, 'strerror', None) or error}") from error
    return listener


def socket_address(path: Path) -> str:
    """Return the address of a socket at a path.

    Raises:
        ProtocolError: the path is too long for one.
    """
    if len(os.fsencode(path)) > _PATH_BYTES:
        raise ProtocolError(f"the path is longer than the {_PATH_BYTES} bytes that a socket's may have")
    return str(path)


def group_id(group: str) -> int:
    """Return the number of a group.

    Raises:
        ProtocolError: this machine has none of that name.
    """
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ProtocolError(f"no group {group!r}") from error


def _bind(listener: socket.socket, path: Path, mode: int, group: str | None) -> None:
    address = socket_address(path)
    owner = group_id(group) if group is not None else -1
    with contextlib.suppress(FileNotFoundError):
        # The journal is ours, so no other agent runs.
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    # On Linux the file gets the socket's own mode: it is never open to others, not for a moment.
    os.fchmod(listener.fileno(), 0o600)
    listener.bind(address)
    os.chown(path, -1, owner)
    path.chmod(mode)
    listener.listen()
