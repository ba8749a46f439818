"""Wake-ups over MQTT: the network's broker tells this device's topics, and keeps what comes while it is offline.

For each secure element the device subscribes to one topic with QoS 1, in a session that the broker keeps. A message is
the wake-up of the gateway's long poll, `{"session": …}`, and is acknowledged once the agent has it; a retained one is
not a wake-up. The broker is spoken to over TLS, with the device's certificate; nothing is published.

Spec: OASIS MQTT 3.1.1, 3.1.2.4 (Clean Session), 4.3.2 (QoS 1); MQTT 5.0, 3.1.2.11.2 (Session Expiry Interval).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from opentsm_agent.gateway import parse_wake_up
from opentsm_agent.timers import Backoff
from opentsm_agent.wake_source import ThreadedSource
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from opentsm_agent.config import WakeMqtt
    from opentsm_agent.events import Events
    from opentsm_agent.timers import Timers

__all__ = ["MqttSource"]

_KEEPALIVE_S: Final = 60
_CONNECT_S: Final = 15.0
_LOOK_S: Final = 0.5
# How long the broker keeps what comes while the device is offline (MQTT 5; before it, as long as the broker likes).
_SESSION_EXPIRY_S: Final = 7 * 86400
_VERSIONS: Final = {"3.1.1": paho.MQTTv311, "5": paho.MQTTv5}


class MqttSource(ThreadedSource):
    """Brings a broker's wake-ups, in a thread of its own; a lost connection is made again.

    Args:
        config: broker, topic, version.
        elements: ids of the secure elements.
        open_context: makes the TLS context, with the certificate that is on disk.
        wake: takes the id of a session to open.
        events: what the operator sees.
        timers: by which it waits.
    """

    def __init__(
        self,
        config: WakeMqtt,
        elements: Sequence[str],
        open_context: Callable[[], ssl.SSLContext],
        wake: Callable[[str], None],
        events: Events,
        timers: Timers,
    ) -> None:
        super().__init__("mqtt")
        broker = urlsplit(config.broker)
        self._host, self._port = broker.hostname or "", broker.port or 8883
        self._config = config
        self._elements = list(elements)
        self._open_context = open_context
        self._context = open_context()
        self._wake = wake
        self._events = events
        self._timers = timers
        self._again = False
        self._refusals: list[str] = []
        self._backoff = Backoff()

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"mqtt {self._host}:{self._port}"

    def reopen(self) -> None:
        """Connect anew, with the certificate that is on disk now."""
        self._context = self._open_context()
        self._again = True

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._nudge.clear()
            self._again = False
            reason = self._hold(self._client())
            attached, self._attached = self._attached, False
            if self._stopping.is_set() or (self._again and attached):
                continue
            pause_s = self._backoff.pause_s()
            self._events.emit("detached", error=f"{self.name}: {reason}", retry_in_s=pause_s)
            self._timers.wait(self._nudge, pause_s)

    def _client(self) -> paho.Client:
        version = _VERSIONS[self._config.version]
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._config.client_id or f"opentsm-{self._elements[0]}",
            clean_session=False if version == paho.MQTTv311 else None,
            protocol=version,
        )
        client.tls_set_context(self._context)
        client.connect_timeout = self._timers.real_s(_CONNECT_S)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = self._message
        return client

    def _hold(self, client: paho.Client) -> str:
        """Hold one connection until it ends or is not wanted any more; return why it ended."""
        five = self._config.version == "5"
        properties = None
        if five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho leaves it so
            properties.SessionExpiryInterval = _SESSION_EXPIRY_S
        self._refusals.clear()
        try:
            client.connect(
                self._host, self._port, _KEEPALIVE_S, clean_start=False if five else 3, properties=properties
            )
            while not self._stopping.is_set() and not self._again:
                code = client.loop(_LOOK_S)
                if self._refusals:
                    return self._refusals[0]
                if code != paho.MQTT_ERR_SUCCESS:
                    return paho.error_string(code)
            client.disconnect()
            client.loop(0)
        except OSError as error:  # ssl.SSLError is one
            return error.strerror or str(error) or type(error).__name__
        return "closed"

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:  # noqa: ANN401 - paho's
        if code.is_failure:
            self._refusals.append(f"the broker refuses: {code}")
            return
        client.subscribe([(self._config.topic.replace("{se}", se), 1) for se in self._elements])

    def _subscribed(self, _client: Any, _data: Any, _mid: Any, codes: Any, _properties: Any) -> None:  # noqa: ANN401 - as above
        if any(code.is_failure for code in codes):
            self._refusals.append("the broker refuses a subscription")
            return
        self._attached = True
        self._backoff.reset()
        self._events.emit("attached", gateway=self.name)

    def _message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:  # noqa: ANN401 - as above
        if message.retain:
            self._events.emit("wake-up-ignored", reason="a retained message")
            return
        try:
            session = parse_wake_up(bytes(message.payload))
        except ProtocolError as error:
            self._events.emit("wake-up-ignored", reason=str(error))
            return
        self._events.emit("wake-up", source="mqtt")
        self._wake(session)
