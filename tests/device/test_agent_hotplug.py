"""The `pcsc:` link while cards and readers come and go, on live pcscd and vpcd.

Its pcscd is one of its own, and the link is in a process of its own: the PC/SC library reads once where pcscd is. The
module stands before those that share one, as `test_agent_dying_reader` does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from smartcard import scard

from agent_peers import ATR, CountingCard, se_order
from agent_rig import AgentRig
from pcsc_rig import HotSlot, Pcscd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GET_DATA = "80CA000003AABBCC"
ANSWER = "AABBCC9000"

LINK = """
import json
import sys
from smartcard import scard
from opentsm_agent.links import open_link
from opentsm_card.errors import OpenTsmError
link = None
for line in sys.stdin:
    do, *given = json.loads(line)
    try:
        match do:
            case "open":
                link = open_link(*given)
                answer = link.atr.hex().upper()
            case "transmit":
                answer = link.transmit(bytes.fromhex(given[0])).hex().upper()
            case "reset":
                answer = link.reset().hex().upper()
            case "close":
                answer = link.close()
            case "state":
                _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
                _, states = scard.SCardGetStatusChange(context, 0, [(given[0], scard.SCARD_STATE_UNAWARE)])
                scard.SCardReleaseContext(context)
                answer = states[0][1] if states else None
    except OpenTsmError as error:
        answer = f"{type(error).__name__}: {error}"
    print(json.dumps(answer), flush=True)
"""


class LinkProcess:
    """A process with a `pcsc:` link in it; each call returns what came of it, an error as `Name: message`."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", LINK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def __call__(self, *do: object) -> object:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(do) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0
        self._process.stdout.close()


@pytest.fixture(scope="module")
def pcscd() -> Iterator[Pcscd]:
    with Pcscd(entries=1, hot=True) as running:
        yield running


@pytest.fixture
def link(pcscd: Pcscd) -> Iterator[LinkProcess]:
    process = LinkProcess(pcscd.environment)
    yield process
    process.close()


@pytest.fixture
def slot(pcscd: Pcscd, link: LinkProcess) -> Iterator[HotSlot]:
    """Yield an empty reader."""
    slot = pcscd.hot[0]
    until(lambda: is_empty(link("state", slot.reader)))
    yield slot
    if slot.filled:
        remove(slot, link)


@pytest.fixture
def card() -> Iterator[CountingCard]:
    with CountingCard() as counting:
        yield counting


def insert(slot: HotSlot, card: CountingCard, link: LinkProcess) -> None:
    """Put a card in, and wait until pcscd has seen it."""
    before = seen(slot, link)
    slot.insert(card)
    until(lambda: seen(slot, link) != before)


def remove(slot: HotSlot, link: LinkProcess) -> None:
    """Take the card out, and wait until pcscd has seen it."""
    before = seen(slot, link)
    slot.remove()
    until(lambda: seen(slot, link) != before)


def seen(slot: HotSlot, link: LinkProcess) -> int:
    """Return how often pcscd has seen a card come or go.

    Its state would not do: a failing command calls a reader empty too, and should a card be back before pcscd looks,
    which it does a few times a second, it stays so.
    """
    state = link("state", slot.reader)
    assert isinstance(state, int)
    return state >> 16


def is_empty(state: object) -> bool:
    return isinstance(state, int) and bool(state & scard.SCARD_STATE_EMPTY)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_card_that_is_put_in_later_is_waited_for(card: CountingCard, slot: HotSlot, link: LinkProcess) -> None:
    assert str(link("open", f"pcsc:{slot.reader}", 5)).startswith("CardRemovedError: ")
    timer = threading.Timer(0.5, slot.insert, (card,))
    timer.start()
    assert link("open", f"pcsc:{slot.reader}?wait=20", 5) == ATR.hex().upper()
    timer.join()
    assert link("transmit", GET_DATA) == ANSWER


def test_a_card_that_was_out_gets_nothing_before_a_reset(card: CountingCard, slot: HotSlot, link: LinkProcess) -> None:
    insert(slot, card, link)
    assert link("open", f"pcsc:{slot.reader}", 5) == ATR.hex().upper()
    assert link("transmit", GET_DATA) == ANSWER
    remove(slot, link)
    with CountingCard() as another:
        insert(slot, another, link)
        # It may be another card: what was selected, and who is authenticated, is gone.
        assert str(link("transmit", GET_DATA)).startswith("CardRemovedError: ")
        assert "once it is reset" in str(link("transmit", GET_DATA))
        assert another.run == []
        assert link("reset") == ATR.hex().upper()
        assert link("transmit", GET_DATA) == ANSWER
        assert [len(card.run), len(another.run)] == [1, 1]


@pytest.mark.parametrize("query", ["", "?share=shared"])
def test_a_card_taken_out_between_two_commands(
    card: CountingCard, slot: HotSlot, link: LinkProcess, query: str
) -> None:
    insert(slot, card, link)
    assert link("open", f"pcsc:{slot.reader}{query}", 5) == ATR.hex().upper()
    assert link("transmit", GET_DATA) == ANSWER
    remove(slot, link)
    assert str(link("transmit", GET_DATA)).startswith("CardRemovedError: ")
    assert str(link("reset")).startswith("CardRemovedError: ")
    assert len(card.run) == 1
    insert(slot, card, link)
    assert link("reset") == ATR.hex().upper()
    assert link("transmit", GET_DATA) == ANSWER


@pytest.mark.parametrize("query", ["", "?share=shared"])
def test_a_card_taken_out_while_it_runs_a_command(
    card: CountingCard, slot: HotSlot, link: LinkProcess, query: str
) -> None:
    insert(slot, card, link)
    assert link("open", f"pcsc:{slot.reader}{query}", 5) == ATR.hex().upper()

    def leave(_number: int, _command: bytes) -> None:
        slot.remove()

    before = seen(slot, link)
    card.hook = leave
    answer = str(link("transmit", GET_DATA))
    assert answer.partition(":")[0] in {"TransportError", "CardRemovedError"}
    # The card is out before it runs what it was given.
    until(lambda: len(card.run) == 1)
    until(lambda: seen(slot, link) != before)
    assert "once it is reset" in str(link("transmit", GET_DATA))
    card.hook = lambda _number, _command: None
    insert(slot, card, link)
    assert link("reset") == ATR.hex().upper()
    assert link("transmit", GET_DATA) == ANSWER
    assert len(card.run) == 2


def test_a_reader_that_was_gone_is_found_again(
    card: CountingCard, slot: HotSlot, link: LinkProcess, pcscd: Pcscd
) -> None:
    insert(slot, card, link)
    assert link("open", f"pcsc:{slot.reader}", 5) == ATR.hex().upper()
    assert link("transmit", GET_DATA) == ANSWER
    pcscd.stop()
    assert str(link("transmit", GET_DATA)).startswith("NoServiceError: ")
    link("close")
    assert "is pcscd running" in str(link("open", f"pcsc:{slot.reader}", 5))

    def start() -> None:
        pcscd.start()
        slot.insert(card)

    timer = threading.Timer(0.5, start)
    timer.start()
    assert link("open", f"pcsc:{slot.reader}?wait=20", 5) == ATR.hex().upper()
    timer.join()
    assert link("transmit", GET_DATA) == ANSWER
    assert len(card.run) == 2


def test_an_exchange_that_a_reader_never_ends_ends_with_pcscd(
    card: CountingCard, slot: HotSlot, link: LinkProcess, pcscd: Pcscd
) -> None:
    insert(slot, card, link)
    assert link("open", f"pcsc:{slot.reader}", 5) == ATR.hex().upper()
    asked, never = threading.Event(), threading.Event()

    def hang(_number: int, _command: bytes) -> None:
        asked.set()
        never.wait(60)

    card.hook = hang

    def end() -> None:
        assert asked.wait(20)
        pcscd.stop()

    thread = threading.Thread(target=end)
    thread.start()
    assert "transmit" in str(link("transmit", GET_DATA))
    thread.join()
    never.set()
    link("close")
    pcscd.start()


def test_an_agent_goes_on_with_a_card_that_was_taken_out_while_it_ran_a_command(
    tmp_path: Path, card: CountingCard, slot: HotSlot, pcscd: Pcscd
) -> None:
    timers: list[threading.Timer] = []

    def insert_in(seconds: float) -> None:
        timers.append(threading.Timer(seconds, slot.insert, (card,)))
        timers[-1].start()

    def leave(number: int, command: bytes) -> None:
        if number == 1 and command[1] == 0xE2:
            slot.remove()
            insert_in(1.5)

    card.hook = leave
    # The agent is there first, its card later.
    insert_in(1.0)
    rig = AgentRig(tmp_path, f"pcsc:{slot.reader}?wait=20", pcscd.environment)
    first = se_order(1, [GET_DATA, "80E2000003AABBCC", GET_DATA], reset=True)
    second = se_order(2, [GET_DATA], reset=True)
    cut, whole = rig.run(first, second)
    rig.peer.close()
    for timer in timers:
        timer.join()
    response = cut["ramResponses"][0]
    assert (response["answered"], response["inDoubt"], response["notSent"]) == (1, True, 1)
    assert whole["ramResponses"][0]["listOfRAPDU"] == [ANSWER]
    # What is in doubt has run in fact, and nothing twice.
    assert [command.hex().upper() for command in card.run] == [GET_DATA, "80E2000003AABBCC", GET_DATA]
