"""A service provider's whole life on one SE by `opentsm sp`, each command's effect read from the SE itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from opentsm_card.lifecycle import ContactlessState
from opentsm_tools.demo.cast import BANK, DEVICES, TRANSIT
from opentsm_tools.demo.world import World
from opentsm_tools.main import cli
from opentsm_tsm.sp.client import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentsm_tools.demo.inspection import Snapshot

PHONE = DEVICES[0]
SERVICE = ("--service", BANK.service, "--qualifier", PHONE.customer)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), lambda _text: None, devices=(PHONE,)) as world:
        yield world


def sp(world: World, command: str, *arguments: str, provider: str = "bank") -> str:
    config = world.folders.root / f"sp-{provider}" / "sp.toml"
    result = CliRunner().invoke(cli, ["sp", command, "--config", str(config), *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def on_se(world: World, command: str, *arguments: str) -> Any:
    return json.loads(sp(world, command, "--se", PHONE.se, *arguments))


def read(world: World) -> Snapshot:
    return world.inspectors[PHONE.se].read((BANK.sd,), (BANK.instance,))


def accounts_file(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.json"
    entries = [
        {"uid": account.uid.hex(), "pan": account.pan, "expiry": account.expiry, "label": account.label}
        for account in BANK.accounts(PHONE.customer, 2)
    ]
    path.write_text(json.dumps(entries))
    return path


def test_a_service_from_eligibility_to_termination(world: World, tmp_path: Path) -> None:
    assert json.loads(sp(world, "eligibility", PHONE.msisdn))["seId"] == PHONE.se
    conversation = sp(world, "begin", "--se", PHONE.se).strip()
    talk = ("--conversation", conversation)

    deployed = on_se(world, "deploy", *SERVICE, *talk)
    assert read(world).keys[BANK.sd] == {deployed["temporaryVersion"]}
    rotated = on_se(world, "rotate-keys", *talk)
    assert read(world).keys[BANK.sd] == {rotated["newVersion"]} != {deployed["temporaryVersion"]}

    first, second = BANK.accounts(PHONE.customer, 2)
    on_se(world, "personalize", *SERVICE, "--accounts", str(accounts_file(tmp_path)), *talk)
    on_se(world, "activate", *SERVICE, *talk)
    assert read(world).reader == {BANK.instance: {(first.pan, first.expiry), (second.pan, second.expiry)}}

    on_se(world, "lock", *talk)
    assert read(world).reader == {}
    on_se(world, "unlock", *talk)
    on_se(world, "deactivate", *SERVICE, *talk)
    entry = read(world).registry.find(BANK.instance)
    assert entry is not None
    assert entry.contactless is ContactlessState.DEACTIVATED
    on_se(world, "activate", *SERVICE, *talk)

    on_se(world, "delete-account", *SERVICE, *talk, first.uid.hex())
    listed = on_se(world, "accounts", "--service", BANK.service, *talk)["accounts"]
    assert [entry["uid"].lower() for entry in listed] == [second.uid.hex()]
    assert read(world).reader == {BANK.instance: {(second.pan, second.expiry)}}
    on_se(world, "delete-account", *SERVICE, *talk)
    assert read(world).reader == {BANK.instance: set()}

    sp(world, "renew", *SERVICE, "--se", PHONE.se, *talk)
    on_se(world, "rotate-keys", *talk)
    assert read(world).keys[BANK.sd] == {rotated["newVersion"] + 1}
    sp(world, "end", "--se", PHONE.se, conversation)

    on_se(world, "delete-service", *SERVICE)
    assert read(world).registry.find(BANK.instance) is None
    on_se(world, "terminate", "--yes")
    assert read(world).registry.find(BANK.sd) is None
    assert world.sps["bank"].key_versions(PHONE.se) == ()
    states = [json.loads(line)["state"] for line in sp(world, "operations", "--json").splitlines()]
    assert set(states) == {"done"}
    assert len(states) > 15


def test_one_provider_reaches_nothing_of_another(world: World) -> None:
    world.sps["transit"].deploy(PHONE.se, TRANSIT.service, PHONE.customer)
    bank = world.sps["bank"]
    with pytest.raises(RefusedError) as theirs:
        bank.delete_instance(PHONE.se, TRANSIT.instance)
    with pytest.raises(RefusedError) as nobodys:
        bank.delete_instance(PHONE.se, TRANSIT.instance + b"\x77")
    assert str(theirs.value) == str(nobodys.value)
    with pytest.raises(RefusedError):
        bank.object_status(PHONE.se, TRANSIT.instance)
    assert read(world).registry.find(TRANSIT.instance) is not None
    world.sps["transit"].terminate(PHONE.se)
