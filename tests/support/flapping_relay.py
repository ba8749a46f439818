"""A network between the agent and its servers that comes and goes: up, cut, refusing, or swallowing everything."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from typing import Literal

__all__ = ["FlappingRelay", "Weather"]

Weather = Literal["up", "cut", "silent"]
_LOOK_S = 0.002
_BYTES = 65536


class FlappingRelay:
    """Relays connections to a port of this machine; one thread.

    `weather`: "up" passes everything on; "cut" resets what is open, and what is opened; "silent" keeps connections and
    passes nothing, as where a network address translation has forgotten them.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._ended = False
        self.weather: Weather = "up"
        self.connections = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """End."""
        self._ended = True
        self._thread.join(5)
        self._reset()
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ended:
            weather = self.weather
            if weather == "cut":
                self._reset()
            for key, _ in self._selector.select(_LOOK_S):
                if key.fileobj is self._listener:
                    self._accept(weather)
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._pairs and weather == "up":
                    self._pass(key.fileobj)
            if weather == "silent":
                self._selector.select(0)

    def _accept(self, weather: Weather) -> None:
        try:
            near, _ = self._listener.accept()
        except OSError:
            return
        self.connections += 1
        if weather == "cut":
            _abort(near)
            return
        far = socket.create_connection(self._target)
        for end, other in ((near, far), (far, near)):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs[end] = other
            self._selector.register(end, selectors.EVENT_READ)

    def _pass(self, end: socket.socket) -> None:
        other = self._pairs[end]
        try:
            data = end.recv(_BYTES)
            if data:
                other.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(end)

    def _drop(self, end: socket.socket) -> None:
        for each in (end, self._pairs[end]):
            del self._pairs[each]
            self._selector.unregister(each)
            each.close()

    def _reset(self) -> None:
        for end in list(self._pairs):
            self._selector.unregister(end)
            _abort(end)
        self._pairs.clear()


def _abort(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
