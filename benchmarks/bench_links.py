"""What each link costs: a script of 100 APDUs through it, against the same characters or messages sent bare.

Run as root: `python benchmarks/bench_links.py [--json]`. The far end of each link is a process of its own (`opentsm se
run`, and pcscd). Bare is what the link itself sent and received, recorded and done again by system calls alone: the
same writes, and reads until as much has come. Both take turns; the ratio is the median over the turns.

Pseudo-terminals have no bit times: there all that a link computes shows. So serial lines are measured a second time,
with each character taking as long as at 115,200 bits a second, faster than most cards and modems are run at.

What is beyond the bare way is nearly all the link's own Python; of system calls there is one more for a command, which
asks whether anything came unasked. Measured with answers from memory that Python takes, an APDU, 20 µs for T=1 (two
blocks), 12 for T=0 (one and a half exchanges), 5 for a modem, 3 for `stdio:`. Each time after a wait, with caches that
others have filled, it takes two to four times as long: by the thread's CPU time 48, 29, 16 and 11 µs, with the call.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smartcard import scard

from harness import Comparison, alternate, report
from opentsm_agent.journal import Journal
from opentsm_agent.links import modem_port, open_link, stdio, tcp, uart_port
from opentsm_agent.relay import ANY_ANSWER, run_script
from opentsm_card.script import ScriptCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentsm_card.link import Link

__all__ = ["main"]

_SCRIPT: Final = [bytes.fromhex("80CA006600"), bytes.fromhex("80E2000040") + bytes(range(64))] * 50
_ROUNDS: Final = 21
_LEAST_RATIO: Final = 0.9
_LINE_BAUD: Final = 115_200
_PACED_ROUNDS: Final = 5
# A character's bits: to a card with parity and two stop bits (ISO/IEC 7816-3:2006, 7.2), to a modem with one only.
_UART_BITS: Final = 12
_MODEM_BITS: Final = 10
_SESSION: Final = "bench"
_OPENTSM: Final = [sys.executable, "-m", "opentsm_tools.main"]


@dataclass
class _Recorder:
    """Stands for `os` in a link's module, and notes what passes: each write, and how much was read after it.

    With `character_s`, each character takes so many seconds to pass.
    """

    passed: list[tuple[int, bytes, int]]
    recording: bool = False
    character_s: float = 0.0

    def write(self, descriptor: int, data: bytes) -> int:
        written = os.write(descriptor, data)
        self.pace(written)
        if self.recording:
            self.passed.append((descriptor, bytes(data[:written]), 0))
        return written

    def pace(self, characters: int) -> None:
        if self.character_s:
            time.sleep(characters * self.character_s)

    def read(self, descriptor: int, count: int) -> bytes:
        data = os.read(descriptor, count)
        self.pace(len(data))
        if self.recording:
            written, command, received = self.passed[-1]
            self.passed[-1] = written, command, received + len(data)
            self.reader = descriptor
        return data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else of `os`
        return getattr(os, name)


def _again(recorder: _Recorder) -> Callable[[], None]:
    """Return what does again what was recorded."""
    poll = select.poll()
    poll.register(recorder.reader, select.POLLIN)
    reader, passed = recorder.reader, recorder.passed

    def bare() -> None:
        for writer, command, count in passed:
            os.write(writer, command)
            recorder.pace(len(command))
            left = count
            while left > 0:
                poll.poll()
                part = len(os.read(reader, left))
                recorder.pace(part)
                left -= part

    return bare


def _through(link: Link) -> Callable[[], None]:
    def script() -> None:
        for command in _SCRIPT:
            link.transmit(command)

    return script


def _compare(name: str, link: Link, bare: Callable[[], None], pairs: int = _ROUNDS) -> Comparison:
    def counted(run: Callable[[], None]) -> Callable[[], int]:
        def count() -> int:
            run()
            return len(_SCRIPT)

        return count

    return alternate(name, counted(_through(link)), counted(bare), unit="APDU", pairs=pairs, goal=_LEAST_RATIO)


def _recorded(name: str, uri: str, module: Any, bits: int = 0) -> Iterator[Comparison]:  # noqa: ANN401 - a module
    """Compare a link that uses a descriptor by `os`; where a character has `bits`, also at the pace of a line."""
    recorder = _Recorder([])
    module.os = recorder
    try:
        with open_link(uri, 30) as link:
            for _ in range(20):
                _through(link)()
            recorder.recording = True
            _through(link)()
            recorder.recording = False
            module.os = os
            yield _compare(name, link, _again(recorder))
            if bits:
                recorder.character_s = bits / _LINE_BAUD
                module.os = recorder
                yield _compare(f"{name}, at {_LINE_BAUD:,} bit/s", link, _again(recorder), _PACED_ROUNDS)
    finally:
        module.os = os


def _by_tcp(uri: str) -> Comparison:
    with tcp.open_tcp(uri.removeprefix("tcp:"), 30) as link:
        for _ in range(20):
            _through(link)()
        connection = link._socket  # noqa: SLF001 - the bare way
        assert connection is not None

        def bare() -> None:
            for command in _SCRIPT:
                connection.sendall(len(command).to_bytes(2, "big") + command)
                connection.recv(65536)

        return _compare("tcp", link, bare)


class _InJournal:
    """Keeps in the journal what the relay tells, as the agent's own recorder does."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def has_room(self) -> bool:
        return True

    def sent(self, position: int, c_apdu: bytes) -> None:
        self._journal.command_sent(_SESSION, 0, position, c_apdu)

    def answered(self, position: int, r_apdu: bytes) -> None:
        self._journal.command_answered(_SESSION, 0, position, r_apdu)


def _with_journal(uri: str, folder: Path) -> Comparison:
    """Compare an order kept in the journal with its messages sent bare, and two syncs of a file."""
    script = tuple(ScriptCommand(command, ANY_ANSWER) for command in _SCRIPT)
    with tcp.open_tcp(uri.removeprefix("tcp:"), 30) as link, Journal(folder / "journal") as journal:
        journal.open_session(_SESSION, "https://tsm.example", extended=True)
        recorder = _InJournal(journal)
        orders = itertools.count(1)
        connection = link._socket  # noqa: SLF001 - the bare way
        assert connection is not None
        descriptor = os.open(folder / "floor", os.O_RDWR | os.O_CREAT | os.O_APPEND)

        def ours() -> int:
            number = next(orders)
            journal.start_order(_SESSION, number, b"order %d" % number, "se", [len(script)])
            run_script(link, script, recorder)
            journal.report_made(_SESSION, b"report")
            return len(script)

        def floor() -> int:
            os.write(descriptor, bytes(100))
            os.fsync(descriptor)
            for command in _SCRIPT:
                connection.sendall(len(command).to_bytes(2, "big") + command)
                connection.recv(65536)
            os.write(descriptor, bytes(100))
            os.fsync(descriptor)
            return len(script)

        try:
            return alternate("order in the journal, tcp", ours, floor, unit="APDU", pairs=_ROUNDS)
        finally:
            os.close(descriptor)


def _by_pcsc(uri: str) -> Comparison:
    deadline = time.monotonic() + 20
    while True:
        try:
            link: Any = open_link(uri, 30)
            break
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    with link:
        for _ in range(5):
            _through(link)()

        def bare() -> None:
            for command in _SCRIPT:
                scard.SCardTransmit(link._connection.card, scard.SCARD_PCI_T1, list(command))  # noqa: SLF001 - the bare way

        return _compare("pcsc", link, bare)


@contextlib.contextmanager
def _far_end(*words: str) -> Iterator[dict[str, str]]:
    """Run a virtual SE; give what it says of itself."""
    process = subprocess.Popen([*_OPENTSM, "se", "run", "--json", *words], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["ses"][0]
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Measure and report."""
    figures: list[Comparison] = []
    with tempfile.TemporaryDirectory() as folder:
        with _far_end("--profile", "embedded", "--tcp", "0") as told:
            figures.append(_by_tcp(f"tcp:{told['tcp']}"))
            figures.append(_with_journal(f"tcp:{told['tcp']}", Path(folder)))
            command = " ".join([*_OPENTSM, "card", "--link", f"tcp:{told['tcp']}", "stdio"])
            figures.extend(_recorded("stdio", f"stdio:{command}", stdio))
        for name, profile in (("uart, T=1", "embedded"), ("uart, T=0", "uicc")):
            with _far_end("--profile", profile, "--uart", f"{folder}/{profile}"):
                figures.extend(_recorded(name, f"uart:{folder}/{profile}", uart_port, _UART_BITS))
        with _far_end("--profile", "uicc", "--modem", f"{folder}/modem"):
            for way in ("csim", "ccho"):
                figures.extend(_recorded(f"modem, {way}", f"modem:{folder}/modem?apdu={way}", modem_port, _MODEM_BITS))
        if not Path("/run/pcscd/pcscd.comm").exists():
            with _far_end("--profile", "embedded", "--vpcd") as told:
                figures.append(_by_pcsc(f"pcsc:{told['reader']}"))
    report(figures)


if __name__ == "__main__":
    main()
