"""Looking after the virtual SEs of other processes: `opentsm se list`, `show` and `reset`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from opentsm_card import tlv
from opentsm_card.errors import LinkTimeoutError, ProtocolError, TransportError
from opentsm_card.get_status import GetStatus, Scope
from opentsm_card.install import InstallForInstall
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.lifecycle import CardState
from opentsm_card.set_status import SetStatus
from opentsm_simulator.cli import se as se_command
from opentsm_simulator.config import SeConfig
from opentsm_simulator.control import ControlServer, ask, ask_all, runtime_folder
from opentsm_simulator.host import Host
from sd_host import BANK, CARD_1, CRS, ISD, ISD_KEYS, PAYMENT_MODULE, PAYMENT_PACKAGE, PPSE, keys, payment_parameters
from sd_host import Host as CardHost

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENTSM_RUNTIME_DIR", str(tmp_path / "run"))
    return runtime_folder()


@pytest.fixture
def host() -> Iterator[Host]:
    configs = [SeConfig("ese", "embedded", tcp=("127.0.0.1", 0)), SeConfig("sim", "uicc")]
    with Host(configs, controlled=True) as running:
        yield running


def run(*words: str) -> str:
    result = CliRunner().invoke(se_command, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def answer(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


class TestList:
    def test_what_runs(self, host: Host) -> None:
        ses = answer("list")["ses"]
        assert [(se["id"], se["profile"], se["pid"]) for se in ses] == [
            ("ese", "embedded", os.getpid()),
            ("sim", "uicc", os.getpid()),
        ]
        assert host.ses[0].tcp is not None
        assert ses[0]["tcp"] == host.ses[0].tcp.address
        assert all(se["uptime_s"] >= 0 for se in ses)
        head, *rows = run("list").splitlines()
        assert head.split() == ["ID", "PROFILE", "UP", "PID", "REACHED", "BY"]
        assert [row.split()[:2] for row in rows] == [["ese", "embedded"], ["sim", "uicc"]]
        assert ses[0]["tcp"] in rows[0]

    def test_nothing_runs(self) -> None:
        assert answer("list") == {"ses": []}
        assert "opentsm se run" in run("list")

    def test_profiles(self) -> None:
        names = {profile["name"] for profile in answer("list", "--profiles")["profiles"]}
        assert {"embedded", "uicc"} <= names
        assert answer("profiles") == answer("list", "--profiles")

    def test_hosts_of_several_processes(self, host: Host) -> None:
        program = Path(sys.executable).parent / "opentsm"
        with subprocess.Popen(
            [program, "se", "run", "--profile", "uicc", "--id", "ese", "--json"], stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            assert json.loads(other.stdout.readline())["ready"]
            assert sorted(se["pid"] for se in answer("list")["ses"] if se["id"] == "ese") == sorted(
                [os.getpid(), other.pid]
            )
            with pytest.raises(ProtocolError, match="choose with --pid"):
                run("show", "ese")
            assert answer("show", "ese", "--pid", str(other.pid))["profile"] == "uicc"
            assert answer("show", "ese", "--pid", str(os.getpid()))["profile"] == "embedded"
            other.send_signal(signal.SIGKILL)
            other.wait(20)
        assert len(list(runtime_folder().iterdir())) == 2
        assert [se["id"] for se in answer("list")["ses"]] == ["ese", "sim"]
        assert len(list(runtime_folder().iterdir())) == 1  # what the killed one left is gone
        host.close()
        assert list(runtime_folder().iterdir()) == []


class TestShow:
    def test_the_registry_as_the_open_knows_it(self, host: Host) -> None:
        shown = answer("show", "sim")
        assert shown["card"] == {"state": "SECURED", "contactless_interface": "on"}
        assert [domain["aid"] for domain in shown["domains"]] == ["A000000151000000", "F06F70656E74736D0001"]
        issuer, central = shown["domains"]
        assert (issuer["issuer"], central["issuer"], central["domain"]) == (True, False, issuer["aid"])
        assert central["state"] == "PERSONALIZED"
        assert "AUTHORIZED_MANAGEMENT" in central["privileges"]
        assert central["keys"] == [{"version": 0x30, "id": key, "components": ["88:16"]} for key in (1, 2, 3)]
        assert [(application["aid"], application["contactless"]) for application in shown["applications"]] == [
            (bytes(PPSE).hex().upper(), "ACTIVATED"),
            (bytes(CRS).hex().upper(), "NON_ACTIVATABLE"),
        ]
        assert {load_file["version"] for load_file in shown["load_files"]} == {"1.0"}
        memory = shown["memory"]
        assert 0 < memory["non_volatile_free_bytes"] < memory["non_volatile_bytes"]
        assert 0 < memory["volatile_free_bytes"] < memory["volatile_bytes"]
        assert shown["effects"] == []
        text = run("show", "sim")
        assert host.ses[1].se.profile.keys["isd"].enc.lower() not in (text + json.dumps(shown)).lower()
        for name in ("F06F70656E74736D0001 PERSONALIZED", "keys: 0x30 (01/88:16", bytes(CRS).hex().upper()):
            assert name in text

    def test_what_was_done_is_seen_and_nothing_is_disturbed(self, host: Host) -> None:
        card = CardHost(host.ses[0].se.link()).into(ISD, ISD_KEYS)
        card.new_domain(BANK)
        card.new_payment(CARD_1)
        shown = answer("show", "ese")
        domain = shown["domains"][1]
        assert (domain["aid"], domain["state"], domain["keys"]) == (bytes(BANK).hex().upper(), "SELECTABLE", [])
        assert shown["domains"][0]["selected_on"] == ["C0"]
        assert f"install {bytes(CARD_1).hex().upper()}" in shown["effects"]
        card.done(SetStatus.lock(CARD_1))  # in the session that was open before
        assert answer("show", "ese")["applications"][-1]["state"] == "LOCKED"

    def test_parameters_of_an_installation(self, host: Host) -> None:
        contactless = tlv.Tlv(0xA0, bytes.fromhex("810101 A503820140".replace(" ", "")))
        shown = tlv.Tlv(0xA1, bytes.fromhex("7F20065F5003757269") + tlv.encode(0xA3, tlv.encode(0x4F, CRS)))
        memory = (tlv.Tlv(0x82, b"\x01\x00"), tlv.Tlv(0x83, b"\x02\x00"))
        parameters = InstallParameters(
            application=payment_parameters()[2:],
            nonvolatile_quota_bytes=4000,
            implicit_selection=0x81,
            system=(contactless, shown, *memory),
        )
        CardHost(host.ses[0].se.link()).into(ISD, ISD_KEYS).new_payment(CARD_1, parameters.encode())
        application = answer("show", "ese")["applications"][-1]
        assert (application["contactless"], application["implicit_selection"]) == ("ACTIVATED", "81")
        assert application["contactless_parameters"] == {
            "listeners": [bytes(CRS).hex().upper()],
            "access": {"own": "40"},
            "uri": b"uri".hex(),
            "discretionary_data": payment_parameters()[2:-3].hex().upper(),
        }
        assert application["memory"] == {
            "non_volatile_quota_bytes": 4000,
            "volatile_granted_bytes": 256,
            "non_volatile_granted_bytes": 512,
        }
        assert f"    listeners: {bytes(CRS).hex().upper()}" in run("show", "ese").splitlines()

    def test_a_locked_card_still_shows_its_keys(self, host: Host) -> None:
        card = CardHost(host.ses[0].se.link()).into(ISD, ISD_KEYS)
        card.done(SetStatus.card(CardState.CARD_LOCKED))
        shown = answer("show", "ese")
        assert shown["card"]["state"] == "CARD_LOCKED"
        assert len(shown["domains"][0]["keys"]) == 3

    def test_one_that_does_not_run(self, host: Host) -> None:
        del host
        with pytest.raises(ProtocolError, match="no SE named 'other' runs here; there are: ese, sim"):
            run("show", "other")


class TestReset:
    def test_a_reset_ends_what_is_under_way(self, host: Host) -> None:
        card = CardHost(host.ses[0].se.link()).into(ISD, ISD_KEYS)
        card.new_payment(CARD_1)
        assert run("reset", "ese") == "ese: reset\n"
        assert card.session is not None
        secured = card.session.wrap(GetStatus.everything(Scope.APPLICATIONS).apdu())
        assert card.raw(secured.encode()).sw == 0x6982
        assert CardHost(card.link).into(ISD, ISD_KEYS).entry(CARD_1) is not None

    def test_power_is_cut_until_a_reset(self, host: Host) -> None:
        se = host.ses[0].se
        with se.link() as link:
            card = CardHost(link).into(ISD, ISD_KEYS)
            assert answer("cut", "ese", "--at-write", "1")["at_write"] == 1
            with pytest.raises(LinkTimeoutError):
                card.done(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, parameters=payment_parameters()))
            assert answer("show", "ese")["power"] == "cut"
            assert "power: cut" in run("show", "ese")
            run("reset", "ese")
            shown = answer("show", "ese")
            assert shown["power"] == "on"
            assert CARD_1.hex().upper() not in {each["aid"] for each in shown["applications"]}
            assert "not cut" in run("cut", "ese", "--at-write", "0")

    def test_the_hottest_addresses_are_shown(self) -> None:
        with Host([SeConfig("worn", "embedded", tcp=("127.0.0.1", 0), wear=True)], controlled=True) as host:
            with host.ses[0].se.link() as link:
                card = CardHost(link).into(ISD, ISD_KEYS)
                card.done(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, parameters=payment_parameters()))
            shown = answer("show", "worn")
            assert shown["writes"] > 0
            counts = [spot["writes"] for spot in shown["hottest"]]
            assert counts == sorted(counts, reverse=True)
            assert f"writes: {shown['writes']}; the hottest addresses" in run("show", "worn")

    def test_as_it_was_delivered(self, host: Host, tmp_path: Path) -> None:
        se = host.ses[0].se
        se.log_effects(str(tmp_path / "effects"))
        card = CardHost(se.link()).into(ISD, ISD_KEYS)
        card.put_keys(keys(0x31, 1)).require("PUT KEY")
        card.new_payment(CARD_1)
        assert answer("reset", "ese", "--new")["id"] == "ese"
        assert answer("show", "ese")["effects"] == []
        assert CardHost(card.link).into(ISD, ISD_KEYS).entry(CARD_1) is None  # the link goes on, with the new card
        card.into(ISD, ISD_KEYS).new_payment(CARD_1)
        assert (tmp_path / "effects").read_text().count(f"install {bytes(CARD_1).hex().upper()}") == 2


class TestDoor:
    """Who may ask, and what is not understood."""

    def test_its_files_are_its_owner_s_alone(self, host: Host, folder: Path) -> None:
        del host
        (path,) = folder.iterdir()
        assert [place.stat().st_mode & 0o777 for place in (folder.parent, folder, path)] == [0o700, 0o700, 0o600]

    def test_a_folder_that_others_can_enter_is_not_used(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        for use in (lambda: ControlServer(dict), lambda: list(ask_all({"do": "list"}))):
            with pytest.raises(TransportError, match="not a folder of this user alone"):
                use()

    def test_ses_run_all_the_same(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        with Host([SeConfig("ese", "embedded", tcp=("127.0.0.1", 0))], controlled=True) as running:
            assert running.uncontrolled is not None
            assert str(folder) in running.uncontrolled
            assert running.ses[0].se.link().transmit(bytes.fromhex("80CA006600"))[-2:] == b"\x90\x00"
        assert list(folder.iterdir()) == []

    def test_a_link_to_a_folder_is_not_used(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.parent.mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(TransportError, match="not a folder"):
            ControlServer(dict)

    def test_a_path_that_is_too_long(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("OPENTSM_RUNTIME_DIR", str(tmp_path / ("x" * 120)))
        with pytest.raises(TransportError, match="too long"):
            ControlServer(dict)

    @pytest.mark.parametrize(
        "request_",
        [
            {},
            {"do": "stop"},
            {"do": "cut", "id": "ese"},
            {"do": "cut", "id": "ese", "at_write": -1},
            {"do": 1},
            {"do": "show"},
            {"do": "show", "id": None},
            {"do": "reset", "id": []},
        ],
    )
    def test_requests_that_mean_nothing(self, host: Host, folder: Path, request_: dict[str, Any]) -> None:
        del host
        (path,) = folder.iterdir()
        with pytest.raises(ProtocolError, match=r"a request is|no SE named|there is no write"):
            ask(path, request_)

    @pytest.mark.parametrize("line", [b"", b"\n", b"[]\n", b"{\n", b"\xff\n", b"[" * 4000 + b"\n", b"x" * 100_000])
    def test_lines_that_are_no_requests(self, host: Host, folder: Path, line: bytes) -> None:
        (path,) = folder.iterdir()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            connection.sendall(line)
            connection.shutdown(socket.SHUT_WR)
            received = connection.recv(1000)
        assert received == b"" or "error" in json.loads(received)
        assert len(answer("list")["ses"]) == len(host.ses)
