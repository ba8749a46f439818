"""What a device lets remote scripts do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentsm_agent.policy import ANYTHING, Policy, load_policy
from opentsm_agent.relay import ANY_ANSWER
from opentsm_card.errors import ProtocolError, ScriptError
from opentsm_card.script import ScriptCommand

if TYPE_CHECKING:
    from pathlib import Path

ISD = "A000000151000000"


def script(*commands: str) -> tuple[ScriptCommand, ...]:
    return tuple(ScriptCommand(bytes.fromhex(command), ANY_ANSWER) for command in commands)


def policy(tmp_path: Path, text: str) -> Policy:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return load_policy(path)


LIMITED = 'select = ["A000000151000000", "F06F*"]\ncard_wide = false\n'


@pytest.mark.parametrize(
    "command",
    [
        "00A4040008A000000151000000",
        "01A4040008A00000015100000000",
        "41A4040002F06F",
        "00A4040005F06F01020300",
        "80F0400705F06F010203",
        "84E40000",
    ],
)
def test_what_a_policy_allows_passes(tmp_path: Path, command: str) -> None:
    policy(tmp_path, LIMITED).check(script(command))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("00A4040007A0000001510000", "A0000001510000"),
        ("00A404000AA0000001510000000000", "A0000001510000000000"),
        ("00A4040000", "by default"),
        ("00A4000C023F00", "by AID only"),
        ("80F0807F08A000000151000000", "SET STATUS of the card"),
        ("84F080FF00", "SET STATUS of the card"),
        ("C0F0807F00", "SET STATUS of the card"),
    ],
)
def test_what_it_does_not_is_named_with_its_position(tmp_path: Path, command: str, said: str) -> None:
    with pytest.raises(ScriptError, match=said) as caught:
        policy(tmp_path, LIMITED).check(script("00A4040008A000000151000000", command))
    assert caught.value.position == 1


def test_without_a_policy_anything_goes() -> None:
    ANYTHING.check(script("00A4000C023F00", "80F0807F00", "00A4040000"))


def test_a_policy_of_the_card_alone_lets_every_select_pass(tmp_path: Path) -> None:
    only = policy(tmp_path, "card_wide = false")
    only.check(script("00A4040007A0000001515350"))
    with pytest.raises(ScriptError):
        only.check(script("80F0807F00"))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError) as caught:
        policy(tmp_path, 'select = ["A0", "xyz*", "A0000001510000000102030405060708090A"]')
    assert all(f"$.select[{index}]" in str(caught.value) for index in range(3))
    with pytest.raises(ProtocolError, match="selct"):
        policy(tmp_path, "selct = []")
    with pytest.raises(ProtocolError, match="No such file"):
        load_policy(tmp_path / "none")
