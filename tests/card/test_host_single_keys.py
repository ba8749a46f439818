"""`opentsm card keys put` with one key of any kind: what verifies tokens, makes receipts, agrees on sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import sc_cards
from card_cli import CardDoor
from content_keys import SYMMETRIC, TOKEN_VERSION, signing_key
from delegation import delegation
from opentsm_card.signatures import MacKey
from scp11_host import AUTHORITY_VERSION, own_chain
from sd_host import ISD_KEYS
from tenant_cli import INSTALL, Tenant, write_key

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", ["aes-128", "aes-256", "des", "rsa-1024", "rsa-2048", "p-256", "p-384"])
def test_a_key_that_verifies_tokens(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = Tenant(delegation(kind), tmp_path, monkeypatch)
    fresh = signing_key(kind, 3)
    if isinstance(fresh, MacKey):
        how: tuple[str | Path, ...] = ("--single-key", write_key(tmp_path / "fresh.toml", fresh))
    else:
        how = ("--public-key", write_key(tmp_path / "fresh.pem", fresh, public=True))
    identifier = tenant.json("list")["card"]
    version = hex(TOKEN_VERSION)
    put = ("keys", "put", "--new-version", version, "--replace", version, *how)
    assert "change the keys of the issuer" in tenant.refused(1, *put)
    done = tenant.json(*put, "--yes-card", identifier)
    assert (done["key_version"], done["id"], len(done["check_values"])) == (TOKEN_VERSION, 1, kind in SYMMETRIC)
    assert tenant.refused(1, *tenant.access, *INSTALL, "--token-key", tenant.token_key, keys=None)
    new = write_key(tmp_path / "fresh.key", fresh)
    assert tenant(*tenant.access, *INSTALL, "--token-key", new, keys=None).code == 0


def test_a_card_made_ready_for_scp11(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The issuer's keys of SCP11 and an authority's, put with SCP03; then a session of SCP11a by them."""
    card = CardDoor(sc_cards.card("0370", "1113", keys=(ISD_KEYS,)), tmp_path / "state", monkeypatch)
    domain, authority, host = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    ours = ("--yes-card", card.json("list")["card"])
    private = write_key(tmp_path / "domain.key", domain)
    put = ("keys", "put", *ours, "--new-version")
    done = card.json(*put, "3", "--new-id", "0x11", "--private-key", private)
    assert (done["id"], done["algorithm"]) == (0x11, "ECC private on secp256r1")
    public = write_key(tmp_path / "authority.pem", authority, public=True)
    card.json(*put, str(AUTHORITY_VERSION), "--new-id", "0x10", "--public-key", public)
    write_key(tmp_path / "domain.pem", domain, public=True)
    write_key(tmp_path / "host.key", host)
    (tmp_path / "host.cert").write_bytes(own_chain(authority, host)[0])
    entry = tmp_path / "entry.toml"
    entry.write_text(
        'variant = "a"\nkey_version = 3\ndomain_key = "domain.pem"\nhost_key = "host.key"\n'
        f'host_certificates = ["host.cert"]\nauthority_version = {AUTHORITY_VERSION}\n'
    )
    assert card.json("--scp11", entry, "list", keys=None)["complete"] is True
    # And in that session a further one, of another kind.
    secret = write_key(tmp_path / "receipt.toml", MacKey(bytes(range(24))))
    done = card.json("--scp11", entry, *put, "0x71", "--single-key", secret, keys=None)
    assert done["algorithm"] == "AES-192"
    listed = {(key["version"], key["id"]) for key in card.json("keys", "list", keys=None)["keys"]}
    assert {(3, 0x11), (AUTHORITY_VERSION, 0x10), (0x71, 1)} <= listed


def test_with_scp02_3des_keys_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    des = sc_cards.DES_KEYS
    card = CardDoor(sc_cards.card("0255", keys=(des,)), tmp_path / "state", monkeypatch)
    access = ("--key-enc", des.enc.hex(), "--key-mac", des.mac.hex(), "--key-dek", des.dek.hex(), "--test-card")
    ours = ("--yes-card", card.json(*access, "list", keys=None)["card"])
    put = (*access, "keys", "put", *ours, "--new-version", "0x71", "--single-key")
    aes = write_key(tmp_path / "aes.toml", MacKey(bytes(16)))
    assert "3DES keys alone" in card.refused(4, *put, aes, keys=None)
    triple = write_key(tmp_path / "des.toml", MacKey(bytes(range(16)), des=True))
    assert card.json(*put, triple, keys=None)["algorithm"] == "3DES"


def test_files_and_options_that_do_not_do(card: CardDoor, tmp_path: Path) -> None:
    curve = write_key(tmp_path / "p521.pem", ec.generate_private_key(ec.SECP521R1()))
    symmetric = write_key(tmp_path / "aes.toml", MacKey(bytes(16)))
    rsa = write_key(tmp_path / "rsa.pem", signing_key("rsa-1024"))
    put = ("keys", "put", "--new-version", "0x70")
    assert "want P-256 or P-384" in card.refused(4, *put, "--public-key", curve)
    assert "give it with --single-key" in card.refused(4, *put, "--public-key", symmetric)
    sure = ("--yes-card", card.json("list")["card"])
    assert "want a private ECC key" in card.refused(4, *put, *sure, "--private-key", rsa)
    assert "want key =" in card.refused(4, *put, *sure, "--single-key", rsa)
    assert "goes with no others" in card.refused(2, *put, "--public-key", rsa, "--new-key", "00" * 16)
    assert "goes with no others" in card.refused(2, *put, "--public-key", rsa, "--single-key", symmetric)
    assert "goes with one key" in card.refused(2, *put, "--new-id", "2", "--new-key", "00" * 16)
    assert "want 1 to 127" in card.refused(2, *put, "--new-id", "0", "--public-key", rsa)
