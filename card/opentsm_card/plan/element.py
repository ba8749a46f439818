"""The secure element as the planner knows it, beside what its registry says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentsm_card.lifecycle import CardState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentsm_card.aid import Aid
    from opentsm_card.configurations import Configuration
    from opentsm_card.privileges import Privilege

__all__ = ["SecureElement"]


@dataclass(frozen=True, slots=True)
class SecureElement:
    """What stays the same from plan to plan, and what a registry doesn't tell.

    Args:
        configuration: which security domains it has, and what they accept.
        issuer_sd: AID of the issuer security domain.
        central_sd: AID of the central TSM's security domain (the issuer's, where it has that role).
        keys: key version by security domain, of the security domains that the caller can open with their own keys.
        sd_package: load file that security domains are made from.
        sd_module: its module.
        packages: load files known to be on the card though the registry may not list them: a security domain without
            Global Registry is told of what is under it only.
        card_state: the card's life cycle, for when the registry doesn't tell that either.
        grants: privileges that the caller may give to what it installs; None for those that the configuration gives to
            service providers (and third parties) and their applications.
    """

    configuration: Configuration
    issuer_sd: Aid
    central_sd: Aid
    keys: Mapping[Aid, int]
    sd_package: Aid
    sd_module: Aid
    packages: frozenset[Aid] = field(default_factory=frozenset)
    card_state: CardState = CardState.SECURED
    grants: Privilege | None = None
