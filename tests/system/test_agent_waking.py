"""How the agent is woken beside the gateway's long poll: MQTT, SMS, a timer, a signal; and several SEs at once."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from agent_peers import SE_ID, Authority, CountingCard, Peer, se_order, stop_order, write_config
from mqtt_broker import Broker
from opentsm_agent.agent import Agent
from opentsm_agent.config import load_config
from opentsm_agent.events import Events
from opentsm_agent.timers import SYSTEM, FastTimers, Timers
from opentsm_card.sms_deliver import Address, SmsDeliver
from opentsm_tsm import tls
from opentsm_tsm.gateway_messages import PushRequest
from opentsm_tsm.mno.app import create_app
from opentsm_tsm.mno.broker import Broker as MnoBroker
from opentsm_tsm.mno.config import Device, Gateway, MnoConfig, Mqtt, Peers, TlsFiles
from opentsm_tsm.mno.hub import Hub
from opentsm_tsm.mno.store import MnoStore
from opentsm_tsm.wire import encode
from sms_modem import SmsModem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SELECT = "00A4040007A0000001515350"
PORT = 16520


class Rig:
    """An agent, its TSM and gateway, and a card."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.peer = Peer(folder, self.authority, client_ca=self.authority)
        self.peer.orders = [stop_order(1)]
        self.card = CountingCard()
        self.path = write_config(folder, self.authority, self.peer.url, self.peer.url, self.card.uri)
        self.log = io.StringIO()
        self.agent: Agent | None = None

    def start(self, sections: str, timers: Timers = SYSTEM) -> Agent:
        text = self.path.read_text()
        self.path.write_text(text if sections in text else text + sections)
        self.agent = Agent(load_config(self.path), Events(self.log, as_json=True), timers=timers)
        self.agent.start()
        return self.agent

    def stop(self) -> None:
        if self.agent is not None:
            self.agent.stop()
            self.agent = None

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for line in self.log.getvalue().splitlines() if (event := json.loads(line))["event"] == name]

    def wait_for(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        waiting = threading.Event()
        for _ in range(1000):
            if len(found := self.events(name)) >= count:
                return found
            waiting.wait(0.02)
        raise AssertionError(f"no {count} x {name}: {self.log.getvalue()}")

    def wait_attached(self, source: str) -> None:
        waiting = threading.Event()
        for _ in range(1000):
            if any(source in event["gateway"] for event in self.events("attached")):
                return
            waiting.wait(0.02)
        raise AssertionError(self.log.getvalue())

    def sessions(self) -> list[str]:
        return [query.partition("=")[2] for query, path, _ in self.peer.requests if path == "/gp/seram/handshake"]

    def wait_session(self, session: str) -> None:
        self.peer.wait_until(lambda: session in self.sessions())


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.peer.close()
    rig.stop()
    rig.card.close()


TOPIC = f"opentsm/{SE_ID}/wake"


def wake_up(session: str) -> bytes:
    return json.dumps({"session": session}).encode()


class TestMqtt:
    @pytest.mark.parametrize("version", ["3.1.1", "5"])
    def test_a_message_wakes_and_one_sent_while_the_device_was_off_wakes_later(self, rig: Rig, version: str) -> None:
        with Broker(rig.folder, rig.authority) as broker:
            sections = broker.section + f'version = "{version}"\n'
            rig.start(sections)
            rig.wait_attached("mqtt")
            broker.publish(TOPIC, wake_up("first"))
            rig.wait_session("first")
            rig.stop()
            broker.publish(TOPIC, wake_up("while-off"))
            rig.start(sections)
            rig.wait_session("while-off")
            rig.stop()
        assert rig.sessions() == ["first", "while-off"]
        assert {event["source"] for event in rig.events("wake-up")} == {"mqtt"}

    def test_the_network_s_gateway_wakes_a_device_at_the_broker(self, rig: Rig) -> None:
        with Broker(rig.folder, rig.authority) as broker:
            rig.start(broker.section)
            rig.wait_attached("mqtt")
            tsm = x509.load_pem_x509_certificate((rig.folder / "publisher.pem").read_bytes())
            files = {"certificate": "publisher.pem", "key": "publisher.key"}
            config = MnoConfig(
                mno=Gateway(id="north"),
                tls=TlsFiles(**files, client_cas=("broker-ca.pem",)),
                peers=Peers(tsm=(tsm.fingerprint(hashes.SHA256()).hex(),)),
                mqtt=Mqtt(broker=f"mqtts://127.0.0.1:{broker.port}", ca="broker-ca.pem", **files),
                device=(Device(se=SE_ID),),
            )
            assert config.mqtt is not None
            publisher = MnoBroker(config.mqtt, rig.folder, "opentsm-mno-north")
            store = MnoStore(rig.folder / "mno.sqlite")
            app = create_app(config, Hub(1.0), store, None, publisher)
            context = tls.server_context(
                rig.folder / "broker.pem", rig.folder / "broker.key", [rig.folder / "broker-ca.pem"]
            )
            trusts = tls.client_context(
                rig.folder / "publisher.pem", rig.folder / "publisher.key", [rig.folder / "broker-ca.pem"]
            )
            push = encode(PushRequest(se=SE_ID, session="over-the-broker"))
            with tls.serving(app, context) as port, httpx.Client(verify=trusts, trust_env=False) as client:
                url = f"https://127.0.0.1:{port}/push"
                waiting = threading.Event()
                for _ in range(200):
                    if (status := client.post(url, content=push).status_code) == 202:
                        break
                    waiting.wait(0.05)
                assert status == 202
                rig.wait_session("over-the-broker")
                broker.stop()
                for _ in range(200):
                    if (status := client.post(url, content=push).status_code) == 504:
                        break
                    waiting.wait(0.05)
                assert status == 504, "a push that reaches nobody must fail"
            rig.stop()
            publisher.close()
            store.close()

    def test_a_broker_that_was_gone_is_found_again(self, rig: Rig) -> None:
        with Broker(rig.folder, rig.authority) as broker:
            rig.start(broker.section, FastTimers(20))
            rig.wait_attached("mqtt")
            broker.stop()
            rig.wait_for("detached", 3)
            broker.start()
            attached = len([event for event in rig.events("attached") if "mqtt" in event["gateway"]])
            waiting = threading.Event()
            for _ in range(500):
                if len([event for event in rig.events("attached") if "mqtt" in event["gateway"]]) > attached:
                    break
                waiting.wait(0.02)
            broker.publish(TOPIC, wake_up("again"))
            rig.wait_session("again")
            rig.stop()

    def test_what_is_no_wake_up_is_told_and_ignored(self, rig: Rig) -> None:
        with Broker(rig.folder, rig.authority) as broker:
            rig.start(broker.section)
            rig.wait_attached("mqtt")
            for payload in (b"", b"{", b'{"session":""}', b'{"session":1}', b"\xff" * 300):
                broker.publish(TOPIC, payload)
            broker.publish("opentsm/another/wake", wake_up("not-ours"))
            broker.publish(TOPIC, wake_up("good"))
            rig.wait_session("good")
            assert len(rig.events("wake-up-ignored")) == 5
            rig.stop()
            broker.publish(TOPIC, wake_up("kept"), retain=True)
        assert rig.sessions() == ["good"]

    def test_a_device_that_the_broker_does_not_know_says_why(self, rig: Rig, tmp_path: Path) -> None:
        with Broker(rig.folder, rig.authority) as broker:
            other = tmp_path / "other"
            other.mkdir()
            stranger = Authority("another")
            certificate, key = stranger.write(other, "device", "device")
            text = rig.path.read_text()
            rig.path.write_text(text.replace('"device.pem"', f'"{certificate}"').replace('"device.key"', f'"{key}"'))
            rig.start(broker.section, FastTimers(20))
            assert any("mqtt" in event["error"] for event in rig.wait_for("detached", 4))
            rig.stop()


def sms(data: bytes, port: int = PORT, sender: str = "+491700000000") -> SmsDeliver:
    header = ((0x05, port.to_bytes(2, "big") + (0).to_bytes(2, "big")),)
    return SmsDeliver(Address.of(sender), data, header, centre=Address.of("+491710760000"))


class TestSms:
    def test_a_message_to_the_port_wakes_whatever_else_the_modem_says(self, rig: Rig) -> None:
        with SmsModem() as modem:
            rig.start(f'[wake.sms]\nport = "{modem.path}"\nsenders = ["+491700000000"]\n')
            modem.wait_for("AT+CNMI=2,2,0,0,0")
            rig.wait_attached("sms")
            modem.say("+CREG: 1")
            modem.deliver(sms(b"to-another-port", port=PORT + 1))
            modem.deliver(sms(b"from-a-stranger", sender="+491700000666"))
            modem.say("+CMT: ,24\r\n07911326040000F0040B911346610089F60000208062917314080CC8F71D14969741F977FD07")
            modem.deliver(sms(b"with a space"))
            modem.deliver(sms(b"good"))
            rig.wait_session("good")
            assert rig.sessions() == ["good"]
            assert len(rig.events("wake-up-ignored")) == 2
            rig.stop()
        assert "AT+CMGF=0" in modem.commands

    def test_a_modem_that_comes_later_is_found(self, rig: Rig, tmp_path: Path) -> None:
        link = tmp_path / "modem"
        rig.start(f'[wake.sms]\nport = "{link}"\n', FastTimers(50))
        rig.wait_for("detached")
        with SmsModem() as modem:
            link.symlink_to(modem.path)
            rig.wait_attached("sms")
            modem.deliver(sms(b"later"))
            rig.wait_session("later")
            rig.stop()


class TestTimerAndSignal:
    def test_on_a_timer_the_gateway_is_asked_and_nothing_is_held(self, rig: Rig) -> None:
        rig.start("[wake]\nevery_s = 100\n", FastTimers(1000))
        rig.peer.wait_until(lambda: len(rig.peer.requests) >= 5)
        assert {query for query, path, _ in rig.peer.requests if path == "/attach"} == {"wait=0"}
        rig.peer.wakeups.append("timed")
        rig.wait_session("timed")

    def test_a_nudge_has_the_gateway_asked_before_its_time(self, rig: Rig) -> None:
        agent = rig.start("[wake]\nevery_s = 3600\n")
        rig.wait_attached("127.0.0.1")
        rig.peer.wakeups.append("nudged")
        agent.hurry()
        rig.wait_session("nudged")

    def test_sigusr1_does_the_same_and_ends_nothing(self, rig: Rig) -> None:
        rig.path.write_text(rig.path.read_text() + "[wake]\nevery_s = 3600\n")
        command = [sys.executable, "-m", "opentsm_tools.main", "agent", "run", "--json", "--config", str(rig.path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if '"attached"' in line:
                    break
            for session in ("one", "two"):
                rig.peer.wakeups.append(session)
                os.kill(process.pid, signal.SIGUSR1)
                rig.wait_session(session)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        assert process.returncode == 0


def test_sessions_of_several_secure_elements_run_at_once(rig: Rig) -> None:
    with CountingCard() as second:
        rig.path.write_text(
            rig.path.read_text() + f'[[se]]\nid = "second"\ntype = "uicc"\nlink = "{second.uri}"\ntimeout_s = 10\n'
        )
        both = threading.Barrier(2, timeout=10)

        def meet(_number: int, _c_apdu: bytes) -> None:
            both.wait()  # neither card answers before the other one has its command

        rig.card.hook = second.hook = meet
        for session, element in (
            ("first", {"seType": "eSE", "seId": SE_ID}),
            ("other", {"seType": "uicc", "seId": "second"}),
        ):
            order = se_order(1, [SELECT]) | {"chosenSecureElement": element}
            rig.peer.orders_of[session] = [order, stop_order(2)]
            rig.peer.wakeups.append(session)
        agent = rig.start("")
        rig.peer.wait_until(
            lambda: sum(report.get("opentsm", {}).get("order") == 1 for report in rig.peer.reports()) == 2
        )
        for report in rig.peer.reports():
            if "ramResponses" in report:
                assert report["ramResponses"][0]["answered"] == 1
        assert (len(rig.card.run), len(second.run)) == (1, 1)
        for _, thread in list(agent._sessions.values()):
            thread.join(10)
