"""The device's attachment to its mobile network's gateway: how wake-ups come.

A wake-up names a session and nothing else: whom to talk to is in the device's own configuration, so a forged
one can't send the agent anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from opentsm_card.errors import ProtocolError, TransportError

if TYPE_CHECKING:
    from opentsm_agent.http import HttpsClient, Response

__all__ = ["WAIT_S", "Gateway"]

WAIT_S: Final = 25
"""How long a request for wake-ups is held, in seconds: less than idle connections live in mobile networks."""

_MARGIN_S: Final = 15.0


class _WakeUp(msgspec.Struct, frozen=True):
    session: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class _WakeUps(msgspec.Struct, frozen=True):
    wakeups: Annotated[list[_WakeUp], msgspec.Meta(max_length=256)]


_decoder: Final = msgspec.json.Decoder(_WakeUps)


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
