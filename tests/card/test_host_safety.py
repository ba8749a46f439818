"""`opentsm card` does not brick cards: what it announces, remembers and refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import pytest

from card_cli import TEST_KEY, CardDoor
from opentsm_agent.links import register

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_card.link import Link
    from opentsm_simulator import VirtualSe

WRONG = "00112233445566778899AABBCCDDEEFF"


class Tap:
    """Passes everything on, and counts by instruction."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.atr = link.reset()
        self.instructions: list[int] = []

    def transmit(self, command: bytes) -> bytes:
        self.instructions.append(command[1])
        return self.link.transmit(command)

    def reset(self) -> bytes:
        return self.link.reset()

    def close(self) -> None:
        self.link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


@pytest.fixture(name="taps")
def _taps(card: CardDoor) -> list[Tap]:
    taps: list[Tap] = []

    def wrap(link: Link) -> Link:
        taps.append(Tap(link))
        return taps[-1]

    card.wrap = wrap
    return taps


def test_what_the_card_asks_for_is_said_before_it_is_authenticated(card: CardDoor) -> None:
    answer = card("list")
    assert answer.code == 0
    (announced,) = [line for line in answer.err.splitlines() if "asks for" in line]
    assert "key version 0x30, SCP03 i=70" in announced
    assert "level 33" in announced
    assert TEST_KEY not in answer.err


def test_one_failure_ends_it_and_is_remembered(card: CardDoor, taps: list[Tap]) -> None:
    told = card.refused(1, "list", keys=WRONG)
    assert "card cryptogram does not verify" in told
    assert 0x82 not in taps[-1].instructions  # the card never saw a wrong host cryptogram
    identifier = told.rsplit(" ", 1)[-1]
    told = card.refused(1, "list")  # the right keys don't help: it is a person who has to think
    assert f"forget-failure {identifier}" in told
    assert taps[-1].instructions.count(0x50) == 1
    assert card("list", "--after-failure").code == 0
    assert card("list").code == 0  # it succeeded, so both counters are zero again


def test_a_failure_is_forgotten_on_demand(card: CardDoor) -> None:
    card.refused(1, "list", keys=WRONG)
    (known,) = card.json("forget-failure", keys=None)["failures"]
    assert card.json("forget-failure", known["card"], keys=None) == {"card": known["card"], "forgotten": True}
    assert card.json("forget-failure", known["card"], keys=None)["forgotten"] is False
    assert card("list").code == 0
    assert "hexadecimal" in card("forget-failure", "../x", keys=None).err


def test_failures_are_counted(card: CardDoor) -> None:
    for _ in range(3):
        card.refused(1, "list", "--after-failure", keys=WRONG)
    assert "3 times" in card.refused(1, "list")


def test_a_damaged_record_still_protects(card: CardDoor, tmp_path: Path) -> None:
    card.refused(1, "list", keys=WRONG)
    (record,) = (tmp_path / "state").rglob("*.json")
    record.write_text("{")
    assert "damaged" in card.refused(4, "list")


def test_another_card_is_not_held_responsible(card: CardDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from opentsm_simulator import VirtualSe

    card.refused(1, "list", keys=WRONG)
    other = CardDoor(VirtualSe.create("embedded", se_id="se-2"), tmp_path / "state", monkeypatch)
    assert other("list").code == 0


def test_test_keys_are_for_declared_test_cards(card: CardDoor, tmp_path: Path, taps: list[Tap]) -> None:
    told = card.refused(1, "--key", TEST_KEY, "list", keys=None)
    assert "--test-card" in told
    assert 0x82 not in taps[-1].instructions
    file = tmp_path / "card.toml"
    file.write_text(f'key = "{TEST_KEY}"\ntest_card = true\n')
    file.chmod(0o600)
    assert card("--key-file", file, "list", keys=None).code == 0
    file.write_text(f'key = "{TEST_KEY}"\n')
    card.refused(1, "--key-file", file, "list", keys=None)


def test_a_profile_of_one_s_own_declares_its_cards_test_cards(card: CardDoor, tmp_path: Path) -> None:
    profile = tmp_path / "bench.toml"
    profile.write_text('title = "Bench"\nvendor = "Us"\ntest_card = true\n[sources]\n')
    assert card("--key", TEST_KEY, "--card-profile", profile, "list", keys=None).code == 0
    profile.write_text('title = "Bench"\nvendor = "Us"\n[sources]\n')
    assert "--test-card" in card.refused(1, "--key", TEST_KEY, "--card-profile", profile, "list", keys=None)
    assert "bench.toml" in card.refused(4, "--card-profile", tmp_path / "no" / "bench.toml", "list")
    assert "jcop-4" in card.refused(4, "--card-profile", "nokia", "list")


def test_a_failure_that_cannot_be_remembered_is_told_all_the_same(
    card: CardDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc")  # nobody can make a folder there
    told = card.refused(1, "list", keys=WRONG)
    assert "card cryptogram does not verify" in told
    assert "can't be remembered" in told


def test_without_a_look_at_the_record_nothing_is_tried(card: CardDoor, tmp_path: Path, taps: list[Tap]) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    assert "Not a directory" in card.refused(4, "list")
    assert 0x82 not in taps[-1].instructions


def test_no_keys_are_tried_unasked(card: CardDoor, taps: list[Tap]) -> None:
    assert "--key-file" in card.refused(2, "list", keys=None)
    assert not taps


def test_a_virtual_se_s_keys_are_its_profile_s(se: VirtualSe) -> None:
    from door import door

    del se
    answer = door("card", "--link", "virtual:uicc", "list")
    assert answer.code == 0
    assert "F06F70656E74736D0001, security domain, PERSONALIZED" in answer.out


def test_a_broken_link_is_said_to_be_one(card: CardDoor) -> None:
    register("bench", lambda _rest, _timeout_s: card.se.link())
    told = card("--link", "tcp:127.0.0.1:1", "list").err.splitlines()[-1]
    assert "tcp:127.0.0.1:1" in told
    assert card("--link", "tcp:127.0.0.1:1", "list").code == 3
    assert card("--link", "nowhere:x", "list").code == 4
