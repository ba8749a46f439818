"""`opentsm card` where management is delegated: tokens made, given and signed apart, and receipts verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from content_keys import independent_signature
from delegation import TENANT, delegation, signed
from door import door
from opentsm_build.cap import CapFile
from opentsm_card.aid import Aid
from opentsm_card.signatures import MacKey
from sd_host import CARD_1, ISD, PAYMENT_PACKAGE
from small_cap import PACKAGE, small_cap
from tenant_cli import INSTALL, Tenant, write_key

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["aes-128", "rsa-1024", "p-256"], name="tenant")
def _tenant(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    return Tenant(delegation(request.param), tmp_path, monkeypatch)


def test_a_token_is_made_with_the_command(tenant: Tenant) -> None:
    done = tenant.json(*tenant.access, *INSTALL, "--token-key", tenant.token_key, keys=None)
    verified = ("receipt", "verify", done["receipt"], "--receipt-key", tenant.receipt_key)
    arguments = ("--installed", str(CARD_1), "--from", str(PAYMENT_PACKAGE))
    assert door("card", *verified, *arguments).out.startswith("the receipt verifies: number 0 of card")
    assert "does not verify" in door("card", *verified, "--deleted", str(CARD_1)).err
    assert "not newer" in door("card", *verified, *arguments, "--after", "0").err
    assert "another token" in door("card", *verified, *arguments, "--token-number", "07").err
    flipped = f"{int(done['receipt'][-2:], 16) ^ 1:02X}"
    verified = ("receipt", "verify", done["receipt"][:-2] + flipped, "--receipt-key", tenant.receipt_key)
    assert door("card", *verified, *arguments).code == 1


def test_a_token_is_signed_apart_and_given(tenant: Tenant) -> None:
    printed = tenant(*tenant.access, *INSTALL, "--print-command", keys=None)
    assert printed.err == ""  # nothing was sent
    made = tenant.json("token", "sign", printed.out.strip(), "--token-key", tenant.token_key, keys=None)
    told = tenant.refused(1, *tenant.access, *INSTALL, keys=None)
    assert f"install of {CARD_1}" in told
    assert tenant(*tenant.access, *INSTALL, "--token", made["token"], keys=None).code == 0


def test_a_number_is_taken_once(tenant: Tenant) -> None:
    numbered = ("--token-key", tenant.token_key, "--token-number", "0001")
    assert tenant(*tenant.access, *INSTALL, *numbered, keys=None).code == 0
    told = tenant.refused(1, *tenant.access, "delete", str(CARD_1), *numbered, keys=None)
    assert f"DELETE {CARD_1}" in told
    fresh = ("--token-key", tenant.token_key, "--token-number", "0002")
    assert tenant(*tenant.access, "delete", str(CARD_1), *fresh, keys=None).code == 0


def test_the_whole_command_can_be_sent(tenant: Tenant) -> None:
    printed = tenant(*tenant.access, *INSTALL, "--print-command", keys=None).out.strip()
    made = tenant.json("token", "sign", printed, "--token-key", tenant.token_key, "--number", "0042", keys=None)
    sent = tenant.json(*tenant.access, "send", "--secure", made["command"], keys=None)
    assert sent["exchanges"][0]["sw"] == "9000"


def test_a_load_and_an_extradition_are_delegated_too(tenant: Tenant, tmp_path: Path) -> None:
    cap = tmp_path / "small.cap"
    cap.write_bytes(CapFile.parse_load_file(small_cap()).encode())
    key = ("--token-key", tenant.token_key)
    assert tenant.refused(1, *tenant.access, "load", cap, keys=None)
    done = tenant.json(*tenant.access, "load", cap, *key, keys=None)
    arguments = ("--receipt-key", tenant.receipt_key, "--loaded", str(Aid(PACKAGE)), "--to", str(TENANT))
    assert door("card", "receipt", "verify", done["receipt"], *arguments).code == 0
    moved = tenant.json(*tenant.access, "extradite", str(Aid(PACKAGE)), "--to", str(ISD), *key, keys=None)
    arguments = ("--receipt-key", tenant.receipt_key, "--extradited", str(Aid(PACKAGE)), "--from", str(TENANT))
    assert door("card", "receipt", "verify", moved["receipt"], *arguments, "--to", str(ISD)).code == 0


def test_another_hand_s_signature_is_the_same(tmp_path: Path) -> None:
    """DELETE's token against one put together from table C-10."""
    key = MacKey(bytes(range(16)))
    file = write_key(tmp_path / "token.toml", key)
    made = door("card", "token", "sign", "80E400000A4F08" + "A1" * 8 + "00", "--token-key", file)
    expected = independent_signature(key, signed(0, 0, b"\x4f\x08" + b"\xa1" * 8))
    assert made.out.splitlines()[0] == f"token   {expected.hex().upper()}"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("token", "sign", "00A4040000", "--token-key", "{key}"), 4, "INSTALL"),
        (("token", "sign", "80E620000C000006A1A1A1A1A1A100000000", "--token-key", "{key}"), 4, "takes no token"),
        (("token", "sign", "80E4000003D2013000", "--token-key", "{key}"), 4, "takes no token"),
        (("token", "sign", "80E40000074F05A1A1A1A1A1", "--token-key", "/nowhere"), 4, "/nowhere"),
        (("token", "sign", "80E40000074F05A1A1A1A1A1", "--token-key", "{bad}"), 4, "key ="),
        (("token", "sign", "80E40000074F05A1A1A1A1A1", "--token-key", "{pem}"), 4, "no private key"),
        (("receipt", "verify", "00", "--receipt-key", "{key}", "--deleted", "A1A1A1A1A1"), 4, "not delegated"),
        (("receipt", "verify", "05", "--receipt-key", "{key}", "--deleted", "A1A1A1A1A1"), 4, "confirmation"),
        (("receipt", "verify", "00", "--receipt-key", "{key}"), 2, "what was done"),
        (("receipt", "verify", "00", "--receipt-key", "{key}", "--loaded", "A1A1A1A1A1"), 2, "--to"),
        (("delete", "A1A1A1A1A1", "--token", "00", "--token-key", "{key}"), 2, "either --token or --token-key"),
    ],
)
def test_what_makes_no_sense_is_said_so(tmp_path: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    files = {"key": 'key = "00112233445566778899AABBCCDDEEFF"', "bad": "value = 3", "pem": "-----BEGIN X-----\n"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    answer = door("card", *(argument.format(**{name: tmp_path / name for name in files}) for argument in arguments))
    assert answer.code == code, answer
    assert says in answer.err
