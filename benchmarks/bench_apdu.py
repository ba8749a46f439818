"""APDU rates: in process against a bare jCardSim, over TCP and over pcscd and vpcd against the bare calls.

Run: `python benchmarks/bench_apdu.py [--json]`. The part over pcscd is left out, and said to be, where pcscd or vpcd's
driver is missing, or another pcscd runs: it starts one of its own.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jpype
from smartcard import scard

from harness import Comparison, alternate, report
from opentsm_agent.links import open_link
from opentsm_agent.links.pcsc import open_pcsc
from opentsm_agent.links.pcsc_readers import reader_names
from opentsm_build import artifacts, compiler, java
from opentsm_card.errors import TransportError
from opentsm_simulator import VirtualSe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ECHO: Final = Path(__file__).resolve().parent / "echo"
_SELECT: Final = bytes.fromhex("00A4040005F0000000E1")
_DATA: Final = bytes(range(200))
_COMMAND: Final = bytes.fromhex("80000000C8") + _DATA
_DRIVERS: Final = ("/usr/lib/pcsc/drivers/serial/libifdvpcd.so", "/usr/local/lib/pcsc/drivers/serial/libifdvpcd.so")


def _loop(transmit: Callable[[bytes], bytes], count: int) -> Callable[[], int]:
    """Return a run of `count` commands, whose answers are looked at once."""
    assert transmit(_COMMAND) == _DATA + b"\x90\x00"

    def run() -> int:
        for _ in range(count):
            transmit(_COMMAND)
        return count

    return run


def _bare_jcardsim() -> Callable[[bytes], Any]:
    """Return transmitCommand of a plain jCardSim runtime with the same applet."""
    jar = artifacts.resolve(artifacts.JCARDSIM)
    loader = java.class_loader([jar])
    classes = compiler.compile_sources([_ECHO / "src"], [jar])
    applet = java.class_loader([classes], loader).loadClass("bench.Echo")
    aid = jpype.JClass("javacard.framework.AID", loader=loader)(bytes.fromhex("F0000000E1"), 0, 5)
    simulator = jpype.JClass("com.licel.jcardsim.base.SimulatorRuntime", loader=loader)()
    simulator.loadApplet(aid, applet)
    simulator.installApplet(aid, bytes.fromhex("05F0000000E1"), 0, 6)
    assert bytes(simulator.transmitCommand(_SELECT)) == b"\x90\x00"
    transmit: Callable[[bytes], Any] = simulator.transmitCommand
    return transmit


def in_process() -> Comparison:
    """Compare a link to a virtual SE with a bare loop over jCardSim; both give and take bytes."""
    bare = _bare_jcardsim()
    link = VirtualSe.create(str(_ECHO / "profile.toml")).link()
    assert link.transmit(_SELECT) == b"\x90\x00"

    def peer() -> int:
        for _ in range(10_000):
            bytes(bare(_COMMAND))
        return 10_000

    return alternate(
        "in process, echo of 200 bytes: link against bare jCardSim",
        _loop(link.transmit, 10_000),
        peer,
        unit="APDU",
        goal=0.8,
    )


def _answer_always(listener: socket.socket) -> None:
    """Serve the framing with an answer that is always the same: the floor of any front."""
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    answer = (len(_DATA) + 2).to_bytes(2, "big") + _DATA + b"\x90\x00"
    pending = 0
    with connection:
        while received := connection.recv(65536):
            pending += len(received)
            if pending == 2 + len(_COMMAND):
                pending = 0
                connection.sendall(answer)


def _framed(connection: socket.socket) -> Callable[[bytes], bytes]:
    def transmit(command: bytes) -> bytes:
        connection.sendall(len(command).to_bytes(2, "big") + command)
        answer = connection.recv(65536)
        while len(answer) < 2 or len(answer) < 2 + int.from_bytes(answer[:2], "big"):
            answer += connection.recv(65536)
        return answer[2:]

    return transmit


def over_tcp(address: str) -> Comparison:
    """Compare the TCP front, and the agent's link to it, with a server that does nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_answer_always, args=(listener,), daemon=True).start()
    with socket.create_connection(listener.getsockname()) as floor, open_link(f"tcp:{address}") as link:
        floor.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.transmit(_SELECT)
        return alternate(
            "over TCP: agent's tcp link and an SE's front against sockets alone",
            _loop(link.transmit, 1_000),
            _loop(_framed(floor), 1_000),
            unit="APDU",
        )


@contextlib.contextmanager
def _se_run(port: int) -> Iterator[str]:
    """Run `opentsm se run` with the echo profile in a process of its own; yields the contact interface's address."""
    program = str(Path(sys.executable).parent / "opentsm")
    options = ("--profile", str(_ECHO / "profile.toml"), "--tcp", str(port), "--contactless-tcp", str(port + 1))
    with subprocess.Popen([program, "se", "run", "--json", *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["ses"][0]["tcp"]
        finally:
            process.terminate()


@contextlib.contextmanager
def _pcscd(driver: str, port: int) -> Iterator[str | None]:
    """Run pcscd with a vpcd entry that dials `port` and the next; yields the reader's name, or None if it can't be."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vpcd").write_text(
            f'FRIENDLYNAME "opentsm bench"\nDEVICENAME 127.0.0.1:0x{port:X}\nLIBPATH {driver}\nCHANNELID 0x{port:X}\n'
        )
        with subprocess.Popen(
            ["pcscd", "-f", "-c", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as daemon:
            try:
                yield _reader(daemon)
            finally:
                daemon.terminate()


def _reader(daemon: subprocess.Popen[bytes]) -> str | None:
    until = time.monotonic() + 15
    while daemon.poll() is None and time.monotonic() < until:
        with contextlib.suppress(TransportError):
            names = sorted(name for name in reader_names() if "opentsm bench" in name)
            if names:
                open_pcsc(names[0], 30).close()
                return names[0]
        time.sleep(0.1)
    return None


def over_pcsc(reader: str) -> Comparison:
    """Compare the agent's pcsc link with bare SCardTransmit calls on the same card."""
    with open_pcsc(reader, 30) as link:
        assert link.transmit(_SELECT) == b"\x90\x00"
        assert link._connection is not None  # noqa: SLF001 - the link holds the card exclusively
        card, protocol = link._connection.card, link._pci  # noqa: SLF001 - as above

        def peer() -> int:
            for _ in range(1_000):
                scard.SCardTransmit(card, protocol, list(_COMMAND))
            return 1_000

        return alternate(
            "over pcscd and vpcd: agent's pcsc link against bare SCardTransmit",
            _loop(link.transmit, 1_000),
            peer,
            unit="APDU",
            goal=0.8,
        )


def main() -> None:
    """Measure and report."""
    results = [in_process()]
    port = _free_pair()
    with _se_run(port) as address:
        results.append(over_tcp(address))
        driver = next((path for path in _DRIVERS if Path(path).exists()), None)
        if driver is None or shutil.which("pcscd") is None:
            print("left out: pcscd or vpcd's driver is not on this machine", file=sys.stderr)
        else:
            with _pcscd(driver, port) as reader:
                if reader is None:
                    print("left out: pcscd did not start, or another one runs", file=sys.stderr)
                else:
                    results.append(over_pcsc(reader))
    report(results)


def _free_pair() -> int:
    """Return a port that is free, as is the next."""
    while True:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            with socket.create_server(("127.0.0.1", port + 1)):
                return port


if __name__ == "__main__":
    main()
