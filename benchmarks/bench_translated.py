"""Speed of translated code: applets as loaded CAP files on virtual SEs against their classes in a bare jCardSim.

Run: `python benchmarks/bench_translated.py [--json]`. The work: four programs of `mill`, some 30,000 to 60,000 steps
an APDU, and packages of the test corpus that make no objects, each called 2,000 times an APDU. Each runs on three
cards:

- off: without firewall and transactions (profile `firewall = false`, `transactions = false`);
- on: with both, as cards are;
- shared: with both, on a card where the applet has got a shareable object, so that the firewall looks at each access.

Rates are those of the thread's own time: what else the machine does is left out. The three lines behind are geometric
means over all, with what was aimed at; what is faster than its original counts as 1.0 there, so that it makes up for
nothing (the JVM compiles no method of more than 8,000 bytes, as package `wide` has, and ours are smaller).
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jpype
import msgspec

from corpus_applets import PACKAGES, driver, large
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
from opentsm_simulator.profile import load_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentsm_build.build import Built
    from opentsm_build.cap import CapFile
    from opentsm_card.apdu import Command
    from opentsm_card.link import Link

_HERE: Final = Path(__file__).resolve().parent
_ISD: Final = Aid.from_text("A000000151000000")
_NEIGHBOUR: Final = Aid.from_text("F06F70656E74736D0D0401")
_TEST_KEY: Final = bytes(range(0x40, 0x50))
_MILL_WORK: Final = {0x01: "bytes in arrays", 0x02: "shorts in arrays", 0x03: "virtual calls", 0x04: "library calls"}
_SHARE: Final = 0x7F
_WARM_UP_S: Final = 2.0
_PAIRS: Final = 9
_PAIR_S: Final = 0.02

# Cards by name: firewall and transactions; whether the neighbour's object is asked for; what is aimed at.
_CARDS: Final = {"off": (False, False, 0.9), "on": (True, False, 0.6), "shared": (True, True, None)}

# The package that has to be loaded, verified and translated in that time: as large as the largest known applets.
_LARGE_BYTES: Final = 24_000
_COPIES: Final = 5
_LARGE_S: Final = 0.6


class _Card:
    """A card with packages on it, loaded through its own commands."""

    def __init__(self, *, checks: bool) -> None:
        profile = msgspec.structs.replace(load_profile("embedded"), firewall=checks, transactions=checks)
        self.link: Link = VirtualSe.create(profile).link()

    def plain(self, encoded: bytes) -> bytes:
        return ResponseApdu.parse(self.link.transmit(encoded)).require("command")

    def _session(self) -> Callable[[Command], None]:
        keys = KeySet(0x30, _TEST_KEY, _TEST_KEY, _TEST_KEY)
        self.plain(Select(_ISD).apdu().encode())
        answer = self.plain(Scp03Session.initialize_update(0x30, bytes(8)).encode())
        session = Scp03Session.open(keys, bytes(8), answer)
        self.plain(session.external_authenticate(SecurityLevel.parse(0x01)).encode())

        def send(command: Command) -> None:
            wrapped = session.wrap(command.apdu()).encode()
            session.unwrap(ResponseApdu.parse(self.link.transmit(wrapped))).require("command")

        return send

    def load(self, cap: CapFile, *, install: bool = True) -> float:
        """Load and install a package; return the seconds of processor time that loading took."""
        send = self._session()
        begun = time.thread_time()
        send(InstallForLoad(cap.package_aid))
        for block in load_blocks(load_file(cap.load_file_data_block()), 240):
            send(block)
        took = time.thread_time() - begun
        for applet in cap.applets if install else ():
            send(InstallForInstall(cap.package_aid, applet.aid, applet.aid))
        return took

    def select(self, built: Built, *, shares: bool) -> None:
        self.plain(Select(built.cap.applets[0].aid).apdu().encode())
        if shares:
            self.plain(bytes((0x80, _SHARE, 0, 0, len(_NEIGHBOUR))) + _NEIGHBOUR)


def _original(built: Built) -> Callable[[bytes], Any]:
    """Return transmitCommand of a bare jCardSim with the classes that the compiler made."""
    loader = java.class_loader([artifacts.resolve(artifacts.JCARDSIM)])
    (applet,) = built.project.applets
    cls = java.class_loader([built.classes], loader).loadClass(applet.class_name.replace("/", "."))
    module = bytes(applet.aid)
    aid = jpype.JClass("javacard.framework.AID", loader=loader)(module, 0, len(module))
    simulator = jpype.JClass("com.licel.jcardsim.base.SimulatorRuntime", loader=loader)()
    simulator.loadApplet(aid, cls)
    simulator.installApplet(aid, bytes((len(module),)) + module, 0, 1 + len(module))
    transmit: Callable[[bytes], Any] = simulator.transmitCommand
    assert bytes(transmit(Select(applet.aid).apdu().encode())) == b"\x90\x00"
    return transmit


def _loop(transmit: Callable[[bytes], Any], command: bytes, count: int) -> Callable[[], int]:
    def loop() -> int:
        for _ in range(count):
            transmit(command)
        return count

    return loop


def _compare(work: str, command: bytes, ours: Callable[[bytes], bytes], peer: Callable[[bytes], Any]) -> Comparison:
    warm = time.perf_counter() + _WARM_UP_S
    while time.perf_counter() < warm:
        # The same work in both, and warm: the first answers are compared.
        assert bytes(ours(command)) == bytes(peer(command))
    ours(command)
    begun = time.thread_time()
    peer(command)
    count = max(10, int(_PAIR_S / (time.thread_time() - begun)))
    return alternate(
        work,
        _loop(ours, command, count),
        _loop(peer, command, count),
        unit="APDU",
        pairs=_PAIRS,
        clock=time.thread_time,
    )


def _compare_package(
    name: str, built: Built, neighbour: Built, commands: dict[str, int]
) -> Iterator[tuple[str, Comparison]]:
    for card_name, (checks, shares, _) in _CARDS.items():
        card = _Card(checks=checks)
        card.load(built.cap)
        card.load(neighbour.cap)
        card.select(built, shares=shares)
        original = _original(built)
        for work, ins in commands.items():
            command = bytes((0x80, ins, 0, 0, 0))
            yield card_name, _compare(f"{name}, {work}: {card_name}", command, card.link.transmit, original)


def _means(results: Sequence[tuple[str, Comparison]]) -> Iterator[Comparison]:
    for card, (_, _, goal) in _CARDS.items():
        of_card = [result for name, result in results if name == card]
        ratios = [result.ratio for result in of_card]
        mean = math.exp(sum(math.log(min(ratio, 1.0)) for ratio in ratios) / len(ratios))
        yield Comparison(
            f"all, against the original classes: {card}", "APDU", mean, min(ratios), max(ratios),
            sum(result.ours for result in of_card), sum(result.peer for result in of_card), goal,
        )  # fmt: skip


def _large(out: Path) -> Figure:
    """Load a package of the size of the largest known applets, which no cache has: copies of classes of the corpus."""
    cap = build_project(large(out / "large", _COPIES, os.urandom(5)), out).cap
    size = len(cap.load_file_data_block())
    assert size > _LARGE_BYTES
    took = _Card(checks=True).load(cap, install=False)
    return Figure(f"loading, verifying and translating {size} bytes", "s of processor time", took, at_most=_LARGE_S)


def main() -> None:
    """Run the benchmark."""
    results: list[tuple[str, Comparison]] = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        neighbour = build_project(_HERE / "neighbour", out)
        mill = build_project(_HERE / "mill", out)
        results += _compare_package("mill", mill, neighbour, {work: ins for ins, work in _MILL_WORK.items()})
        for name in PACKAGES:
            built = build_project(driver(name, out / "corpus" / name), out)
            results += _compare_package("corpus", built, neighbour, {name: 0x01})
        loading = _large(out)
    report([*(result for _, result in results), *_means(results), loading])


if __name__ == "__main__":
    main()
