"""The device's secure elements: one link to each at most, and who uses it.

A secure channel and the selected application live in the link from order to order. So a session keeps the link until it
ends, and another one that wants it waits; or, where the configuration says that the card's channels may be used, each
session has a logical channel of its own, and the link is shared. A card that gives no channel is held, as else.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Final

from opentsm_agent.channels import HeldError, NoChannelError, SharedCard
from opentsm_agent.identifiers import WrongCardError, check_card
from opentsm_agent.links import open_link
from opentsm_agent.policy import ANYTHING
from opentsm_agent.timers import SYSTEM
from opentsm_card.errors import LinkTimeoutError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentsm_agent.config import SecureElementConfig
    from opentsm_agent.events import Events
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
        events: what the operator sees; None for nobody.
    """

    def __init__(
        self,
        configs: Iterable[SecureElementConfig],
        busy_timeout_s: float = _BUSY_TIMEOUT_S,
        *,
        policy: Policy = ANYTHING,
        trace: ApduTrace | None = None,
        timers: Timers = SYSTEM,
        events: Events | None = None,
    ) -> None:
        self._events = events
        self.configs = {config.element.se_id: config for config in configs}
        self.busy_timeout_s = timers.real_s(busy_timeout_s)
        self.policy = policy
        self.trace = trace
        self.locks = {se_id: threading.Lock() for se_id in self.configs}
        self.shared = {se_id: SharedCard(functools.partial(self.open, se_id)) for se_id in self.configs}

    @property
    def elements(self) -> list[SecureElement]:
        """What the handshake says of them."""
        return [config.element for config in self.configs.values()]

    def open(self, se_id: str) -> Link:
        """Open a link to an element, the card freshly reset, and see that it is the right one.

        Raises:
            TransportError: it can't be reached, or it is another card.
            ProtocolError: the link's URI makes no sense to its scheme.
        """
        config = self.configs[se_id]
        link = open_link(config.link, config.timeout_s)
        # What a serial port could not do of what was asked for.
        failure = getattr(link, "rate_failure", None)
        if failure is not None and self._events is not None:
            self._events.emit("default-rate", se=se_id, reason=failure)
        if self.trace is not None:
            from opentsm_agent.links.traced import RecordedLink  # noqa: PLC0415 - few devices record

            atr = getattr(link, "atr", None)
            if isinstance(atr, bytes):
                self.trace.atr(se_id, atr)
            link = RecordedLink(link, self.trace, se_id)
        if config.card is not None:
            try:
                check_card(link, config.card)
            except TransportError:
                link.close()
                raise
        return link

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
        link = self._links.get(se_id)
        if link is not None and reset:
            link = self._reset(se_id, link)
        if link is None:
            link = self._links[se_id] = self._channel(se_id) or self._hold(se_id)
        return link

    def _channel(self, se_id: str) -> Link | None:
        """Return a logical channel, None where the element is to be held."""
        if self._elements.configs[se_id].channel != "logical" or se_id in self._held:
            return None
        shared = self._elements.shared[se_id]
        try:
            return shared.channel()
        except HeldError:
            return None
        except NoChannelError as error:
            if shared.users:
                raise LinkTimeoutError(f"secure element {se_id}: {error}") from error
            return None

    def _hold(self, se_id: str) -> Link:
        if se_id not in self._held:
            if not self._elements.locks[se_id].acquire(timeout=self._elements.busy_timeout_s):
                raise LinkTimeoutError(f"another session holds secure element {se_id}")
            self._held.add(se_id)
            self._elements.shared[se_id].take()
        return self._elements.open(se_id)

    def _reset(self, se_id: str, link: Link) -> Link | None:
        """Reset a card, or the channel; None where the link must be opened anew, which resets the card just as well."""
        expected = self._elements.configs[se_id].card
        try:
            link.reset()
            if expected is not None and se_id in self._held:
                check_card(link, expected)
        except WrongCardError:
            self.drop(se_id)
            raise
        except TransportError:
            # Nothing was sent to it yet.
            self.drop(se_id)
            return None
        return link

    def drop(self, se_id: str) -> None:
        """Close a link that failed; the next use opens it anew."""
        link = self._links.pop(se_id, None)
        if link is not None:
            link.close()

    def close(self) -> None:
        """Close all links and channels, and let other sessions have the elements."""
        for se_id in tuple(self._links):
            self.drop(se_id)
        for se_id in self._held:
            self._elements.shared[se_id].give_back()
            self._elements.locks[se_id].release()
        self._held.clear()
