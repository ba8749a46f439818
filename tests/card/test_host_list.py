"""`opentsm card list`: the registry as a tree and as JSON, over a virtual SE and from a trace of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from door import door
from opentsm_card.set_status import SetStatus
from sd_host import BANK, CARD_1, ISD, ISD_KEYS, keys, service_provider

if TYPE_CHECKING:
    from pathlib import Path

    from card_cli import CardDoor
    from sd_host import Host

BANK_KEYS = keys(0x31, 1)


def test_each_entry_stands_below_its_security_domain(card: CardDoor) -> None:
    isd = service_provider(card.se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    isd.new_payment(CARD_1)
    assert isd.extradite(CARD_1, BANK) == 0x9000
    lines = card("list").out.splitlines()
    bank = next(index for index, line in enumerate(lines) if str(BANK) in line)
    assert lines[bank].startswith(f"├─ {BANK}, security domain, PERSONALIZED")
    assert lines[bank + 1].startswith(f"│  └─ {CARD_1}, application, SELECTABLE")
    document = card.json("list")
    entry = next(entry for entry in document["applications"] if entry["aid"] == str(CARD_1))
    assert entry["security_domain"] == str(BANK)
    assert document["complete"] is True
    assert document["isd"]["state"] == "SECURED"


def test_locked_is_said_with_the_state_it_returns_to(card: CardDoor, isd: Host) -> None:
    isd.new_payment(CARD_1)
    isd.done(SetStatus.lock(CARD_1))
    assert f"{CARD_1}, application, LOCKED (SELECTABLE)" in card("list").out


def test_a_security_domain_shows_its_own_with_its_own_keys(card: CardDoor, tmp_path: Path) -> None:
    isd = service_provider(card.se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    isd.new_payment(CARD_1)
    isd.extradite(CARD_1, BANK)
    file = tmp_path / "bank.json"
    file.write_text(
        f'{{"version": 49, "enc": "{BANK_KEYS.enc.hex()}", "mac": "{BANK_KEYS.mac.hex()}", '
        f'"dek": "{BANK_KEYS.dek.hex()}"}}'
    )
    file.chmod(0o600)
    document = card.json("--key-file", file, "--sd", str(BANK), "list", keys=None)
    assert document["isd"] is None
    assert {entry["aid"] for entry in document["applications"]} == {str(BANK), str(CARD_1)}


def test_a_trace_leaves_out_what_could_be_secret(card: CardDoor, tmp_path: Path) -> None:
    trace, pin = tmp_path / "trace", "31323334"
    trace.write_text("old\n")
    trace.chmod(0o644)
    card("send", f"0020008104{pin}", f"80E2900004{pin}", f"00DA010004{pin}", f"0025008104{pin}", "--trace", trace)
    assert trace.stat().st_mode & 0o777 == 0o600
    assert pin not in trace.read_text()
    assert trace.read_text().count("data not written") == 4
    # in the clear beside a session that encrypts: what counts is how the command itself is sent
    lines = f"list\nsend 0020008104{pin}\nsend 80CA004200\n"
    shell = card("shell", "--keep-going", "--trace", trace, stdin=lines.encode())
    assert shell.code == 0
    assert pin not in trace.read_text()
    assert "> 80CA004200" in trace.read_text()


def test_a_trace_of_a_list_is_listed_again(card: CardDoor, tmp_path: Path) -> None:
    """The trace gives the host challenge too, so that the recorded cryptograms and MACs fit."""
    trace = tmp_path / "trace"
    live = card.json("list", "--trace", trace)
    assert trace.stat().st_mode & 0o777 == 0o600
    key = "404142434445464748494A4B4C4D4E4F"
    again = door("card", "--link", f"replay:{trace}", "--key", key, "list", "--json")
    assert again.code == 0, again
    assert live == json.loads(again.out)
    assert key not in trace.read_text()
