"""Wake-ups for devices that subscribe at the network's MQTT broker: published there with QoS 1, one topic an SE.

Like the hub it remembers nothing: without a connection to the broker a push fails, and the central TSM pushes again.

Spec: OASIS MQTT 5.0, 4.3.2 (QoS 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from opentsm_tsm import tls
from opentsm_tsm.gateway_messages import WakeUp
from opentsm_tsm.wire import encode

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_tsm.mno.config import Mqtt

__all__ = ["Broker"]

_KEEPALIVE_S: Final = 60
_LONGEST_PAUSE_S: Final = 30


class Broker:
    """A connection to the broker, kept up in a thread of its own.

    Args:
        config: from mno.toml.
        folder: that its paths are relative to.
        client_id: this gateway's name at the broker.

    Raises:
        ProtocolError: a certificate, key or CA file is not what it should be.
    """

    def __init__(self, config: Mqtt, folder: Path, client_id: str) -> None:
        self._topic = config.topic
        url = urlsplit(config.broker)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        self._client.tls_set_context(
            tls.client_context(folder / config.certificate, folder / config.key, [folder / config.ca])
        )
        self._client.reconnect_delay_set(1, _LONGEST_PAUSE_S)
        self._client.connect_async(url.hostname or "", url.port or 8883, _KEEPALIVE_S)
        self._client.loop_start()

    def publish(self, se: str, session: str) -> bool:
        """Publish a wake-up for an SE's device; False when the broker can't be reached now."""
        if not self._client.is_connected():
            return False
        sent = self._client.publish(self._topic.replace("{se}", se), encode(WakeUp(session=session)), qos=1)
        return sent.rc == paho.MQTT_ERR_SUCCESS

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()
