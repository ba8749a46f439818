"""A CAP file with everything resolved that its views show: classes, methods, code.

Spec: Java Card VM Specification 3.1, Classic Edition, 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentsm_build.verify.code import Body, read_bodies
from opentsm_build.verify.world import World
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.api.model import ApiPackage
    from opentsm_build.cap.file import CapFile

__all__ = ["Resolved", "resolve"]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A CAP file, its classes and members, and its methods by their offset."""

    cap: CapFile
    world: World
    bodies: dict[int, Body]


def resolve(cap: CapFile, imports: Iterable[ApiPackage] = ()) -> Resolved:
    """Resolve a CAP file.

    Raises:
        CapError: it has no Descriptor component, or something leads nowhere.
    """
    if cap.descriptor is None:
        raise CapError("without a Descriptor component classes and methods can't be told apart", component="Descriptor")
    world = World(cap, cap.descriptor, imports)
    bodies = {body.method.offset or 0: body for body in read_bodies(world, cap.descriptor)}
    return Resolved(cap, world, bodies)
