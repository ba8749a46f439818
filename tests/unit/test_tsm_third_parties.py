"""The central TSM on SEs that third parties have security domains on too: it does its own, and leaves theirs alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sd_host import ISD, ISD_KEYS, OWNER, TENANT, Host
from tsm_peers import BANK, World, central_keys, make_folder

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_card.registry import RegistryEntry

CONFIGURATIONS = ("embedded-third-parties", "uicc-third-parties")


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_service_comes_and_goes_beside_third_parties(tmp_path: Path, name: str) -> None:
    config = make_folder(tmp_path)
    se_id = "shared-1"
    seed = f'[[se]]\nid = "{se_id}"\ntype = "eSE"\nconfiguration = "{name}"\nmno = "north"\nmsisdn = "+491700000009"\n'
    config.write_text(config.read_text() + seed)
    world = World(config)
    se = world.add(se_id, name)
    keys = central_keys(se_id) if name.startswith("embedded") else ISD_KEYS

    def third_parties() -> list[RegistryEntry | None]:
        registry = Host(se.link("contactless")).into(ISD, keys).registry()
        return [registry.find(OWNER), registry.find(TENANT)]

    before = third_parties()
    assert None not in before
    deployed = world.deploy(se_id=se_id)
    assert deployed.state == "done", deployed
    assert world.query(BANK, "CheckGlobalEligibility", msi="+491700000009").configuration == name
    assert third_parties() == before
    terminated = world.do(BANK, "TerminateService", seId=se_id, scope="sp")
    assert terminated.state == "done", terminated
    assert third_parties() == before
    world.close()
