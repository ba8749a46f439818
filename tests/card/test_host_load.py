"""`opentsm card load` and `install` of CAP files onto a virtual SE."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from opentsm_build.cap import CapFile
from opentsm_card.aid import Aid
from sd_host import ISD, ISD_KEYS, PAYMENT_PACKAGE, Host
from small_cap import LIBRARY, MODULE, PACKAGE, SECOND_MODULE, small_cap

if TYPE_CHECKING:
    from pathlib import Path

    from card_cli import CardDoor

PACKAGE_AID = Aid(PACKAGE)


@pytest.fixture(name="cap")
def _cap(tmp_path: Path) -> Path:
    path = tmp_path / "small.cap"
    path.write_bytes(CapFile.parse_load_file(small_cap(padding_bytes=600)).encode())
    return path


def test_a_cap_file_is_loaded_in_blocks_that_fit(card: CardDoor, cap: Path) -> None:
    block = CapFile.read(cap).load_file_data_block()
    done = card.json("load", cap)
    assert (done["load_file"], done["bytes"], done["hash"]) == (str(PACKAGE_AID), len(block), "")
    assert done["blocks"] == -(-(len(block) + 4) // 239)  # C4 and its length; level 33 leaves 239 of 255
    entry = Host(card.se.link()).into(ISD, ISD_KEYS).entry(PACKAGE_AID)
    assert entry is not None
    assert entry.modules == (Aid(MODULE),)
    listed = next(item for item in card.json("list")["load_files"] if item["aid"] == str(PACKAGE_AID))
    assert (listed["version"], listed["modules"]) == ("1.0", [str(Aid(MODULE))])


def test_a_hash_and_a_block_size_of_one_s_own(card: CardDoor, cap: Path) -> None:
    block = CapFile.read(cap).load_file_data_block()
    done = card.json("load", cap, "--block-size", "100", "--hash", "sha256")
    assert done["hash"] == hashlib.sha256(block).hexdigest().upper()
    assert done["blocks"] == -(-(len(block) + 4) // 100)


def test_what_is_there_is_not_loaded_twice(card: CardDoor, cap: Path) -> None:
    assert card("load", cap).code == 0
    told = card.refused(1, "load", cap)
    assert f"load of {PACKAGE_AID}" in told
    told = card.refused(4, "install", cap)
    assert "--no-load" in told
    assert card("delete", "--related", str(PACKAGE_AID)).code == 0
    assert card("load", cap).code == 0


def test_which_applet_is_said_where_there_are_several(card: CardDoor, tmp_path: Path) -> None:
    path = tmp_path / "two.cap"
    path.write_bytes(CapFile.parse_load_file(small_cap(modules=(MODULE, SECOND_MODULE))).encode())
    assert str(Aid(SECOND_MODULE)) in card.refused(4, "install", path)
    assert "no applet F0F0F0F0F0" in card.refused(4, "install", path, "--applet", "F0F0F0F0F0")
    path.write_bytes(CapFile.parse_load_file(small_cap(LIBRARY, modules=())).encode())
    assert "it has none" in card.refused(4, "install", path)
    assert card("load", path).code == 0


def test_a_dap_names_its_domain_and_file(card: CardDoor, cap: Path, tmp_path: Path) -> None:
    assert "AID:FILE" in card.refused(4, "load", cap, "--dap", "A000000151000000")
    assert "/nowhere" in card.refused(4, "load", cap, "--dap", "A000000151000000:/nowhere")
    signature = tmp_path / "signature"
    signature.write_bytes(b"")
    assert "no signature" in card.refused(4, "load", cap, "--dap", f"A000000151000000:{signature}")
    signature.write_bytes(bytes(128))
    told = card.refused(1, "load", cap, "--dap", f"A000000151000000:{signature}")
    assert "LOAD, block" in told  # the domain has no DAP Verification privilege
    assert Host(card.se.link()).into(ISD, ISD_KEYS).entry(PACKAGE_AID) is None


def test_a_file_that_is_none_is_refused_before_anything_is_sent(card: CardDoor, tmp_path: Path) -> None:
    path = tmp_path / "no.cap"
    path.write_bytes(b"PK\x03\x04")
    answer = card("load", path)
    assert answer.code == 4
    assert "asks for" not in answer.err


def test_an_applet_of_a_package_on_the_card(card: CardDoor, cap: Path) -> None:
    """--no-load takes load file and applet from the CAP file, and sends INSTALL alone."""
    assert card("load", cap).code == 0
    instance = "F06F70656E74736D0CA7AA"
    told = card("install", cap, "--no-load", "--aid", instance)
    assert "LOAD" not in told.err
    # It is installed once the virtual SE can run what it has loaded, and refused by the card before.
    assert f"installed {instance}" in told.out or f"install of {instance}: the card answered" in told.err
    assert str(PAYMENT_PACKAGE) in card("list").out
