"""A `sweep_world` whose network and reader can be broken at any byte and any APDU, and what is asked of every break."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cutting_tap import CuttingTap
from mortal import Mortal
from opentsm_agent.config import load_config
from opentsm_agent.journal import read_journal
from opentsm_card.errors import OpenTsmError, TransportError
from opentsm_tools.demo.world import World
from opentsm_tsm.sp.durable import InDoubtError
from statements import check_statements
from sweep_world import PHONE, Rig, Scenario, kinds
from toxic_proxy import ToxicProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentsm_agent.config import AgentConfig
    from opentsm_tools.demo.inspection import Snapshot

__all__ = ["BreakRig", "Goal", "open_break_rig"]

# The agent waits so much shorter than it would on a device.
SPEED = 20.0
MOST_ATTEMPTS = 4
QUIET_S = 20.0


@dataclass
class Goal:
    """What an operation leaves when nothing breaks: the effects on the SE, by kind, and the SE's state."""

    effects: list[str]
    state: Snapshot


@dataclass
class BreakRig(Rig):
    """A rig with a proxy to the TSM and a tap to the SE."""

    proxy: ToxicProxy
    gateway: ToxicProxy
    tap: CuttingTap
    outcomes: dict[str, int] = field(default_factory=dict, init=False)

    def mend(self) -> None:
        """Break nothing any more."""
        self.proxy.mend()
        self.gateway.mend()
        self.tap.mend()
        self.agent.disarm()

    def forget(self) -> None:
        """Look at what happens from now on: nothing is under way."""
        self.wait_for_quiet()
        self.effects()
        self.proxy.exchanges.clear()
        self.gateway.exchanges.clear()
        self.tap.ran.clear()

    def reach(self, scenario: Scenario) -> Goal:
        """Run an operation unbroken, and return what it leaves."""
        self.mend()
        scenario.prepare(self.sp)
        self.forget()
        scenario.act(self.sp)
        self.wait_for_quiet()
        goal = Goal(kinds(self.effects()), self.read())
        assert goal.effects, "the operation leaves nothing on the card: nothing to check"
        assert check_statements(tuple(self.proxy.exchanges), tuple(self.tap.ran)) > 0
        return goal

    def wait_for_quiet(self) -> None:
        """Wait until the agent's session has ended: what comes behind the operation's last word can break too."""
        journal = self.world.folders.root / PHONE.name / "journal"
        end = time.monotonic() + QUIET_S
        while read_journal(journal).sessions:
            assert time.monotonic() < end, "the session does not end"
            time.sleep(0.002)

    def attempt(self, act: Callable[[], object]) -> str:
        """Run an operation; return "done", "failed" or "in doubt"."""
        try:
            act()
        except InDoubtError:
            return "in doubt"
        except TransportError:
            raise
        except OpenTsmError:
            return "failed"
        return "done"

    def run_case(self, scenario: Scenario, goal: Goal, arm: Callable[[], Callable[[], bool]], where: str) -> bool:
        """Break one operation once, and look at what came of it; False when there was nothing more to break.

        It ended done; or failed, and the same asked for again ends done, with no effect twice; or in doubt. Each report
        of the agent said what was true.

        Args:
            scenario: the operation.
            goal: what it leaves.
            arm: has the break happen, and returns what tells whether it has.
            where: for people.
        """
        scenario.restore(self.sp)
        self.forget()
        fired = arm()
        died: list[bool] = []

        def act() -> None:
            outcome = self.attempt(lambda: scenario.act(self.sp))
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
            for _ in range(MOST_ATTEMPTS):
                if outcome == "done":
                    self.wait_for_quiet()
                    return
                assert outcome == "failed", f"{where}: {outcome}, though it can be probed"
                outcome = self.attempt(lambda: scenario.act(self.sp))
            raise AssertionError(f"{where}: failed time and again")

        died.append(self.finish(act, "agent"))
        happened = fired() or died[0]
        self.mend()
        effects = self.effects()
        assert kinds(effects) == goal.effects, f"{where}: {effects}"
        assert self.read() == goal.state, where
        check_statements(tuple(self.proxy.exchanges), tuple(self.tap.ran))
        return happened


def open_break_rig(folder: Path) -> Iterator[BreakRig]:
    """Run a world for as long as the generator is held."""
    agent, tsm = Mortal(folder, "agent", SPEED), Mortal(folder, "tsm")
    launch = {PHONE.name: agent.command, "tsm": tsm.command}
    with World(folder / "world", lambda _: None, lambda _: None, devices=(PHONE,), launch=launch) as world:
        count = itertools.count()
        root = folder / "world"
        _hurry(world, root / "tsm" / "tsm.toml")
        path = root / PHONE.name / "agent.toml"
        identity = load_config(path).identity
        url = urlsplit(world.tsm_url)
        assert url.hostname is not None
        assert url.port is not None
        tap = CuttingTap(_host_port(world.ends[PHONE.se].contact), lambda: next(count))
        server = (root / "tsm" / "server.pem", root / "tsm" / "server.key")
        shown = (identity.certificate, Path(identity.key))
        proxy = ToxicProxy((url.hostname, url.port), server, shown, identity.ca, lambda: next(count))
        gateway, gateway_url = _before_gateway(load_config(path), root / f"mno-{PHONE.mno}", lambda: next(count))
        world.kill_agent(PHONE)
        text = path.read_text().replace(world.tsm_url, proxy.url).replace(gateway_url, gateway.url)
        path.write_text(text.replace(f'"tcp:127.0.0.1:{world.ends[PHONE.se].tap.port}"', f'"tcp:127.0.0.1:{tap.port}"'))
        world.restart_agent(PHONE)
        world.wait_attached(PHONE)
        try:
            yield BreakRig(world, agent, tsm, proxy, gateway, tap)
        finally:
            proxy.close()
            gateway.close()
            tap.close()


def _before_gateway(config: AgentConfig, mno: Path, now: Callable[[], int]) -> tuple[ToxicProxy, str]:
    """Return a proxy in front of the network's gateway, and where the gateway is."""
    url = urlsplit(config.network.gateway)
    assert url.hostname is not None
    assert url.port is not None
    server = (mno / "server.pem", mno / "server.key")
    shown = (config.identity.certificate, Path(config.identity.key))
    proxy = ToxicProxy((url.hostname, url.port), server, shown, mno / "ca.pem", now)
    return proxy, config.network.gateway


def _hurry(world: World, config: Path) -> None:
    """Have the central TSM end a session as soon as nothing is to be done, and wake a silent agent soon."""
    world.kill_tsm()
    config.write_text("linger_s = 0.0\nsilence_s = 0.3\npoll_s = 1.0\n" + config.read_text())
    world.restart_tsm()


def _host_port(link: str) -> tuple[str, int]:
    _, host, port = link.split(":")
    return host, int(port)
