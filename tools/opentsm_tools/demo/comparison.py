"""The comparison at the end: what the central TSM believes of each SE, against what the SE says itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentsm_card.registry import Kind
from opentsm_tools.demo.cast import DEVICES, MNOS
from opentsm_tools.demo.model import describe, describe_parts, registry_differences

if TYPE_CHECKING:
    from opentsm_tools.demo.cast import Device
    from opentsm_tools.demo.inspection import Snapshot
    from opentsm_tools.demo.stage import Stage
    from opentsm_tsm.operator_messages import SeBelief

__all__ = ["compare"]


def compare(stage: Stage) -> list[str]:
    """Read each SE completely and return every difference to what the central TSM believes, naming the SE.

    Also that each network saw pushes for its own SEs only.
    """
    lines = []
    for device in DEVICES:
        found = _differences(device, stage.world.belief(device), stage.read(device))
        lines += [f"{device.se}: {line}" for line in found]
    for mno in MNOS:
        own = {device.se for device in DEVICES if device.mno == mno}
        strangers = {push.se for push in stage.pushes(mno)} - own
        lines += [f"network {mno} saw a push for {se}, which is not its own" for se in sorted(strangers)]
    return lines


def _differences(device: Device, belief: SeBelief, snapshot: Snapshot) -> list[str]:
    state = snapshot.card_state
    if state is None or belief.life_cycle != state.name:
        return [f"the central TSM believes {belief.life_cycle}; the SE is {state.name if state else 'unknown'}"]
    if snapshot.terminated:
        return [] if belief.status == "terminated" else [f"the central TSM believes {belief.status}; it is terminated"]
    lines = [] if snapshot.registry.complete else ["the lists read are not complete"]
    central = device.central_sd
    # On a UICC the central security domain sees itself and what is under it; the rest is the network's.
    seen = {central, *(entry.aid for entry in snapshot.registry.under(central))}
    whole = device.profile == "embedded"
    found = {
        bytes(entry.aid): describe(entry)
        for entry in snapshot.registry
        if (whole or bytes(entry.aid) in seen) and entry.kind is not Kind.LOAD_FILE
    }
    believed = {
        bytes(item.aid): describe_parts(Kind(item.kind), item.state, item.sd, contactless=item.contactless)
        for item in belief.registry
        if item.kind != Kind.LOAD_FILE.value and (whole or item.kind != Kind.ISSUER_SECURITY_DOMAIN.value)
    }
    lines += registry_differences(believed, found, who="the central TSM believes")
    believed_keys = {bytes(view.sd): frozenset(view.versions) for view in belief.key_sets}
    for domain, versions in snapshot.keys.items():
        if believed_keys.get(domain) != versions:
            held = sorted(believed_keys.get(domain, frozenset()))
            lines.append(
                f"{domain.hex().upper()}: the central TSM believes key versions {held}; holds {sorted(versions)}"
            )
    return lines
