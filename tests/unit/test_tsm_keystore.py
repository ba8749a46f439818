from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from opentsm_card.errors import ProtocolError, SecureChannelError, StorageError
from opentsm_tsm.keystore import KeyStore, read_passphrase

if TYPE_CHECKING:
    from pathlib import Path

SECRET = bytes.fromhex("00112233445566778899AABBCCDDEEFF")


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> KeyStore:
    store = KeyStore.create(tmp_path / "keys.json", b"right")
    store.put("master", SECRET)
    return store


def test_opens_with_the_passphrase_and_gives_the_secrets(store: KeyStore, tmp_path: Path) -> None:
    opened = KeyStore.open(tmp_path / "keys.json", b"right")
    assert opened.names() == ("master",)
    assert opened.get("master") == SECRET
    assert opened.unseal(store.seal(b"temporary", b"context"), b"context") == b"temporary"


def test_a_wrong_passphrase_opens_nothing(store: KeyStore, tmp_path: Path) -> None:
    del store
    with pytest.raises(StorageError, match="wrong passphrase"):
        KeyStore.open(tmp_path / "keys.json", b"wrong")


def test_no_secret_is_on_disk_or_in_a_repr(store: KeyStore, tmp_path: Path) -> None:
    raw = (tmp_path / "keys.json").read_bytes()
    assert SECRET not in raw
    assert SECRET.hex().encode() not in raw.lower()
    assert SECRET.hex() not in repr(store).lower()
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(store)


def test_every_changed_byte_of_the_file_is_noticed(store: KeyStore, tmp_path: Path) -> None:
    del store
    path = tmp_path / "keys.json"
    good = path.read_bytes()
    # One position in each member is enough: each is either parsed or authenticated, and a wrong guess costs 0.1 s.
    for mark in (b'"scrypt_n":', b'"salt":"', b'"nonce":"', b'"ciphertext":"'):
        at = good.index(mark) + len(mark)
        path.write_bytes(good[:at] + (b"4" if good[at : at + 1] != b"4" else b"5") + good[at + 1 :])
        with pytest.raises((StorageError, ProtocolError)):
            KeyStore.open(path, b"right")
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(ProtocolError, match="not a key store"):
        KeyStore.open(path, b"right")


def test_a_sealed_secret_opens_for_its_context_only(store: KeyStore) -> None:
    sealed = store.seal(b"temporary", b"se-1 sd-1")
    with pytest.raises(SecureChannelError):
        store.unseal(sealed, b"se-1 sd-2")
    with pytest.raises(SecureChannelError):
        store.unseal(sealed[:-1], b"se-1 sd-1")
    with pytest.raises(SecureChannelError):
        store.unseal(b"", b"se-1 sd-1")


def test_nothing_is_overwritten(store: KeyStore, tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="already"):
        store.put("master", b"other")
    with pytest.raises(ProtocolError, match="exists already"):
        KeyStore.create(tmp_path / "keys.json", b"right")
    store.remove("master")
    with pytest.raises(ProtocolError, match="no secret named"):
        KeyStore.open(tmp_path / "keys.json", b"right").get("master")


def test_the_passphrase_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(b"one two\nthree\n")
    assert read_passphrase(path) == b"one two"
    path.write_bytes(b"\n")
    with pytest.raises(ProtocolError, match="no passphrase"):
        read_passphrase(path)
    with pytest.raises(ProtocolError, match="No such file"):
        read_passphrase(tmp_path / "nowhere")
