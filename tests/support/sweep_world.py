"""A world to break: one phone whose processes can be told when to die, and the operations to break it in.

Every case of a sweep brings the SE back to where it was, breaks one thing once while an operation runs, and looks at
what came of it. So one world serves many cases.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mortal import Mortal
from opentsm_tools.demo.cast import BANK, DEVICES
from opentsm_tools.demo.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentsm_tools.demo.inspection import Snapshot
    from opentsm_tsm.sp import SpTsm

__all__ = ["OTHERS", "PHONE", "PRE_PERSONALIZATION", "RENEWAL", "SCENARIOS", "Rig", "Scenario", "kinds", "open_rig"]

PHONE = DEVICES[0]
CUSTOMER = PHONE.customer
LOOK_S = 0.01


@dataclass
class Rig:
    """A world of one phone whose agent and central TSM can be told when to die."""

    world: World
    agent: Mortal
    tsm: Mortal
    _effects_seen: int = field(default=0, init=False)

    @property
    def sp(self) -> SpTsm:
        return self.world.sps[BANK.name]

    def effects(self) -> list[str]:
        """Return the effects since the last call."""
        path = self.world.folders.effects_file(PHONE)
        lines = path.read_text().splitlines() if path.exists() else []
        new, self._effects_seen = lines[self._effects_seen :], len(lines)
        return new

    def read(self) -> Snapshot:
        """Return what is on the SE."""
        return self.world.inspectors[PHONE.se].read((PHONE.central_sd, BANK.sd), (BANK.instance,))

    def finish(self, act: Callable[[], object], victim: str) -> bool:
        """Run `act` to its end, restarting the victim when it dies; tell whether it died."""
        process = self.world.agent_process(PHONE) if victim == "agent" else self.world.tsm
        over = threading.Event()
        died = threading.Event()

        def revive() -> None:
            while process.alive and not over.wait(LOOK_S):
                pass
            if process.alive:
                # A death behind the operation's last word counts too: one may be under way.
                self.mortal(victim).disarm()
                time.sleep(LOOK_S)
            if process.alive:
                return
            died.set()
            self.mortal(victim).disarm()
            if victim == "tsm":
                self.world.restart_tsm()
            else:
                self.world.restart_agent(PHONE)

        watcher = threading.Thread(target=revive)
        watcher.start()
        try:
            act()
        finally:
            over.set()
            watcher.join()
        return died.is_set()

    def mortal(self, victim: str) -> Mortal:
        """Return what tells a process when to die."""
        return self.agent if victim == "agent" else self.tsm


def open_rig(folder: Path) -> Iterator[Rig]:
    """Run a world for as long as the generator is held."""
    agent, tsm = Mortal(folder, "agent"), Mortal(folder, "tsm")
    launch = {PHONE.name: agent.command, "tsm": tsm.command}
    with World(folder / "world", lambda _: None, lambda _: None, devices=(PHONE,), launch=launch) as world:
        yield Rig(world, agent, tsm)


@dataclass(frozen=True)
class Scenario:
    """An operation to break, and what brings the SE back to where the next case starts."""

    name: str
    prepare: Callable[[SpTsm], object]
    act: Callable[[SpTsm], object]
    restore: Callable[[SpTsm], object]
    clean: Callable[[SpTsm], object]


def kinds(effects: list[str]) -> list[str]:
    """Check that no effect came twice, and return what each did: an operation's random identifier left out."""
    assert len(set(effects)) == len(effects), f"ran twice: {effects}"
    return sorted(" ".join(effect.split()[:2]) + effect[-2:] for effect in effects)


def _nothing(_sp: SpTsm) -> None: ...


def _deploy(sp: SpTsm) -> object:
    return sp.deploy(PHONE.se, BANK.service, CUSTOMER)


def _rotate(sp: SpTsm) -> object:
    return sp.rotate_keys(PHONE.se)


def _own(sp: SpTsm) -> None:
    _deploy(sp)
    _rotate(sp)


def _start_over(sp: SpTsm) -> None:
    sp.terminate(PHONE.se)
    _deploy(sp)


def _delete_everything(sp: SpTsm) -> object:
    return sp.terminate(PHONE.se)


def _personalize(sp: SpTsm) -> object:
    return sp.personalize(PHONE.se, BANK.service, CUSTOMER, BANK.accounts(CUSTOMER, 2))


def _delete_accounts(sp: SpTsm) -> object:
    return sp.delete_accounts(PHONE.se, BANK.service, CUSTOMER)


def _renew(sp: SpTsm) -> object:
    return sp.renew(BANK.service, CUSTOMER)


def _served(sp: SpTsm) -> None:
    _own(sp)
    _personalize(sp)


def _one(action: Literal["activate", "deactivate", "lock", "unlock"]) -> Callable[[SpTsm], object]:
    return lambda sp: sp.suspend_or_resume(PHONE.se, action, service=BANK.service, qualifier=CUSTOMER)


def _all(action: Literal["lock", "unlock"]) -> Callable[[SpTsm], object]:
    return lambda sp: sp.suspend_or_resume(PHONE.se, action)


def _delete_one(sp: SpTsm) -> object:
    return sp.delete_accounts(PHONE.se, BANK.service, CUSTOMER, [BANK.accounts(CUSTOMER, 1)[0].uid])


def _delete_instance(sp: SpTsm) -> object:
    return sp.delete_instance(PHONE.se, BANK.instance)


PRE_PERSONALIZATION = Scenario("pre-personalization", _nothing, _deploy, _delete_everything, _nothing)
RENEWAL = Scenario("renewal", _own, _renew, _nothing, _delete_everything)
OTHERS = (
    Scenario("key-rotation", _deploy, _rotate, _start_over, _delete_everything),
    Scenario("personalization", _own, _personalize, _delete_accounts, _delete_everything),
    Scenario("activation", _served, _one("activate"), _one("deactivate"), _delete_everything),
    Scenario("lock-application", _served, _one("lock"), _one("unlock"), _delete_everything),
    Scenario("lock-sp", _served, _all("lock"), _all("unlock"), _delete_everything),
    Scenario("delete-account", _served, _delete_one, _personalize, _delete_everything),
    Scenario("delete-instance", _own, _delete_instance, _deploy, _delete_everything),
    Scenario("delete-everything", _own, _delete_everything, _own, _nothing),
)
SCENARIOS = (PRE_PERSONALIZATION, RENEWAL, *OTHERS)
