"""The off-card verifier: proves of a CAP file what a card relies on when it loads and runs it.

`verify` checks the structure of every component and what they say of each other, then every method by data flow: kinds
and depth of the stack, locals, targets, exception handlers, subroutines, the types of fields and arguments against the
Descriptor component and the imported packages' tables, and who may access what.

Spec: Java Card VM Specification 3.1, Classic Edition, 6 and 7; Java VM Specification 8, 4.10.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentsm_build.verify.code import read_bodies
from opentsm_build.verify.flow import Steps, check_flow
from opentsm_build.verify.hierarchy import check_classes
from opentsm_build.verify.structure import check_structure
from opentsm_build.verify.world import World
from opentsm_card.errors import CapError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_build.api.model import ApiPackage
    from opentsm_build.cap.file import CapFile

__all__ = ["Verified", "verify"]


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified.

    Args:
        classes: classes and interfaces.
        methods: methods with code, verified by data flow.
        instructions: in these methods.
        whole: False when the file has no Descriptor component, and only its structure could be checked.
    """

    classes: int
    methods: int
    instructions: int
    whole: bool


def verify(cap: CapFile, imports: Iterable[ApiPackage] = ()) -> Verified:
    """Verify a CAP file.

    Args:
        cap: any CAP file, whoever converted it.
        imports: packages it imports that are not of a known API, from their export files.

    Returns:
        What was verified.

    Raises:
        CapError: the first rule that is broken; names component, offset and rule.
    """
    check_structure(cap)
    descriptor = cap.descriptor
    if descriptor is None:
        return Verified(len(cap.classes.entries), 0, 0, whole=False)
    for offset, each in descriptor.types.by_offset().items():
        if each.padding:
            raise CapError(
                f"the type at offset {offset:#06x} of the type table is not padded with 0", component="Descriptor"
            )
    world = World(cap, descriptor, imports)
    if len(world.pool_types) != len(cap.constant_pool.constant_pool):
        raise CapError("constant_pool_types has not one type for each entry", component="Descriptor")
    for index in range(len(world.pool_types)):
        world.pool(index)
    check_classes(world)
    bodies = read_bodies(world, descriptor)
    if not cap.has_int:
        for body in bodies:
            if body.uses_int:
                raise CapError(f"{body.method} uses int, but flag ACC_INT is not set", component="Header")
    steps = Steps(bodies)
    for body in bodies:
        check_flow(world, body, steps)
    instructions = sum(len(body.instructions) for body in bodies)
    return Verified(len(world.classes), sum(bool(body.instructions) for body in bodies), instructions, whole=True)
