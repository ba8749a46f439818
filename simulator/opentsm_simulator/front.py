"""The fronts of virtual SEs: an interface of a card as a TCP server, or as a card in pcscd's virtual reader.

Both speak the framing of vpcd: a 2-byte big-endian length, then that many bytes. A message of one byte is a control:
00 power off, 01 power on, 02 reset, 04 answer with the ATR; any other message is a C-APDU, and its R-APDU the answer.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Final

from opentsm_card.atr import Atr
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, TransportError
from opentsm_simulator.t0 import T0Card

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_simulator.carried import Carried
    from opentsm_simulator.virtual_se import Interface

__all__ = ["DialFront", "TcpFront", "VpcdFront", "serve_connection"]

POWER_OFF, POWER_ON, RESET, ATR = b"\x00", b"\x01", b"\x02", b"\x04"

_LENGTH_BYTES: Final = 2
_NO_ANSWER: Final = b"\x6f\x00"
_RECEIVE_BYTES: Final = 65536
_REDIAL_S: Final = 0.2
# Linux's TCP_QUICKACK, which Python names there only.
_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)


def serve_connection(
    connection: socket.socket,
    se: Carried,
    interface: Interface,
    *,
    stays: bool = False,
    tpdus: bool = False,
) -> None:
    """Serve one connection until the peer closes it; the interface is reset when it begins, and loses power after.

    An interface that is switched off hangs up, as a card that is out of the field; or, for a peer that can't bear that
    (`stays`), answers 6F00. With `tpdus`, what comes is what a reader passes, and a card whose ATR offers T=0 alone
    speaks that.

    vpcd writes length and body apart, so the acknowledgement of the length must not wait: QUICKACK is set again before
    every receive, because the kernel forgets it.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with se.link(interface) as link:
        t0 = T0Card(link.transmit) if tpdus and Atr.parse(se.atr).protocols == (0,) else None
        transmit = link.transmit if t0 is None else t0.transmit
        receive, send, set_option = connection.recv, connection.sendall, connection.setsockopt
        pending = b""
        while True:
            end = _LENGTH_BYTES + int.from_bytes(pending[:_LENGTH_BYTES], "big")
            if len(pending) < _LENGTH_BYTES or len(pending) < end:
                if _QUICKACK is not None:
                    set_option(socket.IPPROTO_TCP, _QUICKACK, 1)
                received = receive(_RECEIVE_BYTES)
                if not received:
                    return
                pending += received
                continue
            message, pending = pending[_LENGTH_BYTES:end], pending[end:]
            if len(message) > 1:
                spoken = _answer(transmit, message, stays=stays)
                if spoken is None:
                    continue
                answer = spoken
            elif message == ATR:
                answer = se.atr
            else:
                if message in (POWER_ON, RESET, POWER_OFF):
                    link.reset()
                    if t0 is not None:
                        t0.reset()
                continue
            send(len(answer).to_bytes(_LENGTH_BYTES, "big") + answer)


def _answer(transmit: Callable[[bytes], bytes], command: bytes, *, stays: bool) -> bytes | None:
    """Run a command; None when the card is mute, and its reader has to reset it."""
    try:
        return transmit(command)
    except CardRemovedError:
        if not stays:
            raise
        return _NO_ANSWER
    except LinkTimeoutError:
        return _NO_ANSWER if stays else None


class _Front:
    """A thread that serves connections one after the other, until it is stopped."""

    _stays = False
    _tpdus = False

    def __init__(self, se: Carried, interface: Interface, name: str) -> None:
        self._se = se
        self._interface = interface
        self._stopped = threading.Event()
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End the connection that is served and the thread; safe to call twice."""
        self._stopped.set()
        self._wake()
        if (connection := self._connection) is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _wake(self) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        raise NotImplementedError

    def _serve(self, connection: socket.socket) -> None:
        self._connection = connection
        # A peer that goes away in the middle of anything only ends its connection; so does an interface switched off.
        with connection, contextlib.suppress(OSError, CardRemovedError):
            if not self._stopped.is_set():
                serve_connection(connection, self._se, self._interface, stays=self._stays, tpdus=self._tpdus)
        self._connection = None


class TcpFront(_Front):
    """An interface of a virtual SE as a TCP server, for one client at a time, as a reader has one card.

    Args:
        se: the virtual SE.
        interface: `contact` or `contactless`.
        host: address to listen on.
        port: TCP port; 0 for any free one.
        stays: whether never to hang up on a client that is there, as pcscd's vpcd driver needs where it dials.

    Raises:
        TransportError: the address can't be listened on.
    """

    def __init__(self, se: Carried, interface: Interface, host: str, port: int, *, stays: bool = False) -> None:
        super().__init__(se, interface, f"{se.se_id} {interface} tcp")
        self._stays = self._tpdus = stays
        try:
            self._listener = socket.create_server((host, port))
        except OSError as error:
            raise TransportError(f"can't listen on {host}:{port}: {error}") from error
        bound = self._listener.getsockname()
        self.port = int(bound[1])
        self.address = f"{bound[0]}:{bound[1]}"

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._serve(connection)


class DialFront(_Front):
    """A virtual SE's contact interface that dials who waits for it; when the connection is lost, it dials again.

    Args:
        se: the virtual SE.
        host: where somebody listens, or will.
        port: TCP port.
    """

    def __init__(self, se: Carried, host: str, port: int) -> None:
        super().__init__(se, "contact", f"{se.se_id} dials")
        self.address = f"{host}:{port}"
        self._peer = (host, port)
        self._first: socket.socket | None = None

    def _wake(self) -> None:
        pass

    def _run(self) -> None:
        connection = self._first
        while not self._stopped.is_set():
            if connection is not None:
                connection.settimeout(None)
                self._serve(connection)
            elif self._stopped.wait(_REDIAL_S):
                return
            try:
                connection = socket.create_connection(self._peer, timeout=10)
            except OSError:
                connection = None


class VpcdFront(DialFront):
    """A virtual SE's contact interface as the card in a reader of pcscd's vpcd driver, which listens.

    Raises:
        TransportError: nothing answers there (from `start`).
    """

    _tpdus = True

    def start(self) -> None:
        """Dial the driver and begin to serve."""
        try:
            self._first = socket.create_connection(self._peer, timeout=10)
        except OSError as error:
            raise TransportError(f"no vpcd reader answers at {self.address}: {error.strerror or error}") from error
        super().start()
