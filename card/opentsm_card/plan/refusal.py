"""Why a wanted state can't be planned."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from opentsm_card.errors import OpenTsmError

if TYPE_CHECKING:
    from opentsm_card.aid import Aid

__all__ = ["PlanError", "Refusal"]


class Refusal(StrEnum):
    """The reasons, for machines."""

    INCOMPLETE_REGISTRY = "incomplete-registry"
    CONTRADICTION = "contradiction"
    NO_KEYS = "no-keys"
    PRIVILEGE = "privilege"
    LIFE_CYCLE = "life-cycle"
    OUT_OF_REACH = "out-of-reach"
    MISSING = "missing"
    DIFFERENT = "different"
    IN_USE = "in-use"
    ROOM = "room"


class PlanError(OpenTsmError):
    """This secure element can't be brought into the wanted state; nothing has been sent.

    Args:
        refusal: the reason, for machines.
        why: the reason, for people.
        command: the command that would be needed, by its name in the configuration's table; empty for none.
        security_domain: which one would have to run it.
        aid: what it is about.
    """

    def __init__(
        self,
        refusal: Refusal,
        why: str,
        *,
        command: str = "",
        security_domain: Aid | None = None,
        aid: Aid | None = None,
    ) -> None:
        self.refusal = refusal
        self.command = command
        self.security_domain = security_domain
        self.aid = aid
        place = "".join(
            (
                f"{command}: " if command else "",
                f"security domain {security_domain}: " if security_domain is not None else "",
                f"{aid}: " if aid is not None else "",
            )
        )
        super().__init__(f"{place}{why}")
