"""A tap between the agent and its SE that breaks one exchange in one of all ways, and keeps what the SE ran.

It speaks vpcd's framing on both sides, as `opentsm_tools.demo.tap` does.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BREAKS", "CuttingTap", "Ran"]

BREAKS: Final = (
    "removed before",  # the command never reaches the card
    "removed before, and absent for a while",
    "removed within the command",  # half of it reaches the reader: the card does not run it
    "removed before the answer",  # the card has run it, and nobody knows
    "removed within the answer",
    "removed behind",
    "reset before",  # by another program, and the agent is not told
    "reset behind",
)
_ATR: Final = b"\x04"
_RESET: Final = b"\x02"


@dataclass(frozen=True)
class Ran:
    """A C-APDU that the card ran, its R-APDU, and when (by the rig's count)."""

    at: int
    command: bytes
    answer: bytes


class CuttingTap:
    """A listening tap.

    Args:
        target: host and port of the SE.
        now: the rig's count.
    """

    def __init__(self, target: tuple[str, int], now: Callable[[], int]) -> None:
        self._target = target
        self._now = now
        self._lock = threading.Lock()
        self._break: tuple[int, str] | None = None
        self._count = 0
        self._absent = 0
        self.fired = threading.Event()
        self.ran: list[Ran] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, number: int, how: str) -> None:
        """Break the exchange of this number from now on, from 0."""
        assert how in BREAKS
        with self._lock:
            self._break, self._count = (number, how), 0
            self.fired.clear()

    def mend(self) -> None:
        """Break nothing any more."""
        with self._lock:
            self._break = None
            self._absent = 0

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                agent, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                absent = self._absent > 0
                self._absent -= absent
            if absent:
                agent.close()
            else:
                threading.Thread(target=self._serve, args=(agent,), daemon=True).start()

    def _serve(self, agent: socket.socket) -> None:
        with agent, contextlib.suppress(OSError, EOFError), socket.create_connection(self._target) as se:
            for end in (agent, se):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                body = _receive(agent)
                if len(body) > 1:
                    if not self._exchange(agent, se, body):
                        return
                    continue
                _send(se, body)
                if body == _ATR:
                    _send(agent, _receive(se))

    def _exchange(self, agent: socket.socket, se: socket.socket, command: bytes) -> bool:
        """Pass one C-APDU and its R-APDU on; False when the card is gone."""
        how = self._how()
        if how.startswith("removed before") and not how.endswith("answer"):
            if how.endswith("while"):
                with self._lock:
                    self._absent = 1
            return False
        if how == "removed within the command":
            se.sendall((len(command).to_bytes(2, "big") + command)[: 2 + len(command) // 2])
            return False
        if how == "reset before":
            _send(se, _RESET)
        _send(se, command)
        answer = _receive(se)
        self.ran.append(Ran(self._now(), command, answer))
        if how == "removed before the answer":
            return False
        if how == "removed within the answer":
            agent.sendall((len(answer).to_bytes(2, "big") + answer)[:3])
            return False
        _send(agent, answer)
        if how == "reset behind":
            _send(se, _RESET)
        return how != "removed behind"

    def _how(self) -> str:
        with self._lock:
            how = ""
            if self._break is not None and self._break[0] == self._count:
                how = self._break[1]
                self._break = None
                self.fired.set()
            self._count += 1
            return how


def _receive(end: socket.socket) -> bytes:
    return _exactly(end, int.from_bytes(_exactly(end, 2), "big"))


def _exactly(end: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        # Where length and body are written apart, a delayed acknowledgement between them would cost 40 ms.
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        part = end.recv(length - len(received))
        if not part:
            raise EOFError
        received += part
    return received


def _send(end: socket.socket, body: bytes) -> None:
    end.sendall(len(body).to_bytes(2, "big") + body)
