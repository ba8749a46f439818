"""Many SEs in one process: memory and making of each, what a hundred cost a command; LOAD in process and over TCP.

Run: `python benchmarks/bench_many_ses.py [--json]`. Memory is measured in processes of their own: with one SE, and with
a hundred or a thousand more, each used once (a session of level 33, a payment application installed).
Resident memory is Linux's; the Java heap's share is what is left after a collection.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jpype

from harness import Comparison, Figure, alternate, report
from opentsm_agent.links import open_link
from opentsm_card.aid import Aid
from opentsm_card.install import InstallForLoad
from opentsm_card.load import load_blocks, load_file
from opentsm_simulator import VirtualSe
from opentsm_simulator.front import TcpFront

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from sd_host import CARD_1, ISD, ISD_KEYS, Host  # the host that the tests drive cards with
from small_cap import PACKAGE, small_cap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentsm_card.apdu import Command
    from opentsm_card.link import Link

_SES: Final = 100
_FIRST_SES: Final = 10
_MORE_SES: Final = 40
_MAKING_MS: Final = 25.0
_MANY_SES: Final = 1000
_COMMANDS: Final = 10_000
_SELECT: Final = bytes.fromhex("00A4040008A000000151000000")
_PACKAGE_BYTES: Final = 30_000
_BLOCK_BYTES: Final = 239
_MOST_KIB: Final = 1024.0
_LOAD_KB: Final = 100.0


def memory_child(count: int) -> None:
    """Make SEs, use each, and print what they take."""
    used = []
    for number in range(count):
        se = VirtualSe.create("embedded", se_id=f"se-{number}")
        Host(se.link()).into(ISD, ISD_KEYS).new_payment(CARD_1)
        used.append(se)
    runtime = jpype.JClass("java.lang.Runtime").getRuntime()
    for _ in range(3):
        runtime.gc()
    heap = int(runtime.totalMemory()) - int(runtime.freeMemory())
    status = Path("/proc/self/status").read_text()
    (resident,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    print(json.dumps({"ses": len(used), "heap_kib": heap / 1024, "resident_kib": resident}))


def _child(count: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(count)], stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def memory(ses: int) -> tuple[Figure, Figure]:
    """Return what one more SE takes, resident and of the heap."""
    one, many = _child(1), _child(1 + ses)
    resident, heap = ((many[name] - one[name]) / ses for name in ("resident_kib", "heap_kib"))
    return (
        Figure(f"resident memory of one more SE, of {ses}", "KiB", resident, at_most=_MOST_KIB),
        Figure(f"Java heap of one more SE, of {ses}", "KiB", heap),
    )


def making() -> Figure:
    """Return what one more SE of a kind costs to make, in processor time."""
    for number in range(_FIRST_SES):
        VirtualSe.create("embedded", se_id=f"first-{number}")
    begun = time.thread_time()
    for number in range(_MORE_SES):
        VirtualSe.create("embedded", se_id=f"more-{number}")
    took = (time.thread_time() - begun) / _MORE_SES
    return Figure("making one more SE", "ms of processor time", took * 1000.0, at_most=_MAKING_MS)


def _rounds(links: Sequence[Link]) -> Callable[[], int]:
    """Return a run of SELECTs, each to the next of some SEs."""
    transmits = [link.transmit for link in links]

    def run() -> int:
        for transmit, _ in zip(cycle(transmits), range(_COMMANDS), strict=False):
            transmit(_SELECT)
        return _COMMANDS

    return run


def rate() -> Comparison:
    """Compare SELECTs dealt out to 100 SEs with as many to one.

    Each card has classes of its own, so Java compiles each card's: a hundred cards take longer to warm up.
    """
    ses = [VirtualSe.create("embedded", se_id=f"se-{number}") for number in range(_SES)]
    links = [se.link() for se in ses]
    name = f"SELECT of the issuer's domain: {_SES} SEs in turn against one"
    return alternate(name, _rounds(links), _rounds(links[:1]), unit="commands")


def _loads(link: Link) -> Callable[[], int]:
    """Return a run that loads a package in a session of level 33, and deletes it; it counts kilobytes."""
    host = Host(link).into(ISD, ISD_KEYS)
    file = load_file(small_cap(padding_bytes=_PACKAGE_BYTES))
    commands: list[Command] = [InstallForLoad(Aid(PACKAGE)), *load_blocks(file, _BLOCK_BYTES)]

    def run() -> int:
        host.done(*commands)
        if host.delete(Aid(PACKAGE)) != 0x9000:
            raise AssertionError("it stays")
        return len(file) // 1000

    return run


def loading() -> tuple[Comparison, Figure]:
    """Compare LOAD over a TCP front with LOAD in process."""
    near = _loads(VirtualSe.create("embedded").link())
    front = TcpFront(VirtualSe.create("embedded"), "contact", "127.0.0.1", 0)
    front.start()
    try:
        with open_link(f"tcp:{front.address}") as link:
            name = "LOAD in a session of level 33: over TCP against in process"
            comparison = alternate(name, _loads(link), near, unit="kB", pairs=7)
    finally:
        front.stop()
    most = 1000.0 / _LOAD_KB
    return comparison, Figure("LOAD over TCP", "ms per kB", 1000.0 / comparison.ours, at_most=most)


if __name__ == "__main__":
    if "--child" in sys.argv:
        memory_child(int(sys.argv[sys.argv.index("--child") + 1]))
    else:
        report([*memory(_SES), *memory(_MANY_SES), making(), rate(), *loading()])
