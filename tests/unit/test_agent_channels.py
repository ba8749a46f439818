"""Who has which logical channel of a card, and that each is closed once, by who has it."""

from __future__ import annotations

import pytest

from opentsm_agent.channels import NoChannelError, SharedCard
from opentsm_card.errors import CardRemovedError, TransportError

OK = b"\x90\x00"


class Card:
    """A card as a link, with so many channels beside the basic one; it remembers what is open, and what was opened."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.open: set[int] = set()
        self.fails = False
        self.closed = 0

    def transmit(self, command: bytes) -> bytes:
        if self.fails:
            raise TransportError("the link failed")
        if command == bytes.fromhex("0070000001"):
            free = sorted({*range(1, self.channels + 1)} - self.open)
            if not free:
                return bytes.fromhex("6A81")
            self.open.add(free[0])
            return bytes((free[0],)) + OK
        if command[:3] == bytes.fromhex("007080"):
            assert command[3] in self.open, "a channel is closed that is not open"
            self.open.remove(command[3])
            return OK
        return command[:1] + OK

    def reset(self) -> bytes:
        self.open.clear()
        return b"\x3b\x00"

    def close(self) -> None:
        self.open.clear()
        self.closed += 1

    @property
    def atr(self) -> bytes:
        return b"\x3b\x00"


def test_a_channel_that_could_not_be_had_again_closes_nobody_else_s() -> None:
    card = Card(2)
    shared = SharedCard(lambda: card)  # type: ignore[arg-type, return-value]
    one, two = shared.channel(), shared.channel()
    card.channels = 0
    with pytest.raises(NoChannelError):
        one.reset()
    assert card.open == {2}
    assert not one.alive
    with pytest.raises(CardRemovedError):
        one.transmit(bytes.fromhex("00A4040000"))
    card.channels = 2
    third = shared.channel()
    assert third.number == 1
    one.close()
    assert card.open == {1, 2}
    assert third.transmit(bytes.fromhex("00A4040000"))[0] == 1
    two.close()
    third.close()
    assert (card.open, card.closed) == (set(), 1)


def test_a_channel_is_closed_though_the_link_fails() -> None:
    card = Card(2)
    shared = SharedCard(lambda: card)  # type: ignore[arg-type, return-value]
    with shared.channel() as channel:
        card.fails = True
        with pytest.raises(TransportError):
            channel.transmit(bytes.fromhex("00A4040000"))
    # With its link, which is opened anew for the next, and resets the card.
    assert (card.open, card.closed, shared.users) == (set(), 1, 0)
    card.fails = False
    with shared.channel() as channel, pytest.raises(RuntimeError), channel:
        raise RuntimeError
    assert (card.open, card.closed, shared.users) == (set(), 2, 0)


def test_a_card_that_gives_none_is_left_as_it_was() -> None:
    card = Card(0)
    shared = SharedCard(lambda: card)  # type: ignore[arg-type, return-value]
    with pytest.raises(NoChannelError, match="it answers 6A81"):
        shared.channel()
    assert (card.closed, shared.users) == (1, 0)
    with shared.basic() as basic:
        assert basic.transmit(bytes.fromhex("00A4040000"))[0] == 0
    assert card.closed == 2
