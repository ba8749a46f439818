"""A tap between the agent and its SE that breaks one exchange in one of all ways, and keeps what the SE ran.

It speaks vpcd's framing on both sides, as `opentsm_tools.demo.tap` does.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loopback_server import LoopbackServer
from vpcd_framing import receive, send

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
        self._server = LoopbackServer(self._serve)
        self.port = self._server.port

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
        self._server.close()

    def _is_absent(self) -> bool:
        with self._lock:
            absent = self._absent > 0
            self._absent -= absent
            return absent

    def _serve(self, agent: socket.socket) -> None:
        if self._is_absent():
            agent.close()
            return
        with agent, contextlib.suppress(OSError, EOFError), socket.create_connection(self._target) as se:
            for end in (agent, se):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                body = receive(agent)
                if len(body) > 1:
                    if not self._exchange(agent, se, body):
                        return
                    continue
                send(se, body)
                if body == _ATR:
                    send(agent, receive(se))

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
            send(se, _RESET)
        send(se, command)
        answer = receive(se)
        self.ran.append(Ran(self._now(), command, answer))
        if how == "removed before the answer":
            return False
        if how == "removed within the answer":
            agent.sendall((len(answer).to_bytes(2, "big") + answer)[:3])
            return False
        send(agent, answer)
        if how == "reset behind":
            send(se, _RESET)
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
