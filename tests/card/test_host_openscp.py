"""`opentsm card` sends what another host (OpenSCP) sends, byte for byte: SCP03 with S8 and S16, SCP11a and SCP11c."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from opentsm_card import tlv
from opentsm_card.apdu import CommandApdu
from recorded_card import run

if TYPE_CHECKING:
    from door import Answer
    from recorded_card import RecordedCard

VECTORS: Final = Path(__file__).parents[1] / "vectors"
SCP03: Final = json.loads((VECTORS / "scp03-s16-dialogues.json").read_text())["sessions"]
SCP11: Final = json.loads((VECTORS / "scp11-dialogues.json").read_text())["sessions"]
AUTHORITY: Final = (0x10, 0x03)  # identifier and version of the authority's key in these sessions
DONE: Final = b"\x90\x00"
SECURED: Final = 0x84
PERFORM_SECURITY_OPERATION: Final = 0x2A
# {globalPlatform 4 3 i}, as the card data of a card with SCP03 alone.
RECOGNITION: Final = "2A864886FC6B0403"


def card_data(i: int) -> bytes:
    oid = tlv.encode(0x06, bytes.fromhex(RECOGNITION) + bytes((i,)))
    return tlv.encode(0x66, tlv.encode(0x73, tlv.encode(0x64, oid))) + DONE


def wrapped(session: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    return [
        (bytes.fromhex(one["wrapped_command"]), bytes.fromhex(one["wrapped_response_data"] + one["status"]))
        for one in session["exchanges"]
    ]


def check(session: dict[str, Any], done: Answer, card: RecordedCard) -> None:
    """Check that every command was sent as published, and every answer read as published."""
    assert done.code == 0, done
    found = [one["data"].lower() for one in json.loads(done.out)["exchanges"]]
    assert found == [one["plain_response_data"] for one in session["exchanges"]]
    assert [one for one in card.missing if one[0] == SECURED] == []


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize("session", SCP03, ids=lambda session: str(session["name"]))
def test_scp03(session: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text("\n".join(f'{part} = "{session["keys"][part]}"' for part in ("enc", "mac", "dek")))
    file.chmod(0o600)
    begin = {name: bytes.fromhex(value) for name, value in session["initialize_update"].items()}
    i = begin["response_data"][12]
    exchanges = [
        (bytes.fromhex("80CA006600"), card_data(i)),
        (begin["command"], begin["response_data"] + DONE),
        (bytes.fromhex(session["external_authenticate"]), DONE),
        *wrapped(session),
    ]
    plain = [one["plain_command"] for one in session["exchanges"]]
    done, card = run(exchanges, "--key-file", file, "--key-version", "0x30", "send", "--secure", *plain, "--json")
    check(session, done, card)
    assert f"SCP03 i={i:02X}; trying" in done.err
    assert "at level 33" in done.err


def play(
    session: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, *, flip: bool = False
) -> tuple[Answer, RecordedCard]:
    """Open a session and send its command, with the other host's ephemeral key; `flip`: a bit of the receipt."""
    host, ephemeral = (
        ec.derive_private_key(int(session[name], 16), ec.SECP256R1()) for name in ("host_key", "ephemeral_key")
    )
    (folder / "host.pem").write_bytes(host.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "host.pem").chmod(0o600)
    (folder / "host.cert").write_bytes(bytes.fromhex(session["host_certificate"]))
    # The store holds one certificate, and in it the one point of 65 bytes there is: 04 and two coordinates.
    store = bytes.fromhex(session["certificate_store"])
    at = next(store.index(mark) + len(mark) for mark in (b"\x03\x42\x00", b"\xb0\x41") if mark in store)
    domain = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), store[at : at + 65])
    (folder / "domain.pem").write_bytes(domain.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    entry = folder / "entry.toml"
    entry.write_text(
        f'variant = "{session["variant"].lower()}"\nkey_version = {session["key_version"]}\n'
        f'domain_key = "domain.pem"\nhost_key = "host.pem"\nhost_certificates = ["host.cert"]\n'
        f"authority_id = {AUTHORITY[0]}\nauthority_version = {AUTHORITY[1]}\n"
        f"key_bytes = {session['key_bytes']}\nmac_bytes = {session['mac_bytes']}\n"
    )
    monkeypatch.setattr("opentsm_card.scp11.ec.generate_private_key", lambda _curve: ephemeral)
    answer = bytearray.fromhex(session["authenticate"]["response_data"])
    answer[-1] ^= flip
    exchanges = [(bytes.fromhex(session["authenticate"]["command"]), bytes(answer) + DONE), *wrapped(session)]
    plain = [one["plain_command"] for one in session["exchanges"]]
    arguments = ("--scp11", entry, "send", "--secure", *plain, "--json")
    return run(exchanges, *arguments, taken={PERFORM_SECURITY_OPERATION: DONE})


@pytest.mark.parametrize("session", SCP11, ids=lambda session: str(session["name"]))
def test_scp11(session: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done, card = play(session, tmp_path, monkeypatch)
    check(session, done, card)
    blocks = [CommandApdu.parse(one) for one in card.sent if one[1] == PERFORM_SECURITY_OPERATION]
    assert b"".join(block.data for block in blocks).hex() == session["host_certificate"]
    assert {block.p2 for block in blocks} == {AUTHORITY[0]}
    assert [block.p1 for block in blocks] == [0x80 | AUTHORITY[1]] * (len(blocks) - 1) + [AUTHORITY[1]]


def test_a_wrong_receipt_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done, card = play(SCP11[0], tmp_path, monkeypatch, flip=True)
    assert done.code == 1
    assert "the receipt does not verify" in done.err
    assert not any(one[0] == SECURED for one in card.sent)
