"""A host of many virtual SEs: makes them, opens their fronts, and closes all of it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from opentsm_simulator.front import TcpFront, VpcdFront
from opentsm_simulator.profile import load_keys
from opentsm_simulator.virtual_se import VirtualSe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_simulator.config import SeConfig

__all__ = ["Host", "HostedSe"]


@dataclass(frozen=True, slots=True)
class HostedSe:
    """A virtual SE and its fronts.

    Args:
        se: the virtual SE.
        tcp: its contact interface's server, if it has one.
        contactless: its contactless interface's server, if it has one.
        vpcd: its connection to pcscd, if it has one.
    """

    se: VirtualSe
    tcp: TcpFront | None = None
    contactless: TcpFront | None = None
    vpcd: VpcdFront | None = None

    def describe(self) -> dict[str, str | None]:
        """Return identity, profile and addresses, for machines."""
        return {
            "id": self.se.se_id,
            "profile": self.se.profile.name,
            "tcp": self.tcp.address if self.tcp else None,
            "contactless": self.contactless.address if self.contactless else None,
            "vpcd": self.vpcd.address if self.vpcd else None,
        }


class Host:
    """Virtual SEs that serve until the host is closed; use it as a context manager.

    Args:
        configs: what to host.

    Raises:
        ProtocolError: a profile or a keys file is not valid.
        TransportError: an address can't be listened on, or no reader answers.
    """

    def __init__(self, configs: Iterable[SeConfig]) -> None:
        self.ses: list[HostedSe] = []
        self._started: list[TcpFront | VpcdFront] = []
        try:
            for config in configs:
                self.ses.append(self._open(config))
        except BaseException:
            self.close()
            raise

    def _open(self, config: SeConfig) -> HostedSe:
        keys = load_keys(config.keys_file) if config.keys_file else None
        se = VirtualSe.create(config.profile, se_id=config.id, keys=keys)
        if config.effects:
            se.log_effects(str(config.effects))
        tcp = TcpFront(se, "contact", *config.tcp) if config.tcp else None
        contactless = TcpFront(se, "contactless", *config.contactless) if config.contactless else None
        vpcd = VpcdFront(se, *config.vpcd) if config.vpcd else None
        for front in (tcp, contactless, vpcd):
            if front is not None:
                self._started.append(front)
                front.start()
        return HostedSe(se, tcp, contactless, vpcd)

    def close(self) -> None:
        """Close all fronts; safe to call twice."""
        while self._started:
            self._started.pop().stop()

    def __enter__(self) -> Self:
        """Return the host itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close all fronts."""
        self.close()
