"""`opentsm card apply` for third parties: delegated management with tokens and receipts, and on UICCs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apply_bench import LIBRARY, bench_folder
from apply_cuts import BANK_KEYS, TRANSIT_KEYS, Cutter, entry
from card_cli import CardDoor
from content_keys import signing_key
from opentsm_card.signatures import MacKey
from opentsm_simulator import VirtualSe
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    CENTRAL,
    ISD,
    ISD_KEYS,
    OWNER,
    PAYMENT_MODULE,
    PAYMENT_PACKAGE,
    TENANT,
    Host,
)
from token_keys import RECEIPT_KEY, TOKEN_KEY, give_token_keys

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_card.signatures import SigningKey


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return bench_folder(tmp_path, BANK_KEYS, TRANSIT_KEYS)


CENTRE: Final = {"embedded-third-parties": ISD, "uicc-third-parties": CENTRAL}


def shared_card(name: str) -> VirtualSe:
    """Make a card with third parties, whose central security domain verifies tokens and gives receipts."""
    se = VirtualSe.create(name, se_id="cut")
    give_token_keys(Host(se.link()).into(CENTRE[name], ISD_KEYS))
    return se


@pytest.fixture(params=CENTRE)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pem(key: SigningKey) -> bytes:
    assert isinstance(key, RSAPrivateKey)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_file(key: SigningKey) -> bytes:
    assert isinstance(key, MacKey)
    return f'key = "{key.value.hex()}"'.encode()


@pytest.fixture
def tenancy(document: Path, name: str) -> Path:
    """What a third party with Delegated Management wants, with the keys that sign its tokens."""
    centre = "" if CENTRE[name] == ISD else f'central_sd = "{CENTRAL}"'
    for file, content in (("token.pem", pem(TOKEN_KEY)), ("receipt.toml", key_file(RECEIPT_KEY))):
        (document.parent / file).write_bytes(content)
        (document.parent / file).chmod(0o600)
    document.write_text(
        f"""
        [card]
        configuration = "{name}"
        {centre}
        packages = ["{PAYMENT_PACKAGE}"]
        [delegation]
        token_key = "token.pem"
        receipt_key = "receipt.toml"
        [[package]]
        cap = "library.cap"
        security_domain = "{TENANT}"
        [[package]]
        cap = "wallet.cap"
        security_domain = "{TENANT}"
        [[application]]
        aid = "{CARD_1}"
        package = "{PAYMENT_PACKAGE}"
        module = "{PAYMENT_MODULE}"
        parameters = "500442616E6B870101C20104"
        security_domain = "{TENANT}"
        contactless = "activated"
        """
    )
    return document


AS_TENANT: Final = ("--sd", str(TENANT))


def test_a_third_party_needs_tokens_and_gets_receipts(
    tenancy: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = CardDoor(shared_card(name), tmp_path / "state", monkeypatch)
    effects = card.se.effects()
    text = tenancy.read_text()
    tenancy.write_text(
        re.sub(r"\[delegation\].*?receipt.toml\"", "", text, flags=re.DOTALL).replace("cap =", 'hash = "sha256"\ncap =')
    )
    (block,) = card.json("apply", tenancy, "--dry-run", *AS_TENANT)["plan"]
    assert (block["security_domain"], block["keys_of"]) == (str(TENANT), str(TENANT))
    assert [(item["do"], "token" in item) for item in block["do"]] == [
        ("load", True),
        ("load", True),
        ("install", True),
        ("activate", False),
    ]
    told = card.refused(1, "apply", tenancy, *AS_TENANT)
    assert f"security domain {TENANT}: it manages by delegation, and has no tokens for: INSTALL [for load]" in told
    assert card.se.effects() == effects
    tenancy.write_text(text)
    done = card.json("apply", tenancy, *AS_TENANT)
    assert [(receipt["command"], receipt["verified"]) for receipt in done["receipts"]] == [
        ("INSTALL [for load]", True),
        ("INSTALL [for load]", True),
        ("INSTALL [for install]", True),
    ]
    assert [receipt["counter"] for receipt in done["receipts"]] == [0, 1, 2]
    assert entry(card.se, CARD_1).associated_sd == TENANT
    assert card("apply", tenancy, *AS_TENANT).out == "nothing to do\n"
    # What the token of a stranger allows is nothing.
    (tenancy.parent / "token.pem").write_bytes(pem(signing_key("rsa-1024", seed=1)))
    tenancy.write_text(text.replace(str(CARD_1), str(CARD_2)))
    assert "the card answered 6982" in card.refused(1, "apply", tenancy, *AS_TENANT)


def test_a_receipt_under_another_key_is_not_taken(
    tenancy: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = CardDoor(shared_card(name), tmp_path / "state", monkeypatch)
    (tenancy.parent / "receipt.toml").write_text(f'key = "{"5B" * 16}"')
    assert "receipt" in card.refused(1, "apply", tenancy, *AS_TENANT)


@pytest.mark.parametrize(("name", "lost"), [("embedded-third-parties", True), ("uicc-third-parties", False)])
def test_delegated_management_cut_at_every_apdu_is_made_good(
    tenancy: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    cutter = Cutter(tmp_path, monkeypatch, make=lambda: shared_card(name))
    assert cutter.everywhere(tenancy, ISD_KEYS, *AS_TENANT, lost=lost) > 20


def test_the_central_security_domain_of_a_uicc_does_it_without_the_issuer(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = CardDoor(VirtualSe.create("uicc"), tmp_path / "state", monkeypatch)
    text = document.read_text().replace(
        'configuration = "embedded"\nstate = "SECURED"',
        f'configuration = "uicc"\ncentral_sd = "{CENTRAL}"\npackages = ["{PAYMENT_PACKAGE}"]',
    )
    document.write_text(text)
    as_central = ("--sd", str(CENTRAL))
    assert card("apply", document, *as_central).code == 0
    assert entry(card.se, BANK).associated_sd == CENTRAL
    assert entry(card.se, CARD_1).associated_sd == BANK
    assert entry(card.se, LIBRARY).associated_sd == CENTRAL
    assert card("apply", document, *as_central).out == "nothing to do\n"
    document.write_text(text.replace("[card]", '[card]\nstate = "CARD_LOCKED"'))
    told = card.refused(1, "apply", document, *as_central)
    assert told.endswith(f"set-status-card-locked: security domain {ISD}: the keys of MNO SD {ISD} are with the MNO")


def test_a_third_party_with_management_of_its_own_needs_no_token(
    tenancy: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = CardDoor(VirtualSe.create(name), tmp_path / "state", monkeypatch)
    tenancy.write_text(tenancy.read_text().replace(str(TENANT), str(OWNER)))
    done = card.json("apply", tenancy, "--sd", str(OWNER))
    assert (done["done"], done["receipts"]) == (4, [])
    assert entry(card.se, CARD_1).associated_sd == OWNER
    assert card("apply", tenancy, "--sd", str(OWNER)).out == "nothing to do\n"
