"""`tcp:HOST:PORT`: the reader's side of the framing of vpcd (vsmartcard), over which virtual SEs are reached.

With `?listen` behind the port the card dials, as cards of vsmartcard do, and this side waits for it.

Each message is a 2-byte big-endian length and that many bytes. A message of one byte from the reader is a
control: 00 power off, 01 power on, 02 reset, 04 give the ATR; only the last is answered. Anything longer is a
C-APDU, answered by its R-APDU.

After any failure the stream may still hold the answer to an older command, which must never be taken for the
answer to a newer one: the connection is closed at once, and the link stays closed.
"""

from __future__ import annotations

import socket
from typing import Final, Self

from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError

__all__ = ["TcpLink", "open_tcp", "parse_host_port", "parse_tcp"]

_POWER_OFF: Final = 0x00
_POWER_ON: Final = 0x01
_RESET: Final = 0x02
_GET_ATR: Final = 0x04
_LENGTH_BYTES: Final = 2
_LISTEN: Final = "?listen"
_MAX_MESSAGE_BYTES: Final = 0xFFFF
# Linux only; elsewhere a delayed acknowledgement costs time, not correctness.
_TCP_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)


def parse_host_port(address: str) -> tuple[str, int]:
    """Parse `HOST:PORT`; an IPv6 address stands in brackets.

    Raises:
        ProtocolError: no host, one that can be no name, or a port outside 1..65535.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and 1 <= int(port) <= 0xFFFF):
        raise ProtocolError(f"address {address!r}: want HOST:PORT with a port from 1 to 65535")
    try:
        # What a socket does with the name.
        host.encode("idna")
    except UnicodeError as error:
        raise ProtocolError(f"address {address!r}: the host's name has a part that is empty or too long") from error
    return host, int(port)


def parse_tcp(address: str) -> tuple[str, int, bool]:
    """Parse `HOST:PORT`, or `HOST:PORT?listen`; the third value tells whether the card is to dial.

    Raises:
        ProtocolError: as `parse_host_port`.
    """
    host, port = parse_host_port(address.removesuffix(_LISTEN))
    return host, port, address.endswith(_LISTEN)


def open_tcp(address: str, timeout_s: float) -> TcpLink:
    """Open a link to the card that listens at `HOST:PORT`, or that dials it."""
    host, port, listen = parse_tcp(address)
    return TcpLink(host, port, timeout_s, listen=listen)


class TcpLink:
    """A card behind a TCP port that speaks vpcd's framing; opening it powers the card off and on.

    Args:
        host: name or address to connect to, or to listen on.
        port: TCP port, 1..65535.
        timeout_s: how long to wait for the connection, and for each answer, in seconds.
        listen: whether the card dials. One is let in; nobody listens any more once it is there.

    Raises:
        LinkTimeoutError: no connection, or no ATR, in time.
        CardRemovedError: nobody listens, or the card closed the connection.
        TransportError: the address can't be listened on.
    """

    def __init__(self, host: str, port: int, timeout_s: float, *, listen: bool = False) -> None:
        self._name = f"tcp:{host}:{port}"
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        try:
            self._socket = self._await(host, port) if listen else socket.create_connection((host, port), timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise self._failed(error) from error
        self.atr = self._power_up(_POWER_OFF, _POWER_ON)

    def _await(self, host: str, port: int) -> socket.socket:
        """Wait for a card to dial."""
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            listener = socket.create_server((host, port), family=family, backlog=1)
        except OSError as error:
            raise TransportError(f"{self._name}: can't be listened on: {error.strerror or error}") from error
        with listener:
            listener.settimeout(self._timeout_s)
            try:
                connection, _ = listener.accept()
            except TimeoutError as error:
                raise LinkTimeoutError(f"{self._name}: no card dials within {self._timeout_s:g} s") from error
        connection.settimeout(self._timeout_s)
        return connection

    def transmit(self, command: bytes) -> bytes:
        """Send one C-APDU and return its R-APDU, SW1 SW2 last.

        Raises:
            ProtocolError: the C-APDU can't be framed; nothing was sent.
            LinkTimeoutError: no answer in time; the link is closed.
            CardRemovedError: the connection ended, or the link is closed.
            TransportError: the answer is no R-APDU; the link is closed.
        """
        if not 4 <= len(command) <= _MAX_MESSAGE_BYTES:
            raise ProtocolError(f"a C-APDU of {len(command)} bytes: want 4 to {_MAX_MESSAGE_BYTES}")
        response = self._exchange(len(command).to_bytes(2, "big") + command)
        if len(response) < 2:
            self.close()
            raise TransportError(f"{self._name}: an R-APDU of {len(response)} bytes has no status word")
        return response

    def reset(self) -> bytes:
        """Reset the card and return its ATR.

        Raises:
            LinkTimeoutError: no ATR in time; the link is closed.
            CardRemovedError: the connection ended, or the link is closed.
        """
        self.atr = self._power_up(_RESET)
        return self.atr

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        """Return the link itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the link."""
        self.close()

    def _power_up(self, *controls: int) -> bytes:
        # One segment for all: the controls but the last have no answer.
        return self._exchange(b"".join(bytes((0, 1, control)) for control in (*controls, _GET_ATR)))

    def _exchange(self, message: bytes) -> bytes:
        connection = self._socket
        if connection is None:
            raise CardRemovedError(f"{self._name}: the link is closed")
        try:
            connection.sendall(message)
            answer = self._receive(connection)
        except OSError as error:
            raise self._failed(error) from error
        if answer is None:
            self.close()
            raise TransportError(f"{self._name}: the card sent more than the answer")
        return answer

    @staticmethod
    def _receive(connection: socket.socket) -> bytes | None:
        """Receive one message; None when there is more than one."""
        received = b""
        end = _LENGTH_BYTES
        while len(received) < end:
            if _TCP_QUICKACK is not None:
                # The peer may write length and body apart; with delayed acknowledgements that is 40 ms an APDU. The
                # kernel clears the option by itself, so it is set before every receive.
                connection.setsockopt(socket.IPPROTO_TCP, _TCP_QUICKACK, 1)
            part = connection.recv(_LENGTH_BYTES + _MAX_MESSAGE_BYTES)
            if not part:
                raise ConnectionResetError("the card closed the connection")
            received += part
            if len(received) >= _LENGTH_BYTES:
                end = _LENGTH_BYTES + int.from_bytes(received[:_LENGTH_BYTES], "big")
        return received[_LENGTH_BYTES:] if len(received) == end else None

    def _failed(self, error: OSError) -> TransportError:
        self.close()
        if isinstance(error, TimeoutError):
            return LinkTimeoutError(f"{self._name}: no answer within {self._timeout_s:g} s")
        return CardRemovedError(f"{self._name}: {error.strerror or error}")
