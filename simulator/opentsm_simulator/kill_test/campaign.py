"""A campaign of kills: hosts run from card images, are driven over TCP, killed at random moments, and started again.

Several threads change SEs of their own meanwhile, so a kill meets commands on the way in, under way and on the way out.
After each start, the SEs that were being changed, and some others, are compared with what they had answered; at the end
all are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from opentsm_card.errors import OpenTsmError, TransportError
from opentsm_simulator.image import write_image
from opentsm_simulator.kill_test.subject import Subject
from opentsm_simulator.profile import load_profile
from opentsm_simulator.virtual_se import VirtualSe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["KillReport", "run_kills"]

_THREADS: Final = 4
_OTHERS: Final = 5
# Changes that are answered before a kill, at most; how long to wait for them; how exactly the moment follows one.
_MOST_CHANGES: Final = 40
_LONGEST_S: Final = 15.0
_STEP_S: Final = 0.05
_RUN: Final = "from opentsm_simulator.cli import se; se()"


@dataclass(slots=True)
class KillReport:
    """What came of a campaign.

    Args:
        ses: how many SEs there were.
        kills: how many times their host was killed.
        answered: changes that were answered.
        cut_off: changes that were not, because the host was killed.
        done: how many of those were there all the same.
        checks: comparisons of an SE with what it had answered.
        start_s: seconds that the starts of hosts took, in all.
        findings: what was wrong.
    """

    ses: int
    kills: int = 0
    answered: int = 0
    cut_off: int = 0
    done: int = 0
    checks: int = 0
    start_s: float = 0.0
    findings: list[str] = field(default_factory=list)


class _Host:
    """A process that runs the SEs of a folder of images."""

    def __init__(self, folder: Path, subjects: list[Subject]) -> None:
        environment = os.environ | {"OPENTSM_RUNTIME_DIR": str(folder.parent / "run")}
        words = ("run", "--image", str(folder), "--tcp", "0", "--json")
        self._process = subprocess.Popen([sys.executable, "-c", _RUN, *words], stdout=subprocess.PIPE, env=environment)  # noqa: S603 - ourselves
        try:
            places = self._places()
        except BaseException:  # an interrupt too: nobody else knows of the process yet
            self.kill()
            raise
        for subject in subjects:
            subject.port = int(places[subject.se_id].rpartition(":")[2])

    def _places(self) -> dict[str, str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise TransportError("the host of the virtual SEs does not start from their images")
        return {each["id"]: each["tcp"] for each in json.loads(line)["ses"]}

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def run_kills(
    folder: Path,
    *,
    ses: int,
    kills: int,
    seed: int,
    progress: Callable[[KillReport], None] = lambda _: None,
) -> KillReport:
    """Make SEs and kill their host again and again.

    Args:
        folder: an empty folder for their images and whatever else.
        ses: how many.
        kills: how many times.
        seed: decides what is done; moments are as they come.
        progress: hears of each kill.

    Raises:
        TransportError: a host does not start.
    """
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    keys = load_profile("embedded").key_sets()["isd"]
    subjects = [Subject(f"kill-{number}", keys) for number in range(1, ses + 1)]
    images = folder / "images"
    images.mkdir(mode=0o700)
    for subject in subjects:
        se = VirtualSe.create("embedded", se_id=subject.se_id)
        write_image(images / f"{subject.se_id}.card", se.snapshot())
    report = KillReport(ses)
    for _ in range(kills):
        host = _start(images, subjects, report)
        try:
            _check(subjects, random, report)
            _drive(host, subjects, random, report)
        finally:
            host.kill()
        report.kills += 1
        report.answered = sum(subject.answered for subject in subjects)
        progress(report)
    host = _start(images, subjects, report)
    try:
        _check(subjects, random, report, everyone=True)
    finally:
        host.kill()
    return report


def _start(images: Path, subjects: list[Subject], report: KillReport) -> _Host:
    began = time.monotonic()
    host = _Host(images, subjects)
    report.start_s += time.monotonic() - began
    return host


def _check(subjects: list[Subject], random: Random, report: KillReport, *, everyone: bool = False) -> None:
    chosen = [subject for subject in subjects if everyone or subject.maybe is not None]
    others = [subject for subject in subjects if subject not in chosen]
    for subject in chosen + random.sample(others, min(_OTHERS, len(others))):
        after = subject.maybe
        try:
            wrong = subject.check()
        except (OpenTsmError, OSError) as error:
            wrong = f"{subject.se_id}: {error}"
        report.checks += 1
        if wrong is not None:
            report.findings.append(wrong)
            subject.maybe = None
        elif after is not None:
            report.cut_off += 1
            report.done += subject.content == after


def _drive(host: _Host, subjects: list[Subject], random: Random, report: KillReport) -> None:
    """Change SEs until the host is killed."""
    count = min(_THREADS, len(subjects))
    threads = [
        threading.Thread(target=_changes, args=(subjects[part::count], random.random(), report))
        for part in range(count)
    ]
    for thread in threads:
        thread.start()
    wanted = sum(subject.answered for subject in subjects) + random.randrange(_MOST_CHANGES)
    latest = time.monotonic() + _LONGEST_S
    while sum(subject.answered for subject in subjects) < wanted and time.monotonic() < latest:
        time.sleep(random.uniform(0, _STEP_S))
    host.kill()
    for thread in threads:
        thread.join()


def _changes(subjects: list[Subject], seed: float, report: KillReport) -> None:
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    while True:
        subject = random.choice(subjects)
        try:
            subject.change(random)
        except (OSError, TransportError):
            return
        except OpenTsmError as error:
            report.findings.append(f"{subject.se_id}: {error}")
            return
