"""The comparison at the end of the demo: a difference between belief and SE is named, and a stray push too."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec
import pytest

from opentsm_card.aid import Aid
from opentsm_card.lifecycle import CardState, ContactlessState
from opentsm_card.privileges import Privilege
from opentsm_card.registry import Kind, Registry, RegistryEntry
from opentsm_tools.demo.cast import BANK, CENTRAL_SD, DEVICES, ISSUER_SD, Device
from opentsm_tools.demo.comparison import compare
from opentsm_tools.demo.inspection import Snapshot
from opentsm_tsm.messages import KeySetView
from opentsm_tsm.mno.messages import PushRecord
from opentsm_tsm.operator_messages import RegistryItem, SeBelief
from opentsm_tsm.wire import Hex

if TYPE_CHECKING:
    from opentsm_tools.demo.stage import Stage

NORTH, _, UICC = DEVICES


def entries(device: Device) -> tuple[RegistryEntry, ...]:
    central = Aid(device.central_sd)
    found = [
        RegistryEntry(Aid(BANK.sd), 0x0F, Privilege.SECURITY_DOMAIN, central, kind=Kind.SECURITY_DOMAIN),
        RegistryEntry(Aid(BANK.instance), 0x07, associated_sd=Aid(BANK.sd), contactless=ContactlessState.ACTIVATED),
    ]
    if device.profile == "uicc":
        issuer = Aid(ISSUER_SD)
        found.append(RegistryEntry(Aid(CENTRAL_SD), 0x0F, Privilege.SECURITY_DOMAIN, issuer, kind=Kind.SECURITY_DOMAIN))
    return tuple(found)


def item(entry: RegistryEntry) -> RegistryItem:
    return RegistryItem(
        aid=Hex(entry.aid),
        kind=entry.kind.value,
        state=entry.state,
        privileges=Hex(entry.privileges.encode()),
        sd=None if entry.associated_sd is None else Hex(entry.associated_sd),
        contactless=None if entry.contactless is None else entry.contactless is ContactlessState.ACTIVATED,
    )


@dataclass
class Told:
    """What the SEs, the central TSM and the networks say: a stage for the comparison alone."""

    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    beliefs: dict[str, SeBelief] = field(default_factory=dict)
    logs: dict[str, tuple[PushRecord, ...]] = field(default_factory=dict)

    @property
    def world(self) -> Self:
        return self

    def belief(self, device: Device) -> SeBelief:
        return self.beliefs[device.se]

    def read(self, device: Device) -> Snapshot:
        return self.snapshots[device.se]

    def pushes(self, mno: str) -> tuple[PushRecord, ...]:
        return self.logs.get(mno, ())

    def change_entry(self, device: Device, aid: bytes, **changes: Any) -> None:
        snapshot = self.snapshots[device.se]
        applications = tuple(
            replace(entry, **changes) if entry.aid == aid else entry for entry in snapshot.registry.applications
        )
        registry = replace(snapshot.registry, applications=applications)
        self.snapshots[device.se] = replace(snapshot, registry=registry)


@pytest.fixture
def told() -> Told:
    told = Told()
    for device in DEVICES:
        issuer = RegistryEntry(Aid(ISSUER_SD), CardState.SECURED, kind=Kind.ISSUER_SECURITY_DOMAIN)
        registry = Registry(issuer, entries(device), (), complete=True)
        told.snapshots[device.se] = Snapshot(
            terminated=False, registry=registry, keys={BANK.sd: frozenset({1})}, directory=(), reader={}
        )
        believed = [item(entry) for entry in entries(device)]
        if device.profile == "embedded":
            believed.append(item(issuer))
        told.beliefs[device.se] = SeBelief(
            se_id=device.se,
            se_type=device.se_type,
            configuration=device.profile,
            status="ok",
            life_cycle="SECURED",
            mno=device.mno,
            stale=False,
            key_sets=(KeySetView(sd=Hex(BANK.sd), versions=(1,)),),
            registry=tuple(believed),
        )
        told.logs[device.mno] = (*told.pushes(device.mno), PushRecord(at=0, se=device.se, outcome="delivered"))
    return told


def differences(told: Told) -> list[str]:
    return compare(cast("Stage", told))


def test_belief_and_ses_that_agree_have_no_differences(told: Told) -> None:
    assert differences(told) == []


@pytest.mark.parametrize("device", [NORTH, UICC])
def test_a_state_that_is_another_is_named_with_its_se(told: Told, device: Device) -> None:
    told.change_entry(device, BANK.instance, state=0x87)
    (line,) = differences(told)
    assert line.startswith(f"{device.se}: {BANK.instance.hex().upper()}")


@pytest.mark.parametrize("device", [NORTH, UICC])
def test_what_only_one_of_them_knows_is_named(told: Told, device: Device) -> None:
    believed = told.beliefs[device.se]
    told.beliefs[device.se] = msgspec.structs.replace(believed, registry=believed.registry[1:])
    assert any("on the SE sd" in line for line in differences(told))
    told.beliefs[device.se] = believed
    registry = told.snapshots[device.se].registry
    gone = replace(registry, applications=registry.applications[:1] + registry.applications[2:])
    told.snapshots[device.se] = replace(told.snapshots[device.se], registry=gone)
    assert any("not on the SE" in line for line in differences(told))


def test_key_versions_and_life_cycle_count(told: Told) -> None:
    told.snapshots[NORTH.se] = replace(told.snapshots[NORTH.se], keys={BANK.sd: frozenset({1, 48})})
    told.beliefs[UICC.se] = msgspec.structs.replace(told.beliefs[UICC.se], life_cycle="CARD_LOCKED")
    assert [line.partition(":")[0] for line in differences(told)] == [NORTH.se, UICC.se]


def test_a_list_that_is_not_complete_proves_nothing(told: Told) -> None:
    registry = replace(told.snapshots[NORTH.se].registry, complete=False)
    told.snapshots[NORTH.se] = replace(told.snapshots[NORTH.se], registry=registry)
    assert differences(told) == [f"{NORTH.se}: the lists read are not complete"]


def test_a_terminated_se_must_be_believed_so(told: Told) -> None:
    dead = Snapshot(terminated=True, registry=Registry(None, (), (), complete=False))
    told.snapshots[UICC.se] = dead
    assert differences(told) != []
    belief = told.beliefs[UICC.se]
    told.beliefs[UICC.se] = msgspec.structs.replace(belief, life_cycle="TERMINATED", status="terminated")
    assert differences(told) == []


def test_a_push_over_the_wrong_network_is_named(told: Told) -> None:
    told.logs["south"] = (*told.pushes("south"), PushRecord(at=1, se=NORTH.se, outcome="unknown"))
    (line,) = differences(told)
    assert "south" in line
    assert NORTH.se in line
