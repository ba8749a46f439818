"""Speed of translated code: an applet as a loaded CAP file on the virtual SE against its classes in a bare jCardSim.

Run: `python benchmarks/bench_translated.py [--json]`. Four kinds of work, some 30,000 to 60,000 steps an APDU.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jpype

from harness import Comparison, Figure, alternate, report
from opentsm_build import artifacts, java
from opentsm_build.build import build_project
from opentsm_card.aid import Aid
from opentsm_card.apdu import ResponseApdu
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.keys import KeySet
from opentsm_card.load import load_blocks, load_file
from opentsm_card.scp03 import Scp03Session, SecurityLevel
from opentsm_card.select import Select
from opentsm_simulator import VirtualSe

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_build.build import Built
    from opentsm_card.apdu import Command
    from opentsm_card.link import Link

_MILL: Final = Path(__file__).resolve().parent / "mill"
_ISD: Final = Aid.from_text("A000000151000000")
_MODULE: Final = Aid.from_text("F06F70656E74736D0D0201")
_TEST_KEY: Final = bytes(range(0x40, 0x50))
_WORK: Final = {0x01: "bytes in arrays", 0x02: "shorts in arrays", 0x03: "virtual calls", 0x04: "library calls"}
_APDUS: Final = 60
_WARM_UP: Final = 300
_GOAL: Final = 0.6


def _translated(built: Built) -> tuple[Link, float]:
    """Load the package through the card's own commands; return the link, and how long loading it took."""
    link = VirtualSe.create("embedded").link()
    keys = KeySet(0x30, _TEST_KEY, _TEST_KEY, _TEST_KEY)

    def plain(encoded: bytes) -> bytes:
        return ResponseApdu.parse(link.transmit(encoded)).require("command")

    plain(Select(_ISD).apdu().encode())
    session = Scp03Session.open(keys, bytes(8), plain(Scp03Session.initialize_update(0x30, bytes(8)).encode()))
    plain(session.external_authenticate(SecurityLevel.parse(0x01)).encode())

    def send(command: Command) -> None:
        session.unwrap(ResponseApdu.parse(link.transmit(session.wrap(command.apdu()).encode()))).require("command")

    cap = built.conversion.cap
    begun = time.perf_counter()
    send(InstallForLoad(cap.package_aid))
    for block in load_blocks(load_file(cap.load_file_data_block()), 240):
        send(block)
    took = time.perf_counter() - begun
    send(InstallForInstall(cap.package_aid, _MODULE, _MODULE))
    plain(Select(_MODULE).apdu().encode())
    return link, took


def _original(built: Built) -> Callable[[bytes], Any]:
    """Return transmitCommand of a bare jCardSim with the classes that the compiler made."""
    loader = java.class_loader([artifacts.resolve(artifacts.JCARDSIM)])
    applet = java.class_loader([built.classes], loader).loadClass("bench.Mill")
    aid = jpype.JClass("javacard.framework.AID", loader=loader)(bytes(_MODULE), 0, len(_MODULE))
    simulator = jpype.JClass("com.licel.jcardsim.base.SimulatorRuntime", loader=loader)()
    simulator.loadApplet(aid, applet)
    simulator.installApplet(aid, bytes((len(_MODULE),)) + _MODULE, 0, 1 + len(_MODULE))
    transmit: Callable[[bytes], Any] = simulator.transmitCommand
    assert bytes(transmit(Select(_MODULE).apdu().encode())) == b"\x90\x00"
    return transmit


def main() -> None:
    """Run the benchmark."""
    with tempfile.TemporaryDirectory() as out:
        built = build_project(_MILL, Path(out))
        link, loading_s = _translated(built)
        original = _original(built)
        results: list[Comparison | Figure] = [
            _compare(work, bytes((0x80, ins, 0, 0, 0)), link.transmit, original) for ins, work in _WORK.items()
        ]
    report([*results, Figure("loading, verifying and translating it", "s", loading_s, at_most=1.0)])


def _compare(work: str, command: bytes, ours: Callable[[bytes], bytes], peer: Callable[[bytes], Any]) -> Comparison:
    def run(transmit: Callable[[bytes], Any]) -> Callable[[], int]:
        def loop() -> int:
            for _ in range(_APDUS):
                transmit(command)
            return _APDUS

        return loop

    for _ in range(_WARM_UP):
        # The same work in both, and warm: the first answers are compared.
        assert bytes(ours(command)) == bytes(peer(command))
    return alternate(f"{work}: translated against original", run(ours), run(peer), unit="APDU", goal=_GOAL)


if __name__ == "__main__":
    main()
