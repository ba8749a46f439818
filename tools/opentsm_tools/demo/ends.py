"""By what an agent of the demo reaches its SE: each link's far end, made here, with the tap behind it.

    agent ── link ── far end (reader, modem, serial port, program) ── tap ── SE

The far ends are the virtual SE's own fronts, which carry here an SE that is behind TCP.
"""

from __future__ import annotations

import contextlib
import shlex
import socket
from typing import TYPE_CHECKING, Final, Self

from opentsm_agent.links.tcp import TcpLink
from opentsm_card.errors import TransportError
from opentsm_simulator.front import DialFront, TcpFront
from opentsm_simulator.modem_front import ModemFront
from opentsm_simulator.pcscd import Pcscd, Reader
from opentsm_simulator.uart import UartFront
from opentsm_tools.demo.processes import OPENTSM

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_simulator.virtual_se import Interface

__all__ = ["KINDS", "FarEnds"]

_HERE: Final = "127.0.0.1"
_ANSWER_S: Final = 30.0
_T0_ATR: Final = bytes.fromhex("3B00")
# TD1 offers T=1; without TA3 and TB3 its blocks have up to 32 bytes: the line is to chain.
_T1_ATR: Final = bytes.fromhex("3B800181")
_PAIR_ATTEMPTS: Final = 50


class _FarLink:
    """A link to an SE behind TCP that is dialled when a command is there, and anew after a reset or a failure."""

    def __init__(self, port: int, atr: bytes) -> None:
        self._port = port
        self._atr = atr
        self._link: TcpLink | None = None

    def transmit(self, command: bytes) -> bytes:
        if self._link is None:
            self._link = TcpLink(_HERE, self._port, _ANSWER_S)
        try:
            return self._link.transmit(command)
        except TransportError:
            self._link = None
            raise

    def reset(self) -> bytes:
        """Hang up, which takes the SE's power."""
        self.close()
        return self._atr

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _FarSe:
    """An SE behind TCP (`opentsm_simulator.carried.Carried`).

    Args:
        se_id: its identity.
        port: of its contact interface.
        atr: what its far end says.
    """

    def __init__(self, se_id: str, port: int, atr: bytes) -> None:
        self.se_id = se_id
        self.atr = atr
        self._port = port

    def link(self, interface: Interface = "contact") -> _FarLink:
        del interface
        return _FarLink(self._port, self.atr)


class FarEnds:
    """The far ends of one kind of link; `close` takes them away.

    Args:
        kind: one of `KINDS`.
        ports: of each SE's tap, by SE.

    Raises:
        TransportError: one can't be made here; the message says what is missing.
    """

    def __init__(self, kind: str, ports: dict[str, int]) -> None:
        self._closing = contextlib.ExitStack()
        try:
            self.links = _MAKERS[kind](self._closing, ports)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take them away; safe to call twice."""
        self._closing.close()


def _tcp(_closing: contextlib.ExitStack, ports: dict[str, int]) -> dict[str, str]:
    return {se: f"tcp:{_HERE}:{port}" for se, port in ports.items()}


def _listen(closing: contextlib.ExitStack, ports: dict[str, int]) -> dict[str, str]:
    links = {}
    for se, port in ports.items():
        with socket.create_server((_HERE, 0)) as free:
            waiting = int(free.getsockname()[1])
        _start(closing, DialFront(_FarSe(se, port, _T1_ATR), _HERE, waiting))
        links[se] = f"tcp:{_HERE}:{waiting}?listen"
    return links


def _stdio(_closing: contextlib.ExitStack, ports: dict[str, int]) -> dict[str, str]:
    def command(port: int) -> str:
        return shlex.join([*OPENTSM, "card", "--link", f"tcp:{_HERE}:{port}", "stdio"])

    return {se: f"stdio:{command(port)}" for se, port in ports.items()}


def _uart(atr: bytes) -> Callable[[contextlib.ExitStack, dict[str, int]], dict[str, str]]:
    def make(closing: contextlib.ExitStack, ports: dict[str, int]) -> dict[str, str]:
        fronts = {se: UartFront(_FarSe(se, port, atr)) for se, port in ports.items()}
        for front in fronts.values():
            _start(closing, front)
        return {se: f"uart:{front.address}" for se, front in fronts.items()}

    return make


def _modem(way: str) -> Callable[[contextlib.ExitStack, dict[str, int]], dict[str, str]]:
    def make(closing: contextlib.ExitStack, ports: dict[str, int]) -> dict[str, str]:
        fronts = {se: ModemFront(_FarSe(se, port, _T0_ATR)) for se, port in ports.items()}
        for front in fronts.values():
            _start(closing, front)
        return {se: f"modem:{front.address}?apdu={way}" for se, front in fronts.items()}

    return make


def _pcsc(closing: contextlib.ExitStack, ports: dict[str, int]) -> dict[str, str]:
    readers: dict[str, Reader] = {}
    # T=0 and T=1 in turn: a reader of either kind is to be met.
    for index, (se, port) in enumerate(ports.items()):
        far = _FarSe(se, port, (_T1_ATR, _T0_ATR)[index % 2])
        readers[se] = Reader(f"opentsm {se}", _pair(closing, far))
    closing.enter_context(contextlib.closing(Pcscd(list(readers.values()))))
    return {se: f"pcsc:{reader.slot_name(0)}" for se, reader in readers.items()}


def _pair(closing: contextlib.ExitStack, far: _FarSe) -> int:
    """Listen for the two connections of a reader of pcscd's driver, on a port and the next; return the first."""
    for _ in range(_PAIR_ATTEMPTS):
        first = TcpFront(far, "contact", _HERE, 0, stays=True)
        try:
            second = TcpFront(far, "contact", _HERE, first.port + 1, stays=True)
        except (TransportError, OverflowError):
            first.stop()
            continue
        for front in (first, second):
            _start(closing, front)
        return first.port
    raise TransportError(f"no two neighbouring ports are free on {_HERE}")


def _start(closing: contextlib.ExitStack, front: DialFront | ModemFront | TcpFront | UartFront) -> None:
    closing.callback(front.stop)
    front.start()


_MAKERS: Final[dict[str, Callable[[contextlib.ExitStack, dict[str, int]], dict[str, str]]]] = {
    "tcp": _tcp,
    "tcp-listen": _listen,
    "stdio": _stdio,
    "uart-t0": _uart(_T0_ATR),
    "uart-t1": _uart(_T1_ATR),
    "modem-csim": _modem("csim"),
    "modem-ccho": _modem("ccho"),
    "pcsc": _pcsc,
}
KINDS: Final = tuple(_MAKERS)
"""The kinds of link that the demo's agents can have."""
