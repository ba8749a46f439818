"""`opentsm card send` and `shell`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import pytest

from door import door
from opentsm_tools.card.cli import card as group
from opentsm_tools.card.shell import candidates

if TYPE_CHECKING:
    from pathlib import Path

    from card_cli import CardDoor

SELECT = "00A4040000"


def test_apdus_and_what_their_answers_mean(card: CardDoor) -> None:
    answer = card("send", SELECT, "80CA9F7F00", "80EE000000", keys=None)
    assert answer.code == 0
    assert "> 80CA9F7F00\n< 9F7F2A" in answer.out
    assert "> 80EE000000\n< 6D00 (invalid instruction)" in answer.out


def test_a_script_holds_its_expectations(card: CardDoor, tmp_path: Path) -> None:
    script = tmp_path / "check.apdu"
    script.write_text(
        f"# the issuer security domain\n{SELECT} 9000|6283 6F*  # its FCI\nreset\n00A4040005F0F0F0F0F0 6AXX\n\n"
    )
    assert card("send", "--script", script, keys=None).code == 0
    script.write_text(f"{SELECT} 6A82\n{SELECT}\n")
    told = card.refused(1, "send", "--script", script, keys=None)
    assert f"{script}, line 1: the card answered 9000 (done), 6A82 expected" in told
    answer = card("send", "--script", script, "--keep-going", "--json", keys=None)
    assert answer.code == 1
    assert [item["sw"] for item in json.loads(answer.out)["exchanges"]] == ["9000", "9000"]
    script.write_text(f"{SELECT} 9000 6F00\n")
    assert "is not 6F00" in card.refused(1, "send", "--script", script, keys=None)
    assert card("send", "--script", "-", keys=None, stdin=f"{SELECT} 9000".encode()).code == 0


@pytest.mark.parametrize(
    ("line", "says"),
    [("00A404", "line 1"), ("zz", "hexadecimal"), (f"{SELECT} 9", "status word"), (f"{SELECT} 9000 6F 00", "4 words"),
     (f"{SELECT} 9000 6", "data expected"), ("00A404000500", "C-APDU")],
)  # fmt: skip
def test_a_malformed_line_sends_nothing(card: CardDoor, tmp_path: Path, line: str, says: str) -> None:
    script = tmp_path / "bad.apdu"
    script.write_text(line)
    assert says in card.refused(4, "send", "--script", script, keys=None)


def test_secure_wraps_what_is_given_in_the_clear(card: CardDoor) -> None:
    answer = card.json("send", "--secure", "80F24002024F0000")
    assert answer["exchanges"][0]["sw"] == "9000"
    assert answer["exchanges"][0]["data"].startswith("E3")
    assert card.json("send", "80F24002024F0000", keys=None)["exchanges"][0]["sw"] == "6982"


def test_a_shell_keeps_one_session(card: CardDoor) -> None:
    lines = (
        b"list\nsend --secure 80F24002024F0000 9000\nkeys list\nlock 325041592E5359532E4444463031\nlist --json\nexit\n"
    )
    lines = lines.replace(b" 9000\n", b"\n")
    answer = card("shell", stdin=lines)
    assert answer.code == 0, answer
    assert answer.err.count("asks for key version") == 1
    document = json.loads(answer.out.splitlines()[-1])
    states = {entry["aid"]: entry["state"] for entry in document["applications"]}
    assert states["325041592E5359532E4444463031"] == "LOCKED (SELECTABLE)"


def test_a_failing_line_ends_a_script_and_not_a_tolerant_one(card: CardDoor) -> None:
    lines = b"delete F0F0F0F0F0\nlist\n"
    answer = card("shell", stdin=lines)
    assert answer.code == 1
    assert "6A88" in answer.err
    assert answer.out == ""
    answer = card("shell", "--keep-going", stdin=lines)
    assert answer.code == 1
    assert "issuer security domain" in answer.out
    assert card("shell", stdin=b"bogus\n").code == 2
    assert card("shell", stdin=b"'\n").code == 2


def test_a_shell_changes_its_security_domain_by_select_and_reset_starts_anew(card: CardDoor) -> None:
    lines = b"select 325041592E5359532E4444463031\nselect A000000151000000\nlist\nreset\nlist\nhelp\nhelp list\n"
    answer = card("shell", stdin=lines)
    assert answer.code == 0, answer
    assert answer.err.count("asks for key version") == 2
    assert answer.out.count("A000000151000000, issuer security domain") == 2
    assert "ATR 3B" in answer.out
    assert "forget-failure" in answer.out
    assert "Usage: card list" in answer.out


def test_another_link_or_key_is_for_another_shell(card: CardDoor) -> None:
    assert "belongs to the shell" in card("shell", stdin=b"list --sd A000000151000000\n").err
    assert "a shell already" in card("shell", stdin=b"shell\n").err


def test_completion_offers_what_can_stand_there() -> None:
    assert isinstance(group, click.Group)
    assert candidates(group, "per", "per", set()) == ["personalize "]
    assert "--new-version " in candidates(group, "keys put --new", "--new", set())
    assert candidates(group, "keys r", "r", set()) == ["rotate "]
    assert candidates(group, "delete F0", "F0", {"F0F0F0F0F0", "A000000151"}) == ["F0F0F0F0F0 "]
    assert candidates(group, "bogus x", "x", set()) == []


def test_no_card_named() -> None:
    answer = door("card", "info")
    assert answer.code == 2
    assert "--link" in answer.err
