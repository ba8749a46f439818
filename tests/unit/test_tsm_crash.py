"""The central TSM killed at every commit: started again from its files, it ends where it would have ended.

The crash is an exception at the one place that commits, just before and just behind the commit; the store is opened
anew. `tests/system` does the same with SIGKILL and real processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from opentsm_tsm import inventory, keystore, registry_record
from tsm_peers import BANK, BANK_APP, BANK_SD, MASTER, PAYMENT, PAYMENT_MODULE, CrashError, World, make_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opentsm_tsm.messages import Operation

_MAX_COMMITS = 60


class _Crashing:
    """Counts the commits of a store, and dies at one of them."""

    def __init__(self, at: int, *, behind: bool) -> None:
        self.left = at
        self.behind = behind

    def arm(self, world: World) -> None:
        """Take the place of the store's commit."""
        real = world.central.store.commit

        def commit() -> None:
            self.left -= 1
            if self.left == 0 and not self.behind:
                raise CrashError
            real()
            if self.left == 0:
                raise CrashError

        world.central.store.commit = commit  # type: ignore[method-assign] # this is where it dies


def _deploy(world: World) -> str:
    application = {"package": PAYMENT, "module": PAYMENT_MODULE, "instance": BANK_APP}
    return world.start(
        BANK,
        "DeployService",
        operationId="the-one",
        seId="ese-1",
        service="card",
        qualifier="1",
        sd=BANK_SD,
        applications=[application],
    )


def _renew(world: World) -> str:
    return world.start(BANK, "UpgradeService", operationId="the-one", service="card", qualifier="1")


def _lock(world: World) -> str:
    return world.start(BANK, "SuspendOrResumeService", operationId="the-one", seId="ese-1", action="lock", scope="sp")


def _delete(world: World) -> str:
    return world.start(BANK, "TerminateService", operationId="the-one", seId="ese-1", scope="sp")


def _run(world: World, ask: Callable[[World], str], crashing: _Crashing) -> tuple[Operation, bool]:
    """Ask for an operation and run it to its end, whatever dies on the way; tell whether something died."""
    crashing.arm(world)
    died = False
    while True:
        try:
            # Asked again after a crash, under the same id, as an SP TSM does that got no answer.
            name = ask(world)
            world.run()
            return world.central.desk.operation(BANK, name), died
        except CrashError:
            died = True
            world.reopen()


def _belief(world: World) -> Any:
    se = inventory.find(world.central.store, "ese-1")
    assert se is not None
    assert se.registry is not None
    registry = registry_record.load(se.registry)
    return {entry.aid: (entry.state, entry.associated_sd, entry.contactless) for entry in registry.applications}


@pytest.fixture(autouse=True)
def _cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    # The key store is opened at every restart; its cost is not what is tested here.
    monkeypatch.setattr(keystore, "_derive", lambda passphrase, salt, _cost: (passphrase + salt).ljust(32)[:32])


@pytest.mark.parametrize("behind", [False, True], ids=["before the commit", "behind the commit"])
@pytest.mark.parametrize(
    ("ask", "prepared"),
    [(_deploy, False), (_renew, True), (_lock, True), (_delete, True)],
    ids=["pre-personalization", "renewal", "lock", "delete"],
)
def test_a_crash_at_every_commit_ends_in_the_same_state(
    tmp_path: Path, ask: Callable[[World], str], *, prepared: bool, behind: bool
) -> None:
    assert MASTER
    reference: tuple[Any, list[str]] | None = None
    for at in range(_MAX_COMMITS):
        world = World(make_folder(tmp_path / f"tsm-{at}"))
        se = world.add("ese-1")
        if prepared:
            assert world.deploy().state == "done"
        # at == 0 never dies: that is what the others are compared with.
        operation, died = _run(world, ask, _Crashing(at, behind=behind))
        assert operation.state == "done", (at, operation)
        end = (_belief(world), se.effects())
        world.close()
        if reference is None:
            reference = end
        assert end == reference, f"killed at commit {at}"
        if at and not died:
            break
    else:
        pytest.fail("the operation does not end")
    assert at > 4
