"""Where `opentsm card` takes keys from: what is taken, what is refused, and that no error quotes a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentsm_card.diversification import diversify
from opentsm_card.errors import ProtocolError, StorageError
from opentsm_card.keys import KeySet
from opentsm_tools.card.channels import Offer
from opentsm_tools.card.key_choice import declared_keys
from opentsm_tools.card.key_files import from_file, from_keystore
from opentsm_tools.card.key_sources import Material, combine, from_environment, material_of
from opentsm_tools.card.options import Given
from opentsm_tsm.keystore import KeyStore

if TYPE_CHECKING:
    from pathlib import Path

KEY = "00112233445566778899aabbccddeeff"
ENC, MAC, DEK = (bytes((index,)) * 16 for index in (1, 2, 3))
DATA = bytes(range(10))
SCP02 = Offer(DATA, 0x20, 2, 0x55, b"")
SCP03 = Offer(DATA, 0x30, 3, 0x70, b"")
NAMES = {"key": "--key", "enc": "--key-enc", "mac": "--key-mac", "dek": "--key-dek"}


def write(path: Path, content: str, mode: int = 0o600) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


def test_one_key_or_three() -> None:
    one = combine({"key": KEY}, NAMES, version=None, diversification=None)
    assert one is not None
    assert one.enc == one.mac == one.dek == bytes.fromhex(KEY)
    three = combine({"enc": ENC.hex(), "mac": MAC.hex(), "dek": DEK.hex()}, NAMES, version=0x31, diversification="none")
    assert three is not None
    assert (three.enc, three.mac, three.dek, three.version) == (ENC, MAC, DEK, 0x31)
    assert combine({"key": None}, NAMES, version=None, diversification=None) is None
    for parts in ({"key": KEY, "enc": KEY}, {"enc": KEY, "mac": KEY}):
        with pytest.raises(ProtocolError, match="alone, or --key-enc, --key-mac, --key-dek together"):
            combine(parts, NAMES, version=None, diversification=None)


@pytest.mark.parametrize("key", ["zz" * 16, KEY[:-2], KEY + "0", "", KEY * 3])
def test_a_malformed_key_is_not_quoted(key: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        combine({"key": key}, NAMES, version=None, diversification=None)
    assert not key or key not in str(caught.value)


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEY", "KEY_ENC", "KEY_MAC", "KEY_DEK"):
        monkeypatch.delenv(f"OPENTSM_CARD_{name}", raising=False)
    assert from_environment(version=None, diversification=None) is None
    monkeypatch.setenv("OPENTSM_CARD_KEY", KEY)
    found = from_environment(version=3, diversification="kdf3")
    assert found is not None
    assert (found.version, found.diversification, found.origin) == (3, "kdf3", "OPENTSM_CARD_KEY")
    monkeypatch.setenv("OPENTSM_CARD_KEY_ENC", KEY)
    with pytest.raises(ProtocolError, match="OPENTSM_CARD_KEY alone"):
        from_environment(version=None, diversification=None)


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_a_key_file(tmp_path: Path, suffix: str) -> None:
    text = f'version = 0x31\nkey = "{KEY}"\ndiversification = "kdf3"\ntest_card = true\n'
    if suffix == "json":
        text = f'{{"version": 49, "key": "{KEY}", "diversification": "kdf3", "test_card": true}}'
    found = from_file(write(tmp_path / f"card.{suffix}", text))
    assert (found.enc.hex(), found.version, found.diversification, found.test_card) == (KEY, 0x31, "kdf3", True)
    overruled = from_file(tmp_path / f"card.{suffix}", version=0x32, diversification="none")
    assert (overruled.version, overruled.diversification) == (0x32, "none")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_file_is_its_owner_s_alone(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ProtocolError, match=f"mode {mode:03o}.*chmod 600"):
        from_file(write(tmp_path / "card.toml", f'key = "{KEY}"', mode))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"key = {KEY}", "not a TOML document"),
        (f'key = "{KEY}"\nsecret = "x"', "unknown entry 'secret'"),
        (f'key = "{KEY}"\nversion = 300', "not in 0..127"),
        (f'key = "{KEY}"\nversion = true', "version is not a int"),
        ("key = 3", "key is not a str"),
        (f'key = "{KEY}"\ndiversification = "rot13"', "rot13"),
        ("version = 3", "no keys in it"),
        (f'enc = "{KEY}"', "together"),
        ("x" * 70_000, "more than 65536 bytes"),
        (f'key = "{KEY[:-1]}x"', "not hexadecimal"),
    ],
)
def test_a_malformed_key_file(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        from_file(write(tmp_path / "card.toml", content))
    assert says in str(caught.value)
    assert "card.toml" in str(caught.value)
    assert KEY not in str(caught.value)
    assert KEY[:-1] not in str(caught.value)


def test_a_key_file_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="No such file"):
        from_file(tmp_path / "nowhere.toml")
    with pytest.raises(ProtocolError, match="not a JSON document"):
        from_file(write(tmp_path / "deep.json", "[" * 30_000))
    with pytest.raises(ProtocolError, match="no table"):
        from_file(write(tmp_path / "list.json", "[]"))


def test_the_encrypted_key_store(tmp_path: Path) -> None:
    store = KeyStore.create(tmp_path / "keys", b"correct horse")
    store.put("isd", ENC + MAC + DEK)
    store.put("master", ENC)
    store.put("odd", b"x" * 20)
    phrase = write(tmp_path / "phrase", "correct horse\n")
    found = from_keystore(tmp_path / "keys", "isd", phrase, version=None, diversification=None)
    assert (found.enc, found.mac, found.dek) == (ENC, MAC, DEK)
    assert from_keystore(tmp_path / "keys", "master", phrase, version=1, diversification="kdf3").enc == ENC
    with pytest.raises(ProtocolError, match="no key and no three keys"):
        from_keystore(tmp_path / "keys", "odd", phrase, version=None, diversification=None)
    with pytest.raises(ProtocolError, match="no secret named 'gone'"):
        from_keystore(tmp_path / "keys", "gone", phrase, version=None, diversification=None)
    wrong = write(tmp_path / "wrong", "no\n")
    with pytest.raises(StorageError, match="wrong passphrase"):
        from_keystore(tmp_path / "keys", "isd", wrong, version=None, diversification=None)


@pytest.mark.parametrize(
    ("method", "offer", "des"), [("emv", SCP02, True), ("visa2", SCP02, True), ("kdf3", SCP03, False)]
)
def test_diversification_is_what_was_declared(method: str, offer: Offer, des: bool) -> None:  # noqa: FBT001 - a parameter
    material = Material(ENC, MAC, DEK, diversification=method, origin="test")
    masters = KeySet(offer.key_version, ENC, MAC, DEK, des)
    assert material.key_set(offer) == diversify(masters, method, DATA, version=offer.key_version)  # type: ignore[arg-type]
    plain = Material(ENC, MAC, DEK, origin="test").key_set(offer)
    assert plain == masters
    other = SCP03 if offer is SCP02 else SCP02
    with pytest.raises(ProtocolError, match="gives no keys for"):
        material.key_set(other)


def test_published_keys_are_known_in_every_length() -> None:
    for size in (16, 24, 32):
        assert material_of(bytes(range(0x40, 0x40 + size)), "test", version=None, diversification=None).public
    assert Material(ENC, MAC, b"GEMXPRESSOSAMPLE", origin="test").public
    assert not Material(ENC, MAC, DEK, origin="test").public
    assert "01" * 16 not in repr(Material(ENC, MAC, DEK, origin="test"))


def test_keys_come_from_one_place(tmp_path: Path) -> None:
    import click

    file = write(tmp_path / "card.toml", f'key = "{KEY}"')
    with pytest.raises(click.UsageError, match="--key or --key-file"):
        declared_keys(Given(key=KEY, key_file=file), print)
    with pytest.raises(click.UsageError, match="--key-name"):
        declared_keys(Given(keystore=tmp_path / "keys"), print)
    warned: list[str] = []
    declared_keys(Given(key=KEY), warned.append)
    assert "can be seen by others" in warned[0]
    assert KEY not in warned[0]
