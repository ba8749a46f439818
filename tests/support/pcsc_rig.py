"""A pcscd of our own, with virtual readers of our own: nothing of it listens beyond this machine.

Each reader entry with `DEVICENAME 127.0.0.1:0xPORT` has vpcd dial PORT and PORT + 1, one for each of its two slots; who
listens there is the card. vpcd 3.3 can't do without it: when nobody listens, or the card hangs up, it takes pcscd down
with it. So a slot here keeps its connection, and cards are put in and taken out behind it.

pcscd has one socket on a machine, in /run/pcscd; where mount namespaces can be made it gets a folder of its own under
that name, and clients find it through PCSCLITE_CSOCK_NAME, so several can run side by side.

To put cards in and take them out, vpcd has to listen, which it does on every interface of the machine: such a pcscd
gets a network of its own, with nothing but a loopback, which cards enter to dial it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

from agent_peers import ATR, serve_vpcd

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Card", "HotSlot", "Pcscd", "PcscdError", "Slot"]

_RUN: Final = Path("/run/pcscd")
_LIBRARIES: Final = ("/usr/lib/pcsc/drivers/serial/libifdvpcd.so", "/usr/lib64/pcsc/drivers/serial/libifdvpcd.so")
_START_TIMEOUT_S: Final = 20.0
# From <sched.h>, <linux/sockios.h> and <net/if.h>.
_CLONE_NEWNET: Final = 0x40000000
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 0x1


class PcscdError(RuntimeError):
    """pcscd, or vpcd, can't be had here; the message says how to get it."""


class Card(Protocol):
    """What a slot needs of a card; every link has it."""

    @property
    def atr(self) -> bytes:
        """The answer to reset."""

    def transmit(self, command: bytes) -> bytes:
        """Run a C-APDU."""

    def reset(self) -> bytes:
        """Reset, and return the ATR."""


class _Nothing:
    """What is in an empty slot: vpcd must see something."""

    atr = ATR

    def transmit(self, command: bytes) -> bytes:
        del command
        return b"\x6f\x00"

    def reset(self) -> bytes:
        return ATR


class Slot:
    """A virtual reader; put a card in by setting `card` before the first connection to it.

    Args:
        reader: its PC/SC name.
        listener: where vpcd dials.
    """

    def __init__(self, reader: str, listener: socket.socket) -> None:
        self.reader = reader
        self.card: Card = _Nothing()
        self._listener = listener
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        serve_vpcd(connection, self._transmit, self._reset, self._atr)

    def _transmit(self, command: bytes) -> bytes:
        return self.card.transmit(command)

    def _reset(self) -> bytes:
        return self.card.reset()

    def _atr(self) -> bytes:
        return self.card.atr


class HotSlot:
    """A virtual reader that cards are put into and taken out of; it is empty at first.

    Args:
        reader: its PC/SC name.
        dial: connects to its vpcd.
    """

    def __init__(self, reader: str, dial: Callable[[], socket.socket]) -> None:
        self.reader = reader
        self._dial = dial
        self._connection: socket.socket | None = None

    @property
    def filled(self) -> bool:
        """Whether a card is in it."""
        return self._connection is not None

    def insert(self, card: Card) -> None:
        """Put a card in; pcscd sees it within a second."""
        self._connection = connection = self._dial()
        arguments = (connection, card.transmit, card.reset, lambda: card.atr)
        threading.Thread(target=serve_vpcd, args=arguments, daemon=True).start()

    def remove(self) -> None:
        """Take the card out, whatever it is doing: vpcd sees an end of its socket."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            self._connection = None


class Pcscd:
    """A running pcscd.

    Args:
        entries: how many reader entries; each gives two slots.
        hot: whether cards are put in and taken out: then `hot` has its slots, else `slots`.

    Raises:
        PcscdError: it can't be started.
    """

    def __init__(self, entries: int, *, hot: bool = False) -> None:
        library = next((path for path in _LIBRARIES if Path(path).exists()), None)
        program = shutil.which("pcscd") or shutil.which("pcscd", path="/usr/sbin")
        if program is None or library is None:
            raise PcscdError("needs pcscd and vpcd: apt-get install pcscd vsmartcard-vpcd")
        if os.geteuid() != 0:
            raise PcscdError("pcscd needs root to start: run the tests as root")
        # A socket's path has at most 107 bytes, so this does not go below pytest's folder.
        self.folder = Path(tempfile.mkdtemp(prefix="pcscd-"))
        self._all: list[Slot] = []
        self.hot: list[HotSlot] = []
        self._own_network = False
        self._write_readers(entries, library, hot=hot)
        self.slots = list(self._all)
        self.used: list[Slot] = []
        self._program = program
        self._process = self._start()
        self._wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def environment(self) -> dict[str, str]:
        """What a client's process needs in its environment."""
        return {"PCSCLITE_CSOCK_NAME": str(self._socket)}

    def stop(self) -> None:
        """Stop it: its readers are gone, and the cards out of them."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        for hot in self.hot:
            hot.remove()

    def start(self) -> None:
        """Start it again: its readers are back, and empty."""
        self._socket.unlink(missing_ok=True)
        self._process = self._start()
        self._wait()

    @property
    def readers(self) -> list[str]:
        """Names of all its readers."""
        return [slot.reader for slot in self._all]

    def close(self) -> None:
        """Stop it, and leave nothing behind."""
        self.stop()
        for slot in self._all:
            slot.close()
        shutil.rmtree(self.folder)

    def log(self) -> str:
        """Return what it has logged."""
        return (self.folder / "log").read_text(errors="replace")

    def _write_readers(self, entries: int, library: str, *, hot: bool) -> None:
        configuration = self.folder / "readers"
        configuration.mkdir()
        lines: list[str] = []
        for index in range(entries):
            listeners = _two_listeners()
            port = listeners[0].getsockname()[1]
            name = f"opentsm {os.getpid()} {'hot ' if hot else ''}{chr(ord('A') + index)}"
            # vpcd keeps its slots in variables of the library: readers that share one would share their cards.
            copy = shutil.copy(library, self.folder / f"{index}.so")
            host = "/dev/null" if hot else "127.0.0.1"
            lines += [f'FRIENDLYNAME "{name}"', f"DEVICENAME {host}:0x{port:04X}", f"LIBPATH {copy}"]
            lines += [f"CHANNELID 0x{port:04X}", ""]
            for slot, listener in enumerate(listeners):
                reader = f"{name} 00 {slot:02}"
                if hot:
                    listener.close()
                    self.hot.append(HotSlot(reader, functools.partial(self._dial, port + slot)))
                else:
                    self._all.append(Slot(reader, listener))
        (configuration / "readers.conf").write_text("\n".join(lines))

    def _start(self) -> subprocess.Popen[bytes]:
        run = self.folder / "run"
        run.mkdir(exist_ok=True)
        command = [self._program, "--foreground", "--config", str(self.folder / "readers")]
        unshare = ["unshare", "--mount", *(["--net"] if self.hot else [])]
        self._own_network = False
        if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0:
            _RUN.mkdir(exist_ok=True)
            mount = f'mount --bind "{run}" {_RUN} && exec "$0" "$@"'
            command = [*unshare, "sh", "-c", mount, *command]
            self._socket = run / "pcscd.comm"
            self._own_network = bool(self.hot)
        else:
            self._socket = _RUN / "pcscd.comm"
            if self._socket.exists():
                raise PcscdError("another pcscd is running, and mount namespaces can't be made here: stop it first")
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def _dial(self, port: int) -> socket.socket:
        """Connect to a port of this pcscd's network."""
        made: list[socket.socket] = []

        def dial() -> None:
            # A network is entered by a thread, which then ends; a socket stays in the one it was made in.
            if self._own_network:
                _enter_network(self._process.pid)
            made.append(socket.create_connection(("127.0.0.1", port), _START_TIMEOUT_S))
            made[0].settimeout(None)

        thread = threading.Thread(target=dial)
        thread.start()
        thread.join()
        (connection,) = made
        return connection

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = self.log()
                self.close()
                raise PcscdError(f"pcscd does not start:\n{log}")
            time.sleep(0.02)


def _two_listeners() -> tuple[socket.socket, socket.socket]:
    """Listen on a port of 127.0.0.1 and on the next."""
    while True:
        first = socket.create_server(("127.0.0.1", 0))
        try:
            return first, socket.create_server(("127.0.0.1", first.getsockname()[1] + 1))
        except (OSError, OverflowError):
            first.close()


def _enter_network(pid: int) -> None:
    """Have this thread be in the network of a process, and see that its loopback is up."""
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(descriptor)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
