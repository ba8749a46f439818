"""Keys and personal data reach a card encrypted for it or not at all: PUT KEY and STORE DATA, of ours and relayed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from opentsm_card.apdu import CommandApdu
from opentsm_tsm.problems import RefusalError
from tsm_peers import BANK, BANK_SD, OPERATOR, TRANSIT, World, make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PUT_KEY, STORE_DATA, EXTERNAL_AUTHENTICATE, SELECT = 0xD8, 0xE2, 0x82, 0xA4
C_DECRYPTION = 0x02


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> Iterator[World]:
    world = World(make_folder(tmp_path / "tsm"))
    world.add("ese-1")
    world.add("uicc-1", "uicc")
    yield world
    world.close()


def scripts(world: World) -> Iterator[list[CommandApdu]]:
    """Each script that an agent was sent, once."""
    for agent in world.agents.values():
        for body in dict.fromkeys(agent.orders):
            for command in json.loads(body)["ramCommands"]:
                if apdus := command.get("listOfCAPDU"):
                    yield [CommandApdu.parse(bytes.fromhex(apdu)) for apdu in apdus]


def test_the_central_tsm_sends_no_key_and_no_data_below_c_enc(world: World) -> None:
    for caller, se_id in ((BANK, "ese-1"), (TRANSIT, "ese-1"), (BANK, "uicc-1")):
        assert world.deploy(caller, se_id, qualifier=se_id).state == "done"
    for caller, function, body in (
        (BANK, "SuspendOrResumeService", {"seId": "ese-1", "action": "lock", "scope": "sp"}),
        (BANK, "SuspendOrResumeService", {"seId": "ese-1", "action": "unlock", "scope": "sp"}),
        (BANK, "TerminateService", {"seId": "ese-1", "scope": "sp"}),
        (OPERATOR, "HandleSEStatusChangeNotification", {"seId": "ese-1", "action": "lock"}),
    ):
        assert world.do(caller, function, **body).state == "done"
    levels, keys = set(), 0
    for script in scripts(world):
        level = 0
        for apdu in script:
            if apdu.ins == SELECT:
                level = 0
            if apdu.ins == EXTERNAL_AUTHENTICATE:
                level = apdu.p1
                levels.add(level)
            if apdu.ins in {PUT_KEY, STORE_DATA}:
                keys += 1
                assert apdu.cla & 0x04
                assert level & C_DECRYPTION
    assert levels == {0x33}
    assert keys == 3


@pytest.mark.parametrize(
    ("script", "position"),
    [
        (["80D8008100"], 0),
        (["80CA00CF00", "80E2800000"], 1),
        (["8482010010" + "00" * 16, "84E2800008" + "00" * 8], 1),
        (["8482330010" + "00" * 16, "84D8008108" + "00" * 8, "8482110010" + "00" * 16, "84E2800008" + "00" * 8], 3),
    ],
)
def test_a_provider_s_key_or_data_without_encryption_is_not_relayed(
    world: World, script: list[str], position: int
) -> None:
    assert world.deploy().state == "done"
    sent = len(world.agents["ese-1"].orders)
    with pytest.raises(RefusalError) as refused:
        world.start(BANK, "SendScript", seId="ese-1", target=BANK_SD, script=[{"apdu": apdu} for apdu in script])
    assert refused.value.problem.position == position
    assert "C-DECRYPTION" in str(refused.value.problem)
    world.run()
    assert len(world.agents["ese-1"].orders) == sent


def test_what_travels_in_a_channel_opened_with_encryption_is_relayed(world: World) -> None:
    assert world.deploy().state == "done"
    script = [{"apdu": "8482330010" + "00" * 16, "expect": {"sw": ["9000"]}}, {"apdu": "84E2800008" + "00" * 8}]
    operation = world.do(BANK, "SendScript", seId="ese-1", target=BANK_SD, script=script)
    assert operation.state == "done"
    assert operation.result is not None
    assert len(operation.result["answers"]) == 1, "the card refuses the cryptogram; the rest was not sent"
