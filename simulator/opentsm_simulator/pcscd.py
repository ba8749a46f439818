"""A pcscd of our own whose readers are virtual SEs: a card in every PC/SC program of this machine.

Each SE is one reader of pcscd's vpcd driver with two slots: its contacts, and its contactless interface. The entry
`DEVICENAME 127.0.0.1:0xPORT` has the driver dial us, one connection a slot, so nothing of it listens on any network; as
installed, it would listen on all interfaces. The driver takes pcscd down when a card hangs up: ours never do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from opentsm_card.errors import TransportError

__all__ = ["Pcscd", "Reader", "running_vpcd"]

_SOCKET: Final = Path("/run/pcscd/pcscd.comm")
_DRIVERS: Final = (
    Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so"),
    Path("/usr/lib64/pcsc/drivers/serial/libifdvpcd.so"),
    Path("/usr/local/lib/pcsc/drivers/serial/libifdvpcd.so"),
)
_START_TIMEOUT_S: Final = 20.0
_STOP_TIMEOUT_S: Final = 10.0
_STOCK_PORT: Final = 35963
_INSTALL: Final = "as root: apt-get install pcscd vsmartcard-vpcd"


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader with two slots.

    Args:
        name: what PC/SC programs see, before the slot's number.
        port: where the first slot's card listens, on 127.0.0.1; the second's on the next port.
    """

    name: str
    port: int

    def slot_name(self, slot: int) -> str:
        """Return the whole name of one slot, as pcscd makes it."""
        return f"{self.name} 00 {slot:02}"


def running_vpcd(index: int) -> tuple[str, int] | None:
    """Return where the vpcd driver of the pcscd that runs here waits for a card; None when no pcscd runs.

    Args:
        index: which of its slots, from 0.

    Raises:
        TransportError: a pcscd runs and has no such slot; the message says what to do.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(_SOCKET))
        except OSError:
            return None
    address = ("127.0.0.1", _STOCK_PORT + index)
    try:
        socket.create_connection(address, timeout=2).close()
    except OSError:
        raise TransportError(
            f"pcscd runs here already, and no vpcd reader waits for a card at {address[0]}:{address[1]}. Is it that of "
            "another `opentsm se run --vpcd`? Then give that one --count. Else give it the reader "
            f"({_INSTALL}, then restart pcscd; it has two), or stop it (systemctl stop pcscd.socket pcscd.service) and "
            "let this command start its own"
        ) from None
    return address


class Pcscd:
    """A pcscd that runs until it is closed.

    Args:
        readers: its readers; somebody must listen on their ports.

    Raises:
        TransportError: it can't be started here; the message says what is missing and how to get it.
    """

    def __init__(self, readers: list[Reader]) -> None:
        program = shutil.which("pcscd") or shutil.which("pcscd", path="/usr/sbin")
        driver = next((path for path in _DRIVERS if path.exists()), None)
        if program is None or driver is None:
            missing = "pcscd" if program is None else "pcscd's vpcd driver"
            raise TransportError(f"{missing} is not installed; {_INSTALL}")
        if os.geteuid() != 0:
            raise TransportError(
                "pcscd is not running, and only root can start it: run this command as root, or start pcscd with its "
                "vpcd driver (systemctl start pcscd.socket) and run it again"
            )
        self._folder = Path(tempfile.mkdtemp(prefix="opentsm-pcscd-"))
        try:
            _SOCKET.parent.mkdir(exist_ok=True)
            self._write(readers, driver)
            with (self._folder / "log").open("wb") as log:
                command = [program, "--foreground", "--config", str(self._folder / "readers")]
                # In a session of its own: Ctrl-C is for us, who stop it when the cards are gone.
                self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603 - no shell
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise TransportError(f"pcscd can't be started: {error}") from error
        self._wait()

    def _write(self, readers: list[Reader], driver: Path) -> None:
        configuration = self._folder / "readers"
        configuration.mkdir()
        lines: list[str] = []
        for index, reader in enumerate(readers):
            # The driver keeps its slots in variables of the library: readers that share one would share their cards.
            copy = shutil.copy(driver, self._folder / f"{index}.so")
            lines += [f'FRIENDLYNAME "{reader.name}"', f"DEVICENAME 127.0.0.1:0x{reader.port:04X}"]
            lines += [f"LIBPATH {copy}", f"CHANNELID 0x{reader.port:04X}", ""]
        (configuration / "opentsm").write_text("\n".join(lines))

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
                probe.connect(str(_SOCKET))
                return
            if not self.is_running() or time.monotonic() > deadline:
                log = self.log()
                self.close()
                raise TransportError(f"pcscd does not start; it says: {log.strip() or 'nothing'}")
            time.sleep(0.02)

    def is_running(self) -> bool:
        """Tell whether it is still there."""
        return self._process.poll() is None

    def log(self) -> str:
        """Return the end of what it has logged."""
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    def close(self) -> None:
        """Stop it, and leave nothing behind; safe to call twice."""
        if self.is_running():
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_STOP_TIMEOUT_S)
        shutil.rmtree(self._folder, ignore_errors=True)
