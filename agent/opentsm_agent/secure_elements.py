"""The device's secure elements: one link to each at most, held by one session at a time.

A secure channel and the selected application live in the link from order to order, so a session keeps the link
until it ends; another session that wants it waits.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from opentsm_agent.identifiers import check_card
from opentsm_agent.links import open_link
from opentsm_agent.policy import ANYTHING
from opentsm_agent.timers import SYSTEM
from opentsm_card.errors import LinkTimeoutError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_agent.config import SecureElementConfig
    from opentsm_agent.handshake import SecureElement
    from opentsm_agent.links.traced import ApduTrace
    from opentsm_agent.policy import Policy
    from opentsm_agent.timers import Timers
    from opentsm_card.link import Link

__all__ = ["SecureElements", "SessionLinks"]

_BUSY_TIMEOUT_S: Final = 30.0


class SecureElements:
    """All secure elements of the device.

    Args:
        configs: from `agent.toml`, in order of preference.
        busy_timeout_s: how long a session waits for an element that another one holds, in seconds.
        policy: what remote scripts may do on this device.
        trace: records what passes over the links, None to record nothing.
        timers: by which it waits for a busy one.
    """

    def __init__(
        self,
        configs: Iterable[SecureElementConfig],
        busy_timeout_s: float = _BUSY_TIMEOUT_S,
        *,
        policy: Policy = ANYTHING,
        trace: ApduTrace | None = None,
        timers: Timers = SYSTEM,
    ) -> None:
        self.configs = {config.element.se_id: config for config in configs}
        self.busy_timeout_s = timers.real_s(busy_timeout_s)
        self.policy = policy
        self.trace = trace
        self.locks = {se_id: threading.Lock() for se_id in self.configs}

    @property
    def elements(self) -> list[SecureElement]:
        """What the handshake says of them."""
        return [config.element for config in self.configs.values()]

    def session_links(self) -> SessionLinks:
        """Return the links of a new session; none is open yet."""
        return SessionLinks(self)


class SessionLinks:
    """The links that one session holds; for the session's thread alone."""

    def __init__(self, elements: SecureElements) -> None:
        self._elements = elements
        self._held: set[str] = set()
        self._links: dict[str, Link] = {}

    def link(self, se_id: str, *, reset: bool) -> Link:
        """Return the open link to a secure element, opened now where it is not; opening resets the card.

        Args:
            se_id: of a secure element of this device.
            reset: the card must be freshly reset.

        Raises:
            TransportError: the element can't be reached, another session holds it, or it is another card.
            ProtocolError: the link's URI makes no sense to its scheme.
        """
        if se_id not in self._held:
            if not self._elements.locks[se_id].acquire(timeout=self._elements.busy_timeout_s):
                raise LinkTimeoutError(f"another session holds secure element {se_id}")
            self._held.add(se_id)
        config = self._elements.configs[se_id]
        link = self._links.get(se_id)
        fresh = link is None or reset
        if link is not None and reset:
            try:
                link.reset()
            except TransportError:
                # Nothing was sent to it yet: opening the link anew resets the card just as well.
                self.drop(se_id)
                link = None
        if link is None:
            link = self._links[se_id] = self._open(config)
        if fresh and config.card is not None:
            try:
                check_card(link, config.card)
            except TransportError:
                self.drop(se_id)
                raise
        return link

    def _open(self, config: SecureElementConfig) -> Link:
        link = open_link(config.link, config.timeout_s)
        trace = self._elements.trace
        if trace is None:
            return link
        from opentsm_agent.links.traced import RecordedLink  # noqa: PLC0415 - few devices record

        name = config.element.se_id
        atr = getattr(link, "atr", None)
        if isinstance(atr, bytes):
            trace.atr(name, atr)
        return RecordedLink(link, trace, name)

    def drop(self, se_id: str) -> None:
        """Close a link that failed; the next use opens it anew."""
        link = self._links.pop(se_id, None)
        if link is not None:
            link.close()

    def close(self) -> None:
        """Close all links, and let other sessions have the elements."""
        for se_id in tuple(self._links):
            self.drop(se_id)
        for se_id in self._held:
            self._elements.locks[se_id].release()
        self._held.clear()
