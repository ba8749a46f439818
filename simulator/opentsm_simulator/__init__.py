"""Virtual secure elements: GlobalPlatform cards on jCardSim."""

from opentsm_simulator.virtual_se import VirtualLink, VirtualSe

__all__ = ["VirtualLink", "VirtualSe"]
