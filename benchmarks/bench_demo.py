"""How long the demo takes, wall clock, once everything it needs is there: python benchmarks/bench_demo.py [--json]."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from harness import Figure, report

RUNS = 3
COMMAND = [sys.executable, "-m", "opentsm_tools.main", "demo", "--json"]


def main() -> None:
    """Run the demo a few times and print the medians: of the whole, and of its sequences alone."""
    walls, sequences = [], []
    for _ in range(RUNS):
        begin = time.perf_counter()
        done = subprocess.run(COMMAND, check=True, capture_output=True, text=True)
        walls.append(time.perf_counter() - begin)
        sequences.append(sum(sequence["seconds"] for sequence in json.loads(done.stdout)["sequences"]))
    report(
        [
            Figure("demo: wall time, second start", "s", statistics.median(walls), at_most=60),
            Figure("demo: its sequences alone", "s", statistics.median(sequences)),
        ]
    )


if __name__ == "__main__":
    main()
