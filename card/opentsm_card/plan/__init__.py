"""The planner: from what is wanted of a secure element, and what its registry says, to the commands between.

Pure functions over frozen values. A plan that was cut off anywhere is made again from a newly read registry and repeats
nothing.

    registry = ...                                  # GET STATUS under response MAC, complete
    blocks = plan(element, registry, Wanted((ApplicationPresent(...),)))
    for block in blocks: ...                        # one secure channel each
    registry = apply_block(registry, block)         # once the card has confirmed it
"""

from __future__ import annotations

from opentsm_card.plan.block import (
    Authorizable,
    Block,
    LoadPackage,
    PlannedCommand,
    PutKeySet,
    PutTemporaryKeys,
    authorized,
)
from opentsm_card.plan.delegation import Delegated, delegated, install_for_load
from opentsm_card.plan.difference import Difference, diff
from opentsm_card.plan.effects import apply, apply_block
from opentsm_card.plan.element import SecureElement
from opentsm_card.plan.planner import plan
from opentsm_card.plan.refusal import PlanError, Refusal
from opentsm_card.plan.wanted import (
    Absent,
    ApplicationPresent,
    CardIn,
    KeySetsPresent,
    Locked,
    PackagePresent,
    SecurityDomainPresent,
    Unlocked,
    Wanted,
    WantedItem,
    renewal,
)

__all__ = [
    "Absent",
    "ApplicationPresent",
    "Authorizable",
    "Block",
    "CardIn",
    "Delegated",
    "Difference",
    "KeySetsPresent",
    "LoadPackage",
    "Locked",
    "PackagePresent",
    "PlanError",
    "PlannedCommand",
    "PutKeySet",
    "PutTemporaryKeys",
    "Refusal",
    "SecureElement",
    "SecurityDomainPresent",
    "Unlocked",
    "Wanted",
    "WantedItem",
    "apply",
    "apply_block",
    "authorized",
    "delegated",
    "diff",
    "install_for_load",
    "plan",
    "renewal",
]
