"""A real MQTT broker (mosquitto) on loopback, over TLS, that lets in whom the test's CA has certified."""

from __future__ import annotations

import socket
import subprocess
import time
from typing import TYPE_CHECKING, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from opentsm_agent.http import client_context

if TYPE_CHECKING:
    from pathlib import Path

    from agent_peers import Authority

__all__ = ["Broker"]

_START_S = 10.0


class Broker:
    """A broker that can be stopped and started again; what it keeps for clients that are offline is in memory only."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self._folder = folder
        (folder / "broker-ca.pem").write_bytes(authority.pem)
        self._identity = authority.write(folder, "broker", "127.0.0.1")
        self._publisher = authority.write(folder, "publisher", "publisher")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def section(self) -> str:
        """What agent.toml says of it."""
        return f'[wake.mqtt]\nbroker = "mqtts://127.0.0.1:{self.port}"\nca = "broker-ca.pem"\n'

    def start(self) -> None:
        """Start, and wait until it listens."""
        certificate, key = self._identity
        config = self._folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\ncafile {self._folder}/broker-ca.pem\ncertfile {certificate}\n"
            f"keyfile {key}\nrequire_certificate true\nuse_identity_as_username true\nallow_anonymous false\n"
            "persistence false\nuser root\n"
        )
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(config)], stdout=log, stderr=log)
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError((self._folder / "mosquitto.log").read_text())

    def stop(self) -> None:
        """Stop; every connection ends."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1, as the network's gateway would, and wait until the broker has it."""
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="gateway")
        client.tls_set_context(client_context(self._folder / "broker-ca.pem", *self._publisher))
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        try:
            client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)
        finally:
            client.disconnect()
            client.loop_stop()
