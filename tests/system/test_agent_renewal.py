"""A certificate that ends is renewed in time; on a device without a clock the TSM tells the time."""

from __future__ import annotations

import datetime as dt
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent_peers import SE_ID, Authority, CountingCard, Peer, stop_order, write_config
from opentsm_agent.agent import Agent
from opentsm_agent.clock import DeviceClock, UntimelyCertificateError, certificate_from_pem, validity
from opentsm_agent.config import load_config
from opentsm_agent.events import Events
from opentsm_agent.http import HttpsClient, client_context
from opentsm_agent.renewal import Renewal, due_at
from opentsm_card.errors import ProtocolError

DAY = dt.timedelta(days=1)


class Rig:
    """An agent's configuration, a TSM that renews, and a card."""

    def __init__(self, folder: Path, **life: dt.timedelta) -> None:
        self.folder = folder
        self.authority = Authority()
        self.peer = Peer(folder, self.authority, client_ca=self.authority)
        self.peer.enrol = self.renew
        self.card = CountingCard()
        self.config = write_config(folder, self.authority, self.peer.url, self.peer.url, self.card.uri)
        identity = load_config(self.config).identity
        made, key = self.authority.write(folder, "made", "device", **life)
        identity.certificate.write_bytes(made.read_bytes())
        Path(identity.key).write_bytes(key.read_bytes())
        self.certificate = identity.certificate
        self.key = key.read_bytes()
        self.issuer = self.authority

    def renew(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        key = x509.load_pem_x509_csr(request["csr"].encode()).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        certificate = self.issuer.issue(key, "device", end=30 * DAY).decode()
        return 200, {"certificate": certificate, "ca": self.authority.pem.decode(), "ses": [SE_ID]}

    def ends_in_days(self) -> float:
        _, end = validity(certificate_from_pem(self.certificate.read_bytes(), "it"))
        return (end - time.time()) / 86400


@pytest.fixture
def ageing(tmp_path: Path) -> Rig:
    """A certificate of which nine tenths are over."""
    return Rig(tmp_path, begin=-9 * DAY, end=DAY)


def test_two_thirds_of_a_certificate_s_life_are_lived(tmp_path: Path) -> None:
    certificate, _ = Authority().write(tmp_path, "c", "device", begin=-2 * DAY, end=4 * DAY)
    assert abs(due_at(certificate) - (time.time() + 2 * 86400)) < 10
    with pytest.raises(ProtocolError, match="No such file"):
        due_at(tmp_path / "none")
    (tmp_path / "text").write_text("text")
    with pytest.raises(ProtocolError, match="no certificate in PEM"):
        due_at(tmp_path / "text")


def test_a_running_agent_renews_in_time_and_goes_on(ageing: Rig) -> None:
    log = io.StringIO()
    events = Events(log, as_json=True)
    agent = Agent(load_config(ageing.config), events)
    agent.start()
    renewal = Renewal(agent, ageing.config, ageing.certificate, events, every_s=0.05)
    try:
        ageing.peer.wait_until(lambda: any(path == "/renew" for _, path, _ in ageing.peer.requests))
        deadline = time.monotonic() + 20
        while "certificate-renewed" not in log.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert ageing.ends_in_days() > 29
        assert (
            (ageing.folder / "made.key").read_bytes()
            == ageing.key
            == Path(load_config(ageing.config).identity.key).read_bytes()
        )
        ageing.peer.orders = [stop_order(1)]
        ageing.peer.wakeups.append("a-session")
        ageing.peer.wait_until(lambda: len(ageing.peer.reports()) >= 1)
    finally:
        renewal.stop()
        agent.stop()
    told = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert told.count("certificate-renewed") == 1
    assert "detached" not in told


def test_a_renewal_that_fails_is_told_and_changes_nothing(ageing: Rig) -> None:
    before = ageing.certificate.read_bytes()
    ageing.issuer = Authority("another CA")
    log = io.StringIO()
    events = Events(log, as_json=True)
    agent = Agent(load_config(ageing.config), events)
    renewal = Renewal(agent, ageing.config, ageing.certificate, events, every_s=0.05)
    deadline = time.monotonic() + 20
    while "certificate-not-renewed" not in log.getvalue() and time.monotonic() < deadline:
        time.sleep(0.02)
    renewal.stop()
    assert "does not come from the CA" in log.getvalue()
    assert ageing.certificate.read_bytes() == before


def test_a_young_certificate_is_left_alone(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    events = Events(io.StringIO())
    renewal = Renewal(Agent(load_config(rig.config), events), rig.config, rig.certificate, events, every_s=0.01)
    time.sleep(0.2)
    renewal.stop()
    assert not rig.peer.requests


def test_the_command_renews(ageing: Rig) -> None:
    command = [sys.executable, "-m", "opentsm_tools.main", "agent", "renew", "--json", "--config", str(ageing.config)]
    ended = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(ended.stdout) == {"renewed": True, "secure_elements": [SE_ID]}
    assert ageing.ends_in_days() > 29


class TestWithoutAClock:
    """The system's clock is not looked at: these certificates are good or not by what the TSM told."""

    def client(self, rig: Rig, clock: DeviceClock) -> HttpsClient:
        identity = load_config(rig.config).identity
        context = client_context(identity.ca, identity.certificate, identity.key, clock=clock)
        return HttpsClient(rig.peer.url, context, clock=clock, teaches=True)

    def test_time_comes_from_the_tsm_and_is_kept_as_a_floor(self, tmp_path: Path) -> None:
        clock = DeviceClock(tmp_path / "floor")
        assert clock.now() < 60
        with self.client(Rig(tmp_path), clock) as client:
            client.request("GET", "/ca")
        assert clock.known
        assert abs(clock.now() - time.time()) < 5
        again = DeviceClock(tmp_path / "floor")
        assert not again.known
        assert abs(again.now() - time.time()) < 5

    def test_a_certificate_that_was_over_before_the_floor_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "floor").write_text(f"{int(time.time()) - 3600}\n")
        rig = Rig(tmp_path)
        rig.peer.close()
        rig.peer = Peer(tmp_path, rig.authority, client_ca=rig.authority, begin=-9 * DAY, end=-DAY)
        client = self.client(rig, DeviceClock(tmp_path / "floor"))
        with client, pytest.raises(UntimelyCertificateError, match="ended at"):
            client.request("GET", "/ca")

    def test_one_that_begins_after_the_floor_is_taken_until_the_time_is_known(self, tmp_path: Path) -> None:
        (tmp_path / "floor").write_text("1000000000\n")
        clock = DeviceClock(tmp_path / "floor")
        with self.client(Rig(tmp_path), clock) as client:
            client.request("GET", "/ca")
        young = certificate_from_pem(
            Authority().issue(ec.generate_private_key(ec.SECP256R1()).public_key(), begin=DAY, end=2 * DAY), "it"
        )
        with pytest.raises(UntimelyCertificateError, match="begins at"):
            clock.check(young, "peer")

    def test_time_never_goes_back(self, tmp_path: Path) -> None:
        clock = DeviceClock(tmp_path / "floor")
        clock.learn("Fri, 27 Nov 2026 12:00:00 GMT")
        clock.learn("Thu, 26 Nov 2026 12:00:00 GMT")
        assert 0 <= clock.now() - 1795780800 < 5
        for other in (None, "", "yesterday", "Fri, 99 Nov 2026 12:00:00 GMT"):
            clock.learn(other)
        assert 0 <= clock.now() - 1795780800 < 5

    def test_without_it_the_system_s_clock_decides(self, tmp_path: Path) -> None:
        rig = Rig(tmp_path)
        rig.peer.close()
        rig.peer = Peer(tmp_path, rig.authority, client_ca=rig.authority, begin=-9 * DAY, end=-DAY)
        identity = load_config(rig.config).identity
        context = client_context(identity.ca, identity.certificate, identity.key)
        with HttpsClient(rig.peer.url, context) as client, pytest.raises(Exception, match="expired"):
            client.request("GET", "/ca")

    @pytest.mark.parametrize("text", ["", "now", "-5", "1" * 13])
    def test_a_floor_that_is_no_time_is_an_error(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "floor").write_text(text)
        with pytest.raises(ProtocolError, match="to begin anew, delete it"):
            DeviceClock(tmp_path / "floor")
