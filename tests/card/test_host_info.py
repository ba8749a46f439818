"""`opentsm card info`: what a virtual SE says of itself, and what real cards said, as their owners published it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from card_cli import TEST_KEY
from door import door

if TYPE_CHECKING:
    from pathlib import Path

    from card_cli import CardDoor


def test_everything_a_virtual_se_says(card: CardDoor) -> None:
    answer = card("info", keys=None)
    assert answer.code == 0
    for line in (
        "direct convention; protocols T=1",
        "SCP03 i=70: challenges and MACs of 8 bytes, pseudo-random card challenge, R-MAC, R-ENC",
        "version 0x30 id 0x01: AES, 16 bytes (SCP03 ENC)",
        "card data (66): GlobalPlatform 2.3.1",
    ):
        assert line in answer.out
    document = card.json("info", keys=None)
    assert (
        document["card"]
        == document["cplc"]["raw"][:8] + document["cplc"]["raw"][32:36] + document["cplc"]["raw"][24:32]
    )
    assert document["card_data"]["protocols"][0]["scp"] == 3
    assert document["capabilities"]["protocols"][0]["key_sizes"] == ["AES-128", "AES-192", "AES-256"]
    assert [key["means"] for key in document["keys"]] == ["SCP03 ENC", "SCP03 MAC", "SCP03 DEK"]


def test_info_authenticates_only_when_asked(card: CardDoor) -> None:
    assert "asks for" not in card("info").err
    assert "asks for key version 0x30" in card("info", "--authenticate").err


def test_a_card_that_says_nothing(tmp_path: Path) -> None:
    """A card of NXP's, seen in GlobalPlatformPro issue 355, refuses every GET DATA on its contactless side."""
    trace = tmp_path / "trace"
    lines = ["^ 3B8580018073C821100E", "> 00A4040000", "< 6F108408A000000151000000A5049F6501FF9000"]
    for tag in ("9F7F", "0042", "0045", "0042", "0045", "0066", "0067", "00E0", "FF21"):
        lines += [f"> 80CA{tag}00", "< 6985", f"> 00CA{tag}00", "< 6985"]
    trace.write_text("\n".join(lines))
    answer = door("card", "--link", f"replay:{trace}", "info", "--json")
    assert answer.code == 0, answer
    document = json.loads(answer.out)
    assert (document["cplc"], document["card_data"], document["keys"]) == (None, None, None)
    assert document["card"] == "3B8580018073C821100E"
    assert document["atr"]["check_ok"] is True


def test_the_default_application_may_be_another(tmp_path: Path) -> None:
    """An issuer security domain is looked for where cards have it; a locked card is selected with a warning."""
    trace = tmp_path / "trace"
    trace.write_text(
        "^ 3B80800101\n> 00A4040000\n< 6A82\n> 00A4040008A00000015100000000\n< 6A82\n"
        "> 00A4040008A00000000300000000\n< 6F108408A000000003000000A5049F6501FF6283\n"
    )
    answer = door("card", "--link", f"replay:{trace}", "--key", TEST_KEY, "list")
    assert answer.code == 4  # the trace ends there
    assert "the trace ends" in answer.err
    trace.write_text("^ 3B80800101\n" + "".join(f"> 00A40400{aid}\n< 6A82\n" for aid in
                     ("00", "08A00000015100000000", "08A00000000300000000")))  # fmt: skip
    answer = door("card", "--link", f"replay:{trace}", "info")
    assert answer.code == 1
    assert "name it with --sd" in answer.err
