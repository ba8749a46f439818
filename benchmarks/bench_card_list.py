"""How long `opentsm card list` takes over pcscd and vpcd, from exec to exit, beside `python -c 'import smartcard'`.

Run as root: `python benchmarks/bench_card_list.py [--json]`. It starts a pcscd of its own, with a virtual SE in this
process as the card, and times the command and the bare import in alternation: what counts is how much longer the
command takes, which is to be at most 0.3 s, and the ratio.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import Figure, report

_ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT / "tests" / "support"))

from opentsm_simulator import VirtualSe  # noqa: E402 - behind the path
from pcsc_rig import Pcscd  # noqa: E402 - found above

if TYPE_CHECKING:
    from opentsm_simulator.virtual_se import VirtualLink

_RUNS: Final = 15
_BESIDE_S: Final = 0.3
_TEST_KEY: Final = bytes(range(0x40, 0x50)).hex()


class _Inserted:
    """A virtual SE as the card in a slot."""

    def __init__(self, se: VirtualSe) -> None:
        self.atr = se.atr
        self._link: VirtualLink = se.link()

    def transmit(self, command: bytes) -> bytes:
        return self._link.transmit(command)

    def reset(self) -> bytes:
        return self._link.reset()


def _timed(command: list[str], environment: dict[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - begin


def main() -> None:
    """Time both in alternation and print medians, the difference and the ratio."""
    bare, ours = [], []
    with Pcscd(entries=1) as pcscd, tempfile.TemporaryDirectory(prefix="bench-card-") as name:
        slot = pcscd.slots.pop(0)
        slot.card = _Inserted(VirtualSe.create("embedded"))
        keys = Path(name) / "card.toml"
        keys.write_text(f'key = "{_TEST_KEY}"\ntest_card = true\n')
        keys.chmod(0o600)
        environment = os.environ | pcscd.environment | {"XDG_STATE_HOME": name}
        imports = [sys.executable, "-c", "import smartcard"]
        listing = [str(Path(sys.executable).with_name("opentsm"))]
        listing += ["card", "--link", f"pcsc:{slot.reader}", "--key-file", str(keys), "list"]
        for _ in range(2):
            _timed(imports, environment)
            _timed(listing, environment)
        for _ in range(_RUNS):
            bare.append(_timed(imports, environment))
            ours.append(_timed(listing, environment))
    beside = [a - b for a, b in zip(ours, bare, strict=True)]
    report(
        [
            Figure("opentsm card list over vpcd", "ms", statistics.median(ours) * 1000),
            Figure("python -c 'import smartcard'", "ms", statistics.median(bare) * 1000),
            Figure("the list beside the import", "ms", statistics.median(beside) * 1000, at_most=_BESIDE_S * 1000),
            Figure("ratio", "times", statistics.median(a / b for a, b in zip(ours, bare, strict=True))),
        ]
    )


if __name__ == "__main__":
    main()
