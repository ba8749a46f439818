"""`opentsm card --scp11`: sessions by agreement on keys, from files, and every way they can't be had."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from card_cli import CardDoor
from opentsm_card.errors import TransportError
from opentsm_card.scp11_kdf import Variant
from opentsm_card.scp11_store import KeyReference, store_certificates
from opentsm_card.store_data import DataStructure, StoreData
from scp11_host import AUTHORITY_VERSION, VERSION, Scp11Host, make, own_chain
from scp11_pki import certificate, chain
from sd_host import CARD_1, ISD, ISD_KEYS, PAYMENT_MODULE, PAYMENT_PACKAGE, Host, payment_parameters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opentsm_card.link import Link

INSTALL = (
    "install", "--from", str(PAYMENT_PACKAGE), "--applet", str(PAYMENT_MODULE), "--aid", str(CARD_1),
    "--params", payment_parameters()[2:].hex(),
)  # fmt: skip


def private_pem(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)


def public_pem(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@dataclass
class Desk:
    """A card with SCP11 keys, its door, and a folder with what the host needs."""

    host: Scp11Host
    card: CardDoor
    folder: Path

    def entry(self, variant: object = "a", **changes: object) -> Path:
        """Write an entry file; a change to None leaves a line out. What goes with SCP11b is what it needs."""
        entries: dict[str, object] = {"variant": variant, "key_version": VERSION, "domain_key": f"domain-{variant}.pem"}
        if variant != "b":
            entries |= {
                "host_key": "host.pem",
                "host_certificates": ["host.cert"],
                "authority_version": AUTHORITY_VERSION,
            }
        lines = [
            f"{name} = {value if isinstance(value, int | list) else repr(value)}"
            for name, value in (entries | changes).items()
            if value is not None
        ]
        path = self.folder / "entry.toml"
        path.write_text("\n".join(lines))
        return path

    def refused(self, code: int, *arguments: str | Path, changes: dict[str, object] | None = None) -> str:
        return self.card.refused(code, "--scp11", self.entry(**(changes or {})), *arguments, keys=None)


@pytest.fixture(params=["13"])
def desk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    host = make(request.param)
    folder = tmp_path / "keys"
    folder.mkdir()
    for variant, key in host.domain.items():
        public_pem(folder / f"domain-{variant.name.lower()}.pem", key)
    private_pem(folder / "host.pem", host.key)
    (folder / "host.cert").write_bytes(own_chain(host.authority, host.key)[0])
    return Desk(host, CardDoor(host.se, tmp_path / "state", monkeypatch), folder)


@pytest.mark.parametrize("desk", ["13", "53"], indirect=True)
@pytest.mark.parametrize("variant", ["a", "c"])
def test_content_is_managed(desk: Desk, variant: str) -> None:
    entry = desk.entry(variant, key_bytes=32)
    done = desk.card("--scp11", entry, *INSTALL, keys=None)
    assert done.code == 0, done
    assert f"key version 0x03, SCP11{variant} i=" in done.err
    assert "at level 33" in done.err
    document = desk.card.json("--scp11", entry, "--security", "11", "list", keys=None)
    assert str(CARD_1) in {one["aid"] for one in document["applications"]}
    identifier = document["card"]
    put = ("keys", "put", "--new-version", "0x31", "--new-key", "0F" * 24, "--yes-card", identifier)
    assert desk.card.json("--scp11", entry, *put, keys=None)["algorithm"] == "AES-192"
    assert desk.card.json("--key-version", "0x31", "keys", "check", keys="0F" * 24)["key_version"] == 0x31


def test_scp11b_proves_the_card_and_not_the_host(desk: Desk) -> None:
    entry = desk.entry("b")
    checked = desk.card.json("--scp11", entry, "keys", "check", keys=None)
    assert (checked["scp"], checked["key_version"], checked["algorithm"]) == (0x11, VERSION, "ECC")
    assert "6982" in desk.card.refused(1, "--scp11", entry, *INSTALL, keys=None)


def test_a_chain_of_x509_certificates_in_pem(desk: Desk) -> None:
    links = chain(1)
    links.sent[0] = certificate(
        "intermediate 0", links.keys[0].public_key(), "authority", desk.host.authority, authority=True
    )
    (desk.folder / "host.cert").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in links.sent))
    private_pem(desk.folder / "host.pem", links.entity)
    listed = desk.card.json("--scp11", desk.entry(), "list", keys=None)
    assert listed["complete"] is True
    assert desk.card.json("--scp11", desk.entry(block_bytes=60), "list", keys=None) == listed
    assert desk.card.json("--scp11", desk.entry(block_bytes=2000), "list", keys=None) == listed


def _own(desk: Desk, authority: ec.EllipticCurvePrivateKey) -> list[bytes]:
    return own_chain(authority, desk.host.domain[Variant.A], [ec.generate_private_key(ec.SECP256R1())])


def _x509(desk: Desk, authority: ec.EllipticCurvePrivateKey) -> list[bytes]:
    domain = desk.host.domain[Variant.A].public_key()
    return [certificate("domain", domain, "authority", authority).public_bytes(Encoding.DER)]


def _store(desk: Desk, certificates: list[bytes]) -> None:
    isd = Host(desk.host.link).into(ISD, ISD_KEYS)
    data = store_certificates(KeyReference(Variant.A.key_id, VERSION), certificates)
    blocks = [data[start : start + 200] for start in range(0, len(data), 200)]
    for number, block in enumerate(blocks):
        last = number == len(blocks) - 1
        isd.done(StoreData(number, block, last=last, structure=DataStructure.BER_TLV))


@pytest.mark.parametrize("make_chain", [_own, _x509])
def test_the_card_s_key_from_its_certificates(
    desk: Desk, make_chain: Callable[[Desk, ec.EllipticCurvePrivateKey], list[bytes]]
) -> None:
    authority, stranger = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    _store(desk, make_chain(desk, authority))
    public_pem(desk.folder / "cards.pem", authority)
    public_pem(desk.folder / "others.pem", stranger)
    entry = desk.entry(domain_key=None, domain_authority="cards.pem")
    assert desk.card("--scp11", entry, "list", keys=None).code == 0
    told = desk.refused(1, "list", changes={"domain_key": None, "domain_authority": "others.pem"})
    assert "don't lead to domain_authority" in told
    assert desk.card.json("forget-failure", keys=None) == {"failures": []}


def test_a_card_that_shows_no_certificates(desk: Desk) -> None:
    public_pem(desk.folder / "cards.pem", desk.host.authority)
    told = desk.refused(1, "list", changes={"domain_key": None, "domain_authority": "cards.pem"})
    assert "shows no certificates of its key 0x11, version 0x03" in told
    assert desk.card.json("forget-failure", keys=None) == {"failures": []}


def test_a_host_whose_certificate_the_card_does_not_take(desk: Desk) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    (desk.folder / "host.cert").write_bytes(own_chain(stranger, desk.host.key)[0])
    told = desk.refused(1, "list")
    assert "PERFORM SECURITY OPERATION" in told
    assert "6600" in told
    assert "not tried again" in told
    # Remembered, for the right ones too.
    (desk.folder / "host.cert").write_bytes(own_chain(desk.host.authority, desk.host.key)[0])
    assert "an authentication failed before" in desk.refused(1, "list")
    assert desk.card("--scp11", desk.entry(), "--after-failure", "list", keys=None).code == 0
    assert desk.card("--scp11", desk.entry(), "list", keys=None).code == 0


def test_a_card_with_another_key_than_declared(desk: Desk) -> None:
    told = desk.refused(1, "list", changes={"domain_key": "domain-c.pem"})
    assert "the receipt does not verify" in told
    assert "an authentication failed before" in desk.refused(1, "list")


def test_what_the_card_does_not_have_is_no_failed_authentication(desk: Desk) -> None:
    for name, version in (("authority_version", 0x05), ("key_version", 0x07)):
        assert "6A88" in desk.refused(1, "list", changes={name: version})
    assert desk.card.json("forget-failure", keys=None) == {"failures": []}


def test_a_link_that_breaks_in_the_agreement_has_no_effect(desk: Desk) -> None:
    class Broken:
        def __init__(self, link: Link) -> None:
            self._link = link

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self._link.close()

        def transmit(self, command: bytes) -> bytes:
            if command[1] == 0x82:
                raise TransportError("the card was pulled")
            return self._link.transmit(command)

        def __getattr__(self, name: str) -> object:
            return getattr(self._link, name)

    desk.card.wrap = Broken  # type: ignore[assignment]  # a link by what it does
    told = desk.refused(3, "list")
    assert "the card was pulled" in told
    assert "not known" not in told


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"variant": "d"}, 'want "a", "b" or "c"'),
        ({"variant": 1}, "variant: want a text"),
        ({"curve": "P-256"}, "curve: want authority_id"),
        ({"domain_authority": "cards.pem"}, "either domain_key"),
        ({"domain_key": None}, "either domain_key"),
        ({"domain_key": "nowhere.pem"}, "No such file"),
        ({"domain_key": "host.cert"}, "neither PEM nor TOML"),
        ({"host_key": None}, "SCP11a needs host_key"),
        ({"host_key": "domain-a.pem"}, "domain-a.pem"),
        ({"host_certificates": []}, "SCP11a needs"),
        ({"host_certificates": [1]}, "list of file names"),
        ({"host_certificates": ["host.pem"]}, "no certificate"),
        ({"host_certificates": ["nowhere"]}, "No such file"),
        ({"variant": "b", "host_key": "host.pem"}, "SCP11b authenticates the card alone"),
        ({"key_version": 0x80}, "key_version: want a number from 0 to 127"),
        ({"key_version": "3"}, "key_version: want a number"),
        ({"key_bytes": 20}, "want 16, 24 or 32"),
        ({"mac_bytes": 4}, "mac_bytes: want 8 or 16"),
        ({"block_bytes": 8}, "block_bytes: want a number from 16"),
    ],
)
def test_files_that_do_not_do(desk: Desk, changes: dict[str, object], wanted: str) -> None:
    (desk.folder / "host.cert").chmod(0o600)
    assert wanted in desk.refused(4, "list", changes=changes)


def test_keys_of_another_curve_or_for_everyone_to_read(desk: Desk) -> None:
    private_pem(desk.folder / "host.pem", ec.generate_private_key(ec.SECP384R1()))
    assert "P-256" in desk.refused(4, "list")
    private_pem(desk.folder / "host.pem", desk.host.key)
    (desk.folder / "host.pem").chmod(0o644)
    assert "others may read" in desk.refused(4, "list")
    (desk.folder / "entry.toml").write_text("variant =")
    assert "no TOML" in desk.card.refused(4, "--scp11", desk.folder / "entry.toml", "list", keys=None)
    assert "No such file" in desk.card.refused(4, "--scp11", desk.folder / "nowhere.toml", "list", keys=None)


def test_options_that_do_not_go_together(desk: Desk) -> None:
    entry = desk.entry()
    assert "--scp11 or --key?" in desk.card.refused(2, "--scp11", entry, "list")
    assert "levels 11 and 33" in desk.card.refused(4, "--scp11", entry, "--security", "03", "list", keys=None)
    new = ("--new-version", "0x31", "--new-key", "0F" * 16)
    assert "static keys in use" in desk.card.refused(2, "--scp11", entry, "keys", "rotate", *new, keys=None)


def test_a_shell_opens_a_session_again_after_select(desk: Desk) -> None:
    done = desk.card("--scp11", desk.entry(), "shell", keys=None, stdin=f"list\nselect {ISD}\nlist\n".encode())
    assert done.code == 0, done
    assert done.err.count("SCP11a") == 2
    assert os.fspath(desk.folder) in done.err
