"""The device's attachment to its mobile network's gateway: how wake-ups come.

A wake-up names a session and nothing else: whom to talk to is in the device's own configuration, so a forged
one can't send the agent anywhere.

The gateway is asked by a request that it holds until there is one, or, where the configuration says so, every so often
by one that it answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from opentsm_agent.timers import Backoff
from opentsm_agent.wake_source import ThreadedSource
from opentsm_card.errors import ProtocolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentsm_agent.events import Events
    from opentsm_agent.http import HttpsClient, Response
    from opentsm_agent.timers import Timers

__all__ = ["WAIT_S", "Gateway", "GatewaySource", "parse_wake_up"]

WAIT_S: Final = 25
"""How long a request for wake-ups is held, in seconds: less than idle connections live in mobile networks."""

_MARGIN_S: Final = 15.0


class _WakeUp(msgspec.Struct, frozen=True):
    session: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class _WakeUps(msgspec.Struct, frozen=True):
    wakeups: Annotated[list[_WakeUp], msgspec.Meta(max_length=256)]


_decoder: Final = msgspec.json.Decoder(_WakeUps)
_one_decoder: Final = msgspec.json.Decoder(_WakeUp)


def parse_wake_up(document: bytes) -> str:
    """Parse one wake-up, `{"session": …}`, into the id of the session to open.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return _one_decoder.decode(document).session
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"wake-up: {error}") from error


class Gateway:
    """The gateway of one mobile network.

    Args:
        client: a connection to it.
    """

    def __init__(self, client: HttpsClient) -> None:
        self._client = client

    @property
    def name(self) -> str:
        """Host and port, for people."""
        return self._client.name

    def wait(self, wait_s: int = WAIT_S) -> list[str]:
        """Attach, and wait for wake-ups: the ids of the sessions to open.

        Args:
            wait_s: how long the gateway is to hold the request while there is none, in seconds; 0 tells at once
                whether the gateway takes this device.

        Raises:
            TransportError: the gateway can't be reached, or refuses.
            ProtocolError: it answers something else.
        """
        fresh = not self._client.connected
        try:
            response = self._ask(wait_s)
        except TransportError:
            if fresh:
                raise
            # An idle connection that the gateway had closed meanwhile.
            response = self._ask(wait_s)
        if response.status == 204:
            return []
        if response.status != 200:
            raise TransportError(f"GET {self.name}/attach: the gateway answers {response.status}")
        try:
            return [wakeup.session for wakeup in _decoder.decode(response.body).wakeups]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolError(f"GET {self.name}/attach: {error}") from error

    def interrupt(self) -> None:
        """End the waiting of another thread, for good."""
        self._client.interrupt()

    def close(self) -> None:
        """Detach."""
        self._client.close()

    def _ask(self, wait_s: int) -> Response:
        return self._client.request("GET", "/attach", query=f"wait={wait_s}", timeout_s=wait_s + _MARGIN_S)


class GatewaySource(ThreadedSource):
    """Brings the gateway's wake-ups, in a thread of its own.

    Args:
        open_gateway: opens the gateway of the device's network, with the certificate that is on disk.
        wake: takes the id of a session to open.
        events: what the operator sees.
        timers: by which it waits.
        every_s: how often to ask, in seconds; None to have the gateway hold the request.
    """

    def __init__(
        self,
        open_gateway: Callable[[], Gateway],
        wake: Callable[[str], None],
        events: Events,
        timers: Timers,
        every_s: float | None = None,
    ) -> None:
        super().__init__("gateway")
        self._open = open_gateway
        self._gateway = open_gateway()
        self._wake = wake
        self._events = events
        self._timers = timers
        self._every_s = every_s

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"gateway {self._gateway.name}"

    def reopen(self) -> None:
        """Attach anew, with the certificate that is on disk now."""
        replaced, self._gateway = self._gateway, self._open()
        replaced.interrupt()

    def stop(self, timeout_s: float) -> None:
        """Detach, and wait for no longer than so many seconds."""
        self._stopping.set()
        self._gateway.interrupt()
        super().stop(timeout_s)

    def _run(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            self._nudge.clear()
            gateway = self._gateway
            holds = self._attached and self._every_s is None
            try:
                wakeups = gateway.wait(WAIT_S if holds else 0)
            except (TransportError, ProtocolError) as error:
                if self._stopping.is_set():
                    break
                if gateway is not self._gateway:
                    gateway.close()  # there is a new certificate
                    continue
                self._attached = False
                pause_s = backoff.pause_s()
                self._events.emit("detached", error=str(error), retry_in_s=pause_s)
                self._timers.wait(self._nudge, pause_s)
                continue
            backoff.reset()
            if not self._attached:
                self._attached = True
                self._events.emit("attached", gateway=self._gateway.name)
            for session in wakeups:
                self._events.emit("wake-up", source="gateway")
                self._wake(session)
            if self._every_s is not None and not self._stopping.is_set():
                # Nothing is held open in between: many networks would end it anyway.
                self._gateway.close()
                self._timers.wait(self._nudge, self._every_s)
        self._gateway.close()
