"""A pcscd of our own, with virtual readers of our own: nothing of it listens beyond this machine.

Each reader entry with `DEVICENAME 127.0.0.1:0xPORT` has vpcd dial PORT and PORT + 1, one for each of its two slots; who
listens there is the card. vpcd 3.3 can't do without it: when nobody listens, or the card hangs up, it takes pcscd down
with it. So a slot here keeps its connection, and cards are put in and taken out behind it.

pcscd has one socket on a machine, in /run/pcscd; where mount namespaces can be made it gets a folder of its own under
that name, and clients find it through PCSCLITE_CSOCK_NAME, so several can run side by side.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Final, Protocol, Self

from agent_peers import ATR, serve_vpcd

__all__ = ["Card", "Pcscd", "PcscdError", "Slot"]

_RUN: Final = Path("/run/pcscd")
_LIBRARIES: Final = ("/usr/lib/pcsc/drivers/serial/libifdvpcd.so", "/usr/lib64/pcsc/drivers/serial/libifdvpcd.so")
_START_TIMEOUT_S: Final = 20.0


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


class Pcscd:
    """A running pcscd.

    Args:
        entries: how many reader entries; each gives two slots.

    Raises:
        PcscdError: it can't be started.
    """

    def __init__(self, entries: int) -> None:
        library = next((path for path in _LIBRARIES if Path(path).exists()), None)
        program = shutil.which("pcscd") or shutil.which("pcscd", path="/usr/sbin")
        if program is None or library is None:
            raise PcscdError("needs pcscd and vpcd: apt-get install pcscd vsmartcard-vpcd")
        if os.geteuid() != 0:
            raise PcscdError("pcscd needs root to start: run the tests as root")
        # A socket's path has at most 107 bytes, so this does not go below pytest's folder.
        self.folder = Path(tempfile.mkdtemp(prefix="pcscd-"))
        self._all = self._write_readers(entries, library)
        self.slots = list(self._all)
        self.used: list[Slot] = []
        self._process = self._start(program)
        self._wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def environment(self) -> dict[str, str]:
        """What a client's process needs in its environment."""
        return {"PCSCLITE_CSOCK_NAME": str(self._socket)}

    def close(self) -> None:
        """Stop it, and leave nothing behind."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        for slot in self._all:
            slot.close()
        shutil.rmtree(self.folder)

    def log(self) -> str:
        """Return what it has logged."""
        return (self.folder / "log").read_text(errors="replace")

    def _write_readers(self, entries: int, library: str) -> list[Slot]:
        configuration = self.folder / "readers"
        configuration.mkdir()
        lines: list[str] = []
        slots: list[Slot] = []
        for index in range(entries):
            listeners = _two_listeners()
            port = listeners[0].getsockname()[1]
            name = f"opentsm {os.getpid()} {chr(ord('A') + index)}"
            # vpcd keeps its slots in variables of the library: readers that share one would share their cards.
            copy = shutil.copy(library, self.folder / f"{index}.so")
            lines += [f'FRIENDLYNAME "{name}"', f"DEVICENAME 127.0.0.1:0x{port:04X}", f"LIBPATH {copy}"]
            lines += [f"CHANNELID 0x{port:04X}", ""]
            slots += [Slot(f"{name} 00 {slot:02}", listeners[slot]) for slot in range(2)]
        (configuration / "readers.conf").write_text("\n".join(lines))
        return slots

    def _start(self, program: str) -> subprocess.Popen[bytes]:
        run = self.folder / "run"
        run.mkdir()
        command = [program, "--foreground", "--config", str(self.folder / "readers")]
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0:
            _RUN.mkdir(exist_ok=True)
            mount = f'mount --bind "{run}" {_RUN} && exec "$0" "$@"'
            command = ["unshare", "--mount", "sh", "-c", mount, *command]
            self._socket = run / "pcscd.comm"
        else:
            self._socket = _RUN / "pcscd.comm"
            if self._socket.exists():
                raise PcscdError("another pcscd is running, and mount namespaces can't be made here: stop it first")
        with (self.folder / "log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

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
