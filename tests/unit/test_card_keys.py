from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_card.apdu import CommandApdu
from opentsm_card.diversification import diversify
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.keys import KeySet, key_check_value
from opentsm_card.put_key import KeyData, PutKey, PutKeyAnswer, put_key_set

VECTORS = Path(__file__).parents[1] / "vectors"
DIVERSIFICATION: list[dict[str, Any]] = json.loads((VECTORS / "key-diversification.json").read_text(encoding="utf-8"))[
    "diversification"
]
CHECK_VALUES: dict[str, str] = json.loads((VECTORS / "scp03-dialogues.json").read_text(encoding="utf-8"))[
    "key_check_values"
]["aes"]

AES_KEYS = st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size))


def _set(size: int = 16, version: int = 0x30) -> KeySet:
    return KeySet(version, bytes(range(size)), bytes(range(1, size + 1)), bytes(range(2, size + 2)))


@pytest.mark.parametrize(("key", "value"), CHECK_VALUES.items())
def test_check_values_of_real_cards(key: str, value: str) -> None:
    assert key_check_value(bytes.fromhex(key)).hex() == value


def test_the_des_check_value_of_the_public_test_key() -> None:
    assert key_check_value(bytes(range(0x40, 0x50)), des=True).hex() == "8baf47"


@pytest.mark.parametrize("vector", DIVERSIFICATION, ids=lambda vector: f"{vector['method']} {vector['cipher']}")
def test_diversification_vectors(vector: dict[str, Any]) -> None:
    master, data = bytes.fromhex(vector["master_key"]), bytes.fromhex(vector["diversification_data"])
    keys = diversify(master, vector["method"].lower(), data, version=0x31)
    assert keys.version == 0x31
    if "derived" in vector:
        assert keys.enc.hex() == vector["derived"]["enc"]
        assert vector["derived"].keys() == {"enc"}
        return
    wanted = vector["check_values"]
    assert [value.hex() for value in keys.check_values] == [wanted["enc"], wanted["mac"], wanted["dek"]]


def test_a_set_of_master_keys_gives_each_its_own() -> None:
    masters = _set()
    keys = diversify(masters, "kdf3", bytes(10))
    assert keys.version == masters.version
    assert keys.mac == diversify(masters.mac, "kdf3", bytes(10)).mac


@pytest.mark.parametrize(
    ("master", "method", "data"),
    [(bytes(16), "kdf3", bytes(9)), (bytes(15), "kdf3", bytes(10)), (bytes(24), "emv", bytes(10)),
     (bytes(16), "kdf1", bytes(10)), (_set(), "visa2", bytes(10))],
)  # fmt: skip
def test_what_can_not_be_diversified(master: KeySet | bytes, method: str, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        diversify(master, method, data)  # type: ignore[arg-type] # a wrong method on purpose


def test_a_key_set_shows_version_and_check_values_only() -> None:
    keys = _set(32)
    shown = repr(keys)
    assert shown.startswith("KeySet(version=48, AES-256, kcv=")
    for key in (keys.enc, keys.mac, keys.dek):
        assert key.hex() not in shown.lower()
        assert repr(key) not in shown
    with pytest.raises(TypeError):
        pickle.dumps(keys)


def test_key_sets_compare_by_content() -> None:
    assert _set() == _set()
    assert len({_set(), _set()}) == 1
    assert _set() != _set(version=0x31)
    assert _set() != KeySet(0x30, _set().enc, _set().mac, bytes(16))
    assert _set() != "keys"


@pytest.mark.parametrize(
    ("version", "sizes"), [(0x80, (16, 16, 16)), (-1, (16, 16, 16)), (1, (16, 16, 24)), (1, (8, 8, 8))]
)
def test_impossible_key_sets(version: int, sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ProtocolError):
        KeySet(version, bytes(sizes[0]), bytes(sizes[1]), bytes(sizes[2]))


def test_put_key_of_a_set_as_real_hosts_send_it() -> None:
    # GlobalPlatformPro: D8 P1 00, P2 81; each AES-128 key is 88 11 10 <16> 03 KCV.
    command = put_key_set(_set(version=0x31), bytes(16))
    apdu = command.apdu()
    assert apdu.header.hex() == "80d80081"
    assert apdu.data[0] == 0x31
    fields = [apdu.data[1 + 23 * number : 24 + 23 * number] for number in range(3)]
    assert {field[:3].hex() for field in fields} == {"881110"}
    assert [field[-4:].hex() for field in fields] == ["03" + value.hex() for value in _set().check_values]
    assert PutKey.parse(CommandApdu.parse(apdu.encode())) == command
    assert command.answer().encode() == b"\x31" + b"".join(_set().check_values)


@given(AES_KEYS, AES_KEYS)
def test_a_key_comes_out_as_it_went_in(key: bytes, dek: bytes) -> None:
    field = KeyData.aes(key, dek)
    assert len(field.component) == (0x11 if len(key) == 16 else 0x21)  # table 7-10 of Amendment D
    assert field.decrypt_aes(dek) == key


def test_a_key_without_the_inner_length_is_taken_too() -> None:
    field = KeyData.aes(bytes(range(32)), bytes(16))
    bare = KeyData(field.key_type, field.component[1:], field.check_value)
    assert bare.decrypt_aes(bytes(16)) == bytes(range(32))


def test_a_key_under_another_dek_is_refused() -> None:
    with pytest.raises(SecureChannelError):
        KeyData.aes(bytes(16), bytes(16)).decrypt_aes(b"\x01" * 16)


@pytest.mark.parametrize(
    ("key_type", "component"),
    [(0x80, bytes(17)), (0x88, b"\x10" + bytes(32)), (0x88, b"\x11" + bytes(16)), (0x88, bytes(48)), (0x88, b"\x10")],
)
def test_malformed_keys_are_refused(key_type: int, component: bytes) -> None:
    with pytest.raises(ProtocolError):
        KeyData(key_type, component, bytes(3)).decrypt_aes(bytes(16))


def test_truncated_put_key_is_refused_at_every_offset() -> None:
    apdu = put_key_set(_set(), bytes(16)).apdu()
    two_keys = 1 + 2 * 23
    for end in set(range(len(apdu.data))) - {two_keys}:
        with pytest.raises(ProtocolError):
            PutKey.parse(CommandApdu(0x80, 0xD8, apdu.p1, apdu.p2, apdu.data[:end]))


def test_put_key_fields_out_of_range() -> None:
    field = KeyData.aes(bytes(16), bytes(16))
    for command in (PutKey(0x80, 1, 1, (field,)), PutKey(0, 0, 1, (field,)), PutKey(0, 1, 0x80, (field,))):
        with pytest.raises(ProtocolError):
            command.apdu()


def test_the_put_key_answer() -> None:
    answer = PutKeyAnswer(0x31, (b"abc", b"def"))
    assert PutKeyAnswer.parse(answer.encode()) == answer
    with pytest.raises(ProtocolError):
        PutKeyAnswer.parse(answer.encode()[:-1])
    with pytest.raises(ProtocolError):
        PutKeyAnswer.parse(b"")


def test_no_encrypted_key_in_repr() -> None:
    field = KeyData.aes(bytes(16), bytes(16))
    assert field.component.hex() not in repr(field).lower()
