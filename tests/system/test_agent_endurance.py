"""Days of an agent whose network comes and goes and whose readers are plugged in and out, in minutes.

The agent is a process of its own whose clock runs some hundred times as fast; network, TSM and cards are real sockets.
`tools/test` runs two hours of it, `tools/test --sweep` seventy-two.
"""

from __future__ import annotations

import random
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent_peers import SE_ID, Authority, CountingCard, Peer, se_order, stop_order, write_config
from flapping_relay import FlappingRelay, Weather
from mortal import Mortal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SESSION_EVERY_S = 300
TENTHS = 10
MOST_GROWTH_KIB = 2048
SELECT, INSTALL = "00A4040007A0000001515350", "80E60C0003AABBCC"
IDLE_S = 30.0
WEATHERS: tuple[Weather, ...] = ("up", "cut", "silent")


@dataclass(frozen=True)
class Figures:
    """What a process takes: threads, open files, resident memory in KiB."""

    threads: int
    files: int
    resident_kib: int

    @classmethod
    def of(cls, pid: int) -> Figures:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        return cls(
            int(status["Threads"]), len(list(Path(f"/proc/{pid}/fd").iterdir())), int(status["VmRSS"].split()[0])
        )


class Reader:
    """A reader on a port of this machine, with a card in it while it is plugged in."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self.ran = 0
        self._card: CountingCard | None = None
        self.plug_in()

    def plug_in(self) -> None:
        if self._card is None:
            self._card = CountingCard(port=self.port)

    def unplug(self) -> None:
        if self._card is not None:
            self._card.close()
            self.ran += len(self._card.run)
            self._card = None


class Days:
    """The agent's process, its network, and its readers."""

    def __init__(self, folder: Path, speed: int) -> None:
        self._speed = speed
        authority = Authority()
        self.peer = Peer(folder, authority, client_ca=authority)
        port = int(self.peer.url.rpartition(":")[2])
        self.relay = FlappingRelay(port)
        self.readers = [Reader(), Reader()]
        path = write_config(folder, authority, self.relay.url, self.relay.url, f"tcp:127.0.0.1:{self.readers[0].port}")
        second = f'[[se]]\nid = "second"\ntype = "uicc"\nlink = "tcp:127.0.0.1:{self.readers[1].port}"\ntimeout_s = 5\n'
        path.write_text(path.read_text() + second)
        self.journal = folder / "journal"
        with (folder / "agent.log").open("wb") as log:
            command = Mortal(folder, "agent", speed).command
            self.process = subprocess.Popen(
                [*command, "agent", "run", "--json", "--config", str(path)], stdout=log, stderr=log
            )
        self.number = 0
        self.draw = random.Random(72)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.relay.close()
        self.peer.close()
        for reader in self.readers:
            reader.unplug()

    def pass_some(self) -> None:
        """Let the time of one session pass, with whatever weather there is."""
        self.number += 1
        element = {"seType": "eSE", "seId": SE_ID} if self.number % 2 else {"seType": "uicc", "seId": "second"}
        name = f"session-{self.number}"
        orders = [
            se_order(number, [SELECT, INSTALL], reset=True) | {"chosenSecureElement": element} for number in (1, 2)
        ]
        self.peer.orders_of[name] = [*orders, stop_order(3)]
        self.peer.orders_of.pop(f"session-{self.number - 200}", None)
        self.peer.wakeups.append(name)
        end = time.monotonic() + SESSION_EVERY_S / self._speed
        while (left := end - time.monotonic()) > 0:
            self.relay.weather = self.draw.choices(WEATHERS, [8, 1, 1])[0]
            reader = self.draw.choice(self.readers)
            change = self.draw.choices(["plugged in", "unplugged", "nothing"], [3, 1, 6])[0]
            if change == "plugged in":
                reader.plug_in()
            elif change == "unplugged":
                reader.unplug()
            time.sleep(min(left, self.draw.uniform(0.005, 0.06)))

    def settle(self) -> Figures:
        """Have fair weather until every session has ended, and look at the process."""
        self.relay.weather = "up"
        for reader in self.readers:
            reader.plug_in()
        self.wait(lambda: len(self.peer.wakeups) == 0)
        quiet_since, seen = time.monotonic(), len(self.sessions())
        end = time.monotonic() + IDLE_S
        # A session that was given up is told of, others end: nothing but the long poll is left then.
        while time.monotonic() - quiet_since < 0.5:
            assert time.monotonic() < end, "the agent does not come to rest"
            time.sleep(0.02)
            if (now := len(self.sessions())) != seen:
                quiet_since, seen = time.monotonic(), now
        self.forget()
        return Figures.of(self.process.pid)

    def sessions(self) -> list[Any]:
        return [request for request in self.peer.requests if request[1] != "/attach"]

    def forget(self) -> None:
        """Keep the test's own memory small."""
        with self.peer.changed:
            self.peer.requests.clear()
            self.peer.cookies.clear()

    def wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + IDLE_S
        while not condition():
            assert self.process.poll() is None, "the agent has ended"
            assert time.monotonic() < end, "the agent does not come to rest"
            time.sleep(0.02)


@pytest.fixture(name="days")
def _days(tmp_path: Path, speed: int) -> Iterator[Days]:
    days = Days(tmp_path, speed)
    yield days
    days.close()


@pytest.mark.timeout(1200)
# So fast that a busy machine still makes a TLS connection in what are fifteen seconds to the agent.
@pytest.mark.parametrize(("hours", "speed"), [(2, 200), pytest.param(72, 500, marks=pytest.mark.sweep)])
def test_nothing_grows(days: Days, hours: int) -> None:
    count = hours * 3600 // SESSION_EVERY_S
    figures: list[Figures] = []
    ended = 0
    for number in range(count):
        days.pass_some()
        if (number + 1) * TENTHS // count > len(figures):
            ended += sum(b'"order":2' in body for _, _, body in days.peer.requests)
            figures.append(days.settle())
    assert days.process.poll() is None
    first, rest = figures[0], figures[1:]
    for later in rest:
        assert later.threads <= first.threads, figures
        assert later.files <= first.files, figures
        assert later.resident_kib <= first.resident_kib + MOST_GROWTH_KIB, figures
    assert ended > count // 4, "too few sessions came to their end to show anything"
    assert days.journal.stat().st_size < 64 * 1024
    ran = sum(reader.ran for reader in days.readers)
    assert ran > count // 2, "the cards must have been at work"
    print(f"{hours} h, {count} sessions, {days.relay.connections} connections: {first} … {figures[-1]}")  # noqa: T201 - shown with -s
