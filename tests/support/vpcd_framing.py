"""The framing of vpcd on a socket: a 2-byte big-endian length, then that many bytes."""

from __future__ import annotations

import socket

__all__ = ["receive", "send"]


def receive(end: socket.socket) -> bytes:
    """Return the next message.

    Raises:
        EOFError: the other side closed the connection.
    """
    return _exactly(end, int.from_bytes(_exactly(end, 2), "big"))


def _exactly(end: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        # vpcd writes length and body apart; a delayed acknowledgement between them would cost 40 ms.
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        part = end.recv(length - len(received))
        if not part:
            raise EOFError
        received += part
    return received


def send(end: socket.socket, message: bytes) -> None:
    """Send a message."""
    end.sendall(len(message).to_bytes(2, "big") + message)
