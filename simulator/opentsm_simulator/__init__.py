"""Virtual secure elements: GlobalPlatform cards on jCardSim.

`VirtualSe` and `VirtualLink` load Java's bindings when they are first named: a command's help needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentsm_simulator.virtual_se import VirtualLink, VirtualSe

__all__ = ["VirtualLink", "VirtualSe"]


def __getattr__(name: str) -> object:
    """Import what is exported here when it is named."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from opentsm_simulator import virtual_se  # noqa: PLC0415 - see above

    return getattr(virtual_se, name)
