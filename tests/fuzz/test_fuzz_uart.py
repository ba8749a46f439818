"""Noise on the line: thousands of sessions in virtual time, each with characters that are turned, lost, or late.

Whatever happens, a session ends in the right answers or in an error that says what is wrong; no command runs twice, and
nothing waits longer than it said it would. Seeded: a failure names its session, and comes again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atr_maker import make_atr
from opentsm_agent.links.uart import UartLink
from opentsm_agent.links.uart_settings import UartSettings
from opentsm_card.errors import TransportError
from opentsm_card.transmission import CardSide, activate, exchange_t0
from opentsm_card.transmission.events import Execute, Receive, Send
from opentsm_card.transmission.t1 import T1Reader, T1Times
from opentsm_card.transmission.t1_block import checksum
from opentsm_simulator.uart_faults import Fault, Faults
from virtual_uart import ScriptCard, VirtualPort

if TYPE_CHECKING:
    from opentsm_card.transmission import Conversation

TIMEOUT_S = 30.0
# A link is opened in three attempts; an exchange in T=0 is several TPDUs, each with its own time.
OPENING_S = 3 * TIMEOUT_S
MOST_S = {0: 4 * TIMEOUT_S, 1: TIMEOUT_S}
LRC, CRC, CHAINS = make_atr("D1"), make_atr("D1", "D1", "A30 B45 C01"), make_atr("D1", "D1", "A10 B45 C01")
T0 = make_atr()


@dataclass
class Tally:
    corruptions: int = 0
    sessions: int = 0
    whole: int = 0
    mended: int = 0
    failed: int = 0


def plan(rng: random.Random, atr: bytes, characters: int) -> tuple[Fault, ...]:
    """Choose where the line fails: a check of one byte sees any one character that turned, and not always two."""
    apart = 0 if atr in {CRC, CHAINS} else 300
    faults: list[Fault] = []
    at = 0
    for _ in range(rng.randint(2, 7)):
        at += apart + rng.randint(1, max(1, characters // 5))
        kind = rng.choices(("corrupt", "drop", "delay"), (8, 2, 1))[0]
        value: float = rng.uniform(0.01, 3.0)
        if kind == "corrupt":
            # A parity sees odd numbers of turned bits; T=0 has nothing else.
            value = rng.choice([0x01, 0x80, 0x07, 0x1F, 0x7F]) if atr == T0 else rng.randint(1, 255)
        faults.append(Fault(kind, at, 0 if kind == "drop" else value))
    return tuple(faults)


def session(seed: int, atr: bytes, tally: Tally) -> None:
    rng = random.Random(seed)
    extra: dict[bytes, int] = {}
    card = ScriptCard(lambda command: command[5:] + bytes((len(command),)) * extra[command] + b"\x90\x00")
    for number in range(rng.randint(4, 8)):
        data = number.to_bytes(2, "big") + rng.randbytes(rng.randint(0, 60))
        extra[bytes((0x80, 0xE2, 0, number, len(data))) + data] = rng.choice((0, 0, 10, 100, 150))
    commands = list(extra)
    faults = plan(rng, atr, sum(2 * len(command) + extra[command] + 12 for command in commands))
    port = VirtualPort(atr, card, Faults(faults))
    limit_s = OPENING_S
    begin = port.now()
    given = 0
    try:
        link = UartLink(port, UartSettings("/virtual"), TIMEOUT_S)
        limit_s = MOST_S[link.protocol or 0]
        for command in commands:
            begin = port.now()
            given += 1
            response = link.transmit(command)
            # The card says what the command is answered by, so a wrong answer can't look right.
            assert response == card.answer(command), f"session {seed}"
            assert port.now() - begin <= limit_s, f"session {seed}"
        tally.whole += 1
        tally.mended += link.retransmissions > 0
    except TransportError as error:
        told = str(error)
        assert port.now() - begin <= limit_s, f"session {seed}: {told}"
        assert told.startswith("uart:/virtual: "), f"session {seed}: {told}"
        assert len(told) > 30, f"session {seed}: {told}"
        tally.failed += 1
    tally.sessions += 1
    tally.corruptions += len(faults) - port.faults.left
    # Each ran once at most, in order, and all but perhaps the last that was given.
    assert card.run in (commands[:given], commands[: max(0, given - 1)]), f"session {seed}"


@pytest.mark.parametrize(
    ("atr", "sessions", "corruptions"),
    [(LRC, 1000, 1900), (CRC, 1000, 4000), (CHAINS, 1000, 4000), (T0, 800, 700)],
    ids=["lrc", "crc", "chains", "t0"],
)
def test_every_session_ends_well_or_says_why(atr: bytes, sessions: int, corruptions: int) -> None:
    tally = Tally()
    for seed in range(sessions):
        session(seed, atr, tally)
    assert tally.sessions == tally.whole + tally.failed == sessions
    assert tally.corruptions >= corruptions
    if atr == T0:
        # Nothing is mended there: what was not spoilt is right.
        assert tally.whole > 0
    else:
        assert tally.whole > sessions // 2
        assert tally.mended > sessions // 2


@pytest.mark.parametrize("kind", ["stick", "remove", "reset", "brownout"])
@pytest.mark.parametrize("atr", [LRC, T0], ids=["t1", "t0"])
def test_the_card_fails_at_any_character(atr: bytes, kind: str) -> None:
    commands = [bytes((0x80, 0xE2, 0, number, 2, 0xAA, 0xBB)) for number in range(4)]
    for at in range(1, 120):
        card = ScriptCard(lambda command: command[5:] + b"\x90\x00")
        port = VirtualPort(atr, card, Faults((Fault(kind, at),)))
        given = 0
        try:
            link = UartLink(port, UartSettings("/virtual"), TIMEOUT_S)
            for command in commands:
                given += 1
                assert link.transmit(command) == card.answer(command), at
        except TransportError as error:
            assert str(error).startswith("uart:/virtual: "), at  # noqa: PT017 - as above
        else:
            # It happened while the link was opened, which is tried again, or behind the last answer.
            assert given == len(commands)
        assert port.now() < OPENING_S + TIMEOUT_S
        # GET RESPONSE alone is no command that we gave.
        ran = [command for command in card.run if command[1] != 0xC0]
        assert ran in (commands[:given], commands[: max(0, given - 1)]), at


def block(front: tuple[int, bytes]) -> bytes:
    """Return a block whose length and check fit, whatever its PCB says."""
    pcb, information = front
    data = bytes((0, pcb, len(information))) + information
    return data + checksum(data, crc=False)


# Every PCB that there is, and some that there are not; a piece of line noise between.
PCBS = st.sampled_from([0x00, 0x40, 0x20, 0x60, 0x80, 0x90, 0x81, 0x92, 0xC0, 0xC1, 0xC2, 0xC3, 0xE0, 0xE1, 0xE2, 0xE3])
BLOCKS = st.tuples(PCBS | st.integers(0, 255), st.binary(max_size=3)).map(block)
HEARD = st.lists(BLOCKS | st.binary(max_size=6), max_size=40)


def talk(conversation: Conversation[object], heard: list[bytes], most_events: int) -> int:
    """Have a conversation hear these pieces, one each time it begins to listen, then silence; count commands run."""
    pieces = iter(heard)
    rest, outcome, commands, idle = b"", None, 0, True
    for _ in range(most_events):
        try:
            event = conversation.send(outcome)
        except (StopIteration, TransportError):
            return commands
        outcome = None
        if isinstance(event, Send):
            rest, idle = b"", True
        elif isinstance(event, Receive):
            if idle or event.first_s == float("inf"):
                rest = rest or next(pieces, b"")
                if not rest and event.first_s == float("inf"):
                    return commands
                idle = False
            outcome, rest = rest[: event.count], rest[event.count :]
        elif isinstance(event, Execute):
            commands += event.command is not None
            outcome = b"\x90\x00" if commands % 3 else None
            if event.command is None:
                outcome = b"\x90\x00"
    raise AssertionError("it does not come to an end")


@settings(max_examples=600)
@given(HEARD)
def test_a_reader_bears_any_card(heard: list[bytes]) -> None:
    for size in (4, 200):
        talk(T1Reader(T1Times(1.0, 0.1), 32, crc=False).exchange(bytes(size)), heard, 2_000)
    talk(exchange_t0(bytes.fromhex("80E2000002AABB"), 1.0), [*heard, b""], 2_000)
    talk(activate(372 * 9600.0), [b"\x3b" + b"".join(heard)], 2_000)


@settings(max_examples=600)
@given(st.sampled_from([T0, LRC, CHAINS]), HEARD)
def test_a_card_bears_any_reader(atr: bytes, heard: list[bytes]) -> None:
    # It runs no more commands than it heard pieces.
    assert talk(CardSide(atr, 372 * 9600.0).serve(), heard, 5_000) <= len(heard)
