"""What a service provider, an agent or a break must not be able to do to others: proved on virtual SEs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentsm_tsm.problems import RefusalError
from tsm_peers import (
    BANK,
    BANK_APP,
    BANK_SD,
    PAYMENT,
    PAYMENT_MODULE,
    PREFIX,
    TRANSIT,
    TRANSIT_APP,
    TRANSIT_SD,
    World,
    make_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    world = World(make_folder(tmp_path / "tsm"))
    world.add("ese-1")
    yield world
    world.close()


def forget(world: World) -> None:
    """Make what is on the SEs somebody else's: the central TSM knows nothing of it any more."""
    world.central.close()
    for path in world.config.parent.glob("tsm.sqlite*"):
        path.unlink()
    for agent in world.agents.values():
        agent.session = None
    world.central = type(world.central).open(world.config)


def application(instance: str, package: str = PAYMENT) -> dict[str, str]:
    """Return an application of a service."""
    return {"package": package, "module": PAYMENT_MODULE, "instance": instance}


@pytest.mark.parametrize("package", [PAYMENT, f"{PREFIX}0199"])
def test_asking_for_someone_elses_domain_gives_no_hold_on_it(world: World, package: str) -> None:
    assert world.deploy(BANK).state == "done"
    forget(world)
    effects = world.ses["ese-1"].effects()
    attempt = world.deploy(TRANSIT, sd=BANK_SD, applications=[application(TRANSIT_APP, package)])
    assert attempt.state == "failed"
    for function, body in (
        ("TerminateService", {"scope": "sp"}),
        ("TerminateService", {"scope": "service", "service": "card", "qualifier": "1"}),
        ("SuspendOrResumeService", {"scope": "sp", "action": "lock"}),
        ("SendScript", {"target": BANK_SD, "script": [{"apdu": "80CA00CF00"}]}),
    ):
        try:
            world.do(TRANSIT, function, seId="ese-1", **body)
        except RefusalError:
            continue
    assert world.ses["ese-1"].effects() == effects


def test_asking_for_someone_elses_application_gives_no_hold_on_it(world: World) -> None:
    assert world.deploy(BANK).state == "done"
    forget(world)
    effects = world.ses["ese-1"].effects()
    attempt = world.deploy(TRANSIT, applications=[application(BANK_APP)])
    assert attempt.state == "failed"
    for function, body in (
        ("TerminateService", {"scope": "instance", "aid": BANK_APP}),
        ("TerminateService", {"scope": "service", "service": "card", "qualifier": "1"}),
        ("UpgradeService", {"service": "card", "qualifier": "1"}),
        ("SuspendOrResumeService", {"scope": "application", "action": "lock", "aid": BANK_APP}),
        ("SendScript", {"target": BANK_APP, "script": [{"apdu": "80CADF0100"}]}),
    ):
        try:
            world.do(TRANSIT, function, seId="ese-1", **body)
        except RefusalError:
            continue
    assert [effect for effect in world.ses["ese-1"].effects()[len(effects) :] if BANK_APP in effect] == []


def test_a_qualifier_whose_deployment_was_refused_is_free_again(world: World) -> None:
    assert world.deploy(BANK).state == "done"
    forget(world)
    assert world.deploy(TRANSIT, applications=[application(BANK_APP)]).state == "failed"
    again = world.deploy(TRANSIT, sd=TRANSIT_SD, applications=[application(TRANSIT_APP)])
    assert again.state == "done", again
