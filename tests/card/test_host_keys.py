"""`opentsm card keys`: what the card holds, what is proved, and that rotation loses nobody."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from card_cli import TEST_KEY
from door import door
from sd_host import BANK, ISD, ISD_KEYS, Host, keys, service_provider

if TYPE_CHECKING:
    from pathlib import Path

    from card_cli import CardDoor
    from opentsm_card.keys import KeySet
    from opentsm_simulator import VirtualSe

BANK_KEYS = keys(0x31, 1)


def key_file(path: Path, key_set: KeySet) -> Path:
    lines = [f'{name} = "{getattr(key_set, name).hex()}"' for name in ("enc", "mac", "dek")]
    path.write_text("\n".join([f"version = {key_set.version}", *lines]))
    path.chmod(0o600)
    return path


def bank(se: VirtualSe, folder: Path) -> tuple[str | Path, ...]:
    service_provider(se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    return ("--sd", str(BANK), "--key-file", key_file(folder / "bank.toml", BANK_KEYS))


def test_what_a_domain_holds_needs_no_key(card: CardDoor) -> None:
    listed = card.json("keys", "list", keys=None)["keys"]
    assert [(key["version"], key["id"], key["length_bytes"]) for key in listed] == [(0x30, i, [16]) for i in (1, 2, 3)]


def test_check_proves_the_keys(card: CardDoor) -> None:
    checked = card.json("keys", "check")
    assert (checked["key_version"], checked["scp"], checked["i"]) == (0x30, 3, 0x70)
    assert checked["check_values"] == {"enc": "504A77", "mac": "504A77", "dek": "504A77"}
    assert "does not verify" in card.refused(1, "keys", "check", keys="11" * 16)


def test_rotation_proves_the_new_keys_before_it_deletes_the_old(card: CardDoor, se: VirtualSe, tmp_path: Path) -> None:
    access = bank(se, tmp_path)
    saved = tmp_path / "new.toml"
    done = card.json(*access, "keys", "rotate", "--new-version", "0x32", "--generate", "--save", saved, keys=None)
    assert (done["old_version"], done["new_version"]) == (0x31, 0x32)
    assert saved.stat().st_mode & 0o777 == 0o600
    made = tomllib.loads(saved.read_text())
    assert made["version"] == 0x32
    assert len({made["enc"], made["mac"], made["dek"]}) == 3
    listed = card.json("--sd", str(BANK), "keys", "list", keys=None)["keys"]
    assert {key["version"] for key in listed} == {0x32}
    assert card("--sd", str(BANK), "--key-file", saved, "keys", "check", keys=None).code == 0
    assert card(*access, "keys", "check", keys=None).code == 1


def test_generated_keys_are_kept_first_and_never_over_others(card: CardDoor, se: VirtualSe, tmp_path: Path) -> None:
    access = bank(se, tmp_path)
    kept = tmp_path / "kept"
    kept.write_text("mine")
    arguments = (*access, "keys", "put", "--new-version", "0x32", "--generate")
    assert "--save" in card.refused(2, *arguments, keys=None)
    assert "File exists" in card.refused(4, *arguments, "--save", kept, keys=None)
    assert kept.read_text() == "mine"
    assert "one of" in card.refused(2, *arguments, "--new-key", TEST_KEY, keys=None)
    assert {key["version"] for key in card.json("--sd", str(BANK), "keys", "list", keys=None)["keys"]} == {0x31}


def test_put_and_delete(card: CardDoor, se: VirtualSe, tmp_path: Path) -> None:
    access = bank(se, tmp_path)
    new = keys(0x33, 9)
    file = key_file(tmp_path / "33.toml", new)
    done = card.json(*access, "keys", "put", "--new-version", "0x33", "--new-key-file", file, keys=None)
    assert done["check_values"] == [value.hex().upper() for value in new.check_values]
    assert card(*access, "keys", "delete", "--version", "0x33", keys=None).out == "keys of version 0x33 are gone\n"
    assert {key["version"] for key in card.json("--sd", str(BANK), "keys", "list", keys=None)["keys"]} == {0x31}
    told = card.refused(1, *access, "keys", "delete", "--version", "0x31", keys=None)
    assert "the last keys of the security domain" in told
    assert "--yes-card=" in told


def test_the_issuer_s_keys_need_the_card_s_identifier(card: CardDoor, tmp_path: Path, se: VirtualSe) -> None:
    file = key_file(tmp_path / "new.toml", keys(0x31, 5))
    arguments = ("keys", "put", "--new-version", "0x31", "--new-key-file", file)
    told = card.refused(1, *arguments)
    identifier = told.rpartition("=")[2]
    assert {key["version"] for key in card.json("keys", "list", keys=None)["keys"]} == {0x30}
    assert card(*arguments, "--yes-card", identifier).code == 0
    Host(se.link()).into(ISD, keys(0x31, 5))
    assert card("keys", "rotate", "--new-version", "0x30", "--new-key", TEST_KEY).code == 2  # the version in use


def test_generated_keys_are_kept_as_a_key_file_that_is_read_again(
    card: CardDoor, se: VirtualSe, tmp_path: Path
) -> None:
    access = bank(se, tmp_path)
    for version, name in ((0x35, "35.toml"), (0x36, "36.json")):
        saved = tmp_path / name
        arguments = ("keys", "put", "--new-version", hex(version), "--generate", "--save", saved)
        assert card(*access, *arguments, keys=None).code == 0
        assert saved.stat().st_mode & 0o777 == 0o600
        proved = card("--sd", str(BANK), "--key-file", saved, "keys", "check", keys=None)
        assert proved.code == 0, proved.err
        assert f"asks for key version {version:#04x}, SCP03 i=70; trying {saved} at level 33" in proved.err


def test_new_keys_that_make_no_sense_are_refused_before_a_card_is_asked(tmp_path: Path) -> None:
    put = ("card", "--link", "tcp:127.0.0.1:1", "--key", TEST_KEY, "keys", "put", "--new-version")
    for arguments, told in (
        (("0x200", "--generate", "--save", tmp_path / "x"), "want 0 to 127"),
        (("0", "--generate", "--save", tmp_path / "x"), "want 1 to 127"),
        (("0x31", "--generate"), "needs --save"),
        (("0x31",), "which new keys?"),
    ):
        answer = door(*put, *arguments)
        assert answer.code == 2
        assert told in answer.err


def test_keys_show_nowhere(card: CardDoor, se: VirtualSe, tmp_path: Path) -> None:
    access = bank(se, tmp_path)
    trace = tmp_path / "trace"
    new = keys(0x34, 77)
    file = key_file(tmp_path / "34.toml", new)
    arguments = ("keys", "put", "--new-version", "0x34", "--new-key-file", file, "--trace", trace)
    answer = card(*access, *arguments, keys=None)
    assert answer.code == 0
    said = (answer.out + answer.err + trace.read_text()).lower()
    for secret in (new.enc, new.mac, new.dek, BANK_KEYS.enc, BANK_KEYS.mac, BANK_KEYS.dek):
        assert secret.hex() not in said
