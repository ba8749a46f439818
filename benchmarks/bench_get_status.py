"""GET STATUS of 100 applications, in process and in a session of level 33, against bare echoes of as many bytes.

Run: `python benchmarks/bench_get_status.py [--json]`. The floor sends a plain command to an applet that answers it with
its data, once for each answer of the list; ours is the whole list, unwrapped and parsed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import Comparison, Figure, alternate, report
from opentsm_card.aid import Aid
from opentsm_card.get_status import Scope
from opentsm_card.registry import parse_get_status
from opentsm_simulator import VirtualSe

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from sd_host import ISD, ISD_KEYS, OWN, Host  # the host that the tests drive cards with

if TYPE_CHECKING:
    from collections.abc import Callable

_ECHO: Final = Path(__file__).resolve().parent / "echo" / "profile.toml"
_SELECT: Final = bytes.fromhex("00A4040005F0000000E1")
_APPLICATIONS: Final = 100
_MOST_MS: Final = 20.0


def full_card() -> Host:
    """Return a session with the issuer's domain of a card of 100 applications beside PPSE and CRS application."""
    host = Host(VirtualSe.create("embedded").link()).into(ISD, ISD_KEYS)
    for number in range(_APPLICATIONS):
        host.new_payment(Aid(OWN + bytes((0x0B, number)) + bytes(6)))
    return host


def read(host: Host) -> int:
    """Read the whole list; return how many answers it took."""
    answers = host.listed()
    entries, complete = parse_get_status(Scope.APPLICATIONS, answers)
    if not complete or len(entries) != _APPLICATIONS + 2:
        raise AssertionError(f"{len(entries)} entries")
    return len(answers)


def echoes(answers: int) -> Callable[[], int]:
    """Return a run of as many echoes of 200 bytes as a list has answers."""
    link = VirtualSe.create(str(_ECHO)).link()
    if link.transmit(_SELECT) != b"\x90\x00":
        raise AssertionError("no echo")
    command = bytes.fromhex("80000000C8") + bytes(range(200))

    def run() -> int:
        for _ in range(answers):
            link.transmit(command)
        return answers

    return run


def _best_ms(host: Host) -> float:
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        read(host)
        times.append(time.perf_counter() - begin)
    return min(times) * 1000


def measure() -> tuple[Comparison, Figure]:
    """Compare, and time one list."""
    host = full_card()
    answers = read(host)
    comparison = alternate(
        "GET STATUS of 100 applications against bare echoes", lambda: read(host), echoes(answers), unit="answers"
    )
    return comparison, Figure("GET STATUS of 100 applications, the best of 20", "ms", _best_ms(host), at_most=_MOST_MS)


if __name__ == "__main__":
    report(measure())
