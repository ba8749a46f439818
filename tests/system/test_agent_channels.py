"""An agent process whose sessions have logical channels of their own: opened, kept to, and closed whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_peers import CountingCard, se_order
from agent_rig import AgentRig

if TYPE_CHECKING:
    from pathlib import Path

OPEN = bytes.fromhex("0070000001")
CLOSE = bytes.fromhex("00708001")
SELECT = "00A4040007A0000001510000"
GET_DATA = "80CA000003AABBCC"
SECURED = "84E2000003AABBCC"


class ChannelCard(CountingCard):
    """A card with one logical channel, or none; it says 6881 to commands on one that is not open."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.channel_open = False
        self._channels = channels
        self.hook = self._answer

    def reset(self) -> bytes:
        self.channel_open = False
        return super().reset()

    def _answer(self, _number: int, command: bytes) -> bytes | None:
        self.sent.append(command)
        if command == OPEN:
            if not self._channels:
                return bytes.fromhex("6881")
            self.channel_open = True
            return bytes.fromhex("019000")
        if command == CLOSE:
            self.channel_open = False
            return bytes.fromhex("9000")
        return None if command[0] & 0x03 == self.channel_open else bytes.fromhex("6881")


def rig(folder: Path, card: ChannelCard) -> AgentRig:
    made = AgentRig(folder, card.uri)
    with (folder / "agent.toml").open("a") as config:
        config.write('channel = "logical"\n')
    return made


def on_channel_1(*commands: str) -> list[bytes]:
    return [bytes((int(command[:2], 16) + 1,)) + bytes.fromhex(command[2:]) for command in commands]


def test_a_session_opens_its_own_and_closes_it(tmp_path: Path) -> None:
    with ChannelCard(1) as card:
        first, second = se_order(1, [SELECT, SECURED], reset=True), se_order(2, [GET_DATA])
        made = rig(tmp_path, card)
        reports = made.run(first, second)
        made.peer.close()
        assert [report["ramResponses"][0]["answered"] for report in reports] == [2, 1]
        assert card.sent == [OPEN, *on_channel_1(SELECT, SECURED, GET_DATA), CLOSE]
        assert not card.channel_open


def test_an_answer_that_was_not_expected_leaves_it_to_the_next_order_and_the_end_closes_it(tmp_path: Path) -> None:
    with ChannelCard(1) as card:
        # INS 10 is answered 6985.
        made = rig(tmp_path, card)
        cut, fresh = made.run(se_order(1, [SELECT, "80100000", GET_DATA]), se_order(2, [SELECT], reset=True))
        made.peer.close()
        assert [cut["ramResponses"][0]["notSent"], fresh["ramResponses"][0]["answered"]] == [1, 1]
        assert card.sent == [OPEN, *on_channel_1(SELECT, "80100000"), CLOSE, OPEN, *on_channel_1(SELECT), CLOSE]


@pytest.mark.parametrize("channels", [0, 1])
def test_a_card_that_has_none_is_spoken_to_on_the_basic_one(tmp_path: Path, channels: int) -> None:
    with ChannelCard(channels) as card:
        made = rig(tmp_path, card)
        (report,) = made.run(se_order(1, [SELECT, SECURED]))
        made.peer.close()
        assert report["ramResponses"][0]["answered"] == 2
        script = [bytes.fromhex(SELECT), bytes.fromhex(SECURED)]
        assert card.sent == ([OPEN, *on_channel_1(SELECT, SECURED), CLOSE] if channels else [OPEN, *script])
        # What was selected on the basic channel is left by the reset that every opening of the link begins with.
        assert card.resets == (1 if channels else 2)
