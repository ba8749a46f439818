"""`opentsm card` opens the secure channel that the card asks for, at the strongest level that it offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import sc_cards
from card_cli import CardDoor
from opentsm_card.keys import KeySet
from sd_host import CARD_1, ISD, PAYMENT_MODULE, PAYMENT_PACKAGE, payment_parameters

if TYPE_CHECKING:
    from pathlib import Path

DES = sc_cards.DES_KEYS
AES = KeySet(0x30, DES.enc, DES.mac, DES.dek)
KEY_FLAGS = ("--key-enc", DES.enc.hex(), "--key-mac", DES.mac.hex(), "--key-dek", DES.dek.hex(), "--test-card")


@pytest.mark.parametrize(
    ("protocol", "level"),
    [
        ("0215", "03"), ("0255", "03"), ("0205", "03"), ("0245", "03"), ("0235", "13"), ("0275", "13"), ("0225", "13"),
        ("0300", "03"), ("0310", "03"), ("0320", "13"), ("0360", "33"), ("0370", "33"), ("0301", "03"), ("0371", "33"),
    ],
)  # fmt: skip
def test_whatever_protocol_and_parameter(
    protocol: str, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scp, i = bytes.fromhex(protocol)
    se = sc_cards.card(protocol, keys=(DES if scp == 2 else AES,))
    card = CardDoor(se, tmp_path / "state", monkeypatch)
    parameters = ("--params", payment_parameters()[2:].hex())
    package = ("--from", str(PAYMENT_PACKAGE), "--applet", str(PAYMENT_MODULE), "--aid", str(CARD_1))
    done = card(*KEY_FLAGS, "install", *package, *parameters, keys=None)
    assert done.code == 0, done
    assert f"SCP{scp:02d} i={i:02X}" in done.err
    assert f"at level {level}" in done.err
    document = card.json(*KEY_FLAGS, "list", keys=None)
    assert document["complete"] is True
    assert str(CARD_1) in {entry["aid"] for entry in document["applications"]}
    checked = card.json(*KEY_FLAGS, "--security", "01", "keys", "check", keys=None)
    assert (checked["scp"], checked["i"]) == (scp, i)


def test_a_level_that_the_card_does_not_offer_is_no_failure_of_its_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = CardDoor(sc_cards.card("0310", keys=(AES,)), tmp_path / "state", monkeypatch)
    told = card.refused(1, *KEY_FLAGS, "--security", "33", "list", keys=None)
    assert "does not allow level 33" in told
    assert card(*KEY_FLAGS, "list", keys=None).code == 0


@pytest.mark.parametrize("protocol", ["020A", "020B", "021A", "021B"])
def test_sessions_that_begin_implicitly(protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = CardDoor(sc_cards.card(protocol, keys=(DES,)), tmp_path / "state", monkeypatch)
    parameters = ("--params", payment_parameters()[2:].hex())
    package = ("--from", str(PAYMENT_PACKAGE), "--applet", str(PAYMENT_MODULE), "--aid", str(CARD_1))
    done = card(*KEY_FLAGS, "install", *package, *parameters, keys=None)
    assert done.code == 0, done
    assert f"begins sessions implicitly with its default keys, SCP02 i={protocol[2:]}" in done.err
    document = card.json(*KEY_FLAGS, "list", keys=None)
    assert str(CARD_1) in {entry["aid"] for entry in document["applications"]}
    assert "at level 01 alone" in card.refused(4, *KEY_FLAGS, "--security", "03", "list", keys=None)
    done = card(*KEY_FLAGS, "shell", keys=None, stdin=f"list\nselect {ISD}\nlist\n".encode())
    assert (done.code, done.err.count("begins sessions implicitly")) == (0, 2)


def test_a_wrong_key_for_an_implicit_session_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = CardDoor(sc_cards.card("021B", keys=(DES,)), tmp_path / "state", monkeypatch)
    told = card.refused(1, "--key", "99" * 16, "list", keys=None)
    assert "a command with C-MAC was answered 6982" in told
    assert "not tried again" in told
    assert "an authentication failed before" in card.refused(1, *KEY_FLAGS, "list", keys=None)
    assert card(*KEY_FLAGS, "--after-failure", "list", keys=None).code == 0


def test_keys_of_another_kind_than_the_protocol_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = CardDoor(sc_cards.card("0255", keys=(DES,)), tmp_path / "state", monkeypatch)
    assert "takes 3DES keys" in card.refused(4, "--key", "00" * 32, "list", keys=None)
    told = card.refused(4, *KEY_FLAGS, "--diversification", "kdf3", "list", keys=None)
    assert "kdf3 goes with AES" in told
    assert card(*KEY_FLAGS, "list", keys=None).code == 0


def test_3des_keys_are_put_under_the_session_s_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With SCP02 new keys are encrypted by the session's DEK (GP 2.3.1, E.4.7)."""
    card = CardDoor(sc_cards.card("0255", keys=(DES,)), tmp_path / "state", monkeypatch)
    identifier = card.json("list", *KEY_FLAGS, keys=None)["card"]
    new = "00112233445566778899AABBCCDDEEFF"
    put = ("keys", "put", "--new-version", "0x21", "--new-key", new, "--yes-card", identifier)
    done = card.json(*KEY_FLAGS, *put, keys=None)
    assert (done["algorithm"], done["check_values"]) == ("3DES", ["FB0975"] * 3)
    checked = card.json("--key", new, "--key-version", "0x21", "keys", "check", keys=None)
    assert (checked["key_version"], checked["algorithm"]) == (0x21, "3DES")
