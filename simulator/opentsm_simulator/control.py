"""How one shell looks after the virtual SEs that another one runs: `opentsm se list`, `show`, `reset`, ….

A host of virtual SEs listens on a Unix socket of its own in a folder that its user alone can enter. A client sends one
line of JSON, gets one back, and the connection ends. Only the same user, and root, is answered.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import stat
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from opentsm_card.errors import ProtocolError, StorageError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ControlServer", "ask", "ask_all", "runtime_folder"]

_LINE_BYTES: Final = 1 << 24
_REQUEST_BYTES: Final = 4096
_TIMEOUT_S: Final = 10.0
_REMAKE_TIMEOUT_S: Final = 60.0
# A socket's path has at most 107 bytes (sockaddr_un).
_PATH_BYTES: Final = 107

# A process may have several hosts.
_numbers: Final = itertools.count(1)

Answer = dict[str, Any]


def runtime_folder() -> Path:
    """Return the folder of the control sockets: OPENTSM_RUNTIME_DIR, or opentsm in XDG_RUNTIME_DIR, or one in /tmp."""
    if own := os.environ.get("OPENTSM_RUNTIME_DIR"):
        return Path(own) / "se"
    if session := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(session) / "opentsm" / "se"
    return Path("/tmp") / f"opentsm-{os.getuid()}" / "se"  # noqa: S108 - made with mode 700, and its owner checked


def _private(folder: Path, *, make: bool) -> bool:
    """Make the folder, or check that it is there; refuse one that is another's, or open to others.

    Raises:
        TransportError: it can't be made, or must not be trusted.
    """
    try:
        if make:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise TransportError(f"{folder}: {error.strerror}; name another in OPENTSM_RUNTIME_DIR") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise TransportError(f"{folder} is not a folder of this user alone; name another in OPENTSM_RUNTIME_DIR")
    return True


class ControlServer:
    """Answers requests of other processes of this user until it is closed; use it as a context manager.

    Args:
        answer: takes a request and returns its answer; what it raises as ProtocolError is told to the client.

    Raises:
        TransportError: the folder or the socket can't be made.
    """

    def __init__(self, answer: Callable[[Answer], Answer]) -> None:
        folder = runtime_folder()
        _private(folder, make=True)
        self.path = folder / f"{os.getpid()}-{next(_numbers)}.sock"
        self._answer = answer
        if len(os.fsencode(self.path)) > _PATH_BYTES:
            raise TransportError(f"{self.path} is too long for a socket; name a shorter folder in OPENTSM_RUNTIME_DIR")
        with contextlib.suppress(OSError):
            # Left by a process of the same number that was killed.
            self.path.unlink()
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            self._listener.bind(str(self.path))
            self.path.chmod(0o600)
            self._listener.listen()
        except OSError as error:
            self._listener.close()
            raise TransportError(f"{self.path}: {error.strerror}") from error
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
        self._thread.join(timeout=5)

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop listening."""
        self.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # A client that goes away, or stalls, only ends its own connection.
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_TIMEOUT_S)
                if _peer(connection) in {0, os.getuid()}:
                    line = _read_line(connection, _REQUEST_BYTES)
                    connection.sendall(json.dumps(self._respond(line)).encode() + b"\n")

    def _respond(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
            return self._answer(request) if isinstance(request, dict) else {"error": "a request is an object"}
        except (ValueError, RecursionError):
            return {"error": "a request is one line of JSON"}
        except (ProtocolError, StorageError, TransportError) as error:
            return {"error": str(error)}


def _peer(connection: socket.socket) -> int:
    """Return the user at the other end."""
    _pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def _read_line(connection: socket.socket, limit: int) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < limit:
        received = connection.recv(65536)
        if not received:
            break
        line += received
    return bytes(line)


def ask(path: Path, request: Answer) -> Answer:
    """Ask one host.

    Raises:
        TransportError: nobody answers there.
        ProtocolError: it refuses; the message is its own.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_REMAKE_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(_read_line(connection, _LINE_BYTES))
    except (OSError, ValueError) as error:
        raise TransportError(f"the host of virtual SEs at {path} does not answer: {error}") from error
    if "error" in answer:
        raise ProtocolError(str(answer["error"]))
    return dict(answer)


def ask_all(request: Answer) -> Iterator[tuple[Path, Answer]]:
    """Ask every running host of this user; sockets that killed hosts left behind are removed.

    Raises:
        TransportError: the folder of the sockets must not be trusted.
        ProtocolError: a host refuses.
    """
    folder = runtime_folder()
    if not _private(folder, make=False):
        return
    for path in sorted(folder.glob("*.sock")):
        try:
            yield path, ask(path, request)
        except TransportError as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                with contextlib.suppress(OSError):
                    path.unlink()
