"""The virtual modem on a pseudo-terminal: the `opentsm` commands, and what other programs send to modems."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import termios
import tty
from typing import TYPE_CHECKING

import pytest

from card_cli import TEST_KEY
from door import door
from opentsm_agent.links import open_link
from opentsm_agent.links.modem import ModemLink
from opentsm_agent.links.modem_port import TtyPort, find_modems
from opentsm_card.errors import CardRemovedError, ProtocolError, TransportError
from opentsm_simulator import VirtualSe
from opentsm_simulator.config import load_config
from opentsm_simulator.modem_front import ModemFront

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ISSUER_DOMAIN = "A000000151000000"


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModemFront]:
    se = VirtualSe.create("uicc")
    front = ModemFront(se, str(tmp_path_factory.mktemp("modem") / "port"))
    front.start()
    yield front
    front.stop()


@pytest.mark.parametrize("way", ["csim", "ccho", "basic"])
def test_the_card_command_lists_the_card_in_a_modem(
    front: ModemFront, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    link = f"modem:{front.address}?apdu={way}"
    answer = door("card", "--link", link, "--key", TEST_KEY, "--test-card", "list", "--json")
    assert answer.code == 0, answer
    assert ISSUER_DOMAIN in answer.out


@pytest.mark.parametrize("way", ["csim", "ccho"])
def test_a_card_that_is_locked_under_the_link_is_unlocked_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    # A locked card has no channels but the basic one (GP Card Specification 2.3.1, 6.4.3).
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    front = ModemFront(VirtualSe.create("uicc"), str(tmp_path / "port"))
    front.start()
    select = bytes.fromhex("00A4040008A000000151000000")
    card = ("card", "--link", f"modem:{front.address}?apdu={way}", "--key", TEST_KEY, "--test-card")
    try:
        number = json.loads(door(*card, "info", "--json").out)["card"]
        lock = "lock --card\nsend 00A4040008A000000151000000\nreset\nunlock --card\n"
        assert door(*card, "--yes-card", number, "shell", stdin=lock.encode()).code == 0
        with open_link(f"modem:{front.address}?apdu={way}", 5) as link:
            assert isinstance(link, ModemLink)
            assert link.way == way
            assert link.transmit(select)[-2:] == b"\x90\x00"
        assert door(*card, "--yes-card", number, "lock", "--card").code == 0
        with open_link(f"modem:{front.address}?apdu={way}", 5) as link:
            assert isinstance(link, ModemLink)
            assert link.way == "basic"
            assert link.transmit(select)[-2:] == b"\x62\x83"
    finally:
        front.stop()


def test_ports_are_found_by_asking(front: ModemFront) -> None:
    assert find_modems(["/dev/no-such-port", front.address]) == [(front.address, "opentsm virtual modem")]


def test_a_port_is_for_one_program(front: ModemFront) -> None:
    with open_link(f"modem:{front.address}", 5), pytest.raises(TransportError, match="another program"):
        TtyPort(front.address, 115200)
    with pytest.raises(CardRemovedError, match="no-such-port"):
        TtyPort("/dev/no-such-port", 115200)


class Terminal:
    """A program of others at the port: writes, and reads until a result code."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.descriptor)
        termios.tcflush(self.descriptor, termios.TCIOFLUSH)

    def ask(self, command: bytes) -> bytes:
        os.write(self.descriptor, command)
        answer = b""
        # A line feed behind the command's end is echoed when the answer is already there.
        while not answer.endswith((b"\r\nOK\r\n", b"ERROR\r\n", b"\r\nOK\r\n\n", b"ERROR\r\n\n")):
            assert select.select([self.descriptor], [], [], 10)[0], answer
            answer += os.read(self.descriptor, 4096)
        return answer


@pytest.fixture
def terminal(front: ModemFront) -> Iterator[Terminal]:
    made = Terminal(front.address)
    # As a program finds it that is the first: echo, and errors without numbers.
    for command in (b"ATZ\r", b"ATE1\r"):
        made.ask(command)
    yield made
    os.close(made.descriptor)


def test_what_pysim_sends_and_takes(terminal: Terminal) -> None:
    # It finds out whether there is echo by exactly this answer, and wants each information line between blank ones.
    assert terminal.ask(b"AT\r") == b"AT\r\r\nOK\r\n"
    assert terminal.ask(b"ATZ\r") == b"ATZ\r\r\nOK\r\n"
    assert terminal.ask(b"AT+CSIM=?\r") == b"AT+CSIM=?\r\r\nOK\r\n"
    command = b'AT+CSIM=14,"00A4000C023F00"\r'
    assert terminal.ask(command) == command + b'\r\n+CSIM: 4,"9000"\r\n\r\nOK\r\n'


def test_what_lpac_sends_and_takes(terminal: Terminal) -> None:
    for command in (b"AT", b"AT+CCHO=?", b"AT+CCHC=?", b"AT+CGLA=?"):
        assert terminal.ask(command + b"\r\n").endswith(b"\r\nOK\r\n\n")
    opened = terminal.ask(f'AT+CCHO="{ISSUER_DOMAIN.lower()}"\r\n'.encode())
    handle = opened.split(b"+CCHO: ")[1].split(b"\r")[0]
    # It puts its own idea of a channel into CLA, which the modem replaces.
    answer = terminal.ask(b"AT+CGLA=" + handle + b',10,"83ca006600"\r\n')
    assert b'\r\n+CGLA: 106,"6631' in answer
    assert terminal.ask(b"AT+CCHC=" + handle + b"\r\n").endswith(b"\r\nOK\r\n\n")
    # A plain ERROR: +CME ERROR makes it wait for ever, and it never asks for that.
    assert terminal.ask(b"AT+CCHC=" + handle + b"\r\n").endswith(b"\r\nERROR\r\n\n")


def test_run_with_a_modem(tmp_path: Path) -> None:
    path = tmp_path / "modem"
    command = [sys.executable, "-m", "opentsm_tools.main", "se", "run", "--modem", str(path), "--modem-like", "FM350"]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            (told,) = json.loads(process.stdout.readline())["ses"]
            assert (told["profile"], told["modem"]) == ("uicc", str(path))
            with open_link(f"modem:{path}", 5) as link:
                assert link.transmit(bytes.fromhex("80CA006600"))[-2:] == b"\x90\x00"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not path.is_symlink()


@pytest.mark.parametrize("option", [("--modem-like", "nosuch"), ("--modem-faults", "burn@1")])
def test_run_refuses_what_is_no_modem(option: tuple[str, str]) -> None:
    answer = door("se", "run", "--modem", *option)
    assert answer.code == 4
    assert option[1] in answer.err


def test_a_modem_in_a_configuration_file(tmp_path: Path) -> None:
    file = tmp_path / "ses.toml"
    file.write_text(
        '[[se]]\nid = "a"\nprofile = "uicc"\nmodem = "port"\nmodem_like = "EG25"\nmodem_faults = "drop@9"\n'
    )
    (config,) = load_config(file)
    assert (config.modem, config.modem_like, config.modem_faults) == (str(tmp_path / "port"), "EG25", "drop@9")
    file.write_text('[[se]]\nid = "a"\nprofile = "uicc"\nmodem = "auto"\nmodem_like = "nosuch"\n')
    with pytest.raises(ProtocolError, match="nosuch"):
        load_config(file)
