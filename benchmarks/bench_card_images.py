"""What a card image costs: commands of a card that is kept in a file, beside one that is not; going back to a snapshot.

A command that reads is GET DATA of the card's production data; one that writes is INITIALIZE UPDATE, which counts.

Run: `python benchmarks/bench_card_images.py [--json]`
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import Comparison, Figure, alternate, report
from opentsm_simulator import VirtualSe
from opentsm_simulator.image import write_image

if TYPE_CHECKING:
    from collections.abc import Callable

READ: Final = bytes.fromhex("80CA9F7F00")
COUNT: Final = bytes.fromhex("8050000008") + bytes(8) + b"\x00"
TIMES: Final = 40
GOAL_MS: Final = 5.0


def repeated(se: VirtualSe, command: bytes) -> Callable[[], int]:
    """Return what sends a command over and over."""
    link = se.link()

    def run() -> int:
        for _ in range(TIMES):
            if link.transmit(command)[-2:] != b"\x90\x00":
                raise AssertionError("refused")
        return TIMES

    return run


def each(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes, warm."""
    for _ in range(TIMES):
        action()
    began = time.perf_counter()
    for _ in range(TIMES):
        action()
    return (time.perf_counter() - began) / TIMES


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "se.card"
        plain = VirtualSe.create("embedded", se_id="bench")
        write_image(path, plain.snapshot())
        kept = VirtualSe.open(path)
        results: list[Comparison | Figure] = [
            alternate(
                f"kept in an image / not, a command that {what}",
                repeated(kept, command),
                repeated(plain, command),
                unit="commands",
                pairs=5,
            )
            for what, command in (("reads", READ), ("counts", COUNT))
        ]
        kept.close()
        image = plain.snapshot()
        results += [
            Figure("snapshot", "ms", each(plain.snapshot) * 1000),
            Figure("restore in place", "ms", each(lambda: plain.restore(image)) * 1000, GOAL_MS),
            Figure("size of an image", "KiB", len(image) / 1024),
        ]
    report(results)
