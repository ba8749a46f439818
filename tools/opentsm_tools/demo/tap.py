"""A tap on the wire between an agent and its SE: counts C-APDUs and cuts at an exact one.

The agent dials the tap as it would dial the SE (vpcd framing: 2-byte big-endian length, then bytes; bodies of one
byte are controls, of which 04 alone, the ATR request, is answered). The tap passes everything on unchanged. A trigger
sees each command together with its answer *before* the answer goes on: what it kills then dies when the SE has
executed the command and nobody knows it yet.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Tap"]

_ATR_REQUEST: Final = b"\x04"


class Tap:
    """A listening tap in front of one SE's contact interface.

    Args:
        host: of the SE's interface.
        port: of the SE's interface.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.apdus = 0
        self._trigger: Callable[[bytes, bytes], bool] | None = None
        self._cut = False
        self._fired = threading.Event()
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True, name=f"tap-{self.port}").start()

    def watch(self, trigger: Callable[[bytes, bytes], bool], *, cut: bool) -> threading.Event:
        """Arm a trigger: called with each C-APDU and its R-APDU, until it returns True once.

        Args:
            trigger: returns True when it has done what it was to do.
            cut: the answer that fired it never reaches the agent: the connection is closed.

        Returns:
            an event that is set once the trigger has fired.
        """
        with self._lock:
            self._fired = threading.Event()
            self._trigger = trigger
            self._cut = cut
            return self._fired

    def disarm(self) -> None:
        """Take the trigger off."""
        with self._lock:
            self._trigger = None

    def close(self) -> None:
        """Stop listening and drop the connections."""
        self._server.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                agent, _ = self._server.accept()
            except OSError:
                return
            self._connections.append(agent)
            threading.Thread(target=self._serve, args=(agent,), daemon=True).start()

    def _serve(self, agent: socket.socket) -> None:
        with agent, contextlib.suppress(OSError), socket.create_connection(self._target) as se:
            for end in (agent, se):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (body := _receive(agent)) is not None:
                _send(se, body)
                if len(body) == 1 and body != _ATR_REQUEST:
                    continue
                answer = _receive(se)
                if answer is None:
                    return
                if len(body) > 1 and self._fires(body, answer):
                    return
                _send(agent, answer)

    def _fires(self, command: bytes, answer: bytes) -> bool:
        """Count the command, ask the trigger (which fires once), and tell whether to cut."""
        with self._lock:
            self.apdus += 1
            trigger = self._trigger
            if trigger is None or not trigger(command, answer):
                return False
            self._trigger = None
            self._fired.set()
            return self._cut


def _receive(end: socket.socket) -> bytes | None:
    """Return one frame's body, or None when the peer has hung up."""
    length = _exactly(end, 2)
    return None if length is None else _exactly(end, int.from_bytes(length, "big"))


def _exactly(end: socket.socket, length: int) -> bytes | None:
    received = bytearray()
    while len(received) < length:
        chunk = end.recv(length - len(received))
        if not chunk:
            return None
        received += chunk
    return bytes(received)


def _send(end: socket.socket, body: bytes) -> None:
    end.sendall(len(body).to_bytes(2, "big") + body)
