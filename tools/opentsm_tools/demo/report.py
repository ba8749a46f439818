"""What the demo shows: a table that grows while it runs, or one JSON object for machines."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Counters", "JsonReport", "Report", "Sequence", "TableReport"]


@dataclass(frozen=True, slots=True)
class Sequence:
    """One sequence of the demo.

    Args:
        name: as the list of sequences has it.
        verified: True when the SE itself was read and is as the sequence should have left it.
        apdus: C-APDUs that agents sent to SEs for it.
        round_trips: messages between the agents and the central TSM, there and back.
        seconds: from its start to the SE's having been read.
    """

    name: str
    verified: bool
    apdus: int
    round_trips: int
    seconds: float


@dataclass
class Counters:
    """What a sequence adds up while it runs."""

    verified: bool = False
    apdus: int = 0
    round_trips: int = 0


class Report(Protocol):
    """Where the demo says what it does."""

    def say(self, text: str) -> None:
        """Tell what is being done now."""

    def add(self, sequence: Sequence, explanation: str) -> None:
        """Show a sequence that has ended."""

    def end(self, *, ok: bool, differences: list[str], seconds: float) -> None:
        """Show how the comparison came out."""


class TableReport:
    """A live table on standard output."""

    def __init__(self) -> None:
        self._console = Console()
        self._rows: list[tuple[Sequence, str]] = []
        self._now = ""
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=8)

    def _render(self) -> Table:
        # Narrow enough for a terminal of 80 columns, and for one of 24 lines when it is wider.
        table = Table(box=box.SIMPLE_HEAD, caption=self._now or None, caption_justify="left", pad_edge=False)
        table.add_column("sequence", no_wrap=True)
        table.add_column("what happened")
        for column in ("APDUs", "trips", "s"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("SE, read", no_wrap=True)
        for row, explanation in self._rows:
            mark = "[green]verified[/]" if row.verified else "[red]DIFFERS[/]"
            table.add_row(row.name, explanation, str(row.apdus), str(row.round_trips), f"{row.seconds:.2f}", mark)
        return table

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the table while the block runs."""
        with self._live:
            try:
                yield
            finally:
                self._now = ""

    def say(self, text: str) -> None:
        """Show what is being done now, below the table."""
        self._now = text

    def add(self, sequence: Sequence, explanation: str) -> None:
        """Add a row."""
        self._rows.append((sequence, explanation))
        self._live.refresh()

    def end(self, *, ok: bool, differences: list[str], seconds: float) -> None:
        """Show the comparison's outcome below the table."""
        if not self._console.is_terminal:
            self._console.print()  # a live table ends its last line on a terminal only
        for difference in differences:
            self._console.print(f"[red]difference:[/] {difference}", highlight=False)
        if ok:
            self._console.print(f"Every SE was read and is what the central TSM believes. {seconds:.1f} s.")
        else:
            self._console.print(f"[red]The demo failed.[/] {seconds:.1f} s.")


class JsonReport:
    """Progress on standard error, and at the end one JSON object on standard output."""

    def __init__(self) -> None:
        self._sequences: list[Sequence] = []
        self._errors = Console(stderr=True, highlight=False)
        self._began = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Do nothing around the block: lines come as they come."""
        yield

    def say(self, text: str) -> None:
        """Print a line of progress."""
        self._errors.print(f"[{time.monotonic() - self._began:5.1f} s] {text}", markup=False, soft_wrap=True)

    def add(self, sequence: Sequence, explanation: str) -> None:
        """Keep the sequence and print a line."""
        self._sequences.append(sequence)
        outcome = "verified" if sequence.verified else "NOT VERIFIED"
        self.say(f"{sequence.name}: {explanation} ({sequence.apdus} APDUs, {sequence.seconds:.2f} s): {outcome}")

    def end(self, *, ok: bool, differences: list[str], seconds: float) -> None:
        """Print the object."""
        document = {
            "ok": ok,
            "sequences": [asdict(sequence) for sequence in self._sequences],
            "differences": differences,
            "seconds": round(seconds, 3),
        }
        print(json.dumps(document))  # noqa: T201 - this is the command's output
