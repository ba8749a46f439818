"""The card in a modem that ModemManager has: over a private D-Bus, with a service that does as ModemManager does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from card_cli import TEST_KEY
from door import door, refused
from modem_line import T0_ATR, CountingCard
from modem_manager import MODEM, ModemManager, PrivateBus
from opentsm_agent.links import check_uri, open_link
from opentsm_agent.links.modem import ModemLink
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError
from opentsm_simulator import VirtualSe
from opentsm_simulator.modem import STANDARD, VirtualModem, find_modem
from opentsm_simulator.modem_faults import ModemFaults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IMEI = "356938035643809"
ECHO = bytes.fromhex("8010000003AABBCC00")
ECHOED = bytes.fromhex("AABBCC9000")


@pytest.fixture
def bus(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    made = PrivateBus(tmp_path_factory.mktemp("bus"))
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", made.address)
    yield made
    made.close()


@pytest.fixture
def manager(bus: PrivateBus) -> Iterator[Callable[..., ModemManager]]:
    made: list[ModemManager] = []
    assert os.environ["DBUS_SYSTEM_BUS_ADDRESS"] == bus.address

    def make(*modems: VirtualModem, imeis: tuple[str, ...] = (), debug: bool = True) -> ModemManager:
        paths = {MODEM[:-1] + str(number): modem for number, modem in enumerate(modems)}
        made.append(ModemManager(paths, imeis, debug=debug))
        return made[-1]

    yield make
    for each in made:
        each.close()


def modem(card: CountingCard, like: str | None = None, faults: str | None = None) -> VirtualModem:
    lines = ModemFaults.parse(faults) if faults else None
    return VirtualModem(card, T0_ATR, find_modem(like) if like else STANDARD, lines)


@pytest.mark.parametrize("which", ["auto", MODEM, IMEI])
def test_the_card_command_reads_it(
    manager: Callable[..., ModemManager],
    which: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    se = VirtualSe.create("uicc")
    manager(VirtualModem(se.link(), se.atr), imeis=(IMEI,))
    answer = door("card", "--link", f"modemmanager:{which}", "--key", TEST_KEY, "--test-card", "list", "--json")
    assert answer.code == 0, answer
    assert "A000000151000000" in json.dumps(json.loads(answer.out))


@pytest.mark.parametrize(
    ("query", "like", "way"),
    [
        ("", None, "ccho"),
        ("?apdu=csim", None, "csim"),
        ("?apdu=basic", None, "basic"),
        ("", "FM350", "ccho"),
        ("", "IK41", "basic"),
        ("", "no-space,no-quotes,long-handle", "ccho"),
    ],
)
def test_all_ways_and_the_channel_is_given_back(
    manager: Callable[..., ModemManager], query: str, like: str | None, way: str
) -> None:
    card = CountingCard()
    asked = manager(modem(card, like)).asked
    with open_link(f"modemmanager:auto{query}", 5) as link:
        assert isinstance(link, ModemLink)
        assert link.way == way
        assert link.transmit(ECHO) == ECHOED
        assert link.transmit(bytes.fromhex("8012000000")) == bytes(256) + b"\x90\x00"
        link.reset()
        assert link.transmit(ECHO) == ECHOED
    assert card.open == set()
    assert len([command for command in card.ran if command[1] == 0x10]) == 2
    # The modem is ModemManager's: nothing of how it is set up is changed.
    assert not any(command.startswith(("ATE", "ATZ", "AT+CMEE", "AT+CFUN")) for command in asked)


def test_a_modem_is_found_by_its_imei_among_several(manager: Callable[..., ModemManager]) -> None:
    cards = CountingCard(), CountingCard()
    manager(*map(modem, cards), imeis=("111111111111111", IMEI))
    with open_link(f"modemmanager:{IMEI}", 5) as link:
        link.transmit(ECHO)
    assert [len(card.ran) for card in cards] == [0, 1]
    with pytest.raises(TransportError, match=r"Modem/0, .*Modem/1: name one"):
        open_link("modemmanager:auto", 5)
    with pytest.raises(CardRemovedError, match=r"no modem with this IMEI; it has .*Modem/0, .*Modem/1"):
        open_link("modemmanager:222222222222222", 5)
    with pytest.raises(CardRemovedError, match="no such modem"):
        open_link(f"modemmanager:{MODEM[:-1]}7", 5)


def test_without_leave_it_says_how_to_get_it(manager: Callable[..., ModemManager]) -> None:
    card = CountingCard()
    manager(modem(card), debug=False)
    assert "gives no AT commands on; it does with --debug" in refused(3, "card", "--link", "modemmanager:auto", "info")
    assert card.ran == []


@pytest.mark.usefixtures("bus")
def test_without_modem_manager() -> None:
    assert "ModemManager does not run" in refused(3, "card", "--link", "modemmanager:auto", "info")


def test_without_a_modem(manager: Callable[..., ModemManager]) -> None:
    manager()
    assert "ModemManager has no modem" in refused(3, "card", "--link", "modemmanager:auto", "info")


def test_without_a_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    assert "no D-Bus system bus answers" in refused(3, "card", "--link", "modemmanager:auto", "info")


def test_without_a_card(manager: Callable[..., ModemManager]) -> None:
    class Gone(CountingCard):
        def transmit(self, command: bytes) -> bytes:
            raise CardRemovedError(command.hex())

    manager(modem(Gone()))
    with pytest.raises(CardRemovedError, match="no card in the modem"):
        open_link("modemmanager:auto", 5)


def test_a_modem_that_goes_away(manager: Callable[..., ModemManager]) -> None:
    card = CountingCard()
    there = manager(modem(card))
    link = open_link("modemmanager:auto", 5)
    there.modems.clear()
    for _ in range(2):
        with pytest.raises(CardRemovedError):
            link.transmit(ECHO)
    assert card.ran == []


def test_modem_manager_ends_under_a_command_which_is_not_given_again(manager: Callable[..., ModemManager]) -> None:
    card = CountingCard()
    there = manager(modem(card))
    link = open_link("modemmanager:auto", 5)
    there.ends_at = "AT+CGLA"
    with pytest.raises(CardRemovedError, match=r"AT\+CGLA: ModemManager has ended") as told:
        link.transmit(ECHO)
    assert len(card.ran) == 1
    # What stands in the command is for nobody else.
    assert "AABBCC" not in str(told.value)


def test_a_late_answer_closes_the_link_and_the_channel(manager: Callable[..., ModemManager]) -> None:
    card = CountingCard()
    # The link's lines are those of AT (1), +CGMI and +CGMM (4), +CCHO (2), behind the two of ModemManager's.
    manager(modem(card, faults="delay@10=60"))
    link = open_link("modemmanager:auto", 5)
    with pytest.raises(LinkTimeoutError, match=r"AT\+CGLA: the modem does not answer in time"):
        link.transmit(ECHO)
    with pytest.raises(CardRemovedError, match="closed"):
        link.transmit(ECHO)
    assert len(card.ran) == 1
    assert card.open == set()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "tty",
        "/dev/ttyUSB2",
        "auto?baud=9600",
        "auto?reset=cfun",
        "12345",
        f"{MODEM}/1",
        "auto?apdu=x",
        "auto?timeout=0",
    ],
)
def test_an_address_that_makes_no_sense_is_told(address: str) -> None:
    with pytest.raises(ProtocolError, match="modemmanager:"):
        check_uri(f"modemmanager:{address}")


def test_without_jeepney_one_is_told_what_to_install() -> None:
    code = """
import sys
sys.modules["jeepney"] = None
from opentsm_agent.links import open_link
open_link("modemmanager:auto")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "need jeepney; install it with: pip install 'opentsm[modemmanager]'" in done.stderr
